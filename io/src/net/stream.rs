//! Byte streams of TCP and Unix sockets.

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

/// If several tasks read or write at once, each call is whole, in no particular order.
impl<F: Family> TypedSocket<F, Stream> {
    /// Reads the available bytes, at least one, and returns their number. Returns 0 if the peer has finished or
    /// `buffer` is empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recv`.
    pub fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let available = buffer.len();
        io.operate(Operation::Receive { socket: self.descriptor(), buffer, peek: false })?.count(available)
    }

    /// Reads like [`read`](Self::read), but leaves the bytes in the stream to be read again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `recv`.
    pub fn peek(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let available = buffer.len();
        io.operate(Operation::Receive { socket: self.descriptor(), buffer, peek: true })?.count(available)
    }

    /// Reads like [`read`](Self::read), but returns an error instead of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if no byte is available; the errors of `recv`.
    pub fn try_read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let available = buffer.len();
        let attempt = Attempt::Receive { socket: self.descriptor(), buffer, peek: false };
        io.operate(Operation::Attempt(attempt))?.count(available)
    }

    /// Reads like [`read`](Self::read), into several buffers, of which it uses the first eight at most.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recvmsg`.
    pub fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(io.check_cancel().map(|()| 0)?);
        }
        // The system fills one buffer after the other, so empty ones at the front are skipped here.
        let first = buffers.iter().position(|buffer| !buffer.is_empty()).unwrap_or(0);
        Ok(self.receive_message(io, &mut buffers[first..], false, 0)?.count)
    }

    /// Fills `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been read.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the peer finishes early; the errors of `recv`. An error after the first byte
    /// carries an [`Incomplete`](crate::Incomplete).
    pub fn read_exact(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<()> {
        stream::read_exact(io, buffer, |buffer| self.read(io, buffer))
    }

    /// Reads until the peer has finished, appends the bytes to `bytes`, and returns their number. A peer that never
    /// stops sending fills the memory; if you do not trust the peer, read piece by piece instead.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The bytes that were read before it are in `bytes`.
    ///
    /// # Errors
    ///
    /// The errors of `recv`.
    pub fn read_to_end(&self, io: &dyn Io, bytes: &mut Vec<u8>) -> io::Result<usize> {
        stream::read_to_end(bytes, |buffer| self.read(io, buffer))
    }

    /// Writes some of `buffer`, at least one byte unless it is empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were sent are still reported.
    ///
    /// # Errors
    ///
    /// The errors of `send`; `BrokenPipe` instead of a signal.
    pub fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.send(io, buffer, false)
    }

    /// Writes as much of `buffer` as there is room for. Works like [`write`](Self::write), but returns an error instead
    /// of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no room; the errors of `send`.
    pub fn try_write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        io.operate(Operation::Attempt(Attempt::Send { socket: self.descriptor(), buffer }))?.count(buffer.len())
    }

    /// Writes like [`write`](Self::write), from several buffers.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were sent are still reported.
    ///
    /// # Errors
    ///
    /// The errors of `sendmsg`.
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
    /// A cancellation point. The error says how many bytes had been written.
    ///
    /// # Errors
    ///
    /// The errors of `send`. An error after the first byte carries an
    /// [`Incomplete`](crate::Incomplete).
    pub fn write_all(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<()> {
        stream::write_all(io, buffer, |buffer| self.send(io, buffer, true))
    }

    /// Writes the bytes `range` of `file`, without passing them through memory if that is faster. Returns the number of
    /// bytes, which is smaller than that of the range if the file is shorter. The position of the file does not change.
    ///
    /// [`copy`](crate::copy()) describes the system resources that this takes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been written.
    ///
    /// # Errors
    ///
    /// The errors of `pread` and `send`. An error after the first byte carries an
    /// [`Incomplete`](crate::Incomplete).
    pub fn send_file(&self, io: &dyn Io, file: &File, range: Range<u64>) -> io::Result<u64> {
        copy::file_range(io, file, range, self)
    }

    /// Writes all of `bytes` without copying them into the kernel, if `io` supports it; otherwise does the same as
    /// [`write_all`](Self::write_all). Pays off from some ten thousand bytes on, over a network. On loopback the kernel
    /// copies nevertheless.
    ///
    /// The kernel may read the bytes until the peer has acknowledged them. That happens after this call returns,
    /// possibly much later if the peer does not read, and nothing can end it. Therefore the bytes are shared, and `io`
    /// keeps a reference until then. [`Arc::try_unwrap`] on the caller's own clone gets them back once it is the last
    /// reference; a [`PooledBuffer`](super::PooledBuffer) returns to its pool by itself. Bytes that the kernel has not
    /// released when the runtime has shut down are never freed.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been written. They are still on their way.
    ///
    /// # Errors
    ///
    /// See [`write_all`](Self::write_all).
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

    /// Returns the bytes of the peer as they arrive, in buffers of `pool`. For servers with many connections of which
    /// few are busy: a connection holds a buffer only while it has bytes, and, if `io` supports it, the kernel is asked
    /// once instead of once per read.
    pub fn incoming(&self, io: &dyn Io, pool: &BufferPool) -> IncomingBytes<'_, F> {
        IncomingBytes::new(io, self, pool)
    }

    /// Returns the stream as a [`std::io::Read`] and [`std::io::Write`], for libraries that know only those.
    pub fn with<'a>(&'a self, io: &'a dyn Io) -> BoundStream<'a, Self> {
        BoundStream::new(self, io)
    }

    /// Converts the stream like [`with`](Self::with), but owns it and keeps the `Io`: `Send + Sync + 'static`.
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
