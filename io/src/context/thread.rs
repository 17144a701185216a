//! Threads as contexts: parking on a condition variable, waiting for a descriptor in `ppoll`.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Condvar;

use super::block::WakeBlock;
use super::call::{Call, Signaling, interruptible};
use super::signal::timespec;
use super::{Park, SpinWait};
use crate::time::{Instant, monotonic_now};

/// What a thread's wake block needs to wake it.
#[derive(Debug, Default)]
pub(super) struct ThreadParker {
    call: Call,
    /// The condition variable's lock too.
    signaling: Signaling,
    wake: Condvar,
}

impl ThreadParker {
    pub(super) fn wake(&self) {
        let mut signaling = self.signaling.lock();
        if !self.call.interrupt(&mut signaling) {
            // First: the woken thread would otherwise run into the lock and sleep again. It is in the
            // wait already, or saw its token under the lock.
            drop(signaling);
            self.wake.notify_one();
        }
    }

    pub(super) fn call(&self) -> (&Call, &Signaling) {
        (&self.call, &self.signaling)
    }

    /// Blocks the thread until its token is there or the deadline passes; whether it was woken out of
    /// its sleep.
    fn park(&self, block: &WakeBlock, deadline: Option<Instant>) -> bool {
        if !block.begin_park() {
            return false;
        }
        let mut lock = self.signaling.lock();
        while !block.is_notified() {
            lock = match deadline {
                None => self.wake.wait(lock).unwrap_or_else(|poison| poison.into_inner()),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(monotonic_now());
                    if rest.is_zero() {
                        break;
                    }
                    match self.wake.wait_timeout(lock, rest) {
                        Ok((lock, _)) => lock,
                        Err(poison) => poison.into_inner().0,
                    }
                }
            };
        }
        drop(lock);
        block.end_park()
    }
}

/// Parks a thread.
#[derive(Debug, Default)]
pub(super) struct ThreadPark {
    patience: SpinWait,
}

impl Park for ThreadPark {
    fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>) {
        if self.patience.pays() && !block.is_notified() {
            self.patience.wait(|| block.is_notified());
        }
        let Some(parker) = block.thread() else { return };
        if parker.park(block, deadline) {
            self.patience.woken();
        }
    }

    fn yield_now(&self, _block: &'static WakeBlock) {
        std::thread::yield_now();
    }

    fn is_thread(&self) -> bool {
        true
    }
}

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Until a read, a receive or an accept would not block.
    Readable,
    /// Until a write, a send or a connect would not block.
    Writable,
    /// Until the peer has finished sending, or the connection is gone, whatever is still to be read.
    HungUp,
}

impl Interest {
    /// As `poll` names it, which tells of errors and of a connection that is gone in any case.
    pub fn poll_events(self) -> libc::c_short {
        match self {
            Interest::Readable => libc::POLLIN,
            Interest::Writable => libc::POLLOUT,
            Interest::HungUp => libc::POLLRDHUP,
        }
    }
}

thread_local! {
    /// Whether the thread is one of a pool's: it ends when there is nothing to do for it.
    static IS_OF_POOL: Cell<bool> = const { Cell::new(false) };
}

/// Says that the calling thread is one of a pool's.
pub(crate) fn mark_thread_of_pool() {
    IS_OF_POOL.set(true);
}

/// Whether the calling thread is one of a pool's, and not the program's own.
pub(crate) fn is_thread_of_pool() -> bool {
    IS_OF_POOL.get()
}

/// Waits on the calling **thread** until `fd` is ready, the context's token arrives or the deadline
/// passes; whether it is ready. Consumes the token.
///
/// # Errors
///
/// What `ppoll` reports, `EINTR` excepted.
///
/// # Panics
///
/// When the calling context is no thread but a fiber.
pub fn wait_ready(fd: BorrowedFd<'_>, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
    match interruptible(|| poll(fd, interest, deadline)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        result => result,
    }
}

fn poll(fd: BorrowedFd<'_>, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: interest.poll_events(), revents: 0 };
    let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(monotonic_now())));
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: one entry and a timeout, both alive during the call; without a mask, that of the thread stays.
    match unsafe { libc::ppoll(&mut entry, 1, timeout, ptr::null()) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count > 0),
    }
}
