//! Operations on open files.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use iolite_io::{Io, operation::Operation};

use super::sealed::Sealed;
use super::{Id, Opcode, at, count, done, fd, length, operation};
use crate::sys;
use crate::sys::message::BUFFERS_MAX;

operation! {
    /// Reads; returns the number of bytes, which is 0 at the end. Linux 5.6.
    Read<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// The buffer for the bytes.
        buffer: &'a mut [u8],
        /// The offset in the file; `None` for the file's position, which then moves.
        offset: Option<u64>,
        /// `RWF_*`.
        flags: i32,
    } -> usize;
    code: opcode::Read;
    entry: |read, _frame| opcode::Read::new(fd(read.file), read.buffer.as_mut_ptr(), length(read.buffer.len()))
        .offset(at(read.offset)).rw_flags(read.flags);
    answer: |_read, _frame, answer| count(answer);
}

operation! {
    /// Writes. Linux 5.6.
    Write<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// The bytes.
        buffer: &'a [u8],
        /// The offset in the file; `None` for the file's position, which then moves.
        offset: Option<u64>,
        /// `RWF_*`.
        flags: i32,
    } -> usize;
    code: opcode::Write;
    entry: |write, _frame| opcode::Write::new(fd(write.file), write.buffer.as_ptr(), length(write.buffer.len()))
        .offset(at(write.offset)).rw_flags(write.flags);
    answer: |_write, _frame, answer| count(answer);
}

// std promises that `IoSlice` and `IoSliceMut` have the layout of an `iovec`.

operation! {
    /// Reads into several buffers, at most 1,024. Linux 5.1.
    Readv<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// The buffers, filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// The same as in [`Read`].
        offset: Option<u64>,
        /// `RWF_*`.
        flags: i32,
    } -> usize;
    code: opcode::Readv;
    entry: |read, _frame| opcode::Readv::new(
        fd(read.file), read.buffers.as_mut_ptr().cast(), read.buffers.len().min(BUFFERS_MAX) as u32,
    ).offset(at(read.offset)).rw_flags(read.flags);
    answer: |_read, _frame, answer| count(answer);
}

operation! {
    /// Writes from several buffers, at most 1,024. Linux 5.1.
    Writev<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// The buffers, written in order.
        buffers: &'a [IoSlice<'a>],
        /// The same as in [`Write`].
        offset: Option<u64>,
        /// `RWF_*`.
        flags: i32,
    } -> usize;
    code: opcode::Writev;
    entry: |write, _frame| opcode::Writev::new(
        fd(write.file), write.buffers.as_ptr().cast(), write.buffers.len().min(BUFFERS_MAX) as u32,
    ).offset(at(write.offset)).rw_flags(write.flags);
    answer: |_write, _frame, answer| count(answer);
}

operation! {
    /// Writes a file's content to the disk. Linux 5.1.
    Fsync<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// Leaves out the metadata that is not needed to read the content.
        data_only: bool,
    } -> ();
    code: opcode::Fsync;
    entry: |sync, _frame| opcode::Fsync::new(fd(sync.file)).flags(
        if sync.data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() },
    );
    answer: |_sync, _frame, answer| done(answer);
}

operation! {
    /// Writes a range of a file to the disk, as `sync_file_range` does. Linux 5.2.
    SyncFileRange<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// The beginning of the range.
        offset: u64,
        /// The number of bytes; 0 for all up to the end.
        bytes: u32,
        /// `SYNC_FILE_RANGE_*`.
        flags: u32,
    } -> ();
    code: opcode::SyncFileRange;
    entry: |sync, _frame| opcode::SyncFileRange::new(fd(sync.file), sync.bytes).offset(sync.offset).flags(sync.flags);
    answer: |_sync, _frame, answer| done(answer);
}

operation! {
    /// Reserves or frees space in a file. Linux 5.6.
    Fallocate<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// `FALLOC_FL_*`; 0 to reserve.
        mode: i32,
        /// The beginning of the range.
        offset: u64,
        /// The number of bytes.
        bytes: u64,
    } -> ();
    code: opcode::Fallocate;
    entry: |room, _frame| opcode::Fallocate::new(fd(room.file), room.bytes).offset(room.offset).mode(room.mode);
    answer: |_room, _frame, answer| done(answer);
}

operation! {
    /// Announces how a range of a file will be used. Linux 5.6.
    Fadvise<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// The beginning of the range.
        offset: u64,
        /// The number of bytes; 0 for all up to the end.
        bytes: u32,
        /// `POSIX_FADV_*`.
        advice: i32,
    } -> ();
    code: opcode::Fadvise;
    entry: |advise, _frame| opcode::Fadvise::new(fd(advise.file), advise.bytes.into(), advise.advice)
        .offset(advise.offset);
    answer: |_advise, _frame, answer| done(answer);
}

operation! {
    /// Truncates or extends a file. Linux 6.9.
    Ftruncate<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// Its new length in bytes.
        length: u64,
    } -> ();
    code: opcode::Ftruncate;
    entry: |cut, _frame| opcode::Ftruncate::new(fd(cut.file), cut.length);
    answer: |_cut, _frame, answer| done(answer);
}

/// Returns the flags of a splice without the flag for tables of descriptors.
fn splice_flags(flags: u32) -> u32 {
    const SPLICE_F_FD_IN_FIXED: u32 = 1 << 31;
    flags & !SPLICE_F_FD_IN_FIXED
}

operation! {
    /// Moves bytes between descriptors, one of which is a pipe; returns the number of bytes, which is 0 at the end.
    /// Linux 5.7.
    ///
    /// While it waits, it occupies one of the few kernel threads of its ring; [`copy`](iolite_io::copy()) waits without
    /// one.
    Splice<'a> {
        /// The source of the bytes.
        from: BorrowedFd<'a>,
        /// The offset in the source file; `None` for its position, and for a pipe.
        from_offset: Option<u64>,
        /// The destination of the bytes.
        to: BorrowedFd<'a>,
        /// The same as `from_offset`, for the destination.
        to_offset: Option<u64>,
        /// The maximum number of bytes.
        bytes: u32,
        /// `SPLICE_F_*`.
        flags: u32,
    } -> usize;
    code: opcode::Splice;
    entry: |splice, _frame| opcode::Splice::new(
        fd(splice.from), at(splice.from_offset) as i64, fd(splice.to), at(splice.to_offset) as i64, splice.bytes,
    ).flags(splice_flags(splice.flags));
    answer: |_splice, _frame, answer| count(answer);
}

operation! {
    /// Copies bytes from one pipe to another, and leaves them in the first. Linux 5.8.
    Tee<'a> {
        /// The pipe that contains the bytes.
        from: BorrowedFd<'a>,
        /// The pipe that receives the bytes.
        to: BorrowedFd<'a>,
        /// The maximum number of bytes.
        bytes: u32,
        /// `SPLICE_F_*`.
        flags: u32,
    } -> usize;
    code: opcode::Tee;
    entry: |tee, _frame| opcode::Tee::new(fd(tee.from), fd(tee.to), tee.bytes).flags(splice_flags(tee.flags));
    answer: |_tee, _frame, answer| count(answer);
}

operation! {
    /// Makes a pipe, closed on exec; returns the end to read from and the end to write to. Linux 6.16.
    Pipe {
        /// `O_NONBLOCK`, `O_DIRECT`.
        flags: i32,
    } -> (OwnedFd, OwnedFd);
    code: opcode::Pipe;
    frame: [RawFd; 2];
    entry: |pipe, ends| opcode::Pipe::new(ends.as_mut_ptr()).flags((pipe.flags | sys::O_CLOEXEC) as u32);
    answer: |_pipe, ends, answer| answer.map(|_| {
        // SAFETY: they are new descriptors that no other code knows.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        (reader, writer)
    });
}

/// Closes a descriptor and reports any error. Linux 5.6; works on any backend.
///
/// The descriptor is gone even after an error or a cancellation. Once begun, the operation ends by itself, so an id
/// does not find it.
#[derive(Debug)]
pub struct Close {
    /// The descriptor to close.
    pub descriptor: OwnedFd,
}

impl Close {
    /// The kernel's number of the operation.
    pub const CODE: u8 = opcode::Close::CODE;
}

impl Sealed for Close {}

// SAFETY: the entry points to nothing.
unsafe impl Opcode for Close {
    type Output = ();
    type Frame = ();

    fn entry(&mut self, (): &mut ()) -> Entry {
        opcode::Close::new(sys::fd(&self.descriptor)).build()
    }

    unsafe fn output(self, (): (), answer: io::Result<u32>) -> io::Result<()> {
        done(answer)
    }

    /// The vocabulary has this operation, in the only place that knows the state after a failed close.
    fn run(self, io: &dyn Io, _id: Option<&Id>) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.descriptor.into() }).map(drop)
    }
}
