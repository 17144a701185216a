//! The clocks of the system.

use std::time::Duration;

pub(crate) use rustix::time::ClockId;
use rustix::time::{Timespec, clock_getres, clock_gettime};

/// Reads a clock.
pub(crate) fn read(clock: ClockId) -> Duration {
    duration(clock_gettime(clock))
}

/// Returns the smallest step by which a clock advances.
pub(crate) fn resolution(clock: ClockId) -> Duration {
    duration(clock_getres(clock))
}

/// Reads the monotonic clock, in nanoseconds.
pub(crate) fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
