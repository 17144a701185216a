//! The one handle type behind sockets and files.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::primitive::Lock;

/// An open socket or file of the operating system, closed when dropped.
///
/// Every handle of the vocabulary (a [`TcpStream`](crate::net::TcpStream), a
/// [`File`](crate::fs::File)) is one of these and nothing else; a simulation will put its own
/// things in their place here.
pub struct Descriptor {
    fd: OwnedFd,
    nonblocking: Lock<Attempts>,
}

/// Attempts under way that must not block, whatever the descriptor's mode is.
#[derive(Debug, Default)]
struct Attempts {
    count: usize,
    /// The last one makes it blocking again.
    was_blocking: bool,
}

/// While it is there, the descriptor is non-blocking.
#[derive(Debug)]
pub(crate) struct NonBlocking<'a>(&'a Descriptor);

impl Descriptor {
    /// Makes it non-blocking for a moment, for calls that have no flag of their own to say so.
    pub(crate) fn nonblocking(&self) -> rustix::io::Result<NonBlocking<'_>> {
        let mut attempts = self.nonblocking.lock();
        if attempts.count == 0 {
            let flags = fcntl_getfl(&self.fd)?;
            attempts.was_blocking = !flags.contains(OFlags::NONBLOCK);
            if attempts.was_blocking {
                fcntl_setfl(&self.fd, flags | OFlags::NONBLOCK)?;
            }
        }
        attempts.count += 1;
        Ok(NonBlocking(self))
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Descriptor").field(&self.fd.as_raw_fd()).finish()
    }
}

impl Drop for NonBlocking<'_> {
    fn drop(&mut self) {
        let mut attempts = self.0.nonblocking.lock();
        attempts.count -= 1;
        if attempts.count == 0 && attempts.was_blocking {
            // What worked when it was made works now.
            let _ = fcntl_getfl(self.0).and_then(|flags| fcntl_setfl(self.0, flags - OFlags::NONBLOCK));
        }
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Self {
        Self { fd, nonblocking: Lock::default() }
    }
}

impl From<Descriptor> for OwnedFd {
    fn from(descriptor: Descriptor) -> Self {
        descriptor.fd
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_restores_the_mode() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let descriptor = Descriptor::from(OwnedFd::from(reader));
        let is_nonblocking = || fcntl_getfl(&descriptor).unwrap().contains(OFlags::NONBLOCK);
        let first = descriptor.nonblocking().unwrap();
        let second = descriptor.nonblocking().unwrap();
        drop(first);
        assert!(is_nonblocking());
        drop(second);
        assert!(!is_nonblocking());
        rustix::io::ioctl_fionbio(&descriptor, true).unwrap();
        drop(descriptor.nonblocking().unwrap());
        assert!(is_nonblocking());
    }
}
