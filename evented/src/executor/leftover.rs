//! What is the program's and nobody has any more: its destructor may wait and panic, so it runs on a fiber.
#![allow(unsafe_code)]

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use iolite_io::backend::Start;

use super::state::{Executor, Shutdown};

impl Executor {
    /// Has a task of its own drop `value`, which is torn down with the others when the runtime shuts down. Once the
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

/// Drops what is the program's; a panic of its destructor ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(value)));
    // The panic hook has told it. Its destructor is the program's too.
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(next);
    }
}
