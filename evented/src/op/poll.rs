//! Waiting until a descriptor is ready.

use std::io;

use iolite_io::backend::expect_ready;
use iolite_io::operation::{Descriptor, Interest, Output};

use super::perform::Performer;
use super::wait::{until_done, wait};

pub(super) fn perform(performer: &Performer<'_>, descriptor: &Descriptor, interest: Interest) -> io::Result<Output> {
    match interest {
        Interest::Readable | Interest::Writable => wait(performer, descriptor, interest)?,
        // A poll also ends if the descriptor has a pending error.
        Interest::HungUp => {
            until_done(performer, descriptor, interest, || expect_ready(descriptor, interest))?;
        }
    }
    Ok(Output::Done)
}
