//! Hosts and their addresses.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::operation::Operation;
use crate::{ErrorChain, Io};

/// A value that stands for one or more socket addresses, like std's trait of this name, but looked up through `io`:
/// `"host:port"`, `("host", port)`, and addresses.
pub trait ToSocketAddrs {
    /// Returns the addresses in the order in which to try them.
    ///
    /// # Cancellation
    ///
    /// A cancellation point if a name has to be looked up. The lookup itself cannot be stopped; it goes on in the
    /// background and its result is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not an address, or if the lookup fails or finds nothing. The error names the
    /// text.
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>>;
}

/// Looks up the addresses of `host`, which is an IP literal, with a scope if it has one (`fe80::1%2`), `localhost`,
/// which is loopback, or a name that the system's configuration knows (`/etc/hosts`, DNS).
///
/// Names follow RFC 1123: labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all, and optionally a
/// dot at the end. Underscores, which are in use, are allowed too.
///
/// # Cancellation
///
/// A cancellation point. A lookup that has begun goes on in the background, and its result is dropped.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if `host` is neither an address nor a name that could exist; an error if the lookup
/// fails, takes too long or finds nothing. Errors name the host.
pub fn resolve(io: &dyn Io, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    io.check_cancel()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Some(address) = literal(bare, port) {
        return Ok(vec![address]);
    }
    if is_localhost(host) {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    // The scope of an address may be the name of an interface, which the system looks up.
    if !bare.contains('%') {
        check_name(host).map_err(|what| invalid(&format!("`{host}` is not a valid host: {what}")))?;
    }
    let addresses = io.operate(Operation::Resolve { host: bare, port })?.addresses()?;
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("the name `{host}` has no address")));
    }
    Ok(addresses)
}

/// Returns the address that `host` spells out.
fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, port));
    }
    let (address, scope) = host.split_once('%')?;
    Some(SocketAddrV6::new(address.parse().ok()?, port, 0, scope.parse().ok()?).into())
}

/// Returns true for `localhost` and all names below it, which RFC 6761 reserves for this machine.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Says how a name violates the rules of RFC 1123. Underscores, which are in use, are allowed.
fn check_name(name: &str) -> Result<(), &'static str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 253 {
        return Err("it has more than 253 characters");
    }
    if let Some(bad) = name.chars().find(|&letter| !letter.is_ascii_alphanumeric() && !"-_.".contains(letter)) {
        return Err(match bad {
            ':' => "an IPv6 address with a port is written in brackets",
            _ if !bad.is_ascii() => "letters beyond ASCII are written in punycode (`xn--...`)",
            _ => "it has a character that names do not have",
        });
    }
    let mut last = "";
    for label in name.split('.') {
        match label.len() {
            0 => return Err("a part between its dots is empty"),
            64.. => return Err("a part between its dots has more than 63 characters"),
            _ if label.starts_with('-') || label.ends_with('-') => return Err("a part begins or ends with a hyphen"),
            _ => last = label,
        }
    }
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it looks like an IPv4 address but is not one");
    }
    Ok(())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self, io: &dyn Io) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let malformed = |what: &str| invalid(&format!("`{self}` is not of the form host:port: {what}"));
        let (host, port) = self.rsplit_once(':').ok_or_else(|| malformed("it has no port"))?;
        let port = port.parse().map_err(|_| malformed("expected a port from 0 to 65535"))?;
        if host.is_empty() {
            return Err(malformed("its host is empty"));
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(malformed("an IPv6 address with a port is written in brackets"));
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

/// Implements `ToSocketAddrs` for types that are one address.
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

/// Several addresses were tried, and all of them failed.
#[derive(Debug)]
pub struct ConnectError {
    /// The addresses that were tried and their errors, in the order in which they failed.
    pub attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// Makes the error of a call that has tried all addresses. For a single address, that is the error of the address
    /// itself, with its errno.
    pub(super) fn error(mut attempts: Vec<(SocketAddr, io::Error)>) -> io::Error {
        match attempts.len() {
            0 => invalid("the name has no address to connect to"),
            1 => attempts.remove(0).1,
            last => io::Error::new(attempts[last - 1].1.kind(), Self { attempts }),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of the addresses can be used")?;
        for (number, (address, error)) in self.attempts.iter().enumerate() {
            let separator = if number == 0 { ": " } else { "; " };
            write!(f, "{separator}{address}: {}", ErrorChain::new(error))?;
        }
        Ok(())
    }
}

impl Error for ConnectError {}

/// Calls `attempt` with each address until one succeeds.
pub(super) fn try_each<T>(
    io: &dyn Io,
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut attempts = Vec::new();
    for address in addresses.to_socket_addrs(io)? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) if crate::Canceled::is_in(&error) => return Err(error),
            Err(error) => attempts.push((address, error)),
        }
    }
    Err(ConnectError::error(attempts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_lookup() {
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1:7"),
            ("::1", "[::1]:7"),
            ("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:7"),
            ("fe80::1%2", "[fe80::1%2]:7"),
        ] {
            assert_eq!(literal(host, 7).unwrap(), expected.parse().unwrap());
        }
        for none in ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "fe80::1%", "fe80::1%eth0", "1.2.3.4%2", "01.2.3.4"]
        {
            assert_eq!(literal(none, 7), None, "{none}");
        }
    }

    #[test]
    fn localhost_is_loopback_and_so_is_what_is_below() {
        for host in ["localhost", "LocalHost", "localhost.", "a.localhost", "a.b.LOCALHOST."] {
            assert!(is_localhost(host), "{host}");
        }
        for host in ["", "local", "localhosts", "xlocalhost", "localhost.com", ".", "localhost.."] {
            assert!(!is_localhost(host), "{host}");
        }
    }

    #[test]
    fn names_follow_the_rules() {
        let longest = "a".repeat(63);
        let long = [longest.as_str(); 4].join(".");
        for good in ["a", "a.b", "A-1.b", "xn--bcher-kva.example.", "under_score", "4ever.com", &longest, &long[..253]]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            (".", "empty"),
            ("a..b", "empty"),
            (".a", "empty"),
            ("-a", "hyphen"),
            ("a-.b", "hyphen"),
            ("a b", "character"),
            ("a/b", "character"),
            ("a\0", "character"),
            ("bücher.example", "punycode"),
            ("::1:80", "brackets"),
            ("1.2.3", "IPv4"),
            ("300.1.1.1", "IPv4"),
            (&"a".repeat(64), "63"),
            (&long, "253"),
        ] {
            assert!(check_name(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn an_error_names_all_that_was_tried() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let error = |kind: io::ErrorKind| io::Error::from(kind);
        let both = ConnectError::error(vec![
            (address(1), error(io::ErrorKind::TimedOut)),
            (address(2), error(io::ErrorKind::ConnectionRefused)),
        ]);
        assert_eq!(both.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            both.to_string(),
            "none of the addresses can be used: 127.0.0.1:1: timed out; 127.0.0.1:2: connection refused"
        );
        let one = ConnectError::error(vec![(
            address(1),
            io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error()),
        )]);
        assert_eq!(one.raw_os_error(), Some(rustix::io::Errno::CONNREFUSED.raw_os_error()));
        assert_eq!(ConnectError::error(Vec::new()).kind(), io::ErrorKind::InvalidInput);
    }
}
