//! Dropping what is the program's, whose destructors may panic.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops a panic that nobody will see. Its payload is the program's, and its destructor may panic
/// too, which the caller must not notice: what that throws is leaked.
pub(crate) fn drop_panic(panic: Box<dyn Any + Send>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(panic);
    }
}

/// Drops a value of the program's, and a panic of its destructor with it.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        drop_panic(panic);
    }
}
