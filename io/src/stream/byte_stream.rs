//! Byte streams and their adapters to std's traits.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;

use super::loops::write_all;
use crate::Io;
use crate::descriptor::Descriptor;

/// A handle that reads and writes a byte stream.
pub trait ByteStream {
    /// Reads the available bytes and returns their number.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the handle.
    fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads into several buffers, like `read`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the handle.
    fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// Writes some of `buffer` and returns the number of bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the handle.
    fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize>;

    /// Writes from several buffers, like `write`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of the handle.
    fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes all of `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been written.
    ///
    /// # Errors
    ///
    /// The errors of the handle. An error after the first byte carries an [`Incomplete`](crate::Incomplete).
    fn write_all(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<()> {
        write_all(io, buffer, |buffer| self.write(io, buffer))
    }

    /// Returns the descriptor of a handle whose reads and writes are exactly those of the descriptor;
    /// [`copy`](crate::copy()) may then leave the work to the kernel.
    fn descriptor(&self) -> Option<&Descriptor> {
        None
    }
}

/// A borrowed stream together with its `Io`, as a [`Read`], [`Write`] and, for files, [`Seek`](std::io::Seek).
///
/// Nothing is buffered: each call is an operation, and so is each piece of a `write!`. Put a
/// [`BufReader`](std::io::BufReader) or a [`BufWriter`](std::io::BufWriter) around it if calls are many and small.
///
/// std's own helpers (`read_to_end`, `copy`) do not report their progress when they are canceled. After
/// [`Canceled`](crate::Canceled), such a stream can only be closed.
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

/// An owned stream together with its `Io`, as a [`Read`], [`Write`] and, for files, [`Seek`](std::io::Seek);
/// unbuffered, like [`BoundStream`].
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

    /// Returns the stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream and drops the `Io`.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// Implements std's traits in the same way for both adapters.
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
