//! The TCP header and its options as values (RFC 9293 §3.1, RFC 7323, RFC 2018, RFC 7413).

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use arrayvec::ArrayVec;

use crate::SeqNum;

/// SACK blocks that fit into one header (four without timestamps, three with them).
pub const MAX_SACK_BLOCKS: usize = 4;

/// The control bits of a header.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// All bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// At least one bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for TcpFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut first = true;
        for (bit, name) in names.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                if !first {
                    f.write_str("|")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("-") } else { Ok(()) }
    }
}

/// The two halves of the timestamps option (RFC 7323 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the value that is echoed.
    pub echo: u32,
}

/// One SACK block: `[left, right)` (RFC 2018 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlock {
    /// First octet of the block.
    pub left: SeqNum,
    /// The octet behind its last.
    pub right: SeqNum,
}

/// The cookie of TCP Fast Open (RFC 7413 §4.1.1): 4 to 16 octets, an even number; none at all is a request for one.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FastOpenCookie {
    octets: [u8; 16],
    len: u8,
}

impl FastOpenCookie {
    /// A request for a cookie.
    pub const REQUEST: Self = Self {
        octets: [0; 16],
        len: 0,
    };

    /// A cookie of these octets; `None` when there can be none of so many.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut cookie = Self::REQUEST;
        if !matches!(octets.len(), 0 | 4..=16) || !octets.len().is_multiple_of(2) {
            return None;
        }
        cookie.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        cookie.len = octets.len() as u8;
        Some(cookie)
    }

    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// It asks for a cookie.
    pub const fn is_request(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for FastOpenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FastOpenCookie({} octets)", self.len)
    }
}

/// Options of one header. What is absent is `None`, `false` or empty; unknown options were skipped.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size, only meaningful with SYN.
    pub mss: Option<u16>,
    /// Window scale shift, only meaningful with SYN; may exceed 14 as received.
    pub window_scale: Option<u8>,
    /// SACK permitted, only meaningful with SYN.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// TCP Fast Open, only meaningful with SYN.
    pub fast_open: Option<FastOpenCookie>,
    /// SACK blocks in the order of the header.
    pub sack: ArrayVec<SackBlock, MAX_SACK_BLOCKS>,
}

/// A TCP header without its checksum.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TcpHeader {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK; only significant with the ACK bit.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field as it stands on the wire: unscaled.
    pub window: u16,
    /// The urgent pointer; only significant with the URG bit.
    pub urgent: u16,
    /// Options.
    pub options: TcpOptions,
}

impl TcpHeader {
    /// SEG.LEN: payload plus one each for SYN and FIN (RFC 9293 §3.3.1).
    pub fn seq_len(&self, payload_len: usize) -> u32 {
        payload_len as u32
            + u32::from(self.flags.contains(TcpFlags::SYN))
            + u32::from(self.flags.contains(TcpFlags::FIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bits_are_a_set() {
        let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
        assert_eq!(syn_ack.0, 0x12);
        assert_eq!(syn_ack | TcpFlags::SYN, syn_ack);
        let mut grown = TcpFlags::SYN;
        grown |= TcpFlags::ACK;
        grown |= TcpFlags::ACK;
        assert_eq!(grown, syn_ack);
        for (held, of, all, any) in [
            (syn_ack, TcpFlags::SYN, true, true),
            (syn_ack, syn_ack, true, true),
            (syn_ack, TcpFlags::FIN, false, false),
            (syn_ack, TcpFlags::FIN | TcpFlags::ACK, false, true),
            (TcpFlags::ACK, syn_ack, false, true),
            (TcpFlags::default(), syn_ack, false, false),
        ] {
            assert_eq!(
                (held.contains(of), held.intersects(of)),
                (all, any),
                "{held:?} and {of:?}"
            );
        }
    }

    // proves: RFC 9293 §3.3.1 (SEG.LEN counts SYN and FIN)
    #[test]
    fn syn_and_fin_have_a_sequence_number_each() {
        for (flags, len) in [
            (TcpFlags::ACK, 10),
            (TcpFlags::SYN, 11),
            (TcpFlags::FIN | TcpFlags::ACK, 11),
            (TcpFlags::SYN | TcpFlags::FIN, 12),
            (TcpFlags::RST | TcpFlags::PSH | TcpFlags::URG, 10),
        ] {
            let header = TcpHeader {
                flags,
                ..TcpHeader::default()
            };
            assert_eq!(header.seq_len(10), len, "{flags:?}");
        }
    }

    // proves: RFC 7413 §4.1.1
    #[test]
    fn a_cookie_without_octets_is_a_request() {
        assert!(FastOpenCookie::REQUEST.is_request());
        assert!(FastOpenCookie::new(&[]).is_some_and(|cookie| cookie.is_request()));
        let cookie = FastOpenCookie::new(&[1, 2, 3, 4]).unwrap();
        assert!(!cookie.is_request());
        assert_eq!(cookie.octets(), [1, 2, 3, 4]);
        for none in [2, 3, 5, 17, 18] {
            assert_eq!(FastOpenCookie::new(&vec![0; none]), None, "{none} octets");
        }
    }
}
