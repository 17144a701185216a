//! How a context sleeps: the trait that a backend implements, and the trait through which a wait calls it.

use super::block::WakeBlock;
use crate::time::Instant;

/// Puts a kind of context to sleep. Implemented once per backend.
pub trait Park {
    /// Blocks the calling context until `block` has a token or the deadline passes; may return
    /// early. Consumes the token: [`WakeBlock::begin_park`] before and [`WakeBlock::end_park`] after,
    /// or [`WakeBlock::take_token`]. Must not panic.
    fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>);

    /// Lets other contexts of the same executor run. `block` is the calling context's.
    fn yield_now(&self, block: &'static WakeBlock);

    /// Returns true if the calling context has run for so long that others should run now, as far as the backend knows.
    /// A context asks from time to time at points where it does not have to wait. If it never gets `true`, it gives way
    /// after a number of points.
    fn has_run_long(&self) -> bool {
        false
    }

    /// Returns true if blocking the thread blocks only the calling context.
    fn is_thread(&self) -> bool;

    /// Returns the name of the backend whose contexts these are, for errors.
    fn backend_name(&self) -> &'static str {
        if self.is_thread() { "threads" } else { "fibers" }
    }
}

/// The methods of an `Io` that a wait needs. Every [`Io`](crate::Io) implements it.
pub trait Wait {
    /// Does the same as [`Io::park`](crate::Io::park).
    fn park(&self, deadline: Option<Instant>);

    /// Does the same as [`Io::yield_now`](crate::Io::yield_now).
    fn yield_now(&self);

    /// Does the same as [`Io::now`](crate::Io::now).
    fn now(&self) -> Instant;
}
