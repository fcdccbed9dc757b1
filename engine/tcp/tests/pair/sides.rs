//! Two TCBs joined by a link, with applications that write, read, and close at random moments.

use std::time::Duration;

use fourtuple_tcp::{
    Ending, Env, Path, PoolSizes, Pools, Profile, Seeds, Signals, State, SynArrival, SynRecord, Tcb,
    TcpCounters,
};
use fourtuple_wire::{Instant, Payload, Received, SeqNum};

use crate::link::{Link, LinkProfile, Rng};
use crate::support::{Bytes, Frame, TestBuffers};

/// What the application of a side does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Octets to be written.
    pub total: usize,
    /// The largest write.
    pub chunk: usize,
    /// Percent of application ticks in which it reads.
    pub reads: u64,
    /// It shuts down when all is written; else it waits for the peer's end of file first.
    pub eager_close: bool,
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub profiles: [Profile; 2],
    pub path: Path,
    pub link: LinkProfile,
    pub plans: [Plan; 2],
    pub simultaneous_open: bool,
    /// Space that a buffer pins beyond its payload.
    pub overhead: usize,
    pub pools: PoolSizes,
}

enum Record {
    Tcb(Tcb<TestBuffers>),
    Half(SynRecord),
    Nothing,
}

pub struct Side {
    record: Record,
    pools: Pools<TestBuffers>,
    pub counters: TcpCounters,
    profile: Profile,
    plan: Plan,
    pub written: usize,
    pub read: usize,
    pub end_of_file: bool,
    shut: bool,
    pub ended: Option<Ending>,
    pub established: u32,
    seeds: Seeds,
}

pub struct Pair {
    pub sides: [Side; 2],
    link: Link,
    rng: Rng,
    pub now: Instant,
    path: Path,
    overhead: usize,
    progress: (usize, Instant),
}

/// Octet `at` of the stream that a side writes.
fn octet(side: usize, at: usize) -> u8 {
    ((at * 7 + side * 101) % 253) as u8
}

impl Pair {
    pub fn new(setup: Setup) -> Self {
        let mut rng = Rng::new(setup.seed);
        let start = Instant::from_millis(u64::from(u32::MAX) - rng.below(5_000));
        let mut sides = [0, 1].map(|index| Side {
            record: Record::Nothing,
            pools: Pools::new(&setup.pools),
            counters: TcpCounters::default(),
            profile: setup.profiles[index].clone(),
            plan: setup.plans[index].clone(),
            written: 0,
            read: 0,
            end_of_file: false,
            shut: false,
            ended: None,
            established: 0,
            // Half of the connections wrap soon.
            seeds: Seeds {
                iss: SeqNum(if rng.chance(50) {
                    u32::MAX - rng.below(20_000) as u32
                } else {
                    rng.next() as u32
                }),
                timestamp_offset: rng.next() as u32,
            },
        });
        let active = if setup.simultaneous_open { 2 } else { 1 };
        for side in &mut sides[..active] {
            let mut env = Env {
                now: start,
                profile: &side.profile,
                pools: &mut side.pools,
                counters: &mut side.counters,
            };
            side.record = Record::Tcb(Tcb::connect(side.seeds, &setup.path, &mut env));
        }
        Self {
            sides,
            link: Link::new(setup.link),
            rng,
            now: start,
            path: setup.path,
            overhead: setup.overhead,
            progress: (0, start),
        }
    }

    /// Runs until both connections are over, or fails when nothing moves for ten virtual minutes.
    pub fn run(&mut self) {
        while !self.is_over() {
            self.step();
            let done = self
                .sides
                .iter()
                .map(|side| side.read + side.written + usize::from(side.end_of_file))
                .sum();
            if done != self.progress.0 {
                self.progress = (done, self.now);
            }
            let stuck = self.now.since(self.progress.1) > Duration::from_secs(600);
            assert!(
                !stuck,
                "nothing moves: {:#?}",
                self.sides.iter().map(Side::tcb).collect::<Vec<_>>()
            );
        }
        for side in &mut self.sides {
            side.end();
        }
    }

    fn is_over(&self) -> bool {
        self.sides.iter().all(|side| match &side.record {
            Record::Tcb(tcb) => tcb.is_closed() || (tcb.state() == State::TimeWait && !tcb.owes()),
            Record::Half(_) | Record::Nothing => false,
        })
    }

    fn step(&mut self) {
        for index in 0..2 {
            self.application(index);
            self.transmit(index);
        }
        let mut next = self.now + Duration::from_millis(1 + self.rng.below(5));
        next = next.min(self.link.next_at().unwrap_or(next));
        for side in &self.sides {
            next = next.min(side.deadline(self.now).max(self.now));
        }
        self.now = next;
        // Now and then several segments make one burst.
        while let Some(segment) = self.link.take_arrived(self.now) {
            self.arrives(segment);
        }
        for index in 0..2 {
            self.sides[index].on_deadline(self.now);
        }
    }

    fn arrives(&mut self, segment: crate::link::InFlight) {
        let side = &mut self.sides[segment.to];
        let header = &segment.header;
        if let Record::Nothing = side.record {
            if matches!(
                fourtuple_tcp::listen_segment_arrives(header, segment.payload.len()),
                fourtuple_tcp::ListenArrival::Syn
            ) {
                let record = SynRecord::from_syn(header, side.seeds, &self.path, &side.profile, self.now);
                let reply = record.syn_ack(&side.profile, self.now);
                side.record = Record::Half(record);
                self.link
                    .carry(1 - segment.to, reply, Vec::new(), self.now, &mut self.rng);
            }
            return;
        }
        if let Record::Half(record) = &mut side.record {
            match record.segment_arrives(header, segment.payload.len(), &side.profile, self.now) {
                SynArrival::Establish => {
                    let mut env = Env {
                        now: self.now,
                        profile: &side.profile,
                        pools: &mut side.pools,
                        counters: &mut side.counters,
                    };
                    side.record = Record::Tcb(record.establish(&mut env));
                }
                SynArrival::SynAck => {
                    let reply = record.syn_ack(&side.profile, self.now);
                    self.link
                        .carry(1 - segment.to, reply, Vec::new(), self.now, &mut self.rng);
                    return;
                }
                SynArrival::Reply(reply) => {
                    self.link
                        .carry(1 - segment.to, reply, Vec::new(), self.now, &mut self.rng);
                    return;
                }
                SynArrival::Remove => panic!("nobody resets here"),
                SynArrival::Drop(_) => return,
            }
        }
        let payload = (!segment.payload.is_empty())
            .then(|| Frame::new(&segment.payload, segment.payload.len() + self.overhead));
        let Record::Tcb(tcb) = &mut side.record else {
            return;
        };
        let mut env = Env {
            now: self.now,
            profile: &side.profile,
            pools: &mut side.pools,
            counters: &mut side.counters,
        };
        let arrival = tcb.segment_arrives(header, payload, &mut env);
        side.established += u32::from(arrival.signals.contains(Signals::ESTABLISHED));
        side.ended = side.ended.or(arrival.ended);
        if let Some(reply) = arrival.reply {
            self.link
                .carry(1 - segment.to, reply, Vec::new(), self.now, &mut self.rng);
        }
    }

    fn transmit(&mut self, index: usize) {
        let side = &mut self.sides[index];
        let Record::Tcb(tcb) = &mut side.record else {
            return;
        };
        loop {
            let mut env = Env {
                now: self.now,
                profile: &side.profile,
                pools: &mut side.pools,
                counters: &mut side.counters,
            };
            let Some(outgoing) = tcb.poll_transmit(&mut env) else {
                return;
            };
            let mut payload = Vec::new();
            tcb.each_payload(&outgoing, &side.pools, |chunk, part| {
                payload.extend_from_slice(&chunk.bytes()[part])
            });
            assert_eq!(payload.len(), usize::from(outgoing.payload_len));
            self.link
                .carry(1 - index, outgoing.header, payload, self.now, &mut self.rng);
        }
    }

    fn application(&mut self, index: usize) {
        let side = &mut self.sides[index];
        let Record::Tcb(tcb) = &mut side.record else {
            return;
        };
        let mut env = Env {
            now: self.now,
            profile: &side.profile,
            pools: &mut side.pools,
            counters: &mut side.counters,
        };
        if side.written < side.plan.total && self.rng.chance(60) {
            let len =
                (1 + self.rng.below(side.plan.chunk as u64) as usize).min(side.plan.total - side.written);
            let len = len.min(tcb.send_room(env.profile, env.pools));
            let bytes: Vec<u8> = (side.written..side.written + len)
                .map(|at| octet(index, at))
                .collect();
            if len > 0 && tcb.send(Bytes::new(&bytes), &mut env).is_ok() {
                side.written += len;
            }
        }
        if self.rng.chance(side.plan.reads) {
            while let Some(frame) = tcb.receive(&mut env) {
                for byte in frame.bytes() {
                    assert_eq!(
                        *byte,
                        octet(1 - index, side.read),
                        "octet {} of the stream",
                        side.read
                    );
                    side.read += 1;
                }
                let space = frame.space();
                tcb.release(space, &mut env);
                if self.rng.chance(30) {
                    break;
                }
            }
        }
        side.end_of_file |= tcb.at_end();
        let may_close = side.plan.eager_close || side.end_of_file;
        if side.written == side.plan.total && !side.shut && may_close && tcb.state() != State::Closed {
            tcb.shutdown(&mut env);
            side.shut = true;
        }
    }
}

impl Side {
    pub fn tcb(&self) -> Option<&Tcb<TestBuffers>> {
        match &self.record {
            Record::Tcb(tcb) => Some(tcb),
            Record::Half(_) | Record::Nothing => None,
        }
    }

    fn deadline(&self, now: Instant) -> Instant {
        match &self.record {
            Record::Tcb(tcb) => tcb.deadline(now),
            Record::Half(record) => record.deadline(now),
            Record::Nothing => Instant::FAR_FUTURE,
        }
    }

    fn on_deadline(&mut self, now: Instant) {
        let mut env = Env {
            now,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        match &mut self.record {
            Record::Tcb(tcb) => {
                let arrival = tcb.on_deadline(&mut env);
                self.ended = self.ended.or(arrival.ended);
            }
            // The peer's SYN comes again; that is enough here.
            Record::Half(record) => {
                let _ = record.on_deadline(env.profile, now);
            }
            Record::Nothing => {}
        }
    }

    /// Reads what is left and gives everything back.
    fn end(&mut self) {
        let mut env = Env {
            now: Instant::ZERO,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        if let Record::Tcb(tcb) = &mut self.record {
            while let Some(frame) = tcb.receive(&mut env) {
                self.read += frame.bytes().len();
            }
            self.end_of_file |= tcb.at_end();
            tcb.free(&mut env);
        }
        assert_eq!(self.pools.in_use(), fourtuple_tcp::PoolsInUse::default());
    }
}
