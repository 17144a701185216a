//! Bare cancellation points, and `recancel`.

use crate::context;
use crate::{Canceled, Io};

impl<'io> dyn Io + 'io {
    /// A cancellation point that does nothing else. Never waits. Like every point that does not have to wait, it lets
    /// other tasks run from time to time.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`Canceled`] when the task was asked to stop or a timeout around it has passed.
    ///
    /// # Panics
    ///
    /// Panics inside [`no_suspend`](crate::no_suspend), like every cancellation point.
    #[inline]
    pub fn check_cancel(&self) -> Result<(), Canceled> {
        context::current(|context| context.check(self))
    }

    /// Hands a delivered request back: the next cancellation point returns it again.
    pub fn recancel(&self, canceled: Canceled) {
        context::current(|context| context.recancel(canceled));
    }
}
