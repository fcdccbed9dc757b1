//! Initial sequence numbers (RFC 6528; RFC 9293 §3.4.1): a 4 µs clock plus a keyed hash of the four-tuple.
//!
//! The hash is the engine's, for the key is the engine's secret.

use fourtuple_wire::{Instant, SeqNum};

/// The initial sequence number of a connection that opens now: `M + F(four-tuple, secret)`.
// RFC 9293 §3.4.1, MUST-8: clock-driven; SHLD-1 and MUST-9: the hash is keyed by a secret.
pub fn isn(keyed_hash: u32, now: Instant) -> SeqNum {
    SeqNum(keyed_hash.wrapping_add((now.as_micros() / 4) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: RFC 9293 MUST-8, SHLD-1
    #[test]
    fn the_clock_ticks_every_four_microseconds_and_the_hash_is_added() {
        assert_eq!(isn(0, Instant::from_nanos(3_999)), SeqNum(0));
        assert_eq!(isn(0, Instant::from_nanos(4_000)), SeqNum(1));
        assert_eq!(isn(u32::MAX, Instant::from_nanos(8_000)), SeqNum(1));
        let cycle = Instant::from_nanos((1u64 << 32) * 4_000);
        assert_eq!(isn(9, cycle), SeqNum(9), "the cycle is some 4.77 hours");
    }
}
