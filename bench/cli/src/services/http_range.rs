//! The part of a file that a Range header asks for (RFC 9110 §14): one range of bytes; with several, or another unit, all of it.

use std::ops::Range;

/// What a Range header comes to for a file of a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The header means nothing here: the whole file.
    All,
    /// These bytes.
    Some(Range<usize>),
    /// None of the file's bytes.
    Unsatisfiable,
}

/// Reads the header's value.
pub(crate) fn part(value: &[u8], len: usize) -> Part {
    let Some((first, last)) = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .and_then(|text| text.trim().split_once('-'))
    else {
        return Part::All;
    };
    let number = |text: &str| -> Option<usize> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than fits is behind every end.
        digits.then(|| text.parse().unwrap_or(usize::MAX))
    };
    let range = match (first, last) {
        ("", last) => match number(last) {
            // The last so many.
            Some(count) => len.saturating_sub(count)..len,
            None => return Part::All,
        },
        (first, "") => match number(first) {
            Some(first) => first..len,
            None => return Part::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..len.min(last.saturating_add(1)),
            _ => return Part::All,
        },
    };
    if range.start < range.end {
        Part::Some(range)
    } else {
        Part::Unsatisfiable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_clients_ask_for_them() {
        let cases = [
            ("bytes=0-0", Part::Some(0..1)),
            ("bytes=2-5", Part::Some(2..6)),
            ("bytes=2-", Part::Some(2..10)),
            ("bytes=-3", Part::Some(7..10)),
            ("bytes=-30", Part::Some(0..10)),
            ("bytes=9-99999999999999999999999", Part::Some(9..10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-12", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=5-2", Part::All),
            ("bytes=0-1,4-5", Part::All),
            ("bytes=-", Part::All),
            ("bytes=+1-2", Part::All),
            ("bytes=a-b", Part::All),
            ("lines=0-1", Part::All),
            ("bytes", Part::All),
            ("", Part::All),
        ];
        for (text, expected) in cases {
            assert_eq!(part(text.as_bytes(), 10), expected, "{text}");
        }
        assert_eq!(
            part(b"bytes=0-", 0),
            Part::Unsatisfiable,
            "an empty file has no first byte"
        );
        assert_eq!(part(b"\xff", 10), Part::All);
    }
}
