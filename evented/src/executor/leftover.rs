//! Values of the program that have no owner any more. Their destructors may wait and panic, so they run on a fiber.
#![allow(unsafe_code)]

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use iolite_io::backend::Start;

use super::state::{Executor, Shutdown};

impl Executor {
    /// Starts a task that drops `value`; a shutdown of the runtime tears this task down like the others. Once the
    /// executor has no fibers any more, nothing is dropped.
    pub(super) fn drop_on_a_fiber<T: Send + 'static>(&self, value: T) {
        if self.shutdown.get() == Shutdown::Over {
            mem::forget(value);
            return;
        }
        // SAFETY: neither the closure nor its result borrows anything, and both are `Send`.
        let (start, _) = unsafe { Start::scoped("leftover", move || drop_quietly(value)) };
        self.push_unstarted(self.runtime.accept_leftover(start));
    }
}

/// Drops a value of the program, and stops a panic of its destructor.
pub(crate) fn drop_quietly<T>(value: T) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(value)));
    // The panic hook has reported the panic. The destructor of the payload belongs to the program too.
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(next);
    }
}
