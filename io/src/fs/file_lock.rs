//! Advisory locks on files.

use std::fs::TryLockError;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::file::File;
use super::names::perform;
use crate::Io;
use crate::operation::{FileOperation, Lock};

/// The first pause between two attempts to lock; each later pause is twice as long. The kernel reports that a lock is
/// free only to a thread that blocks for it. Only a signal ends such a wait, and a signal that arrives just before the
/// call has begun to wait ends nothing.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest pause, and so the longest time after which a waiter notices that a lock is free.
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// Advisory locks, as in std (`flock`). They bind only the processes that ask for them, belong to the open file and its
/// duplicates, and end with the last of these. A new lock replaces the one that the file has, which may be lost during
/// the wait.
///
/// The lock of a dropped file may last some milliseconds longer. A program that any thread of the process is starting
/// at that moment has a duplicate of each descriptor until it executes. And when a process is killed, the kernel may
/// end its io_uring operations, which keep their files open, only after the process can be waited for.
/// [`unlock`](File::unlock) releases the lock at once, even if duplicates exist.
impl File {
    /// Waits for the exclusive lock of the file.
    ///
    /// Waiters are not served in order. A waiter notices within 32 ms that the lock is free: the kernel has no
    /// cancelable way to wait for a lock, so it is tried again and again. Within one process, a
    /// [`Mutex`](crate::sync::Mutex) is the better lock.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, after which the lock was not taken.
    ///
    /// # Errors
    ///
    /// The errors of `flock`.
    pub fn lock(&self, io: &dyn Io) -> io::Result<()> {
        self.wait_for(io, Lock::Exclusive)
    }

    /// Waits for a shared lock, which other holders of shared locks may have at the same time.
    ///
    /// # Cancellation
    ///
    /// See [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// The errors of `flock`.
    pub fn lock_shared(&self, io: &dyn Io) -> io::Result<()> {
        self.wait_for(io, Lock::Shared)
    }

    /// Takes the exclusive lock of the file if no other open file has a lock.
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

    /// Takes a shared lock if no other open file has the exclusive lock.
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

    /// Releases the lock.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, except in [`shield`](crate::Io#method.shield). Dropping the file also releases the lock.
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
        // Decided only by the errno of `flock`: other errors that ask for a later attempt say nothing about the lock.
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
