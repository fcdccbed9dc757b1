//! Buffers for the unit tests of this crate, and a connection with all that its calls are given.

use std::ops::Range;
use std::rc::Rc;

use fourtuple_wire::{Instant, Payload, Received, SackBlock, SeqNum, TcpFlags, TcpHeader, Timestamps};

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

/// A connection that a handshake brought to ESTABLISHED, nothing sent yet, with what its calls are given. Segments hold 1,000 octets, windows 60,000, and
/// sequence numbers turn soon.
pub(crate) struct Established {
    pub(crate) tcb: Tcb<TestBuffers>,
    pub(crate) pools: Pools<TestBuffers>,
    pub(crate) counters: TcpCounters,
    pub(crate) profile: Profile,
    pub(crate) now: Instant,
}

impl Established {
    /// What both ends offer is what `profile` has; our window field is not scaled.
    pub(crate) fn new(profile: Profile) -> Self {
        let mut pools = Pools::new(&PoolSizes {
            send_chunks: 16,
            receive_chunks: 16,
            reassemblies: 2,
            flights: 2,
            long_scoreboards: 1,
            asides: 2,
        });
        let (mut counters, now) = (TcpCounters::default(), Instant::from_millis(5_000));
        let seeds = Seeds {
            iss: SeqNum(u32::MAX - 100),
            timestamp_offset: 7,
        };
        // Timestamps take twelve octets of it.
        let mss = if profile.timestamps { 1012 } else { 1000 };
        let path = Path {
            receive_mss: mss,
            send_mss_limit: mss,
            default_mss: 536,
        };
        let mut env = Env {
            now,
            profile: &profile,
            pools: &mut pools,
            counters: &mut counters,
        };
        let mut tcb = Tcb::connect(seeds, &path, &mut env);
        assert!(tcb.poll_transmit(&mut env).is_some(), "a SYN");
        let mut syn_ack = TcpHeader {
            seq: SeqNum(u32::MAX - 200),
            ack: seeds.iss + 1,
            flags: TcpFlags::SYN | TcpFlags::ACK,
            window: 60_000,
            ..TcpHeader::default()
        };
        syn_ack.options.mss = Some(mss);
        syn_ack.options.sack_permitted = profile.sack;
        syn_ack.options.timestamps = profile.timestamps.then_some(Timestamps {
            value: 1_000,
            echo: 0,
        });
        assert_eq!(tcb.segment_arrives(&syn_ack, None, &mut env).verdict, Ok(()));
        assert_eq!(tcb.state, State::Established);
        while tcb.poll_transmit(&mut env).is_some() {}
        Self {
            tcb,
            pools,
            counters,
            profile,
            now,
        }
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

    /// The peer's next segment: at RCV.NXT, of all that was sent, with its window and timestamp as before.
    pub(crate) fn next_header(&self) -> TcpHeader {
        let mut header = TcpHeader {
            seq: self.tcb.rcv.nxt,
            ack: self.tcb.snd.nxt,
            flags: TcpFlags::ACK,
            window: 60_000,
            ..TcpHeader::default()
        };
        header.options.timestamps = self.tcb.timestamps.enabled.then_some(Timestamps {
            value: self.tcb.timestamps.recent,
            echo: 0,
        });
        header
    }

    /// Queues `len` octets, and sends what may be.
    pub(crate) fn send(&mut self, len: usize) {
        let payload = Bytes::from(&vec![7; len][..]);
        self.with(|tcb, env| {
            assert!(tcb.send(payload, env).is_ok(), "there is room");
            while tcb.poll_transmit(env).is_some() {}
        });
    }
}

/// A SACK block.
pub(crate) fn sack_block(left: SeqNum, right: SeqNum) -> SackBlock {
    SackBlock { left, right }
}
