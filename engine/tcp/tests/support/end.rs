//! One end of a connection, with its pools, its clock, and what it was told.

use std::time::Duration;

use fourtuple_tcp::{
    Arrival, CongestionKind, Ending, Env, Outgoing, Path, PoolSizes, Pools, PoolsInUse, Profile, Seeds,
    SendRefused, Signals, State, SynArrival, SynRecord, Tcb, TcpCounters,
};
use fourtuple_wire::{Instant, Payload, SeqNum, TcpHeader};

use super::{ACK, Bytes, Frame, SYN, Seg, Sent, TestBuffers, seg};

pub const POOLS: PoolSizes = PoolSizes {
    send_chunks: 256,
    receive_chunks: 1024,
    reassemblies: 4,
    flights: 4,
    long_scoreboards: 1,
    asides: 4,
};

/// Segments that follow a first as a train.
const MOST_OF_A_TRAIN: u32 = 15;

/// How a test's connection begins.
#[derive(Clone, Debug)]
pub struct Setup {
    pub profile: Profile,
    pub path: Path,
    pub iss: u32,
    pub irs: u32,
    /// The peer's window field.
    pub peer_window: u16,
    pub peer_syn: Seg,
    pub pools: PoolSizes,
    pub start: Instant,
}

impl Default for Setup {
    /// No options but the MSS, Nagle off, NewReno, segments of one size, windows that do not matter, sequence numbers that wrap soon.
    fn default() -> Self {
        Self {
            profile: Profile::default().with(|profile| {
                profile.nodelay = true;
                profile.timestamps = false;
                profile.sack = false;
                profile.window_scaling = false;
                profile.receive_buffer = 60_000;
                profile.path_mtu_probing = false;
                // What RFC 5681 says, of which others differ.
                profile.congestion = CongestionKind::NewReno;
            }),
            path: Path {
                receive_mss: 1000,
                send_mss_limit: 1000,
                default_mss: 536,
            },
            iss: u32::MAX - 100,
            irs: u32::MAX - 200,
            peer_window: 60_000,
            peer_syn: seg(SYN).mss(1000),
            pools: POOLS,
            start: Instant::from_millis(u64::from(u32::MAX) - 2_000),
        }
    }
}

impl Setup {
    pub fn profile(mut self, change: impl FnOnce(&mut Profile)) -> Self {
        change(&mut self.profile);
        self
    }

    pub fn window(mut self, window: u16) -> Self {
        self.peer_window = window;
        self
    }

    fn empty(&self) -> (Pools<TestBuffers>, TcpCounters) {
        (Pools::new(&self.pools), TcpCounters::default())
    }

    /// SYN_SENT, its SYN not sent yet.
    pub fn connecting(self) -> End {
        let (mut pools, mut counters) = self.empty();
        let seeds = Seeds {
            iss: SeqNum(self.iss),
            timestamp_offset: 7,
        };
        let mut env = Env {
            now: self.start,
            profile: &self.profile,
            pools: &mut pools,
            counters: &mut counters,
        };
        let tcb = Tcb::connect(seeds, &self.path, &mut env);
        self.end(tcb, pools, counters)
    }

    /// SYN_SENT, its SYN sent.
    #[track_caller]
    pub fn syn_sent(self) -> End {
        let mut end = self.connecting();
        end.expect(&seg(SYN).seq(0));
        end
    }

    /// SYN_RECEIVED by a simultaneous open, its SYN+ACK sent.
    #[track_caller]
    pub fn syn_received(self) -> End {
        let syn = self.peer_syn.clone().seq(0);
        let mut end = self.syn_sent();
        assert_eq!(end.arrives(&syn).verdict, Ok(()));
        end.expect(&seg(SYN | ACK).seq(0).ack(1));
        end
    }

    /// ESTABLISHED by an active open, nothing owed.
    #[track_caller]
    pub fn established(self) -> End {
        let syn_ack = Seg {
            flags: SYN | ACK,
            ..self.peer_syn.clone()
        }
        .seq(0)
        .ack(1);
        let mut end = self.syn_sent();
        let arrival = end.arrives(&syn_ack);
        assert!(arrival.signals.contains(Signals::ESTABLISHED));
        end.expect(&seg(ACK).seq(1).ack(1));
        end.expect_nothing();
        end
    }

    /// ESTABLISHED by an active open whose SYN+ACK took so long: the round trip is measured.
    #[track_caller]
    pub fn established_after(self, ms: u64) -> End {
        let mut syn_ack = Seg {
            flags: SYN | ACK,
            ..self.peer_syn.clone()
        }
        .seq(0)
        .ack(1);
        let mut end = self.connecting();
        let syn = end.expect(&seg(SYN).seq(0));
        if let (Some(theirs), Some(ours)) = (syn_ack.timestamps, syn.header.options.timestamps) {
            syn_ack = syn_ack.timestamps(theirs.value, ours.value);
        }
        let _ = end.pass(ms);
        assert_eq!(end.arrives(&syn_ack).verdict, Ok(()));
        end.expect(&seg(ACK).seq(1).ack(1));
        end.expect_nothing();
        end
    }

    /// ESTABLISHED by a passive open.
    #[track_caller]
    pub fn accepted(self) -> End {
        let last = self.last_of_handshake();
        let mut end = self.accepting();
        let mut env = Env {
            now: end.now,
            profile: &end.profile,
            pools: &mut end.pools,
            counters: &mut end.counters,
        };
        let arrival = end.tcb.segment_arrives(&last, None, &mut env);
        assert!(arrival.signals.contains(Signals::ESTABLISHED));
        end
    }

    /// The ACK that ends a passive open's handshake.
    fn last_of_handshake(&self) -> TcpHeader {
        let mut last = seg(ACK)
            .seq(1)
            .ack(1)
            .header(SeqNum(self.irs), SeqNum(self.iss), self.peer_window);
        last.options.timestamps = self.peer_syn.timestamps;
        last
    }

    /// SYN_RECEIVED by a passive open, made from its record for the ACK that ends the handshake, which is still to be taken.
    #[track_caller]
    pub fn accepting(self) -> End {
        let (mut pools, mut counters) = self.empty();
        let mut record = passive_record(&self);
        let last = self.last_of_handshake();
        let arrival = record.segment_arrives(&last, 0, &self.profile, self.start);
        assert_eq!(arrival, SynArrival::Establish);
        let mut env = Env {
            now: self.start,
            profile: &self.profile,
            pools: &mut pools,
            counters: &mut counters,
        };
        let tcb = record.establish(&mut env);
        assert_eq!(tcb.state(), State::SynReceived);
        self.end(tcb, pools, counters)
    }

    fn end(self, tcb: Tcb<TestBuffers>, pools: Pools<TestBuffers>, counters: TcpCounters) -> End {
        End {
            tcb,
            pools,
            counters,
            profile: self.profile,
            now: self.start,
            iss: SeqNum(self.iss),
            irs: SeqNum(self.irs),
            peer_window: self.peer_window,
            space: None,
        }
    }
}

/// The SYN record of the peer's SYN.
pub fn passive_record(setup: &Setup) -> SynRecord {
    let syn = setup
        .peer_syn
        .clone()
        .seq(0)
        .header(SeqNum(setup.irs), SeqNum(setup.iss), setup.peer_window);
    let seeds = Seeds {
        iss: SeqNum(setup.iss),
        timestamp_offset: 7,
    };
    SynRecord::from_syn(&syn, seeds, &setup.path, &setup.profile, setup.start)
}

pub struct End {
    pub tcb: Tcb<TestBuffers>,
    pub pools: Pools<TestBuffers>,
    pub counters: TcpCounters,
    pub profile: Profile,
    pub now: Instant,
    pub iss: SeqNum,
    pub irs: SeqNum,
    pub peer_window: u16,
    /// Buffer space that an arriving payload pins; its length unless set.
    pub space: Option<usize>,
}

impl End {
    /// Runs a call with an `Env`.
    pub fn with<R>(&mut self, call: impl FnOnce(&mut Tcb<TestBuffers>, &mut Env<'_, TestBuffers>) -> R) -> R {
        let mut env = Env {
            now: self.now,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        call(&mut self.tcb, &mut env)
    }

    pub fn state(&self) -> State {
        self.tcb.state()
    }

    pub fn arrives(&mut self, segment: &Seg) -> Arrival {
        let header = segment.header(self.irs, self.iss, self.peer_window);
        self.arrives_raw(&header, &segment.payload)
    }

    /// The segment arrives with a congestion mark in its IP header.
    pub fn arrives_marked(&mut self, segment: &Seg) -> Arrival {
        let header = segment.header(self.irs, self.iss, self.peer_window);
        let space = self.space.unwrap_or(segment.payload.len());
        let payload = (!segment.payload.is_empty()).then(|| Frame::new(&segment.payload, space));
        self.with(|tcb, env| tcb.segment_arrives_marked(&header, payload, env))
    }

    pub fn arrives_raw(&mut self, header: &TcpHeader, payload: &[u8]) -> Arrival {
        let space = self.space.unwrap_or(payload.len());
        let payload = (!payload.is_empty()).then(|| Frame::new(payload, space));
        self.with(|tcb, env| tcb.segment_arrives(header, payload, env))
    }

    /// The next segment that goes out.
    pub fn poll(&mut self) -> Option<Sent> {
        let owed = self.tcb.owes();
        let outgoing = self.with(|tcb, env| tcb.poll_transmit(env));
        assert_eq!(owed, outgoing.is_some(), "owes() and poll_transmit() agree");
        outgoing.map(|outgoing| self.sent(&outgoing))
    }

    /// The next segment that goes out, and at most `most` that follow it as a train.
    pub fn poll_train(&mut self, most: u32) -> Vec<Sent> {
        let owed = self.tcb.owes();
        let Some(mut outgoing) = self.with(|tcb, env| tcb.poll_transmit(env)) else {
            assert!(!owed, "owes() and poll_transmit() agree");
            return Vec::new();
        };
        let mut all = vec![self.sent(&outgoing)];
        let cars = self.with(|tcb, env| tcb.train_behind(&outgoing, most, env));
        for _ in 0..cars {
            self.with(|tcb, env| tcb.next_of_train(&mut outgoing, env));
            all.push(self.sent(&outgoing));
        }
        if cars > 0 {
            self.with(|tcb, env| tcb.end_of_train(env));
        }
        all
    }

    fn sent(&self, outgoing: &Outgoing) -> Sent {
        let mut payload = Vec::new();
        self.tcb.each_payload(outgoing, &self.pools, |chunk, part| {
            payload.extend_from_slice(&chunk.bytes()[part]);
        });
        assert_eq!(payload.len(), usize::from(outgoing.payload_len), "{outgoing:?}");
        Sent {
            header: outgoing.header.clone(),
            payload,
            retransmission: outgoing.retransmission,
            ect: outgoing.ect,
        }
    }

    #[track_caller]
    pub fn expect(&mut self, pattern: &Seg) -> Sent {
        let Some(sent) = self.poll() else {
            panic!("nothing goes out, but {pattern:?} should")
        };
        sent.check(pattern, self.iss, self.irs);
        sent
    }

    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(sent) = self.poll() {
            panic!("nothing should go out, but {sent:?} does");
        }
    }

    /// Everything that goes out now.
    pub fn drain(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        loop {
            let sent = self.poll_train(MOST_OF_A_TRAIN);
            if sent.is_empty() {
                return all;
            }
            all.extend(sent);
        }
    }

    /// Lets time pass, firing deadlines at their time; stops at the first that ends the connection.
    pub fn pass(&mut self, ms: u64) -> Arrival {
        let until = self.now + Duration::from_millis(ms);
        let mut told = self.with(|tcb, env| tcb.on_deadline(env));
        while told.ended.is_none() && self.tcb.deadline(self.now) <= until {
            self.now = self.tcb.deadline(self.now).max(self.now);
            let arrival = self.with(|tcb, env| tcb.on_deadline(env));
            told.signals = told.signals | arrival.signals;
            told.ended = arrival.ended;
            if self.tcb.owes() && told.ended.is_none() && self.tcb.deadline(self.now) <= self.now {
                break;
            }
        }
        if told.ended.is_none() {
            self.now = until;
        }
        told
    }

    /// Goes to the next deadline and fires it.
    #[track_caller]
    pub fn fire(&mut self) -> Arrival {
        let deadline = self.tcb.deadline(self.now);
        assert_ne!(deadline, Instant::FAR_FUTURE, "a deadline stands");
        self.now = deadline.max(self.now);
        self.with(|tcb, env| tcb.on_deadline(env))
    }

    /// Milliseconds to the next deadline.
    pub fn next_deadline_ms(&self) -> u64 {
        self.tcb.deadline(self.now).since(self.now).as_millis() as u64
    }

    /// Queues octets; sequence numbers as in `Seg::octets` when `from` is the first one's.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        assert!(self.try_write(bytes).is_ok(), "there is room");
    }

    pub fn try_write(&mut self, bytes: &[u8]) -> Result<(), SendRefused<()>> {
        let payload = Bytes::new(bytes);
        self.with(|tcb, env| tcb.send(payload, env))
            .map_err(|refused| match refused {
                SendRefused::Full(_) => SendRefused::Full(()),
                SendRefused::Closed(_) => SendRefused::Closed(()),
            })
    }

    /// Queues `len` octets of the stream, whose next one is `from`.
    #[track_caller]
    pub fn write_octets(&mut self, from: usize, len: usize) {
        let bytes: Vec<u8> = (from..from + len).map(|at| (at % 251) as u8).collect();
        self.write(&bytes);
    }

    /// Takes and releases everything that is readable.
    pub fn read(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.with(|tcb, env| tcb.receive(env)) {
            use fourtuple_wire::Received;
            bytes.extend_from_slice(frame.bytes());
            let space = frame.space();
            drop(frame);
            self.with(|tcb, env| tcb.release(space, env));
        }
        bytes
    }

    pub fn shutdown(&mut self) {
        self.with(|tcb, env| tcb.shutdown(env));
    }

    pub fn close(&mut self) {
        self.with(|tcb, env| tcb.close(env));
    }

    pub fn abort(&mut self) {
        self.with(|tcb, env| tcb.abort(env));
    }

    /// Everything in the pools is back after `free`.
    #[track_caller]
    pub fn expect_pools_whole(&mut self) {
        self.with(|tcb, env| tcb.free(env));
        assert_eq!(self.pools.in_use(), PoolsInUse::default());
    }

    #[track_caller]
    pub fn expect_ended(arrival: &Arrival, ending: Ending) {
        assert_eq!(arrival.ended, Some(ending));
    }
}
