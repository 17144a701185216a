//! Accepting a connection.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::opcode;
use iolite_io::backend::{AddressBuffer, accept, is_ready, lacks_descriptor};
use iolite_io::net::{Address, UnixAddress};
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::perform::Performer;
use super::wait::{until_done, wait};
use crate::sys;

pub(super) fn perform(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<Output> {
    // The kernel's answer about the mode stays true until somebody changes the mode, and nobody does: a listener of
    // this library is non-blocking from its beginning.
    let accepted = if fcntl_getfl(listener)?.contains(OFlags::NONBLOCK) {
        performer.check_open()?;
        // This happens on the calling thread. A ring does no more than one attempt on a non-blocking listener, and
        // handles it once in a turn, so each client of a busy server would wait for a turn.
        until_accepted(performer, listener, || accept(listener))?
    } else {
        until_accepted(performer, listener, || accept_in_ring(performer, listener))?
    };
    // A waiting call returns this error for a listener that was shut down.
    Ok(accepted.ok_or(Errno::INVAL)?)
}

/// Repeats the attempt until a connection was accepted. The kernel looks for a free descriptor number first, even if
/// there is no connection: a process without a free number waits for a connection nevertheless.
fn until_accepted(
    performer: &Performer<'_>,
    listener: &Descriptor,
    mut attempt: impl FnMut() -> io::Result<Output>,
) -> io::Result<Option<Output>> {
    loop {
        match until_done(performer, listener, Interest::Readable, &mut attempt) {
            Err(error) if lacks_descriptor(&error) && !is_ready(listener, Interest::Readable)? => {
                wait(performer, listener, Interest::Readable)?;
            }
            result => return result,
        }
    }
}

/// Accepts a connection, and waits if the listener is in blocking mode.
fn accept_in_ring(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<Output> {
    let mut peer = AddressBuffer::new();
    let entry = opcode::Accept::new(sys::fd(listener), peer.address(), peer.length())
        .flags(SocketFlags::CLOEXEC.bits() as i32)
        .build();
    // SAFETY: the entry points into `peer`, which lives until `run` returns.
    let fd = unsafe { performer.run(&entry) }?;
    // SAFETY: it is a new descriptor that no other code knows.
    let connection = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Ok(Output::Accepted(connection.into(), peer.get()?.unwrap_or(Address::Unix(UnixAddress::unnamed()))))
}
