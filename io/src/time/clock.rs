//! The clocks of the system.

use std::time::Duration;

use crate::sys::clock::{self, ClockId};

/// A clock, as [`Io::time`](crate::Io::time) reads it.
///
/// Sleeps, timeouts and deadlines go by [`Monotonic`](Self::Monotonic); [`Io::sleep_until_time`] waits for the two others
/// that go on by themselves.
///
/// [`Io::sleep_until_time`]: crate::Io#method.sleep_until_time
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Goes forward, from some beginning, and stands still while the machine is suspended. That of [`Instant`](super::Instant).
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
