//! Waiting on a thread until a descriptor is ready.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::context::interruptible;
use crate::operation::Interest;
use crate::sys::wake_signal::timespec;
use crate::time::{Instant, monotonic_now};

impl Interest {
    /// Returns the interest in the form that `poll` takes. `poll` also reports errors and lost connections.
    pub fn poll_events(self) -> libc::c_short {
        match self {
            Interest::Readable => libc::POLLIN,
            Interest::Writable => libc::POLLOUT,
            Interest::HungUp => libc::POLLRDHUP,
        }
    }
}

/// Waits on the calling **thread** until `fd` is ready, the context's token arrives or the deadline passes. Returns
/// true if `fd` is ready. Consumes the token.
///
/// # Errors
///
/// The errors of `ppoll`, except `EINTR`.
///
/// # Panics
///
/// Panics if the calling context is a fiber and not a thread.
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
