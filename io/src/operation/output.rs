//! What answers an operation.

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
    /// It is done.
    Done,
    /// That many bytes.
    Count(usize),
    /// A new socket or file.
    Opened(Descriptor),
    /// Two new sockets.
    OpenedPair(Descriptor, Descriptor),
    /// A connection, and whose.
    Accepted(Descriptor, Address),
    /// A message, and what came with it.
    Received(Received),
    /// An address.
    Address(Address),
    /// What a name stands for, in the order in which to try.
    Addresses(Vec<SocketAddr>),
    /// The value of an option.
    Option(OptionValue),
    /// A position, in bytes.
    Position(u64),
    /// A path.
    Path(PathBuf),
    /// A program that runs.
    Spawned(Box<Spawned>),
}

/// An `Io` answered an operation with something that is no answer to it.
#[cold]
fn wrong(output: &Output) -> io::Error {
    io::Error::other(format!("the Io answered an operation with {output:?}, which is no answer to it"))
}

impl Output {
    pub(crate) fn done(self) -> io::Result<()> {
        match self {
            Output::Done => Ok(()),
            other => Err(wrong(&other)),
        }
    }

    /// The count, checked: `Io` is a safe trait, and a count past the buffer must not reach anyone.
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

    /// What was received, with its count checked as in [`count`](Self::count).
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
