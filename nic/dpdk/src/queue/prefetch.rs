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

/// `place` will be written soon (prefetchw).
#[inline]
pub(super) fn for_write(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching touches no memory and faults at no address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_ET0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
