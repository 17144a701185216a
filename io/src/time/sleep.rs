//! Sleeping.

use std::io;
use std::time::{Duration, SystemTime};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::clock::Clock;
use super::instant::Instant;
use crate::context;
use crate::descriptor::Descriptor;
use crate::operation::{Interest, Operation};
use crate::{Canceled, Io};

impl<'io> dyn Io + 'io {
    /// Waits for `duration`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a canceled sleep never reports success.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn sleep(&self, duration: Duration) -> Result<(), Canceled> {
        self.sleep_until(self.now() + duration)
    }

    /// Waits until `deadline`. If it has passed, lets other tasks run once, like [`yield_now`](Io::yield_now).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn sleep_until(&self, deadline: Instant) -> Result<(), Canceled> {
        self.check_cancel()?;
        match context::wait(self, Some(deadline), || false) {
            Ok(()) | Err(context::WaitEnd::TimedOut) => Ok(()),
            Err(context::WaitEnd::Canceled(canceled)) => Err(canceled),
        }
    }

    /// Waits until `clock` shows `time`, and returns at once if that has passed. Notices when the clock is set during
    /// the wait, or goes on while the machine is suspended. Uses a file descriptor for the duration of the wait.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use iolite_io::{Io, time::Clock};
    ///
    /// fn until_the_next_minute(io: &dyn Io) -> std::io::Result<()> {
    ///     let minutes = io.time(Clock::Real).as_secs() / 60;
    ///     io.sleep_until_time(Clock::Real, Duration::from_secs((minutes + 1) * 60))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; [`io::ErrorKind::InvalidInput`] for a clock of processor time; an error of the system if no
    /// descriptor is left.
    pub fn sleep_until_time(&self, clock: Clock, time: Duration) -> io::Result<()> {
        sleep_until_time(self, clock, time)
    }

    /// Returns the time of day.
    pub fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.time(Clock::Real)
    }
}

/// See [`Io::sleep_until_time`](crate::Io#method.sleep_until_time).
fn sleep_until_time(io: &dyn Io, clock: Clock, time: Duration) -> io::Result<()> {
    let id = timer_id(clock)?;
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

fn timer_id(clock: Clock) -> io::Result<TimerfdClockId> {
    match clock {
        Clock::Monotonic => Ok(TimerfdClockId::Monotonic),
        Clock::Boot => Ok(TimerfdClockId::Boottime),
        Clock::Real => Ok(TimerfdClockId::Realtime),
        Clock::ProcessCpu | Clock::ThreadCpu => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a clock of processor time cannot be waited for"))
        }
    }
}
