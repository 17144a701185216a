//! Sockets of every kind: one type whose parameters say its family and its operations.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::{Address, Domain, Operation, Received, SocketOption, SocketType, UnixAddress};

/// A socket with a family `F` and a kind `K`. [`TcpStream`](super::TcpStream), [`UnixListener`](super::UnixListener)
/// and the others are names for this type, each with methods of its own.
///
/// Every call takes `&self`, so that one task can receive while another sends. The socket owns its descriptor, which is
/// closed on exec, and nothing else.
///
/// Sockets convert from and to those of std, for use with other crates. A socket that is borrowed cannot be converted:
///
/// ```
/// use iolite_io::{Io, net::{TcpListener, TcpStream}};
///
/// /// Serves on a listener that a supervisor has opened, and passes each connection to a crate that uses std's type.
/// fn serve(io: &dyn Io, inherited: std::net::TcpListener, hand: impl Fn(std::net::TcpStream)) -> std::io::Result<()> {
///     let listener = TcpListener::from_std(inherited);
///     loop {
///         let (stream, _) = listener.accept(io)?;
///         hand(stream.into_std()?);
///     }
/// }
/// ```
///
/// ```compile_fail,E0505
/// use iolite_io::{Io, net::TcpStream};
///
/// fn while_it_is_read(io: &dyn Io, stream: TcpStream) -> std::io::Result<()> {
///     io.group(|group| {
///         group.spawn_concurrent(|io| stream.read(io, &mut [0]))?;
///         drop(stream.into_std()?);
///         Ok(())
///     })
/// }
/// ```
pub struct TypedSocket<F, K> {
    descriptor: Descriptor,
    types: PhantomData<fn() -> (F, K)>,
}

/// A socket of any family and kind, with all that the system offers, for what the named types do not support.
///
/// Make one, set its options, and [convert](Self::into_typed) it to its own type:
///
/// ```
/// use iolite_io::Io;
/// use iolite_io::net::{Domain, Socket, SocketType, TcpListener, option};
///
/// fn listen(io: &dyn Io) -> std::io::Result<TcpListener> {
///     let socket = Socket::new(io, Domain::IPV6, SocketType::STREAM, 0)?;
///     socket.set_option(io, option::ONLY_V6, true)?;
///     socket.set_option(io, option::REUSE_PORT, true)?;
///     socket.bind(io, std::net::SocketAddr::from(([0; 16], 8080)))?;
///     socket.listen(io, 128)?;
///     Ok(socket.into_typed())
/// }
/// ```
pub type Socket = TypedSocket<Any, Any>;

/// A family of addresses, as a type.
pub trait Family: fmt::Debug + Sized + 'static {
    /// The addresses of the family.
    type Address: Into<Address> + Clone + fmt::Debug;

    /// Returns `address` if it belongs to this family.
    fn address(address: Address) -> Option<Self::Address>;

    /// Returns the address of a sender that has none, if the family has such senders.
    fn nobody() -> Option<Address> {
        None
    }
}

/// IP, version 4 or 6.
#[derive(Debug)]
pub enum Internet {}

/// Unix sockets.
#[derive(Debug)]
pub enum Unix {}

/// Any family, any kind.
#[derive(Debug)]
pub enum Any {}

/// A stream of bytes.
#[derive(Debug)]
pub enum Stream {}

/// A socket that accepts streams.
#[derive(Debug)]
pub enum Listener {}

/// Messages.
#[derive(Debug)]
pub enum Datagram {}

impl Family for Internet {
    type Address = SocketAddr;

    fn address(address: Address) -> Option<SocketAddr> {
        match address {
            Address::Internet(address) => Some(address),
            Address::Unix(_) => None,
        }
    }
}

impl Family for Unix {
    type Address = UnixAddress;

    fn address(address: Address) -> Option<UnixAddress> {
        match address {
            Address::Unix(address) => Some(address),
            Address::Internet(_) => None,
        }
    }

    fn nobody() -> Option<Address> {
        Some(Address::Unix(UnixAddress::unnamed()))
    }
}

impl Family for Any {
    type Address = Address;

    fn address(address: Address) -> Option<Address> {
        Some(address)
    }
}

/// The maximum number of buffers that one vectored call fills; a short read is allowed.
const BUFFERS_MAX: usize = 8;

impl<F: Family, K> TypedSocket<F, K> {
    /// Returns the address of this end, with the port or name that the system chose.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `getsockname`.
    pub fn local_addr(&self, io: &dyn Io) -> io::Result<F::Address> {
        of_family::<F>(io.operate(Operation::LocalAddress { socket: &self.descriptor })?.address()?)
    }

    /// Returns the address of the peer.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `getpeername`.
    pub fn peer_addr(&self, io: &dyn Io) -> io::Result<F::Address> {
        of_family::<F>(io.operate(Operation::PeerAddress { socket: &self.descriptor })?.address()?)
    }
}

/// For operations as data.
impl<F, K> AsRef<Descriptor> for TypedSocket<F, K> {
    fn as_ref(&self) -> &Descriptor {
        &self.descriptor
    }
}

impl<F, K> TypedSocket<F, K> {
    /// Sets an option of the table in [`option`](super::option).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the value is not valid for this option; the errors of `setsockopt`.
    pub fn set_option<T>(&self, io: &dyn Io, option: SocketOption<T>, value: T) -> io::Result<()> {
        let value = option.encode(value)?;
        io.operate(Operation::SetOption { socket: &self.descriptor, name: option.name(), value })?.done()
    }

    /// Returns the current value of an option of the table in [`option`](super::option).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `getsockopt`.
    pub fn option<T>(&self, io: &dyn Io, option: SocketOption<T>) -> io::Result<T> {
        let output = io.operate(Operation::GetOption { socket: &self.descriptor, name: option.name() })?;
        option.decode(&output.option()?)
    }

    /// Shuts down one or both directions.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `shutdown`.
    pub fn shutdown(&self, io: &dyn Io, how: Shutdown) -> io::Result<()> {
        io.operate(Operation::Shutdown { socket: &self.descriptor, how })?.done()
    }

    /// Closes the socket and reports errors. Dropping it closes it too.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The socket is closed in any case.
    ///
    /// # Errors
    ///
    /// The errors of `close`.
    pub fn close(self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.descriptor })?.done()
    }

    /// Converts the socket to another type without any check. An operation that the socket does not support fails with
    /// the error of the system.
    pub fn into_typed<G, L>(self) -> TypedSocket<G, L> {
        TypedSocket::from(self.descriptor)
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Receives one message, or the available bytes of a stream, with its ancillary data.
    pub(super) fn receive_message(
        &self,
        io: &dyn Io,
        buffers: &mut [IoSliceMut<'_>],
        peek: bool,
        descriptors_max: usize,
    ) -> io::Result<Received> {
        let count = buffers.len().min(BUFFERS_MAX);
        let mut rest = buffers.iter_mut();
        let mut buffers: [IoSliceMut<'_>; BUFFERS_MAX] =
            std::array::from_fn(|_| IoSliceMut::new(rest.next().map_or(&mut [], |buffer| &mut **buffer)));
        let available = buffers.iter().map(|buffer| buffer.len()).sum();
        let socket = &self.descriptor;
        let operation = Operation::ReceiveMessage { socket, buffers: &mut buffers[..count], peek, descriptors_max };
        io.operate(operation)?.received(available)
    }

    pub(super) fn send_message(
        &self,
        io: &dyn Io,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        let available = buffers.iter().map(|buffer| buffer.len()).sum();
        let operation = Operation::SendMessage { socket: &self.descriptor, buffers, to, descriptors };
        io.operate(operation)?.count(available)
    }

    pub(super) fn bind_to(&self, io: &dyn Io, address: &Address) -> io::Result<()> {
        io.operate(Operation::Bind { socket: &self.descriptor, address })?.done()
    }

    pub(super) fn connect_to(&self, io: &dyn Io, address: &Address) -> io::Result<()> {
        io.operate(Operation::Connect { socket: &self.descriptor, address })?.done()
    }

    pub(super) fn listen_with(&self, io: &dyn Io, backlog: u32) -> io::Result<()> {
        io.operate(Operation::Listen { socket: &self.descriptor, backlog })?.done()
    }

    pub(super) fn accept_any(&self, io: &dyn Io) -> io::Result<(Descriptor, Address)> {
        io.operate(Operation::Accept { listener: &self.descriptor })?.accepted()
    }

    /// Opens a new socket.
    pub(super) fn open(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<Self> {
        io.operate(Operation::Socket { domain, kind, protocol })?.opened().map(Self::from)
    }

    pub(super) fn open_pair(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<(Self, Self)> {
        let (one, other) = io.operate(Operation::SocketPair { domain, kind, protocol })?.opened_pair()?;
        Ok((Self::from(one), Self::from(other)))
    }
}

impl Socket {
    /// Makes a socket. `protocol` is a protocol number; 0 selects the usual protocol of the kind.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `socket`.
    pub fn new(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<Self> {
        Self::open(io, domain, kind, protocol)
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
    pub fn pair(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<(Self, Self)> {
        Self::open_pair(io, domain, kind, protocol)
    }

    /// Binds the socket to an address.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `bind`.
    pub fn bind(&self, io: &dyn Io, address: impl Into<Address>) -> io::Result<()> {
        self.bind_to(io, &address.into())
    }

    /// Starts to listen, with a queue of at most `backlog` connections that were not accepted. From then on the socket
    /// is non-blocking, like every listener of this library.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `listen`.
    pub fn listen(&self, io: &dyn Io, backlog: u32) -> io::Result<()> {
        self.listen_with(io, backlog)
    }

    /// Waits for the next connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was accepted is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `accept`.
    pub fn accept(&self, io: &dyn Io) -> io::Result<(Self, Address)> {
        let (descriptor, peer) = self.accept_any(io)?;
        Ok((Self::from(descriptor), peer))
    }

    /// Connects the socket, or, for a socket without connections, sets the address to which [`send`](Self::send) sends.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A connection that was made stays. After an error the socket can only be closed.
    ///
    /// # Errors
    ///
    /// The errors of `connect`.
    pub fn connect(&self, io: &dyn Io, address: impl Into<Address>) -> io::Result<()> {
        self.connect_to(io, &address.into())
    }

    /// Sends one message, or some bytes of a stream, to the connected peer.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were sent are still reported.
    ///
    /// # Errors
    ///
    /// The errors of `sendmsg`; `BrokenPipe` instead of a signal.
    pub fn send(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(buffer)], None, &[])
    }

    /// Receives one message, or the available bytes of a stream, and returns the number of bytes: 0 at the end of a
    /// connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recvmsg`.
    pub fn recv(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_message(io, &mut [IoSliceMut::new(buffer)], false, 0)?.count)
    }

    /// Sends like [`send`](Self::send), from several buffers, to `to` if there is no connection, together with
    /// descriptors. Only Unix sockets can send descriptors; over a stream, at least one byte has to accompany them.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the bytes that were sent are still reported, and the descriptors went with them.
    ///
    /// # Errors
    ///
    /// The errors of `sendmsg`; `BrokenPipe` instead of a signal.
    pub fn send_with(
        &self,
        io: &dyn Io,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        self.send_message(io, buffers, to, descriptors)
    }

    /// Receives like [`recv`](Self::recv), into several buffers, of which it uses the first eight at most. Also returns
    /// the sender, and at most `descriptors_max` descriptors.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were received are still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recvmsg`.
    pub fn recv_with(
        &self,
        io: &dyn Io,
        buffers: &mut [IoSliceMut<'_>],
        descriptors_max: usize,
    ) -> io::Result<Received> {
        self.receive_message(io, buffers, false, descriptors_max)
    }
}

/// Returns the address if it is of the family. The check is needed because a program may convert a socket to a type of
/// another family by mistake.
pub(super) fn of_family<F: Family>(address: Address) -> io::Result<F::Address> {
    F::address(address.clone()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected an address of the family {}, got {address}", name::<F>()),
        )
    })
}

fn name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or_default()
}

impl<F, K> fmt::Debug for TypedSocket<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket<{}, {}>({:?})", name::<F>(), name::<K>(), self.descriptor)
    }
}

impl<F, K> From<Descriptor> for TypedSocket<F, K> {
    fn from(descriptor: Descriptor) -> Self {
        Self { descriptor, types: PhantomData }
    }
}

impl<F, K> From<TypedSocket<F, K>> for Descriptor {
    fn from(socket: TypedSocket<F, K>) -> Self {
        socket.descriptor
    }
}

impl<F, K> From<OwnedFd> for TypedSocket<F, K> {
    fn from(fd: OwnedFd) -> Self {
        Self::from(Descriptor::from(fd))
    }
}

impl<F, K> From<TypedSocket<F, K>> for OwnedFd {
    fn from(socket: TypedSocket<F, K>) -> Self {
        socket.descriptor.into()
    }
}

impl<F, K> AsFd for TypedSocket<F, K> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Implements the conversions from and to the sockets of std.
macro_rules! std_sockets {
    ($($std:ty => $family:ty, $kind:ty;)*) => {$(
        impl TypedSocket<$family, $kind> {
            /// Converts a socket of std, in whichever mode it is. A call waits on both backends even if the socket is
            /// non-blocking, and does not block an executor even if the socket is blocking. The mode does not change.
            pub fn from_std(socket: $std) -> Self {
                Self::from(OwnedFd::from(socket))
            }

            /// Converts the socket to one of std, in blocking mode, which is std's default. No call can be in progress
            /// on it, because every call borrows it.
            ///
            /// The mode belongs to the open socket: duplicates of it ([`AsFd`], `try_clone`) see the change.
            ///
            /// # Errors
            ///
            /// The errors of `ioctl(FIONBIO)`.
            pub fn into_std(self) -> io::Result<$std> {
                rustix::io::ioctl_fionbio(&self.descriptor, false)?;
                Ok(OwnedFd::from(self).into())
            }
        }

        /// Does the same as `from_std`.
        impl From<$std> for TypedSocket<$family, $kind> {
            fn from(socket: $std) -> Self {
                Self::from_std(socket)
            }
        }
    )*};
}

std_sockets! {
    std::net::TcpStream => Internet, Stream;
    std::net::TcpListener => Internet, Listener;
    std::net::UdpSocket => Internet, Datagram;
    std::os::unix::net::UnixStream => Unix, Stream;
    std::os::unix::net::UnixListener => Unix, Listener;
    std::os::unix::net::UnixDatagram => Unix, Datagram;
}
