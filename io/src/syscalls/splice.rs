//! Moving bytes between descriptors, as every backend on Linux does it.

use std::io::{self, IoSliceMut};
use std::ops::Range;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, SeekFrom, StatxFlags, seek, sendfile, statx};
use rustix::io::{Errno, ReadWriteFlags, preadv2, retry_on_intr};
use rustix::param::page_size;
use rustix::pipe::{SpliceFlags, splice};

use super::attempt::file_type;
use super::quick::cached_pages;
use crate::descriptor::Descriptor;
use crate::operation::Interest;

/// How an attempt at [`Operation::Splice`](crate::operation::Operation::Splice) has ended.
#[derive(Debug)]
pub enum Spliced<'a> {
    /// So many bytes were moved; 0 at the end.
    Moved(usize),
    /// None was moved. Before the next attempt, this is to be waited for.
    NotReady(&'a Descriptor, Interest),
    /// None was moved: one side is on a disk, for which the thread would have to block. The other
    /// is this pipe, which may have to be waited for.
    OnDisk(&'a Descriptor, Interest),
    /// None was moved: a part of the file is not in memory, for which the thread would have to block. The other side is a
    /// socket, which may have to be waited for as well.
    NotInMemory,
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

/// Attempts an [`Operation::Splice`](crate::operation::Operation::Splice) without waiting for anybody, save a
/// disk if that is allowed.
///
/// # Cancellation
///
/// Not a cancellation point: the backend asks first.
///
/// # Errors
///
/// The errors of `splice` and `sendfile`; `EINVAL` for descriptors that do not go together. `EINTR` where the disk is
/// waited for, which on some file systems is a server.
pub fn try_splice<'a>(
    from: &'a Descriptor,
    from_offset: Option<u64>,
    to: &'a Descriptor,
    bytes: usize,
    disk: DiskWait,
) -> io::Result<Spliced<'a>> {
    let refused = disk == DiskWait::Refused;
    let _nonblocking = match (Kind::of(from)?, Kind::of(to)?) {
        (Kind::Disk, Kind::Socket) => return try_send_file(from, from_offset, to, bytes, disk),
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

/// Whether the kernel moves bytes from the one to the other without a pipe between them: from a file to a socket.
pub(crate) fn is_file_to_socket(from: &Descriptor, to: &Descriptor) -> bool {
    Kind::of(from) == Ok(Kind::Disk) && Kind::of(to) == Ok(Kind::Socket)
}

/// Attempts to send a part of a file. There is none to send from its end on: what has no length is no file on a disk,
/// whatever its mode says, and may block. Where the thread may not wait, the length is the one that is known without asking
/// a server.
fn try_send_file<'a>(
    file: &'a Descriptor,
    offset: Option<u64>,
    socket: &'a Descriptor,
    bytes: usize,
    disk: DiskWait,
) -> io::Result<Spliced<'a>> {
    let begin = offset.map_or_else(|| seek(file, SeekFrom::Current(0)), Ok)?;
    let sync = if disk == DiskWait::Refused { AtFlags::STATX_DONT_SYNC } else { AtFlags::empty() };
    let length = statx(file, "", AtFlags::EMPTY_PATH | sync, StatxFlags::SIZE)?.stx_size;
    let end = begin.saturating_add(bytes as u64).min(length);
    if begin >= end {
        return Err(Errno::INVAL.into());
    }
    if disk == DiskWait::Refused && !is_in_memory(file, begin..end)? {
        return Ok(Spliced::NotInMemory);
    }
    let _nonblocking = socket.nonblocking()?;
    let mut offset = offset;
    match sendfile(socket, file, offset.as_mut(), (end - begin) as usize) {
        Ok(count) => Ok(Spliced::Moved(count)),
        Err(Errno::AGAIN) => Ok(Spliced::NotReady(socket, Interest::Writable)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a part of a file, which is not empty, is in memory.
///
/// The kernel counts the pages that it has, among them those that a disk is just being asked for; so the last one is
/// read from as well, in a way that does not wait. Where the kernel does not count, since others may write to the
/// file and this process may not, each page is.
///
/// # Errors
///
/// `EINVAL` where the file system cannot be asked.
fn is_in_memory(file: &Descriptor, part: Range<u64>) -> io::Result<bool> {
    let page_bytes = page_size() as u64;
    let last = part.end - 1;
    let mut pages = part.start / page_bytes..last / page_bytes + 1;
    match cached_pages(file, pages.start * page_bytes..pages.end * page_bytes) {
        Ok(count) if count < pages.end - pages.start => return Ok(false),
        Ok(_) => pages.start = pages.end - 1,
        Err(_) => {}
    }
    for page in pages {
        let offset = (page * page_bytes).clamp(part.start, last);
        match preadv2(file, &mut [IoSliceMut::new(&mut [0])], offset, ReadWriteFlags::NOWAIT) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::OPNOTSUPP) => return Err(Errno::INVAL.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
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
    fn of(descriptor: &Descriptor) -> rustix::io::Result<Self> {
        Ok(match file_type(descriptor)? {
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::RegularFile | FileType::BlockDevice => Self::Disk,
            _ => Self::Other,
        })
    }
}
