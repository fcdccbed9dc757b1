//! Numbers as people write them: 10k, 1M, 2G; 64Ki; 100:4k; 30s, 5ms; 0.1%; 2-5.

use std::time::Duration;

/// A count: `500`, `10k`, `1M`, `2G`; thousands, and with `Ki`, `Mi`, `Gi` 1024s.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number: write it as 500, 10k or 1M");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let scale = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "M" | "m" => 1_000_000,
        "G" | "g" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(scale)
        .ok_or_else(|| format!("`{text}` is too large"))
}

/// A count of 32 bits.
pub(crate) fn count_u32(text: &str) -> Result<u32, String> {
    u32::try_from(count(text)?).map_err(|_| format!("`{text}` is too large"))
}

/// Bytes, at most 1 GiB; as a count, with a `B` behind if one likes.
pub(crate) fn bytes(text: &str) -> Result<u32, String> {
    match count(text.strip_suffix('B').unwrap_or(text)) {
        Ok(bytes) if bytes <= 1 << 30 => Ok(bytes as u32),
        Ok(_) => Err(format!("`{text}` is more than 1Gi")),
        Err(_) => Err(format!("`{text}` is not a size: write it as 64, 1k or 64Ki")),
    }
}

/// Bytes of a request, and of its answer where they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) request: u32,
    pub(crate) response: Option<u32>,
}

/// Reads sizes: `64`, `100:4k`.
pub(crate) fn sizes(text: &str) -> Result<Sizes, String> {
    Ok(match text.split_once(':') {
        None => Sizes {
            request: bytes(text)?,
            response: None,
        },
        Some((_, response)) if response.contains(':') => {
            return Err(format!("`{text}`: write one size, or two as 100:4k"));
        }
        Some((request, response)) => Sizes {
            request: bytes(request)?,
            response: Some(bytes(response)?),
        },
    })
}

/// Ports, the first and the last.
pub(crate) type Ports = (u16, u16);

/// Reads ports: `80`, `7000-7999`.
pub(crate) fn ports(text: &str) -> Result<Ports, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok((first, last)),
        _ => Err(format!(
            "`{text}` names no ports: write one from 1 to 65535, or the first and the last as 7000-7999"
        )),
    }
}

/// A time.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    fourtuple::config::parse_span(text)
}

/// A part of all: `0.1%`, or `0.001`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a rate: write it as 0.1% or 0.001");
    let (number, scale) = text
        .strip_suffix('%')
        .map_or((text, 1.0), |number| (number, 0.01));
    let rate = number.parse::<f64>().map_err(|_| wrong())? * scale;
    if (0.0..=1.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(wrong())
    }
}

/// Cores, each once and in order: `2-5`, `0,2`, `1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<usize>);

/// Reads cores.
pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    let wrong = || format!("`{text}` names no cores: write them as 2-5 or 0,2");
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (
            first.parse().map_err(|_| wrong())?,
            last.parse().map_err(|_| wrong())?,
        );
        if first > last || last - first > 1_024 {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    let mut once = cores.clone();
    once.sort_unstable();
    once.dedup();
    if once.len() < cores.len() {
        Err(format!("`{text}` names a core twice"))
    } else {
        Ok(Cores(cores))
    }
}

/// A rate as people read it: `1.23 M`.
pub(crate) fn scaled(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, " G"),
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e4 => (v / 1e3, " k"),
        v => {
            return if v >= 100.0 || v == 0.0 {
                format!("{v:.0} ")
            } else {
                format!("{v:.1} ")
            };
        }
    };
    format!("{value:.2}{unit}")
}

/// Nanoseconds as people read them: `12.3 µs`.
pub(crate) fn nanos(value: u64) -> String {
    let v = value as f64;
    match value {
        0..1_000 => format!("{value} ns"),
        1_000..1_000_000 => format!("{:.1} µs", v / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", v / 1e6),
        _ => format!("{:.2} s", v / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let cases = [
            ("0", Some(0)),
            ("500", Some(500)),
            ("10k", Some(10_000)),
            ("1M", Some(1_000_000)),
            ("2G", Some(2_000_000_000)),
            ("64Ki", Some(65_536)),
            ("", None),
            ("k", None),
            ("1.5k", None),
            ("-1", None),
            ("10 k", None),
            ("1T", None),
            ("99999999999999999999", None),
            ("18446744073709551615k", None),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text).ok(), expected, "{text}");
        }
        assert!(count_u32("5G").is_err());
    }

    #[test]
    fn sizes_rates_and_cores() {
        assert_eq!(bytes("1kB"), Ok(1_000));
        assert_eq!(bytes("262144"), Ok(262_144));
        assert!(bytes("2Gi").is_err() && bytes("one").unwrap_err().contains("one"));
        let both = |request, response| Sizes { request, response };
        assert_eq!(sizes("100:4Ki"), Ok(both(100, Some(4_096))));
        assert_eq!(sizes("64"), Ok(both(64, None)));
        for wrong in ["1:2:3", ":", "1:", ":1", "one:2"] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ports("7000-7999"), Ok((7_000, 7_999)));
        assert_eq!(ports("80"), Ok((80, 80)));
        for wrong in ["", "0", "0-5", "9-8", "1-65536", "-", "a", "1-2-3"] {
            assert!(ports(wrong).unwrap_err().contains(&format!("`{wrong}`")));
        }
        assert_eq!(rate("0.1%"), Ok(0.001));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(
            rate("101%").is_err() && rate("-1%").is_err() && rate("all").is_err() && rate("NaN").is_err()
        );
        assert_eq!(cores("2-4,7"), Ok(Cores(vec![2, 3, 4, 7])));
        for wrong in ["", "2-", "4-2", "1,1", "0-99999999999", "a"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn figures_as_people_read_them() {
        let cases = [
            (0.0, "0 "),
            (2.5, "2.5 "),
            (950.0, "950 "),
            (12_345.0, "12.35 k"),
            (1.5e6, "1.50 M"),
            (9.99e9, "9.99 G"),
        ];
        for (value, expected) in cases {
            assert_eq!(scaled(value), expected);
        }
        let cases = [
            (999, "999 ns"),
            (58_000, "58.0 µs"),
            (1_234_567, "1.23 ms"),
            (2_000_000_000, "2.00 s"),
        ];
        for (value, expected) in cases {
            assert_eq!(nanos(value), expected);
        }
    }
}
