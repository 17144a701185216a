//! The two forms of every blocking call: plain and `*_uncancelable`.
//!
//! A primitive implements the call once, as a `*_until` method that begins with [`Until::check`]. Both forms are that
//! method with an [`Until`].

use crate::context::{self, Context};
use crate::{Canceled, Io};

/// Says what may end a wait before it has succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Nothing: only success ends the wait.
    Served,
    /// A cancellation ends the wait.
    Canceled,
}

impl Until {
    /// The cancellation point of the call, even if the call does not have to wait. A call that cannot be canceled still
    /// lets other tasks run from time to time.
    ///
    /// # Panics
    ///
    /// Panics inside [`no_suspend`](crate::no_suspend).
    // `always`, because this is the fast path of every call of this module, and the compiler leaves it out of line
    // otherwise.
    #[inline(always)]
    pub(super) fn check(self, io: &dyn Io) -> Result<(), Canceled> {
        match self {
            Until::Served => {
                context::current(Context::assert_outside_no_suspend);
                context::current(Context::pass_point);
                Ok(())
            }
            Until::Canceled => io.check_cancel(),
        }
    }
}

/// Makes a call in the form that cannot be canceled.
#[inline]
pub(super) fn uncancelable<T>(call: impl FnOnce(Until) -> Result<T, Canceled>) -> T {
    call(Until::Served).unwrap_or_else(|error| unreachable!("an uncancelable wait was canceled: {error}"))
}
