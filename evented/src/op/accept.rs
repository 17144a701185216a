//! Accepting a connection.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{opcode, types};
use iolite_io::backend::AddressBuffer;
use iolite_io::net::{Address, UnixAddress};
use iolite_io::{Descriptor, Output};

use super::perform::Performer;
use super::poll::run_or_wait;

pub(super) fn perform(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<Output> {
    let mut peer = AddressBuffer::new();
    let entry = opcode::Accept::new(types::Fd(listener.as_raw_fd()), peer.address(), peer.length())
        .flags(libc::SOCK_CLOEXEC)
        .build();
    // SAFETY: the entry points into `peer`, which is there until it returns.
    let fd = unsafe { run_or_wait(performer, listener, libc::POLLIN, &entry) }?;
    // SAFETY: a new descriptor that nobody else knows.
    let connection = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let peer = peer.get()?.unwrap_or(Address::Unix(UnixAddress::unnamed()));
    Ok(Output::Accepted(connection.into(), peer))
}
