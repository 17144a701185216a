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
    // What the kernel says of its mode holds until somebody changes it, which nobody does meanwhile: a listener of this
    // library is non-blocking from its beginning.
    let accepted = if fcntl_getfl(listener)?.contains(OFlags::NONBLOCK) {
        performer.check_open()?;
        // On the calling thread: a ring tries no more than that where a listener is non-blocking, and comes to it once in a
        // turn, so that those who connect to a busy server would wait for a turn each.
        until_accepted(performer, listener, || accept(listener))?
    } else {
        until_accepted(performer, listener, || accept_in_ring(performer, listener))?
    };
    // What a call that waits says of a listener that was shut down.
    Ok(accepted.ok_or(Errno::INVAL)?)
}

/// Attempts until a connection was accepted. The kernel looks for a free number first, also when there is nobody to accept:
/// a process that has none waits for a connection nevertheless.
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

/// Accepts, waiting where the listener's mode says so.
fn accept_in_ring(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<Output> {
    let mut peer = AddressBuffer::new();
    let entry = opcode::Accept::new(sys::fd(listener), peer.address(), peer.length())
        .flags(SocketFlags::CLOEXEC.bits() as i32)
        .build();
    // SAFETY: the entry points into `peer`, which is there until it returns.
    let fd = unsafe { performer.run(&entry) }?;
    // SAFETY: a new descriptor that nobody else knows.
    let connection = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Ok(Output::Accepted(connection.into(), peer.get()?.unwrap_or(Address::Unix(UnixAddress::unnamed()))))
}
