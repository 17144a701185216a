//! The one type behind the handles of sockets and files.

use std::fmt;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, major, minor, open};

use crate::primitive::Lock;

/// An open socket or file of the operating system, closed when dropped.
///
/// Every handle in this crate (a [`TcpStream`](crate::net::TcpStream), a [`File`](crate::fs::File)) consists of a
/// descriptor and nothing else. A simulation will substitute its own objects here.
pub struct Descriptor {
    fd: OwnedFd,
    nonblocking: Lock<Attempts>,
    /// A [`Waiting`], set by the first caller that determines it. Relaxed: it publishes nothing but itself.
    waiting: AtomicU8,
    /// Bits of [`Ready`]: what the last calls say about the next ones. Relaxed: these are hints.
    ready: AtomicU8,
    /// The same file in non-blocking mode; `None` if it cannot be opened a second time.
    stand_in: OnceLock<Option<OwnedFd>>,
}

/// Says how reads and writes at the position of a descriptor wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Waiting {
    /// Not determined yet.
    Unknown,
    /// They wait only for the disk.
    ForDisk,
    /// They may wait for another party, unless the call asks not to wait (`RWF_NOWAIT`).
    CanBeRefused,
    /// They may wait for another party, and no call can ask not to wait.
    CannotBeRefused,
}

/// The operation for which a descriptor seems to be ready, judging by the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ready {
    /// There is more to receive.
    ToReceive = 1,
    /// There is room to send.
    ToSend = 2,
}

/// Attempts in progress that must not block, whatever the mode of the descriptor.
#[derive(Debug, Default)]
struct Attempts {
    count: usize,
    /// If true, the last attempt makes the descriptor blocking again.
    was_blocking: bool,
}

/// Keeps the descriptor non-blocking until it is dropped.
#[derive(Debug)]
pub(crate) struct NonBlocking<'a>(&'a Descriptor);

impl Descriptor {
    /// Makes the descriptor non-blocking for a moment, for calls that have no flag for that.
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

impl Descriptor {
    /// Returns what is known about how it waits.
    pub(crate) fn waiting(&self) -> Waiting {
        const FOUND: [Waiting; 4] =
            [Waiting::Unknown, Waiting::ForDisk, Waiting::CanBeRefused, Waiting::CannotBeRefused];
        FOUND[usize::from(self.waiting.load(Ordering::Relaxed))]
    }

    /// Records how it waits.
    pub(crate) fn set_waiting(&self, waiting: Waiting) {
        self.waiting.store(waiting as u8, Ordering::Relaxed);
    }

    /// Returns true if it seems to be ready, so that an attempt that does not wait is worth its call.
    #[inline]
    pub(crate) fn seems(&self, ready: Ready) -> bool {
        self.ready.load(Ordering::Relaxed) & ready as u8 != 0
    }

    /// Records whether it seems to be ready.
    #[inline]
    pub(crate) fn set_seems(&self, ready: Ready, seems: bool) {
        let before = self.ready.load(Ordering::Relaxed);
        let now = if seems { before | ready as u8 } else { before & !(ready as u8) };
        if now != before {
            // If two are set at the same time, one may be lost.
            self.ready.store(now, Ordering::Relaxed);
        }
    }

    /// Returns another descriptor of the same pipe or terminal, in non-blocking mode. Returns `None` for every other
    /// file, for which a second open may have effects, and if the system does not open it.
    pub(crate) fn stand_in(&self) -> Option<BorrowedFd<'_>> {
        self.stand_in.get_or_init(|| self.open_once_more().ok().flatten()).as_ref().map(AsFd::as_fd)
    }

    fn open_once_more(&self) -> rustix::io::Result<Option<OwnedFd>> {
        // Each open of this file makes a new terminal.
        const PTMX: (u32, u32) = (5, 2);
        let stat = fstat(&self.fd)?;
        let may = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => true,
            FileType::CharacterDevice => {
                self.fd.as_fd().is_terminal() && (major(stat.st_rdev), minor(stat.st_rdev)) != PTMX
            }
            _ => false,
        };
        if !may {
            return Ok(None);
        }
        let access = fcntl_getfl(&self.fd)? & OFlags::ACCMODE;
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        open(path_of(self), flags, Mode::empty()).map(Some)
    }
}

/// Returns a path that leads to an open file even if its name has changed.
pub(crate) fn path_of(file: &Descriptor) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
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
            // These calls worked when the guard was made, so they work now.
            let _ = fcntl_getfl(self.0).and_then(|flags| fcntl_setfl(self.0, flags - OFlags::NONBLOCK));
        }
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            nonblocking: Lock::default(),
            waiting: AtomicU8::default(),
            ready: AtomicU8::default(),
            stand_in: OnceLock::new(),
        }
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
