//! Streams of bytes, of TCP and of Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;

use super::incoming::IncomingBytes;
use super::socket::{Family, Stream, TypedSocket};
use crate::descriptor::Descriptor;
use crate::fs::File;
use crate::operation::{Attempt, Operation, SharedBytes};
use crate::pool::BufferPool;
use crate::stream::{self, BoundStream, OwnedStream};
use crate::{Io, copy};

/// Reads and writes by several tasks at once are each whole, in no particular order.
impl<F: Family> TypedSocket<F, Stream> {
    /// Reads what is there, at least one byte. 0 says that the peer has finished, or that `buffer`
    /// is empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recv`.
    pub fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let available = buffer.len();
        io.operate(Operation::Receive { socket: self.descriptor(), buffer, peek: false })?.count(available)
    }

    /// As [`read`](Self::read), but leaves the bytes to be read again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `recv`.
    pub fn peek(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let available = buffer.len();
        io.operate(Operation::Receive { socket: self.descriptor(), buffer, peek: true })?.count(available)
    }

    /// As [`read`](Self::read), if it need not wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing is there; those of `recv`.
    pub fn try_read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let available = buffer.len();
        let attempt = Attempt::Receive { socket: self.descriptor(), buffer, peek: false };
        io.operate(Operation::Attempt(attempt))?.count(available)
    }

    /// As [`read`](Self::read), into several buffers, the first eight at most.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg`.
    pub fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(io.check_cancel().map(|()| 0)?);
        }
        // The system fills one after the other, so empty ones in front are passed over here.
        let first = buffers.iter().position(|buffer| !buffer.is_empty()).unwrap_or(0);
        Ok(self.receive_message(io, &mut buffers[first..], false, 0)?.count)
    }

    /// Fills `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the error tells how many bytes had been read.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] when the peer finishes early; those of `recv`. An error
    /// after the first byte carries an [`Incomplete`](crate::Incomplete).
    pub fn read_exact(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<()> {
        stream::read_exact(io, buffer, |buffer| self.read(io, buffer))
    }

    /// Reads until the peer has finished, and appends to `bytes`; how many were read. A peer that sends without end
    /// fills the memory: who does not trust it reads piece by piece.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was read by then is in `bytes`.
    ///
    /// # Errors
    ///
    /// Those of `recv`.
    pub fn read_to_end(&self, io: &dyn Io, bytes: &mut Vec<u8>) -> io::Result<usize> {
        stream::read_to_end(bytes, |buffer| self.read(io, buffer))
    }

    /// Writes some of `buffer`, at least one byte unless it is empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was sent is reported nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `send`; `BrokenPipe` instead of a signal.
    pub fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.send(io, buffer, false)
    }

    /// As [`write`](Self::write), if it need not wait: some of `buffer`, for which there is room.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no room; those of `send`.
    pub fn try_write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        io.operate(Operation::Attempt(Attempt::Send { socket: self.descriptor(), buffer }))?.count(buffer.len())
    }

    /// As [`write`](Self::write), from several buffers.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was sent is reported nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg`.
    pub fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(io.check_cancel().map(|()| 0)?);
        }
        self.send_message(io, buffers, None, &[])
    }

    /// Writes all of `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the error tells how many bytes had been written.
    ///
    /// # Errors
    ///
    /// Those of `send`. An error after the first byte carries an
    /// [`Incomplete`](crate::Incomplete).
    pub fn write_all(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<()> {
        stream::write_all(io, buffer, |buffer| self.send(io, buffer, true))
    }

    /// Writes the bytes `range` of `file`, without passing them through memory where that pays; how many
    /// they were, which is fewer than asked for when the file is shorter. The file's position is left
    /// alone.
    ///
    /// See [`copy`](crate::copy()) for what it takes of the system.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the error tells how many bytes had been written.
    ///
    /// # Errors
    ///
    /// Those of `pread` and `send`. An error after the first byte carries an
    /// [`Incomplete`](crate::Incomplete).
    pub fn send_file(&self, io: &dyn Io, file: &File, range: Range<u64>) -> io::Result<u64> {
        copy::file_range(io, file, range, self)
    }

    /// Writes all of `bytes` without copying them into the kernel, where `io` can; elsewhere it does
    /// what [`write_all`](Self::write_all) does. Pays from some ten thousand bytes on, over a network;
    /// on loopback the kernel copies nevertheless.
    ///
    /// The kernel may read the bytes until the peer has acknowledged them, which is after this
    /// returned, and for as long as a peer does not read; nothing can end that. So the bytes are
    /// shared: `io` keeps a reference until then. [`Arc::try_unwrap`] on the caller's own
    /// clone gets them back once it is the last; a [`PooledBuffer`](super::PooledBuffer) goes back to its
    /// pool by itself. What the kernel has not let go when the runtime has shut down is never freed.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the error tells how many bytes had been written. They are still on
    /// their way.
    ///
    /// # Errors
    ///
    /// As [`write_all`](Self::write_all).
    pub fn send_zero_copy<B>(&self, io: &dyn Io, bytes: Arc<B>) -> io::Result<()>
    where
        B: AsRef<[u8]> + Send + Sync + 'static,
    {
        let bytes = SharedBytes::new(bytes);
        let all = bytes.as_ref();
        stream::write_all(io, all, |rest| {
            let from = all.len() - rest.len();
            io.operate(Operation::SendZeroCopy { socket: self.descriptor(), bytes: bytes.clone(), from })?
                .count(rest.len())
        })
    }

    /// The bytes that the peer sends, as they come, in buffers of `pool`. For servers with many
    /// connections of which few are busy: a connection holds a buffer only while there are bytes
    /// in it, and, where `io` can, the kernel is asked once and not once per read.
    pub fn incoming(&self, io: &dyn Io, pool: &BufferPool) -> IncomingBytes<'_, F> {
        IncomingBytes::new(io, self, pool)
    }

    /// The stream as [`std::io::Read`] and [`std::io::Write`], for libraries that know only those.
    pub fn with<'a>(&'a self, io: &'a dyn Io) -> BoundStream<'a, Self> {
        BoundStream::new(self, io)
    }

    /// As [`with`](Self::with), but it owns the stream and keeps the `Io`: `Send + Sync + 'static`.
    pub fn into_with(self, io: Arc<dyn Io>) -> OwnedStream<Self> {
        OwnedStream::new(self, io)
    }

    fn send(&self, io: &dyn Io, buffer: &[u8], all: bool) -> io::Result<usize> {
        io.operate(Operation::Send { socket: self.descriptor(), buffer, all })?.count(buffer.len())
    }
}

impl<F: Family> stream::ByteStream for TypedSocket<F, Stream> {
    fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(io, buffer)
    }

    fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored(io, buffers)
    }

    fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.write(io, buffer)
    }

    fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored(io, buffers)
    }

    fn write_all(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<()> {
        self.write_all(io, buffer)
    }

    fn descriptor(&self) -> Option<&Descriptor> {
        Some(self.descriptor())
    }
}
