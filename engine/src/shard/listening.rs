//! The listening side (RFC 9293 §3.10.7.2): what becomes of a SYN, and who may come in.
//!
//! ```text
//!   SYN ─► admitted? ─► SYN queue has room ─► record (half_open.rs) ─┐
//!                     └ no, or --syn-cookies ─► cookie (cookies.rs) ─┴─ ACK ─► TCB ─► accept queue
//! ```
//! A full accept queue means silence: the SYN is ignored, and so is the final ACK that meets one. No RST, so that the client's
//! retransmission can succeed a moment later. Every refusal has a reason and is counted.

use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_tcp::{ListenArrival, Path, SynRecord, TimeWaitArrival, listen_segment_arrives};
use fourtuple_wire::{DropReason, FourTuple, Packet, SeqNum, TcpPacket};

use super::fast_open::FastOpen;
use super::listeners::Listener;
use super::receive::Verdict;
use super::work::Work;
use crate::conn_id::SlotRef;
use crate::listener::{ListenerId, SynCookies};
use crate::mesh::MeshMessage;
use crate::port_number::PortNumber;
use crate::records::HalfOpen;

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
        frame: Q::Rx,
    ) -> Verdict {
        match listen_segment_arrives(&segment.header, usize::from(segment.payload.len)) {
            ListenArrival::Syn => {
                self.counters.syns_received += 1;
                self.syn(listener, port, packet, segment, frame, None)
            }
            ListenArrival::Reply(_) if self.now < self.quiet_until => {
                Verdict::Dropped(DropReason::NotAccepting)
            }
            ListenArrival::Reply(reset) => match self.cookie_of(listener, port, segment) {
                Some(Ok(record)) => self.finish_cookie(listener, record, port, packet, segment, frame),
                Some(Err(reason)) => Verdict::Dropped(reason),
                None if !self.ports[port].host.limits.resets.try_take(self.now) => {
                    Verdict::Dropped(DropReason::RateLimited)
                }
                None => {
                    self.answer_segment(port, packet, &segment.tuple, &reset);
                    Verdict::Dropped(DropReason::BadListenSegment)
                }
            },
            ListenArrival::Drop(reason) => Verdict::Dropped(reason),
        }
    }

    /// A SYN becomes a record that owes a SYN+ACK, a SYN+ACK with a cookie, or silence. `beyond`: the new connection's sequence
    /// numbers begin behind this one's, when it reopens a TIME_WAIT record.
    fn syn(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
        beyond: Option<SeqNum>,
    ) -> Verdict {
        if let Err(reason) = self.admit_syn(id, port, &segment.tuple) {
            return self.refuse(&segment.tuple, reason);
        }
        let (tuple, now) = (segment.tuple, self.now);
        let path = self.path(port, &tuple);
        let mut seeds = self.secrets.seeds(&tuple, now);
        seeds.iss = beyond.unwrap_or(seeds.iss);
        let Some(listener) = self.listeners.at_mut(id) else {
            return self.refuse(&segment.tuple, DropReason::NotAccepting);
        };
        let (cookies, has_room) = (listener.syn_cookies, listener.has_syn_room());
        let profile = &self.profiles[listener.profile];
        let record = SynRecord::from_syn(&segment.header, seeds, &path, profile, now);
        let fast = match beyond {
            None => self.judge_fast_open(id, &tuple, &segment.header),
            Some(_) => FastOpen::No,
        };
        if fast == FastOpen::Open {
            return self.open_fast(id, &record, port, segment, frame);
        }
        // A cookie is no number beyond the old connection's: what reopens TIME_WAIT gets a record or nothing.
        let may_be_cookie = cookies != SynCookies::Off && beyond.is_none();
        let always = cookies == SynCookies::Always && may_be_cookie;
        if has_room
            && !always
            && self.remember_half_open(id, port, packet, &tuple, record.clone(), fast == FastOpen::Give)
        {
            return Verdict::Consumed;
        }
        self.counters.syn_queue_overflows += u64::from(!always);
        if may_be_cookie {
            self.send_cookie(id, port, packet, &tuple, record)
        } else {
            self.refuse(&segment.tuple, DropReason::SynQueueFull)
        }
    }

    /// Enters a half-open connection that owes its SYN+ACK; `false` when there is no place, or nothing to wake it.
    fn remember_half_open(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        packet: &Packet,
        tuple: &FourTuple,
        record: SynRecord,
        fast_open: bool,
    ) -> bool {
        let half_open = HalfOpen::new(record, id, port, packet.ether_source, fast_open);
        let Some((slot, listed)) = self.records.insert_half_open(tuple, half_open) else {
            return false;
        };
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.half_open += 1;
        }
        if !listed {
            self.ports[port].transmit.push_back(slot);
        }
        self.arm_half_open(slot)
    }

    /// A SYN, or the ACK that ends a handshake, is ignored.
    #[cfg_attr(
        not(any(test, feature = "simulation")),
        allow(unused_variables, reason = "for simulations")
    )]
    pub(super) fn refuse(&mut self, tuple: &FourTuple, reason: DropReason) -> Verdict {
        self.counters.listen_drops += 1;
        #[cfg(any(test, feature = "simulation"))]
        if self.refused.len() < self.refused.capacity() {
            let (used, places) = self.records.filled(crate::conn_id::SlotKind::Tcb, tuple.family());
            self.refused.push(super::work::Refused {
                tuple: *tuple,
                reason,
                was_full: used == places || self.records.connections() == self.limits.connections,
            });
        }
        Verdict::Dropped(reason)
    }

    /// Whether a SYN may become a connection now, however it is remembered.
    fn admit_syn(&mut self, id: ListenerId, port: PortNumber, tuple: &FourTuple) -> Result<(), DropReason> {
        if self.draining || self.now < self.quiet_until {
            return Err(DropReason::NotAccepting);
        }
        if !self.accept_room(id) {
            self.counters.listen_overflows += 1;
            return Err(DropReason::AcceptQueueFull);
        }
        if !self.records.has_room(tuple.family()) {
            return Err(DropReason::ConnectionLimit);
        }
        // Established connections keep the buffers they need: new ones are refused before the pool runs out.
        if self.ports[port].shortage.short_of_buffers {
            return Err(DropReason::SynBuffersShort);
        }
        Ok(())
    }

    /// The accept queue has room, or an accept waits. Asks the other workers for share when not.
    pub(super) fn accept_room(&mut self, id: ListenerId) -> bool {
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

    /// A segment for a TIME_WAIT record: answered, or a new connection in its place (RFC 6191).
    pub(crate) fn segment_of_time_wait(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        let now = self.now;
        let local = segment.tuple.local();
        let listener = self.listeners.find(local.ip(), local.port());
        let profile = listener
            .and_then(|id| self.listeners.at(id))
            .map_or(0, |listener| listener.profile);
        let profile = &self.profiles[profile];
        let Some(time_wait) = self.records.time_wait_mut(slot) else {
            return Verdict::Dropped(DropReason::NoConnection);
        };
        let len = usize::from(segment.payload.len);
        let offset = || self.secrets.timestamp_offset(&segment.tuple);
        match time_wait.segment_arrives(&segment.header, len, profile, offset, now) {
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
                    return self.refuse(&segment.tuple, reason);
                }
                if !self.listeners.at(id).is_some_and(Listener::has_syn_room) {
                    self.counters.syn_queue_overflows += 1;
                    return self.refuse(&segment.tuple, DropReason::SynQueueFull);
                }
                self.records.remove_time_wait(slot);
                self.counters.time_wait_reopened += 1;
                self.syn(id, port, packet, segment, frame, Some(beyond))
            }
            TimeWaitArrival::Drop(reason) => Verdict::Dropped(reason),
        }
    }

    /// What the path to a peer carries: the announced MSS comes from the port's MTU (RFC 9293 §3.7.1, MUST-67;
    /// RFC 6691 §2; RFC 1122 §3.3.3).
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
