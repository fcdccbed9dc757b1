//! The deadlines of a connection: three slots of 1 ms ticks on a circle of 32 bits, and how often they ran out.
//!
//! | slot | what it is |
//! |---|---|
//! | `Retransmit` | RTO, PTO or reordering timer (RFC 8985 §8); with nothing outstanding the persist timer (window probes, SWS) |
//! | `DelayedAck` | the ACK that waits for company |
//! | `Life` | connect timeout in SYN_SENT, FIN_WAIT_2, TIME_WAIT and orphan bounds; else keep-alive |
//!
//! A deadline is due when its tick is reached; it is armed rounded up by one tick, so never early. No allocation.

use fourtuple_wire::Instant;

/// What the retransmission slot waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Retransmit {
    /// The retransmission timeout, or the persist timer.
    Timeout,
    /// RFC 8985 §7: a tail loss probe.
    Probe,
    /// RFC 8985 §6.2: what is late enough to be lost.
    Reordering,
}

/// Which deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timer {
    Retransmit,
    DelayedAck,
    Life,
}

impl Timer {
    pub(crate) const ALL: [Self; 3] = [Self::Retransmit, Self::DelayedAck, Self::Life];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Deadlines, and counts that belong to them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Timers {
    at: [u32; 3],
    /// A bit for each timer, and what the first waits for.
    armed: u8,
    /// Expiries of the retransmission timer since the last round-trip sample: the exponent of its backoff.
    pub(crate) backoff: u8,
    /// Retransmissions by that timer since something new was acknowledged, for R1.
    pub(crate) retransmits: u8,
    /// Keep-alive probes since something arrived.
    pub(crate) keepalive_probes: u8,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self {
            at: [0; 3],
            armed: 0,
            backoff: 0,
            retransmits: 0,
            keepalive_probes: 0,
        }
    }

    /// Sets a deadline `span_ms` after the tick `now`.
    #[inline]
    pub(crate) fn arm(&mut self, timer: Timer, span_ms: u32, now: u32) {
        self.at[timer as usize] = now.wrapping_add(span_ms).wrapping_add(1);
        self.armed |= timer.bit();
    }

    /// Sets the deadline of the retransmission slot, and what it is.
    #[inline]
    pub(crate) fn arm_retransmit(&mut self, what: Retransmit, span_ms: u32, now: u32) {
        self.arm(Timer::Retransmit, span_ms, now);
        self.armed = (self.armed & !RETRANSMIT_BITS) | ((what as u8) << RETRANSMIT_SHIFT);
    }

    /// What the retransmission slot waits for, or waited for last.
    #[inline]
    pub(crate) fn retransmit(&self) -> Retransmit {
        match (self.armed & RETRANSMIT_BITS) >> RETRANSMIT_SHIFT {
            0 => Retransmit::Timeout,
            1 => Retransmit::Probe,
            _ => Retransmit::Reordering,
        }
    }

    #[inline]
    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.armed &= !timer.bit();
    }

    pub(crate) fn disarm_all(&mut self) {
        self.armed = 0;
    }

    #[inline]
    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.armed & timer.bit() != 0
    }

    /// Disarms it if it is due.
    pub(crate) fn take_due(&mut self, timer: Timer, now: u32) -> bool {
        let due = self.is_armed(timer) && !is_before(now, self.at[timer as usize]);
        if due {
            self.disarm(timer);
        }
        due
    }

    /// Ticks until the earliest deadline, negative when it has passed; `None` when none is armed.
    #[inline(always)]
    pub(crate) fn earliest(&self, now: u32) -> Option<i32> {
        // No span is as long as what stands for those that are not armed.
        let left = |timer: Timer| {
            let left = self.at[timer as usize].wrapping_sub(now) as i32;
            if self.is_armed(timer) { left } else { i32::MAX }
        };
        let earliest = Timer::ALL.map(left).into_iter().fold(i32::MAX, i32::min);
        (earliest < i32::MAX).then_some(earliest)
    }

    /// One of the deadlines lies before this tick.
    #[inline(always)]
    pub(crate) fn any_before(&self, tick: u32) -> bool {
        // The sign of each distance, at the bit of its timer.
        let before = |timer: Timer| (self.at[timer as usize].wrapping_sub(tick) >> 31) << timer as u32;
        let before = Timer::ALL.map(before).into_iter().fold(0, |all, one| all | one);
        u32::from(self.armed) & before != 0
    }

    /// The earliest deadline; [`Instant::FAR_FUTURE`] when none is armed.
    #[inline]
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        match self.earliest(now.as_millis() as u32) {
            Some(left) => Instant::from_millis(now.as_millis().saturating_add_signed(i64::from(left))),
            None => Instant::FAR_FUTURE,
        }
    }
}

/// Where `armed` says what the retransmission slot waits for.
const RETRANSMIT_SHIFT: u32 = 6;
const RETRANSMIT_BITS: u8 = 3 << RETRANSMIT_SHIFT;

/// The instant of a tick that is at most 24 days from now.
pub(crate) fn instant_of(tick: u32, now: Instant) -> Instant {
    let left = tick.wrapping_sub(now.as_millis() as u32) as i32;
    Instant::from_millis(now.as_millis().saturating_add_signed(i64::from(left)))
}

/// `left` comes before `right` on the circle of ticks.
#[inline]
pub(crate) const fn is_before(left: u32, right: u32) -> bool {
    (left.wrapping_sub(right) as i32) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_told_and_taken_once_round_the_circle() {
        for start in [0u64, u64::from(u32::MAX) - 5, u64::from(u32::MAX) * 3 + 1] {
            let mut timers = Timers::new();
            let now = Instant::from_millis(start);
            assert_eq!(timers.deadline(now), Instant::FAR_FUTURE);
            timers.arm(Timer::Life, 50, start as u32);
            timers.arm(Timer::DelayedAck, 9, start as u32);
            assert_eq!(timers.deadline(now), Instant::from_millis(start + 10));
            for tick in 8..52 {
                let before = timers.any_before((start + tick) as u32);
                assert_eq!(before, tick > 10, "{tick}");
            }
            assert!(!timers.take_due(Timer::DelayedAck, (start + 9) as u32));
            assert!(timers.take_due(Timer::DelayedAck, (start + 10) as u32));
            assert!(!timers.take_due(Timer::DelayedAck, (start + 10) as u32));
            assert!(!timers.any_before((start + 51) as u32) && timers.any_before((start + 52) as u32));
            assert_eq!(
                timers.deadline(Instant::from_millis(start + 60)),
                Instant::from_millis(start + 51)
            );
        }
    }

    #[test]
    fn the_retransmission_slot_says_what_it_waits_for() {
        let mut timers = Timers::new();
        timers.arm(Timer::DelayedAck, 5, 0);
        for what in [
            Retransmit::Probe,
            Retransmit::Reordering,
            Retransmit::Timeout,
            Retransmit::Probe,
        ] {
            timers.arm_retransmit(what, 10, 0);
            assert_eq!(timers.retransmit(), what);
            assert!(timers.is_armed(Timer::Retransmit) && timers.is_armed(Timer::DelayedAck));
            assert!(!timers.is_armed(Timer::Life));
        }
        timers.disarm(Timer::Retransmit);
        assert_eq!(timers.retransmit(), Retransmit::Probe, "or waited for last");
    }
}
