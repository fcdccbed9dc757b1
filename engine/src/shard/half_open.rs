//! SYN_RECEIVED of the listening side: segments for a record, and the ACK that makes a TCB of it.

use fourtuple_nic::Queue;
use fourtuple_tcp::{Env, State, SynArrival, SynRecord, Tcb};
use fourtuple_wire::{DropReason, FourTuple, Packet, TcpFlags, TcpPacket};

use super::receive::Verdict;
use super::work::Work;
use crate::buffer::PortBuffers;
use crate::conn_id::SlotRef;
use crate::listener::{Delivery, ListenerId};
use crate::port_number::PortNumber;
use crate::records::{HalfOpen, NewConn, Owner};

impl<Q: Queue> Work<Q> {
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
        let profile = &self.profiles[listener.profile];
        let (id, payload_len) = (listener.id, usize::from(segment.payload.len));
        match half_open
            .record
            .segment_arrives(&segment.header, payload_len, profile, now)
        {
            SynArrival::Establish => self.establish(slot, port, packet, segment, frame),
            SynArrival::SynAck => {
                // Where this SYN came from, should the first one's frame have been damaged on its way.
                half_open.ether_source = packet.ether_source;
                if !std::mem::replace(&mut half_open.transmit, true) {
                    self.ports[port].transmit.push_back(slot);
                }
                Verdict::Consumed
            }
            // An ACK of something else than our SYN: of a cookie's, perhaps, which the client was sent when it first asked.
            SynArrival::Reply(reset) if reset.flags.contains(TcpFlags::RST) => {
                match self.cookie_of(id, port, segment) {
                    Some(Ok(record)) => {
                        self.end_half_open(slot);
                        self.finish_cookie(id, record, port, packet, segment, frame)
                    }
                    Some(Err(reason)) => Verdict::Dropped(reason),
                    None if !self.ports[port].host.limits.resets.try_take(now) => {
                        Verdict::Dropped(DropReason::RateLimited)
                    }
                    None => {
                        self.answer_segment(port, packet, &segment.tuple, &reset);
                        Verdict::Dropped(DropReason::OutOfWindow)
                    }
                }
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

    /// The handshake's final ACK: the record is taken out, if a connection may come of it.
    fn establish(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let Some(half_open) = self.records.half_open_mut(slot) else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        let (id, record) = (half_open.listener, half_open.record.clone());
        if let Err(reason) = self.admit_ack(id, &segment.tuple) {
            return self.refuse(&segment.tuple, reason);
        }
        match self.enter_record(id, port, &segment.tuple, Some(slot), &record) {
            Ok(slot) => self.first_segment(slot, port, packet, segment, frame),
            Err(reason) => {
                self.end_half_open(slot);
                Verdict::Dropped(reason)
            }
        }
    }

    /// Whether a handshake may end now. What is refused is ignored: the client says it again.
    pub(super) fn admit_ack(&mut self, id: ListenerId, tuple: &FourTuple) -> Result<(), DropReason> {
        if !self.accept_room(id) {
            self.counters.listen_overflows += 1;
            return Err(DropReason::AcceptQueueFullAck);
        }
        if !self.records.has_room(tuple.family()) {
            return Err(DropReason::ConnectionLimit);
        }
        Ok(())
    }

    /// A record that nobody kept becomes a TCB, and the segment that did it is the TCB's first.
    pub(super) fn connected(
        &mut self,
        id: ListenerId,
        record: &SynRecord,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        match self.enter_record(id, port, &segment.tuple, None, record) {
            Ok(slot) => self.first_segment(slot, port, packet, segment, frame),
            Err(reason) => Verdict::Dropped(reason),
        }
    }

    /// The segment that made a connection is its first.
    fn first_segment(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let hop = self.learn_from_handshake(port, segment.tuple.remote().ip(), packet.ether_source);
        if let Some(conn) = self.records.conn_mut(slot) {
            conn.hop = hop;
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

    /// The connection of a record. `half_open`: what it was until now.
    fn enter_record(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        tuple: &FourTuple,
        half_open: Option<SlotRef>,
        record: &SynRecord,
    ) -> Result<SlotRef, DropReason> {
        let blank = |env: &mut Env<'_, _>| record.blank(env.profile);
        self.enter_accepted(id, port, tuple, half_open, blank, |tcb, env| {
            record.establish_in(tcb, env)
        })
    }

    /// A new connection of a listener, in its accept queue or its handler's. `half_open`: what it was until now.
    #[inline(always)]
    pub(super) fn enter_accepted(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        tuple: &FourTuple,
        half_open: Option<SlotRef>,
        make: impl FnOnce(&mut Env<'_, PortBuffers<Q>>) -> Tcb<PortBuffers<Q>>,
        begin: impl FnOnce(&mut Tcb<PortBuffers<Q>>, &mut Env<'_, PortBuffers<Q>>),
    ) -> Result<SlotRef, DropReason> {
        let Some(listener) = self.listeners.at_mut(id) else {
            return Err(DropReason::NotAccepting);
        };
        let (profile, delivery) = (listener.profile, listener.delivery);
        self.profiles.keep(profile);
        let owner = match delivery {
            Delivery::Handler => Owner::Handler,
            Delivery::Endpoints => Owner::Queue,
        };
        let new = NewConn {
            owner,
            listener: Some(id),
            port,
            profile,
            token: 0,
        };
        let Some(slot) = self.enter(tuple, new, half_open, make, begin) else {
            return Err(DropReason::ConnectionLimit);
        };
        if half_open.is_some()
            && let Some(listener) = self.listeners.at_mut(id)
        {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
        if owner == Owner::Queue {
            let name = self.name(slot);
            if let Some(listener) = self.listeners.at_mut(id) {
                listener.queue(name, &self.records);
            }
        }
        Ok(slot)
    }

    /// A half-open connection is over: it failed, or a cookie's connection takes its place. One with a record that became a connection
    /// left its entry in the table to that.
    pub(crate) fn end_half_open(&mut self, slot: SlotRef) -> Option<HalfOpen> {
        let half_open = self.records.remove_half_open(slot)?;
        if let Some(listener) = self.listeners.at_mut(half_open.listener) {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
        Some(half_open)
    }
}
