//! The two forms of every blocking call: plain and `*_uncancelable`.
//!
//! A primitive writes the call once, as a `*_until`, which begins with [`Until::check`]; the forms
//! are that call with an [`Until`].

use crate::context::{self, Context};
use crate::{Canceled, Io};

/// What ends a wait before it got what it waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Nothing.
    Served,
    /// A cancellation.
    Canceled,
}

impl Until {
    /// The cancellation point of the call, also of one that will not have to wait. A call that nothing ends lets others
    /// run now and then all the same.
    ///
    /// # Panics
    ///
    /// Inside [`no_suspend`](crate::no_suspend).
    // Always: it is the fast path of every call of this module, and the compiler leaves it out of line otherwise.
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

/// The form that nothing ends.
#[inline]
pub(super) fn uncancelable<T>(call: impl FnOnce(Until) -> Result<T, Canceled>) -> T {
    call(Until::Served).unwrap_or_else(|error| unreachable!("a wait that nothing ends: {error}"))
}
