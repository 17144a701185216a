//! Closures that may block their thread.

use std::io;

use crate::Io;
use crate::operation::{Job, Operation};

#[cfg(doc)]
use crate::Canceled;

impl<'io> dyn Io + 'io {
    /// Runs a closure that may block its thread: a long computation, a call that knows nothing of `Io`. No executor
    /// stands still meanwhile.
    ///
    /// A fiber has it run by a thread of a bounded pool; who has a thread, runs it there. What it calls through
    /// an `Io` is not canceled with the caller.
    ///
    /// ```
    /// use iolite_io::Io;
    ///
    /// fn checksum(io: &dyn Io, bytes: &[u8]) -> std::io::Result<u32> {
    ///     io.offload(|| bytes.iter().fold(0, |sum: u32, byte| sum.rotate_left(5) ^ u32::from(*byte)))
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point while it waits for a thread; the closure is dropped unrun then. Once it has begun, its end is
    /// waited for, and its value returned.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; when the system gives no thread, or the runtime has shut down. The closure has
    /// not run then.
    ///
    /// # Panics
    ///
    /// Resumes the closure's panic.
    pub fn offload<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> io::Result<T> {
        let (mut closure, mut value) = (Some(closure), None);
        let mut job = || value = closure.take().map(|closure| closure());
        self.operate(Operation::Offload { job: Job::new(&mut job) })?.done()?;
        value.ok_or_else(|| io::Error::other("the Io reported success but did not run the closure"))
    }
}
