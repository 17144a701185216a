//! Streams as std's traits, and the loops that std's helpers cannot do.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;

use crate::Io;
use crate::descriptor::Descriptor;
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

/// A handle that reads and writes a stream of bytes.
pub trait ByteStream {
    /// Reads what is there.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The handle's.
    fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize>;

    /// As `read`, into several buffers.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The handle's.
    fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// Writes some of `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The handle's.
    fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize>;

    /// As `write`, from several buffers.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The handle's.
    fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes all of `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the error tells how many bytes had been written.
    ///
    /// # Errors
    ///
    /// The handle's. An error after the first byte carries an [`Incomplete`].
    fn write_all(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<()> {
        write_all(io, buffer, |buffer| self.write(io, buffer))
    }

    /// The descriptor, where reading and writing the handle means to read and write that and nothing
    /// more: [`copy`](crate::copy()) may then leave the work to the kernel.
    fn descriptor(&self) -> Option<&Descriptor> {
        None
    }
}

/// A borrowed stream and the `Io` it goes through, as [`Read`], [`Write`] and, for files, [`Seek`](std::io::Seek).
///
/// Nothing is buffered: each call is an operation, also each piece of a `write!`. Put a
/// [`BufReader`](std::io::BufReader) or a [`BufWriter`](std::io::BufWriter) around it where calls are many and small.
///
/// std's own helpers (`read_to_end`, `copy`) do not report how far they came when they are
/// canceled: after [`Canceled`](crate::Canceled) such a stream is for closing.
#[derive(Debug)]
pub struct BoundStream<'a, S> {
    stream: &'a S,
    io: &'a (dyn Io + 'a),
}

impl<'a, S> BoundStream<'a, S> {
    pub(crate) fn new(stream: &'a S, io: &'a (dyn Io + 'a)) -> Self {
        Self { stream, io }
    }

    pub(crate) fn parts(&self) -> (&S, &dyn Io) {
        (self.stream, self.io)
    }
}

impl<S> Clone for BoundStream<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for BoundStream<'_, S> {}

/// An owned stream and the `Io` it goes through, as [`Read`], [`Write`] and, for files, [`Seek`](std::io::Seek); unbuffered, as [`BoundStream`].
#[derive(Debug)]
pub struct OwnedStream<S> {
    stream: S,
    io: Arc<dyn Io>,
}

impl<S> OwnedStream<S> {
    pub(crate) fn new(stream: S, io: Arc<dyn Io>) -> Self {
        Self { stream, io }
    }

    pub(crate) fn parts(&self) -> (&S, &dyn Io) {
        (&self.stream, &*self.io)
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream, by itself again.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// Both adapters read and write alike.
macro_rules! std_traits {
    ($(($($generics:tt)*) $adapter:ty;)*) => {$(
        impl<$($generics)* S: ByteStream> Read for $adapter {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream.read(&*self.io, buffer)
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream.read_vectored(&*self.io, buffers)
            }
        }

        impl<$($generics)* S: ByteStream> Write for $adapter {
            fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
                self.stream.write(&*self.io, buffer)
            }

            fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream.write_vectored(&*self.io, buffers)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

std_traits! {
    ('a,) BoundStream<'a, S>;
    () OwnedStream<S>;
}
