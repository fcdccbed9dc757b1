//! Bytes to send, and whether received ones are those.
//!
//! One piece of random bytes is repeated for ever; each connection starts at an offset of its own. Its length is prime, so
//! that no size of segment or request falls in step with it: a byte lost, repeated, or of another connection shows. The
//! piece lies in one buffer of the worker and is sent by reference.

use std::ops::Range;

/// The piece that all connections of a worker repeat.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
}

/// Lengths to choose from: primes, the largest that a port buffer of usual size holds first.
pub(crate) const LENGTHS: [usize; 4] = [1_999, 1_447, 1_021, 251];

impl Payload {
    /// Drawn from `seed`.
    pub(crate) fn new(len: usize, seed: u64) -> Self {
        let mut state = seed;
        Self {
            bytes: (0..len).map(|_| splitmix64(&mut state) as u8).collect(),
        }
    }

    /// These bytes, over and over: a request.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The whole piece.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part of the piece that stands at `position` of a connection's bytes, at most `most` long, at least one.
    pub(crate) fn at(&self, position: u64, most: usize) -> Range<usize> {
        let from = (position % self.bytes.len() as u64) as usize;
        from..from.saturating_add(most.max(1)).min(self.bytes.len())
    }

    /// `received` is what stands at `position`.
    pub(crate) fn matches(&self, mut position: u64, mut received: &[u8]) -> bool {
        while !received.is_empty() {
            let expected = &self.bytes[self.at(position, received.len())];
            let (now, later) = received.split_at(expected.len());
            if now != expected {
                return false;
            }
            position += now.len() as u64;
            received = later;
        }
        true
    }
}

/// The next number of Steele, Lea and Flood's generator: good enough for payload, and a line.
pub(crate) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(payload: &Payload, mut position: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < len {
            let part = &payload.bytes()[payload.at(position, len - out.len())];
            out.extend_from_slice(part);
            position += part.len() as u64;
        }
        out
    }

    #[test]
    fn what_is_sent_matches_where_it_stands_and_nowhere_else() {
        let payload = Payload::new(251, 7);
        let sent = stream(&payload, 1_000, 700);
        assert!(payload.matches(1_000, &sent));
        assert!(payload.matches(1_000 + 333, &sent[333..]));
        assert!(!payload.matches(1_001, &sent), "shifted by one");
        let mut damaged = sent.clone();
        damaged[699] ^= 1;
        assert!(!payload.matches(1_000, &damaged), "the last bit");
        assert!(payload.matches(5, &[]));
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(Payload::new(251, 1).bytes(), Payload::new(251, 2).bytes());
        assert_eq!(Payload::new(251, 1).bytes(), Payload::new(251, 1).bytes());
    }
}
