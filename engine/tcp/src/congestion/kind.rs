//! The algorithms by their names.

use std::fmt;
use std::str::FromStr;

/// The algorithms that a profile can name (RFC 9293 §3.8.2, MAY-18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionKind {
    /// CUBIC with HyStart++ (RFC 9438, RFC 9406).
    #[default]
    Cubic,
    /// Slow start, congestion avoidance, NewReno's fast recovery (RFC 5681, RFC 6582).
    NewReno,
    /// BBR, version 3 (draft-ietf-ccwg-bbr).
    Bbr,
    /// DCTCP (RFC 8257): for data centres whose switches mark; it asks for ECN.
    Dctcp,
}

/// A name that is none of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCongestion;

impl fmt::Display for UnknownCongestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("congestion control is one of cubic, newreno, bbr, dctcp")
    }
}

impl std::error::Error for UnknownCongestion {}

impl CongestionKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cubic, Self::NewReno, Self::Bbr, Self::Dctcp];

    /// The name, as flags, listings and `TCP_CONGESTION` have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "newreno",
            Self::Bbr => "bbr",
            Self::Dctcp => "dctcp",
        }
    }

    /// What is left of the window after a loss, in 1,024ths: β (RFC 5681 equation 4, RFC 9438 §4.6).
    pub(super) const fn beta_1024(self) -> u64 {
        match self {
            Self::Cubic | Self::Bbr => 717,
            Self::NewReno | Self::Dctcp => 512,
        }
    }
}

impl fmt::Display for CongestionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CongestionKind {
    type Err = UnknownCongestion;

    fn from_str(name: &str) -> Result<Self, UnknownCongestion> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(UnknownCongestion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_no_other() {
        for kind in CongestionKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.to_string(), kind.name());
        }
        assert_eq!("reno".parse::<CongestionKind>(), Err(UnknownCongestion));
    }
}
