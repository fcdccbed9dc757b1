//! How values of a configuration are written in TOML: lists that may be one value, names, times.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A list, or what would be its only entry.
pub(super) fn one_or_more<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct OneOrMore<T>(PhantomData<T>);

    // By hand, so that the words in which a value is refused are those of its own type.
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(text.into_deserializer())?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    from.deserialize_any(OneOrMore(PhantomData))
}

/// One of several words.
pub(super) fn by_name<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(from)?
        .parse()
        .map_err(serde::de::Error::custom)
}

pub(super) fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_span(&text).map_err(serde::de::Error::custom)
}

/// Reads a time as people write it: `30s`, `100ms`, `5us`, `2m`, `2h`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what is wrong and how to write it.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: write it as 30s, 100ms or 500us");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let scale = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn toml_refuses_a_value_in_the_words_of_its_type() {
        for (text, named) in [
            ("port = 'eth0'", "an interface is named by --iface"),
            ("port = ['65:00.0', 'eth0']", "an interface is named by --iface"),
            ("ip = ['10.0.0.2']", "prefix length"),
            ("mac = '1:2'", "not a MAC address"),
            ("iface = 7", "a text or a list of texts"),
        ] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("100ms", 100),
            ("2", 2_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)));
        }
        for wrong in ["", "s", "5 s", "-1s", "1d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
