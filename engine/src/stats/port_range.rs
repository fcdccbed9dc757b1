//! Ports that are listened to, those of one listener in one word.

use std::fmt;
use std::ops::RangeInclusive;

use serde::ser::{Serialize, Serializer};

/// Ports in a row: `80` in JSON, or `"7000-7999"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, which may be the first.
    pub last: u16,
}

impl PortRange {
    /// All of these in order, each port once: listeners of several addresses may have the same.
    pub fn union(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Vec<Self> {
        let mut sorted: Vec<_> = ranges.into_iter().collect();
        sorted.sort_unstable_by_key(|range| *range.start());
        let mut union: Vec<Self> = Vec::new();
        for range in sorted {
            match union.last_mut() {
                Some(before) if before.last >= *range.start() => before.last = before.last.max(*range.end()),
                Some(_) | None => union.push(Self {
                    first: *range.start(),
                    last: *range.end(),
                }),
            }
        }
        union
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u16(self.first)
        } else {
            serializer.collect_str(self)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_word_and_a_port_a_number() {
        let ranges = PortRange::union([
            7_000..=7_999,
            80..=80,
            7..=7,
            80..=80,
            7_500..=7_500,
            8..=8,
            7_990..=8_001,
        ]);
        let words: Vec<_> = ranges.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["7", "8", "80", "7000-8001"]);
        assert_eq!(serde_json::to_string(&ranges).unwrap(), r#"[7,8,80,"7000-8001"]"#);
        assert_eq!(PortRange::union([]), []);
        let all = PortRange::union([0..=u16::MAX, 65_535..=65_535]);
        assert_eq!(all.len(), 1);
    }
}
