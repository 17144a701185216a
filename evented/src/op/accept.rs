//! Accepting a connection.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{opcode, types};
use iolite_io::backend::{AddressBuffer, address_from_kernel, is_ready};
use iolite_io::net::{Address, UnixAddress};
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

use super::perform::Performer;
use super::wait::{until_done, wait};

pub(super) fn perform(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<Output> {
    // What the kernel says of its mode holds until somebody changes it, which nobody does meanwhile: a listener of this
    // library is non-blocking from its beginning.
    let accepted = if fcntl_getfl(listener)?.contains(OFlags::NONBLOCK) {
        performer.check_open()?;
        until_accepted(performer, listener, || try_accept(listener))?
    } else {
        until_accepted(performer, listener, || accept_in_ring(performer, listener))?
    };
    // What a call that waits says of a listener that was shut down.
    let (connection, peer) = accepted.ok_or(Errno::INVAL)?;
    Ok(Output::Accepted(connection.into(), peer.unwrap_or(Address::Unix(UnixAddress::unnamed()))))
}

/// Attempts until somebody was accepted. The kernel looks for a free number first, also when there is nobody to accept:
/// who has none waits for somebody nevertheless.
fn until_accepted(
    performer: &Performer<'_>,
    listener: &Descriptor,
    mut attempt: impl FnMut() -> io::Result<(OwnedFd, Option<Address>)>,
) -> io::Result<Option<(OwnedFd, Option<Address>)>> {
    loop {
        match until_done(performer, listener, Interest::Readable, &mut attempt) {
            Err(error) if lacks_number(&error) && !is_ready(listener, Interest::Readable)? => {
                wait(performer, listener, Interest::Readable)?;
            }
            result => return result,
        }
    }
}

/// Accepts who waits already. On the calling thread: a ring tries no more than that where a listener is non-blocking, and
/// comes to it once in a turn, so that those who connect to a busy server would wait for a turn each.
fn try_accept(listener: &Descriptor) -> io::Result<(OwnedFd, Option<Address>)> {
    let (connection, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC)?;
    Ok((connection, peer.map(address_from_kernel).transpose()?))
}

/// Accepts, waiting where the listener's mode says so.
fn accept_in_ring(performer: &Performer<'_>, listener: &Descriptor) -> io::Result<(OwnedFd, Option<Address>)> {
    let mut peer = AddressBuffer::new();
    let entry = opcode::Accept::new(types::Fd(listener.as_raw_fd()), peer.address(), peer.length())
        .flags(libc::SOCK_CLOEXEC)
        .build();
    // SAFETY: the entry points into `peer`, which is there until it returns.
    let fd = unsafe { performer.run(&entry) }?;
    // SAFETY: a new descriptor that nobody else knows.
    let connection = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Ok((connection, peer.get()?))
}

/// Whether the process, or the system, has no number left for another descriptor.
pub(super) fn lacks_number(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
