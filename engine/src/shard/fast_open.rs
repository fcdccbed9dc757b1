//! TCP Fast Open: which SYNs are believed, and what servers gave us (RFC 7413; what TCP makes of it is fourtuple-tcp's `fast_open`).
//!
//! A **listener** has it when it was asked to. A cookie is a keyed hash of both addresses and of the day, good on that day and the
//! next; a SYN that asks for one, or brings another, gets it with the SYN+ACK and is opened in the usual way. So many as
//! [`Pending`] allows may be in before their handshake is over. A RST ends such a connection and not its place: SYNs in the name of
//! others would make them send RSTs, and clear the way for more (§5.1).
//!
//! A **client** remembers the cookies of so many servers ([`Cookies`]), and for which of them a SYN with text was lost (§4.1.3.1).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use fourtuple_nic::{Queue, RxBuf};
use fourtuple_tcp::{Buffers, Ending, Env, Outgoing, SynRecord, Tcb};
use fourtuple_wire::{FastOpenCookie, FourTuple, Instant, TcpFlags, TcpHeader, TcpPacket};

use super::receive::Verdict;
use super::work::Work;
use crate::buffer::RxChunk;
use crate::conn_id::SlotRef;
use crate::listener::ListenerId;
use crate::port_number::PortNumber;
use crate::secrets::Secrets;

/// Connections of a listener whose handshake is not over, and those that a RST ended before it was.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    most: u32,
    now: u32,
    /// When each of those that were reset is forgotten, the first first; never more than `most`.
    reset: VecDeque<Instant>,
}

impl Pending {
    /// At most so many; 0: Fast Open is off.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            now: 0,
            reset: VecDeque::with_capacity(most.min(65_536) as usize),
        }
    }

    fn is_on(&self) -> bool {
        self.most > 0
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.now
    }

    /// One more, if it may.
    fn try_enter(&mut self, now: Instant) -> bool {
        while self.reset.front().is_some_and(|until| *until <= now) {
            self.reset.pop_front();
        }
        let may = self.now + (self.reset.len() as u32) < self.most;
        self.now += u32::from(may);
        may
    }

    /// One is over.
    fn leave(&mut self, was_reset: bool, now: Instant) {
        self.now = self.now.saturating_sub(1);
        if was_reset && self.reset.len() < self.reset.capacity() {
            self.reset.push_back(now + RESET_COUNTS);
        }
    }
}

/// What a SYN's option comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FastOpen {
    /// Nothing.
    No,
    /// The SYN+ACK brings a cookie.
    Give,
    /// The SYN's text is taken at once.
    Open,
}

impl<Q: Queue> Work<Q> {
    /// Judges the option of a SYN; when it is [`FastOpen::Open`] a place is taken.
    pub(super) fn judge_fast_open(
        &mut self,
        id: ListenerId,
        tuple: &FourTuple,
        header: &TcpHeader,
    ) -> FastOpen {
        let now = self.now;
        let Some(listener) = self
            .listeners
            .at_mut(id)
            .filter(|listener| listener.fast_open.is_on())
        else {
            return FastOpen::No;
        };
        match header.options.fast_open {
            None => FastOpen::No,
            Some(cookie) if cookie.is_request() => FastOpen::Give,
            Some(cookie) if !self.secrets.is_fast_open_cookie(tuple, &cookie, now) => {
                self.counters.fast_open_refused += 1;
                FastOpen::Give
            }
            Some(_) if listener.fast_open.try_enter(now) => FastOpen::Open,
            Some(_) => {
                self.counters.fast_open_refused += 1;
                FastOpen::No
            }
        }
    }

    /// A SYN with a good cookie: a connection at once, with its text.
    pub(super) fn open_fast(
        &mut self,
        id: ListenerId,
        record: &SynRecord,
        port: PortNumber,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let payload = (segment.payload.len > 0).then(|| {
            let mut frame = frame;
            let range = segment.payload.range();
            frame.truncate(range.end);
            frame.trim_front(range.start);
            RxChunk(frame)
        });
        let mut told = None;
        let open = |env: &mut Env<'_, _>| {
            let (tcb, arrival) = record.open_fast(payload, env);
            told = Some(arrival.signals);
            tcb
        };
        let entered = self.enter_accepted(id, port, &segment.tuple, None, open, |_, _| ());
        let slot = match entered {
            Ok(slot) => slot,
            Err(reason) => {
                self.leave_fast_open(id, false);
                return self.refuse(&segment.tuple, reason);
            }
        };
        self.counters.accepts += 1;
        self.counters.fast_opens += 1;
        #[cfg(any(test, feature = "simulation"))]
        if self.opened_fast.len() < self.opened_fast.capacity() {
            self.opened_fast.push((self.name(slot), segment.header.seq));
        }
        self.tell(slot, told.unwrap_or_default(), None);
        // Notes the debt of a SYN+ACK and the deadline.
        self.with_tcb(slot, |_, _| ());
        Verdict::Consumed
    }

    /// The handshake of a connection that was let in before is over.
    #[cold]
    pub(super) fn fast_open_done(&mut self, slot: SlotRef) {
        if let Some(id) = self.records.conn(slot).and_then(|conn| conn.listener) {
            self.leave_fast_open(id, false);
        }
    }

    /// A connection that was let in before is gone, and its handshake was never over.
    #[cold]
    pub(super) fn fast_open_ended(&mut self, id: ListenerId, ended: Option<Ending>) {
        self.leave_fast_open(id, ended == Some(Ending::Reset));
    }

    fn leave_fast_open(&mut self, id: ListenerId, was_reset: bool) {
        let now = self.now;
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.fast_open.leave(was_reset, now);
        }
    }

    /// A SYN+ACK brought a cookie.
    #[cold]
    pub(super) fn learn_fast_open(&mut self, slot: SlotRef, segment: &TcpPacket) {
        let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
        let asked = self
            .records
            .conn(slot)
            .is_some_and(|conn| conn.tcb.asks_fast_open() && conn.tcb.is_acceptable_syn_ack(&segment.header));
        if let Some(cookie) = segment.header.options.fast_open
            && asked
            && segment.header.flags.contains(syn_ack)
        {
            self.fast_open.learn(&segment.tuple, cookie);
        }
    }
}

/// The option of a SYN or SYN+ACK that leaves now.
#[cold]
pub(super) fn option_of_syn<B: Buffers>(
    tcb: &mut Tcb<B>,
    cookies: &mut Cookies,
    secrets: &Secrets,
    tuple: &FourTuple,
    outgoing: &Outgoing,
    now: Instant,
) -> Option<FastOpenCookie> {
    if tcb.awaits_handshake() {
        return Some(secrets.fast_open_cookie(tuple, now));
    }
    if !tcb.asks_fast_open() {
        return None;
    }
    if outgoing.retransmission {
        // The path may not carry it: the SYN goes without.
        tcb.forgo_fast_open();
        cookies.failed(tuple, now);
        return None;
    }
    // RFC 7413 §4.2.1: without a cookie it asks for one.
    Some(cookies.cookie(tuple).unwrap_or(FastOpenCookie::REQUEST))
}

/// What servers gave us, by both addresses (RFC 7413 §4.1.3); the oldest goes when there are too many.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    known: HashMap<(IpAddr, IpAddr), Known>,
    /// In the order in which they came; each of `known` once.
    order: VecDeque<(IpAddr, IpAddr)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    cookie: Option<FastOpenCookie>,
    /// A SYN with the option was lost: none before then.
    not_before: Instant,
}

impl Cookies {
    /// Reserves its memory.
    pub(crate) fn new() -> Self {
        Self {
            known: HashMap::with_capacity(SERVERS * 2),
            order: VecDeque::with_capacity(SERVERS),
        }
    }

    fn key(tuple: &FourTuple) -> (IpAddr, IpAddr) {
        (tuple.local().ip(), tuple.remote().ip())
    }

    /// Whether a SYN to there may have the option, and whether it may bring text.
    pub(crate) fn may_open(&self, tuple: &FourTuple, now: Instant) -> (bool, bool) {
        match self.known.get(&Self::key(tuple)) {
            None => (true, false),
            Some(known) => {
                let may = known.not_before <= now;
                (may, may && known.cookie.is_some())
            }
        }
    }

    fn cookie(&self, tuple: &FourTuple) -> Option<FastOpenCookie> {
        self.known.get(&Self::key(tuple))?.cookie
    }

    fn learn(&mut self, tuple: &FourTuple, cookie: FastOpenCookie) {
        self.entry(tuple).cookie = Some(cookie).filter(|cookie| !cookie.is_request());
    }

    fn failed(&mut self, tuple: &FourTuple, now: Instant) {
        self.entry(tuple).not_before = now + FAILED_COUNTS;
    }

    fn entry(&mut self, tuple: &FourTuple) -> &mut Known {
        let key = Self::key(tuple);
        if !self.known.contains_key(&key) {
            if self.order.len() >= SERVERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.known.entry(key).or_default()
    }
}

/// How long a connection that was reset counts (RFC 7413 §5.1: until a handshake would have timed out).
const RESET_COUNTS: Duration = Duration::from_secs(60);

/// How long a path is thought to lose SYNs with the option.
const FAILED_COUNTS: Duration = Duration::from_secs(600);

/// Servers whose cookies a worker remembers.
const SERVERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn to(n: u32) -> FourTuple {
        let remote = std::net::SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + n).into(), 80);
        FourTuple::new("10.255.0.1:1024".parse().unwrap(), remote).unwrap()
    }

    #[test]
    fn those_that_were_reset_count_for_a_minute() {
        let mut pending = Pending::new(2);
        let at = Instant::from_millis;
        assert!(pending.try_enter(at(0)) && pending.try_enter(at(0)) && !pending.try_enter(at(0)));
        pending.leave(true, at(0));
        assert!(!pending.try_enter(at(59_999)), "its place is not free");
        pending.leave(false, at(1_000));
        assert!(pending.try_enter(at(1_000)) && !pending.try_enter(at(1_000)));
        assert!(pending.try_enter(at(60_000)));
        assert_eq!(pending.len(), 2);
        assert!(!Pending::new(0).is_on());
    }

    // proves: RFC 7413 §4.1.3
    #[test]
    fn cookies_are_kept_by_both_addresses_and_the_oldest_goes() {
        let mut cookies = Cookies::new();
        let capacity = cookies.known.capacity();
        let cookie = |n: u32| FastOpenCookie::new(&n.to_be_bytes()).unwrap();
        let now = Instant::from_millis(5);
        assert_eq!(cookies.may_open(&to(0), now), (true, false), "to ask");
        for n in 0..3_000 {
            cookies.learn(&to(n), cookie(n));
            cookies.learn(&to(n), cookie(n + 1));
        }
        assert_eq!((cookies.known.len(), cookies.order.len()), (SERVERS, SERVERS));
        // Erased places count as taken until they are used again: it may tell less, but it never grew.
        assert!(cookies.known.capacity() <= capacity);
        assert_eq!(cookies.cookie(&to(2_999)), Some(cookie(3_000)));
        assert_eq!(cookies.cookie(&to(1_000)), None);
        cookies.failed(&to(2_999), now);
        assert_eq!(cookies.may_open(&to(2_999), now), (false, false));
        assert_eq!(cookies.may_open(&to(2_999), now + FAILED_COUNTS), (true, true));
    }
}
