//! The addresses of sockets.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::sys::sockets::sa_family_t;

/// The address of a socket of any family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Internet(SocketAddr),
    /// A name on this machine.
    Unix(UnixAddress),
}

/// The name of a Unix socket: a path, an abstract name (Linux), or no name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnixAddress {
    /// The name as the kernel has it, without the NUL behind a path: abstract names begin with a NUL. Empty
    /// if there is no name, as for most clients: then nothing is allocated.
    name: Box<[u8]>,
}

/// The largest number of bytes of a name, with the NUL before an abstract one or behind a path.
const NAME_BYTES_MAX: usize = 108;

impl UnixAddress {
    /// Makes an address of a path in the file system.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is empty, longer than 107 bytes or contains a NUL.
    pub fn path(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().as_os_str().as_bytes();
        match path {
            [] => Err(invalid("a Unix socket's path is empty")),
            _ if path.contains(&0) => Err(invalid("a Unix socket's path contains a NUL")),
            _ if path.len() >= NAME_BYTES_MAX => Err(invalid("a Unix socket's path has at most 107 bytes")),
            _ => Ok(Self { name: path.into() }),
        }
    }

    /// Makes an address of an abstract name, which is in no file system and disappears with the socket.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is longer than 107 bytes.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> io::Result<Self> {
        let name = name.as_ref();
        if name.len() >= NAME_BYTES_MAX {
            return Err(invalid("an abstract name has at most 107 bytes"));
        }
        Ok(Self { name: [&[0], name].concat().into() })
    }

    /// Returns the address without a name, which every socket has that was not bound. When a socket is bound to it, the
    /// system chooses an abstract name.
    pub fn unnamed() -> Self {
        Self { name: Box::default() }
    }

    /// Returns the path, if the address is one.
    pub fn as_path(&self) -> Option<&Path> {
        match &*self.name {
            [] | [0, ..] => None,
            path => Some(Path::new(OsStr::from_bytes(path))),
        }
    }

    /// Returns the abstract name, if the address is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &*self.name {
            [0, name @ ..] => Some(name),
            _ => None,
        }
    }

    /// Returns true if there is no name.
    pub fn is_unnamed(&self) -> bool {
        self.name.is_empty()
    }

    fn from_kernel(address: &SocketAddrUnix) -> Self {
        match (address.abstract_name(), address.path_bytes()) {
            (Some(name), _) => Self { name: [&[0], name].concat().into() },
            (None, Some(path)) => Self { name: path.strip_suffix(&[0]).unwrap_or(path).into() },
            (None, None) => Self::unnamed(),
        }
    }

    fn to_kernel(&self) -> SocketAddrUnix {
        let address = match (self.as_abstract_name(), self.as_path()) {
            (Some(name), _) => SocketAddrUnix::new_abstract_name(name),
            (None, Some(path)) => SocketAddrUnix::new(path),
            (None, None) => Ok(SocketAddrUnix::new_unnamed()),
        };
        address.expect("the constructors have looked at it")
    }
}

impl fmt::Display for UnixAddress {
    /// Writes a path as it is, and an abstract name behind an `@`, as `ss` and `netstat` do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_abstract_name(), self.as_path()) {
            (Some(name), _) => write!(f, "@{}", name.escape_ascii()),
            (None, Some(path)) => path.display().fmt(f),
            (None, None) => f.write_str("(unnamed)"),
        }
    }
}

impl fmt::Debug for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixAddress({self})")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Internet(address) => address.fmt(f),
            Address::Unix(address) => address.fmt(f),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Internet(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Self {
        Address::Unix(address)
    }
}

/// A value that names a Unix socket: an address, or a path.
pub trait ToUnixAddress {
    /// Returns the address.
    ///
    /// # Errors
    ///
    /// Those of [`UnixAddress::path`].
    fn to_unix_address(&self) -> io::Result<UnixAddress>;
}

impl ToUnixAddress for UnixAddress {
    fn to_unix_address(&self) -> io::Result<UnixAddress> {
        Ok(self.clone())
    }
}

impl<T: ToUnixAddress + ?Sized> ToUnixAddress for &T {
    fn to_unix_address(&self) -> io::Result<UnixAddress> {
        (**self).to_unix_address()
    }
}

/// Implements [`ToUnixAddress`] for types that are paths.
macro_rules! paths {
    ($($type:ty),*) => {$(
        impl ToUnixAddress for $type {
            fn to_unix_address(&self) -> io::Result<UnixAddress> {
                UnixAddress::path(self)
            }
        }
    )*};
}

paths!(Path, PathBuf, str, String, OsStr);

/// Converts an address to the kernel's form.
pub fn kernel_address(address: &Address) -> SocketAddrAny {
    match address {
        Address::Internet(address) => SocketAddrAny::from(*address),
        Address::Unix(address) => SocketAddrAny::from(address.to_kernel()),
    }
}

/// Converts an address from the kernel's form.
///
/// # Errors
///
/// `EAFNOSUPPORT` if the address is of another family.
pub fn address_from_kernel(address: SocketAddrAny) -> io::Result<Address> {
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(Address::Internet(address));
    }
    // Nothing but the family: rustix would take it for the abstract name that is empty.
    if address.address_family() == AddressFamily::UNIX && address.addr_len() as usize <= size_of::<sa_family_t>() {
        return Ok(Address::Unix(UnixAddress::unnamed()));
    }
    match SocketAddrUnix::try_from(address) {
        Ok(address) => Ok(Address::Unix(UnixAddress::from_kernel(&address))),
        Err(_) => Err(Errno::AFNOSUPPORT.into()),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_from_the_kernels_form() {
        let names = [
            UnixAddress::path("/tmp/socket").unwrap(),
            UnixAddress::path("p".repeat(107)).unwrap(),
            UnixAddress::abstract_name("name").unwrap(),
            UnixAddress::abstract_name([0, 255]).unwrap(),
            UnixAddress::abstract_name("n".repeat(107)).unwrap(),
            UnixAddress::abstract_name("").unwrap(),
            UnixAddress::unnamed(),
        ];
        let numbers = ["127.0.0.1:7", "[::1]:7", "[fe80::1%3]:7"].map(|text| text.parse::<SocketAddr>().unwrap());
        for address in names.map(Address::from).into_iter().chain(numbers.map(Address::from)) {
            assert_eq!(address_from_kernel(kernel_address(&address)).unwrap(), address);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for path in ["", "a\0b", &"p".repeat(108)] {
            assert_eq!(path.to_unix_address().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(UnixAddress::abstract_name("n".repeat(108)).is_err());
    }

    #[test]
    fn names_print_well() {
        assert_eq!(UnixAddress::path("/run/a").unwrap().to_string(), "/run/a");
        assert_eq!(UnixAddress::abstract_name(b"a\0b").unwrap().to_string(), "@a\\x00b");
        assert_eq!(UnixAddress::unnamed().to_string(), "(unnamed)");
        assert_eq!(Address::from("[::1]:7".parse::<SocketAddr>().unwrap()).to_string(), "[::1]:7");
    }
}
