//! SYN cookies (RFC 4987 §3.6): a handshake without a record.
//!
//! What a record would remember of a SYN stands in the sequence number of the SYN+ACK, and what both ends offered in the low bits
//! of its timestamp; the ACK of the handshake brings both back. Without timestamps the MSS alone is kept, and the SYN+ACK offers
//! nothing else.
//!
//! ```text
//!   ISS    31       30 … 28   27 … 16               15 … 0
//!          period   size      tag of the tuple      tag of tuple and IRS
//!   TSval  31 … 6                     5     4      3 … 0
//!          the clock of connections   ECN   SACK   shift of the peer's window, 15: no scaling
//! ```
//! A tag is a keyed hash of the four-tuple, the [`period`] and the size; the engine has the key, so the hash is an argument. Both tags
//! must be right, which one guess in 2²⁸ is. One that only has the first right is a segment behind an ACK that was lost: its
//! connection is not there yet, and a RST would end it.
//!
//! An ISS that is a cookie does not follow RFC 6528's clock; nothing else can be forgotten. No allocation, constant cost.

use std::time::Duration;

use fourtuple_wire::{Family, Instant, SeqNum, TcpHeader};

use crate::profile::{Path, Profile};
use crate::syn_record::{ANSWERED_AGAIN, ECN, SACK, SynRecord, TIMESTAMPS, WINDOW_SCALE};
use crate::{Seeds, timestamps};

/// How long a cookie is good at most: what is left of its period, and the next one.
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(2 * PERIOD_S);

/// Long enough for the SYN+ACK and its ACK to cross any path, and for a client that has to repeat its data once or twice.
const PERIOD_S: u64 = 64;

/// The number of a period of time, counted from any fixed point.
pub fn period(since: Duration) -> u32 {
    (since.as_secs() / PERIOD_S) as u32
}

/// What an acknowledgment number says about a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieCheck {
    /// We made it for this four-tuple, this IRS, and lately: the peer takes segments of this MSS.
    Ours {
        /// At most what its SYN said.
        mss: u16,
    },
    /// We made it for this four-tuple, and the segment is not the first behind the SYN.
    Astray,
    /// We did not make it.
    Foreign,
}

/// The sequence number of a SYN+ACK that stands for what the SYN said; `None` when its MSS is too small for any size.
///
/// `hash` is the keyed hash of the four-tuple and a number.
pub fn make_cookie(
    mss: u16,
    irs: SeqNum,
    family: Family,
    period: u32,
    hash: impl Fn(u64) -> u64,
) -> Option<SeqNum> {
    let size = SIZES.iter().rposition(|size| size - overhead(family) <= mss)? as u32;
    let mark = (period & 1) << 31 | size << 28;
    Some(SeqNum(mark | tags(size, irs, period, hash)))
}

/// Judges the sequence number that an ACK acknowledges, one less than its acknowledgment number; `irs` one less than its own.
pub fn check_cookie(
    iss: SeqNum,
    irs: SeqNum,
    family: Family,
    period: u32,
    hash: impl Fn(u64) -> u64,
) -> CookieCheck {
    // Made in this period or in the last: the lowest bit tells which.
    let made = period.wrapping_sub((period ^ iss.0 >> 31) & 1);
    let size = iss.0 >> 28 & 7;
    let wrong = (iss.0 ^ tags(size, irs, made, hash)) & TAGS;
    if wrong & !OF_SEGMENT != 0 {
        return CookieCheck::Foreign;
    }
    if wrong != 0 {
        return CookieCheck::Astray;
    }
    CookieCheck::Ours {
        mss: SIZES[size as usize] - overhead(family),
    }
}

/// Both tags, where they stand in the sequence number.
fn tags(size: u32, irs: SeqNum, period: u32, hash: impl Fn(u64) -> u64) -> u32 {
    // Distinct numbers for every hash that is ever taken: the lowest bit says which of the two.
    let of_tuple = u64::from(period << 4 | size << 1);
    let of_segment = u64::from(irs.0) << 32 | of_tuple | 1;
    (hash(of_tuple) as u32) << 16 & TAGS | hash(of_segment) as u32 & OF_SEGMENT
}

/// The bits of both tags.
const TAGS: u32 = (1 << 28) - 1;

/// The bits of the one that covers the segment.
const OF_SEGMENT: u32 = (1 << 16) - 1;

/// Packets that paths carry, in octets: the least that anybody sends, IPv4's and IPv6's least (RFC 791, RFC 8200), tunnels, PPPoE,
/// Ethernet, jumbo frames. A peer is sent the largest that it said it takes, never more (RFC 9293 MUST-16).
const SIZES: [u16; 8] = [128, 576, 1280, 1400, 1440, 1492, 1500, 9000];

const fn overhead(family: Family) -> u16 {
    match family {
        Family::V4 => 40,
        Family::V6 => 60,
    }
}

/// What a cookie is made with, and judged by.
#[derive(Clone, Copy, Debug)]
pub struct CookieTime {
    /// The [`period`] now.
    pub period: u32,
    /// The time of this turn.
    pub now: Instant,
}

impl SynRecord {
    /// The SYN+ACK that remembers this record, which can be forgotten then; `None` when no cookie can.
    pub fn into_cookie(
        mut self,
        family: Family,
        profile: &Profile,
        time: CookieTime,
        hash: impl Fn(u64) -> u64,
    ) -> Option<TcpHeader> {
        self.iss = make_cookie(self.send_mss, self.irs, family, time.period, hash)?;
        if !self.offers(TIMESTAMPS) {
            // Nothing would bring them back.
            self.offers = 0;
        }
        let mut header = self.syn_ack(profile, time.now);
        if let Some(timestamps) = &mut header.options.timestamps {
            timestamps.value = self.mark(timestamps.value);
        }
        Some(header)
    }

    /// The latest moment, not after `value`, whose low bits say what both ends offered.
    fn mark(&self, value: u32) -> u32 {
        let shift = if self.offers(WINDOW_SCALE) {
            u32::from(self.shift_and_retransmits & 15)
        } else {
            NO_SCALING
        };
        let sack = if self.offers(SACK) { MARK_SACK } else { 0 };
        let ecn = if self.offers(ECN) { MARK_ECN } else { 0 };
        let marked = value & !MARKS | ecn | sack | shift;
        if marked & MARKS > value & MARKS {
            marked.wrapping_sub(MARKS + 1)
        } else {
            marked
        }
    }

    /// The record that a cookie stood for, from the ACK that brought it back; it is to be established by that very segment.
    ///
    /// `seeds` are those of the four-tuple: their timestamp clock tells what of the echo is a mark. The segment's echo is no
    /// round-trip sample, for its low bits are no time.
    pub fn from_cookie(
        header: &TcpHeader,
        mss: u16,
        seeds: Seeds,
        path: &Path,
        profile: &Profile,
        now: Instant,
    ) -> Self {
        let clock = (now.as_millis() as u32).wrapping_add(seeds.timestamp_offset);
        // An echo that our clock did not show lately says nothing about what was offered.
        let marked = timestamps::offered(header, profile)
            .filter(|stamps| clock.wrapping_sub(stamps.echo) <= COOKIE_LIFETIME.as_millis() as u32 + MARKS);
        let mark = marked.map_or(NO_SCALING, |stamps| stamps.echo & MARKS);
        let shift = Some(mark & NO_SCALING).filter(|shift| *shift != NO_SCALING && profile.window_scaling);
        let mut offers = ANSWERED_AGAIN;
        if marked.is_some() {
            offers |= TIMESTAMPS;
        }
        if mark & MARK_SACK != 0 && profile.sack {
            offers |= SACK;
        }
        if mark & MARK_ECN != 0 && profile.accepts_ecn() {
            offers |= ECN;
        }
        if shift.is_some() {
            offers |= WINDOW_SCALE;
        }
        Self {
            deadline: now.as_millis() as u32,
            iss: header.ack.back(1),
            irs: header.seq.back(1),
            timestamp_offset: seeds.timestamp_offset,
            recent: marked.map_or(0, |stamps| stamps.value),
            born: now.as_millis() as u32,
            // What the SYN's window was nobody knows; the ACK has a newer one.
            window: 0,
            send_mss: mss.min(path.send_mss_limit),
            receive_mss: path.receive_mss,
            offers,
            shift_and_retransmits: shift.unwrap_or(0).min(14) as u8,
            answered: Default::default(),
        }
    }
}

/// The bits of a timestamp that are marks: 63 ms at most are taken off its clock.
const MARKS: u32 = 63;

/// SACK was offered by both.
const MARK_SACK: u32 = 16;

/// Both ends agreed to use ECN.
const MARK_ECN: u32 = 32;

/// In place of a shift, and the bits in which it stands.
const NO_SCALING: u32 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some hash with some key.
    fn hash(key: u64) -> impl Fn(u64) -> u64 + Copy {
        move |number| {
            let mut mixed = number ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
                mixed = (mixed ^ mixed >> 31).wrapping_mul(factor);
            }
            mixed ^ mixed >> 33
        }
    }

    #[test]
    fn the_mss_comes_back_rounded_down_to_a_size() {
        use Family::{V4, V6};
        for (family, said, kept) in [
            (V4, 88, Some(88)),
            (V4, 87, None),
            (V4, 535, Some(88)),
            (V4, 536, Some(536)),
            (V4, 1459, Some(1452)),
            (V4, 1460, Some(1460)),
            (V4, 65_535, Some(8960)),
            (V6, 67, None),
            (V6, 1220, Some(1220)),
            (V6, 1439, Some(1432)),
            (V6, 1440, Some(1440)),
            (V6, 8959, Some(8940)),
        ] {
            let cookie = make_cookie(said, SeqNum(5), family, 9, hash(1));
            let found = cookie.map(|cookie| check_cookie(cookie, SeqNum(5), family, 9, hash(1)));
            assert_eq!(
                found,
                kept.map(|mss| CookieCheck::Ours { mss }),
                "{family:?} {said}"
            );
        }
    }

    #[test]
    fn a_cookie_is_good_in_its_period_and_the_next_round_the_circle() {
        for made in [0, 1, 7, u32::MAX - 1, u32::MAX] {
            let cookie = make_cookie(1460, SeqNum(0), Family::V4, made, hash(3)).unwrap();
            let judge =
                |ahead: u32| check_cookie(cookie, SeqNum(0), Family::V4, made.wrapping_add(ahead), hash(3));
            for ahead in [0, 1] {
                assert_eq!(judge(ahead), CookieCheck::Ours { mss: 1460 }, "{made} {ahead}");
            }
            for ahead in [2, 3, 4, u32::MAX] {
                assert_eq!(judge(ahead), CookieCheck::Foreign, "{made} {ahead}");
            }
        }
        assert_eq!(period(Duration::from_secs(63)), 0);
        assert_eq!(COOKIE_LIFETIME, Duration::from_secs(128));
    }

    #[test]
    fn another_segment_of_the_connection_is_astray_and_another_tuple_foreign() {
        let cookie = make_cookie(1460, SeqNum(u32::MAX), Family::V4, 5, hash(3)).unwrap();
        let at = |irs: u32, key| check_cookie(cookie, SeqNum(irs), Family::V4, 5, hash(key));
        assert_eq!(at(u32::MAX, 3), CookieCheck::Ours { mss: 1460 });
        for irs in [0, 1, 1459, 14_600, u32::MAX - 1] {
            assert_eq!(at(irs, 3), CookieCheck::Astray, "{irs}");
        }
        for key in [0, 1, 2, 4, 5, 100] {
            assert_eq!(at(u32::MAX, key), CookieCheck::Foreign, "{key}");
        }
    }

    /// As the drawing has it: period, size and two tags share 32 bits.
    #[test]
    fn each_part_of_a_cookie_has_its_bits() {
        for (mss, period, bits, iss) in [
            (8_960, 1, 0, 0xf000_0000),
            (8_960, 0, 0, 0x7000_0000),
            (536, 0, 0, 0x1000_0000),
            (88, 0, u64::MAX, 0x0fff_ffff),
            (8_960, 1, u64::MAX, 0xffff_ffff),
            (88, 0, 0x1_0001, 0x0001_0001),
        ] {
            let cookie = make_cookie(mss, SeqNum(3), Family::V4, period, |_| bits);
            assert_eq!(cookie, Some(SeqNum(iss)), "{mss} {period} {bits:#x}");
        }
    }

    /// Were a number hashed for both tags, or for two periods or sizes, one cookie would tell of another.
    #[test]
    fn no_number_is_hashed_for_two_purposes() {
        let seen = std::cell::RefCell::new(std::collections::HashMap::new());
        for (mss, period, irs) in SIZES
            .iter()
            .flat_map(|size| (0..9).map(move |period| (size - 40, period)))
            .flat_map(|(mss, period)| [0, 1, 8, u32::MAX].map(|irs| (mss, period, irs)))
        {
            let of_segment = std::cell::Cell::new(false);
            let note = |number: u64| {
                let purpose = (mss, period, of_segment.replace(true).then_some(irs));
                assert_eq!(
                    *seen.borrow_mut().entry(number).or_insert(purpose),
                    purpose,
                    "{number:#x}"
                );
                number
            };
            make_cookie(mss, SeqNum(irs), Family::V4, period, note).unwrap();
        }
        assert_eq!(seen.borrow().len(), 8 * 9 * (1 + 4));
    }

    /// One bit off is never ours: all but the MSS's are covered by a tag, and the tags cover the MSS.
    #[test]
    fn every_bit_of_a_cookie_counts() {
        for n in 0..64 {
            let cookie = make_cookie(1460, SeqNum(n), Family::V6, n, hash(9)).unwrap();
            for bit in 0..32 {
                let changed = SeqNum(cookie.0 ^ 1 << bit);
                let found = check_cookie(changed, SeqNum(n), Family::V6, n, hash(9));
                assert!(!matches!(found, CookieCheck::Ours { .. }), "{n} {bit}");
            }
        }
    }

    #[test]
    fn of_many_guesses_next_to_none_is_right() {
        let ours = (0..4_000_000_u32)
            .filter(|n| {
                let guess = SeqNum(n.wrapping_mul(0x9e37_79b9));
                let found = check_cookie(guess, SeqNum(*n), Family::V4, 77, hash(u64::from(n % 1000)));
                matches!(found, CookieCheck::Ours { .. })
            })
            .count();
        // One in 2²⁸ is expected: two of four million would be once in ten thousand runs, and this run is always the same.
        assert!(ours <= 1, "{ours}");
    }

    proptest! {
        #[test]
        fn what_was_made_is_ours(
            mss in 88u16..,
            irs: u32,
            period: u32,
            key: u64,
            later in 0u32..2,
            v6: bool,
        ) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let cookie = make_cookie(mss, SeqNum(irs), family, period, hash(key)).unwrap();
            match check_cookie(cookie, SeqNum(irs), family, period.wrapping_add(later), hash(key)) {
                CookieCheck::Ours { mss: kept } => prop_assert!(kept <= mss),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
