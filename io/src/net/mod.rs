//! Sockets over any [`Io`](crate::Io): [TCP](TcpStream), [UDP](UdpSocket), [Unix](UnixStream) and [all other
//! kinds](Socket) that the system has, their [options](option), and name lookup. For many connections at once there are
//! streams of arrivals ([`Incoming`], [`IncomingBytes`]) and sending without a copy ([`TcpStream::send_zero_copy`]).
//!
//! All sockets are one type, [`TypedSocket`], under several names.

mod host;
mod resolver;

mod socket;

mod accepting;
mod datagram;
mod incoming;
mod listener;
mod readiness;
mod stream;

mod connect;
mod tcp;
mod udp;
mod unix;

pub use connect::ConnectOptions;
pub use host::{ConnectError, ToSocketAddrs, resolve};
pub use incoming::{Incoming, IncomingBytes};
pub use resolver::{Resolver, with_resolver};
pub use socket::{Any, Datagram, Family, Internet, Listener, Socket, Stream, TypedSocket, Unix};
pub use tcp::{ListenOptions, TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};

#[doc(inline)]
pub use crate::operation::socket_option as option;
#[doc(inline)]
pub use crate::operation::{
    Address, Credentials, Domain, Message, OptionName, OptionValue, OutgoingMessage, Received, SocketOption,
    SocketType, ToUnixAddress, UnixAddress,
};
pub use crate::pool::{BufferPool, PooledBuffer};
