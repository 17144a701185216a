//! Making a connection.
#![allow(unsafe_code)]

use std::io;

use io_uring::opcode;
use iolite_io::backend::{begin_connect, finish_connect, kernel_address};
use iolite_io::net::Address;
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::io::Errno;

use super::limits::LOOK_AGAIN;
use super::perform::Performer;
use super::wait::{until_done, wait};
use crate::sys;

/// Connects an Internet socket.
pub(super) fn perform(performer: &Performer<'_>, socket: &Descriptor, address: &Address) -> io::Result<Output> {
    let address = kernel_address(address);
    let entry = opcode::Connect::new(sys::fd(socket), address.as_ptr().cast(), address.addr_len()).build();
    // SAFETY: the entry points to `address`, which lives until `run` returns.
    match unsafe { performer.run(&entry) } {
        // The socket is non-blocking, so the connection is being made without the ring.
        Err(error) if error.raw_os_error() == Some(sys::EINPROGRESS) => {
            wait(performer, socket, Interest::Writable)?;
            until_done(performer, socket, Interest::Writable, || finish_connect(socket))?;
        }
        result => _ = result?,
    }
    Ok(Output::Done)
}

/// Connects a Unix socket. In the ring, a worker of the kernel would wait for room in the listener's queue, and a
/// cancellation that arrives before that wait does not reach it (seen with Linux 6.18). Nothing can wait for that room,
/// so the attempt is repeated soon.
pub(super) fn perform_unix(performer: &Performer<'_>, socket: &Descriptor, address: &Address) -> io::Result<Output> {
    loop {
        match begin_connect(socket, address) {
            Ok(()) => return Ok(Output::Done),
            Err(Errno::AGAIN) => performer.pause(LOOK_AGAIN)?,
            Err(error) => return Err(error.into()),
        }
    }
}
