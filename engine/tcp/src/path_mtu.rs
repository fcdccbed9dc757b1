//! Path MTU probing (RFC 4821, RFC 8899's terms): segments that vanish where no ICMP tells why.
//!
//! ```text
//!            two timeouts with full segments                an ACK
//!   (none) ──────────────────────────────────► suspected ───────────► searching ──► a segment of the size that is tried
//!      ▲                                            two more: 536         │ acknowledged: segments have that size
//!      └──────────────── as large as they were ───────────────────────────┤ retransmitted: that was too large
//!                                                                         └ nothing left to try: again in ten minutes
//! ```
//! A probe is a segment of new data, larger than others, behind which enough follows for its loss to be seen by duplicate
//! ACKs. The first is as large as segments were, since the timeouts may have had another reason. One is under way at a time.

use fourtuple_wire::SeqNum;

use crate::pool::NIL;
use crate::recovery::Phase;
use crate::segment_arrives::TIMESTAMP_OCTETS;
use crate::timers::is_before;
use crate::{Buffers, Env, Tcb};

/// What is known of the segments that the path carries. [`SendSpace::mss`](crate::tcb::SendSpace) is what it does carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// Payload of a segment before it got smaller.
    whole: u16,
    /// The largest payload that was not found too large.
    ceiling: u16,
    /// The probe under way.
    probe: Option<Probe>,
    /// Something of the smaller size was acknowledged.
    confirmed: bool,
    /// No probe before this tick.
    next_at: u32,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    seq: SeqNum,
    len: u16,
}

impl Probe {
    fn end(self) -> SeqNum {
        self.seq + u32::from(self.len)
    }
}

impl Search {
    /// The next size to try above `mss`, or `None` (RFC 4821 §7.3).
    fn next_size(&self, mss: u16) -> Option<u16> {
        if self.ceiling == self.whole && self.whole > mss {
            return Some(self.whole);
        }
        let gap = self.ceiling.saturating_sub(mss);
        (gap >= WORTH_A_PROBE).then(|| mss + gap.div_ceil(2))
    }

    /// When the next probe may go.
    fn rest(&mut self, mss: u16, tick: u32) {
        self.next_at = if self.next_size(mss).is_some() {
            tick.wrapping_add(BETWEEN_PROBES_MS)
        } else {
            self.ceiling = self.whole;
            tick.wrapping_add(RAISE_AFTER_MS)
        };
    }
}

impl<B: Buffers> Tcb<B> {
    /// The retransmission timer ran out again: after every second time in a row, segments that are larger than any path
    /// carries get smaller (RFC 4821 §7.7).
    pub(crate) fn suspect_black_hole(&mut self, env: &mut Env<'_, B>) {
        let least = self.payload_of_mss(LEAST_MSS);
        let again = self.timers.retransmits.is_multiple_of(SUSPICIOUS_TIMEOUTS);
        if !env.profile.path_mtu_probing || !again || self.snd.mss <= least {
            return;
        }
        let full = self.first_unacknowledged(env.pools);
        if full.is_none_or(|text| text.len <= u32::from(least)) {
            return;
        }
        let before = self.snd.mss;
        let known = self.aside(env.pools).and_then(|aside| aside.search);
        let safe = if known.is_some_and(|search| !search.confirmed) {
            least
        } else {
            (before / 2).min(self.payload_of_mss(SAFE_MSS)).max(least)
        };
        let whole = known.map_or(before, |search| search.whole);
        self.snd.mss = safe;
        env.counters.path_mtu_suspected += 1;
        self.change_aside(env, |aside| {
            aside.search = Some(Search {
                whole,
                ceiling: whole,
                probe: None,
                confirmed: false,
                next_at: 0,
            });
        });
    }

    /// ICMP made segments smaller than `whole`; whether the path has widened is tried in ten minutes (RFC 1191 §6.3,
    /// RFC 8201 §5.3).
    pub(crate) fn try_larger_later(&mut self, whole: u16, env: &mut Env<'_, B>) {
        if !env.profile.path_mtu_probing {
            return;
        }
        let next_at = env.tick().wrapping_add(RAISE_AFTER_MS);
        self.change_aside(env, |aside| {
            let whole = aside.search.map_or(whole, |search| search.whole);
            aside.search = Some(Search {
                whole,
                ceiling: whole,
                probe: None,
                confirmed: true,
                next_at,
            });
        });
    }

    /// ICMP names a size that is no smaller than segments are: news only while a larger one is tried.
    pub(crate) fn probe_too_big(&mut self, payload: u16, env: &mut Env<'_, B>) -> bool {
        let probing = self
            .aside(env.pools)
            .and_then(|aside| aside.search)
            .and_then(|search| search.probe)
            .is_some_and(|probe| payload < probe.len && payload >= self.snd.mss);
        if !probing {
            return false;
        }
        let (mss, tick) = (self.snd.mss, env.tick());
        self.change_aside(env, |aside| {
            if let Some(search) = &mut aside.search {
                (search.whole, search.ceiling, search.probe) = (payload, payload, None);
                search.rest(mss, tick);
            }
        });
        true
    }

    /// Octets of payload of the next new segment: `room`, or more when it is to be a probe.
    ///
    /// While a probe is due and would fit once something is acknowledged, nothing else goes: it is short of room at most for
    /// as long as that takes.
    #[inline]
    pub(crate) fn room_or_probe(&self, room: u32, env: &Env<'_, B>) -> u32 {
        if self.aside == NIL {
            return room;
        }
        self.probe_size(env).map_or(room, u32::from)
    }

    fn probe_size(&self, env: &Env<'_, B>) -> Option<u16> {
        let search = self.aside(env.pools)?.search?;
        let quiet = self.recovery.phase == Phase::Open && self.recovery.duplicate_acks == 0;
        let due = search.confirmed && search.probe.is_none() && !is_before(env.tick(), search.next_at);
        if !quiet || !due || self.reassembly != NIL {
            return None;
        }
        let size = search.next_size(self.snd.mss)?;
        // RFC 4821 §7.4: enough must follow for its loss to be seen without a timeout.
        let wanted = u32::from(size) + FOLLOWING * u32::from(self.snd.mss);
        let unsent = self.queue.len().saturating_sub(self.snd.flight());
        (unsent >= wanted && self.snd.wnd >= wanted && self.congestion.window() >= wanted).then_some(size)
    }

    /// New text of `len` octets goes out at SND.NXT.
    #[inline]
    pub(crate) fn note_probe(&mut self, len: u32, env: &mut Env<'_, B>) {
        if self.aside == NIL || len <= u32::from(self.snd.mss) {
            return;
        }
        let probe = Probe {
            seq: self.snd.nxt,
            len: len.min(u32::from(u16::MAX)) as u16,
        };
        self.change_aside(env, |aside| {
            if let Some(search) = &mut aside.search {
                search.probe = Some(probe);
            }
        });
        env.counters.path_mtu_probes += 1;
    }

    /// What begins at `seq` is sent again: a probe that it is part of was too large (RFC 4821 §7.6).
    #[inline]
    pub(crate) fn note_retransmission(&mut self, seq: SeqNum, env: &mut Env<'_, B>) {
        if self.aside == NIL {
            return;
        }
        let search = self.aside(env.pools).and_then(|aside| aside.search);
        let Some(probe) = search.and_then(|search| search.probe) else {
            return;
        };
        if !seq.within(probe.seq, u32::from(probe.len)) {
            return;
        }
        env.counters.path_mtu_probes_lost += 1;
        let (mss, tick) = (self.snd.mss, env.tick());
        self.change_aside(env, |aside| {
            if let Some(search) = &mut aside.search {
                search.probe = None;
                search.ceiling = probe.len - 1;
                search.rest(mss, tick);
            }
        });
    }

    /// SND.UNA moved: the path carries what it carried.
    pub(crate) fn path_mtu_acknowledged(&mut self, env: &mut Env<'_, B>) {
        let Some(mut search) = self.aside(env.pools).and_then(|aside| aside.search) else {
            return;
        };
        if !search.confirmed {
            search.confirmed = true;
            search.next_at = env.tick().wrapping_add(BETWEEN_PROBES_MS);
        }
        if let Some(probe) = search.probe
            && self.snd.una.at_or_after(probe.end())
        {
            search.probe = None;
            self.snd.mss = self.snd.mss.max(probe.len);
            search.rest(self.snd.mss, env.tick());
            env.counters.path_mtu_raised += 1;
        }
        let done = self.snd.mss >= search.whole;
        self.change_aside(env, |aside| aside.search = (!done).then_some(search));
    }

    /// Payload octets of a segment whose payload and TCP options together are `mss`.
    fn payload_of_mss(&self, mss: u16) -> u16 {
        mss - if self.timestamps.enabled {
            TIMESTAMP_OCTETS
        } else {
            0
        }
    }
}

/// Timeouts in a row after which the size of segments is suspected: one is any loss; Linux waits for three (`tcp_retries1`).
const SUSPICIOUS_TIMEOUTS: u8 = 2;
/// Segments have at most this size then (RFC 4821 §7.2 names 1024 as a start that works on most paths) …
const SAFE_MSS: u16 = 1024;
/// … and after two more timeouts this one: what every path of IPv4 carries; one of IPv6 carries more, which the search finds.
const LEAST_MSS: u16 = 536;
/// A probe that may gain less than so many octets is not made.
const WORTH_A_PROBE: u16 = 16;
/// Segments of the size known that must follow a probe: three duplicate ACKs, and one that is lost as well.
const FOLLOWING: u32 = 4;
/// A lost probe costs a fast recovery: one a second keeps that small, and finds the size within ten.
const BETWEEN_PROBES_MS: u32 = 1000;
/// RFC 8899 §5.1.1, PMTU_RAISE_TIMER; RFC 1191 §6.3: ten minutes.
const RAISE_AFTER_MS: u32 = 600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const UNA: SeqNum = SeqNum(u32::MAX - 500);
    const NO_PROBE: Search = Search {
        whole: 1460,
        ceiling: 1460,
        probe: None,
        confirmed: true,
        next_at: 0,
    };
    const PROBED: Search = Search {
        probe: Some(Probe { seq: UNA, len: 1460 }),
        ..NO_PROBE
    };

    /// Segments of so many octets, and this is known of larger ones.
    fn bench(mss: u16, search: Search) -> Bench {
        let mut bench = Bench::established(UNA).queued(10_000, 1_000);
        bench.tcb.snd.mss = mss;
        bench.with(|tcb, env| tcb.change_aside(env, |aside| aside.search = Some(search)));
        bench
    }

    fn search(bench: &Bench) -> Search {
        bench
            .tcb
            .aside(&bench.pools)
            .and_then(|aside| aside.search)
            .unwrap()
    }

    #[test]
    fn a_probe_ends_behind_its_last_octet_round_the_circle() {
        let probe = Probe {
            seq: SeqNum(u32::MAX - 5),
            len: 10,
        };
        assert_eq!(probe.end(), SeqNum(4));
    }

    // proves: RFC 4821 §7.3
    #[test]
    fn the_first_size_is_the_whole_one_and_each_next_halves_what_is_unknown() {
        for (ceiling, mss, next) in [
            (1460, 730, Some(1460)),
            (1460, 1459, Some(1460)),
            (1460, 1460, None),
            (1459, 730, Some(1095)),
            (746, 730, Some(738)),
            (745, 730, None),
            (700, 730, None),
        ] {
            let search = Search { ceiling, ..NO_PROBE };
            assert_eq!(search.next_size(mss), next, "{ceiling} {mss}");
        }
    }

    // proves: RFC 4821 §7.7
    #[test]
    fn what_was_acknowledged_once_is_halved_and_what_never_was_is_the_least_at_once() {
        for (confirmed, mss, safe) in [
            (true, 4_000, 1_024),
            (true, 1_400, 700),
            (true, 900, 536),
            (false, 4_000, 536),
        ] {
            let mut bench = bench(
                mss,
                Search {
                    confirmed,
                    ..NO_PROBE
                },
            );
            bench.tcb.timers.retransmits = 2;
            bench.tcb.snd.nxt = UNA + 10_000;
            bench.with(|tcb, env| tcb.suspect_black_hole(env));
            assert_eq!(bench.tcb.snd.mss, safe, "{confirmed} {mss}");
            assert_eq!(bench.counters.path_mtu_suspected, 1);
        }
    }

    #[test]
    fn icmp_is_news_of_a_probe_when_it_names_less_than_that_and_no_less_than_segments_are() {
        for (payload, news) in [
            (999, false),
            (1_000, true),
            (1_459, true),
            (1_460, false),
            (1_500, false),
        ] {
            let mut bench = bench(1_000, PROBED);
            assert_eq!(
                bench.with(|tcb, env| tcb.probe_too_big(payload, env)),
                news,
                "{payload}"
            );
            let known = search(&bench);
            assert_eq!(known.probe.is_none(), news, "{payload}");
            let most = if news { payload } else { 1_460 };
            assert_eq!((known.whole, known.ceiling), (most, most));
        }
        let mut quiet = bench(1_000, NO_PROBE);
        assert!(!quiet.with(|tcb, env| tcb.probe_too_big(1_200, env)));
    }

    // proves: RFC 4821 §7.4
    #[test]
    fn a_probe_goes_when_nothing_is_amiss_and_enough_follows_it() {
        let size = |change: fn(&mut Bench)| {
            let mut bench = bench(1_000, NO_PROBE);
            change(&mut bench);
            bench.with(|tcb, env| tcb.probe_size(env))
        };
        // 1460 octets and four segments of 1000: as much is to be unsent and to fit in both windows.
        assert_eq!(size(|_| ()), Some(1_460));
        assert_eq!(size(|bench| bench.tcb.snd.nxt = UNA + 4_540), Some(1_460));
        assert_eq!(size(|bench| bench.tcb.snd.nxt = UNA + 4_541), None);
        assert_eq!(size(|bench| bench.tcb.snd.wnd = 5_460), Some(1_460));
        assert_eq!(size(|bench| bench.tcb.snd.wnd = 5_459), None);
        assert_eq!(size(|bench| bench.tcb.recovery.phase = Phase::Loss), None);
        assert_eq!(size(|bench| bench.tcb.recovery.duplicate_acks = 1), None);
        assert_eq!(size(|bench| bench.tcb.reassembly = 0), None);
    }

    // proves: RFC 4821 §7.6
    #[test]
    fn a_probe_that_is_sent_again_was_larger_than_the_path_carries() {
        for (seq, lost) in [
            (UNA.back(1), false),
            (UNA, true),
            (UNA + 1_459, true),
            (UNA + 1_460, false),
        ] {
            let mut bench = bench(1_000, PROBED);
            bench.with(|tcb, env| tcb.note_retransmission(seq, env));
            assert_eq!(bench.counters.path_mtu_probes_lost, u64::from(lost));
            let known = search(&bench);
            assert_eq!(known.ceiling, if lost { 1_459 } else { 1_460 });
            assert_eq!(known.probe.is_none(), lost);
        }
    }

    // proves: RFC 9293 MUST-16
    #[test]
    fn timestamps_are_a_part_of_what_a_segment_carries() {
        let mut bench = Bench::established(UNA);
        assert_eq!(bench.tcb.payload_of_mss(536), 536);
        bench.tcb.timestamps.enabled = true;
        assert_eq!(bench.tcb.payload_of_mss(536), 524);
    }
}
