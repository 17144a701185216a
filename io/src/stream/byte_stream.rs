//! Streams of bytes, and their adapters to std's traits.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;

use super::loops::write_all;
use crate::Io;
use crate::descriptor::Descriptor;

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
    /// A cancellation point. The error says how many bytes had been written.
    ///
    /// # Errors
    ///
    /// The handle's. An error after the first byte carries an [`Incomplete`](crate::Incomplete).
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
