//! The listening side (RFC 9293 §3.10.7.2 and the handshake's end): SYN → record → TCB → accept queue.
//!
//! A full accept queue means silence: the SYN is ignored, and so is the final ACK that meets one. No RST, so that the client's
//! retransmission can succeed a moment later. Every refusal has a reason and is counted.

use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_tcp::{
    Env, ListenArrival, Path, Signals, State, SynArrival, SynRecord, TimeWaitArrival, listen_segment_arrives,
};
use fourtuple_wire::{DropReason, FourTuple, Packet, SeqNum, TcpFlags, TcpPacket};

use super::ports::PortNumber;
use super::receive::Verdict;
use super::work::Work;
use crate::conn_id::SlotRef;
use crate::listener::{Delivery, ListenerId};
use crate::mesh::MeshMessage;
use crate::records::{Conn, ConnFlags, HalfOpen, Owner};

/// How long a worker that asked for backlog waits before it asks again: a message may be lost, and who has none to give now
/// may have some by then. Far below a SYN's retransmission.
const ASK_AGAIN: Duration = Duration::from_millis(10);

impl<Q: Queue> Work<Q> {
    /// A segment for a listener and for no record.
    pub(crate) fn segment_of_listener(
        &mut self,
        listener: ListenerId,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
    ) -> Verdict {
        match listen_segment_arrives(&segment.header, usize::from(segment.payload.len)) {
            ListenArrival::Syn => {
                self.counters.syns_received += 1;
                self.syn(listener, port, packet, segment, None)
            }
            ListenArrival::Reply(_) if !self.ports[port].host.limits.resets.try_take(self.now) => {
                Verdict::Dropped(DropReason::RateLimited)
            }
            ListenArrival::Reply(reset) => {
                self.answer_segment(port, packet, &segment.tuple, &reset);
                Verdict::Dropped(DropReason::BadListenSegment)
            }
            ListenArrival::Drop(reason) => Verdict::Dropped(reason),
        }
    }

    /// A SYN becomes a record that owes a SYN+ACK, or silence. `beyond`: the new connection's sequence numbers begin behind this
    /// one's, when it reopens a TIME_WAIT record.
    fn syn(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        beyond: Option<SeqNum>,
    ) -> Verdict {
        if let Err(reason) = self.admit_syn(id, port, &segment.tuple) {
            self.counters.listen_drops += 1;
            return Verdict::Dropped(reason);
        }
        let (tuple, now) = (segment.tuple, self.now);
        let path = self.path(port, &tuple);
        let mut seeds = self.secrets.seeds(&tuple, now);
        seeds.iss = beyond.unwrap_or(seeds.iss);
        let Some(listener) = self.listeners.at_mut(id) else {
            return Verdict::Dropped(DropReason::NotAccepting);
        };
        let profile = &self.profiles[usize::from(listener.profile)];
        let record = SynRecord::from_syn(&segment.header, seeds, &path, profile, now);
        let half_open = HalfOpen {
            record,
            listener: id,
            port,
            transmit: true,
            ether_source: packet.ether_source,
        };
        let Some((slot, listed)) = self.records.insert_half_open(&tuple, half_open) else {
            self.counters.listen_drops += 1;
            return Verdict::Dropped(DropReason::SynQueueFull);
        };
        listener.half_open += 1;
        if !listed {
            self.ports[port].transmit.push_back(slot);
        }
        self.arm_half_open(slot);
        Verdict::Consumed
    }

    /// Whether a SYN may become a record now.
    fn admit_syn(&mut self, id: ListenerId, port: PortNumber, tuple: &FourTuple) -> Result<(), DropReason> {
        if self.draining || self.now < self.quiet_until {
            return Err(DropReason::NotAccepting);
        }
        if !self.accept_room(id) {
            self.counters.listen_overflows += 1;
            return Err(DropReason::AcceptQueueFull);
        }
        if self
            .listeners
            .at(id)
            .is_none_or(|listener| listener.half_open >= listener.syn_share)
        {
            return Err(DropReason::SynQueueFull);
        }
        if !self.records.has_room(tuple.family()) {
            return Err(DropReason::ConnectionLimit);
        }
        // Established connections keep the buffers they need: new ones are refused before the pool runs out.
        if self.ports[port].short_of_buffers {
            return Err(DropReason::NoRoom);
        }
        Ok(())
    }

    /// The accept queue has room, or an accept waits. Asks the other workers for share when not.
    fn accept_room(&mut self, id: ListenerId) -> bool {
        let waits = self.hub.has_credit(id);
        let Some(listener) = self.listeners.at_mut(id) else {
            return false;
        };
        if listener.has_room(waits) {
            return true;
        }
        if self.workers > 1 && self.now >= listener.asked_until {
            listener.asked_until = self.now + ASK_AGAIN;
            for other in (0..self.workers).filter(|other| *other != self.worker) {
                let _full = self.mesh.try_say(other, MeshMessage::WantShare(id));
            }
        }
        false
    }

    /// Another worker has no backlog left: it gets half of what is not used here, at least one.
    pub(crate) fn give_share(&mut self, to: u16, id: ListenerId) {
        let Some(listener) = self.listeners.at_mut(id) else {
            return;
        };
        let given = listener.spare().div_ceil(2);
        if self.mesh.try_say(to, MeshMessage::Share(id, given)).is_ok()
            && let Some(listener) = self.listeners.at_mut(id)
        {
            listener.share -= given;
        }
    }

    /// Another worker gave backlog, or had none to give.
    pub(crate) fn take_share(&mut self, id: ListenerId, count: u32) {
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.share += count;
            if count > 0 {
                listener.asked_until = self.now;
            }
        }
    }

    /// A segment for a half-open connection.
    pub(crate) fn segment_of_half_open(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let now = self.now;
        let Some(half_open) = self.records.half_open_mut(slot) else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        let Some(listener) = self.listeners.at(half_open.listener) else {
            self.end_half_open(slot);
            return Verdict::Dropped(DropReason::NotAccepting);
        };
        let profile = &self.profiles[usize::from(listener.profile)];
        let payload_len = usize::from(segment.payload.len);
        match half_open
            .record
            .segment_arrives(&segment.header, payload_len, profile, now)
        {
            SynArrival::Establish => self.establish(slot, port, packet, segment, frame),
            SynArrival::SynAck => {
                if !std::mem::replace(&mut half_open.transmit, true) {
                    self.ports[port].transmit.push_back(slot);
                }
                Verdict::Consumed
            }
            SynArrival::Reply(reply)
                if reply.flags.contains(TcpFlags::RST)
                    && !self.ports[port].host.limits.resets.try_take(now) =>
            {
                Verdict::Dropped(DropReason::RateLimited)
            }
            SynArrival::Reply(reply) => {
                self.answer_segment(port, packet, &segment.tuple, &reply);
                Verdict::Dropped(DropReason::OutOfWindow)
            }
            SynArrival::Remove => {
                self.counters.resets_received += 1;
                self.end_half_open(slot);
                Verdict::Consumed
            }
            SynArrival::Drop(reason) => Verdict::Dropped(reason),
        }
    }

    /// The handshake's final ACK: the record becomes a TCB, and the segment is the TCB's first.
    fn establish(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let tuple = segment.tuple;
        let Some(id) = self
            .records
            .half_open_mut(slot)
            .map(|half_open| half_open.listener)
        else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        if !self.accept_room(id) {
            self.counters.listen_overflows += 1;
            return Verdict::Dropped(DropReason::AcceptQueueFullAck);
        }
        if !self.records.has_room(tuple.family()) {
            return Verdict::Dropped(DropReason::ConnectionLimit);
        }
        let Some(half_open) = self.end_half_open(slot) else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        let Some(listener) = self.listeners.at_mut(id) else {
            return Verdict::Dropped(DropReason::NotAccepting);
        };
        let (profile, delivery) = (listener.profile, listener.delivery);
        let mut env = Env {
            now: self.now,
            profile: &self.profiles[usize::from(profile)],
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let tcb = half_open.record.establish(&mut env);
        let owner = match delivery {
            Delivery::Handler => Owner::Handler,
            Delivery::Endpoints => Owner::Queue,
        };
        let conn = Conn {
            tcb,
            owner,
            listener: Some(id),
            port,
            profile,
            hop: None,
            signals: Signals::default(),
            ended: None,
            flags: ConnFlags::default(),
            armed: 0,
            armed_far: 0,
            token: 0,
            freed: 0,
        };
        let Some(slot) = self.enter(&tuple, conn) else {
            return Verdict::Dropped(DropReason::ConnectionLimit);
        };
        if owner == Owner::Queue {
            let name = self.name(slot);
            if let Some(listener) = self.listeners.at_mut(id) {
                listener.queue(name, &self.records);
            }
        }
        let verdict = self.segment_of_connection(slot, port, packet, segment, frame);
        if self
            .records
            .conn(slot)
            .is_some_and(|conn| conn.tcb.state() != State::SynReceived)
        {
            self.counters.accepts += 1;
        }
        verdict
    }

    /// A half-open connection is over, whether it became one or not.
    pub(crate) fn end_half_open(&mut self, slot: SlotRef) -> Option<HalfOpen> {
        let half_open = self.records.remove_half_open(slot)?;
        if let Some(listener) = self.listeners.at_mut(half_open.listener) {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
        Some(half_open)
    }

    /// A segment for a TIME_WAIT record: answered, or a new connection in its place (RFC 6191).
    pub(crate) fn segment_of_time_wait(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
    ) -> Verdict {
        let now = self.now;
        let local = segment.tuple.local();
        let listener = self.listeners.find(local.ip(), local.port());
        let profile = listener
            .and_then(|id| self.listeners.at(id))
            .map_or(0, |listener| listener.profile);
        let profile = &self.profiles[usize::from(profile)];
        let Some(time_wait) = self.records.time_wait_mut(slot) else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        match time_wait.segment_arrives(&segment.header, usize::from(segment.payload.len), profile, now) {
            TimeWaitArrival::Acknowledge(ack) => {
                self.answer_segment(port, packet, &segment.tuple, &ack);
                Verdict::Dropped(DropReason::TimeWait)
            }
            TimeWaitArrival::Reopen => {
                let candidate = self.secrets.seeds(&segment.tuple, now).iss;
                let beyond = time_wait.reopening_iss(candidate);
                let Some(id) = listener else {
                    return Verdict::Dropped(DropReason::TimeWait);
                };
                self.counters.syns_received += 1;
                if let Err(reason) = self.admit_syn(id, port, &segment.tuple) {
                    self.counters.listen_drops += 1;
                    return Verdict::Dropped(reason);
                }
                self.records.remove_time_wait(slot);
                self.counters.time_wait_reopened += 1;
                self.syn(id, port, packet, segment, Some(beyond))
            }
            TimeWaitArrival::Drop(reason) => Verdict::Dropped(reason),
        }
    }

    /// What the path to a peer carries: the announced MSS comes from the port's MTU (RFC 9293 §3.7.1, MUST-67).
    pub(crate) fn path(&self, port: PortNumber, tuple: &FourTuple) -> Path {
        let mtu = self.ports[port].mtu;
        let (headers, default_mss) = match tuple {
            FourTuple::V4(_) => (40, 536),
            FourTuple::V6(_) => (60, 1220),
        };
        let mss = mtu.saturating_sub(headers);
        Path {
            receive_mss: mss,
            send_mss_limit: mss,
            default_mss,
        }
    }
}
