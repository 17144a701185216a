//! TCP: connecting and listening.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::connect::{ConnectOptions, connect};
use super::host::{ToSocketAddrs, try_each};
use super::socket::{Internet, Listener, Stream, TypedSocket};
use crate::Io;
use crate::operation::socket_option as option;
use crate::operation::{Address, Domain, SocketType};

/// A TCP connection.
///
/// Small writes are sent at once (`TCP_NODELAY`), so that an answer in two writes does not wait for an acknowledgement
/// between them. The options for connecting and listening can turn this off. Each write then is a packet: write related
/// data in one call, or with `write_vectored`. A [`Socket`](super::Socket) that is made step by step has the system's
/// default, which is off.
pub type TcpStream = TypedSocket<Internet, Stream>;

/// A socket that accepts TCP connections.
pub type TcpListener = TypedSocket<Internet, Listener>;

/// Options for listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// The maximum number of connections that wait to be accepted; capped by the kernel (`net.core.somaxconn`).
    pub backlog: u32,
    /// `SO_REUSEADDR`: bind even if connections of an earlier listener linger.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: let several listeners share the address.
    pub reuse_port: bool,
    /// `TCP_NODELAY` of the connections: written bytes are sent at once, even if the peer has not acknowledged earlier
    /// ones. Connections inherit it from the listener, so that it costs nothing per connection.
    pub no_delay: bool,
}

impl Default for ListenOptions {
    /// A backlog of 4,096, address reuse but no port reuse, no delay.
    fn default() -> Self {
        Self { backlog: 4096, reuse_address: true, reuse_port: false, no_delay: true }
    }
}

impl TcpStream {
    /// Connects to the fastest of the addresses.
    ///
    /// They are tried one after the other, alternating between the versions of IP, a quarter of a second apart or as
    /// soon as one fails. The first that answers wins (RFC 8305). If no task can run beside the caller, each attempt
    /// begins after the one before has failed.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was made is still returned.
    ///
    /// # Errors
    ///
    /// The errors of the lookup, `socket` and `connect`. For one address, the error has its errno; for several, it is a
    /// [`ConnectError`](super::ConnectError) with the kind of the last error.
    pub fn connect(io: &dyn Io, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        Self::connect_with(io, addresses, &ConnectOptions::default())
    }

    /// Connects like [`connect`](Self::connect), with options.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was made is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `connect` and those of `bind`.
    pub fn connect_with(io: &dyn Io, addresses: impl ToSocketAddrs, options: &ConnectOptions) -> io::Result<Self> {
        connect(io, addresses.to_socket_addrs(io)?, options)
    }

    /// Sets `TCP_NODELAY`, which sends small packets at once. It is on from the beginning; see [`TcpStream`].
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `setsockopt`.
    pub fn set_nodelay(&self, io: &dyn Io, nodelay: bool) -> io::Result<()> {
        self.set_option(io, option::NO_DELAY, nodelay)
    }

    /// Returns true if `TCP_NODELAY` is set.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `getsockopt`.
    pub fn nodelay(&self, io: &dyn Io) -> io::Result<bool> {
        self.option(io, option::NO_DELAY)
    }

    /// Sets how closing treats unsent bytes; `Some(Duration::ZERO)` resets the connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `setsockopt`.
    pub fn set_linger(&self, io: &dyn Io, linger: Option<Duration>) -> io::Result<()> {
        self.set_option(io, option::LINGER, linger)
    }
}

impl TcpListener {
    /// Listens on the first of the addresses that can be bound; port 0 lets the system choose.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the lookup, `socket`, `bind` and `listen`.
    pub fn bind(io: &dyn Io, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(io, addresses, &ListenOptions::default())
    }

    /// Listens like [`bind`](Self::bind), with options.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// See `bind`.
    pub fn bind_with(io: &dyn Io, addresses: impl ToSocketAddrs, options: &ListenOptions) -> io::Result<Self> {
        try_each(io, addresses, |address| Self::listen_on(io, address, options))
    }

    /// Makes a listener for each executor ([`Backend::executors`](crate::Backend::executors)), all on the first of the
    /// addresses that can be bound. The kernel spreads the connections over them (`SO_REUSEPORT`). With port 0 the
    /// system chooses one port for all.
    ///
    /// An acceptor on each executor then serves one listener, and a connection stays on the executor that accepted it:
    ///
    /// ```
    /// use iolite_io::net::{ListenOptions, TcpListener};
    /// use iolite_io::{Io, task::Placement};
    ///
    /// fn serve(io: &dyn Io) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         let listeners = TcpListener::bind_each(io, "127.0.0.1:0", &ListenOptions::default())?;
    ///         for (number, listener) in listeners.into_iter().enumerate() {
    ///             let acceptor = group.task().placement(Placement::Executor(number));
    ///             acceptor.spawn_concurrent(move |io| accept(io, &listener))?;
    ///         }
    ///         Ok(group.wait(io)?)
    ///     })
    /// }
    ///
    /// fn accept(io: &dyn Io, listener: &TcpListener) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         loop {
    ///             let (stream, _) = listener.accept(io)?;
    ///             let connection = group.task().placement(Placement::Here);
    ///             connection.spawn_waiting(move |io| stream.write_all(io, b"hello"))?;
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// See [`bind`](Self::bind).
    pub fn bind_each(io: &dyn Io, addresses: impl ToSocketAddrs, options: &ListenOptions) -> io::Result<Vec<Self>> {
        let executors = io.backend().executors;
        let options = ListenOptions { reuse_port: options.reuse_port || executors > 1, ..options.clone() };
        let first = Self::bind_with(io, addresses, &options)?;
        let address = first.local_addr(io)?;
        let others = (1..executors).map(|_| Self::bind_with(io, address, &options));
        std::iter::once(Ok(first)).chain(others).collect()
    }

    fn listen_on(io: &dyn Io, address: SocketAddr, options: &ListenOptions) -> io::Result<Self> {
        let address = Address::Internet(address);
        let socket = Self::open(io, Domain::of(&address), SocketType::STREAM, 0)?;
        if options.reuse_address {
            socket.set_option(io, option::REUSE_ADDRESS, true)?;
        }
        if options.reuse_port {
            socket.set_option(io, option::REUSE_PORT, true)?;
        }
        if options.no_delay {
            socket.set_option(io, option::NO_DELAY, true)?;
        }
        socket.bind_to(io, &address)?;
        socket.listen_with(io, options.backlog)?;
        Ok(socket)
    }
}
