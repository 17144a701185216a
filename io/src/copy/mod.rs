//! Copying from one stream to another.
//!
//! The means of transport depends on how many bytes arrive at once:
//!
//! | | carried by | costs while it waits |
//! |---|---|---|
//! | at first, and after each chunk of less than 8 KiB | 8 KiB of the stack | nothing more |
//! | after a full chunk | 64 KiB of memory | that memory |
//! | after 1 MiB of large chunks | a pipe of 1 MiB, which the kernel fills and empties by `splice` | two descriptors |
//!
//! From a file to a socket the kernel copies by itself (`sendfile`), whatever the number of bytes, unless it refuses.
//!
//! So a quiet connection costs little, and a large transfer does not pass through the program's memory. A smaller pipe
//! would not pay off: on `evented`, a thread of the kernel splices files, and its two thread switches pay off only for
//! a MiB at once. If no pipe is available (no descriptor is free, or the user has too many pages in pipes) or the
//! kernel refuses (`EINVAL`: one side is neither a socket nor a pipe nor on a disk, or is opened for appending), all
//! bytes go through memory.
//!
//! If the copy fails, the bytes in the pipe are taken out of it and returned with the error. That does not wait,
//! because the bytes have arrived.

mod pipe;

use std::io;
use std::mem;
use std::ops::Range;

use rustix::io::Errno;

use crate::Io;
use crate::descriptor::Descriptor;
use crate::fs::File;
use crate::incomplete::Incomplete;
use crate::operation::Operation;
use crate::stream::ByteStream;
use crate::syscalls::is_file_to_socket;
use pipe::{PIPE_BYTES, Pipe};

const SMALL_BYTES: usize = 8 << 10;
const LARGE_BYTES: usize = 64 << 10;
/// The number of bytes of a file that the kernel sends at once, and for which other tasks have to wait.
const DIRECT_BYTES: usize = 256 << 10;

/// Copies from `from` to `to` until `from` ends. Returns the number of bytes.
///
/// Transfers from files to sockets, and large transfers between sockets, pipes and files on disks, are left to the
/// kernel if it supports them; all others pass through a buffer. Bytes are passed on as they arrive.
///
/// While the kernel copies from or to a socket, the socket is non-blocking (`O_NONBLOCK`) for moments. Code that uses a
/// duplicate of its descriptor outside of this library must not change the mode during that time.
///
/// # Cancellation
///
/// A cancellation point. The error says how many bytes were written, and which bytes were read but not written:
/// [`Incomplete::count_of`], [`Incomplete::unwritten_of`]. So no byte is lost, and a caller that writes the latter can
/// continue where the copy ended.
///
/// # Errors
///
/// The errors of reading and writing. An error after the first byte carries an [`Incomplete`], as described above.
///
/// # Examples
///
/// ```
/// use iolite_io::{Io, copy, net::TcpStream};
///
/// /// Copies from one peer to the other until the first has finished, and then tells the second.
/// fn one_way(io: &dyn Io, from: &TcpStream, to: &TcpStream) -> std::io::Result<u64> {
///     let count = copy(io, from, to)?;
///     to.shutdown(io, std::net::Shutdown::Write)?;
///     Ok(count)
/// }
/// ```
pub fn copy(io: &dyn Io, from: &dyn ByteStream, to: &dyn ByteStream) -> io::Result<u64> {
    copy_at_most(io, from, to, u64::MAX)
}

/// Copies like [`copy`](crate::copy()), but stops after `bytes_max` bytes and reads none beyond them.
///
/// # Cancellation
///
/// See `copy`.
///
/// # Errors
///
/// See `copy`.
pub fn copy_at_most(io: &dyn Io, from: &dyn ByteStream, to: &dyn ByteStream, bytes_max: u64) -> io::Result<u64> {
    Copy::new(io, Source::Stream(from), to, bytes_max).run()
}

/// Copies a part of a file without changing the position of the file.
pub(crate) fn file_range(io: &dyn Io, file: &File, range: Range<u64>, to: &dyn ByteStream) -> io::Result<u64> {
    let bytes_max = range.end.saturating_sub(range.start);
    Copy::new(io, Source::FileAt(file, range.start), to, bytes_max).run()
}

enum Source<'a> {
    Stream(&'a dyn ByteStream),
    /// A file and the offset of the next read in bytes.
    FileAt(&'a File, u64),
}

struct Copy<'a> {
    io: &'a dyn Io,
    from: Source<'a>,
    to: &'a dyn ByteStream,
    /// The number of bytes that may still be read.
    left: u64,
    written: u64,
    /// The number of bytes since the last small chunk.
    streak: usize,
    /// Empty until it is needed.
    large: Vec<u8>,
    pipe: Option<Pipe>,
    /// True if no pipe is available or it would be of no use.
    no_pipe: bool,
    /// True if the kernel needs no pipe: from a file to a socket.
    is_direct: bool,
}

impl<'a> Copy<'a> {
    fn new(io: &'a dyn Io, from: Source<'a>, to: &'a dyn ByteStream, left: u64) -> Self {
        let ends = from.descriptor().zip(to.descriptor());
        let is_direct = ends.is_some_and(|(from, to)| is_file_to_socket(from, to));
        Self { io, from, to, left, written: 0, streak: 0, large: Vec::new(), pipe: None, no_pipe: false, is_direct }
    }

    fn run(mut self) -> io::Result<u64> {
        if self.left == 0 {
            // Otherwise the first read is the cancellation point.
            self.io.check_cancel()?;
        }
        let mut small = [0; SMALL_BYTES];
        while self.left > 0 {
            let count = self.chunk(&mut small)?;
            if count == 0 {
                break;
            }
            self.streak = if count < SMALL_BYTES { 0 } else { self.streak.saturating_add(count) };
        }
        Ok(self.written)
    }

    /// Copies the bytes that arrive at once. Returns their number, 0 at the end.
    fn chunk(&mut self, small: &mut [u8]) -> io::Result<usize> {
        if self.is_direct
            && let Some(count) = self.directly()?
        {
            return Ok(count);
        }
        if self.streak == 0 {
            (self.large, self.pipe) = (Vec::new(), None);
            return self.through_memory(small);
        }
        if self.streak >= PIPE_BYTES
            && let Some(count) = self.through_pipe()?
        {
            return Ok(count);
        }
        let mut large = mem::take(&mut self.large);
        large.resize(LARGE_BYTES, 0);
        let result = self.through_memory(&mut large);
        self.large = large;
        result
    }

    /// Returns `None` if the bytes have to go another way.
    fn directly(&mut self) -> io::Result<Option<usize>> {
        let Some((from, to)) = self.from.descriptor().zip(self.to.descriptor()) else { return Ok(None) };
        let bytes = self.at_most(DIRECT_BYTES);
        match splice(self.io, from, self.from.offset(), to, bytes) {
            Ok(count) => {
                self.took(count);
                self.written += count as u64;
                Ok(Some(count))
            }
            Err(error) if is_refusal(&error) => {
                self.is_direct = false;
                Ok(None)
            }
            Err(error) => Err(self.failed(&[], error)),
        }
    }

    fn through_memory(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.at_most(buffer.len());
        let count = self.from.read(self.io, &mut buffer[..room]).map_err(|error| self.failed(&[], error))?;
        self.took(count);
        self.write(&buffer[..count])?;
        Ok(count)
    }

    /// Returns `None` if the bytes have to go through memory.
    fn through_pipe(&mut self) -> io::Result<Option<usize>> {
        let Some((from, to)) = self.from.descriptor().zip(self.to.descriptor()) else { return Ok(None) };
        let Some(pipe) = self.take_pipe() else { return Ok(None) };
        let bytes = self.at_most(PIPE_BYTES);
        let count = match splice(self.io, from, self.from.offset(), pipe.entrance(), bytes) {
            Ok(count) => count,
            Err(error) if is_refusal(&error) => return Ok(None),
            Err(error) => return Err(self.failed(&[], error)),
        };
        self.took(count);
        let mut inside = count;
        while inside > 0 {
            match splice(self.io, pipe.exit(), None, to, inside) {
                Ok(0) => return Err(self.failed(&pipe.take(inside), io::ErrorKind::WriteZero.into())),
                Ok(moved) => {
                    inside -= moved;
                    self.written += moved as u64;
                }
                Err(error) if is_refusal(&error) => {
                    self.write(&pipe.take(inside))?;
                    return Ok(Some(count));
                }
                Err(error) => return Err(self.failed(&pipe.take(inside), error)),
            }
        }
        (self.pipe, self.no_pipe) = (Some(pipe), false);
        Ok(Some(count))
    }

    /// Takes the pipe for one chunk. If it is not put back, the copy goes on without a pipe.
    fn take_pipe(&mut self) -> Option<Pipe> {
        if self.no_pipe {
            return None;
        }
        self.no_pipe = true;
        self.pipe.take().or_else(Pipe::new)
    }

    fn at_most(&self, bytes: usize) -> usize {
        usize::try_from(self.left).map_or(bytes, |left| left.min(bytes))
    }

    /// Counts bytes that were read.
    fn took(&mut self, count: usize) {
        self.left -= count as u64;
        if let Source::FileAt(_, offset) = &mut self.from {
            *offset += count as u64;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.to.write_all(self.io, bytes);
        let count = result.as_ref().map_or_else(Incomplete::count_of, |()| bytes.len());
        self.written += count as u64;
        result.map_err(|error| self.failed(&bytes[count..], error))
    }

    /// Makes the error with which the copy ends.
    #[cold]
    fn failed(&self, unwritten: &[u8], error: io::Error) -> io::Error {
        let source = match error.downcast::<Incomplete>() {
            Ok(incomplete) => incomplete.source,
            Err(error) => error,
        };
        // A file that is read at an offset still has them.
        let unwritten = if let Source::FileAt(..) = self.from { &[] } else { unwritten };
        Incomplete::error(self.written as usize, unwritten.to_vec(), source)
    }
}

impl<'a> Source<'a> {
    fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        match *self {
            Self::Stream(stream) => stream.read(io, buffer),
            Self::FileAt(file, offset) => file.read_at(io, buffer, offset),
        }
    }

    fn descriptor(&self) -> Option<&'a Descriptor> {
        match *self {
            Self::Stream(stream) => stream.descriptor(),
            Self::FileAt(file, _) => file.descriptor(),
        }
    }

    fn offset(&self) -> Option<u64> {
        match *self {
            Self::Stream(_) => None,
            Self::FileAt(_, offset) => Some(offset),
        }
    }
}

fn splice(
    io: &dyn Io,
    from: &Descriptor,
    from_offset: Option<u64>,
    to: &Descriptor,
    bytes: usize,
) -> io::Result<usize> {
    io.operate(Operation::Splice { from, from_offset, to, bytes })?.count(bytes)
}

/// Returns true if the error says that the kernel or the `Io` does not move such bytes. In that case none was moved.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || Errno::from_io_error(error) == Some(Errno::INVAL)
}
