//! Threads as contexts: parking on a condition variable, waiting for a descriptor in `ppoll`.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Condvar;
use std::{mem, ptr};

use super::block::WakeBlock;
use super::{Park, Patience, current, signal};
use crate::primitive::Lock;
use crate::time::{Instant, monotonic_now};

/// What a thread's wake block needs to wake it.
#[derive(Debug, Default)]
pub(super) struct ThreadParker {
    mode: Lock<Mode>,
    wake: Condvar,
}

#[derive(Debug, Default)]
enum Mode {
    /// Runs, or waits for the condition variable.
    #[default]
    Parking,
    /// Is in `ppoll` or on its way into it, with the wake signal blocked until the kernel waits.
    Polling(libc::pthread_t),
}

impl ThreadParker {
    pub(super) fn wake(&self) {
        let mode = self.mode.lock();
        match *mode {
            Mode::Parking => {
                // First: the woken thread would otherwise run into the lock and sleep again. It is
                // in the wait already, or saw its token under the lock.
                drop(mode);
                self.wake.notify_one();
            }
            // SAFETY: the owner leaves this mode, under this lock, before its thread can end, so
            // the handle is valid; a signal number and a handle are all there is to the call.
            Mode::Polling(thread) => unsafe {
                libc::pthread_kill(thread, signal::WAKE_SIGNAL);
            },
        }
    }

    /// Blocks the thread until its token is there or the deadline passes; whether it was woken out of
    /// its sleep.
    fn park(&self, block: &WakeBlock, deadline: Option<Instant>) -> bool {
        if !block.begin_park() {
            return false;
        }
        let mut mode = self.mode.lock();
        while !block.is_notified() {
            mode = match deadline {
                None => self.wake.wait(mode).unwrap_or_else(|poison| poison.into_inner()),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(monotonic_now());
                    if rest.is_zero() {
                        break;
                    }
                    match self.wake.wait_timeout(mode, rest) {
                        Ok((mode, _)) => mode,
                        Err(poison) => poison.into_inner().0,
                    }
                }
            };
        }
        drop(mode);
        block.end_park()
    }
}

/// Parks a thread.
#[derive(Debug, Default)]
pub(super) struct ThreadPark {
    patience: Patience,
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
    /// The signal mask to wait with, on threads that keep the wake signal blocked.
    static WAIT_MASK: Cell<Option<libc::sigset_t>> = const { Cell::new(None) };

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

/// Blocks the wake signal in this thread for good, which spares [`wait_ready`] two system calls.
///
/// For the worker threads of a backend; C code running on them never sees a stray `EINTR`.
pub fn claim_thread() {
    signal::install();
    mark_thread_of_pool();
    WAIT_MASK.set(Some(block_wake_signal()));
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
    let block = current(|context| context.block());
    let Some(parker) = block.thread() else {
        panic!("wait_ready blocks its thread and was called from a fiber");
    };
    signal::install();
    let kept = WAIT_MASK.get();
    let mask = kept.unwrap_or_else(block_wake_signal);
    // SAFETY: no preconditions.
    *parker.mode.lock() = Mode::Polling(unsafe { libc::pthread_self() });
    let result = if block.begin_park() { poll(fd, interest, deadline, &mask) } else { Ok(false) };
    let notified = block.end_park();
    *parker.mode.lock() = Mode::Parking;
    if kept.is_none() {
        restore_signals(&mask, notified);
    }
    result
}

fn poll(fd: BorrowedFd<'_>, interest: Interest, deadline: Option<Instant>, mask: &libc::sigset_t) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: interest.poll_events(), revents: 0 };
    let timeout = deadline.map(|deadline| {
        let rest = deadline.saturating_duration_since(monotonic_now());
        libc::timespec {
            tv_sec: rest.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: rest.subsec_nanos().into(),
        }
    });
    // SAFETY: one entry, a timeout and a mask, all of them alive during the call.
    let ready = unsafe { libc::ppoll(&mut entry, 1, timeout.as_ref().map_or(ptr::null(), ptr::from_ref), mask) };
    match ready {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINTR) => Ok(false),
            error => Err(error),
        },
        count => Ok(count > 0),
    }
}

/// Blocks the wake signal and returns the mask to wait with: the old one, without that signal.
fn block_wake_signal() -> libc::sigset_t {
    // SAFETY: a zeroed set is initialized by `sigemptyset`; all pointers are to locals.
    unsafe {
        let mut wake: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut wake);
        libc::sigaddset(&mut wake, signal::WAKE_SIGNAL);
        let mut old: libc::sigset_t = mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, &wake, &mut old);
        libc::sigdelset(&mut old, signal::WAKE_SIGNAL);
        old
    }
}

/// Unblocks the wake signal again, after taking the one that may be pending: the code that runs
/// next on this thread is not ours and shall not see an `EINTR` of ours.
fn restore_signals(mask: &libc::sigset_t, may_be_pending: bool) {
    // SAFETY: as in `block_wake_signal`.
    unsafe {
        if may_be_pending {
            let mut wake: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&mut wake);
            libc::sigaddset(&mut wake, signal::WAKE_SIGNAL);
            let zero: libc::timespec = mem::zeroed();
            libc::sigtimedwait(&wake, ptr::null_mut(), &zero);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut());
    }
}
