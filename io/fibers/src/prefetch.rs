//! Hints to the processor about memory that is needed soon.
#![allow(unsafe_code)]

/// The number of bytes that a cache fetches at once.
pub const LINE_BYTES: usize = 64;

/// Asks the processor to fetch `lines` cache lines from `place` on into its caches, in the background. Any address is
/// allowed.
#[inline]
pub fn prefetch(place: *const u8, lines: usize) {
    for line in 0..lines {
        let place = place.wrapping_add(line * LINE_BYTES);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: it is a hint, which neither faults nor changes anything.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(place.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = place;
    }
}
