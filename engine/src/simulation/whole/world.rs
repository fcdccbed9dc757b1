//! The world: hosts joined by links, stepped in an order drawn from the seed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use fourtuple_nic::{Clock, MacAddr};
use fourtuple_nic_mem::{End, MemOptions, MemPort, MemQueue, Spread, VirtualClock, Wire, WireConditions};
use fourtuple_wire::Instant;

use super::draw::Draw;
use super::faults::Trouble;
use super::frames::{self, Purpose};
use super::host::Host;
use super::ledger::Ledger;
use super::on_worker::Shared;
use super::plan::{LinkPlan, WorldPlan, rough};
use super::script::{Conversation, PATIENCE};
use super::{MS, Report, SECOND};

/// A world under way.
pub(super) struct World {
    plan: WorldPlan,
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    clock: VirtualClock,
    shared: Shared,
    draw: Draw,
    /// What is to happen, by time.
    agenda: VecDeque<(u64, Act)>,
    /// By link and way: how narrow it is, and whether a router tells.
    narrow: Vec<[Option<(u16, bool)>; 2]>,
    calm: bool,
    /// Something happened in the last round.
    was_busy: bool,
    over_since: Option<u64>,
    pub(super) steps: u64,
    traffic: Traffic,
    /// The last segments and events in words, when they are wanted.
    pub(super) journal: Option<VecDeque<String>>,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Trouble(Trouble),
    Restore(usize),
    Calm,
}

#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    frames: u64,
    acks: u64,
    segments: u64,
    digest: u64,
}

/// The address of a conversation's end, 0 for the opener's (without its port), 1 for the acceptor's.
pub(super) fn address(conversation: &Conversation, side: usize) -> SocketAddr {
    let host = conversation.seats[side].host;
    let link = conversation.seats[0].host.max(conversation.seats[1].host) - 1;
    let at = if host == 0 { 1 } else { 2 };
    let port = if side == 1 {
        super::script::port_of(conversation.number)
    } else {
        0
    };
    SocketAddr::new(frames::ip(link, at, conversation.ipv6), port)
}

impl World {
    pub(super) fn new(plan: WorldPlan, journal: bool) -> Self {
        let clock = VirtualClock::new();
        let offsets: Vec<_> = plan.hosts.iter().map(|host| host.clock).collect();
        let ledger = Ledger::new(plan.conversations.clone(), plan.calm_at, offsets, journal);
        let shared = Shared::new(ledger);
        let mut wires = Vec::new();
        let mut queues: Vec<_> = plan.hosts.iter().map(|_| Vec::new()).collect();
        for (at, link) in plan.links.iter().enumerate() {
            let (wire, hub, leaf) = join(&plan, at, link, &clock);
            wires.push(wire);
            queues[0].push(hub);
            queues[at + 1].push(leaf);
        }
        let hosts: Vec<_> = queues
            .into_iter()
            .enumerate()
            .map(|(at, queues)| Host::new(at, &plan, queues, &shared))
            .collect();
        let mut agenda: Vec<_> = plan
            .faults
            .iter()
            .map(|fault| (fault.at, Act::Trouble(fault.what)))
            .collect();
        agenda.push((plan.calm_at, Act::Calm));
        agenda.sort_by_key(|(at, _)| *at);
        Self {
            draw: Draw::new(plan.seed, 2),
            narrow: vec![[None; 2]; wires.len()],
            plan,
            hosts,
            wires,
            clock,
            shared,
            agenda: agenda.into(),
            calm: false,
            was_busy: false,
            over_since: None,
            steps: 0,
            traffic: Traffic::default(),
            journal: journal.then(VecDeque::new),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Everything from the beginning to the end.
    pub(super) fn run(&mut self) -> Result<Report, String> {
        while !self.is_over() {
            self.step()?;
            if self.steps > STEPS_MOST {
                let busy: Vec<_> = self.hosts.iter().map(|host| format!("{:b}", host.busy)).collect();
                return Err(format!(
                    "{STEPS_MOST} steps, and it is not over: of each host, by bit, {busy:?} were busy last"
                ));
            }
        }
        self.hosts.iter_mut().for_each(Host::end_endpoints);
        let end = self.now() + SETTLES_WITHIN;
        while !self.hosts.iter().all(Host::is_empty) || !self.wires.iter().all(Wire::is_quiet) {
            self.step()?;
            if self.now() > end {
                return Err(format!(
                    "not empty {SETTLES_WITHIN} ns after the end: {}",
                    self.what_is_left()
                ));
            }
        }
        // Buffers of endpoints that are gone come home in some turns.
        for _ in 0..8 {
            self.step()?;
            self.clock.advance(Duration::from_millis(5));
        }
        self.hosts.iter_mut().try_for_each(Host::left_over)?;
        let mut ledger = self.shared.ledger();
        ledger.settle();
        if let Some(wrong) = ledger.wrong.take() {
            return Err(wrong);
        }
        Ok(Report {
            steps: self.steps,
            frames: self.traffic.frames,
            bytes: ledger.bytes,
            connections: ledger.opened,
            spans: Duration::from_nanos(self.clock.now_ns()),
            digest: self.traffic.digest,
            journal: self.journal.take().unwrap_or_default().into(),
        })
    }

    /// What the workers counted, in words.
    pub(super) fn counts(&mut self) -> Vec<String> {
        let mut lines: Vec<_> = self.hosts.iter_mut().flat_map(Host::counts).collect();
        for (link, wire) in self.wires.iter().enumerate() {
            lines.push(format!("link {link} from the hub: {:?}", wire.counts(End::A)));
            lines.push(format!("link {link} to the hub: {:?}", wire.counts(End::B)));
        }
        lines
    }

    fn what_is_left(&mut self) -> String {
        let left = self
            .hosts
            .iter_mut()
            .map(|host| host.left_over().err().unwrap_or_default());
        left.collect::<Vec<_>>().join("; ")
    }

    /// All is calm, every conversation is over, and has been for long enough for what was still on its way.
    fn is_over(&mut self) -> bool {
        let now = self.now();
        if !self.calm || !self.shared.ledger().is_over() {
            self.over_since = None;
            return false;
        }
        let since = *self.over_since.get_or_insert(now);
        now > since + LINGERS
    }

    /// One round: everybody in some order, then time goes on.
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        let due = self.now();
        self.shared.ledger().now = due;
        while self.agenda.front().is_some_and(|(at, _)| *at <= due) {
            if let Some((_, act)) = self.agenda.pop_front() {
                self.act(act);
            }
        }
        // Clocks may have leapt: a host that began anew behind that must not see them go back.
        let now = self.now();
        self.shared.ledger().now = now;
        // In a quiet round everybody has a turn, or time would not go on.
        let passed_over = if self.was_busy { self.plan.passed_over } else { 0 };
        let (mut busy, mut next) = (false, u64::MAX);
        let mut heard = vec![false; self.hosts.len()];
        for (link, wire) in self.wires.iter().enumerate() {
            let [hub, leaf] = wire.waiting();
            heard[0] |= hub > 0;
            heard[link + 1] |= leaf > 0;
        }
        let mut order: Vec<usize> = (0..self.hosts.len()).collect();
        self.draw.shuffle(&mut order);
        for at in order {
            let offset = self.shared.ledger().offsets[at];
            let turned = self.hosts[at].step(now, offset, heard[at], passed_over, &mut self.draw);
            let (was_busy, wants) = turned.map_err(|what| format!("host {at} {what}"))?;
            busy |= was_busy;
            next = next.min(wants);
        }
        self.was_busy = busy;
        self.speak_as_routers();
        self.look_at_frames();
        self.check(now)?;
        for wire in &self.wires {
            next = next.min(wire.next_event_ns().unwrap_or(u64::MAX));
        }
        next = next.min(self.agenda.front().map_or(u64::MAX, |(at, _)| *at));
        let to = if busy || next <= now {
            now + 100 + self.draw.below(self.plan.grain)
        } else {
            // When nobody wants anything, somebody may still be waiting for a time of its own.
            next.min(now + SECOND)
        };
        self.clock.advance_to(to.max(now + 100));
        Ok(())
    }

    fn check(&mut self, now: u64) -> Result<(), String> {
        let planned = {
            let mut ledger = self.shared.ledger();
            if let Some(events) = &mut ledger.journal
                && let Some(journal) = &mut self.journal
            {
                journal.extend(events.drain(..));
            }
            if let Some(wrong) = ledger.wrong.take() {
                return Err(wrong);
            }
            if self.steps.is_multiple_of(256)
                && let Some(part) = ledger.stuck(PATIENCE)
            {
                ledger.fail(part, || format!("nothing happens for {} s", PATIENCE / SECOND));
            }
            if self.steps.is_multiple_of(256)
                && let Some(place) = ledger.cannot_open()
            {
                let number = ledger.conversations[place].number;
                return Err(format!(
                    "conversation {number}: there is no place to open it from"
                ));
            }
            ledger.planned_panics
        };
        if let Some(journal) = &mut self.journal {
            while journal.len() > JOURNAL {
                journal.pop_front();
            }
        }
        let panics: u64 = self.hosts.iter().map(Host::panics).sum();
        if panics > planned {
            return Err(format!(
                "a handler panicked, and not by plan: {panics} of {planned}"
            ));
        }
        let Traffic { acks, segments, .. } = self.traffic;
        if self.steps.is_multiple_of(64) {
            // Each segment is answered once, a copy of it once more; reads tell of room; timers probe.
            let ledger = self.shared.ledger();
            let duplicated: u64 = self
                .wires
                .iter()
                .map(|wire| wire.counts(End::A).duplicated + wire.counts(End::B).duplicated)
                .sum();
            let by_time = (now / (100 * MS) + 100) * (ledger.opened.min(40) + 4);
            if acks > 3 * segments + 4 * ledger.reads + 3 * duplicated + by_time {
                return Err(format!("a storm: {acks} acknowledgments for {segments} segments"));
            }
        }
        Ok(())
    }

    /// Counts what left its port, and tells of it.
    fn look_at_frames(&mut self) {
        for (link, wire) in self.wires.iter().enumerate() {
            for frame in wire.take_captured() {
                self.traffic.frames += 1;
                let packet = frames::read(&frame.bytes);
                if let Some(packet) = &packet {
                    self.shared.ledger().saw(packet);
                }
                match frames::purpose(packet.as_ref()) {
                    Purpose::PureAck => self.traffic.acks += 1,
                    Purpose::Segment => self.traffic.segments += 1,
                    Purpose::Other => {}
                }
                let mut digest = self.traffic.digest ^ frame.at_ns;
                for word in frame.bytes.chunks(8).take(9) {
                    let mut octets = [0; 8];
                    octets[..word.len()].copy_from_slice(word);
                    digest = (digest ^ u64::from_le_bytes(octets)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    digest ^= digest >> 29;
                }
                self.traffic.digest = digest;
                if let Some(journal) = &mut self.journal {
                    let line = frames::describe(packet.as_ref(), &frame.bytes);
                    let fate = frame.fate;
                    journal.push_back(format!(
                        "{:>14.6} link {link} {line} {fate:?}",
                        frame.at_ns as f64 / 1e9
                    ));
                }
            }
        }
    }

    fn speak_as_routers(&mut self) {
        for (wire, narrow) in self.wires.iter().zip(&self.narrow) {
            for (end, narrow) in [End::A, End::B].into_iter().zip(narrow) {
                let Some((most, told)) = *narrow else { continue };
                for frame in wire.take_too_big(end) {
                    if told && let Some(answer) = frames::too_big(&frame, most) {
                        wire.inject(end, &answer);
                    }
                }
            }
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(journal) = &mut self.journal {
            journal.push_back(format!("{:>14.6} {}", now as f64 / 1e9, what()));
        }
    }

    fn act(&mut self, act: Act) {
        self.tell(|| format!("{act:?}"));
        match act {
            Act::Trouble(trouble) => self.trouble(trouble),
            Act::Restore(link) => {
                if !self.calm {
                    self.narrow[link] = [None; 2];
                    self.set(link, self.plan.links[link].conditions);
                }
            }
            Act::Calm => {
                self.calm = true;
                for link in 0..self.wires.len() {
                    self.narrow[link] = [None; 2];
                    self.set(link, self.plan.links[link].calm);
                }
                self.hosts.iter_mut().for_each(Host::awake);
            }
        }
    }

    fn set(&self, link: usize, ways: [WireConditions; 2]) {
        self.wires[link].set_conditions(End::A, ways[0]);
        self.wires[link].set_conditions(End::B, ways[1]);
    }

    fn later(&mut self, span: u64, act: Act) {
        let at = self.now() + span;
        let place = self.agenda.partition_point(|(other, _)| *other <= at);
        self.agenda.insert(place, (at, act));
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Blackout { link, way, span } => {
                let mut ways = self.plan.links[link].conditions;
                for (at, conditions) in ways.iter_mut().enumerate() {
                    if way == 2 || usize::from(way) == at {
                        conditions.loss = 1_000_000;
                    }
                }
                self.set(link, ways);
                self.later(span, Act::Restore(link));
            }
            Trouble::Narrow {
                link,
                most,
                told,
                span,
            } => {
                let mut ways = self.plan.links[link].conditions;
                ways.iter_mut().for_each(|way| way.narrow = Some(most));
                self.narrow[link] = [Some((most, told)); 2];
                self.set(link, ways);
                self.later(span, Act::Restore(link));
            }
            Trouble::Change { link } => {
                let calm = self.plan.links[link].calm;
                let ways = [rough(&mut self.draw, &calm[0]), rough(&mut self.draw, &calm[1])];
                self.plan.links[link].conditions = ways;
                self.set(link, ways);
            }
            Trouble::Spread { host } => {
                let spread = spread(self.draw.below(3), self.plan.hosts[host].workers);
                let (wire, end) = if host == 0 {
                    (0, End::A)
                } else {
                    (host - 1, End::B)
                };
                self.wires[wire].set_spread(end, spread);
            }
            Trouble::Stall { host, worker, span } => {
                let until = self.now() + span;
                self.hosts[host].stall(worker, until);
            }
            Trouble::Leap { span } => self.clock.advance(Duration::from_nanos(span)),
            Trouble::LeapOf { host, span } => self.shared.ledger().offsets[host] += span,
            Trouble::Reboot { host } => {
                self.shared.ledger().lose(host);
                let offset = self.shared.ledger().offsets[host];
                let now = Instant::from_nanos(self.now() + offset);
                self.hosts[host].reboot(&self.plan, now);
            }
            Trouble::EndOfEndpoint { host, endpoint } => self.hosts[host].end_endpoint(endpoint, &self.plan),
        }
    }
}

fn join(
    plan: &WorldPlan,
    at: usize,
    link: &LinkPlan,
    clock: &VirtualClock,
) -> (Wire, Vec<MemQueue>, Vec<MemQueue>) {
    let options = |host: usize, last| {
        let host = &plan.hosts[host];
        MemOptions {
            mac: MacAddr([2, 0, 0, 0, at as u8, last]),
            mtu: link.mtu,
            queues: host.workers,
            receive_pool: host.buffers,
            payload_pool: host.buffers,
            transmit_pool: host.buffers,
            lazy: true,
            rx_ring: host.ring,
            tx_ring: host.ring,
            multi_seg: host.multi_seg,
            copies: host.copies,
            tx_checksum: host.checksums,
            rx_checksum: host.checksums,
            spread: spread(host.spread, host.workers),
            ..MemOptions::default()
        }
    };
    let ends = [options(0, 1), options(at + 1, 2)];
    let (mut hub, mut leaf) = MemPort::join(ends, link.conditions, clock, plan.seed ^ at as u64);
    let wire = hub.wire();
    wire.start_capture();
    (wire, hub.take_queues(), leaf.take_queues())
}

fn spread(how: u64, workers: u16) -> Spread {
    match how {
        0 => Spread::by_hash(frames::spread_hash),
        1 => Spread::AllTo(workers - 1),
        _ => Spread::RoundRobin,
    }
}

/// Rounds of one world at most.
pub(super) const STEPS_MOST: u64 = 3_000_000;

/// How long all has to be over before the endpoints go: more than a retransmission of what was never told.
const LINGERS: u64 = 10 * SECOND;

/// The longest life of what nobody owns any more: half-open records, FIN_WAIT_2, orphans, TIME_WAIT.
const SETTLES_WITHIN: u64 = 200 * SECOND;

/// Lines of the journal.
const JOURNAL: usize = 400;
