//! Dropping values of the program, whose destructors may panic.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops a panic that nobody will see. Its payload belongs to the program, and its destructor may panic too. The caller
/// must not notice that, so the second payload is leaked.
pub(crate) fn drop_panic(panic: Box<dyn Any + Send>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(panic);
    }
}

/// Drops a value of the program, and drops a panic of its destructor too.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        drop_panic(panic);
    }
}
