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

/// Of an Internet socket.
pub(super) fn perform(performer: &Performer<'_>, socket: &Descriptor, address: &Address) -> io::Result<Output> {
    let address = kernel_address(address);
    let entry = opcode::Connect::new(sys::fd(socket), address.as_ptr().cast(), address.addr_len()).build();
    // SAFETY: the entry points to `address`, which is there until it returns.
    match unsafe { performer.run(&entry) } {
        // It is non-blocking: it goes on by itself.
        Err(error) if error.raw_os_error() == Some(sys::EINPROGRESS) => {
            wait(performer, socket, Interest::Writable)?;
            until_done(performer, socket, Interest::Writable, || finish_connect(socket))?;
        }
        result => _ = result?,
    }
    Ok(Output::Done)
}

/// Of a Unix socket. The ring would leave a worker of the kernel waiting for room in the listener's queue, which a
/// cancellation that comes before that wait does not reach (seen with Linux 6.18); and nothing can wait for
/// that room, so it is looked for again soon.
pub(super) fn perform_unix(performer: &Performer<'_>, socket: &Descriptor, address: &Address) -> io::Result<Output> {
    loop {
        match begin_connect(socket, address) {
            Ok(()) => return Ok(Output::Done),
            Err(Errno::AGAIN) => performer.pause(LOOK_AGAIN)?,
            Err(error) => return Err(error.into()),
        }
    }
}
