//! The families and kinds of sockets, and the result of receiving a message.

use std::fmt;
use std::net::SocketAddr;

use super::address::Address;
use crate::descriptor::Descriptor;
use crate::sys::sockets;

/// Makes types for the system's numbers, with names for some of them.
macro_rules! numbers {
    ($($(#[$doc:meta])* $type:ident { $($(#[$entry:meta])* $name:ident = $value:expr,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $type(i32);

        impl $type {
            $($(#[$entry])* pub const $name: Self = Self($value);)*
        }

        impl From<i32> for $type {
            fn from(number: i32) -> Self {
                Self(number)
            }
        }

        impl From<$type> for i32 {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => f.write_str(stringify!($name)),)*
                    Self(number) => number.fmt(f),
                }
            }
        }
    )*};
}

numbers! {
    /// A family of sockets, by its number.
    Domain {
        /// IP version 4.
        IPV4 = sockets::AF_INET,
        /// IP version 6, and also 4, unless [`ONLY_V6`](crate::net::option::ONLY_V6) is set.
        IPV6 = sockets::AF_INET6,
        /// Unix sockets.
        UNIX = sockets::AF_UNIX,
    }

    /// The kind of a socket, by its number.
    SocketType {
        /// A stream of bytes.
        STREAM = sockets::SOCK_STREAM,
        /// Messages that may be lost or change their order; between Unix sockets they are not, and do not.
        DATAGRAM = sockets::SOCK_DGRAM,
        /// Messages over a connection.
        SEQUENCED_PACKETS = sockets::SOCK_SEQPACKET,
        /// Packets of a protocol, with their headers; needs `CAP_NET_RAW`.
        RAW = sockets::SOCK_RAW,
    }
}

impl Domain {
    /// Returns the family of an address.
    pub fn of(address: &Address) -> Self {
        match address {
            Address::Internet(SocketAddr::V4(_)) => Self::IPV4,
            Address::Internet(SocketAddr::V6(_)) => Self::IPV6,
            Address::Unix(_) => Self::UNIX,
        }
    }
}

/// A message that was received: its length, its sender and its descriptors.
#[derive(Debug, Default)]
pub struct Received {
    /// The number of bytes that were put into the buffers.
    pub count: usize,
    /// The sender; `None` if the socket is connected.
    pub from: Option<Address>,
    /// True if the message was longer than the buffers; its rest is lost.
    pub truncated: bool,
    /// The descriptors that came with it, closed on exec.
    pub descriptors: Vec<Descriptor>,
    /// True if more descriptors came than were asked for; the others are closed.
    pub descriptors_truncated: bool,
}
