//! Writing to a file.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::sync::Arc;

use io_uring::opcode;
use iolite_io::backend::{PoolMemory, try_write};
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::fs::SeekFrom;
use rustix::io::{pwritev, retry_on_intr, writev};

use super::limits::COUNT_MAX;
use super::offset::{check_offset, kernel_offset};
use super::perform::{Performer, lacks_thread};
use super::wait::{run_or_wait, unless_ring};
use crate::sys;
use crate::sys::message::BUFFERS_MAX;

pub(super) fn perform(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffer: &[u8],
    memory: Option<&Arc<PoolMemory>>,
    offset: Option<u64>,
) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    if offset.is_none() {
        let attempt = || try_write(file, &[IoSlice::new(buffer)]);
        if let Some(count) = unless_ring(performer, file, Interest::Writable, attempt)? {
            return Ok(Output::Count(count));
        }
    }
    check_offset(file, offset, |offset| pwritev(file, &[], offset))?;
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    let before = position_before(file, offset);
    let position_asked = offset;
    let (file_number, start, offset) = (sys::fd(file), buffer.as_ptr(), kernel_offset(offset)?);
    let entry = match performer.registered(memory) {
        Some(slot) => opcode::WriteFixed::new(file_number, start, bytes, slot).offset(offset).build(),
        None => opcode::Write::new(file_number, start, bytes).offset(offset).build(),
    };
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = match unsafe { run_or_wait(performer, file, Interest::Writable, &entry) } {
        Err(error) if lacks_thread(&error) => call(performer, file, &[IoSlice::new(buffer)], position_asked)? as u64,
        result => result?.map_or(0, u64::from),
    };
    moved(file, before, count, u64::from(bytes))?;
    Ok(Output::Count(count as usize))
}

pub(super) fn perform_vectored(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffers: &[IoSlice<'_>],
    offset: Option<u64>,
) -> io::Result<Output> {
    let buffers = &buffers[..buffers.len().min(BUFFERS_MAX)];
    let bytes = buffers.iter().map(|buffer| buffer.len() as u64).sum();
    if bytes == 0 {
        return Ok(Output::Count(0));
    }
    if offset.is_none()
        && let Some(count) = unless_ring(performer, file, Interest::Writable, || try_write(file, buffers))?
    {
        return Ok(Output::Count(count));
    }
    check_offset(file, offset, |offset| pwritev(file, &[], offset))?;
    let before = position_before(file, offset);
    // `IoSlice` is an `iovec` in memory, by std's promise.
    let entry = opcode::Writev::new(sys::fd(file), buffers.as_ptr().cast(), buffers.len() as u32)
        .offset(kernel_offset(offset)?)
        .build();
    // SAFETY: the entry points to `buffers`, which is borrowed until it returns.
    let count = match unsafe { run_or_wait(performer, file, Interest::Writable, &entry) } {
        Err(error) if lacks_thread(&error) => call(performer, file, buffers, offset)? as u64,
        result => result?.map_or(0, u64::from),
    };
    moved(file, before, count, bytes)?;
    Ok(Output::Count(count as usize))
}

/// Writes on a thread, where the kernel has none.
fn call(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffers: &[IoSlice<'_>],
    offset: Option<u64>,
) -> io::Result<usize> {
    performer.call(|| {
        let write = || match offset {
            Some(offset) => pwritev(file, buffers, offset),
            None => writev(file, buffers),
        };
        Ok(retry_on_intr(write)?)
    })
}

/// The position that a write will move, if it does.
fn position_before(file: &Descriptor, offset: Option<u64>) -> Option<u64> {
    if offset.is_none() { position(file) } else { None }
}

/// Sees to it that a write has moved the position by what was written.
fn moved(file: &Descriptor, before: Option<u64>, count: u64, bytes: u64) -> io::Result<()> {
    let Some(before) = before.filter(|_| count < bytes) else { return Ok(()) };
    // The disk is full in the middle. Linux (6.18) tries the rest again, and when that fails as a
    // whole, it forgets to move the position by what was written.
    if position(file) == Some(before) {
        rustix::fs::seek(file, SeekFrom::Start(before + count))?;
    }
    Ok(())
}

/// The position of a file; `None` for what has none.
fn position(file: &Descriptor) -> Option<u64> {
    rustix::fs::tell(file).ok()
}
