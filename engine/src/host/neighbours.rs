//! Who is where on the link: IP address → Ethernet address (RFC 826, RFC 1122 §2.3.2, RFC 4861 §7), for both families.
//!
//! ```text
//!             resolve                      reply, request
//!   (none) ───────────► Pending (1 s × 3) ───────────────► Reachable ◄──┐
//!                          │       ▲                          │ used after 20 min, doubted, or claimed by another
//!                          ▼       └──── no answer ────── Probing ──────┘ reply
//!                    Failed (3 s)                      (still used; asked in unicast, 1 s × 3; when claimed, 200 ms × 2)
//! ```
//!
//! Worker 0 keeps the table that asks the link; the other workers keep tables of the same kind whose solicitations are
//! messages to worker 0, and whose answers come back through [`Neighbours::replicate`]. They are told of what somebody here
//! wanted, never of strangers that only asked. So worker 0 hears of every neighbour that is in use, and keeps it from strangers.
//!
//! What it believes: a reply while it asks; a request that was addressed to us from the link, unless it contradicts an
//! entry that is known: then, as with announcements and unsolicited replies, the station that is known is *asked* at once whether
//! it is still there, at most once a second, and only its silence lets another take its place: all are asked then.
//!
//! Bounds: the capacity given at start, [`waiting`](super::waiting) frames. When it is full the entry that was unused for
//! longest goes; requests of strangers can't push out what is in use, and a station with very many addresses pushes out its own.
//! Nothing is allocated after the start.

use std::hash::Hasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use fourtuple_wire::{EtherAddr, Instant};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::learned::{Learned, Origin};
use super::waiting::Waiting;

/// A place in the table that a connection may keep: valid until the entry goes to another address. 4 bytes.
///
/// 12 bits of place and one, so that it is never zero, 20 bits of generation. After 2²⁰ changes of one place an old hop would fit again; a frame would go to
/// another station of the link, be lost, and the retransmission's doubt would ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop(NonZeroU32);

/// What is known of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It is there. The hop may be kept and asked with [`Neighbours::ether`].
    Known(EtherAddr, Hop),
    /// It is being asked for; a frame may wait ([`Neighbours::try_wait`]).
    Pending,
    /// It did not answer; not asked again for a while.
    Failed,
    /// The table has no room to ask.
    Full,
}

/// A question to the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Solicit {
    /// The address that is asked for.
    pub(crate) ip: IpAddr,
    /// The station that is asked whether it is still there; `None`: all are asked.
    pub(crate) station: Option<EtherAddr>,
    /// Another station says to be the one, so that silence is believed soon.
    pub(crate) claimed: bool,
}

impl Solicit {
    /// Where is this neighbour?
    pub(crate) fn to_all(ip: IpAddr) -> Self {
        Self {
            ip,
            station: None,
            claimed: false,
        }
    }
}

/// What the table did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct NeighbourCounts {
    /// Questions asked.
    pub(crate) solicits: u64,
    /// Entries that became known.
    pub(crate) resolved: u64,
    /// Addresses that nobody answered for.
    pub(crate) failed: u64,
    /// Entries that gave way to others.
    pub(crate) evicted: u64,
    /// Claims that were not believed.
    pub(crate) disbelieved: u64,
    /// Frames dropped because their next hop was not resolved in time, or too many waited.
    pub(crate) unresolved_frames: u64,
}

/// The table. `W` is a frame that waits.
#[derive(Debug)]
pub(crate) struct Neighbours<W> {
    entries: Box<[Entry]>,
    /// When the entry of the same place has to act; apart from the entries, since it is searched.
    due: Box<[Instant]>,
    /// Nothing is due before.
    next: Instant,
    index: HashTable<u16>,
    /// Places never used so far.
    fresh: std::ops::Range<u16>,
    hasher: SipHasher13,
    waiting: Waiting<W>,
    counts: NeighbourCounts,
    /// The gateways of both families: never evicted while they are known, or who is on the link could take their place.
    kept: [Option<IpAddr>; 2],
    /// The place that was asked for last, when there was one: connections open in bursts, and through one gateway.
    recent: u16,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ip: IpAddr,
    state: EntryState,
    /// When it was last resolved, or made.
    used_at: Instant,
    /// Claims of others have it asked no earlier.
    ask_again_at: Instant,
    /// It was resolved at least once.
    wanted: bool,
    generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryState {
    Pending {
        asked: u8,
    },
    Reachable {
        ether: EtherAddr,
        confirmed_at: Instant,
    },
    /// `claimed`: by another station, so that its silence is believed soon.
    Probing {
        ether: EtherAddr,
        asked: u8,
        claimed: bool,
    },
    Failed {
        until: Instant,
    },
}

impl EntryState {
    /// The station that frames go to.
    fn station(self) -> Option<EtherAddr> {
        match self {
            Self::Reachable { ether, .. } | Self::Probing { ether, .. } => Some(ether),
            Self::Pending { .. } | Self::Failed { .. } => None,
        }
    }

    /// Nobody else says to be there.
    fn probing(ether: EtherAddr) -> Self {
        Self::Probing {
            ether,
            asked: 0,
            claimed: false,
        }
    }
}

impl<W> Neighbours<W> {
    /// A table of `capacity` entries, at most 4096, hashed under `secret`.
    pub(crate) fn new(capacity: u16, secret: &[u8; 16]) -> Self {
        let capacity = capacity.clamp(1, MAX_CAPACITY);
        let empty = Entry {
            ip: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            state: EntryState::Failed { until: Instant::ZERO },
            used_at: Instant::ZERO,
            ask_again_at: Instant::ZERO,
            wanted: false,
            generation: 0,
        };
        Self {
            entries: vec![empty; usize::from(capacity)].into(),
            due: vec![Instant::FAR_FUTURE; usize::from(capacity)].into(),
            next: Instant::FAR_FUTURE,
            // Twice the entries: then the table cleans up in place and never grows.
            index: HashTable::with_capacity(usize::from(capacity) * 2),
            kept: [None; 2],
            fresh: 0..capacity,
            hasher: SipHasher13::new_with_key(secret),
            waiting: Waiting::new(),
            counts: NeighbourCounts::default(),
            recent: u16::MAX,
        }
    }

    /// The neighbour that was asked for last is this one at this station, and asked for us again: it is there.
    pub(crate) fn confirm_recent(&mut self, ip: IpAddr, ether: EtherAddr, now: Instant) -> Option<Hop> {
        let entry = self.entries.get_mut(usize::from(self.recent))?;
        match entry.state {
            EntryState::Reachable { ether: known, .. } if entry.ip == ip && known == ether => {
                entry.state = EntryState::Reachable {
                    ether,
                    confirmed_at: now,
                };
                Some(self.hop(self.recent))
            }
            EntryState::Reachable { .. }
            | EntryState::Pending { .. }
            | EntryState::Probing { .. }
            | EntryState::Failed { .. } => None,
        }
    }

    /// Where `ip` stands in the table, if it does.
    pub(crate) fn hop_of(&mut self, ip: IpAddr) -> Option<Hop> {
        let place = match self.entries.get(usize::from(self.recent)) {
            // Through one gateway go many, one after the other.
            Some(entry) if entry.ip == ip => self.recent,
            Some(_) | None => self.place_of(ip)?,
        };
        self.recent = place;
        Some(self.hop(place))
    }

    /// What is known of `ip`, a host on the link; asks for it when nothing is.
    pub(crate) fn resolve(&mut self, ip: IpAddr, now: Instant) -> Resolution {
        let Some(place) = self.place_of(ip).or_else(|| self.add(ip, true, now)) else {
            return Resolution::Full;
        };
        if let EntryState::Failed { until } = self.entry(place).state {
            if until > now {
                return Resolution::Failed;
            }
            self.ask(place, EntryState::Pending { asked: 0 }, now);
        }
        match self.touch(place, now) {
            Some(ether) => Resolution::Known(ether, self.hop(place)),
            None => Resolution::Pending,
        }
    }

    /// The station of a hop that was resolved before; `None`: resolve again.
    #[inline(always)]
    pub(crate) fn ether(&mut self, hop: Hop, now: Instant) -> Option<EtherAddr> {
        let place = (hop.0.get() & PLACE_MASK) as u16 - 1;
        let entry = self.entries.get(usize::from(place))?;
        if entry.generation != hop.0.get() >> PLACE_BITS {
            return None;
        }
        self.touch(place, now)
    }

    /// Lets a frame wait for `ip`, which is [`Pending`](Resolution::Pending). An older frame may have to give way.
    ///
    /// # Errors
    /// The frame, when `ip` is not pending or too many wait.
    pub(crate) fn try_wait(&mut self, ip: IpAddr, frame: W) -> Result<(), W> {
        let place = self.place_of(ip);
        let Some(place) =
            place.filter(|place| matches!(self.entry(*place).state, EntryState::Pending { .. }))
        else {
            return Err(frame);
        };
        match self.waiting.push(place, frame) {
            Ok(given_way) => {
                self.counts.unresolved_frames += u64::from(given_way.is_some());
                Ok(())
            }
            Err(frame) => {
                self.counts.unresolved_frames += 1;
                Err(frame)
            }
        }
    }

    /// These give way to nobody while they are known.
    pub(crate) fn keep(&mut self, gateways: [Option<IpAddr>; 2]) {
        self.kept = gateways;
    }

    /// The next frame whose next hop became known, with its station.
    pub(crate) fn poll_ready(&mut self) -> Option<(EtherAddr, W)> {
        self.waiting.poll_ready()
    }

    /// Takes in what a packet told. True when it was believed and is news: tell the other workers.
    pub(crate) fn learn(&mut self, learned: &Learned, now: Instant) -> bool {
        let Learned { ip, ether, origin } = *learned;
        let place = self.place_of(ip);
        self.recent = place.unwrap_or(u16::MAX);
        let Some(place) = place else {
            // RFC 826: who asks us will be answered soon.
            let place = if origin == Origin::Request {
                self.add(ip, false, now)
            } else {
                None
            };
            if let Some(place) = place {
                self.set_known(place, ether, now);
            }
            return place.is_some();
        };
        let (believed, same) = match self.entry(place).state {
            EntryState::Pending { .. } => (
                matches!(origin, Origin::Request | Origin::Reply | Origin::WeakReply),
                false,
            ),
            EntryState::Failed { .. } => (origin == Origin::Request, false),
            EntryState::Probing { ether: known, .. } => {
                let same = known == ether;
                if !same {
                    self.on_claim(place, known, now);
                }
                // Deviation: RFC 4861 §7.2.5 and RFC 826 believe a reply of another station at once: two packets, a claim and a
                // reply, would take a neighbour's traffic. Only the one that is known can confirm; when it is silent all are asked.
                let believed = match origin {
                    Origin::Reply | Origin::Request | Origin::WeakReply | Origin::Confirmation => same,
                    Origin::Announcement => false,
                };
                (believed, same)
            }
            EntryState::Reachable { ether: known, .. } => {
                let same = known == ether;
                if !same {
                    self.on_claim(place, known, now);
                }
                // A request refreshes, and is no news.
                if same && origin == Origin::Request {
                    self.entries[usize::from(place)].state = EntryState::Reachable {
                        ether,
                        confirmed_at: now,
                    };
                    return false;
                }
                (false, same)
            }
        };
        if believed {
            self.set_known(place, ether, now);
        } else {
            self.counts.disbelieved += u64::from(!same);
        }
        believed
    }

    /// Somebody here speaks to `ip`, or did.
    pub(crate) fn is_wanted(&self, ip: IpAddr) -> bool {
        self.place_of(ip).is_some_and(|place| self.entry(place).wanted)
    }

    /// Takes over what worker 0 knows, if this worker asked for it.
    pub(crate) fn replicate(&mut self, ip: IpAddr, ether: EtherAddr, now: Instant) {
        if let Some(place) = self.place_of(ip) {
            self.set_known(place, ether, now);
        }
    }

    /// Another worker knows `ip` at this station, and would like to hear that it is still there.
    ///
    /// What was known here is asked, as with any doubt; as with any claim, where that worker heard one (`claimed`). What was lost here,
    /// or came from a stranger since, is what the other worker knows: it had it from here, when it was asked for.
    pub(crate) fn on_word(&mut self, ip: IpAddr, ether: EtherAddr, claimed: bool, now: Instant) {
        match self.place_of(ip) {
            Some(place) if self.entry(place).wanted => {
                if claimed && self.entry(place).state.station() == Some(ether) {
                    self.on_claim(place, ether, now);
                } else {
                    self.on_doubt(ip, now);
                }
            }
            known => {
                if let Some(place) = known.or_else(|| self.add(ip, true, now)) {
                    self.ask(place, EntryState::probing(ether), now);
                }
            }
        }
    }

    /// A connection gets no answer by way of `ip` (RFC 1122 §4.2.3.5, R1): asks the station whether it is still there; not in the
    /// second after it said so, whoever raises doubts (RFC 1122 §2.3.2.1).
    pub(crate) fn on_doubt(&mut self, ip: IpAddr, now: Instant) {
        if let Some(place) = self.place_of(ip)
            && let EntryState::Reachable { ether, confirmed_at } = self.entry(place).state
        {
            let due = now.max(confirmed_at + ASK_INTERVAL);
            self.ask(place, EntryState::probing(ether), due);
        }
    }

    /// Another station says to be the one that is known: who is spoken to is asked now, but at most once a second, whoever claims
    /// what; others are asked when somebody speaks to them.
    fn on_claim(&mut self, place: u16, known: EtherAddr, now: Instant) {
        let entry = self.entry(place);
        if !matches!(entry.state, EntryState::Probing { claimed: true, .. }) {
            let due = if entry.wanted {
                now.max(entry.ask_again_at)
            } else {
                Instant::FAR_FUTURE
            };
            let probing = EntryState::Probing {
                ether: known,
                asked: 0,
                claimed: true,
            };
            self.ask(place, probing, due);
        }
    }

    /// The next question that is due. Call again until `None`.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Solicit> {
        while self.next <= now {
            let Some(place) = self.due.iter().position(|due| *due <= now) else {
                self.next = self.due.iter().copied().min().unwrap_or(Instant::FAR_FUTURE);
                break;
            };
            if let Some(solicit) = self.on_due(place as u16, now) {
                self.counts.solicits += 1;
                return Some(solicit);
            }
        }
        None
    }

    /// When [`poll`](Self::poll) has something to do, at the earliest.
    pub(crate) fn next_deadline(&self) -> Instant {
        self.next
    }

    /// What the table did so far.
    pub(crate) fn counts(&self) -> NeighbourCounts {
        self.counts
    }

    /// Entries now.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Frames held now.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn on_due(&mut self, place: u16, now: Instant) -> Option<Solicit> {
        let Entry { ip, state, .. } = *self.entry(place);
        match state {
            EntryState::Pending { asked } if asked < ASK_TIMES => {
                self.ask(
                    place,
                    EntryState::Pending { asked: asked + 1 },
                    now + ASK_INTERVAL,
                );
                Some(Solicit::to_all(ip))
            }
            EntryState::Pending { .. } => {
                self.counts.failed += 1;
                self.counts.unresolved_frames += self.waiting.drop_all(place);
                self.ask(
                    place,
                    EntryState::Failed {
                        until: now + FAILED_FOR,
                    },
                    Instant::FAR_FUTURE,
                );
                None
            }
            EntryState::Probing {
                ether,
                asked,
                claimed,
            } if asked < if claimed { CLAIMED_ASK_TIMES } else { ASK_TIMES } => {
                let probing = EntryState::Probing {
                    ether,
                    asked: asked + 1,
                    claimed,
                };
                // Deviation: RFC 1122 §2.3.2.1 recommends one a second, RFC 4861 §10 a second between two: a station that is claimed
                // is asked twice in one.
                let interval = if claimed {
                    CLAIMED_ASK_INTERVAL
                } else {
                    ASK_INTERVAL
                };
                self.ask(place, probing, now + interval);
                self.entries[usize::from(place)].ask_again_at = now + ASK_INTERVAL;
                Some(Solicit {
                    ip,
                    station: Some(ether),
                    claimed,
                })
            }
            EntryState::Probing { .. } => {
                self.ask(place, EntryState::Pending { asked: 1 }, now + ASK_INTERVAL);
                Some(Solicit::to_all(ip))
            }
            EntryState::Reachable { .. } | EntryState::Failed { .. } => {
                self.due[usize::from(place)] = Instant::FAR_FUTURE;
                None
            }
        }
    }

    /// The entry is used: keeps it from eviction, and from growing old unasked.
    #[inline(always)]
    fn touch(&mut self, place: u16, now: Instant) -> Option<EtherAddr> {
        let entry = self.entries.get_mut(usize::from(place))?;
        entry.used_at = now;
        entry.wanted = true;
        match entry.state {
            EntryState::Reachable { ether, confirmed_at } => {
                if now.since(confirmed_at) >= REACHABLE_FOR {
                    self.ask(place, EntryState::probing(ether), now);
                }
                Some(ether)
            }
            EntryState::Probing { .. } | EntryState::Pending { .. } | EntryState::Failed { .. } => {
                self.touch_doubted(place, now)
            }
        }
    }

    /// The same of one that is not known to be there.
    #[cold]
    fn touch_doubted(&mut self, place: u16, now: Instant) -> Option<EtherAddr> {
        let state = self.entry(place).state;
        // It was claimed before anybody spoke to it.
        if let EntryState::Probing { .. } = state
            && self.due[usize::from(place)] == Instant::FAR_FUTURE
        {
            self.ask(place, state, now);
        }
        state.station()
    }

    fn ask(&mut self, place: u16, state: EntryState, due: Instant) {
        self.entries[usize::from(place)].state = state;
        self.due[usize::from(place)] = due;
        self.next = self.next.min(due);
    }

    fn set_known(&mut self, place: u16, ether: EtherAddr, now: Instant) {
        self.ask(
            place,
            EntryState::Reachable {
                ether,
                confirmed_at: now,
            },
            Instant::FAR_FUTURE,
        );
        self.counts.resolved += 1;
        self.waiting.release(place, ether);
    }

    /// A pending entry for `ip`, which has none; `None` when no place can be had.
    fn add(&mut self, ip: IpAddr, wanted: bool, now: Instant) -> Option<u16> {
        let place = match self.fresh.next() {
            Some(place) => place,
            None => self.evict(wanted, now)?,
        };
        let generation = (self.entry(place).generation + 1) & GENERATION_MASK;
        let state = EntryState::Pending { asked: 0 };
        self.entries[usize::from(place)] = Entry {
            ip,
            state,
            used_at: now,
            ask_again_at: now,
            wanted,
            generation,
        };
        self.ask(place, state, now);
        let Self {
            index,
            entries,
            hasher,
            ..
        } = self;
        index.insert_unique(hash(hasher, ip), place, |place| {
            hash(hasher, entries[usize::from(*place)].ip)
        });
        Some(place)
    }

    /// Makes the place free that was unused for longest.
    ///
    /// For one of our own frames: any that is neither being asked for nor in use this very second. For a stranger's request:
    /// only what nobody wanted, or wanted long ago: for longer than after which another worker that uses it asks again.
    /// A station that stands at more than a quarter of the places gives way first, in use or not: who shakes hands from a thousand addresses
    /// pushes out its own.
    fn evict(&mut self, wanted: bool, now: Instant) -> Option<u16> {
        let must_rest = if wanted { IDLE_AFTER } else { REACHABLE_FOR * 2 };
        let kept = |entry: &Entry| self.kept.contains(&Some(entry.ip));
        let evictable = |entry: &Entry| match entry.state {
            EntryState::Pending { .. } => false,
            EntryState::Failed { .. } => wanted || entry.used_at + must_rest <= now,
            EntryState::Reachable { .. } | EntryState::Probing { .. } => {
                !kept(entry) && (!entry.wanted || entry.used_at + must_rest <= now)
            }
        };
        let unwanted = self.longest_unused(|entry| !entry.wanted && evictable(entry));
        let of_a_crowd = || {
            let crowd = self.crowd();
            self.longest_unused(|entry| crowd.is_some() && entry.state.station() == crowd && !kept(entry))
        };
        let place = unwanted
            .or_else(of_a_crowd)
            .or_else(|| self.longest_unused(evictable))?;
        let ip = self.entry(place).ip;
        if let Ok(occupied) = self.index.find_entry(hash(&self.hasher, ip), |at| *at == place) {
            occupied.remove();
        }
        self.due[usize::from(place)] = Instant::FAR_FUTURE;
        self.counts.evicted += 1;
        Some(place)
    }

    fn longest_unused(&self, may_go: impl Fn(&Entry) -> bool) -> Option<u16> {
        let candidates = self.entries.iter().enumerate().filter(|(_, entry)| may_go(entry));
        let (place, _) = candidates.min_by_key(|(_, entry)| entry.used_at)?;
        Some(place as u16)
    }

    /// The station that stands at more than a quarter of the places, where there is one.
    ///
    /// Found without a table of stations (Misra and Gries): a place whose station has no counter, when all three are taken, is set off
    /// against one of each. Who has more than a quarter is not set off entirely.
    fn crowd(&self) -> Option<EtherAddr> {
        let stations = || self.entries.iter().filter_map(|entry| entry.state.station());
        let mut counters: [Option<(EtherAddr, u32)>; CROWDS] = [None; CROWDS];
        for station in stations() {
            let its_own = counters.iter_mut().flatten().find(|(ether, _)| *ether == station);
            if let Some((_, count)) = its_own {
                *count += 1;
            } else if let Some(free) = counters.iter_mut().find(|counter| counter.is_none()) {
                *free = Some((station, 1));
            } else {
                for counter in &mut counters {
                    *counter = counter
                        .map(|(ether, count)| (ether, count - 1))
                        .filter(|(_, count)| *count > 0);
                }
            }
        }
        let counted = counters.into_iter().flatten().map(|(ether, _)| {
            let places = stations().filter(|station| *station == ether).count();
            (places, ether)
        });
        let (places, ether) = counted.max()?;
        (places > 1 && places * (CROWDS + 1) > self.entries.len()).then_some(ether)
    }

    #[inline]
    fn place_of(&self, ip: IpAddr) -> Option<u16> {
        match self.entries.get(usize::from(self.recent)) {
            Some(entry) if entry.ip == ip => Some(self.recent),
            Some(_) | None => self.look_up(ip),
        }
    }

    fn look_up(&self, ip: IpAddr) -> Option<u16> {
        self.index
            .find(hash(&self.hasher, ip), |place| self.entry(*place).ip == ip)
            .copied()
    }

    fn hop(&self, place: u16) -> Hop {
        let place_and_one = NonZeroU32::MIN.saturating_add(u32::from(place));
        Hop(place_and_one | self.entry(place).generation << PLACE_BITS)
    }

    fn entry(&self, place: u16) -> &Entry {
        &self.entries[usize::from(place)]
    }
}

fn hash(keyed: &SipHasher13, ip: IpAddr) -> u64 {
    let mut hasher = *keyed;
    match ip {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.finish()
}

const PLACE_BITS: u32 = 12;
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;
const GENERATION_MASK: u32 = (1 << (32 - PLACE_BITS)) - 1;
const MAX_CAPACITY: u16 = PLACE_MASK as u16;
/// Known for this long before its first use asks again: the customary age of ARP entries (BSD's 20 minutes). RFC 1122
/// §2.3.2.1 asks for some such time; doubts of connections find a station that left much earlier.
pub(super) const REACHABLE_FOR: Duration = Duration::from_secs(20 * 60);
/// RFC 1122 §2.3.2.1: at most one a second for one address; RFC 4861 §10, RETRANS_TIMER.
pub(super) const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 4861 §10: MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT.
pub(super) const ASK_TIMES: u8 = 3;
/// What a station has for its answer when another claims its address, and how often it is asked: a frame or an answer may be lost,
/// and a busy host takes its time. A neighbour that moved is found in 400 ms; who would silence one has to do so for as long.
pub(super) const CLAIMED_ASK_INTERVAL: Duration = Duration::from_millis(200);
pub(super) const CLAIMED_ASK_TIMES: u8 = 2;
/// How long a failure is remembered: as long as finding out takes, so that a dead hop costs one question in two seconds.
pub(super) const FAILED_FOR: Duration = Duration::from_secs(3);
/// Stations that may each stand at more than a quarter of the places: a host with some hundred addresses, as of containers, is no crowd
/// in a table of a thousand, and three such that are leave a quarter to all others.
const CROWDS: usize = 3;
/// An entry that was not used for this long may give way to another one that is needed.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
