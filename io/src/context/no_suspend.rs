//! Regions in which nothing may suspend.

use std::marker::PhantomData;

use super::current::{Context, current};

impl Context {
    /// Returns true if the running code may wait, which it may neither inside [`no_suspend`](crate::no_suspend()) nor in a
    /// panic hook.
    pub fn may_suspend(&self) -> bool {
        self.no_suspend.get() == 0 && !self.in_panic_hook.get()
    }

    /// Panics if suspending is not allowed. Every wait calls this before it begins.
    #[inline]
    pub(crate) fn assert_may_suspend(&self) {
        assert!(
            self.may_suspend(),
            "a blocking call inside no_suspend or a panic hook: it would suspend the fiber and let others run in the middle of a \
             section that must not be interleaved",
        );
    }

    /// Panics inside [`no_suspend`](crate::no_suspend()). There, a call that may wait is refused even if it does not
    /// have to wait this time, since that depends on what others do. A panic hook gets through, because nothing could
    /// stop the panic there.
    #[inline]
    pub(crate) fn assert_outside_no_suspend(&self) {
        if self.no_suspend.get() != 0 {
            self.assert_may_suspend();
        }
    }
}

/// Forbids suspending while it lives; see [`no_suspend`].
struct NoSuspend<'a>(&'a Context, PhantomData<*const ()>);

impl Drop for NoSuspend<'_> {
    fn drop(&mut self) {
        self.0.no_suspend.set(self.0.no_suspend.get() - 1);
    }
}

/// Runs `f`, in which every blocking call panics.
///
/// For sections that rely on per-thread nesting (`scoped_tls`, FFI handle scopes, a std lock held over calls into
/// unknown code): another fiber of the same thread must not run in the middle of them. It panics in every build and in
/// every kind of context, so that a program tested on threads does not deadlock on fibers.
///
/// # Panics
///
/// Panics if `f` panics. In addition, every call in `f` that could wait panics, even if it does not have to wait this
/// time: a cancellation point, a join, and the `*_uncancelable` forms.
pub fn no_suspend<R>(f: impl FnOnce() -> R) -> R {
    current(|context| {
        context.no_suspend.set(context.no_suspend.get() + 1);
        let _guard = NoSuspend(context, PhantomData);
        f()
    })
}
