//! Instants of the monotonic clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use crate::sys::clock::monotonic_nanos;

/// A point in time on the monotonic clock of an [`Io`](crate::Io), in nanoseconds since the clock's own start. Only
/// instants of the same clock can be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// The start of the clock.
    pub const ZERO: Instant = Instant { nanos: 0 };

    /// The last instant that can be represented, 584 years after the start of the clock.
    pub const MAX: Instant = Instant { nanos: u64::MAX };

    /// Makes the instant `nanos` nanoseconds after the start of the clock. For backends.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Returns the nanoseconds since the start of the clock. For backends.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// Returns the time from `earlier` to this instant, or zero if `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// Returns the instant `duration` later, or [`MAX`](Self::MAX) on overflow.
    pub fn saturating_add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { nanos: self.nanos.saturating_add(nanos) }
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", Duration::from_nanos(self.nanos))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates at [`MAX`](Self::MAX).
    fn add(self, duration: Duration) -> Instant {
        self.saturating_add(duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero, like std's.
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Returns the time of the kernel's monotonic clock. The backends of this project return it from
/// [`Io::now`](crate::Io::now).
pub fn monotonic_now() -> Instant {
    Instant { nanos: monotonic_nanos() }
}
