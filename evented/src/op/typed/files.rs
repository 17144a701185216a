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
    /// Reads; the count is 0 at the end. Linux 5.6.
    Read<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// From where in a file; `None` from its position, which moves.
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
        /// Where in a file; `None` at its position, which moves.
        offset: Option<u64>,
        /// `RWF_*`.
        flags: i32,
    } -> usize;
    code: opcode::Write;
    entry: |write, _frame| opcode::Write::new(fd(write.file), write.buffer.as_ptr(), length(write.buffer.len()))
        .offset(at(write.offset)).rw_flags(write.flags);
    answer: |_write, _frame, answer| count(answer);
}

// `IoSlice` and `IoSliceMut` are `iovec`s in memory, by std's promise.

operation! {
    /// Reads into several buffers, 1,024 at most. Linux 5.1.
    Readv<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// As in [`Read`].
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
    /// Writes from several buffers, 1,024 at most. Linux 5.1.
    Writev<'a> {
        /// A file, a pipe, a socket.
        file: BorrowedFd<'a>,
        /// Written in order.
        buffers: &'a [IoSlice<'a>],
        /// As in [`Write`].
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
    /// Brings a file's content to the disk. Linux 5.1.
    Fsync<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// Without the metadata that reading the content does not need.
        data_only: bool,
    } -> ();
    code: opcode::Fsync;
    entry: |sync, _frame| opcode::Fsync::new(fd(sync.file)).flags(
        if sync.data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() },
    );
    answer: |_sync, _frame, answer| done(answer);
}

operation! {
    /// Brings a range of a file to the disk, as `sync_file_range` does. Linux 5.2.
    SyncFileRange<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// Where the range begins.
        offset: u64,
        /// How many bytes; 0 for all up to the end.
        bytes: u32,
        /// `SYNC_FILE_RANGE_*`.
        flags: u32,
    } -> ();
    code: opcode::SyncFileRange;
    entry: |sync, _frame| opcode::SyncFileRange::new(fd(sync.file), sync.bytes).offset(sync.offset).flags(sync.flags);
    answer: |_sync, _frame, answer| done(answer);
}

operation! {
    /// Reserves or frees room in a file. Linux 5.6.
    Fallocate<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// `FALLOC_FL_*`; 0 to reserve.
        mode: i32,
        /// Where the range begins.
        offset: u64,
        /// How many bytes.
        bytes: u64,
    } -> ();
    code: opcode::Fallocate;
    entry: |room, _frame| opcode::Fallocate::new(fd(room.file), room.bytes).offset(room.offset).mode(room.mode);
    answer: |_room, _frame, answer| done(answer);
}

operation! {
    /// Says how a range of a file will be used. Linux 5.6.
    Fadvise<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// Where the range begins.
        offset: u64,
        /// How many bytes; 0 for all up to the end.
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
    /// Cuts or extends a file. Linux 6.9.
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

/// Flags of a splice without the one for tables of descriptors.
fn splice_flags(flags: u32) -> u32 {
    const SPLICE_F_FD_IN_FIXED: u32 = 1 << 31;
    flags & !SPLICE_F_FD_IN_FIXED
}

operation! {
    /// Moves bytes between descriptors, one of which is a pipe; the count is 0 at the end. Linux 5.7.
    ///
    /// For as long as it waits it occupies one of the few kernel threads of its ring:
    /// [`copy`](iolite_io::copy()) waits without one.
    Splice<'a> {
        /// Where the bytes are.
        from: BorrowedFd<'a>,
        /// Where in a file; `None` at its position, and for a pipe.
        from_offset: Option<u64>,
        /// Where they go.
        to: BorrowedFd<'a>,
        /// As `from_offset`.
        to_offset: Option<u64>,
        /// How many at most.
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
    /// Copies bytes from a pipe to another one, and leaves them in the first. Linux 5.8.
    Tee<'a> {
        /// The pipe where the bytes are.
        from: BorrowedFd<'a>,
        /// The pipe where they go.
        to: BorrowedFd<'a>,
        /// How many at most.
        bytes: u32,
        /// `SPLICE_F_*`.
        flags: u32,
    } -> usize;
    code: opcode::Tee;
    entry: |tee, _frame| opcode::Tee::new(fd(tee.from), fd(tee.to), tee.bytes).flags(splice_flags(tee.flags));
    answer: |_tee, _frame, answer| count(answer);
}

operation! {
    /// Makes a pipe, closed on exec: the end to read from and the one to write to. Linux 6.16.
    Pipe {
        /// `O_NONBLOCK`, `O_DIRECT`.
        flags: i32,
    } -> (OwnedFd, OwnedFd);
    code: opcode::Pipe;
    frame: [RawFd; 2];
    entry: |pipe, ends| opcode::Pipe::new(ends.as_mut_ptr()).flags((pipe.flags | sys::O_CLOEXEC) as u32);
    answer: |_pipe, ends, answer| answer.map(|_| {
        // SAFETY: new descriptors that nobody else knows.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        (reader, writer)
    });
}

/// Closes a descriptor and reports what went wrong. Linux 5.6; on any backend.
///
/// It is gone, also after an error or a cancellation. Once begun it ends by itself, so that an id does not find it.
#[derive(Debug)]
pub struct Close {
    /// What to close.
    pub descriptor: OwnedFd,
}

impl Close {
    /// Its number, as the kernel knows it.
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

    /// The vocabulary has it, and with it the one place that knows what a failed close leaves.
    fn run(self, io: &dyn Io, _id: Option<&Id>) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.descriptor.into() }).map(drop)
    }
}
