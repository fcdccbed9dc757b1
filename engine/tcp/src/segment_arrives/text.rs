//! Seventh: the segment text (RFC 9293 §3.10.7.4), in order or not; charges and bounds are those of `window` and `reassembly`.

use fourtuple_wire::{DropReason, Received, SeqNum};

use super::{Segment, ends};
use crate::dsack::Run;
use crate::pool::NIL;
use crate::reassembly::{Inserted, Reassembly};
use crate::receive_queue::ReceiveNode;
use crate::signals::Arrival;
use crate::tcb::{Debts, Flags};
use crate::{Buffers, Ending, Env, Signals, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn take_text(
        &mut self,
        segment: &mut Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) -> Result<(), DropReason> {
        let len = segment.payload_len();
        let Some(payload) = segment.payload.take_if(|_| len > 0) else {
            return Ok(());
        };
        // CLOSE_WAIT, CLOSING, LAST_ACK: the peer has sent its FIN; "ignore the segment text".
        if !self.state.takes_text() {
            segment.fin = false;
            return Err(DropReason::DataAfterClose);
        }
        // RFC 9293 §3.6.1, SHLD-3: data for an application that is gone is lost, and the peer is told so.
        if self.flags.contains(Flags::ORPHAN) {
            env.counters.unread_aborts += 1;
            self.end(env);
            self.debts = Debts::RESET;
            ends(arrival, Ending::Aborted);
            return Err(DropReason::DataAfterClose);
        }
        let taken = if segment.seq == self.rcv.nxt {
            self.take_in_order(payload, env)
                .inspect(|()| arrival.signals.insert(Signals::READABLE))
        } else {
            self.keep_out_of_order(segment.seq, payload, env)
        };
        if taken.is_err() {
            // The FIN behind it has to wait as well.
            segment.fin = false;
        } else {
            segment.seq += len;
        }
        taken
    }

    /// Text at RCV.NXT, and what it joins up with.
    #[inline]
    pub(crate) fn take_in_order(&mut self, payload: B::Rx, env: &mut Env<'_, B>) -> Result<(), DropReason> {
        let len = payload.bytes().len() as u32;
        if let Err(reason) = self.append(payload, env) {
            self.debts.insert(Debts::ACK);
            return Err(reason);
        }
        env.counters.bytes_in += u64::from(len);
        self.on_text_in_order(len, env);
        if self.reassembly != NIL {
            // RFC 5681 §4.2, RFC 9293 MUST-59: what was queued is joined first, and the ACK is not delayed.
            self.join(self.rcv.nxt.back(len), env);
            self.debts.insert(Debts::ACK);
        }
        Ok(())
    }

    /// Appends to the receive queue; chunks out of order give way when there is no room for what is in order.
    #[inline]
    fn append(&mut self, payload: B::Rx, env: &mut Env<'_, B>) -> Result<(), DropReason> {
        let (len, space) = (payload.bytes().len() as u32, payload.space());
        let bound = env.profile.receive_buffer.saturating_mul(2);
        let over = |charged: u32| charged > 0 && u64::from(charged) + space as u64 > u64::from(bound);
        if over(self.received.charged()) {
            self.renege(env);
            if over(self.received.charged()) {
                env.counters.reassembly_full += 1;
                return Err(DropReason::ReassemblyFull);
            }
        }
        let node = ReceiveNode {
            buffer: payload,
            seq: self.rcv.nxt,
            next: NIL,
        };
        let node = env.pools.receive.insert(node).or_else(|node| {
            self.renege(env);
            env.pools.receive.insert(node)
        });
        let Ok(node) = node else {
            env.counters.pool_empty += 1;
            return Err(DropReason::NoRoom);
        };
        self.received.charge(space);
        self.received.append(node, len, &mut env.pools.receive);
        self.rcv.nxt += len;
        Ok(())
    }

    /// What waited behind the hole and is in order now moves over; its space is charged already. `from`: where the text began that
    /// came in order.
    fn join(&mut self, from: SeqNum, env: &mut Env<'_, B>) {
        let (end, mut twice) = (self.rcv.nxt, Run::default());
        while let Some(reassembly) = env.pools.reassemblies.piece_mut(self.reassembly) {
            reassembly.reports.forget_acks();
            let Some((seq, mut buffer)) = reassembly.take_ready(self.rcv.nxt, &mut env.pools.receive) else {
                break;
            };
            self.received.discharge(buffer.space());
            // What came in order up to `end` had come out of order.
            twice.extend(seq, end.earlier(seq + buffer.bytes().len() as u32));
            buffer.trim_front(self.rcv.nxt.distance_from(seq) as usize);
            let len = buffer.bytes().len();
            if len > 0 && self.append(buffer, env).is_ok() {
                env.counters.bytes_in += len as u64;
            }
        }
        let reported = env.pools.reassemblies.piece(self.reassembly);
        // Where the same segment brought old octets, too, they are its first run, and reported already.
        if !reported.is_some_and(|reassembly| reassembly.reports.reach(from)) {
            self.report_run(twice, env);
        }
        self.tidy_reassembly(env);
    }

    /// Text beyond a hole: kept, and told at once (RFC 5681 §4.2, MAY-13).
    fn keep_out_of_order(
        &mut self,
        seq: SeqNum,
        payload: B::Rx,
        env: &mut Env<'_, B>,
    ) -> Result<(), DropReason> {
        self.debts.insert(Debts::ACK);
        // Text beyond holes takes half of the pool at most: peers that never fill their holes leave room for what is in order.
        let room = !env.pools.receive.is_half_full()
            && self.received.charged().saturating_add(payload.space() as u32) <= env.profile.receive_buffer;
        let sack = self.flags.contains(Flags::SACK);
        let Some(index) = self.reassembly_record(env) else {
            return Err(DropReason::NoRoom);
        };
        let Some(reassembly) = env.pools.reassemblies.piece_mut(index) else {
            return Err(DropReason::NoRoom);
        };
        let inserted = if !room || reassembly.chunks() >= env.profile.reassembly_chunks {
            Err(DropReason::ReassemblyFull)
        } else {
            let mut twice = Run::default();
            let inserted = reassembly.insert(seq, payload, &mut twice, &mut env.pools.receive);
            if sack {
                reassembly.reports.add_duplicate(twice);
            } else {
                // RFC 5681 §4.2, §3.2: without SACK the peer counts the ACKs, so each segment has its own.
                reassembly.reports.add_ack();
            }
            match inserted {
                Inserted::Kept { charged, discharged } => {
                    self.received.charge(charged);
                    self.received.discharge(discharged);
                    Ok(())
                }
                Inserted::Duplicate => Err(DropReason::Duplicate),
                Inserted::PoolEmpty => Err(DropReason::NoRoom),
            }
        };
        match inserted {
            Ok(()) => env.counters.out_of_order_in += 1,
            Err(DropReason::ReassemblyFull) => env.counters.reassembly_full += 1,
            Err(DropReason::Duplicate) => env.counters.duplicates_in += 1,
            Err(_) => env.counters.pool_empty += 1,
        }
        self.tidy_reassembly(env);
        inserted
    }

    /// RFC 9293 §3.10.7.3, fourth: what a SYN brought beside itself waits for ESTABLISHED, as if it had come out of order. What
    /// there is no room for comes again, for nothing of it is acknowledged.
    pub(super) fn queue_text_of_syn(&mut self, segment: &mut Segment<'_, B::Rx>, env: &mut Env<'_, B>) {
        self.cut_to_offer(segment);
        let len = segment.payload_len();
        if let Some(payload) = segment.payload.take_if(|_| len > 0)
            && self.keep_out_of_order(segment.seq, payload, env).is_err()
        {
            return;
        }
        if segment.fin
            && let Some(index) = self.reassembly_record(env)
            && let Some(reassembly) = env.pools.reassemblies.piece_mut(index)
        {
            reassembly.fin = Some(segment.seq + len);
        }
    }

    /// What waited since the peer's SYN is in order now.
    pub(super) fn take_text_of_syn(&mut self, arrival: &mut Arrival, env: &mut Env<'_, B>) {
        let before = self.rcv.nxt;
        self.join(before, env);
        let len = self.rcv.nxt.distance_from(before);
        if len > 0 {
            arrival.signals.insert(Signals::READABLE);
            self.on_text_in_order(len, env);
        }
    }

    /// The record of what waits behind a hole, made when there is none.
    pub(crate) fn reassembly_record(&mut self, env: &mut Env<'_, B>) -> Option<u32> {
        if self.reassembly == NIL {
            match env.pools.reassemblies.insert(Reassembly::new()) {
                Ok(index) => self.reassembly = index,
                Err(_) => {
                    env.counters.pool_empty += 1;
                    return None;
                }
            }
        }
        Some(self.reassembly)
    }

    /// The record goes when nothing waits any more.
    fn tidy_reassembly(&mut self, env: &mut Env<'_, B>) {
        let Some(reassembly) = env.pools.reassemblies.piece_mut(self.reassembly) else {
            return;
        };
        reassembly.advance(self.rcv.nxt);
        if reassembly.is_empty() {
            env.pools.reassemblies.remove(self.reassembly);
            self.reassembly = NIL;
        }
    }

    /// The peer's FIN is in order: nothing can follow it, but what came twice is still reported.
    pub(super) fn close_reassembly(&mut self, env: &mut Env<'_, B>) {
        if let Some(reassembly) = env.pools.reassemblies.piece_mut(self.reassembly) {
            let (space, _) = reassembly.renege(&mut env.pools.receive);
            self.received.discharge(space);
            reassembly.fin = None;
            reassembly.reports.forget_acks();
        }
        self.tidy_reassembly(env);
    }

    /// RFC 2018 §8: what is out of order may be given up for what is in order.
    fn renege(&mut self, env: &mut Env<'_, B>) {
        let Some(reassembly) = env.pools.reassemblies.piece_mut(self.reassembly) else {
            return;
        };
        let (space, chunks) = reassembly.renege(&mut env.pools.receive);
        self.received.discharge(space);
        env.counters.reneged += u64::from(chunks);
        self.tidy_reassembly(env);
    }

    /// Gives everything that waits behind a hole back.
    pub(crate) fn drop_reassembly(&mut self, env: &mut Env<'_, B>) {
        if let Some(mut reassembly) = env.pools.reassemblies.remove(self.reassembly) {
            let (space, _) = reassembly.renege(&mut env.pools.receive);
            self.received.discharge(space);
        }
        self.reassembly = NIL;
    }
}
