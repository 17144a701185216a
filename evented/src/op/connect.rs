//! Making a connection.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::backend::{kernel_address, take_socket_error};
use iolite_io::net::Address;
use iolite_io::{Descriptor, Output};

use super::perform::Performer;
use super::poll::wait;

pub(super) fn perform(performer: &Performer<'_>, socket: &Descriptor, address: &Address) -> io::Result<Output> {
    let address = kernel_address(address);
    let entry =
        opcode::Connect::new(types::Fd(socket.as_raw_fd()), address.as_ptr().cast(), address.addr_len()).build();
    // SAFETY: the entry points to `address`, which is there until it returns.
    match unsafe { performer.run(&entry) } {
        // It is non-blocking: it goes on by itself.
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            wait(performer, socket, libc::POLLOUT)?;
            take_socket_error(socket)?;
        }
        result => _ = result?,
    }
    Ok(Output::Done)
}
