//! An entry on its way through an `Io`, and its answer on the way back.
#![allow(unsafe_code)]

use std::any::Any;
use std::io;

use io_uring::squeue::Entry;
use iolite_io::operation::Output;

use super::id::Id;
use crate::op::perform::Performer;
use crate::runtime::Runtime;

/// An operation of this backend itself. It is performed only once, whatever code gets hold of it.
pub(super) struct Native {
    entry: Option<Entry>,
    id: Option<Id>,
    answer: Option<u32>,
}

impl Native {
    /// # Safety
    ///
    /// Everything that the entry points to is valid for as long as the result can be reached. The operation completes
    /// once.
    pub(super) unsafe fn new(entry: Entry, id: Option<Id>) -> Self {
        Self { entry: Some(entry), id, answer: None }
    }

    /// Returns the kernel's answer, if the operation was performed and did not fail.
    pub(super) fn answer(&self) -> Option<u32> {
        self.answer
    }
}

/// Performs an operation that [`Native::new`] has made.
///
/// # Errors
///
/// Those of the operation; and an error of the kind [`Unsupported`](io::ErrorKind::Unsupported) if the kernel does not
/// have the operation, if it belongs to another backend, or if it was performed already.
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
    // SAFETY: the caller of `new` promises that everything that the entry points to is valid for as long as the
    // `Native` can be reached, and it is borrowed until this returns. The entry was taken out, so it is not performed
    // again.
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
