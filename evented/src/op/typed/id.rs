//! Ids, by which other tasks can cancel an operation that is under way.
//!
//! The canceler asks the context that waits for the operation, because only that context may use its ring, and waits
//! for the kernel's answer. So a cancellation finds this operation or none, and never a later one at the same place.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, MutexGuard};

use crate::sys;
use iolite_io::Io;
use iolite_io::backend::{Lock, Unparker};
use iolite_io::sync::oneshot;

/// Identifies an operation while it is under way. Clones are the same id. Afterwards it can identify another operation.
#[derive(Clone, Debug, Default)]
pub struct Id(Arc<Lock<Option<Named>>>);

/// The operation that an id names.
#[derive(Debug)]
struct Named {
    /// The context that waits for the operation.
    owner: Unparker,
    asking: Vec<oneshot::Sender<Cancel>>,
}

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The operation was found and canceled. Its performer gets [`CanceledById`].
    Done,
    /// No operation with this id is under way: it has not begun, or it has ended.
    NotFound,
    /// The operation could not be stopped at once, because it is being executed. It ends by itself; or it ends as
    /// canceled, if its work can be interrupted.
    AlreadyRunning,
}

/// An operation was canceled by its [`Id`]; its performer gets this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanceledById;

/// Cancels the operation that `id` identifies, whatever fiber or thread performs it, on any runtime.
///
/// # Cancellation
///
/// A cancellation point. After `Canceled` the operation may or may not have been canceled.
///
/// # Errors
///
/// [`Canceled`](iolite_io::Canceled).
pub fn cancel(io: &dyn Io, id: &Id) -> io::Result<Cancel> {
    io.check_cancel()?;
    let (sender, receiver) = oneshot::channel();
    match &mut *id.named() {
        None => return Ok(Cancel::NotFound),
        Some(named) => {
            named.asking.push(sender);
            named.owner.unpark();
        }
    }
    Ok(receiver.recv(io)?)
}

impl Id {
    /// Makes an id that identifies no operation yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns true if the id identifies an operation at this moment.
    pub fn is_under_way(&self) -> bool {
        self.named().is_some()
    }

    /// Makes the id identify an operation. The context of `owner` begins to wait for it.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if the id identifies another operation.
    pub(crate) fn begin(&self, owner: Unparker) -> io::Result<UnderWay<'_>> {
        let mut named = self.named();
        if named.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the id belongs to an operation that is still under way",
            ));
        }
        *named = Some(Named { owner, asking: Vec::new() });
        Ok(UnderWay(self))
    }

    fn named(&self) -> MutexGuard<'_, Option<Named>> {
        self.0.lock()
    }
}

/// The right of an operation to its id, until the operation has ended.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a Id);

impl UnderWay<'_> {
    /// Returns the tasks that want the operation canceled, if any; they wait for an answer.
    pub(crate) fn asking(&self) -> Option<Asking> {
        let asking = self.0.named().as_mut().map(|named| std::mem::take(&mut named.asking))?;
        (!asking.is_empty()).then_some(Asking(asking))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let named = self.0.named().take();
        Asking(named.map(|named| named.asking).unwrap_or_default()).answer(-sys::ENOENT);
    }
}

/// The tasks that want an operation canceled.
pub(crate) struct Asking(Vec<oneshot::Sender<Cancel>>);

impl Asking {
    /// Sends them the kernel's answer.
    pub(crate) fn answer(self, kernel: i32) {
        let answer = match -kernel {
            sys::ENOENT => Cancel::NotFound,
            sys::EALREADY => Cancel::AlreadyRunning,
            _ => Cancel::Done,
        };
        for sender in self.0 {
            // A task that has stopped waiting does not need the answer.
            let _ = sender.send(answer);
        }
    }
}

impl CanceledById {
    /// Returns true if `error` contains this error.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for CanceledById {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation was canceled by its id")
    }
}

impl Error for CanceledById {}

impl From<CanceledById> for io::Error {
    fn from(canceled: CanceledById) -> Self {
        io::Error::other(canceled)
    }
}
