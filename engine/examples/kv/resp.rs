//! RESP2, the protocol of Redis: commands as arrays of bulk strings, or inline; answers.

use std::fmt::Display;

use arrayvec::ArrayVec;

/// Most bytes of a command.
const MOST_COMMAND: usize = 1 << 20;
/// Most words of a command.
const MOST_WORDS: usize = 64;
/// Longest line: an inline command, or a count.
const MOST_LINE: usize = 4096;

type Words<'a> = ArrayVec<&'a [u8], MOST_WORDS>;

/// What stands at the front of the bytes received.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed<'a> {
    /// A command that has not come to its end.
    Partial,
    /// A command: its length in bytes, and its words.
    Command(usize, Words<'a>),
    /// What is not understood, and so nothing behind it is.
    Wrong(&'static str),
}

/// Reads the command at the front of `bytes`. It looks at counts and skips values: a large one that comes in many segments
/// is not read once for each.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    match command(bytes) {
        Ok(Some((len, words))) => Parsed::Command(len, words),
        Ok(None) => Parsed::Partial,
        Err(why) => Parsed::Wrong(why),
    }
}

/// `None`: not to its end.
fn command(bytes: &[u8]) -> Result<Option<(usize, Words<'_>)>, &'static str> {
    let Some((first, mut at)) = line_at(bytes, 0)? else {
        return Ok(None);
    };
    let mut words = Words::new();
    let Some(count) = first.strip_prefix(b"*") else {
        for word in first
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
        {
            words.try_push(word).map_err(|_| TOO_MANY)?;
        }
        return Ok(Some((at, words)));
    };
    for _ in 0..number(count).ok_or("ERR Protocol error: no count of words")? {
        let Some((count, start)) = line_at(bytes, at)? else {
            return Ok(None);
        };
        let len = count.strip_prefix(b"$").and_then(number);
        let len = len.and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| start + len.min(&MOST_COMMAND) < MOST_COMMAND);
        let end = start + len.ok_or("ERR Protocol error: no length of a word, or too large")?;
        let Some(line_end) = bytes.get(end..end + 2) else {
            return Ok(None);
        };
        if line_end != b"\r\n" {
            return Err("ERR Protocol error: a word is longer than its length");
        }
        words.try_push(&bytes[start..end]).map_err(|_| TOO_MANY)?;
        at = end + 2;
    }
    Ok(Some((at, words)))
}

const TOO_MANY: &str = "ERR Protocol error: too many words";

/// The line that begins at `at`, and where the next one does.
fn line_at(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, &'static str> {
    let rest = bytes.get(at..).unwrap_or_default();
    let rest = &rest[..rest.len().min(MOST_LINE)];
    match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => Ok(Some((
            rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]),
            at + end + 1,
        ))),
        None if rest.len() == MOST_LINE => Err("ERR Protocol error: too long a line"),
        None => Ok(None),
    }
}

/// A number in digits.
pub(crate) fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends a line: `+OK`, `-ERR why`, `:5`, `*2`.
pub(crate) fn line(to: &mut Vec<u8>, kind: char, what: impl Display) {
    to.extend_from_slice(format!("{kind}{what}\r\n").as_bytes());
}

/// Appends a value, or that there is none.
pub(crate) fn bulk(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        return line(to, '$', -1);
    };
    line(to, '$', bytes.len());
    to.extend_from_slice(bytes);
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(bytes: &[u8]) -> Option<(usize, Vec<String>)> {
        match parse(bytes) {
            Parsed::Command(len, words) => Some((
                len,
                words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect(),
            )),
            Parsed::Partial | Parsed::Wrong(_) => None,
        }
    }

    #[test]
    fn both_kinds_of_commands_are_read_and_what_follows_is_left_alone() {
        for (bytes, expected) in [
            (
                &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n"[..],
                &["SET", "k", "\r\n"][..],
            ),
            (b"*1\r\n$4\r\nPING\r\n", &["PING"]),
            (b"*1\r\n$0\r\n\r\n", &[""]),
            (b"PING\r\n", &["PING"]),
            (b"  get  key \n", &["get", "key"]),
            (b"\r\n", &[]),
            (b"*0\r\n", &[]),
            (b"*-1\r\n", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|word| (*word).to_owned()).collect();
            let then = [bytes, b"*1\r\n"].concat();
            assert_eq!(
                words(&then),
                Some((bytes.len(), expected)),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_command_is_partial_up_to_its_last_byte() {
        for whole in [&b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n"[..], b"GET key\r\n"] {
            for len in 0..whole.len() - 1 {
                assert_eq!(parse(&whole[..len]), Parsed::Partial, "{len}");
            }
        }
    }

    #[test]
    fn hostile_bytes_are_refused_before_they_cost_memory() {
        let long = vec![b'x'; MOST_LINE];
        let many = b"x ".repeat(MOST_WORDS + 1);
        let small = [&b"*100\r\n"[..], &b"$0\r\n\r\n".repeat(MOST_WORDS + 1)].concat();
        let large = [
            b"*9\r\n$1048000\r\n",
            &vec![b'x'; 1_048_000][..],
            b"\r\n$1000\r\n",
        ]
        .concat();
        for bytes in [
            &b"*1\r\n$1048576\r\n"[..],
            b"*1\r\n$9223372036854775807\r\n",
            b"*1\r\n$99999999999999999999\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\nPING\r\n",
            b"*x\r\n",
            b"*1\r\n$1\r\nlong\r\n",
            &long,
            &[&many[..], b"\n"].concat(),
            &small,
            &large,
        ] {
            let what = bytes[..bytes.len().min(40)].escape_ascii();
            assert!(matches!(parse(bytes), Parsed::Wrong(_)), "{what}");
        }
        // So many words are never there: a count costs nothing.
        assert_eq!(parse(b"*9223372036854775807\r\n"), Parsed::Partial);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_is_allowed(
            pieces in proptest::collection::vec(prop_oneof![
                "[*$]-?[0-9]{1,20}\r\n", "[A-Z ]{0,9}\r?\n", proptest::collection::vec(any::<u8>(), 0..40)
                    .prop_map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
            ], 0..12),
        ) {
            let bytes = pieces.concat().into_bytes();
            if let Parsed::Command(len, _) = parse(&bytes) {
                prop_assert!(0 < len && len <= bytes.len());
            }
            let endless = [&bytes[..], &vec![b'x'; MOST_COMMAND + MOST_LINE]].concat();
            prop_assert_ne!(parse(&endless), Parsed::Partial);
        }
    }
}
