//! Advisory locks.

use std::fs::TryLockError;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::file::File;
use super::names::perform;
use crate::Io;
use crate::operation::{FileOperation, Lock};

/// The kernel tells that a lock is free to nobody but a thread that blocks for it, which only a signal ends, and one
/// that comes just before the call has begun to wait ends nothing. So a lock is tried again, at first after this time,
/// and then after twice the last one.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// At most so long after a lock is free its waiter finds out.
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// Advisory locks, as in std (`flock`): they bind those who ask for them, in all processes, belong to the open
/// file and its duplicates, and end with the last of these. A lock takes the place of the one that the file has, which
/// may be lost while it waits.
///
/// The lock of a dropped file may last some milliseconds longer. A program that is being started at that moment, by
/// whatever thread of the process, has a duplicate of each descriptor until it executes. And when a process is killed, the
/// kernel may end its operations of io_uring, which keep their files open, only after the process can be waited for.
/// [`unlock`](File::unlock) lets go at once, whoever has a duplicate.
impl File {
    /// Waits for the only lock of the file.
    ///
    /// Who waits longest is not first. It is noticed that the lock is free within 32 ms: the kernel has no way to wait
    /// for one that could be canceled, so it is tried again and again. A lock within one process is better a
    /// [`Mutex`](crate::sync::Mutex).
    ///
    /// # Cancellation
    ///
    /// A cancellation point; there is no lock then.
    ///
    /// # Errors
    ///
    /// The errors of `flock`.
    pub fn lock(&self, io: &dyn Io) -> io::Result<()> {
        self.wait_for(io, Lock::Exclusive)
    }

    /// Waits for a lock that others may have too, if it is of this kind.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// The errors of `flock`.
    pub fn lock_shared(&self, io: &dyn Io) -> io::Result<()> {
        self.wait_for(io, Lock::Shared)
    }

    /// Takes the only lock of the file, if nobody else has one.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`]; the errors of `flock`.
    pub fn try_lock(&self, io: &dyn Io) -> Result<(), TryLockError> {
        self.try_to(io, Lock::Exclusive)
    }

    /// Takes a lock that others may have too, if nobody has the only one.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`]; the errors of `flock`.
    pub fn try_lock_shared(&self, io: &dyn Io) -> Result<(), TryLockError> {
        self.try_to(io, Lock::Shared)
    }

    /// Lets the lock go.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; in [`shield`](crate::Io#method.shield) it is none. Dropping the file lets go too.
    ///
    /// # Errors
    ///
    /// The errors of `flock`.
    pub fn unlock(&self, io: &dyn Io) -> io::Result<()> {
        self.set_lock(io, None)
    }

    fn wait_for(&self, io: &dyn Io, lock: Lock) -> io::Result<()> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.try_to(io, lock) {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => io.sleep(pause)?,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn try_to(&self, io: &dyn Io, lock: Lock) -> Result<(), TryLockError> {
        // By the errno of `flock` alone: others that want to be tried again later say nothing about the lock.
        self.set_lock(io, Some(lock)).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::WOULDBLOCK) => TryLockError::WouldBlock,
            _ => TryLockError::Error(error),
        })
    }

    fn set_lock(&self, io: &dyn Io, lock: Option<Lock>) -> io::Result<()> {
        let file = self.handle();
        perform(io, FileOperation::Lock { file, lock })?.done()
    }
}
