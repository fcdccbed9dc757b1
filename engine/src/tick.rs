//! Ticks of the timer wheel: milliseconds on a circle of 32 bits.

use fourtuple_wire::Instant;

/// The wheel's tick at an instant.
pub(crate) fn tick_of(instant: Instant) -> u32 {
    instant.as_millis() as u32
}

/// The first tick that is not before an instant.
pub(crate) fn tick_at_or_after(instant: Instant) -> u32 {
    instant.as_nanos().div_ceil(1_000_000) as u32
}

/// Order of ticks round their circle.
pub(crate) fn before(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}
