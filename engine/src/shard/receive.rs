//! The first stage of a turn: take a burst, parse and look up all of it, then give every packet its verdict.
//!
//! ```text
//!   rx_burst ─► parse all ─► owner? ─► hash all, prefetch records ─► one by one: verdict
//! ```
//!
//! The table's line is asked for when the hash is known, the record's when that line names it.
//!
//! Text of the usual shape is looked at where it lies, and written down only when it is not plain (`plain.rs`).
//!
//! The batched look-up is a hint: what is not the packet's own when its turn comes is looked up again, because a handshake's ACK
//! and its first data may share a burst (D2). Σ verdicts = packets received, by construction: [`verdict`](Work::verdict) is called
//! once for each.

use fourtuple_nic::{Queue, RxBuf, RxChecksum};
use fourtuple_tcp::{Arrival, Env, Signals, State, reset_for};
use fourtuple_wire::{
    ChecksumCheck, DropReason, Expect, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, Packet,
    PacketKind, StampedText, TcpFlags, TcpPacket, parse_into,
};

use crate::buffer::RxChunk;
use crate::conn_id::{SlotKind, SlotRef};
use crate::mesh::MeshMessage;
use crate::port_number::PortNumber;
use crate::records::{Conn, Rare};
use crate::shard::limits::{MESH_BUDGET, PLENTY_MARKS, RX_BUDGET, SCARCE_MARKS, SHARE_OF_FREE};
use crate::shard::ports::AttachedPort;
use crate::shard::work::Work;
use crate::shortage::Shortage;
use crate::table::Table;

/// What became of one received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did what it came for.
    Consumed,
    /// Another worker owns it and has it now.
    Steered,
    /// It was dropped.
    Dropped(DropReason),
}

impl From<Result<(), DropReason>> for Verdict {
    fn from(result: Result<(), DropReason>) -> Self {
        match result {
            Ok(()) => Self::Consumed,
            Err(reason) => Self::Dropped(reason),
        }
    }
}

/// A received frame on its way through the stage.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// What it turned out to be; left from another frame while it is `text`.
    parsed: Result<Packet, DropReason>,
    /// It is [`StampedText`], and was read where it lies.
    text: bool,
    /// It is a segment, and `hash` is that of its four-tuple.
    segment: bool,
    pub(super) hash: u64,
    /// The record that may be its own: only looked for, so that its lines come while others are handled (D2).
    pub(super) hint: Option<SlotRef>,
    /// Where it came in, here or on another worker.
    pub(super) port: PortNumber,
    /// Another worker handed it over, and is so short of buffers as that; else the port gave it to us, and another may own it.
    steered: Option<Shortage>,
}

impl Arrived {
    const NOTHING: Self = Self {
        parsed: Err(DropReason::Truncated),
        text: false,
        segment: false,
        hash: 0,
        hint: None,
        port: PortNumber::FIRST,
        steered: None,
    };
}

/// The burst of a turn; allocated once. What is known of the frame at a place stands at the same place of `arrived`, and is
/// written over by the next burst: packets are large, and never moved.
#[derive(Debug)]
pub(crate) struct Burst<Q: Queue> {
    frames: Vec<Q::Rx>,
    arrived: Vec<Arrived>,
}

impl<Q: Queue> Burst<Q> {
    pub(crate) fn new(ports: usize) -> Self {
        let most = (RX_BUDGET + MESH_BUDGET) * ports;
        Self {
            frames: Vec::with_capacity(most),
            arrived: (0..most).map(|_| Arrived::NOTHING).collect(),
        }
    }
}

/// Takes what the ports and the other workers have, and gives every packet its verdict.
pub(crate) fn receive<Q: Queue>(work: &mut Work<Q>, burst: &mut Burst<Q>) {
    for port in work.ports.numbers() {
        take_burst(work, burst, port);
    }
    hear_other_workers(work, burst);
    let Some(frame) = burst.frames.first() else {
        return;
    };
    let space = frame.space();
    work.ports.iter_mut().for_each(|port| port.look_at_buffers(space));
    work.busy = true;
    let Burst { frames, arrived } = burst;
    work.records.table.forget_entered();
    // By itself, and short: the processor waits for the table's lines of several packets at a time.
    for arrived in &mut arrived[..frames.len()] {
        if arrived.segment {
            arrived.hint = work.records.candidate(arrived.hash);
        }
    }
    for (arrived, frame) in arrived.iter_mut().zip(frames.drain(..)) {
        let mut rest = Some(frame);
        if arrived.text {
            rest = rest.and_then(|frame| work.plain_text_arrives(arrived, frame).err());
            if let Some(frame) = &rest {
                arrived.write_down(frame);
            }
        }
        let verdict = match rest {
            Some(frame) => work.judge(arrived, frame),
            None => Verdict::Consumed,
        };
        work.verdict(verdict);
    }
}

/// Takes what one port has, within the budget.
#[inline]
fn take_burst<Q: Queue>(work: &mut Work<Q>, burst: &mut Burst<Q>, port: PortNumber) {
    let Work {
        ports,
        counters,
        records,
        ..
    } = work;
    let Burst { frames, arrived } = burst;
    let attached = &mut ports[port];
    let before = frames.len();
    attached.queue.rx_burst(frames, RX_BUDGET);
    let fresh = &frames[before..];
    if fresh.is_empty() {
        return;
    }
    let mut ahead = fresh.iter();
    ahead.by_ref().take(PARSED_BEHIND).for_each(prefetch_frame::<Q>);
    // Bulk comes in bursts of nothing else.
    let are_long = fresh.first().is_some_and(|frame| frame.bytes().len() > HEAD);
    let asked_for_whole: &[Q::Rx] = if are_long { fresh } else { &[] };
    let mut long = asked_for_whole.iter();
    long.by_ref().take(LONG_BEHIND).for_each(prefetch_rest::<Q>);
    let promises = attached.queue.promises();
    let (kernel_peer, vlan) = (promises.kernel_peer, attached.host.vlan());
    let mut bytes = 0;
    for (frame, arrived) in fresh.iter().zip(&mut arrived[before..]) {
        if let Some(frame) = ahead.next() {
            prefetch_frame::<Q>(frame);
        }
        if let Some(frame) = long.next() {
            prefetch_rest::<Q>(frame);
        }
        bytes += frame.bytes().len() as u64;
        arrived.read(frame, kernel_peer, vlan, &records.table);
        if arrived.segment {
            records.table.prefetch::<Q>(arrived.hash);
        }
        arrived.port = port;
        arrived.steered = None;
    }
    counters.rx_packets += fresh.len() as u64;
    counters.rx_bytes += bytes;
}

/// Frames between the one that is parsed and the one whose lines are asked for: as many lines as a core fetches at a time, and
/// parsing goes on meanwhile.
const PARSED_BEHIND: usize = 8;

/// The same of long frames, each of which is as many lines as a core fetches at a time.
const LONG_BEHIND: usize = 2;

/// Octets of a frame that are asked for whatever it is.
const HEAD: usize = 3 * LINE;

/// Octets of a cache line.
const LINE: usize = 64;

/// Asks for the headers and the payload of a small frame.
#[inline(always)]
fn prefetch_frame<Q: Queue>(frame: &Q::Rx) {
    for line in (0..HEAD).step_by(LINE) {
        if let Some(byte) = frame.bytes().get(line) {
            Q::prefetch_received(byte);
        }
    }
}

/// Asks for the rest of a long one, which is read for its checksum.
#[inline]
fn prefetch_rest<Q: Queue>(frame: &Q::Rx) {
    let (lines, rest) = frame.bytes().get(HEAD..).unwrap_or(&[]).as_chunks::<LINE>();
    lines.iter().for_each(Q::prefetch);
    rest.first().into_iter().for_each(Q::prefetch);
}

fn hear_other_workers<Q: Queue>(work: &mut Work<Q>, burst: &mut Burst<Q>) {
    for _ in 0..MESH_BUDGET * work.ports.len() {
        let Some((from, message)) = work.mesh.poll() else {
            return;
        };
        work.busy = true;
        match message {
            MeshMessage::Frame(port, frame, shortage) => {
                work.counters.steered_in += 1;
                let attached = &work.ports[port];
                let kernel_peer = attached.queue.promises().kernel_peer;
                let arrived = &mut burst.arrived[burst.frames.len()];
                arrived.read(&frame, kernel_peer, attached.host.vlan(), &work.records.table);
                arrived.port = port;
                arrived.steered = Some(shortage);
                burst.frames.push(frame);
            }
            MeshMessage::Piece(port, frame) => work.keep_piece(port, frame),
            MeshMessage::Neighbour(port, ip, ether) => work.learn_neighbour(from, port, ip, ether),
            MeshMessage::Resolve(port, solicit) => work.resolve_for(from, port, &solicit),
            MeshMessage::WantShare(listener) => work.give_share(from, listener),
            MeshMessage::Share(listener, count) => work.take_share(listener, count),
        }
    }
}

#[inline(always)]
fn parse_frame(
    frame: &impl RxBuf,
    kernel_peer: bool,
    vlan: Option<u16>,
    place: &mut Result<Packet, DropReason>,
) {
    match expected(frame, kernel_peer, vlan) {
        Some(expect) => parse_into(frame.bytes(), &expect, place),
        None => *place = Err(DropReason::BadTcpChecksum),
    }
}

/// What is expected of a frame, by what the port found out about its checksums; `None` when they are wrong.
#[inline(always)]
fn expected(frame: &impl RxBuf, kernel_peer: bool, vlan: Option<u16>) -> Option<Expect> {
    let checksum = match frame.checksum() {
        RxChecksum::Good => ChecksumCheck::Trust,
        RxChecksum::Bad => return None,
        RxChecksum::Unchecked if kernel_peer => ChecksumCheck::VerifyOrPartial,
        RxChecksum::Unchecked => ChecksumCheck::Verify,
    };
    Some(Expect { checksum, vlan })
}

impl Arrived {
    /// Reads a frame, and hashes a segment's four-tuple while it is at hand.
    #[inline(always)]
    fn read(&mut self, frame: &impl RxBuf, kernel_peer: bool, vlan: Option<u16>, table: &Table) {
        if let Some(expect) = expected(frame, kernel_peer, vlan)
            && let Some(text) = StampedText::read(frame.bytes(), &expect)
        {
            (self.text, self.segment) = (true, true);
            self.hash = table.hash_v4(&text.tuple());
            return;
        }
        self.parse(frame, kernel_peer, vlan, table);
    }

    /// The same by parsing it.
    #[inline]
    fn parse(&mut self, frame: &impl RxBuf, kernel_peer: bool, vlan: Option<u16>, table: &Table) {
        parse_frame(frame, kernel_peer, vlan, &mut self.parsed);
        (self.text, self.segment) = (false, false);
        if let Ok(Packet {
            kind: PacketKind::Tcp(segment),
            ..
        }) = &self.parsed
        {
            self.segment = true;
            self.hash = table.hash(&segment.tuple);
        }
    }

    /// Text that turned out to be more than plain is parsed now, with checksums that were found right.
    #[inline(never)]
    fn write_down(&mut self, frame: &impl RxBuf) {
        parse_into(frame.bytes(), &AS_READ, &mut self.parsed);
    }

    /// The text of a frame of the usual shape, if it came in here.
    #[inline(always)]
    pub(super) fn text<'a>(&self, frame: &'a impl RxBuf) -> Option<StampedText<'a>> {
        if self.steered.is_some() {
            return None;
        }
        StampedText::again(frame.bytes())
    }
}

/// What [`StampedText`] has been found to be.
const AS_READ: Expect = Expect {
    checksum: ChecksumCheck::Trust,
    vlan: None,
};

impl<Q: Queue> AttachedPort<Q> {
    /// How many buffers are free as this turn's burst comes, each of so many bytes.
    fn look_at_buffers(&mut self, space: usize) {
        let free = self.queue.rx_free();
        let scarce = free < self.low_water.saturating_mul(SCARCE_MARKS);
        self.shortage = Shortage {
            short_of_buffers: free < self.low_water,
            share: scarce.then(|| free / SHARE_OF_FREE * space as u32),
            is_plenty: free >= self.low_water.saturating_mul(PLENTY_MARKS),
        };
    }

    /// Parses a frame that is none of a burst.
    pub(super) fn parse(&self, frame: &Q::Rx) -> Result<Packet, DropReason> {
        let mut place = Err(DropReason::Truncated);
        let kernel_peer = self.queue.promises().kernel_peer;
        parse_frame(frame, kernel_peer, self.host.vlan(), &mut place);
        place
    }
}

impl<Q: Queue> Work<Q> {
    /// Counts the one verdict that every received packet has.
    #[inline]
    fn verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Consumed => self.counters.consumed += 1,
            Verdict::Steered => self.counters.steered_out += 1,
            Verdict::Dropped(reason) => self.counters.dropped.count(reason),
        }
    }

    /// What is no plain text that is read where it lies.
    #[inline(always)]
    fn judge(&mut self, arrived: &Arrived, frame: Q::Rx) -> Verdict {
        match &arrived.parsed {
            Ok(packet) => match arrived.steered {
                None => self.dispatch(arrived, packet, frame),
                Some(shortage) => self.dispatch_steered(arrived, packet, frame, shortage),
            },
            Err(reason) => {
                self.object(arrived.port, *reason, frame.bytes());
                Verdict::Dropped(*reason)
            }
        }
    }

    #[inline]
    fn dispatch(&mut self, arrived: &Arrived, packet: &Packet, frame: Q::Rx) -> Verdict {
        let frame = match &packet.kind {
            PacketKind::Tcp(segment) => match self.plain_segment(arrived, packet, segment, frame) {
                Ok(()) => return Verdict::Consumed,
                Err(frame) => frame,
            },
            PacketKind::Udp(_)
            | PacketKind::Arp(_)
            | PacketKind::Icmpv4(_)
            | PacketKind::Icmpv6(_)
            | PacketKind::Fragment(_) => frame,
        };
        self.dispatch_any(arrived, packet, frame)
    }

    fn dispatch_any(&mut self, arrived: &Arrived, packet: &Packet, frame: Q::Rx) -> Verdict {
        let port = arrived.port;
        if self.workers > 1 && arrived.steered.is_none() {
            let owner = self.owner_of(packet);
            if owner != self.worker {
                return self.steer(owner, port, frame);
            }
        }
        if let PacketKind::Tcp(segment) = &packet.kind {
            let slot = self
                .records
                .find_hinted(arrived.hint, arrived.hash, &segment.tuple);
            if let Err(reason) = self.admit(slot, port, packet, segment) {
                return Verdict::Dropped(reason);
            }
            self.counters.partial_checksums += u64::from(segment.partial_checksum);
            if !slot.is_some_and(SlotRef::is_tcb_v4) {
                self.records.table.remember(&segment.tuple, arrived.hash);
            }
            self.segment(slot, port, packet, segment, frame)
        } else if let PacketKind::Fragment(fragment) = &packet.kind {
            self.fragment(port, packet, fragment, frame)
        } else {
            self.answer_for_host(port, packet, &frame).into()
        }
    }

    /// What is kept of a frame that was handed over pins the other worker's buffers, without which it hears no acknowledgment that
    /// would free them: it is taken as that one is short of them, not we.
    fn dispatch_steered(
        &mut self,
        arrived: &Arrived,
        packet: &Packet,
        frame: Q::Rx,
        shortage: Shortage,
    ) -> Verdict {
        let own = std::mem::replace(&mut self.ports[arrived.port].shortage, shortage);
        let verdict = self.dispatch(arrived, packet, frame);
        self.ports[arrived.port].shortage = Shortage {
            // What handlers send on in this turn may be the other worker's, too.
            is_plenty: own.is_plenty && shortage.is_plenty,
            ..own
        };
        verdict
    }

    /// Whether a segment may be looked at. Where there is one port, what has a record has addresses that were looked at when it
    /// was made, and ours never change: the station alone is left.
    #[inline]
    fn admit(
        &self,
        slot: Option<SlotRef>,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
    ) -> Result<(), DropReason> {
        let addresses = &self.ports[port].host.addresses;
        if slot.is_some() && self.ports.len() == 1 && packet.ether_destination == addresses.mac() {
            return Ok(());
        }
        // RFC 1122 §3.3.4.2, the strong model: an address of ours on another port is none of ours here.
        addresses.admit_segment(packet.ether_destination, &segment.tuple)
    }

    /// Worker 0 answers for the host; TCP belongs to whom `owner(four-tuple)` says, and so do ICMP errors about it (D8).
    pub(super) fn owner_of(&self, packet: &Packet) -> u16 {
        match &packet.kind {
            PacketKind::Tcp(segment) => self.steering.owner(&segment.tuple),
            PacketKind::Icmpv4(Icmpv4Packet {
                message: Icmpv4Message::Error(error),
                ..
            })
            | PacketKind::Icmpv6(Icmpv6Packet {
                message: Icmpv6Message::Error(error),
                ..
            }) => self.steering.owner(&error.tuple),
            PacketKind::Arp(_)
            | PacketKind::Icmpv4(_)
            | PacketKind::Icmpv6(_)
            | PacketKind::Udp(_)
            | PacketKind::Fragment(_) => 0,
        }
    }

    pub(super) fn steer(&mut self, owner: u16, port: PortNumber, frame: Q::Rx) -> Verdict {
        let shortage = self.ports[port].shortage;
        match self
            .mesh
            .try_say(owner, MeshMessage::Frame(port, frame, shortage))
        {
            Ok(()) => Verdict::Steered,
            Err(_) => Verdict::Dropped(DropReason::SteerRingFull),
        }
    }

    /// One TCP segment: to its connection, to a listener, to a TIME_WAIT record, or to nobody.
    #[inline]
    pub(super) fn segment(
        &mut self,
        slot: Option<SlotRef>,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let slot = match slot {
            Some(slot) if slot.kind() == SlotKind::Tcb && segment.header.flags.contains(TcpFlags::SYN) => {
                self.behind_an_end(slot)
            }
            slot => slot,
        };
        let Some(slot) = slot else {
            return self.segment_without_record(port, packet, segment, frame);
        };
        match slot.kind() {
            SlotKind::Tcb => self.segment_of_connection(slot, port, packet, segment, frame),
            SlotKind::Syn => self.segment_of_half_open(slot, port, packet, segment, frame),
            SlotKind::TimeWait => self.segment_of_time_wait(slot, port, packet, segment, frame),
        }
    }

    /// What a SYN meets whose four-tuple's connection is over, though its owner is still to hear of it: nothing, or the TIME_WAIT
    /// record, as it would a turn later (D2); else the connection.
    fn behind_an_end(&mut self, slot: SlotRef) -> Option<SlotRef> {
        match self.records.conn(slot).map(|conn| conn.tcb.state()) {
            Some(State::Closed) if self.unlist_if_closed(slot) => None,
            Some(State::TimeWait) => self.time_wait_now(slot).or(Some(slot)),
            _ => Some(slot),
        }
    }

    /// RFC 9293 §3.10.7.3 and .4 are TCP's; here its decisions are carried out.
    #[inline]
    pub(crate) fn segment_of_connection(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        if segment.payload.len > 0 && !self.may_pin(slot, port, segment) {
            return self.acknowledgment_alone(slot, port, packet, segment);
        }
        let payload = (segment.payload.len > 0).then(|| {
            let mut frame = frame;
            let range = segment.payload.range();
            frame.truncate(range.end);
            frame.trim_front(range.start);
            RxChunk(frame)
        });
        if segment.header.options.fast_open.is_some() {
            self.learn_fast_open(slot, segment);
        }
        let Some((conn, mut env)) = self.records.conn_mut(slot).and_then(|conn| {
            let env = Env {
                now: self.now,
                profile: self.profiles.get(conn.profile)?,
                pools: &mut self.pools,
                counters: &mut self.counters.tcp,
            };
            Some((conn, env))
        }) else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        let before = conn.tcb.state();
        let arrival = if segment.is_marked() {
            conn.tcb
                .segment_arrives_marked(&segment.header, payload, &mut env)
        } else {
            conn.tcb.segment_arrives(&segment.header, payload, &mut env)
        };
        let plain = conn.tcb.state() == before
            && arrival.ended.is_none()
            && arrival.reply.is_none()
            && arrival.signals.is_within(Signals::READABLE | Signals::WRITABLE);
        if conn.tcb.owes() && !conn.flags.transmit {
            conn.flags.transmit = true;
            self.ports[conn.port].transmit.push_back(slot);
        }
        if !plain {
            return self.carry_out(slot, port, packet, segment, before, &arrival);
        }
        if !arrival.signals.is_empty() {
            conn.signals.insert(arrival.signals);
            if !conn.flags.deliver {
                conn.flags.deliver = true;
                self.deliver.push_back(slot);
            }
        }
        // Whose owner is to be told something is in hand again in `deliver`, and armed then; a debtor, in `transmit`.
        if !conn.flags.deliver && !conn.flags.transmit {
            self.arm(slot);
        }
        arrival.verdict.into()
    }

    /// The same where a segment changed the connection's state, ended it, is answered at once, or told more than of text and room.
    #[cold]
    fn carry_out(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        before: State,
        arrival: &Arrival,
    ) -> Verdict {
        if let Some(after) = self.records.conn(slot).map(|conn| conn.tcb.state())
            && after != before
        {
            self.state_moved(slot, before, after);
        }
        self.tell(slot, arrival.signals, arrival.ended);
        let waits = |conn: &Conn<Q>| conn.flags.deliver || conn.flags.transmit;
        if !self.records.conn(slot).is_none_or(waits) {
            self.arm(slot);
        }
        if let Some(reply) = &arrival.reply {
            self.answer_segment(port, packet, &segment.tuple, reply);
        }
        arrival.verdict.into()
    }

    /// Payload for this connection may be kept (D5): there is plenty of room, or the connection has a share of what is left.
    #[inline]
    fn may_pin(&self, slot: SlotRef, port: PortNumber, segment: &TcpPacket) -> bool {
        let shortage = self.ports[port].shortage;
        let Some(share) = shortage.share else {
            return true;
        };
        let has_share = |conn: &Conn<Q>| {
            conn.tcb
                .has_share(segment.header.seq, share, conn.flags.rare.has(Rare::SENDS_ON))
        };
        !shortage.short_of_buffers && self.records.conn(slot).is_none_or(has_share)
    }

    /// Payload is not kept (D5) under the low-water mark, or when the connection has its share: the acknowledgment that came with it may free buffers, and the peer
    /// sends the payload again. Without this a pool that is pinned by unacknowledged payload could never be freed.
    fn acknowledgment_alone(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
    ) -> Verdict {
        let arrival = self.with_tcb(slot, |tcb, env| {
            tcb.segment_arrives_without_text(&segment.header, env)
        });
        if let Some(arrival) = arrival {
            self.tell(slot, arrival.signals, arrival.ended);
            if let Some(reply) = arrival.reply {
                self.answer_segment(port, packet, &segment.tuple, &reply);
            }
        }
        Verdict::Dropped(DropReason::NoRoom)
    }

    /// No record: a listener's business (§3.10.7.2), or nobody's (§3.10.7.1).
    fn segment_without_record(
        &mut self,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let local = segment.tuple.local();
        match self.listeners.find(local.ip(), local.port()) {
            Some(listener) => self.segment_of_listener(listener, port, packet, segment, frame),
            None => self.segment_of_nobody(port, packet, segment),
        }
    }

    /// RFC 9293 §3.10.7.1: a RST for what belongs to nothing, never for a RST.
    pub(crate) fn segment_of_nobody(
        &mut self,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
    ) -> Verdict {
        if segment.header.flags.contains(TcpFlags::RST) {
            return Verdict::Dropped(DropReason::StrayReset);
        }
        // RFC 9293 §3.4.3: nothing is said.
        if self.now < self.quiet_until {
            return Verdict::Dropped(DropReason::NotAccepting);
        }
        if let Some(reset) = reset_for(&segment.header, usize::from(segment.payload.len)) {
            if !self.ports[port].host.limits.resets.try_take(self.now) {
                return Verdict::Dropped(DropReason::RateLimited);
            }
            self.answer_segment(port, packet, &segment.tuple, &reset);
        }
        Verdict::Dropped(DropReason::NoConnection)
    }
}
