//! Every secret of an engine in one place, so that a successor process can be given them (D8).
//!
//! Those that peers meet again in a successor are [`HandedDown`]: with them, and with clocks that count from the machine's boot,
//! its sequence numbers and timestamps go on where this process leaves off. The others are fresh for each engine.

mod kept;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fourtuple_nic::{RETA_SIZE, RSS_KEY_LEN, Toeplitz};
use fourtuple_tcp::{Seeds, isn, period};
use fourtuple_wire::{FastOpenCookie, FourTuple, Instant};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

use crate::error::StartError;
use crate::table::{hash_tuple, hash_tuple_and};

/// Keys of the hashes that a peer must not be able to compute.
///
/// ```no_run
/// // Where those are that a successor goes on with.
/// assert!(fourtuple::Secrets::usual_file().is_none_or(|file| file.is_absolute()));
/// ```
#[derive(Clone)]
pub struct Secrets {
    /// Which worker owns a four-tuple.
    pub rss: [u8; RSS_KEY_LEN],
    /// Places in the table.
    pub table: (u64, u64),
    /// Ephemeral ports (RFC 6056).
    pub ports: (u64, u64),
    /// What a successor goes on with.
    pub handed_down: HandedDown,
    /// From the machine's boot to the zero of the engine's clock.
    epoch: Duration,
}

/// The keys that a successor needs in order that its connections follow those of its predecessor (RFC 6191, RFC 6528).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandedDown {
    /// Initial sequence numbers (RFC 6528).
    pub isn: (u64, u64),
    /// Offsets of the timestamp clock (RFC 7323 §5.4): what is added to the half of the same hash that numbers leave.
    pub timestamps: (u64, u64),
    /// SYN cookies (RFC 4987 §3.6).
    pub cookies: (u64, u64),
    /// Cookies of TCP Fast Open (RFC 7413 §4.1.2).
    pub fast_open: (u64, u64),
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets { .. }")
    }
}

impl std::fmt::Debug for HandedDown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandedDown { .. }")
    }
}

/// A cookie of TCP Fast Open is of one day.
const FAST_OPEN_KEY_S: u64 = 86_400;

/// RFC 6335 §6.
const DYNAMIC_PORTS: (u16, u16) = (49_152, 65_535);

/// How often keys are drawn until every worker can be reached: a quarter of them does at worst, so that nobody ever draws so many.
const KEYS_DRAWN: u64 = 500;

/// Keys of two words each, beside that of RSS.
const KEYS: usize = 6;

/// Octets of all of them.
const OCTETS: usize = RSS_KEY_LEN + KEYS * 16;

impl Secrets {
    /// Fresh ones from the operating system, for connections that are opened from the dynamic range.
    ///
    /// # Errors
    /// [`StartError::System`] when the system has no randomness to give.
    pub fn fresh() -> Result<Self, StartError> {
        Self::fresh_for(DYNAMIC_PORTS)
    }

    /// Fresh ones, with which every worker finds ports in this range.
    pub(crate) fn fresh_for(ephemeral_ports: (u16, u16)) -> Result<Self, StartError> {
        let mut octets = random_octets()?;
        let bits = free_bits(ephemeral_ports);
        for _ in 0..KEYS_DRAWN {
            if reaches_all_workers(&octets, bits) {
                break;
            }
            octets = random_octets()?;
        }
        Ok(Self::from_octets(&octets))
    }

    /// The same ones for every run of a test, for the ports of the dynamic range.
    pub fn from_seed(seed: u64) -> Self {
        let bits = free_bits(DYNAMIC_PORTS);
        let mut octets = octets_of(seed, 0);
        for drawn in 1..KEYS_DRAWN {
            if reaches_all_workers(&octets, bits) {
                break;
            }
            octets = octets_of(seed, drawn);
        }
        Self::from_octets(&octets)
    }

    fn from_octets(octets: &[u8; OCTETS]) -> Self {
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
            ports: (word(6), word(7)),
            handed_down: HandedDown {
                isn: (word(2), word(3)),
                timestamps: (word(4), word(5)),
                cookies: (word(8), word(9)),
                fast_open: (word(10), word(11)),
            },
            epoch: Duration::ZERO,
        }
    }

    /// Where this system keeps what lasts until it boots: `/run/fourtuple/secrets` for root, for others the same name in
    /// `$XDG_RUNTIME_DIR`, if there is one.
    pub fn usual_file() -> Option<PathBuf> {
        let folder = if rustix::process::geteuid().is_root() {
            PathBuf::from("/run")
        } else {
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)?
        };
        folder.is_absolute().then(|| folder.join("fourtuple/secrets"))
    }

    /// Goes on with the keys that an engine before this one left in a file, or leaves its own there. A file that can't be used is
    /// no reason not to start: peers then wait for as long as their TIME_WAIT records live.
    pub(crate) fn keep_in(&mut self, file: &Path) {
        match kept::kept_or(file, &self.handed_down) {
            Ok(kept) => self.handed_down = kept,
            Err(error) => tracing::warn!(
                "{}: {error}; a successor of this process may be refused by peers that keep its connections in TIME_WAIT",
                file.display()
            ),
        }
    }

    /// Lets the clocks of sequence numbers, timestamps and cookies count from the machine's boot. `now` is the engine's clock.
    pub(crate) fn count_from_boot(&mut self, now: Instant) {
        let boot = clock_gettime(ClockId::Boottime);
        let seconds = Duration::from_secs(boot.tv_sec.max(0) as u64);
        let since = seconds + Duration::from_nanos(boot.tv_nsec.max(0) as u64);
        self.epoch = since.saturating_sub(now.since(Instant::ZERO));
    }

    /// What a new connection with this four-tuple starts from.
    pub(crate) fn seeds(&self, tuple: &FourTuple, now: Instant) -> Seeds {
        // RFC 6528 §3, RFC 7323 §5.4: a keyed hash of the four-tuple for each; the halves of one tell nothing of each other.
        let hash = hash_tuple(self.handed_down.isn, tuple);
        Seeds {
            iss: isn(hash as u32, now + self.epoch),
            timestamp_offset: self.clock_of(hash),
        }
    }

    /// What every connection with this four-tuple adds to the clock of its timestamps.
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        self.clock_of(hash_tuple(self.handed_down.isn, tuple))
    }

    fn clock_of(&self, hash: u64) -> u32 {
        let of_clock = ((hash >> 32) as u32).wrapping_add(self.handed_down.timestamps.0 as u32);
        (self.epoch.as_millis() as u32).wrapping_add(of_clock)
    }

    /// The period of SYN cookies that are made now.
    pub(crate) fn cookie_period(&self, now: Instant) -> u32 {
        period(self.epoch + now.since(Instant::ZERO))
    }

    /// The keyed hash of SYN cookies.
    pub(crate) fn cookie_hash(&self, tuple: &FourTuple, number: u64) -> u64 {
        hash_tuple_and(self.handed_down.cookies, tuple, number)
    }

    /// The cookie of TCP Fast Open for a client: of both addresses and the day (RFC 7413 §4.1.2).
    pub(crate) fn fast_open_cookie(&self, tuple: &FourTuple, now: Instant) -> FastOpenCookie {
        self.fast_open_cookie_of(tuple, self.fast_open_day(now))
    }

    /// One of today's, or of yesterday's.
    pub(crate) fn is_fast_open_cookie(
        &self,
        tuple: &FourTuple,
        cookie: &FastOpenCookie,
        now: Instant,
    ) -> bool {
        let today = self.fast_open_day(now);
        let ours = |day| self.fast_open_cookie_of(tuple, day) == *cookie;
        ours(today) || ours(today.wrapping_sub(1))
    }

    fn fast_open_day(&self, now: Instant) -> u64 {
        (self.epoch + now.since(Instant::ZERO)).as_secs() / FAST_OPEN_KEY_S
    }

    fn fast_open_cookie_of(&self, tuple: &FourTuple, day: u64) -> FastOpenCookie {
        let [local, remote] = [tuple.local(), tuple.remote()].map(|end| SocketAddr::new(end.ip(), 0));
        let addresses = FourTuple::new(local, remote).unwrap_or(*tuple);
        let hash = hash_tuple_and(self.handed_down.fast_open, &addresses, day);
        FastOpenCookie::new(&hash.to_be_bytes()).unwrap_or_default()
    }

    /// Where a worker begins to look for ephemeral ports.
    pub(crate) fn first_port(&self) -> u32 {
        hash_octets(self.ports, 0) as u32
    }
}

fn random_octets() -> Result<[u8; OCTETS], StartError> {
    let mut octets = [0u8; OCTETS];
    let mut filled = 0;
    while filled < octets.len() {
        filled += getrandom(&mut octets[filled..], GetRandomFlags::empty()).map_err(|error| {
            StartError::System {
                what: "random numbers",
                reason: error.to_string(),
            }
        })?;
    }
    Ok(octets)
}

/// The `drawn`th octets of a seed.
fn octets_of(seed: u64, drawn: u64) -> [u8; OCTETS] {
    let mut octets = [0u8; OCTETS];
    for (at, chunk) in octets.chunks_mut(8).enumerate() {
        let word = hash_octets((seed, 0x5eed), drawn << 32 | at as u64).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    octets
}

/// Whether each worker finds a port from which it reaches any remote. One key in 128 leaves entries of the redirection table
/// out of the reach of 14 bits, and one in 8,000 a worker out of two: that worker could open nothing, to whomever.
fn reaches_all_workers(octets: &[u8; OCTETS], bits: u32) -> bool {
    let mut rss = [0u8; RSS_KEY_LEN];
    rss.copy_from_slice(&octets[..RSS_KEY_LEN]);
    Toeplitz::new(rss).port_reaches_all(bits)
}

/// Low bits of a port that take all values somewhere in a range, whatever stands above them: of the largest aligned block. In a
/// range with less than an entry's worth of ports nothing is sure; the key is then as for one of just so many.
fn free_bits((first, last): (u16, u16)) -> u32 {
    let (first, behind) = (u32::from(first), u32::from(last) + 1);
    let holds_block = |bits: &u32| first.next_multiple_of(1 << bits) + (1 << bits) <= behind;
    (RETA_SIZE.ilog2()..=16)
        .rev()
        .find(holds_block)
        .unwrap_or(RETA_SIZE.ilog2())
}

fn hash_octets(keys: (u64, u64), n: u64) -> u64 {
    siphasher::sip::SipHasher13::new_with_keys(keys.0, keys.1).hash(&n.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use fourtuple_nic::Reta;

    use super::*;
    use crate::shard::Steering;

    fn tuple() -> FourTuple {
        FourTuple::new("10.0.0.1:80".parse().unwrap(), "10.0.0.2:1024".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_successor_goes_on_behind_its_predecessor() {
        let mut first = Secrets::fresh().unwrap();
        // Both clocks start at zero, whenever that is.
        first.count_from_boot(Instant::ZERO);
        let lived = Duration::from_millis(20);
        std::thread::sleep(lived);
        let mut next = Secrets {
            handed_down: first.handed_down.clone(),
            ..Secrets::fresh().unwrap()
        };
        next.count_from_boot(Instant::ZERO);
        let end = Instant::ZERO + lived;
        let (before, after) = (first.seeds(&tuple(), end), next.seeds(&tuple(), Instant::ZERO));
        assert!(after.iss.at_or_after(before.iss), "{before:?} {after:?}");
        let timestamp =
            |seeds: &Seeds, now: Instant| seeds.timestamp_offset.wrapping_add(now.as_millis() as u32);
        let ahead = timestamp(&after, Instant::ZERO).wrapping_sub(timestamp(&before, end));
        assert!(ahead < 10_000, "{ahead} ms");
    }

    #[test]
    fn without_it_they_begin_anywhere() {
        let [one, other] = [1, 2].map(|seed| Secrets::from_seed(seed).seeds(&tuple(), Instant::ZERO));
        assert_ne!(
            (one.iss, one.timestamp_offset),
            (other.iss, other.timestamp_offset)
        );
    }

    // proves: RFC 6528 §3, RFC 7323 §5.4
    #[test]
    fn numbers_and_clock_are_of_the_four_tuple_and_tell_nothing_of_each_other() {
        let secrets = Secrets::from_seed(5);
        let (mut numbers, mut clocks, mut apart) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for port in 1..=1_000 {
            let remote = SocketAddr::new(tuple().remote().ip(), port);
            let tuple = FourTuple::new(tuple().local(), remote).unwrap();
            let seeds = secrets.seeds(&tuple, Instant::ZERO);
            assert_eq!(
                seeds,
                secrets.seeds(&tuple, Instant::ZERO),
                "as often as it is asked for"
            );
            numbers.insert(seeds.iss.0);
            clocks.insert(seeds.timestamp_offset);
            apart.insert(seeds.iss.0 ^ seeds.timestamp_offset);
        }
        // Of a thousand in 2³² two are equal once in 8,600 keys.
        assert!(numbers.len().min(clocks.len()).min(apart.len()) >= 999);
        let mut other = Secrets::from_seed(5);
        other.handed_down.timestamps.0 ^= 1;
        let (one, other) = (
            secrets.seeds(&tuple(), Instant::ZERO),
            other.seeds(&tuple(), Instant::ZERO),
        );
        assert!(one.iss == other.iss && one.timestamp_offset != other.timestamp_offset);
    }

    // proves: RFC 7413 §4.1.2
    #[test]
    fn a_cookie_of_fast_open_is_of_the_addresses_and_good_for_a_day_and_the_next() {
        let secrets = Secrets::from_seed(3);
        let at = |days: u64| Instant::from_millis(days * 86_400_000 + 5);
        let cookie = secrets.fast_open_cookie(&tuple(), at(7));
        assert_eq!(cookie.octets().len(), 8);
        for (days, good) in [(6, false), (7, true), (8, true), (9, false)] {
            assert_eq!(
                secrets.is_fast_open_cookie(&tuple(), &cookie, at(days)),
                good,
                "{days}"
            );
        }
        let other = |local: &str, remote: &str| {
            let tuple = FourTuple::new(local.parse().unwrap(), remote.parse().unwrap()).unwrap();
            secrets.is_fast_open_cookie(&tuple, &cookie, at(7))
        };
        assert!(other("10.0.0.1:81", "10.0.0.2:9"), "whatever the ports");
        assert!(!other("10.0.0.1:80", "10.0.0.3:1024") && !other("10.0.0.3:80", "10.0.0.2:1024"));
        assert!(!secrets.is_fast_open_cookie(&tuple(), &FastOpenCookie::REQUEST, at(7)));
    }

    /// How many of so many workers find one of these ports with which a four-tuple is theirs.
    fn workers_with_a_port(rss: [u8; RSS_KEY_LEN], ports: (u16, u16), workers: u16, remote: &str) -> usize {
        let steering = Steering {
            toeplitz: Toeplitz::new(rss),
            reta: Reta::round_robin(workers),
        };
        let remote: SocketAddr = remote.parse().unwrap();
        let local: IpAddr = if remote.is_ipv4() { "10.0.0.1" } else { "fd00::1" }
            .parse()
            .unwrap();
        let owners: BTreeSet<u16> = (ports.0..=ports.1)
            .map(|port| {
                let local = SocketAddr::new(local, port);
                steering.owner(&FourTuple::new(local, remote).unwrap())
            })
            .collect();
        owners.len()
    }

    #[test]
    fn a_key_that_leaves_a_worker_no_port_is_not_taken() {
        // Simulated world 42440: its third host has two workers, of which one could open nothing over IPv4.
        let seed = 42_440 ^ 3 << 32;
        let octets = octets_of(seed, 0);
        let mut bad = [0; RSS_KEY_LEN];
        bad.copy_from_slice(&octets[..RSS_KEY_LEN]);
        for remote in ["10.0.0.2:7", "10.0.0.3:8080"] {
            assert_eq!(workers_with_a_port(bad, DYNAMIC_PORTS, 2, remote), 1, "{remote}");
            let taken = Secrets::from_seed(seed).rss;
            assert_eq!(
                workers_with_a_port(taken, DYNAMIC_PORTS, 2, remote),
                2,
                "{remote}"
            );
        }
        assert!(!reaches_all_workers(&octets, 14));
    }

    #[test]
    fn every_worker_has_ports_for_any_remote_in_any_range() {
        let ranges = [DYNAMIC_PORTS, (1_024, 65_535), (30_001, 30_255), (1, 65_535)];
        for draw in 0..16 {
            let ports = ranges[draw % ranges.len()];
            let rss = Secrets::fresh_for(ports).unwrap().rss;
            for workers in [3, 128] {
                for remote in [
                    "10.0.0.2:7",
                    "192.0.2.200:65535",
                    "[fd00::2]:7",
                    "[2001:db8::9]:443",
                ] {
                    assert_eq!(
                        workers_with_a_port(rss, ports, workers, remote),
                        usize::from(workers),
                        "{ports:?} {workers} {remote} {rss:?}"
                    );
                }
            }
        }
        for seed in 0..300 {
            let octets = Secrets::from_seed(seed).rss;
            assert!(Toeplitz::new(octets).port_reaches_all(14), "{seed}");
        }
    }

    #[test]
    fn the_bits_that_are_free_in_a_range() {
        for (range, bits) in [
            (DYNAMIC_PORTS, 14),
            ((1_024, 65_535), 15),
            ((1, 65_535), 15),
            ((30_001, 30_255), 7),
            ((128, 255), 7),
            ((100, 200), 7),
        ] {
            assert_eq!(free_bits(range), bits, "{range:?}");
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secrets = Secrets::from_seed(1);
        let text = format!("{secrets:?} {:?}", secrets.handed_down);
        assert_eq!(text, "Secrets { .. } HandedDown { .. }");
    }
}
