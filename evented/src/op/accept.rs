//! Accepting a connection.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{opcode, types};
use iolite_io::backend::{AddressBuffer, is_ready};
use iolite_io::net::{Address, UnixAddress};
use iolite_io::{Descriptor, Interest, Output};

use super::perform::Performer;
use super::poll::{run_or_wait, wait};

pub(super) fn perform(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<Output> {
    let mut peer = AddressBuffer::new();
    let entry = opcode::Accept::new(types::Fd(listener.as_raw_fd()), peer.address(), peer.length())
        .flags(libc::SOCK_CLOEXEC)
        .build();
    let fd = loop {
        // SAFETY: the entry points into `peer`, which is there until it returns.
        match unsafe { run_or_wait(performer, listener, Interest::Readable, &entry) } {
            // The kernel looks for a free number first, also when there is nobody to accept.
            Err(error) if lacks_number(&error) && !is_ready(listener, Interest::Readable)? => {
                wait(performer, listener, Interest::Readable)?;
            }
            Ok(Some(fd)) => break fd,
            // What a call that waits says of a listener that was shut down.
            Ok(None) => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
            Err(error) => return Err(error),
        }
    };
    // SAFETY: a new descriptor that nobody else knows.
    let connection = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let peer = peer.get()?.unwrap_or(Address::Unix(UnixAddress::unnamed()));
    Ok(Output::Accepted(connection.into(), peer))
}

/// Whether the process, or the system, has no number left for another descriptor.
pub(super) fn lacks_number(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
