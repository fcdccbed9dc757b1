//! Hints to the cache; nothing on processors that we have no word for.

/// `place` will be read soon (prefetcht0).
#[inline]
pub(super) fn for_read(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching touches no memory and faults at no address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// `place` will be written soon (prefetchw): its line comes as this core's alone, so that the write does not have to ask the core
/// that had it once more.
///
/// As the instruction itself: for the oldest processors that a build is for, the compiler makes a prefetch for reading of the
/// intrinsic. Those that don't know it do nothing.
#[inline]
pub(super) fn for_write(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching touches no memory and faults at no address.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
