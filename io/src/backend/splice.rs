//! Moving bytes between descriptors, as every backend on Linux does it.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{SpliceFlags, splice};

use crate::context::Interest;
use crate::descriptor::Descriptor;

/// How an attempt at [`Operation::Splice`](crate::Operation::Splice) has ended.
#[derive(Debug)]
pub enum Spliced<'a> {
    /// So many bytes were moved; 0 at the end.
    Moved(usize),
    /// None was moved. Before the next attempt, this is to be waited for.
    NotReady(&'a Descriptor, Interest),
    /// None was moved: one side is on a disk, for which the thread would have to block. The other
    /// is this pipe, which may have to be waited for.
    OnDisk(&'a Descriptor, Interest),
}

/// Whether a thread may block for a disk, which no request can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskWait {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// What is behind a descriptor, as far as splicing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    Disk,
    /// May block whatever the flags say.
    Other,
}

/// Attempts an [`Operation::Splice`](crate::Operation::Splice) without waiting for anybody, save a
/// disk if that is allowed.
///
/// # Cancellation
///
/// Not a cancellation point: the backend asks first.
///
/// # Errors
///
/// Those of `splice`; `EINVAL` for descriptors that do not go together.
pub fn try_splice<'a>(
    from: &'a Descriptor,
    from_offset: Option<u64>,
    to: &'a Descriptor,
    bytes: usize,
    disk: DiskWait,
) -> io::Result<Spliced<'a>> {
    let refused = disk == DiskWait::Refused;
    let _nonblocking = match (Kind::of(from)?, Kind::of(to)?) {
        (Kind::Pipe, Kind::Disk) if refused => return Ok(Spliced::OnDisk(from, Interest::Readable)),
        (Kind::Disk, Kind::Pipe) if refused => return Ok(Spliced::OnDisk(to, Interest::Writable)),
        (Kind::Pipe, Kind::Pipe | Kind::Disk) | (Kind::Disk, Kind::Pipe) => None,
        // The flag of the call itself is for the pipe only.
        (Kind::Pipe, Kind::Socket) => Some(to.nonblocking()?),
        (Kind::Socket, Kind::Pipe) => Some(from.nonblocking()?),
        _ => return Err(Errno::INVAL.into()),
    };
    let attempt = || {
        let mut offset = from_offset;
        splice(from, offset.as_mut(), to, None, bytes, SpliceFlags::NONBLOCK)
    };
    match retry_on_intr(attempt) {
        Ok(count) => Ok(Spliced::Moved(count)),
        Err(Errno::AGAIN) => not_ready(from, to),
        Err(error) => Err(error.into()),
    }
}

/// The side that an attempt failed for, so that no two waits are needed.
fn not_ready<'a>(from: &'a Descriptor, to: &'a Descriptor) -> io::Result<Spliced<'a>> {
    let mut entries = [PollFd::new(from, PollFlags::IN), PollFd::new(to, PollFlags::OUT)];
    retry_on_intr(|| poll(&mut entries, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
    // Not by an error or an end, which are told also where there is nothing to move.
    Ok(if !entries[0].revents().contains(PollFlags::IN) {
        Spliced::NotReady(from, Interest::Readable)
    } else {
        // Or ready by now: the wait returns at once.
        Spliced::NotReady(to, Interest::Writable)
    })
}

impl Kind {
    fn of(descriptor: &Descriptor) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(fstat(descriptor)?.st_mode) {
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::RegularFile | FileType::BlockDevice => Self::Disk,
            _ => Self::Other,
        })
    }
}
