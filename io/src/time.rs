//! Time: instants of the monotonic clock, and the other clocks.

use std::fmt;
use std::io;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_getres, clock_gettime,
    timerfd_create, timerfd_settime,
};

use crate::Io;
use crate::context::Interest;
use crate::descriptor::Descriptor;
use crate::operation::Operation;

/// A point of the monotonic clock of an [`Io`], in nanoseconds since the clock's own
/// beginning. It means something to instants of the same clock only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// The beginning of the clock.
    pub const ZERO: Instant = Instant { nanos: 0 };

    /// The last instant that can be told, 584 years after the clock's beginning.
    pub const MAX: Instant = Instant { nanos: u64::MAX };

    /// The instant that many nanoseconds after the clock's beginning. For backends.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// The nanoseconds from the clock's beginning. For backends.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// The time from `earlier` to this instant, zero if it is later.
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// The instant `duration` later, or [`MAX`](Self::MAX).
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

    /// Saturates at zero, as std's does.
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// A clock, as [`Io::time`] reads it.
///
/// Sleeps, timeouts and deadlines go by [`Monotonic`](Self::Monotonic); [`Io::sleep_until_time`] waits for the two others
/// that go on by themselves.
///
/// [`Io::sleep_until_time`]: crate::Io#method.sleep_until_time
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Goes forward, from some beginning, and stands still while the machine is suspended. That of [`Instant`].
    Monotonic,
    /// As `Monotonic`, and goes on while the machine is suspended.
    Boot,
    /// The time of day: since the beginning of 1970, UTC. Can be set, also backwards.
    Real,
    /// What this process has used of processors.
    ProcessCpu,
    /// What the calling thread has used of a processor. Fibers of an executor share its thread.
    ThreadCpu,
}

impl Clock {
    /// The smallest step in which the system's clock goes.
    pub fn resolution(self) -> Duration {
        duration(clock_getres(self.id()))
    }

    pub(crate) fn read(self) -> Duration {
        duration(clock_gettime(self.id()))
    }

    fn id(self) -> ClockId {
        match self {
            Self::Monotonic => ClockId::Monotonic,
            Self::Boot => ClockId::Boottime,
            Self::Real => ClockId::Realtime,
            Self::ProcessCpu => ClockId::ProcessCPUTime,
            Self::ThreadCpu => ClockId::ThreadCPUTime,
        }
    }

    fn timer_id(self) -> io::Result<TimerfdClockId> {
        match self {
            Self::Monotonic => Ok(TimerfdClockId::Monotonic),
            Self::Boot => Ok(TimerfdClockId::Boottime),
            Self::Real => Ok(TimerfdClockId::Realtime),
            Self::ProcessCpu | Self::ThreadCpu => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "nobody can sleep until time was used"))
            }
        }
    }
}

/// See [`Io::sleep_until_time`](crate::Io#method.sleep_until_time).
pub(crate) fn sleep_until_time(io: &dyn Io, clock: Clock, time: Duration) -> io::Result<()> {
    let id = clock.timer_id()?;
    io.check_cancel()?;
    if io.time(clock) >= time {
        return Ok(io.sleep(Duration::ZERO)?);
    }
    let timer = Descriptor::from(timerfd_create(id, TimerfdFlags::CLOEXEC)?);
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let when =
        Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: never, it_value: when })?;
    io.operate(Operation::Ready { descriptor: &timer, interest: Interest::Readable })?.done()
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The kernel's monotonic clock: what the backends of this project answer to
/// [`Io::now`].
pub fn monotonic_now() -> Instant {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0);
    Instant { nanos }
}
