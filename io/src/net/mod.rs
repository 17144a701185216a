//! Sockets over any [`Io`](crate::Io): [TCP](TcpStream), [UDP](UdpSocket), [Unix](UnixStream) and
//! [whatever else](Socket) the system has, their [options](option), name lookup; and, for many
//! connections at once, what keeps coming in ([`Incoming`], [`IncomingBytes`]) and sending without a
//! copy ([`TcpStream::send_zero_copy`]).
//!
//! All sockets are one type, [`TypedSocket`], under several names.

pub(crate) mod address;
mod host;
mod resolver;

pub mod option;
mod socket;

mod accepting;
mod datagram;
mod incoming;
mod listener;
pub(crate) mod pool;
mod readiness;
mod stream;

mod connect;
mod tcp;
mod udp;
mod unix;

pub use address::{Address, ToUnixAddress, UnixAddress};
pub use connect::ConnectOptions;
pub use datagram::{Message, OutgoingMessage};
pub use host::{ConnectError, ToSocketAddrs, resolve};
pub use incoming::{Incoming, IncomingBytes};
pub use option::{Credentials, OptionName, OptionValue, SocketOption};
pub use pool::{BufferPool, PooledBuffer};
pub use resolver::{Resolver, with_resolver};
pub use socket::{
    Any, Datagram, Domain, Family, Internet, Listener, Received, Socket, SocketType, Stream, TypedSocket, Unix,
};
pub use tcp::{ListenOptions, TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
