//! Making a connection.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use iolite_io::Output;
use iolite_io::backend::new_stream_socket;
use rustix::net::addr::SocketAddrArg;

use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, address: SocketAddr) -> io::Result<Output> {
    let socket = new_stream_socket(&address)?;
    let address = address.as_any();
    let entry =
        opcode::Connect::new(types::Fd(socket.as_raw_fd()), address.as_ptr().cast(), address.addr_len()).build();
    // SAFETY: the entry points to `address`, which is there until it returns.
    unsafe { performer.run(&entry) }?;
    Ok(Output::Opened(socket))
}
