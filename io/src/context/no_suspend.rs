//! Regions in which nothing may suspend.

use std::marker::PhantomData;

use super::current::{Context, current};

/// Forbids suspending while it lives; see [`no_suspend`].
struct NoSuspend<'a>(&'a Context, PhantomData<*const ()>);

impl Drop for NoSuspend<'_> {
    fn drop(&mut self) {
        self.0.no_suspend.set(self.0.no_suspend.get() - 1);
    }
}

/// Runs `f`, in which every blocking call panics.
///
/// For sections that rely on per-thread nesting (`scoped_tls`, FFI handle scopes, a std lock held
/// over calls into unknown code): another fiber of the same thread must not run in the middle of
/// them. It panics in every build and in every kind of context, so that a program tested on threads
/// does not deadlock on fibers.
///
/// # Panics
///
/// Whatever `f` does; and any call in `f` panics that could wait, also one that need not this time: a cancellation
/// point, a join, and the `*_uncancelable` forms.
pub fn no_suspend<R>(f: impl FnOnce() -> R) -> R {
    current(|context| {
        context.no_suspend.set(context.no_suspend.get() + 1);
        let _guard = NoSuspend(context, PhantomData);
        f()
    })
}
