//! Buffers for the unit tests of this crate, and a connection with all that its calls are given.

use std::ops::Range;
use std::rc::Rc;

use fourtuple_wire::{Instant, Payload, Received, SeqNum};

use crate::{Buffers, CongestionKind, Env, Path, PoolSizes, Pools, Profile, Seeds, State, Tcb, TcpCounters};

/// Payload to send: 16 bytes, as a port's shared buffer is.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    memory: Rc<Vec<u8>>,
    start: u32,
    len: u32,
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self {
            memory: Rc::new(bytes.to_vec()),
            start: 0,
            len: bytes.len() as u32,
        }
    }
}

impl Payload for Bytes {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start as usize..(self.start + self.len) as usize]
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let start = (range.start as u32).min(self.len);
        let end = (range.end as u32).clamp(start, self.len);
        Self {
            memory: self.memory.clone(),
            start: self.start + start,
            len: end - start,
        }
    }

    fn space(&self) -> usize {
        self.memory.len()
    }
}

/// Received payload that pins 64 octets more than it holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    space: usize,
}

impl Frame {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            space: bytes.len() + 64,
        }
    }
}

impl Received for Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn trim_front(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    fn space(&self) -> usize {
        self.space
    }
}

/// The pair of them.
#[derive(Debug)]
pub(crate) struct TestBuffers;

impl Buffers for TestBuffers {
    type Rx = Frame;
    type Tx = Bytes;
}

/// A connection whose fields a test sets as it likes, with its pools, counters and time.
pub(crate) struct Bench {
    pub(crate) tcb: Tcb<TestBuffers>,
    pub(crate) pools: Pools<TestBuffers>,
    pub(crate) counters: TcpCounters,
    pub(crate) profile: Profile,
    pub(crate) now: Instant,
}

impl Bench {
    /// ESTABLISHED, nothing sent yet: NewReno without options, segments of a thousand octets, windows of sixty.
    pub(crate) fn established(una: SeqNum) -> Self {
        let profile = Profile::default().with(|profile| profile.congestion = CongestionKind::NewReno);
        let sizes = PoolSizes {
            send_chunks: 4,
            receive_chunks: 4,
            reassemblies: 1,
            flights: 1,
            long_scoreboards: 1,
            asides: 1,
        };
        let seeds = Seeds {
            iss: una.back(1),
            timestamp_offset: 0,
        };
        let path = Path {
            receive_mss: 1000,
            send_mss_limit: 1000,
            default_mss: 1000,
        };
        let now = Instant::from_millis(1_000_000);
        let mut tcb = Tcb::new(seeds, &path, &profile, now.as_millis() as u32);
        tcb.state = State::Established;
        (tcb.snd.una, tcb.snd.nxt, tcb.snd.wnd) = (una, una, 60_000);
        tcb.snd.max_window = 60_000;
        tcb.recovery = crate::recovery::Recovery::new(una);
        tcb.congestion = crate::congestion::Congestion::new(60_000);
        Self {
            tcb,
            pools: Pools::new(&sizes),
            counters: TcpCounters::default(),
            profile,
            now,
        }
    }

    /// So many octets are queued behind what is, and so many are outstanding.
    pub(crate) fn queued(mut self, queued: u32, outstanding: u32) -> Self {
        let bytes = vec![7u8; queued as usize];
        let payload = Bytes::from(&bytes[..]);
        assert!(self.tcb.queue.push(payload, &mut self.pools.send).is_ok());
        self.tcb.snd.nxt = self.tcb.snd.una + outstanding;
        self
    }

    /// The record of the flight is open.
    pub(crate) fn with_flight(mut self) -> Self {
        assert!(self.with(|tcb, env| tcb.open_flight(env)));
        self
    }

    /// Runs a call with an `Env`.
    pub(crate) fn with<R>(
        &mut self,
        call: impl FnOnce(&mut Tcb<TestBuffers>, &mut Env<'_, TestBuffers>) -> R,
    ) -> R {
        let mut env = Env {
            now: self.now,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        call(&mut self.tcb, &mut env)
    }
}
