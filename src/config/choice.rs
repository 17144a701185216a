//! The choice of the backend that runs the program.

use std::fmt;

/// A backend, or the best backend that is available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendChoice {
    /// Chooses `Evented` where the kernel allows it. Otherwise it chooses `Threaded`, and a report says why.
    #[default]
    Auto,
    /// A bounded pool of threads.
    Threaded,
    /// Fibers on io_uring. [`run`](crate::run) fails with the cause if io_uring is not available.
    Evented,
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Threaded => "threaded",
            Self::Evented => "evented",
        })
    }
}
