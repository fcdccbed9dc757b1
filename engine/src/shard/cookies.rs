//! SYN cookies: a listener's handshakes without a record (RFC 4987 §3.6; the cookie itself is fourtuple-tcp's `cookie`).
//!
//! A SYN costs one answer and no memory, an ACK two hashes, whatever it says. ACKs are looked at only while cookies of the listener
//! may be under way, and only so many a second: what else an ACK to a listener would meet, a RST, stays as it is.

use fourtuple_nic::Queue;
use fourtuple_tcp::{CookieCheck, CookieTime, SynRecord, check_cookie};
use fourtuple_wire::{DropReason, FourTuple, Packet, TcpFlags, TcpPacket};

use super::receive::Verdict;
use super::work::Work;
use crate::listener::ListenerId;
use crate::port_number::PortNumber;

impl<Q: Queue> Work<Q> {
    /// Answers a SYN with a cookie, and forgets it. Without a transmit slot the SYN is ignored (D1).
    pub(super) fn send_cookie(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        packet: &Packet,
        tuple: &FourTuple,
        record: SynRecord,
    ) -> Verdict {
        let now = self.now;
        let time = CookieTime {
            period: self.secrets.cookie_period(now),
            now,
        };
        let Some(listener) = self.listeners.at(id) else {
            return self.refuse(tuple, DropReason::NotAccepting);
        };
        let profile = &self.profiles[listener.profile];
        let secrets = &self.secrets;
        let hash = |number| secrets.cookie_hash(tuple, number);
        let Some(syn_ack) = record.into_cookie(tuple.family(), profile, time, hash) else {
            // Its segments are smaller than any that a cookie tells of.
            return self.refuse(tuple, DropReason::SynQueueFull);
        };
        if !self.answer_segment(port, packet, tuple, &syn_ack) {
            return self.refuse(tuple, DropReason::NoRoom);
        }
        self.counters.cookies_sent += 1;
        self.counters.syn_acks_sent += 1;
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.cookie_sent = Some(now);
        }
        Verdict::Consumed
    }

    /// The record that an ACK's cookie stands for; `None` when it brings none, and is to be answered as any other.
    pub(super) fn cookie_of(
        &mut self,
        id: ListenerId,
        port: PortNumber,
        segment: &TcpPacket,
    ) -> Option<Result<SynRecord, DropReason>> {
        let (now, header, tuple) = (self.now, &segment.header, &segment.tuple);
        let listener = self.listeners.at(id)?;
        let has_ack = header.flags.contains(TcpFlags::ACK);
        if !has_ack
            || header.flags.intersects(TcpFlags::SYN | TcpFlags::RST)
            || !listener.cookies_are_about(now)
        {
            return None;
        }
        if !self.ports[port].host.limits.cookie_checks.try_take(now) {
            return Some(Err(DropReason::RateLimited));
        }
        let (iss, irs) = (header.ack.back(1), header.seq.back(1));
        let period = self.secrets.cookie_period(now);
        let hash = |number| self.secrets.cookie_hash(tuple, number);
        match check_cookie(iss, irs, tuple.family(), period, hash) {
            CookieCheck::Ours { mss } => {
                let profile = &self.profiles[listener.profile];
                let (seeds, path) = (self.secrets.seeds(tuple, now), self.path(port, tuple));
                Some(Ok(SynRecord::from_cookie(
                    header, mss, seeds, &path, profile, now,
                )))
            }
            CookieCheck::Astray => {
                self.counters.cookies_failed += 1;
                Some(Err(DropReason::CookieAstray))
            }
            CookieCheck::Foreign => {
                self.counters.cookies_failed += 1;
                None
            }
        }
    }

    /// The ACK of a handshake with a cookie: a connection, if the accept queue has room.
    pub(super) fn finish_cookie(
        &mut self,
        id: ListenerId,
        record: SynRecord,
        port: PortNumber,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Verdict {
        if let Err(reason) = self.admit_ack(id, &segment.tuple) {
            return self.refuse(&segment.tuple, reason);
        }
        self.counters.cookies_accepted += 1;
        let mut segment = segment.clone();
        if let Some(timestamps) = &mut segment.header.options.timestamps {
            // Its low bits are no time: nothing is to be measured by it.
            timestamps.echo = 0;
        }
        self.connected(id, &record, port, packet, &segment, frame)
    }
}
