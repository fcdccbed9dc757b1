//! Every secret of an engine in one place, so that a successor process could be given them (D8).

use fourtuple_nic::RSS_KEY_LEN;
use fourtuple_tcp::{Seeds, isn};
use fourtuple_wire::{FourTuple, Instant};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::StartError;
use crate::table::hash_tuple;

/// Keys of the hashes that a peer must not be able to compute.
#[derive(Clone)]
pub struct Secrets {
    /// Which worker owns a four-tuple.
    pub rss: [u8; RSS_KEY_LEN],
    /// Places in the table.
    pub table: (u64, u64),
    /// Initial sequence numbers (RFC 6528).
    pub isn: (u64, u64),
    /// Offsets of the timestamp clock (RFC 7323 §5.4).
    pub timestamps: (u64, u64),
    /// Ephemeral ports (RFC 6056).
    pub ports: (u64, u64),
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets { .. }")
    }
}

impl Secrets {
    /// Fresh ones from the operating system.
    ///
    /// # Errors
    /// [`StartError::System`] when the system has no randomness to give.
    pub fn fresh() -> Result<Self, StartError> {
        let mut octets = [0u8; RSS_KEY_LEN + 64];
        let mut filled = 0;
        while filled < octets.len() {
            filled += getrandom(&mut octets[filled..], GetRandomFlags::empty()).map_err(|error| {
                StartError::System {
                    what: "random numbers",
                    reason: error.to_string(),
                }
            })?;
        }
        Ok(Self::from_octets(&octets))
    }

    /// The same ones for every run of a test.
    pub fn from_seed(seed: u64) -> Self {
        let mut octets = [0u8; RSS_KEY_LEN + 64];
        for (at, chunk) in octets.chunks_mut(8).enumerate() {
            let tuple = hash_octets((seed, 0x5eed), at as u64).to_le_bytes();
            chunk.copy_from_slice(&tuple[..chunk.len()]);
        }
        Self::from_octets(&octets)
    }

    fn from_octets(octets: &[u8; RSS_KEY_LEN + 64]) -> Self {
        let mut rss = [0u8; RSS_KEY_LEN];
        rss.copy_from_slice(&octets[..RSS_KEY_LEN]);
        let word = |n: usize| {
            let mut word = [0u8; 8];
            word.copy_from_slice(&octets[RSS_KEY_LEN + n * 8..RSS_KEY_LEN + n * 8 + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            rss,
            table: (word(0), word(1)),
            isn: (word(2), word(3)),
            timestamps: (word(4), word(5)),
            ports: (word(6), word(7)),
        }
    }

    /// What a new connection with this four-tuple starts from.
    pub(crate) fn seeds(&self, tuple: &FourTuple, now: Instant) -> Seeds {
        Seeds {
            iss: isn(hash_tuple(self.isn, tuple) as u32, now),
            timestamp_offset: hash_tuple(self.timestamps, tuple) as u32,
        }
    }
}

fn hash_octets(keys: (u64, u64), n: u64) -> u64 {
    siphasher::sip::SipHasher13::new_with_keys(keys.0, keys.1).hash(&n.to_le_bytes())
}
