//! The answers to operations.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::Address;
use super::program::Spawned;
use super::socket::Received;
use super::socket_option::OptionValue;
use crate::descriptor::Descriptor;

/// The answer to an [`Operation`](crate::operation::Operation).
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// The operation has been performed.
    Done,
    /// A number, of bytes unless the operation says otherwise.
    Count(usize),
    /// A new socket or file.
    Opened(Descriptor),
    /// Two new sockets.
    OpenedPair(Descriptor, Descriptor),
    /// A connection, and the address of its peer.
    Accepted(Descriptor, Address),
    /// A message, with its sender and its descriptors.
    Received(Received),
    /// An address.
    Address(Address),
    /// The addresses of a host, in the order in which to try them.
    Addresses(Vec<SocketAddr>),
    /// The value of an option.
    Option(OptionValue),
    /// A position, in bytes.
    Position(u64),
    /// A path.
    Path(PathBuf),
    /// A program that was started.
    Spawned(Box<Spawned>),
}

/// Makes the error for an `Io` that answered an operation with the answer to another one.
#[cold]
fn wrong(output: &Output) -> io::Error {
    io::Error::other(format!("the Io answered an operation with {output:?}, which does not fit the operation"))
}

impl Output {
    pub(crate) fn done(self) -> io::Result<()> {
        match self {
            Output::Done => Ok(()),
            other => Err(wrong(&other)),
        }
    }

    /// Returns the count, checked: `Io` is a safe trait, and no caller may see a count past its buffer.
    pub(crate) fn count(self, available: usize) -> io::Result<usize> {
        match self {
            Output::Count(count) if count <= available => Ok(count),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn opened(self) -> io::Result<Descriptor> {
        match self {
            Output::Opened(descriptor) => Ok(descriptor),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn opened_pair(self) -> io::Result<(Descriptor, Descriptor)> {
        match self {
            Output::OpenedPair(one, other) => Ok((one, other)),
            other => Err(wrong(&other)),
        }
    }

    /// Returns the received message, with its count checked as in [`count`](Self::count).
    pub(crate) fn received(self, available: usize) -> io::Result<Received> {
        match self {
            Output::Received(received) if received.count <= available => Ok(received),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn accepted(self) -> io::Result<(Descriptor, Address)> {
        match self {
            Output::Accepted(descriptor, address) => Ok((descriptor, address)),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn address(self) -> io::Result<Address> {
        match self {
            Output::Address(address) => Ok(address),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn addresses(self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Output::Addresses(addresses) => Ok(addresses),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn option(self) -> io::Result<OptionValue> {
        match self {
            Output::Option(option) => Ok(option),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn spawned(self) -> io::Result<Spawned> {
        match self {
            Output::Spawned(spawned) => Ok(*spawned),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn position(self) -> io::Result<u64> {
        match self {
            Output::Position(position) => Ok(position),
            other => Err(wrong(&other)),
        }
    }

    pub(crate) fn path(self) -> io::Result<PathBuf> {
        match self {
            Output::Path(path) => Ok(path),
            other => Err(wrong(&other)),
        }
    }
}
