//! Cancellation points by themselves, and requests that are handed back.

use crate::context;
use crate::{Canceled, Io};

impl<'io> dyn Io + 'io {
    /// A bare cancellation point. Never waits; lets others run now and then, as every point does that need not wait.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Canceled`] when the task was asked to stop or a timeout around it has passed.
    ///
    /// # Panics
    ///
    /// As every cancellation point, inside [`no_suspend`](crate::no_suspend).
    #[inline]
    pub fn check_cancel(&self) -> Result<(), Canceled> {
        context::current(|context| context.check(self))
    }

    /// Takes a delivered request back: the next cancellation point returns it again.
    pub fn recancel(&self, canceled: Canceled) {
        context::current(|context| context.recancel(canceled));
    }
}
