//! The cold state of congestion control: what an algorithm remembers beyond the numbers in the TCB. It lies in a pool.
//!
//! It comes into being with the algorithm of the first call, and changes with it: an algorithm that is chosen for a live
//! connection begins with the window that it finds.

use fourtuple_wire::SeqNum;

use super::bbr::Bbr;
use super::cubic::Cubic;
use super::dctcp::Dctcp;
use super::{AckSample, Algorithm, Congestion, CongestionKind, NewReno, Reduction, SendSample};
use crate::pacing::Pacer;

/// What one connection's algorithm remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    state: State,
    /// An ACK before this belongs to the window of data for which the window came down already (RFC 3168 §6.1.2).
    reduced_until: Option<SeqNum>,
    /// What of the window was used.
    used: Used,
    /// When the next segment may leave.
    pub(crate) pacer: Pacer,
}

/// The most that was outstanding at a time, in this round trip and the one before (RFC 7661 §4.2).
///
/// ACKs that come in one burst are taken up before anything is sent, so that each finds less outstanding than the one before it: that
/// is no window that was not used.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    now: u32,
    before: u32,
    /// An ACK at or behind this ends the round trip.
    end: Option<SeqNum>,
}

impl Used {
    fn on_ack(&mut self, sample: &AckSample) {
        if self.end.is_none_or(|end| sample.una.at_or_after(end)) {
            (self.before, self.now) = (self.now, 0);
            self.end = Some(sample.nxt);
        }
        self.now = self.now.max(sample.flight);
    }

    fn most(&self) -> u32 {
        self.now.max(self.before)
    }
}

/// The algorithms; NewReno has nothing to remember.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::large_enum_variant,
    reason = "pieces of a pool are all of one size, and nothing here is moved"
)]
enum State {
    #[default]
    None,
    Cubic {
        now: Cubic,
        /// Before the last reduction (RFC 9438 §4.9).
        before: Cubic,
    },
    Dctcp(Dctcp),
    Bbr(Bbr),
}

impl Model {
    /// The state of this algorithm, made anew when it was another's.
    fn become_kind(&mut self, kind: CongestionKind) {
        let fits = matches!(
            (&self.state, kind),
            (State::Cubic { .. }, CongestionKind::Cubic)
                | (State::Dctcp(_), CongestionKind::Dctcp)
                | (State::Bbr(_), CongestionKind::Bbr)
                | (State::None, CongestionKind::NewReno)
        );
        if !fits {
            self.state = match kind {
                CongestionKind::Cubic => State::Cubic {
                    now: Cubic::default(),
                    before: Cubic::default(),
                },
                CongestionKind::NewReno => State::None,
                CongestionKind::Bbr => State::Bbr(Bbr::default()),
                CongestionKind::Dctcp => State::Dctcp(Dctcp::default()),
            };
        }
    }

    pub(super) fn on_ack(&mut self, hot: &mut Congestion, sample: &AckSample) {
        self.become_kind(sample.kind);
        self.used.on_ack(sample);
        let sample = &AckSample {
            app_limited: sample.app_limited && hot.window > self.used.most().saturating_mul(2),
            ..*sample
        };
        if self.reduced_until.is_some_and(|end| sample.una.at_or_after(end)) {
            self.reduced_until = None;
        }
        match &mut self.state {
            State::None => NewReno.on_ack(hot, sample),
            State::Cubic { now, .. } => now.on_ack(hot, sample),
            State::Dctcp(dctcp) => dctcp.on_ack(hot, sample),
            State::Bbr(bbr) => bbr.on_ack(hot, sample),
        }
    }

    pub(super) fn on_loss(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        self.become_kind(reduction.kind);
        // RFC 3168 §6.1.2: a mark and a loss in one window of data are one congestion.
        if !reduction.again && self.is_reduced(reduction) && hot.threshold != u32::MAX {
            hot.window = hot.window.min(hot.threshold);
            return;
        }
        self.reduced_until = Some(reduction.nxt);
        let wide = &self.before_the_burst(reduction);
        match &mut self.state {
            State::None => NewReno.on_loss(hot, wide),
            State::Cubic { now, before } => {
                if !reduction.again {
                    *before = *now;
                }
                now.on_loss(hot, wide);
            }
            State::Dctcp(dctcp) => dctcp.on_loss(hot, wide),
            State::Bbr(bbr) => bbr.on_loss(hot, reduction),
        }
    }

    pub(super) fn on_mark(&mut self, hot: &mut Congestion, reduction: &Reduction) -> bool {
        self.become_kind(reduction.kind);
        if self.is_reduced(reduction) {
            return false;
        }
        self.reduced_until = Some(reduction.nxt);
        let wide = &self.before_the_burst(reduction);
        match &mut self.state {
            State::None => NewReno.on_mark(hot, wide),
            State::Cubic { now, .. } => now.on_mark(hot, wide),
            State::Dctcp(dctcp) => dctcp.on_mark(hot, reduction),
            State::Bbr(bbr) => bbr.on_mark(hot, reduction),
        }
        true
    }

    /// FlightSize as it was before the ACKs of one burst, between which nothing was sent: the most of the last round trip. The
    /// algorithms take no more of it than the window (RFC 9438 §4.6, which lets all of the window be taken where it grows only when it
    /// is used).
    fn before_the_burst(&self, reduction: &Reduction) -> Reduction {
        Reduction {
            flight: reduction.flight.max(self.used.most()),
            ..*reduction
        }
    }

    /// The most that was outstanding at a time in the last round trip.
    pub(crate) fn used(&self) -> u32 {
        self.used.most()
    }

    fn is_reduced(&self, reduction: &Reduction) -> bool {
        self.reduced_until.is_some_and(|end| reduction.una.before(end))
    }

    pub(super) fn on_timeout(&mut self, hot: &mut Congestion, reduction: &Reduction, first: bool) {
        self.become_kind(reduction.kind);
        self.reduced_until = Some(reduction.nxt);
        if first {
            match &mut self.state {
                State::None => NewReno.on_timeout(hot, reduction),
                State::Cubic { now, before } => {
                    *before = *now;
                    now.on_timeout(hot, reduction);
                }
                State::Dctcp(dctcp) => dctcp.on_timeout(hot, reduction),
                State::Bbr(bbr) => bbr.on_timeout(hot, reduction),
            }
        }
        hot.window = reduction.mss;
        hot.acknowledged = 0;
    }

    pub(super) fn on_recovered(&mut self, hot: &mut Congestion, kind: CongestionKind, flight: u32, mss: u32) {
        self.become_kind(kind);
        match &mut self.state {
            State::None => NewReno.on_recovered(hot, flight, mss),
            State::Cubic { now, .. } => now.on_recovered(hot, flight, mss),
            State::Dctcp(dctcp) => dctcp.on_recovered(hot, flight, mss),
            State::Bbr(bbr) => bbr.on_recovered(hot, flight, mss),
        }
    }

    pub(super) fn on_timeout_repaired(&mut self, hot: &mut Congestion) {
        match &mut self.state {
            State::Bbr(bbr) => bbr.on_timeout_repaired(hot),
            State::None | State::Cubic { .. } | State::Dctcp(_) => {}
        }
    }

    /// Window and threshold were restored to what they were: so is what the algorithm had concluded from the loss.
    pub(super) fn undo(&mut self, hot: &mut Congestion) {
        self.reduced_until = None;
        match &mut self.state {
            // RFC 9438 §4.9.
            State::Cubic { now, before } => *now = *before,
            State::Bbr(bbr) => bbr.on_spurious_loss(hot),
            State::None | State::Dctcp(_) => {}
        }
    }

    /// Data leaves.
    pub(crate) fn on_sent(&mut self, hot: &mut Congestion, sample: &SendSample) {
        self.become_kind(sample.kind);
        match &mut self.state {
            State::Cubic { now, .. } if sample.pipe == 0 => now.on_restart(sample.now),
            State::Bbr(bbr) => bbr.on_sent(hot, sample),
            State::None | State::Cubic { .. } | State::Dctcp(_) => {}
        }
    }

    /// The rate that the algorithm itself asks for.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        match &self.state {
            State::Bbr(bbr) => bbr.pacing_rate(),
            State::None | State::Cubic { .. } | State::Dctcp(_) => None,
        }
    }

    /// Nothing of it would be missed.
    pub(crate) fn may_go(&self) -> bool {
        match &self.state {
            State::None => true,
            State::Cubic { now, .. } => now.is_void(),
            // α and the path's model are what these algorithms are about.
            State::Dctcp(_) | State::Bbr(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn with(kind: CongestionKind, window: u32) -> (Model, Congestion) {
        let (mut model, hot) = (Model::default(), Congestion::new(window));
        model.become_kind(kind);
        (model, hot)
    }

    /// A larger piece of every pool would cost every connection of every algorithm.
    #[test]
    fn it_is_small() {
        assert!(size_of::<Model>() <= 640, "{}", size_of::<Model>());
    }

    // proves: RFC 3168 §6.1.2 (once a window of data)
    #[test]
    fn the_window_comes_down_once_for_the_marks_and_losses_of_one_window_of_data() {
        for kind in [
            CongestionKind::Cubic,
            CongestionKind::NewReno,
            CongestionKind::Dctcp,
        ] {
            let (mut model, mut hot) = with(kind, 100 * MSS);
            let reduction = Reduction::of(kind, 100 * MSS, 0);
            assert!(hot.on_mark(Some(&mut model), &reduction));
            let after = hot.window();
            assert!(after < 100 * MSS, "{kind}");
            assert!(!hot.on_mark(Some(&mut model), &reduction), "{kind}");
            hot.on_loss(Some(&mut model), &reduction);
            assert_eq!(hot.window(), after, "{kind}");
            // The next window of data.
            let mut sample = AckSample::of(kind, MSS, 0);
            sample.una = reduction.nxt;
            sample.app_limited = true;
            hot.on_ack(Some(&mut model), &sample);
            let later = Reduction {
                una: reduction.nxt,
                nxt: reduction.nxt + after,
                ..reduction
            };
            assert!(hot.on_mark(Some(&mut model), &later), "{kind}");
            assert!(hot.window() < after || kind == CongestionKind::Dctcp, "{kind}");
        }
    }

    // proves: RFC 9438 §4.9 (spurious congestion)
    #[test]
    fn what_was_spurious_leaves_no_trace() {
        let kind = CongestionKind::Cubic;
        let (mut model, mut hot) = with(kind, 100 * MSS);
        hot.on_loss(Some(&mut model), &Reduction::of(kind, 100 * MSS, 0));
        let mut sample = AckSample::of(kind, MSS, 100);
        sample.una = SeqNum(0) + 100 * MSS;
        hot.on_ack(Some(&mut model), &sample);
        let before = (hot, format!("{:?}", cubic_of(&model)));
        hot.on_timeout(
            Some(&mut model),
            &Reduction {
                una: sample.una,
                nxt: sample.una + 70 * MSS,
                ..Reduction::of(kind, 70 * MSS, 200)
            },
            true,
        );
        assert_eq!(hot.window(), MSS);
        hot.undo(Some(&mut model), before.0.window(), before.0.threshold());
        assert_eq!(
            (hot.window(), hot.threshold()),
            (before.0.window(), before.0.threshold())
        );
        assert_eq!(format!("{:?}", cubic_of(&model)), before.1);
    }

    #[test]
    fn a_repaired_timeout_gives_bbr_its_window_back_and_leaves_others_in_slow_start() {
        for kind in CongestionKind::ALL {
            let (mut model, mut hot) = with(kind, 100 * MSS);
            hot.on_timeout(Some(&mut model), &Reduction::of(kind, 100 * MSS, 0), true);
            assert_eq!(hot.window(), MSS, "{kind}");
            hot.on_timeout_repaired(&mut model);
            let after = if kind == CongestionKind::Bbr {
                100 * MSS
            } else {
                MSS
            };
            assert_eq!(hot.window(), after, "{kind}");
        }
    }

    // RFC 7661 §4.2: pipeACK.
    #[test]
    fn a_window_was_used_if_it_was_at_any_time_of_the_last_round_trip() {
        let kind = CongestionKind::NewReno;
        let (mut model, mut hot) = with(kind, 10 * MSS);
        let mut ack = |hot: &mut Congestion, una: u32, nxt: u32, flight: u32| {
            let sample = AckSample {
                una: SeqNum(una * MSS),
                nxt: SeqNum(nxt * MSS),
                flight: flight * MSS,
                app_limited: hot.window() > 2 * flight * MSS,
                ..AckSample::of(kind, MSS, 0)
            };
            hot.on_ack(Some(&mut model), &sample);
            hot.window() / MSS
        };
        // One burst of ACKs, behind which nothing more is sent.
        let burst = [(2, 10), (4, 8), (6, 6), (8, 4), (10, 2)];
        let windows = burst.map(|(una, flight)| ack(&mut hot, una, 10, flight));
        assert_eq!(windows, [11, 12, 13, 14, 15]);
        // Single segments, a round trip each.
        let windows = [11, 12, 13].map(|at| ack(&mut hot, at, at, 1));
        assert_eq!(windows, [15, 15, 15]);
    }

    fn cubic_of(model: &Model) -> Option<Cubic> {
        match &model.state {
            State::Cubic { now, .. } => Some(*now),
            State::None | State::Dctcp(_) | State::Bbr(_) => None,
        }
    }

    #[test]
    fn another_algorithm_begins_with_the_window_that_it_finds() {
        let (mut model, mut hot) = with(CongestionKind::Cubic, 50 * MSS);
        for kind in CongestionKind::ALL {
            let before = hot.window();
            hot.on_ack(
                Some(&mut model),
                &AckSample {
                    app_limited: true,
                    ..AckSample::of(kind, MSS, 0)
                },
            );
            assert!(hot.window() >= before, "{kind}");
        }
    }

    #[test]
    fn a_connection_that_met_no_congestion_has_nothing_to_keep() {
        for (kind, keeps) in [
            (CongestionKind::Cubic, false),
            (CongestionKind::NewReno, false),
            (CongestionKind::Bbr, true),
            (CongestionKind::Dctcp, true),
        ] {
            let (mut model, mut hot) = with(kind, 10 * MSS);
            hot.on_ack(Some(&mut model), &AckSample::of(kind, MSS, 0));
            assert_eq!(model.may_go(), !keeps, "{kind}");
        }
        let (mut model, mut hot) = with(CongestionKind::Cubic, 10 * MSS);
        hot.on_loss(
            Some(&mut model),
            &Reduction::of(CongestionKind::Cubic, 10 * MSS, 0),
        );
        assert!(!model.may_go(), "W_max");
    }

    // RFC 7661 §4.2: half of the window.
    #[test]
    fn a_window_of_which_half_was_used_grows() {
        for (flight, grows) in [(4_999, false), (5_000, true), (5_001, true)] {
            let kind = CongestionKind::NewReno;
            let (mut model, mut hot) = with(kind, 10 * MSS);
            let sample = AckSample {
                flight,
                app_limited: true,
                ..AckSample::of(kind, MSS, 0)
            };
            hot.on_ack(Some(&mut model), &sample);
            assert_eq!(hot.window() > 10 * MSS, grows, "{flight}");
            assert_eq!(model.used(), flight);
        }
    }

    #[test]
    fn a_window_that_was_used_grows_whatever_part_it_was() {
        let kind = CongestionKind::NewReno;
        let (mut model, mut hot) = with(kind, 10 * MSS);
        let sample = AckSample {
            flight: MSS,
            ..AckSample::of(kind, MSS, 0)
        };
        hot.on_ack(Some(&mut model), &sample);
        assert_eq!(hot.window(), 11 * MSS);
    }

    // proves: RFC 5681 §4.3 (what was sent again is lost: a second sign of congestion)
    #[test]
    fn the_loss_of_what_was_sent_again_brings_the_window_down_once_more() {
        for (kind, windows) in [
            (CongestionKind::NewReno, [50_000, 50_000, 25_000]),
            (CongestionKind::Dctcp, [50_000, 50_000, 25_000]),
            (CongestionKind::Cubic, [70_019, 70_019, 49_026]),
        ] {
            let (mut model, mut hot) = with(kind, 100 * MSS);
            let again = [false, false, true].map(|again| {
                let reduction = Reduction {
                    again,
                    ..Reduction::of(kind, 100 * MSS, 0)
                };
                hot.on_loss(Some(&mut model), &reduction);
                hot.window()
            });
            assert_eq!(again, windows, "{kind}");
        }
    }

    // proves: RFC 9438 §4.9.2 (spurious: as it was before the first reduction)
    #[test]
    fn what_was_lost_twice_and_was_not_is_undone_to_before_the_first_loss() {
        let kind = CongestionKind::Cubic;
        let (mut model, mut hot) = with(kind, 100 * MSS);
        for (again, w_max) in [(false, 100_000), (true, 59_488)] {
            let reduction = Reduction {
                again,
                ..Reduction::of(kind, 100 * MSS, 0)
            };
            hot.on_loss(Some(&mut model), &reduction);
            assert!(format!("{:?}", cubic_of(&model)).contains(&format!("w_max: {w_max}")));
        }
        hot.undo(Some(&mut model), 100 * MSS, u32::MAX);
        assert_eq!(cubic_of(&model), Some(Cubic::default()));
    }

    // RFC 5681 §3.1's FlightSize is that before the burst of ACKs that showed the loss.
    #[test]
    fn a_loss_in_a_burst_of_acks_is_one_from_what_was_outstanding_before_it() {
        let kind = CongestionKind::NewReno;
        for (outstanding, left) in [(40_000, 20_000), (30_000, 15_000), (200_000, 50_000)] {
            let (mut model, mut hot) = with(kind, 100 * MSS);
            let sample = AckSample {
                flight: outstanding,
                in_recovery: true,
                ..AckSample::of(kind, MSS, 0)
            };
            hot.on_ack(Some(&mut model), &sample);
            hot.on_loss(Some(&mut model), &Reduction::of(kind, 30_000, 0));
            assert_eq!((hot.window(), hot.threshold()), (left, left));
        }
    }

    // proves: RFC 9438 §5.8 (idle time is none of the epoch's)
    #[test]
    fn cubic_is_told_of_what_leaves_while_nothing_is_outstanding() {
        let kind = CongestionKind::Cubic;
        for (pipe, waited) in [(0, true), (1, false)] {
            let (mut model, mut hot) = with(kind, 100 * MSS);
            hot.on_loss(Some(&mut model), &Reduction::of(kind, 100 * MSS, 0));
            let sample = AckSample {
                una: SeqNum(0) + 100 * MSS,
                ..AckSample::of(kind, MSS, 100)
            };
            hot.on_ack(Some(&mut model), &sample);
            let before = cubic_of(&model);
            let sending = SendSample {
                kind,
                now: fourtuple_wire::Instant::from_millis(5_000),
                len: MSS,
                pipe,
                srtt_us: 100_000,
                app_limited: false,
            };
            model.on_sent(&mut hot, &sending);
            assert_eq!(cubic_of(&model) != before, waited, "{pipe}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.6.2 (the rate is BBR's own from the first data on)
    #[test]
    fn bbr_paces_by_its_model_and_the_others_by_the_window() {
        for (kind, before, after) in [
            (CongestionKind::Bbr, 500_000, 692_500),
            (CongestionKind::Cubic, 500_000, 500_000),
        ] {
            let (mut model, mut hot) = with(kind, 10 * MSS);
            let rate = |model: &Model, hot: &Congestion| hot.pacing_rate(Some(model), kind, 40_000);
            assert_eq!(rate(&model, &hot), Some(before), "{kind}");
            let sending = SendSample {
                kind,
                now: fourtuple_wire::Instant::from_millis(5_000),
                len: MSS,
                pipe: 0,
                srtt_us: 40_000,
                app_limited: false,
            };
            model.on_sent(&mut hot, &sending);
            assert_eq!(rate(&model, &hot), Some(after), "{kind}");
        }
    }
}
