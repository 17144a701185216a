//! UDP.

use std::io;
use std::net::SocketAddr;

use super::host::{ToSocketAddrs, try_each};
use super::socket::{Datagram, Internet, TypedSocket};
use crate::Io;
use crate::operation::socket_option as option;
use crate::operation::{Address, Domain, SocketType};

/// A UDP socket. Multicast groups, broadcast and hop limits are [options](option).
pub type UdpSocket = TypedSocket<Internet, Datagram>;

impl UdpSocket {
    /// Makes a socket and binds it to the first of the addresses that can be bound; port 0 lets the system choose.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the lookup, `socket` and `bind`.
    pub fn bind(io: &dyn Io, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        try_each(io, addresses, |address| {
            let address = Address::Internet(address);
            let socket = Self::open(io, Domain::of(&address), SocketType::DATAGRAM, 0)?;
            socket.bind_to(io, &address)?;
            Ok(socket)
        })
    }

    /// Connects the socket to the first of the addresses that can be connected to. From then on it sends to, and
    /// receives from, only that address.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the lookup and `connect`.
    pub fn connect(&self, io: &dyn Io, addresses: impl ToSocketAddrs) -> io::Result<()> {
        try_each(io, addresses, |address| self.connect_to(io, &Address::Internet(address)))
    }

    /// Sends one message to an address, the first if there are several, and returns the number of its bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was sent is still reported.
    ///
    /// # Errors
    ///
    /// The errors of the lookup and `sendto`; a message is sent whole or not at all.
    pub fn send_to(&self, io: &dyn Io, bytes: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let first: Option<SocketAddr> = address.to_socket_addrs(io)?.into_iter().next();
        let first =
            first.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no address to send to"))?;
        self.send_one_to(io, bytes, &Address::Internet(first))
    }

    /// Sends one message to an address like [`send_to`](Self::send_to), but returns an error instead of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no room; the errors of `sendto`.
    pub fn try_send_to(&self, io: &dyn Io, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.try_send_one(io, bytes, Some(&Address::Internet(address)))
    }

    /// Allows messages to broadcast addresses.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `setsockopt`.
    pub fn set_broadcast(&self, io: &dyn Io, broadcast: bool) -> io::Result<()> {
        self.set_option(io, option::BROADCAST, broadcast)
    }
}
