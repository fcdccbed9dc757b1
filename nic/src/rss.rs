//! Receive-side scaling in software: the Toeplitz hash under a secret key and the redirection table (D8).
//!
//! The hash decides which worker *owns* a four-tuple. A NIC with RSS computes the same function; where none does, every
//! frame is hashed here. It is linear, so it never chooses a place in a table: there a keyed SipHash does.
//!
//! Input order as the NICs have it (Microsoft's RSS specification): source address, destination address, source port,
//! destination port, all in network order, as the *receiver* sees the frame.

/// Bytes of the key: enough for the longest input (36 bytes, IPv6 with ports) and four more.
pub const RSS_KEY_LEN: usize = 40;

/// Entries of the redirection table.
pub const RETA_SIZE: usize = 128;

/// Bits of a hash that choose an entry of the redirection table.
const INDEX_BITS: u32 = RETA_SIZE.ilog2();

const MAX_INPUT: usize = RSS_KEY_LEN - 4;

/// The Toeplitz hash, by one table of 256 words for each input byte (36 kB, built once).
#[derive(Clone)]
pub struct Toeplitz {
    key: [u8; RSS_KEY_LEN],
    tables: Box<[[u32; 256]; MAX_INPUT]>,
}

impl std::fmt::Debug for Toeplitz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Toeplitz { key: secret }")
    }
}

impl Toeplitz {
    /// Builds the tables for a key.
    pub fn new(key: [u8; RSS_KEY_LEN]) -> Self {
        let mut tables = Box::new([[0u32; 256]; MAX_INPUT]);
        for (position, table) in tables.iter_mut().enumerate() {
            for byte in 1..table.len() {
                // Another's with one bit more.
                let bit = 7 - byte.trailing_zeros() as usize;
                table[byte] = table[byte & (byte - 1)] ^ key_window(&key, position * 8 + bit);
            }
        }
        Self { key, tables }
    }

    /// The key, to be written into a NIC.
    pub fn key(&self) -> &[u8; RSS_KEY_LEN] {
        &self.key
    }

    /// Hash of an IPv4 four-tuple as the receiver of the frame sees it.
    pub fn hash_v4(&self, src: [u8; 4], dst: [u8; 4], src_port: u16, dst_port: u16) -> u32 {
        self.run(0, &src)
            ^ self.run(4, &dst)
            ^ self.run(8, &src_port.to_be_bytes())
            ^ self.run(10, &dst_port.to_be_bytes())
    }

    /// Hash of an IPv6 four-tuple as the receiver of the frame sees it.
    pub fn hash_v6(&self, src: [u8; 16], dst: [u8; 16], src_port: u16, dst_port: u16) -> u32 {
        self.run(0, &src)
            ^ self.run(16, &dst)
            ^ self.run(32, &src_port.to_be_bytes())
            ^ self.run(34, &dst_port.to_be_bytes())
    }

    /// Whether the lowest `bits` bits of the receiver's port lead to every entry of the redirection table, in both families and
    /// whatever else stands in the four-tuple.
    ///
    /// The hash is linear over GF(2): the rest of the four-tuple shifts all hashes that the port's bits make by the same word.
    /// So they reach every entry wherever they begin, or miss some from wherever they begin; it is a question of rank.
    pub fn port_reaches_all(&self, bits: u32) -> bool {
        let ports = || (0..bits.min(16)).map(|bit| 1u16 << bit);
        let v4 = ports().map(|port| self.hash_v4([0; 4], [0; 4], 0, port));
        let v6 = ports().map(|port| self.hash_v6([0; 16], [0; 16], 0, port));
        index_rank(v4) == INDEX_BITS && index_rank(v6) == INDEX_BITS
    }

    fn run(&self, from: usize, input: &[u8]) -> u32 {
        self.tables[from..]
            .iter()
            .zip(input)
            .fold(0, |hash, (table, &byte)| hash ^ table[byte as usize])
    }
}

/// Rank over GF(2) of the parts of hashes that choose an entry of the redirection table.
fn index_rank(hashes: impl Iterator<Item = u32>) -> u32 {
    // Each with another highest bit.
    let mut basis = [0u32; INDEX_BITS as usize];
    for hash in hashes {
        let mut rest = hash % RETA_SIZE as u32;
        while let Some(bit) = rest.checked_ilog2() {
            let other = &mut basis[bit as usize];
            if *other == 0 {
                *other = rest;
                break;
            }
            rest ^= *other;
        }
    }
    basis.iter().map(|word| u32::from(*word != 0)).sum()
}

/// The 32 bits of the key that begin at bit `at`.
fn key_window(key: &[u8; RSS_KEY_LEN], at: usize) -> u32 {
    let bytes = key[at / 8..].iter().chain(&[0; 5]).take(5);
    let five = bytes.fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    (five >> (8 - at % 8)) as u32
}

/// The redirection table: which worker owns a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reta {
    owners: [u16; RETA_SIZE],
}

impl Reta {
    /// Deals the entries to `workers` in turn. Zero workers count as one.
    pub fn round_robin(workers: u16) -> Self {
        let workers = usize::from(workers.max(1));
        let mut owners = [0u16; RETA_SIZE];
        for (entry, owner) in owners.iter_mut().enumerate() {
            *owner = (entry % workers) as u16;
        }
        Self { owners }
    }

    /// The worker that owns `hash`.
    pub fn owner(&self, hash: u32) -> u16 {
        self.owners[hash as usize % RETA_SIZE]
    }

    /// All entries in order, to be written into a NIC.
    pub fn entries(&self) -> &[u16; RETA_SIZE] {
        &self.owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSOFT_KEY: [u8; RSS_KEY_LEN] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn hash_agrees_with_the_published_vectors() {
        let toeplitz = Toeplitz::new(MICROSOFT_KEY);
        assert_eq!(
            toeplitz.hash_v4([66, 9, 149, 187], [161, 142, 100, 80], 2794, 1766),
            0x51cc_c178
        );
        assert_eq!(
            toeplitz.hash_v4([199, 92, 111, 2], [65, 69, 140, 83], 14230, 4739),
            0xc626_b0ea
        );
        let src = "3ffe:2501:200:1fff::7"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        let dst = "3ffe:2501:200:3::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        assert_eq!(toeplitz.hash_v6(src, dst, 2794, 1766), 0x4020_7d3d);
    }

    /// From a port of each value of the low bits: which entries are reached, counted one by one.
    fn entries_reached(toeplitz: &Toeplitz, v6: bool, bits: u32) -> usize {
        let reached: std::collections::BTreeSet<u32> = (0..1u16 << bits)
            .map(|port| {
                let port = 49_152 + port;
                let hash = if v6 {
                    toeplitz.hash_v6([9; 16], [7; 16], 80, port)
                } else {
                    toeplitz.hash_v4([10, 0, 0, 2], [10, 0, 0, 1], 80, port)
                };
                hash % RETA_SIZE as u32
            })
            .collect();
        reached.len()
    }

    #[test]
    fn the_rank_tells_whether_every_entry_is_reached() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut counts = [0; 2];
        for _ in 0..200 {
            let key = std::array::from_fn(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 32) as u8
            });
            let toeplitz = Toeplitz::new(key);
            for bits in [7, 9] {
                let all = [false, true].map(|v6| entries_reached(&toeplitz, v6, bits) == RETA_SIZE);
                assert_eq!(
                    toeplitz.port_reaches_all(bits),
                    all[0] && all[1],
                    "{bits} bits, {key:?}"
                );
                counts[usize::from(all[0] && all[1])] += 1;
            }
        }
        assert!(counts[0] > 20 && counts[1] > 20, "{counts:?}");
    }

    #[test]
    fn every_worker_owns_a_fair_share() {
        let reta = Reta::round_robin(3);
        let mut shares = [0; 3];
        for hash in 0..RETA_SIZE as u32 {
            shares[usize::from(reta.owner(hash))] += 1;
        }
        assert_eq!(shares, [43, 43, 42]);
    }
}
