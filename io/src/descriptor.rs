//! The one handle type behind sockets and files.

use std::fmt;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, major, minor, open};

use crate::primitive::Lock;

/// An open socket or file of the operating system, closed when dropped.
///
/// Every handle of the vocabulary (a [`TcpStream`](crate::net::TcpStream), a
/// [`File`](crate::fs::File)) is one of these and nothing else; a simulation will put its own
/// things in their place here.
pub struct Descriptor {
    fd: OwnedFd,
    nonblocking: Lock<Attempts>,
    /// A [`Waiting`], of which whoever finds it out takes note. Relaxed: it publishes nothing but itself.
    waiting: AtomicU8,
    /// What the last calls say of the next ones: bits of [`Ready`]. Relaxed: hints.
    ready: AtomicU8,
    /// The same file in non-blocking mode; `None` where it cannot be opened once more.
    stand_in: OnceLock<Option<OwnedFd>>,
}

/// How reading and writing at the position of a descriptor wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Waiting {
    /// Nobody has found out yet.
    Unknown,
    /// For the disk alone.
    ForDisk,
    /// Perhaps for somebody, unless the call says that it does not wait (`RWF_NOWAIT`).
    CanBeRefused,
    /// Perhaps for somebody, and no call can say that it does not wait.
    CannotBeRefused,
}

/// What a descriptor seems to be ready for, judging by the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ready {
    /// There is more to receive.
    ToReceive = 1,
    /// There is room for what is sent.
    ToSend = 2,
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

impl Descriptor {
    /// What was found out about how it waits.
    pub(crate) fn waiting(&self) -> Waiting {
        const FOUND: [Waiting; 4] =
            [Waiting::Unknown, Waiting::ForDisk, Waiting::CanBeRefused, Waiting::CannotBeRefused];
        FOUND[usize::from(self.waiting.load(Ordering::Relaxed))]
    }

    /// Takes note of how it waits.
    pub(crate) fn set_waiting(&self, waiting: Waiting) {
        self.waiting.store(waiting as u8, Ordering::Relaxed);
    }

    /// Whether it seems to be ready: an attempt that does not wait is worth its call.
    #[inline]
    pub(crate) fn seems(&self, ready: Ready) -> bool {
        self.ready.load(Ordering::Relaxed) & ready as u8 != 0
    }

    /// Takes note of whether it seems to be ready.
    #[inline]
    pub(crate) fn set_seems(&self, ready: Ready, seems: bool) {
        let before = self.ready.load(Ordering::Relaxed);
        let now = if seems { before | ready as u8 } else { before & !(ready as u8) };
        if now != before {
            // Of two at the same time one may be lost.
            self.ready.store(now, Ordering::Relaxed);
        }
    }

    /// Another descriptor of the same pipe or terminal, in non-blocking mode; `None` for everything else, which to open
    /// once more may mean something, and where the system does not open it.
    pub(crate) fn stand_in(&self) -> Option<BorrowedFd<'_>> {
        self.stand_in.get_or_init(|| self.open_once_more().ok().flatten()).as_ref().map(AsFd::as_fd)
    }

    fn open_once_more(&self) -> rustix::io::Result<Option<OwnedFd>> {
        // A new terminal's other side comes of each time that it is opened.
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

/// A path that leads to an open file, whatever became of its name.
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
            // What worked when it was made works now.
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
