//! TCP streams.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::address::{ToSocketAddrs, try_each};
use super::incoming::IncomingBytes;
use super::pool::BufferPool;
use crate::descriptor::Descriptor;
use crate::fs::File;
use crate::operation::{Operation, SharedBytes, SocketOption};
use crate::stream::{self, IntoWith, With};
use crate::{Io, copy};

/// How many buffers one vectored call fills at most; a short read is a legal answer.
const BUFFERS_MAX: usize = 8;

/// A TCP connection.
///
/// Reading and writing take `&self`, so that one task may read while another writes. Reads and
/// writes by several tasks at once are each whole, in no particular order.
#[derive(Debug)]
pub struct TcpStream(Descriptor);

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was made is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of the lookup, `socket` and `connect`; the last one, when there were several addresses.
    pub fn connect(io: &dyn Io, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        try_each(io, addresses, |address| io.operate(Operation::Connect { address })?.opened().map(Self))
    }

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
        io.operate(Operation::Receive { socket: &self.0, buffer, peek: false })?.count(available)
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
        io.operate(Operation::Receive { socket: &self.0, buffer, peek: true })?.count(available)
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
        let mut rest = buffers.iter_mut().filter(|buffer| !buffer.is_empty());
        let mut buffers: [IoSliceMut<'_>; BUFFERS_MAX] =
            array::from_fn(|_| IoSliceMut::new(rest.next().map_or(&mut [], |buffer| &mut **buffer)));
        let available = buffers.iter().map(|buffer| buffer.len()).sum();
        io.operate(Operation::ReceiveVectored { socket: &self.0, buffers: &mut buffers })?.count(available)
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
        stream::read_exact(buffer, |buffer| self.read(io, buffer))
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
        let available = buffers.iter().map(|buffer| buffer.len()).sum();
        io.operate(Operation::SendVectored { socket: &self.0, buffers })?.count(available)
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
        stream::write_all(buffer, |buffer| self.send(io, buffer, true))
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
        stream::write_all(all, |rest| {
            let from = all.len() - rest.len();
            io.operate(Operation::SendZeroCopy { socket: &self.0, bytes: bytes.clone(), from })?.count(rest.len())
        })
    }

    /// The bytes that the peer sends, as they come, in buffers of `pool`. For servers with many
    /// connections of which few are busy: a connection holds a buffer only while there are bytes
    /// in it, and, where `io` can, the kernel is asked once and not once per read.
    pub fn incoming(&self, io: &dyn Io, pool: &BufferPool) -> IncomingBytes<'_> {
        IncomingBytes::new(io, self, pool)
    }

    /// Shuts one or both directions down.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `shutdown`.
    pub fn shutdown(&self, io: &dyn Io, how: Shutdown) -> io::Result<()> {
        io.operate(Operation::Shutdown { socket: &self.0, how })?.done()
    }

    /// The address of this end.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self, io: &dyn Io) -> io::Result<SocketAddr> {
        io.operate(Operation::LocalAddress { socket: &self.0 })?.address()
    }

    /// The address of the peer.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getpeername`.
    pub fn peer_addr(&self, io: &dyn Io) -> io::Result<SocketAddr> {
        io.operate(Operation::PeerAddress { socket: &self.0 })?.address()
    }

    /// Sets `TCP_NODELAY`: small packets are sent at once.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_nodelay(&self, io: &dyn Io, nodelay: bool) -> io::Result<()> {
        self.set_option(io, SocketOption::NoDelay(nodelay))
    }

    /// Whether `TCP_NODELAY` is set.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn nodelay(&self, io: &dyn Io) -> io::Result<bool> {
        Ok(self.option(io, SocketOption::NoDelay(false))? == SocketOption::NoDelay(true))
    }

    /// Sets what closing does with unsent bytes; `Some(Duration::ZERO)` resets the connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_linger(&self, io: &dyn Io, linger: Option<Duration>) -> io::Result<()> {
        self.set_option(io, SocketOption::Linger(linger))
    }

    /// Sets a socket option.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_option(&self, io: &dyn Io, option: SocketOption) -> io::Result<()> {
        io.operate(Operation::SetOption { socket: &self.0, option })?.done()
    }

    /// Reads a socket option; the value in `option` does not matter.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn option(&self, io: &dyn Io, option: SocketOption) -> io::Result<SocketOption> {
        io.operate(Operation::GetOption { socket: &self.0, option })?.option()
    }

    /// Closes it and reports what went wrong; dropping closes too.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the stream is closed in any case.
    ///
    /// # Errors
    ///
    /// Those of `close`.
    pub fn close(self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.0 })?.done()
    }

    /// The stream as [`std::io::Read`] and [`std::io::Write`], for libraries that know only those.
    pub fn with<'a>(&'a self, io: &'a dyn Io) -> With<'a, Self> {
        With::new(self, io)
    }

    /// As [`with`](Self::with), but it owns the stream and keeps the `Io`: `Send + Sync + 'static`.
    pub fn into_with(self, io: Arc<dyn Io>) -> IntoWith<Self> {
        IntoWith::new(self, io)
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn send(&self, io: &dyn Io, buffer: &[u8], all: bool) -> io::Result<usize> {
        io.operate(Operation::Send { socket: &self.0, buffer, all })?.count(buffer.len())
    }
}

impl stream::Streaming for TcpStream {
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
        Some(&self.0)
    }
}

impl From<Descriptor> for TcpStream {
    fn from(descriptor: Descriptor) -> Self {
        Self(descriptor)
    }
}

impl From<std::net::TcpStream> for TcpStream {
    fn from(stream: std::net::TcpStream) -> Self {
        Self(Descriptor::from(OwnedFd::from(stream)))
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
