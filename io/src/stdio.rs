//! Standard input, output and error, and pipes: streams of bytes that flow one way.
//!
//! ```no_run
//! use std::io::{BufRead, BufReader};
//! use iolite_io::{Io, stdio};
//!
//! /// Repeats every line that is typed, while other tasks run.
//! fn repeat(io: &dyn Io) -> std::io::Result<()> {
//!     for line in BufReader::new(stdio::stdin().with(io)).lines() {
//!         stdio::stdout().write_all(io, format!("{}\n", line?).as_bytes())?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The standard streams are unbuffered and take no locks. They are independent of std's own, which keep bytes in
//! buffers: read through one of the two only. `println!` blocks its thread, and every fiber on it, until the reader has
//! made room.
//!
//! Other processes may share the files behind these streams. So their mode (`O_NONBLOCK`) is never changed. On
//! `evented`, a terminal is opened a second time instead, because it offers no other way to read and write without
//! waiting.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FileType, fstat};

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::Operation;
use crate::stream::{self, BoundStream, ByteStream, OwnedStream};

/// A stream to read from: standard input, the read end of a pipe, the output of a child process.
#[derive(Debug)]
pub struct InputStream(Descriptor);

/// A stream to write to: standard output and error, the write end of a pipe, the input of a child process.
#[derive(Debug)]
pub struct OutputStream(Descriptor);

/// Returns the standard input of this process.
pub fn stdin() -> &'static InputStream {
    static STDIN: OnceLock<InputStream> = OnceLock::new();
    STDIN.get_or_init(|| InputStream(standard(0)))
}

/// Returns the standard output of this process.
pub fn stdout() -> &'static OutputStream {
    static STDOUT: OnceLock<OutputStream> = OnceLock::new();
    STDOUT.get_or_init(|| OutputStream(standard(1)))
}

/// Returns the standard error of this process.
pub fn stderr() -> &'static OutputStream {
    static STDERR: OnceLock<OutputStream> = OnceLock::new();
    STDERR.get_or_init(|| OutputStream(standard(2)))
}

/// Makes a stream for a static, which is never dropped.
fn standard(number: RawFd) -> Descriptor {
    // SAFETY: the number is open: before `main`, std opens those of the three that are closed, and it lends them to
    // everyone for ever (`std::io::Stdout` is `AsFd` for any lifetime), so that code which closes one breaks std's
    // rules first. It is not owned in the sense that it would be closed twice: the value goes into a static, which is
    // never dropped.
    unsafe { OwnedFd::from_raw_fd(number) }.into()
}

/// Makes a pipe: bytes that are written to one end are read from the other. Both ends are closed on exec.
///
/// # Errors
///
/// Returns an error if no descriptors are left.
pub fn pipe() -> io::Result<(InputStream, OutputStream)> {
    let (input, output) = io::pipe()?;
    Ok((OwnedFd::from(input).into(), OwnedFd::from(output).into()))
}

impl InputStream {
    /// Reads the available bytes, at least one, and returns their number; 0 at the end.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a canceled call has read nothing.
    ///
    /// # Errors
    ///
    /// The errors of `read`.
    pub fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        ByteStream::read(self, io, buffer)
    }

    /// Fills `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been read.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the stream ends first; the errors of `read`. An error after the first byte
    /// carries an [`Incomplete`](crate::Incomplete).
    pub fn read_exact(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<()> {
        stream::read_exact(io, buffer, |buffer| self.read(io, buffer))
    }

    /// Reads to the end, appends the bytes to `bytes`, and returns their number.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The bytes that were read before it are in `bytes`.
    ///
    /// # Errors
    ///
    /// The errors of `read`.
    pub fn read_to_end(&self, io: &dyn Io, bytes: &mut Vec<u8>) -> io::Result<usize> {
        stream::read_to_end(bytes, |buffer| self.read(io, buffer))
    }
}

impl OutputStream {
    /// Writes some of `buffer`, and returns the number of bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were written are still reported.
    ///
    /// # Errors
    ///
    /// The errors of `write`: [`io::ErrorKind::BrokenPipe`] if there is no reader any more.
    pub fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        ByteStream::write(self, io, buffer)
    }

    /// Writes all of `buffer`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been written.
    ///
    /// # Errors
    ///
    /// The errors of [`write`](Self::write). An error after the first byte carries an
    /// [`Incomplete`](crate::Incomplete).
    pub fn write_all(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<()> {
        ByteStream::write_all(self, io, buffer)
    }
}

/// Implements the methods that both ends have. Reading from an end for writing fails with the error of the system.
macro_rules! end {
    ($end:ident) => {
        impl $end {
            /// Returns the stream as a [`std::io::Read`] and [`std::io::Write`].
            pub fn with<'a>(&'a self, io: &'a dyn Io) -> BoundStream<'a, Self> {
                BoundStream::new(self, io)
            }

            /// Converts the stream like [`with`](Self::with), but owns it and keeps the `Io`.
            pub fn into_with(self, io: Arc<dyn Io>) -> OwnedStream<Self> {
                OwnedStream::new(self, io)
            }
        }

        impl ByteStream for $end {
            fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
                let available = buffer.len();
                io.operate(Operation::Read { file: &self.0, buffer, memory: None, offset: None })?.count(available)
            }

            fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
                first.map_or(Ok(0), |buffer| ByteStream::read(self, io, buffer))
            }

            fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
                io.operate(Operation::Write { file: &self.0, buffer, memory: None, offset: None })?.count(buffer.len())
            }

            fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                first.map_or(Ok(0), |buffer| ByteStream::write(self, io, buffer))
            }

            /// Returns the descriptor of pipes only. Moving bytes to and from a socket would change its mode, which
            /// other processes may share.
            fn descriptor(&self) -> Option<&Descriptor> {
                let mode = fstat(&self.0).ok()?.st_mode;
                (FileType::from_raw_mode(mode) == FileType::Fifo).then_some(&self.0)
            }
        }

        impl From<Descriptor> for $end {
            fn from(descriptor: Descriptor) -> Self {
                Self(descriptor)
            }
        }

        impl From<$end> for Descriptor {
            fn from(end: $end) -> Self {
                end.0
            }
        }

        impl From<OwnedFd> for $end {
            fn from(fd: OwnedFd) -> Self {
                Self(fd.into())
            }
        }

        impl From<$end> for OwnedFd {
            fn from(end: $end) -> Self {
                end.0.into()
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
    };
}

end!(InputStream);
end!(OutputStream);
