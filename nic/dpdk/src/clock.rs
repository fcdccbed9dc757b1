//! The processor's time-stamp counter as a clock: about 10 ns less a reading than the system's, and no kernel.
//!
//! ```text
//!   ns = (tsc - start) * multiplier >> 32        one multiplication to 128 bits, one shift
//! ```
//! The rate is measured while the EAL starts (some 150 ms against CLOCK_MONOTONIC: right to about 1 ppm). DPDK's own figure is
//! rounded to 10 MHz, which may be off by 0.2 %; it is the fallback, and the judge of whether ours is sane. The counter is
//! invariant and equal on all cores of every machine that DPDK drives at speed.

use fourtuple_nic::Clock;

use crate::Eal;

/// Monotonic nanoseconds from the time-stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct TscClock {
    start: u64,
    rate: TscRate,
}

impl TscClock {
    /// A clock that starts at zero now.
    pub fn new(eal: &Eal) -> Self {
        Self {
            start: counter(),
            rate: eal.tsc(),
        }
    }

    /// Ticks of the counter in a second.
    pub fn hz(&self) -> u64 {
        self.rate.hz
    }

    /// The counter itself, for measuring in cycles.
    #[inline]
    pub fn ticks() -> u64 {
        counter()
    }
}

impl Clock for TscClock {
    #[inline]
    fn now_ns(&self) -> u64 {
        self.rate.nanoseconds(counter().wrapping_sub(self.start))
    }
}

/// How fast the counter ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TscRate {
    hz: u64,
    /// Nanoseconds a tick, times 2³².
    multiplier: u64,
}

impl TscRate {
    fn of(hz: u64) -> Self {
        let hz = hz.max(1);
        Self {
            hz,
            multiplier: ((1_000_000_000u128 << 32) / u128::from(hz)) as u64,
        }
    }

    /// The rate between two samples, unless they are too near, or further than 1 % from what DPDK `told`.
    pub(crate) fn between(began: Sample, ended: Sample, told: u64) -> Self {
        const LEAST_NANOSECONDS: u64 = 10_000_000;
        let nanoseconds = ended.nanoseconds.saturating_sub(began.nanoseconds);
        let ticks = ended.ticks.saturating_sub(began.ticks);
        if nanoseconds < LEAST_NANOSECONDS {
            return Self::of(told);
        }
        let measured = (u128::from(ticks) * 1_000_000_000 / u128::from(nanoseconds)) as u64;
        let near = measured.abs_diff(told) < told / 100;
        Self::of(if near { measured } else { told })
    }

    #[inline]
    fn nanoseconds(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.multiplier)) >> 32) as u64
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    ticks: u64,
    nanoseconds: u64,
}

impl Sample {
    /// Reads both; of several tries the one that took least, since a preemption between them would spoil it.
    pub(crate) fn take() -> Self {
        let one = || {
            let before = counter();
            let nanoseconds = system_nanoseconds();
            let after = counter();
            (
                after.wrapping_sub(before),
                Self {
                    ticks: before + (after - before) / 2,
                    nanoseconds,
                },
            )
        };
        let tries = (0..16).map(|_| one());
        tries.min_by_key(|&(took, _)| took).map_or(
            Self {
                ticks: 0,
                nanoseconds: 0,
            },
            |(_, sample)| sample,
        )
    }
}

fn system_nanoseconds() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 has RDTSC; it touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn counter() -> u64 {
    // SAFETY: reads a counter; touches no memory and needs no EAL.
    unsafe { dpdk_sys::shim_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_without_drift() {
        let rows = [
            // hz, ticks, nanoseconds, allowed error
            (1_000_000_000, 123_456_789, 123_456_789, 0),
            (2_445_421_000, 2_445_421_000, 1_000_000_000, 1),
            // A day; the multiplier is right to 2⁻³².
            (2_445_421_000, 2_445_421_000 * 86_400, 86_400_000_000_000, 50_000),
            (3, 3, 1_000_000_000, 1),
        ];
        for (hz, ticks, expected, error) in rows {
            let got: u64 = TscRate::of(hz).nanoseconds(ticks);
            assert!(
                got.abs_diff(expected) <= error,
                "{ticks} ticks at {hz} Hz gave {got} ns"
            );
        }
    }

    #[test]
    fn a_measurement_far_from_what_dpdk_says_is_not_believed() {
        let at = |ticks, nanoseconds| Sample { ticks, nanoseconds };
        let second = 1_000_000_000;
        let told = 2_450_000_000;
        assert_eq!(
            TscRate::between(at(0, 0), at(2_445_000_000, second), told).hz,
            2_445_000_000
        );
        assert_eq!(
            TscRate::between(at(0, 0), at(9_000_000_000, second), told).hz,
            told
        );
        assert_eq!(
            TscRate::between(at(0, 0), at(2_445, 1_000), told).hz,
            told,
            "too near"
        );
    }

    #[test]
    fn two_samples_agree_with_the_system_clock() {
        let began = Sample::take();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let ended = Sample::take();
        let told = (ended.ticks - began.ticks) * 1_000_000_000 / (ended.nanoseconds - began.nanoseconds);
        let rate = TscRate::between(began, ended, told);
        let error = rate.hz.abs_diff(told);
        assert!(error <= told / 1000, "{} against {told}", rate.hz);
    }
}
