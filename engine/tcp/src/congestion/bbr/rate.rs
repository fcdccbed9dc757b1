//! Delivery rate samples (draft-ietf-ccwg-bbr §4.1): how fast the path took what was sent, ACK by ACK.
//!
//! The draft keeps its snapshot with each packet. Here snapshots are checkpoints, at most one a sixteenth of a round trip: that of
//! a segment is the last one at or before its sending. A checkpoint that is a little older gives a slightly longer interval
//! with all that was delivered in it, hence the same rate. They are bounded in number: when there is no room every second goes.

use arrayvec::ArrayVec;
use fourtuple_wire::Instant;

use super::super::{AckSample, SendSample};

/// What one ACK says about the rate; all zero when nothing that left is known to have arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RateSample {
    /// It is about something: a segment with a snapshot was delivered.
    pub(super) has_data: bool,
    /// Octets a second; zero when the interval is too short to be believed.
    pub(super) rate: u64,
    /// Octets delivered in the interval.
    pub(super) delivered: u32,
    /// Octets delivered before the segment left.
    pub(super) prior_delivered: u64,
    /// Octets outstanding when it had left.
    pub(super) tx_in_flight: u32,
    /// Octets lost since it left.
    pub(super) lost: u32,
    /// The application, not the path, was the limit.
    pub(super) app_limited: bool,
}

/// Counts of a connection, as they stood when something left.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    /// When, and the other moments: microseconds on a circle of 32 bits.
    sent_us: u32,
    delivered_us: u32,
    first_sent_us: u32,
    /// Octets on circles of 32 bits.
    delivered: u32,
    lost: u32,
    /// Octets outstanding then; bit 31: limited by the application.
    in_flight: u32,
}

const APP_LIMITED: u32 = 0x8000_0000;

/// Counts, and what they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampler {
    /// Octets delivered in all.
    pub(super) delivered: u64,
    /// Octets lost in all.
    lost: u64,
    delivered_us: u32,
    /// When the segment was sent that was delivered last, or the first after idleness.
    first_sent_us: u32,
    /// Samples are limited by the application until so much was delivered; zero when they are not.
    limited_until: u64,
    checkpoints: ArrayVec<Checkpoint, CHECKPOINTS>,
}

/// Eleven or so cover a round trip with its queue.
const CHECKPOINTS: usize = 12;

impl Sampler {
    /// The application was the limit, not long ago.
    pub(super) fn is_app_limited(&self) -> bool {
        self.limited_until > 0
    }

    /// What is outstanding now bears the application's limit, or one that the algorithm set itself.
    pub(super) fn mark_app_limited(&mut self, pipe: u32) {
        self.limited_until = (self.delivered + u64::from(pipe)).max(1);
    }

    /// Data leaves.
    pub(super) fn on_sent(&mut self, sample: &SendSample) {
        let now = micros(sample.now);
        if sample.pipe == 0 {
            self.first_sent_us = now;
            self.delivered_us = now;
        }
        let limited = if self.is_app_limited() { APP_LIMITED } else { 0 };
        let in_flight = (sample.pipe.saturating_add(sample.len)).min(APP_LIMITED - 1) | limited;
        if sample.app_limited {
            self.mark_app_limited(sample.pipe.saturating_add(sample.len));
        }
        if let Some(last) = self.checkpoints.last_mut()
            && sample.pipe > 0
            && now.wrapping_sub(last.sent_us) <= sample.srtt_us / 16
        {
            last.in_flight = in_flight;
            return;
        }
        if self.checkpoints.is_full() {
            let mut at = 0;
            self.checkpoints.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        self.checkpoints.push(Checkpoint {
            sent_us: now,
            delivered_us: self.delivered_us,
            first_sent_us: self.first_sent_us,
            delivered: self.delivered as u32,
            lost: self.lost as u32,
            in_flight,
        });
    }

    /// Something arrived, or was lost.
    pub(super) fn on_ack(&mut self, sample: &AckSample, min_rtt_us: Option<u32>) -> RateSample {
        let now = micros(sample.now);
        self.lost += u64::from(sample.lost);
        if sample.delivered > 0 {
            self.delivered += u64::from(sample.delivered);
            self.delivered_us = now;
        }
        if self.delivered > self.limited_until {
            self.limited_until = 0;
        }
        let Some(sent_us) = sample.sent_at.map(micros) else {
            return RateSample::default();
        };
        let Some(checkpoint) = self.forget_before(sent_us) else {
            return RateSample::default();
        };
        if !is_before(sent_us, self.first_sent_us) {
            self.first_sent_us = sent_us;
        }
        let delivered = (self.delivered as u32).wrapping_sub(checkpoint.delivered);
        let send_us = elapsed(sent_us, checkpoint.first_sent_us);
        let interval_us = send_us.max(elapsed(now, checkpoint.delivered_us));
        // An interval shorter than any round trip: what was retransmitted had arrived before.
        let believed = interval_us > 0 && interval_us >= min_rtt_us.unwrap_or(0);
        let octets = u64::from(delivered) * 1_000_000;
        RateSample {
            has_data: true,
            rate: if believed {
                octets / u64::from(interval_us)
            } else {
                0
            },
            delivered,
            prior_delivered: self.delivered - u64::from(delivered),
            tx_in_flight: checkpoint.in_flight & !APP_LIMITED,
            lost: (self.lost as u32).wrapping_sub(checkpoint.lost),
            app_limited: checkpoint.in_flight & APP_LIMITED != 0,
        }
    }

    /// The checkpoint of what was sent then; those before it are of no more use.
    fn forget_before(&mut self, sent_us: u32) -> Option<Checkpoint> {
        let later = self
            .checkpoints
            .iter()
            .position(|checkpoint| is_before(sent_us, checkpoint.sent_us))
            .unwrap_or(self.checkpoints.len());
        let found = later.checked_sub(1)?;
        self.checkpoints.drain(..found);
        self.checkpoints.first().copied()
    }
}

fn micros(instant: Instant) -> u32 {
    instant.as_micros() as u32
}

fn is_before(left: u32, right: u32) -> bool {
    (left.wrapping_sub(right) as i32) < 0
}

/// From `earlier` to `later`, zero when they are the other way round.
fn elapsed(later: u32, earlier: u32) -> u32 {
    if is_before(later, earlier) {
        0
    } else {
        later.wrapping_sub(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CongestionKind;

    const LEN: u32 = 1000;

    fn sent(pipe: u32, now_us: u64, app_limited: bool) -> SendSample {
        SendSample {
            kind: CongestionKind::Bbr,
            now: Instant::from_nanos(now_us * 1000),
            len: LEN,
            pipe,
            srtt_us: 16_000,
            app_limited,
        }
    }

    fn acked(sent_us: u64, now_us: u64) -> AckSample {
        AckSample {
            sent_at: Some(Instant::from_nanos(sent_us * 1000)),
            now: Instant::from_nanos(now_us * 1000),
            ..AckSample::of(CongestionKind::Bbr, LEN, 0)
        }
    }

    /// A segment each `gap_us`, acknowledged a round trip of 20 ms later; the last sample.
    fn steady(gap_us: u64, count: u64, start_us: u64) -> RateSample {
        let (mut sampler, mut sample) = (Sampler::default(), RateSample::default());
        let in_flight = 20_000 / gap_us;
        for at in 0..count + in_flight {
            let now = start_us + at * gap_us;
            if at >= in_flight {
                sample = sampler.on_ack(&acked(now - in_flight * gap_us, now), Some(20_000));
            }
            if at < count {
                let pipe = at.min(in_flight) as u32 * LEN;
                sampler.on_sent(&sent(pipe, now, false));
            }
        }
        sample
    }

    #[test]
    fn a_steady_flow_has_its_rate_whatever_the_checkpoints_leave_out() {
        // Gaps from a checkpoint a segment to a hundred segments a checkpoint; the circle of microseconds is crossed.
        for gap_us in [4_000, 2_000, 1_000, 500, 100, 10] {
            for start_us in [1_000_000, u64::from(u32::MAX) - 30_000] {
                let sample = steady(gap_us, 20_000 / gap_us * 10, start_us);
                let expected = 1_000_000 * u64::from(LEN) / gap_us;
                assert!(
                    sample.rate.abs_diff(expected) <= expected / 8,
                    "a segment each {gap_us} µs: {} not {expected}",
                    sample.rate
                );
                assert!(!sample.app_limited);
            }
        }
    }

    #[test]
    fn acks_that_come_bunched_do_not_show_more_than_was_sent() {
        let mut sampler = Sampler::default();
        for at in 0..20 {
            sampler.on_sent(&sent(at * LEN, 1_000_000 + u64::from(at) * 1000, false));
        }
        let mut best = 0;
        for at in 0..20 {
            // All of them within 20 µs.
            best = best.max(
                sampler
                    .on_ack(&acked(1_000_000 + at * 1000, 1_040_000 + at), Some(20_000))
                    .rate,
            );
        }
        assert!(best <= 1_100_000, "{best}: sent at a million octets a second");
    }

    #[test]
    fn an_interval_shorter_than_any_round_trip_gives_no_rate() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, false));
        let sample = sampler.on_ack(&acked(1_000_000, 1_001_000), Some(20_000));
        assert_eq!((sample.has_data, sample.rate), (true, 0));
    }

    #[test]
    fn what_leaves_after_the_queue_ran_dry_is_limited_by_the_application_for_a_round() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, true));
        sampler.on_sent(&sent(LEN, 1_005_000, false));
        assert!(!sampler.on_ack(&acked(1_000_000, 1_020_000), None).app_limited);
        assert!(sampler.on_ack(&acked(1_005_000, 1_025_000), None).app_limited);
        sampler.on_sent(&sent(0, 1_030_000, false));
        assert!(!sampler.on_ack(&acked(1_030_000, 1_050_000), None).app_limited);
    }

    #[test]
    fn losses_since_the_sending_are_told() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, false));
        sampler.on_sent(&sent(LEN, 1_010_000, false));
        let lossy = AckSample {
            lost: LEN,
            ..acked(1_010_000, 1_040_000)
        };
        let sample = sampler.on_ack(&lossy, None);
        assert_eq!((sample.lost, sample.tx_in_flight), (LEN, 2 * LEN));
    }

    // proves: draft-ietf-ccwg-bbr §4.1.2.2 (OnPacketSent: time begins with the first data after idleness)
    #[test]
    fn a_pause_is_no_time_of_any_sample() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, false));
        sampler.on_ack(&acked(1_000_000, 1_020_000), None);
        sampler.on_sent(&sent(0, 5_000_000, false));
        let sample = sampler.on_ack(&acked(5_000_000, 5_020_000), None);
        // A thousand octets in 20 ms.
        assert_eq!(
            (sample.rate, sample.delivered, sample.prior_delivered),
            (50_000, 1_000, 1_000)
        );
        // Also when it was shorter than what checkpoints leave out: 1 ms at this round-trip time.
        sampler.on_sent(&sent(0, 6_000_000, false));
        sampler.on_ack(&acked(6_000_000, 6_000_400), None);
        sampler.on_sent(&sent(0, 6_000_500, false));
        let sample = sampler.on_ack(&acked(6_000_500, 6_000_900), None);
        assert_eq!((sample.rate, sample.delivered), (2_500_000, 1_000));
    }

    // proves: draft-ietf-ccwg-bbr §4.1.2.3 (C.delivered_time is that of a delivery)
    #[test]
    fn an_ack_that_delivers_nothing_is_no_end_of_an_interval() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, false));
        let nothing = AckSample {
            delivered: 0,
            lost: LEN,
            sent_at: None,
            ..acked(0, 1_010_000)
        };
        assert_eq!(sampler.on_ack(&nothing, None), RateSample::default());
        sampler.on_sent(&sent(LEN, 1_012_000, false));
        let sample = sampler.on_ack(&acked(1_012_000, 1_032_000), None);
        // 32 ms since the first was sent.
        assert_eq!((sample.rate, sample.lost), (31_250, 0));
    }

    // proves: draft-ietf-ccwg-bbr §4.1.2.3 (GenerateRateSample: C.delivered > C.app_limited)
    #[test]
    fn the_limit_of_the_application_holds_until_more_was_delivered_than_bears_it() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, true));
        assert!(sampler.is_app_limited());
        sampler.on_ack(&acked(1_000_000, 1_020_000), None);
        assert!(sampler.is_app_limited(), "just what bears it");
        sampler.on_sent(&sent(0, 1_030_000, false));
        sampler.on_ack(&acked(1_030_000, 1_050_000), None);
        assert!(!sampler.is_app_limited());
    }

    #[test]
    fn no_time_between_sending_and_delivery_gives_no_rate() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(0, 1_000_000, false));
        let sample = sampler.on_ack(&acked(1_000_000, 1_000_000), None);
        assert_eq!((sample.has_data, sample.rate), (true, 0));
    }

    #[test]
    fn more_outstanding_than_can_be_noted_is_the_most_and_no_limit_of_the_application() {
        let mut sampler = Sampler::default();
        sampler.on_sent(&sent(u32::MAX, 1_000_000, false));
        let sample = sampler.on_ack(&acked(1_000_000, 1_020_000), None);
        assert_eq!(
            (sample.tx_in_flight, sample.app_limited),
            (i32::MAX as u32, false)
        );
    }

    #[test]
    fn when_there_is_no_room_the_oldest_checkpoint_stays() {
        let mut sampler = Sampler::default();
        for at in 0..=CHECKPOINTS as u32 {
            sampler.on_sent(&sent(at * LEN, 1_000_000 + u64::from(at) * 2_000, false));
        }
        assert_eq!(sampler.checkpoints.len(), CHECKPOINTS / 2 + 1);
        let sample = sampler.on_ack(&acked(1_000_000, 1_040_000), None);
        assert_eq!((sample.has_data, sample.tx_in_flight), (true, LEN));
    }
}
