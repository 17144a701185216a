//! Hosts and their addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::Io;
use crate::operation::Operation;

/// Something that stands for one or more socket addresses, as in std, but looked up through `io`.
pub trait ToSocketAddrs {
    /// The addresses, in the order in which to try them.
    ///
    /// # Cancellation
    ///
    /// A cancellation point where a name has to be looked up; the lookup itself cannot be stopped
    /// and goes on unobserved.
    ///
    /// # Errors
    ///
    /// When the text is no address, or the lookup fails or finds nothing; the error names it.
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>>;
}

/// Looks up the addresses of `host`, an IP literal or a name, as the system's configuration says
/// (`/etc/hosts`, DNS).
///
/// # Cancellation
///
/// A cancellation point; a lookup that is under way goes on unobserved.
///
/// # Errors
///
/// When the lookup fails or finds nothing; the error names the host.
pub fn resolve(io: &dyn Io, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses = io.operate(Operation::Resolve { host, port })?.addresses()?;
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("the name `{host}` has no address")));
    }
    Ok(addresses)
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let invalid = |what: &str| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("`{self}` is not of the form host:port: {what}"))
        };
        let (host, port) = self.rsplit_once(':').ok_or_else(|| invalid("it has no port"))?;
        let port = port.parse().map_err(|_| invalid("its port is no number from 0 to 65535"))?;
        if host.is_empty() {
            return Err(invalid("its host is empty"));
        }
        resolve(io, host, port)
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_socket_addrs(io)
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        resolve(io, self.0, self.1)
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        resolve(io, &self.0, self.1)
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self, _: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs(io)
    }
}

/// For types that are one address.
macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            fn to_socket_addrs(&self, _: &dyn Io) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

one_address!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

/// Calls `attempt` with each address until one succeeds; the last error otherwise.
pub(super) fn try_each<T>(
    io: &dyn Io,
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs(io)? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) if crate::Canceled::is_in(&error) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try")))
}
