//! Closing a descriptor.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use io_uring::{opcode, types};
use iolite_io::backend::close;
use iolite_io::{
    error::ShutDown,
    operation::{Descriptor, Output},
};

use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, descriptor: Descriptor) -> io::Result<Output> {
    let fd = OwnedFd::from(descriptor).into_raw_fd();
    let entry = opcode::Close::new(types::Fd(fd)).build();
    // SAFETY: the entry points to nothing, and no other code owns the descriptor.
    match unsafe { performer.run_to_completion(&entry) } {
        // The runtime has shut down, so the operation did not run, and the descriptor is closed without it.
        Err(error) if error.get_ref().is_some_and(|source| source.is::<ShutDown>()) => {
            // SAFETY: it is still open, and belongs to this call.
            close(unsafe { OwnedFd::from_raw_fd(fd) }.into()).map(|()| Output::Done)
        }
        result => result.map(|_| Output::Done),
    }
}
