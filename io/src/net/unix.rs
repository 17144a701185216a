//! Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use super::socket::{Datagram, Listener, Stream, TypedSocket, Unix};
use crate::Io;
use crate::operation::socket_option as option;
use crate::operation::{Address, Credentials, Domain, Received, SocketType, ToUnixAddress};

/// A connection between Unix sockets.
pub type UnixStream = TypedSocket<Unix, Stream>;

/// A Unix socket that accepts connections. Closing it does not remove its path.
pub type UnixListener = TypedSocket<Unix, Listener>;

/// A Unix socket for messages, which arrive whole and in order. A sender waits while the queue of the receiver is full.
pub type UnixDatagram = TypedSocket<Unix, Datagram>;

/// The maximum number of connections that wait to be accepted; capped by the kernel (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

impl UnixStream {
    /// Connects to a listener. Waits while the listener's queue is full, and notices within a millisecond that it no
    /// longer is: the kernel reports that only to a thread that blocks for it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was made is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `socket` and `connect`; [`io::ErrorKind::InvalidInput`] for an invalid path.
    pub fn connect(io: &dyn Io, address: impl ToUnixAddress) -> io::Result<Self> {
        let address = Address::Unix(address.to_unix_address()?);
        let socket = Self::open(io, Domain::UNIX, SocketType::STREAM, 0)?;
        socket.connect_to(io, &address)?;
        Ok(socket)
    }

    /// Makes two connected streams.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `socketpair`.
    pub fn pair(io: &dyn Io) -> io::Result<(Self, Self)> {
        Self::open_pair(io, Domain::UNIX, SocketType::STREAM, 0)
    }
}

impl UnixListener {
    /// Makes a listener at the address.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `socket`, `bind` and `listen`; [`io::ErrorKind::InvalidInput`] for an invalid path.
    pub fn bind(io: &dyn Io, address: impl ToUnixAddress) -> io::Result<Self> {
        let address = Address::Unix(address.to_unix_address()?);
        let socket = Self::open(io, Domain::UNIX, SocketType::STREAM, 0)?;
        socket.bind_to(io, &address)?;
        socket.listen_with(io, BACKLOG)?;
        Ok(socket)
    }
}

impl UnixDatagram {
    /// Makes a socket with an address to which others can send.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `socket` and `bind`; [`io::ErrorKind::InvalidInput`] for an invalid path.
    pub fn bind(io: &dyn Io, address: impl ToUnixAddress) -> io::Result<Self> {
        let address = Address::Unix(address.to_unix_address()?);
        let socket = Self::unbound(io)?;
        socket.bind_to(io, &address)?;
        Ok(socket)
    }

    /// Makes a socket without an address.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `socket`.
    pub fn unbound(io: &dyn Io) -> io::Result<Self> {
        Self::open(io, Domain::UNIX, SocketType::DATAGRAM, 0)
    }

    /// Makes two connected sockets.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `socketpair`.
    pub fn pair(io: &dyn Io) -> io::Result<(Self, Self)> {
        Self::open_pair(io, Domain::UNIX, SocketType::DATAGRAM, 0)
    }

    /// Connects the socket to another one. From then on it sends to, and receives from, only that one.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `connect`; [`io::ErrorKind::InvalidInput`] for an invalid path.
    pub fn connect(&self, io: &dyn Io, address: impl ToUnixAddress) -> io::Result<()> {
        self.connect_to(io, &Address::Unix(address.to_unix_address()?))
    }

    /// Sends one message to a socket, and returns the number of its bytes. Waits while the queue of that socket is
    /// full, and notices within a millisecond that it no longer is: the kernel reports that only to sockets that are
    /// [connected](Self::connect) to it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was sent is still reported.
    ///
    /// # Errors
    ///
    /// The errors of `sendto`; [`io::ErrorKind::InvalidInput`] for an invalid path.
    pub fn send_to(&self, io: &dyn Io, bytes: &[u8], address: impl ToUnixAddress) -> io::Result<usize> {
        self.send_one_to(io, bytes, &Address::Unix(address.to_unix_address()?))
    }

    /// Sends one message like [`send_to`](Self::send_to), but returns an error instead of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if the queue of that socket is full; the errors of `sendto`;
    /// [`io::ErrorKind::InvalidInput`] for an invalid path.
    pub fn try_send_to(&self, io: &dyn Io, bytes: &[u8], address: impl ToUnixAddress) -> io::Result<usize> {
        self.try_send_one(io, bytes, Some(&Address::Unix(address.to_unix_address()?)))
    }
}

impl<K> TypedSocket<Unix, K> {
    /// Sends bytes, and duplicates of `descriptors` with the first of them. Returns the number of bytes. On a stream,
    /// at least one byte is needed.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the bytes that were sent are still reported, and the descriptors went with them.
    ///
    /// # Errors
    ///
    /// The errors of `sendmsg`: `EINVAL` for more than 253 descriptors; `BrokenPipe` instead of a signal.
    pub fn send_with_fds(&self, io: &dyn Io, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(bytes)], None, descriptors)
    }

    /// Receives the available bytes of a stream, or one message, with at most `descriptors_max` descriptors, which are
    /// closed on exec. All other receiving calls close the descriptors that they receive.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recvmsg`.
    pub fn recv_with_fds(&self, io: &dyn Io, buffer: &mut [u8], descriptors_max: usize) -> io::Result<Received> {
        self.receive_message(io, &mut [IoSliceMut::new(buffer)], false, descriptors_max)
    }

    /// Returns the credentials of the process at the other end at the time of the connection, or, for a pair, of its
    /// creator.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `getsockopt`.
    pub fn peer_credentials(&self, io: &dyn Io) -> io::Result<Credentials> {
        self.option(io, option::PEER_CREDENTIALS)
    }
}
