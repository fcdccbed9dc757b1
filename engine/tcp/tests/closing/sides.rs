//! Two ends on virtual time, joined by a link that loses the segments it is told to lose and nothing else.

use std::time::Duration;

use fourtuple_tcp::{
    Arrival, Ending, Env, ListenArrival, Path, PoolSizes, Pools, PoolsInUse, Profile, Seeds, State,
    SynArrival, SynDeadline, SynRecord, Tcb, TcpCounters, TimeWait, TimeWaitArrival, listen_segment_arrives,
    reset_for,
};
use fourtuple_wire::{Instant, Payload, Received, SeqNum, TcpFlags, TcpHeader};

use crate::support::{Bytes, Frame, POOLS, TestBuffers};

/// A name, and what its packets carry.
pub type Family = (&'static str, Path);

/// Long enough for every retransmission of two lost segments.
pub const MSL: Duration = Duration::from_secs(30);

/// Deadlines are rounded up.
pub const TICK: Duration = Duration::from_millis(2);

const DELAY: Duration = Duration::from_millis(3);

/// What is added to the clock of timestamps.
const TIMESTAMP_OFFSET: u32 = u32::MAX - 50;

/// Virtual time after which something has gone wrong.
const LATE: Duration = Duration::from_secs(300);

/// What both ends do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub family: Family,
    pub timestamps: bool,
    /// Who closes without waiting for the peer's end of file.
    pub closes_first: [bool; 2],
    /// As soon as there is a connection, and not only once both ends are established; and the handshake may be lost too.
    pub at_once: bool,
    /// Octets written before the close.
    pub text: [usize; 2],
    /// Octets that the end which closes second writes after the peer's end of file.
    pub late: usize,
    /// The end that closes first lets go of the connection, and does not only close its own direction.
    pub lets_go: bool,
}

/// What came of it.
#[derive(Debug)]
#[expect(dead_code, reason = "`lost` is read by who reads a failure")]
pub struct Run {
    pub plan: Plan,
    pub lost: Vec<usize>,
    /// Segments that count for `lost`.
    pub sent: usize,
    pub retransmits: u64,
    pub sides: [Outcome; 2],
}

#[derive(Debug)]
pub struct Outcome {
    pub read: usize,
    pub end_of_file: bool,
    pub endings: Vec<Ending>,
    pub resets: u64,
    /// The states after ESTABLISHED.
    pub path: Vec<State>,
    /// When it came into TIME_WAIT, or saw a FIN since.
    pub waits_since: Instant,
    pub over_at: Instant,
}

enum Record {
    Nothing,
    Half(SynRecord),
    Tcb(Tcb<TestBuffers>),
    TimeWait(TimeWait),
    Over,
}

struct Side {
    index: usize,
    record: Record,
    pools: Pools<TestBuffers>,
    counters: TcpCounters,
    profile: Profile,
    path: Path,
    wrote: bool,
    wrote_late: bool,
    closed: bool,
    outcome: Outcome,
}

struct InFlight {
    at: Instant,
    to: usize,
    header: TcpHeader,
    payload: Vec<u8>,
}

pub struct Pair {
    plan: Plan,
    lost: Vec<usize>,
    sides: [Side; 2],
    on_the_way: Vec<InFlight>,
    sent: usize,
    counting: bool,
    start: Instant,
    now: Instant,
}

/// Octet `at` of the stream that a side writes.
fn octet(side: usize, at: usize) -> u8 {
    ((at * 7 + side * 101) % 253) as u8
}

impl Pair {
    pub fn new(plan: &Plan, lost: &[usize]) -> Self {
        let start = Instant::from_millis(u64::from(u32::MAX) - 1_000);
        let mut sides = [0, 1].map(|index| Side::new(index, plan, start));
        let opener = &mut sides[0];
        let mut env = opener.env_with(start);
        let tcb = Tcb::connect(seeds(0), &plan.family.1, &mut env);
        opener.record = Record::Tcb(tcb);
        Self {
            plan: *plan,
            lost: lost.to_vec(),
            sides,
            on_the_way: Vec::new(),
            sent: 0,
            counting: plan.at_once,
            start,
            now: start,
        }
    }

    /// Until both ends are over.
    pub fn run(mut self) -> Run {
        for step in 0.. {
            assert!(
                step < 10_000,
                "time stands still: {:?} lost {:?}",
                self.plan,
                self.lost
            );
            if self.sides.iter().all(|side| matches!(side.record, Record::Over)) {
                break;
            }
            self.settle();
            let deadlines = self.sides.iter().map(|side| side.deadline(self.now));
            let arrivals = self.on_the_way.iter().map(|segment| segment.at);
            let next = deadlines.chain(arrivals).min().unwrap_or(Instant::FAR_FUTURE);
            if next == Instant::FAR_FUTURE {
                break;
            }
            self.now = next.max(self.now);
            assert!(
                self.now.since(self.start) < LATE,
                "not over in time: {:?} lost {:?}, {:?}",
                self.plan,
                self.lost,
                self.sides.iter().map(Side::state).collect::<Vec<_>>()
            );
            self.deliver();
            for index in 0..2 {
                if let Some(reply) = self.sides[index].on_deadline(self.now) {
                    self.carry(1 - index, reply, Vec::new());
                }
            }
        }
        let retransmits = self.sides.iter().map(Side::retransmits).sum();
        let sides = self.sides.map(|side| {
            assert_eq!(
                side.pools.in_use(),
                PoolsInUse::default(),
                "everything is given back"
            );
            Outcome {
                resets: side.outcome.resets + side.counters.resets_out,
                ..side.outcome
            }
        });
        Run {
            plan: self.plan,
            lost: self.lost,
            sent: self.sent,
            retransmits,
            sides,
        }
    }

    /// Applications act and segments leave until nothing more happens at this moment.
    fn settle(&mut self) {
        let both_open = self.sides.iter().all(Side::is_open);
        if both_open && self.on_the_way.is_empty() {
            self.counting = true;
        }
        let may_close = self.plan.at_once || self.counting;
        for index in 0..2 {
            self.sides[index].application(&self.plan, may_close, self.now);
        }
        for index in 0..2 {
            while let Some((header, payload)) = self.sides[index].transmit(self.now) {
                self.carry(1 - index, header, payload);
            }
            self.sides[index].retire(self.now);
        }
    }

    fn carry(&mut self, to: usize, header: TcpHeader, payload: Vec<u8>) {
        if self.counting {
            self.sent += 1;
            if self.lost.contains(&(self.sent - 1)) {
                return;
            }
        }
        let at = self.now + DELAY;
        self.on_the_way.push(InFlight {
            at,
            to,
            header,
            payload,
        });
    }

    /// In the order of their sending; what one gives rise to leaves before the next arrives.
    fn deliver(&mut self) {
        while let Some(place) = self.on_the_way.iter().position(|segment| segment.at <= self.now) {
            let segment = self.on_the_way.remove(place);
            let side = &mut self.sides[segment.to];
            if segment.header.flags.contains(TcpFlags::FIN) {
                side.outcome.waits_since = self.now;
            }
            if let Some(reply) = side.arrives(&segment.header, &segment.payload, self.now) {
                self.carry(1 - segment.to, reply, Vec::new());
            }
            self.settle();
        }
    }
}

fn seeds(index: usize) -> Seeds {
    Seeds {
        // Both wrap within the text.
        iss: SeqNum(u32::MAX - 1_000 - 300 * index as u32),
        timestamp_offset: TIMESTAMP_OFFSET,
    }
}

impl Side {
    fn new(index: usize, plan: &Plan, start: Instant) -> Self {
        let sizes = PoolSizes {
            send_chunks: 16,
            receive_chunks: 32,
            ..POOLS
        };
        Self {
            index,
            record: Record::Nothing,
            pools: Pools::new(&sizes),
            counters: TcpCounters::default(),
            profile: Profile::default().with(|profile| {
                profile.timestamps = plan.timestamps;
                profile.msl = MSL;
            }),
            path: plan.family.1,
            wrote: false,
            wrote_late: false,
            closed: false,
            outcome: Outcome {
                read: 0,
                end_of_file: false,
                endings: Vec::new(),
                resets: 0,
                path: Vec::new(),
                waits_since: start,
                over_at: start,
            },
        }
    }

    fn env_with(&mut self, now: Instant) -> Env<'_, TestBuffers> {
        Env {
            now,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        }
    }

    fn with<R>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Tcb<TestBuffers>, &mut Env<'_, TestBuffers>) -> R,
    ) -> Option<R> {
        let Record::Tcb(tcb) = &mut self.record else {
            return None;
        };
        let mut env = Env {
            now,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        let result = call(tcb, &mut env);
        let state = tcb.state();
        let opening = matches!(state, State::SynSent | State::SynReceived | State::Established);
        if !opening && self.outcome.path.last() != Some(&state) {
            self.outcome.path.push(state);
            self.outcome.waits_since = now;
        }
        Some(result)
    }

    fn state(&self) -> Option<State> {
        match &self.record {
            Record::Tcb(tcb) => Some(tcb.state()),
            Record::TimeWait(_) => Some(State::TimeWait),
            Record::Nothing | Record::Half(_) | Record::Over => None,
        }
    }

    fn is_open(&self) -> bool {
        self.state()
            .is_some_and(|state| !matches!(state, State::SynSent | State::SynReceived))
    }

    fn retransmits(&self) -> u64 {
        let counters = &self.counters;
        counters.retransmits_fast + counters.retransmits_rto + counters.retransmits_syn
    }

    /// Writes, reads, and closes when it is time to.
    fn application(&mut self, plan: &Plan, may_close: bool, now: Instant) {
        let index = self.index;
        if may_close && !self.wrote && self.state().is_some() {
            self.wrote = true;
            self.write(0, plan.text[index], now);
        }
        self.read(now);
        let first = plan.closes_first[index];
        if self.outcome.end_of_file && !first && !self.wrote_late {
            self.wrote_late = true;
            self.write(plan.text[index], plan.late, now);
        }
        if self.wrote && !self.closed && (first || self.wrote_late) {
            self.closed = true;
            let lets_go = plan.lets_go || !first;
            self.with(now, |tcb, env| {
                if lets_go {
                    tcb.close(env)
                } else {
                    tcb.shutdown(env)
                }
            });
        }
    }

    fn write(&mut self, from: usize, len: usize, now: Instant) {
        let bytes: Vec<u8> = (from..from + len).map(|at| octet(self.index, at)).collect();
        for chunk in bytes.chunks(1_000) {
            let sent = self.with(now, |tcb, env| tcb.send(Bytes::new(chunk), env));
            assert!(matches!(sent, Some(Ok(()))), "there is room and a connection");
        }
    }

    fn read(&mut self, now: Instant) {
        while let Some(Some(frame)) = self.with(now, |tcb, env| tcb.receive(env)) {
            for byte in frame.bytes() {
                assert_eq!(
                    *byte,
                    octet(1 - self.index, self.outcome.read),
                    "octet {}",
                    self.outcome.read
                );
                self.outcome.read += 1;
            }
            let space = frame.space();
            self.with(now, |tcb, env| tcb.release(space, env));
        }
        if let Record::Tcb(tcb) = &self.record {
            self.outcome.end_of_file |= tcb.at_end();
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<(TcpHeader, Vec<u8>)> {
        let outgoing = self.with(now, |tcb, env| tcb.poll_transmit(env))??;
        let mut payload = Vec::new();
        if let Record::Tcb(tcb) = &self.record {
            tcb.each_payload(&outgoing, &self.pools, |chunk, part| {
                payload.extend_from_slice(&chunk.bytes()[part]);
            });
        }
        Some((outgoing.header, payload))
    }

    /// What is over makes room: TIME_WAIT goes on as a compact record, as in the engine.
    fn retire(&mut self, now: Instant) {
        let record = self.with(now, |tcb, env| tcb.time_wait(env)).flatten();
        let closed = matches!(&self.record, Record::Tcb(tcb) if tcb.is_closed());
        if record.is_none() && !closed {
            return;
        }
        self.with(now, |tcb, env| tcb.free(env));
        if closed {
            self.outcome.over_at = now;
        }
        self.record = record.map_or(Record::Over, Record::TimeWait);
    }

    fn arrives(&mut self, header: &TcpHeader, payload: &[u8], now: Instant) -> Option<TcpHeader> {
        match &mut self.record {
            Record::Nothing => match listen_segment_arrives(header, payload.len()) {
                ListenArrival::Syn => {
                    let record =
                        SynRecord::from_syn(header, seeds(self.index), &self.path, &self.profile, now);
                    let reply = record.syn_ack(&self.profile, now);
                    self.record = Record::Half(record);
                    return Some(reply);
                }
                other => panic!("nothing comes before a SYN: {other:?}"),
            },
            Record::Half(record) => match record.segment_arrives(header, payload.len(), &self.profile, now) {
                SynArrival::Establish => {
                    let record = record.clone();
                    let tcb = record.establish(&mut self.env_with(now));
                    self.record = Record::Tcb(tcb);
                }
                SynArrival::SynAck => return Some(record.syn_ack(&self.profile, now)),
                SynArrival::Reply(reply) => return Some(reply),
                SynArrival::Remove => panic!("nobody resets here"),
                SynArrival::Drop(_) => return None,
            },
            Record::TimeWait(record) => {
                return match record.segment_arrives(
                    header,
                    payload.len(),
                    &self.profile,
                    || TIMESTAMP_OFFSET,
                    now,
                ) {
                    TimeWaitArrival::Acknowledge(reply) => Some(reply),
                    TimeWaitArrival::Reopen => panic!("nobody opens anew"),
                    TimeWaitArrival::Drop(_) => None,
                };
            }
            // An answer too many of the peer's TIME_WAIT; it ignores what comes of it.
            Record::Over => return reset_for(header, payload.len()),
            Record::Tcb(_) => {}
        }
        let frame = (!payload.is_empty()).then(|| Frame::new(payload, payload.len() + 300));
        let arrival = self.with(now, |tcb, env| tcb.segment_arrives(header, frame, env))?;
        self.note(&arrival);
        arrival.reply
    }

    fn note(&mut self, arrival: &Arrival) {
        self.outcome.endings.extend(arrival.ended);
        self.outcome.resets += u64::from(arrival.reply.is_some());
    }

    fn deadline(&self, now: Instant) -> Instant {
        match &self.record {
            Record::Tcb(tcb) => tcb.deadline(now),
            Record::Half(record) => record.deadline(now),
            Record::TimeWait(record) => record.deadline(now),
            Record::Nothing | Record::Over => Instant::FAR_FUTURE,
        }
    }

    fn on_deadline(&mut self, now: Instant) -> Option<TcpHeader> {
        match &mut self.record {
            Record::Half(record) => match record.on_deadline(&self.profile, now) {
                SynDeadline::Retransmit => {
                    self.counters.retransmits_syn += 1;
                    return Some(record.syn_ack(&self.profile, now));
                }
                SynDeadline::GiveUp => panic!("the handshake is done in time"),
                SynDeadline::NotYet => {}
            },
            Record::TimeWait(record) => {
                if record.is_over(now) {
                    self.outcome.over_at = now;
                    self.record = Record::Over;
                }
            }
            Record::Tcb(_) => {
                if let Some(arrival) = self.with(now, |tcb, env| tcb.on_deadline(env)) {
                    self.note(&arrival);
                }
            }
            Record::Nothing | Record::Over => {}
        }
        None
    }
}
