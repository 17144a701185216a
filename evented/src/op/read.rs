//! Reading from a file.
#![allow(unsafe_code)]

use std::io::{self, IoSliceMut};
use std::sync::Arc;

use io_uring::opcode;
use iolite_io::backend::{PoolMemory, try_read};
use iolite_io::operation::{Descriptor, Interest, Output};
use rustix::io::{preadv, readv, retry_on_intr};

use super::limits::COUNT_MAX;
use super::offset::{check_offset, kernel_offset};
use super::perform::{Performer, lacks_thread};
use super::wait::{run_or_wait, unless_ring};
use crate::sys;
use crate::sys::message::BUFFERS_MAX;

pub(super) fn perform(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffer: &mut [u8],
    memory: Option<&Arc<PoolMemory>>,
    offset: Option<u64>,
) -> io::Result<Output> {
    if buffer.is_empty() {
        return Ok(Output::Count(0));
    }
    if offset.is_none() {
        let attempt = || try_read(file, &mut [IoSliceMut::new(buffer)]);
        if let Some(count) = unless_ring(performer, file, Interest::Readable, attempt)? {
            return Ok(Output::Count(count));
        }
    }
    check_offset(file, offset, |offset| preadv(file, &mut [], offset))?;
    let bytes = buffer.len().min(COUNT_MAX) as u32;
    let position = offset;
    let (file_number, start, offset) = (sys::fd(file), buffer.as_mut_ptr(), kernel_offset(offset)?);
    let entry = match performer.registered(memory) {
        Some(slot) => opcode::ReadFixed::new(file_number, start, bytes, slot).offset(offset).build(),
        None => opcode::Read::new(file_number, start, bytes).offset(offset).build(),
    };
    // SAFETY: the entry points into `buffer`, which is borrowed until it returns.
    let count = match unsafe { run_or_wait(performer, file, Interest::Readable, &entry) } {
        Err(error) if lacks_thread(&error) => call(performer, file, &mut [IoSliceMut::new(buffer)], position)?,
        result => result?.map_or(0, |count| count as usize),
    };
    Ok(Output::Count(count))
}

pub(super) fn perform_vectored(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffers: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
) -> io::Result<Output> {
    if buffers.iter().all(|buffer| buffer.is_empty()) {
        return Ok(Output::Count(0));
    }
    let count = buffers.len().min(BUFFERS_MAX);
    let buffers = &mut buffers[..count];
    if offset.is_none()
        && let Some(count) = unless_ring(performer, file, Interest::Readable, || try_read(file, buffers))?
    {
        return Ok(Output::Count(count));
    }
    check_offset(file, offset, |offset| preadv(file, &mut [], offset))?;
    // `IoSliceMut` is an `iovec` in memory, by std's promise.
    let entry = opcode::Readv::new(sys::fd(file), buffers.as_mut_ptr().cast(), count as u32)
        .offset(kernel_offset(offset)?)
        .build();
    // SAFETY: the entry points to `buffers`, which is borrowed until it returns.
    let count = match unsafe { run_or_wait(performer, file, Interest::Readable, &entry) } {
        Err(error) if lacks_thread(&error) => call(performer, file, buffers, offset)?,
        result => result?.map_or(0, |count| count as usize),
    };
    Ok(Output::Count(count))
}

/// Reads on a thread, where the kernel has none.
fn call(
    performer: &Performer<'_>,
    file: &Descriptor,
    buffers: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
) -> io::Result<usize> {
    performer.call(|| {
        let mut read = || match offset {
            Some(offset) => preadv(file, buffers, offset),
            None => readv(file, buffers),
        };
        Ok(retry_on_intr(&mut read)?)
    })
}
