//! Closures that may block their thread.

use std::io;

use crate::Io;
use crate::operation::{Job, Operation};

#[cfg(doc)]
use crate::Canceled;

impl<'io> dyn Io + 'io {
    /// Runs a closure that may block its thread: a long computation, or a call that knows nothing of `Io`. It blocks no
    /// executor.
    ///
    /// For a fiber, a thread of a bounded pool runs the closure; a context that has a thread of its own runs it there.
    /// Calls that the closure makes through an `Io` are not canceled with the caller.
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
    /// A cancellation point while it waits for a thread; a canceled closure is dropped without running. Once the
    /// closure has begun, the call waits until it ends and returns its value.
    ///
    /// # Errors
    ///
    /// [`Canceled`]; an error if the system provides no thread or the runtime has shut down. The closure has not run in
    /// any of these cases.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the closure.
    pub fn offload<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> io::Result<T> {
        let (mut closure, mut value) = (Some(closure), None);
        let mut job = || value = closure.take().map(|closure| closure());
        self.operate(Operation::Offload { job: Job::new(&mut job) })?.done()?;
        value.ok_or_else(|| io::Error::other("the Io reported success but did not run the closure"))
    }
}
