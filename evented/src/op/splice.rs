//! Moving bytes between descriptors.
//!
//! Between sockets and pipes the calling thread does it, without waiting: a thread of the kernel
//! would do it for an entry, always. For a disk that is the right thing. What is in memory of a file the calling thread
//! sends, too, and a thread of the runtime what is not.
#![allow(unsafe_code)]

use std::io;

use io_uring::opcode;
use io_uring::squeue::Entry;
use iolite_io::backend::{DiskWait, Rounds, Spliced, try_splice, yield_now};
use iolite_io::operation::{Descriptor, Output};

use super::limits::COUNT_MAX;
use super::perform::{Performer, lacks_thread};
use super::wait::{next_round, run_or_wait};
use crate::sys;

pub(super) fn perform(
    performer: &Performer<'_>,
    from: &Descriptor,
    from_offset: Option<u64>,
    to: &Descriptor,
    bytes: usize,
) -> io::Result<Output> {
    let mut rounds = Rounds::between(from, to);
    loop {
        let attempt = try_splice(from, from_offset, to, bytes, DiskWait::Refused);
        if attempt.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            performer.check()?;
            continue;
        }
        match attempt? {
            Spliced::Moved(count) => {
                // No wait has given the other fibers their turn.
                yield_now();
                return Ok(Output::Count(count));
            }
            Spliced::NotReady(_, interest) => {
                if !next_round(performer, &mut rounds, interest)? {
                    return Ok(Output::Count(0));
                }
            }
            Spliced::OnDisk(pipe, interest) => {
                let entry = entry(from, from_offset, to, bytes)?;
                // SAFETY: the entry points to nothing.
                match unsafe { run_or_wait(performer, pipe, interest, &entry) } {
                    Err(error) if lacks_thread(&error) => {}
                    result => return Ok(Output::Count(result?.unwrap_or(0) as usize)),
                }
                if let Some(count) = call(performer, from, from_offset, to, bytes, &mut rounds)? {
                    return Ok(Output::Count(count));
                }
            }
            Spliced::NotInMemory => {
                if let Some(count) = call(performer, from, from_offset, to, bytes, &mut rounds)? {
                    return Ok(Output::Count(count));
                }
            }
        }
    }
}

/// Attempts it on a thread, which may wait for the disk; `None` when it is to be attempted again.
fn call(
    performer: &Performer<'_>,
    from: &Descriptor,
    from_offset: Option<u64>,
    to: &Descriptor,
    bytes: usize,
    rounds: &mut Rounds<'_>,
) -> io::Result<Option<usize>> {
    let attempt = || {
        loop {
            match try_splice(from, from_offset, to, bytes, DiskWait::Allowed) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    };
    Ok(match performer.call(attempt)? {
        Spliced::Moved(count) => Some(count),
        Spliced::NotReady(_, interest) if !next_round(performer, rounds, interest)? => Some(0),
        Spliced::NotReady(..) | Spliced::OnDisk(..) | Spliced::NotInMemory => None,
    })
}

fn entry(from: &Descriptor, from_offset: Option<u64>, to: &Descriptor, bytes: usize) -> io::Result<Entry> {
    /// Stands for a file's own position, and for no position.
    const NONE: i64 = -1;
    let from_offset = from_offset.map_or(Ok(NONE), i64::try_from);
    let from_offset = from_offset.map_err(|_| io::Error::from_raw_os_error(sys::EINVAL))?;
    let bytes = bytes.min(COUNT_MAX) as u32;
    let (from, to) = (sys::fd(from), sys::fd(to));
    Ok(opcode::Splice::new(from, from_offset, to, NONE, bytes).flags(sys::SPLICE_F_NONBLOCK).build())
}
