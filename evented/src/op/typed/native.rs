//! An entry on its way through an `Io`, and its answer on the way back.
#![allow(unsafe_code)]

use std::any::Any;
use std::io;

use io_uring::squeue::Entry;
use iolite_io::operation::Output;

use super::id::Id;
use crate::op::perform::Performer;
use crate::runtime::Runtime;

/// An operation of this backend's own. It is performed once, whoever gets hold of it.
pub(super) struct Native {
    entry: Option<Entry>,
    id: Option<Id>,
    answer: Option<u32>,
}

impl Native {
    /// # Safety
    ///
    /// What the entry points to is valid for as long as the result is within reach. It completes once.
    pub(super) unsafe fn new(entry: Entry, id: Option<Id>) -> Self {
        Self { entry: Some(entry), id, answer: None }
    }

    /// The kernel's answer, if it was performed and did not fail.
    pub(super) fn answer(&self) -> Option<u32> {
        self.answer
    }
}

/// Performs an operation that [`Native::new`] has made.
///
/// # Errors
///
/// Those of the operation; of kind [`Unsupported`](io::ErrorKind::Unsupported) when the kernel does not have it, and
/// for what is of another backend, or was performed already.
pub(crate) fn perform(
    runtime: &Runtime,
    performer: &Performer<'_>,
    operation: &mut (dyn Any + Send),
) -> io::Result<Output> {
    let native = operation.downcast_mut::<Native>().ok_or_else(|| unsupported("another backend's operation"))?;
    let entry = native.entry.take().ok_or_else(|| unsupported("an operation for the second time"))?;
    let code = entry.get_opcode() as u8;
    if !runtime.supports(code) {
        return Err(unsupported(&format!("operation {code} of io_uring, which this kernel does not have")));
    }
    // SAFETY: what the entry points to is valid for as long as the `Native` is within reach, as the caller of `new` says,
    // and it is borrowed until this returns. It was taken out, so that nobody performs it again.
    let answer = unsafe {
        match &native.id {
            Some(id) => performer.run_under_id(&entry, id),
            None => performer.run(&entry),
        }
    }?;
    native.answer = Some(answer);
    Ok(Output::Done)
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the evented backend cannot perform {what}"))
}
