//! Trains: full segments of new text that follow one just sent, alike in all but sequence number and payload.
//!
//! What windows, Nagle's algorithm, congestion control and recovery said of the first they would say of each that fits behind it, for
//! nothing else happens between them: how many those are is asked once. It changes no outcome: with `header_prediction` off, nothing
//! goes this way.
//!
//! [`Tcb::train_behind`] tells how many there are, [`Tcb::next_of_train`] makes each, and [`Tcb::end_of_train`] has to come behind
//! the last that was made, before anything else is asked of the connection.

use fourtuple_wire::TcpFlags;

use crate::congestion::wants_every_sending;
use crate::pool::NIL;
use crate::recovery::{Marks, Phase};
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::{Buffers, Env, Outgoing, Tcb};

impl<B: Buffers> Tcb<B> {
    /// How many full segments may follow `first`, which [`poll_transmit`](Self::poll_transmit) just gave; at most `most`.
    ///
    /// The last octet queued is never among them: its segment is pushed (RFC 9293 §3.9.1.2, MUST-61), and a FIN may ride on it.
    #[inline]
    pub fn train_behind(&self, first: &Outgoing, most: u32, env: &Env<'_, B>) -> u32 {
        let mss = u32::from(self.snd.mss);
        let whole = u32::from(first.payload_len) == mss && !first.retransmission;
        // CWR goes with one segment only, and an urgent pointer is another in each. RFC 2883 §4: a duplicate is reported once.
        let bare = first.header.flags == TcpFlags::ACK
            && first.header.options.sack.is_empty()
            && first.header.seq + mss == self.snd.nxt;
        if !whole || !bare || !self.may_follow(env) {
            return 0;
        }
        let flight = self.snd.flight();
        let unsent = self.queue.len().saturating_sub(flight + 1);
        let windows = self.snd.wnd.min(self.congestion.window());
        (unsent.min(windows.saturating_sub(flight)) / mss).min(most)
    }

    /// Nothing but text is owed, and nothing is known that would have to be asked again before each segment of it.
    #[inline]
    fn may_follow(&self, env: &Env<'_, B>) -> bool {
        let quiet = self.recovery.phase == Phase::Open
            && self.recovery.duplicate_acks == 0
            && !self.recovery.marks.contains(Marks::SACKED);
        quiet
            && self.debts.only(Debts::TEXT, Debts::NONE)
            && self.timers.is_armed(Timer::Retransmit)
            && !self.flags.contains(Flags::PACED)
            && self.reassembly & self.aside == NIL
            && self.flight != NIL
            && env.profile.header_prediction
            && !wants_every_sending(env.profile)
    }

    /// `car`, the segment before, becomes the one behind it, which goes out.
    #[inline]
    pub fn next_of_train(&mut self, car: &mut Outgoing, env: &mut Env<'_, B>) {
        let len = u32::from(car.payload_len);
        car.header.seq = self.snd.nxt;
        car.payload_offset += len;
        self.queue.seek(car.payload_offset, &env.pools.send);
        self.snd.nxt += len;
        env.counters.segments_out += 1;
        env.counters.bytes_out += u64::from(len);
    }

    /// The last one is out: all of them were sent at one moment, the timer begins again, and whether text is owed still is asked as
    /// behind any segment.
    #[inline]
    pub fn end_of_train(&mut self, env: &mut Env<'_, B>) {
        self.note_sent(self.snd.nxt, env);
        self.restart_probe(env);
        if self.nothing_to_send() || self.next_text(env).is_none() {
            self.debts.remove(Debts::TEXT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fourtuple_wire::{SackBlock, SeqNum, TcpHeader};

    use super::*;
    use crate::Pacing;
    use crate::testing::Bench;

    const UNA: SeqNum = SeqNum(u32::MAX - 500);

    /// A full segment is outstanding, and so much is queued with it.
    fn bench(queued: u32) -> Bench {
        let mut bench = Bench::established(UNA).queued(queued, 1_000).with_flight();
        bench.tcb.debts.insert(Debts::TEXT);
        bench.tcb.timers.arm(Timer::Retransmit, 100, 0);
        bench
    }

    /// That segment.
    fn first() -> Outgoing {
        Outgoing {
            header: TcpHeader {
                seq: UNA,
                flags: TcpFlags::ACK,
                ..TcpHeader::default()
            },
            payload_offset: 0,
            payload_len: 1_000,
            retransmission: false,
            ect: false,
        }
    }

    fn behind(bench: &mut Bench, first: &Outgoing) -> u32 {
        bench.with(|tcb, env| tcb.train_behind(first, 64, env))
    }

    // proves: RFC 9293 MUST-61
    #[test]
    fn full_segments_follow_but_not_the_last_octet() {
        for (queued, cars) in [(10_000, 8), (10_001, 9), (2_000, 0), (2_001, 1), (1_000, 0)] {
            assert_eq!(behind(&mut bench(queued), &first()), cars, "{queued}");
        }
        let mut bench = bench(10_000);
        assert_eq!(bench.with(|tcb, env| tcb.train_behind(&first(), 3, env)), 3);
        bench.tcb.snd.wnd = 5_000;
        assert_eq!(behind(&mut bench, &first()), 4);
        bench
            .tcb
            .congestion
            .set_window(crate::CongestionKind::NewReno, 4_999);
        assert_eq!(behind(&mut bench, &first()), 3);
    }

    #[test]
    fn a_train_is_known_as_if_each_of_it_had_been_noted_by_itself() {
        for waited in [0, 700, 2_000_000] {
            let known = |singly: bool| {
                let mut bench = bench(10_000);
                bench.now = bench.now + Duration::from_micros(waited);
                let mut car = first();
                bench.with(|tcb, env| {
                    for _ in 0..3 {
                        tcb.next_of_train(&mut car, env);
                        if singly {
                            tcb.note_sent(tcb.snd.nxt, env);
                        }
                    }
                    tcb.end_of_train(env);
                });
                let flight = bench.pools.flights.piece(bench.tcb.flight).unwrap();
                assert_eq!(flight.scoreboard.pipe(), 4_000);
                format!("{:?}", flight.scoreboard)
            };
            assert_eq!(known(false), known(true), "after {waited} µs");
        }
    }

    #[test]
    fn nothing_follows_a_segment_that_is_not_bare_full_and_new() {
        let others: [fn(&mut Outgoing); 6] = [
            |first| first.payload_len = 999,
            |first| first.retransmission = true,
            |first| first.header.flags = TcpFlags::ACK | TcpFlags::PSH,
            |first| first.header.flags = TcpFlags::ACK | TcpFlags::CWR,
            |first| first.header.seq = UNA.back(1),
            |first| first.header.options.sack.push(SackBlock::default()),
        ];
        for (at, change) in others.iter().enumerate() {
            let mut segment = first();
            change(&mut segment);
            assert_eq!(behind(&mut bench(10_000), &segment), 0, "{at}");
        }
    }

    #[test]
    fn nothing_follows_where_each_segment_would_have_to_be_asked_for() {
        let others: [fn(&mut Bench); 12] = [
            |bench| bench.tcb.recovery.phase = Phase::FastSack,
            |bench| bench.tcb.recovery.duplicate_acks = 1,
            |bench| bench.tcb.recovery.marks.insert(Marks::SACKED),
            |bench| bench.tcb.debts.insert(Debts::ACK),
            |bench| bench.tcb.debts = Debts::NONE,
            |bench| bench.tcb.timers.disarm(Timer::Retransmit),
            |bench| bench.tcb.flags.insert(Flags::PACED),
            |bench| bench.tcb.reassembly = 0,
            |bench| bench.tcb.aside = 0,
            |bench| bench.tcb.flight = NIL,
            |bench| bench.profile.header_prediction = false,
            |bench| bench.profile.pacing = Pacing::On,
        ];
        for (at, change) in others.iter().enumerate() {
            let mut bench = bench(10_000);
            change(&mut bench);
            assert_eq!(behind(&mut bench, &first()), 0, "{at}");
        }
    }
}
