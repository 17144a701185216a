//! Sockets of every kind: one type, whose parameters say the family and what can be done with it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::{Address, Domain, Operation, Received, SocketOption, SocketType, UnixAddress};

/// A socket of a family and a kind: what all of them have in common. [`TcpStream`](super::TcpStream),
/// [`UnixListener`](super::UnixListener) and the others are names for this, each with calls of its own.
///
/// Every call takes `&self`, so that one task may receive while another sends. It owns its descriptor,
/// which is closed on exec, and nothing else.
///
/// Sockets come from std and go back to it, for what another crate has made or wants; what borrows one keeps it here:
///
/// ```
/// use iolite_io::{Io, net::{TcpListener, TcpStream}};
///
/// /// Serves on what a supervisor has opened, and hands each connection to a crate that knows std's.
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

/// A socket of any family and kind, as the system has it: for what the named types do not offer.
///
/// Make one, set its options, and [turn](Self::into_typed) it into what it is:
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
    /// What its addresses look like.
    type Address: Into<Address> + Clone + fmt::Debug;

    /// The address, if it is one of this family.
    fn address(address: Address) -> Option<Self::Address>;

    /// The address of a sender who has none, where there are such.
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

/// What streams are accepted from.
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

/// How many buffers one vectored call fills at most; a short read is a legal answer.
const BUFFERS_MAX: usize = 8;

impl<F: Family, K> TypedSocket<F, K> {
    /// The address of this end, with the port or name that the system chose.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self, io: &dyn Io) -> io::Result<F::Address> {
        of_family::<F>(io.operate(Operation::LocalAddress { socket: &self.descriptor })?.address()?)
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
    /// [`io::ErrorKind::InvalidInput`] when the value is none of this option; those of `setsockopt`.
    pub fn set_option<T>(&self, io: &dyn Io, option: SocketOption<T>, value: T) -> io::Result<()> {
        let value = option.encode(value)?;
        io.operate(Operation::SetOption { socket: &self.descriptor, name: option.name(), value })?.done()
    }

    /// The present value of an option of the table in [`option`](super::option).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn option<T>(&self, io: &dyn Io, option: SocketOption<T>) -> io::Result<T> {
        let output = io.operate(Operation::GetOption { socket: &self.descriptor, name: option.name() })?;
        option.decode(&output.option()?)
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
        io.operate(Operation::Shutdown { socket: &self.descriptor, how })?.done()
    }

    /// Closes it and reports what went wrong; dropping closes too.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the socket is closed in any case.
    ///
    /// # Errors
    ///
    /// Those of `close`.
    pub fn close(self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.descriptor })?.done()
    }

    /// The same socket under another type. Nothing is checked: what the socket cannot do fails with the
    /// system's error when it is asked to.
    pub fn into_typed<G, L>(self) -> TypedSocket<G, L> {
        TypedSocket::from(self.descriptor)
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Receives one message, or what is there of a stream, with what came along.
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

    /// A new socket.
    pub(super) fn open(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<Self> {
        io.operate(Operation::Socket { domain, kind, protocol })?.opened().map(Self::from)
    }

    pub(super) fn open_pair(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<(Self, Self)> {
        let (one, other) = io.operate(Operation::SocketPair { domain, kind, protocol })?.opened_pair()?;
        Ok((Self::from(one), Self::from(other)))
    }
}

impl Socket {
    /// Makes a socket; `protocol` is its number, 0 for the usual one of the kind.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `socket`.
    pub fn new(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<Self> {
        Self::open(io, domain, kind, protocol)
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
    pub fn pair(io: &dyn Io, domain: Domain, kind: SocketType, protocol: i32) -> io::Result<(Self, Self)> {
        Self::open_pair(io, domain, kind, protocol)
    }

    /// Binds it to an address.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `bind`.
    pub fn bind(&self, io: &dyn Io, address: impl Into<Address>) -> io::Result<()> {
        self.bind_to(io, &address.into())
    }

    /// Begins to listen, for at most `backlog` connections that nobody has accepted. From then on the
    /// socket is non-blocking, as every listener here.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `listen`.
    pub fn listen(&self, io: &dyn Io, backlog: u32) -> io::Result<()> {
        self.listen_with(io, backlog)
    }

    /// Waits for the next connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was accepted is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `accept`.
    pub fn accept(&self, io: &dyn Io) -> io::Result<(Self, Address)> {
        let (descriptor, peer) = self.accept_any(io)?;
        Ok((Self::from(descriptor), peer))
    }

    /// Connects it, or, where there are no connections, says whom [`send`](Self::send) sends to.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was made is made. After an error the socket is for
    /// closing.
    ///
    /// # Errors
    ///
    /// Those of `connect`.
    pub fn connect(&self, io: &dyn Io, address: impl Into<Address>) -> io::Result<()> {
        self.connect_to(io, &address.into())
    }

    /// Sends one message, or some bytes of a stream, to whom the socket is connected.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was sent is reported nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg`; `BrokenPipe` instead of a signal.
    pub fn send(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(buffer)], None, &[])
    }

    /// Receives one message, or what is there of a stream; 0 at the end of a connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was received is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg`.
    pub fn recv(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_message(io, &mut [IoSliceMut::new(buffer)], false, 0)?.count)
    }

    /// As [`send`](Self::send), from several buffers, to `to` where there is no connection, with descriptors that
    /// go along (of Unix sockets; at least one byte has to go with them over a stream).
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was sent is reported nevertheless, and the descriptors went with it.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg`; `BrokenPipe` instead of a signal.
    pub fn send_with(
        &self,
        io: &dyn Io,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        self.send_message(io, buffers, to, descriptors)
    }

    /// As [`recv`](Self::recv), into several buffers, the first eight at most, with who sent it and
    /// at most `descriptors_max` descriptors.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; what was received is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg`.
    pub fn recv_with(
        &self,
        io: &dyn Io,
        buffers: &mut [IoSliceMut<'_>],
        descriptors_max: usize,
    ) -> io::Result<Received> {
        self.receive_message(io, buffers, false, descriptors_max)
    }
}

/// The address, checked: the system may hand a socket of another family to a type by mistake.
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

/// std's sockets.
macro_rules! std_sockets {
    ($($std:ty => $family:ty, $kind:ty;)*) => {$(
        impl TypedSocket<$family, $kind> {
            /// Takes a socket of std over, in whichever mode it is: calls wait on both backends also where the socket does
            /// not block, and nothing blocks an executor where it does. The mode stays what it was.
            pub fn from_std(socket: $std) -> Self {
                Self::from(OwnedFd::from(socket))
            }

            /// Gives the socket to std, in blocking mode, as std makes them. No call is under way on it, since every call
            /// borrows it.
            ///
            /// The mode belongs to the open socket: duplicates of it ([`AsFd`], `try_clone`) see the change.
            ///
            /// # Errors
            ///
            /// Those of `ioctl(FIONBIO)`.
            pub fn into_std(self) -> io::Result<$std> {
                rustix::io::ioctl_fionbio(&self.descriptor, false)?;
                Ok(OwnedFd::from(self).into())
            }
        }

        /// As `from_std`.
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
