//! The `Io` that a task is given, and how its closure is called with it.

use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::slot::Body;
use crate::Io;
use crate::context;
use crate::dropping::drop_panic;
use crate::runnable::Parcel;

/// The `Io` that a task is given.
#[derive(Clone)]
pub(crate) enum TaskIo<'a> {
    Borrowed(&'a (dyn Io + 'a)),
    Kept(Arc<dyn Io>),
}

impl<'a> Deref for TaskIo<'a> {
    type Target = dyn Io + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Borrowed(io) => *io,
            Self::Kept(io) => &**io,
        }
    }
}

/// Takes a task's closure and calls it. If the closure unwinds, notes where its runner reports the panic.
pub(crate) fn call_reporting<T, F: FnOnce(&dyn Io) -> T>(closure: &mut Parcel<F>, io: &dyn Io) -> T {
    /// Stands for the running closure; dropped if it unwinds.
    struct Calling<'a>(&'a dyn Io);

    impl Drop for Calling<'_> {
        fn drop(&mut self) {
            note_report(self.0);
        }
    }

    let calling = Calling(io);
    let value = closure.take()(io);
    mem::forget(calling);
    value
}

#[cold]
fn note_report(io: &dyn Io) {
    // `report` belongs to an `Io` and may do anything. During unwinding, a panic of it would end the process.
    match catch_unwind(AssertUnwindSafe(|| io.report())) {
        Ok(report) => context::current(|context| context.set_report(report)),
        Err(panic) => drop_panic(panic),
    }
}

/// The body of a task whose result is the return value of its closure.
impl<F: FnOnce(&dyn Io) -> T, T> Body<F, T> for TaskIo<'_> {
    fn call(self, closure: &mut Parcel<F>) -> T {
        call_reporting(closure, &*self)
    }
}
