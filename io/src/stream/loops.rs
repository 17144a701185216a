//! Loops that read or write everything, and report their progress, which std's helpers do not.

use std::io;

use crate::Io;
use crate::incomplete::Incomplete;

fn incomplete(count: usize, error: io::Error) -> io::Error {
    Incomplete::error(count, Vec::new(), error)
}

/// Reads until `buffer` is full. If it needs no read, it is a bare cancellation point.
pub(crate) fn read_exact(
    io: &dyn Io,
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    if buffer.is_empty() {
        return Ok(io.check_cancel()?);
    }
    let mut count = 0;
    while count < buffer.len() {
        match read(&mut buffer[count..]) {
            Ok(0) => return Err(incomplete(count, io::ErrorKind::UnexpectedEof.into())),
            Ok(more) => count += more,
            Err(error) => return Err(incomplete(count, error)),
        }
    }
    Ok(())
}

pub(crate) fn read_to_end(bytes: &mut Vec<u8>, read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
    read_all(bytes, ReadMore::default(), read)
}

/// Reads to the end like `read_to_end`; `more` may know how many bytes to expect.
pub(crate) fn read_all(
    bytes: &mut Vec<u8>,
    mut more: ReadMore,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let before = bytes.len();
    while more.read(bytes, &mut read)? > 0 {}
    Ok(bytes.len() - before)
}

/// Reads to the end and appends to `text` everything up to the first byte that is not valid UTF-8; the error holds the
/// rest.
pub(crate) fn read_to_string(text: &mut String, read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
    let mut bytes = Vec::new();
    let ended = read_to_end(&mut bytes, read);
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    text.push_str(valid);
    let rest = &bytes[valid.len()..];
    match ended {
        Ok(_) if rest.is_empty() => Ok(valid.len()),
        Ok(_) => Err(Incomplete::error(
            valid.len(),
            rest.to_vec(),
            io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"),
        )),
        Err(error) => Err(Incomplete::error(valid.len(), rest.to_vec(), error)),
    }
}

/// Reads at the end of a vector. The memory has to be initialized before a read, so the steps are as small as the
/// reads: like those of std, they double when one was filled.
#[derive(Debug)]
pub(crate) struct ReadMore {
    step: usize,
}

const STEP_MIN: usize = 8 << 10;
const STEP_MAX: usize = 1 << 20;

impl Default for ReadMore {
    fn default() -> Self {
        Self { step: STEP_MIN }
    }
}

impl ReadMore {
    /// Expects about `bytes` bytes.
    pub(crate) fn expecting(bytes: usize) -> Self {
        Self { step: bytes.clamp(STEP_MIN, STEP_MAX) }
    }

    /// Reads once and appends to `bytes`. Uses the spare capacity of `bytes` before it grows.
    pub(crate) fn read(
        &mut self,
        bytes: &mut Vec<u8>,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let filled = bytes.len();
        if bytes.capacity() == filled {
            bytes.try_reserve(self.step)?;
        }
        let step = self.step.min(bytes.capacity() - filled);
        append_zeros(bytes, step);
        let read = read(&mut bytes[filled..]);
        let count = *read.as_ref().unwrap_or(&0);
        bytes.truncate(filled + count);
        if count == self.step {
            self.step = (self.step * 2).min(STEP_MAX);
        }
        read
    }
}

/// Does the same as `resize`, which goes byte by byte without optimization.
fn append_zeros(bytes: &mut Vec<u8>, mut count: usize) {
    const ZEROS: [u8; STEP_MIN] = [0; STEP_MIN];
    while count > 0 {
        let now = count.min(STEP_MIN);
        bytes.extend_from_slice(&ZEROS[..now]);
        count -= now;
    }
}

/// Writes all of `buffer`. If it needs no write, it is a bare cancellation point.
pub(crate) fn write_all(
    io: &dyn Io,
    buffer: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    if buffer.is_empty() {
        return Ok(io.check_cancel()?);
    }
    let mut count = 0;
    while count < buffer.len() {
        match write(&buffer[count..]) {
            Ok(0) => return Err(incomplete(count, io::ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) => return Err(incomplete(count, error)),
        }
    }
    Ok(())
}
