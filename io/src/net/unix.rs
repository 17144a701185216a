//! Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use super::socket::{Datagram, Listener, Stream, TypedSocket, Unix};
use crate::Io;
use crate::operation::socket_option as option;
use crate::operation::{Address, Credentials, Domain, Received, SocketType, ToUnixAddress};

/// A connection between Unix sockets.
pub type UnixStream = TypedSocket<Unix, Stream>;

/// A Unix socket that accepts connections. Its path stays behind when it is closed.
pub type UnixListener = TypedSocket<Unix, Listener>;

/// A Unix socket for messages, which arrive whole and in their order. Who sends to one whose queue is full
/// waits.
pub type UnixDatagram = TypedSocket<Unix, Datagram>;

/// How many connections may wait to be accepted; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

impl UnixStream {
    /// Connects to a listener; waits while its queue is full, and notices within a millisecond that it is not: the kernel
    /// tells that to nobody but a thread that blocks for it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was made is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `socket` and `connect`; [`io::ErrorKind::InvalidInput`] for a path that is none.
    pub fn connect(io: &dyn Io, address: impl ToUnixAddress) -> io::Result<Self> {
        let address = Address::Unix(address.to_unix_address()?);
        let socket = Self::open(io, Domain::UNIX, SocketType::STREAM, 0)?;
        socket.connect_to(io, &address)?;
        Ok(socket)
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `socketpair`.
    pub fn pair(io: &dyn Io) -> io::Result<(Self, Self)> {
        Self::open_pair(io, Domain::UNIX, SocketType::STREAM, 0)
    }
}

impl UnixListener {
    /// Listens.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `socket`, `bind` and `listen`; [`io::ErrorKind::InvalidInput`] for a path that is none.
    pub fn bind(io: &dyn Io, address: impl ToUnixAddress) -> io::Result<Self> {
        let address = Address::Unix(address.to_unix_address()?);
        let socket = Self::open(io, Domain::UNIX, SocketType::STREAM, 0)?;
        socket.bind_to(io, &address)?;
        socket.listen_with(io, BACKLOG)?;
        Ok(socket)
    }
}

impl UnixDatagram {
    /// Makes a socket that can be sent to.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `socket` and `bind`; [`io::ErrorKind::InvalidInput`] for a path that is none.
    pub fn bind(io: &dyn Io, address: impl ToUnixAddress) -> io::Result<Self> {
        let address = Address::Unix(address.to_unix_address()?);
        let socket = Self::unbound(io)?;
        socket.bind_to(io, &address)?;
        Ok(socket)
    }

    /// Makes a socket without a name.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `socket`.
    pub fn unbound(io: &dyn Io) -> io::Result<Self> {
        Self::open(io, Domain::UNIX, SocketType::DATAGRAM, 0)
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `socketpair`.
    pub fn pair(io: &dyn Io) -> io::Result<(Self, Self)> {
        Self::open_pair(io, Domain::UNIX, SocketType::DATAGRAM, 0)
    }

    /// From now on sends to, and receives from, one socket only.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `connect`; [`io::ErrorKind::InvalidInput`] for a path that is none.
    pub fn connect(&self, io: &dyn Io, address: impl ToUnixAddress) -> io::Result<()> {
        self.connect_to(io, &Address::Unix(address.to_unix_address()?))
    }

    /// Sends one message to a socket; how many bytes it has. Where the queue of that socket is full, it is noticed within
    /// a millisecond that it is not: the kernel tells that only to sockets that are [connected](Self::connect) to it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was sent is reported nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `sendto`; [`io::ErrorKind::InvalidInput`] for a path that is none.
    pub fn send_to(&self, io: &dyn Io, bytes: &[u8], address: impl ToUnixAddress) -> io::Result<usize> {
        self.send_one_to(io, bytes, &Address::Unix(address.to_unix_address()?))
    }

    /// As [`send_to`](Self::send_to), if it need not wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the queue of that socket is full; those of `sendto`;
    /// [`io::ErrorKind::InvalidInput`] for a path that is none.
    pub fn try_send_to(&self, io: &dyn Io, bytes: &[u8], address: impl ToUnixAddress) -> io::Result<usize> {
        self.try_send_one(io, bytes, Some(&Address::Unix(address.to_unix_address()?)))
    }
}

impl<K> TypedSocket<Unix, K> {
    /// Sends bytes, of a stream at least one, and duplicates of `descriptors` with the first of them; how
    /// many bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was sent is reported nevertheless, and the descriptors went with it.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg`: `EINVAL` for more than 253 descriptors; `BrokenPipe` instead of a signal.
    pub fn send_with_fds(&self, io: &dyn Io, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(bytes)], None, descriptors)
    }

    /// Receives what is there of a stream, or one message, with at most `descriptors_max` descriptors, which
    /// are closed on exec. All other calls that receive close the descriptors that come along.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was received is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg`.
    pub fn recv_with_fds(&self, io: &dyn Io, buffer: &mut [u8], descriptors_max: usize) -> io::Result<Received> {
        self.receive_message(io, &mut [IoSliceMut::new(buffer)], false, descriptors_max)
    }

    /// Who was at the other end when the two were connected, or, of a pair, who made it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn peer_credentials(&self, io: &dyn Io) -> io::Result<Credentials> {
        self.option(io, option::PEER_CREDENTIALS)
    }
}
