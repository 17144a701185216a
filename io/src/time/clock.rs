//! The clocks of the system.

use std::time::Duration;

use crate::sys::clock::{self, ClockId};

/// A clock that [`Io::time`](crate::Io::time) can read.
///
/// Sleeps, timeouts and deadlines use [`Monotonic`](Self::Monotonic). [`Io::sleep_until_time`] waits for the two other
/// clocks that advance independently of the program.
///
/// [`Io::sleep_until_time`]: crate::Io#method.sleep_until_time
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Counts forward from an unspecified start and stands still while the machine is suspended.
    /// [`Instant`](super::Instant) belongs to this clock.
    Monotonic,
    /// Like `Monotonic`, but goes on while the machine is suspended.
    Boot,
    /// The time of day, counted from the beginning of 1970, UTC. Can be set, even backwards.
    Real,
    /// The processor time that this process has used.
    ProcessCpu,
    /// The processor time that the calling thread has used. The fibers of an executor share its thread.
    ThreadCpu,
}

impl Clock {
    /// Returns the smallest step of the system's clock.
    pub fn resolution(self) -> Duration {
        clock::resolution(self.id())
    }

    pub(crate) fn read(self) -> Duration {
        clock::read(self.id())
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
}
