//! Which backend runs the program.

use std::fmt;

/// A backend, or the best that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendChoice {
    /// `Evented` where the kernel allows it, else `Threaded` and a notice that says why.
    #[default]
    Auto,
    /// A bounded pool of threads.
    Threaded,
    /// Fibers on io_uring; [`run`](crate::run) fails with the cause where that is not to be had.
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
