//! Reading and writing until all is done: the loops that std's helpers cannot do.

use std::io;

use crate::Io;
use crate::incomplete::Incomplete;

fn incomplete(count: usize, error: io::Error) -> io::Error {
    Incomplete::error(count, Vec::new(), error)
}

/// Reads until `buffer` is full. Without a read it is a cancellation point by itself.
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

/// As `read_to_end`, where `more` may know how much is to be expected.
pub(crate) fn read_all(
    bytes: &mut Vec<u8>,
    mut more: ReadMore,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let before = bytes.len();
    while more.read(bytes, &mut read)? > 0 {}
    Ok(bytes.len() - before)
}

/// Reads to the end and appends to `text` what is text, up to the first byte that is not; an error has the rest.
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

/// Reads on at the end of a vector. What is read into has to be initialized, so the steps are as small as what comes:
/// they double when one was filled, as std's do.
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
    /// Where about so many bytes are expected.
    pub(crate) fn expecting(bytes: usize) -> Self {
        Self { step: bytes.clamp(STEP_MIN, STEP_MAX) }
    }

    /// Reads once and appends to `bytes`. Room that these have already is used before more is made.
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

/// As `resize`, which goes byte by byte without optimization.
fn append_zeros(bytes: &mut Vec<u8>, mut count: usize) {
    const ZEROS: [u8; STEP_MIN] = [0; STEP_MIN];
    while count > 0 {
        let now = count.min(STEP_MIN);
        bytes.extend_from_slice(&ZEROS[..now]);
        count -= now;
    }
}

/// Writes all of `buffer`. Without a write it is a cancellation point by itself.
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
