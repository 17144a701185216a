//! Files.

use std::array;
use std::io::{self, IoSlice, IoSliceMut, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::{AsPathAt, FileOperation, OpenOptions, Operation};
use crate::pool::PooledBuffer;
use crate::stream::{self, BoundStream, ByteStream, OwnedStream};

/// An open file.
///
/// Positional calls (`read_at`, `write_at`) do not use the position of the file and may run in parallel; streaming
/// calls (`read`, `write`, `seek`) share it.
#[derive(Debug)]
pub struct File(Descriptor);

impl File {
    /// Opens an existing file for reading.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `open`.
    pub fn open(io: &dyn Io, path: impl AsPathAt) -> io::Result<Self> {
        OpenOptions::new().read(true).open(io, path)
    }

    /// Opens a file for writing. Makes it if it does not exist and truncates it if it does.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `open`.
    pub fn create(io: &dyn Io, path: impl AsPathAt) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(io, path)
    }

    /// Makes a new file and opens it for reading and writing.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `open`; [`io::ErrorKind::AlreadyExists`].
    pub fn create_new(io: &dyn Io, path: impl AsPathAt) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(io, path)
    }

    /// Returns options with nothing chosen, like [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Returns another handle to the same open file. Both share the position and the lock.
    ///
    /// # Errors
    ///
    /// Returns an error if no descriptor is free.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.as_fd().try_clone_to_owned()?.into()))
    }

    /// Reads at the position of the file and moves it. Returns the number of bytes, 0 at the end of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `read`.
    pub fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_from(io, buffer, None)
    }

    /// Reads at `offset` bytes from the beginning. Returns the number of bytes, 0 at the end of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `pread`.
    pub fn read_at(&self, io: &dyn Io, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_from(io, buffer, Some(offset))
    }

    /// Fills `buffer` from the position of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The error says how many bytes had been read.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file is too short; the errors of `read`. An error after the first byte
    /// carries an [`Incomplete`](crate::Incomplete).
    pub fn read_exact(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<()> {
        stream::read_exact(io, buffer, |buffer| self.read(io, buffer))
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Cancellation
    ///
    /// See [`read_exact`](Self::read_exact).
    ///
    /// # Errors
    ///
    /// See [`read_exact`](Self::read_exact).
    pub fn read_exact_at(&self, io: &dyn Io, buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        stream::read_exact(io, buffer, |buffer| {
            let count = self.read_at(io, buffer, offset)?;
            offset += count as u64;
            Ok(count)
        })
    }

    /// Reads from the position of the file to its end, appends the bytes to `bytes`, and returns their number.
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

    /// Reads from the position of the file to its end, appends the text to `text`, and returns the number of bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. No byte is lost, as after every other error.
    ///
    /// # Errors
    ///
    /// The errors of `read`; [`io::ErrorKind::InvalidData`] if the file is not UTF-8. The text up to the first byte
    /// that is not valid is appended. The error holds the rest, which at a cancellation is the beginning of a
    /// character: [`Incomplete::unwritten_of`](crate::Incomplete::unwritten_of).
    pub fn read_to_string(&self, io: &dyn Io, text: &mut String) -> io::Result<usize> {
        stream::read_to_string(text, |buffer| self.read(io, buffer))
    }

    /// Reads like [`read`](Self::read), into several buffers. Uses at most 64 buffers that are not empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `readv`.
    pub fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored_from(io, buffers, None)
    }

    /// Reads like [`read_at`](Self::read_at), into several buffers. Uses at most 64 buffers that are not empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `preadv`.
    pub fn read_vectored_at(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.read_vectored_from(io, buffers, Some(offset))
    }

    /// Writes some of `buffer` at the position of the file and moves it. Returns the number of bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; bytes that were written are still reported.
    ///
    /// # Errors
    ///
    /// The errors of `write`; [`io::ErrorKind::StorageFull`] if the disk is full before the first byte.
    pub fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.write_to(io, buffer, None)
    }

    /// Writes some of `buffer` at `offset` bytes from the beginning. Returns the number of bytes.
    ///
    /// # Cancellation
    ///
    /// See [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    pub fn write_at(&self, io: &dyn Io, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.write_to(io, buffer, Some(offset))
    }

    /// Reads at `offset` into a buffer of a pool, using its whole capacity. The buffer then contains the bytes that
    /// were read. Returns their number, 0 at the end of the file.
    ///
    /// Works like [`read_at`](Self::read_at), but is cheaper if the backend registers the memory of the pool with the
    /// kernel, above all with `O_DIRECT`. On `evented` the first such call on a fiber of each executor registers it.
    /// That takes as long as bringing all of the pool into memory, where it stays until the pool and its buffers are
    /// gone and the executor is next idle. It counts against `RLIMIT_MEMLOCK` for users without `CAP_IPC_LOCK`. If the
    /// memory cannot be registered (because of this limit, of a pool of more than 1 GiB, or of a hundred other pools),
    /// and on other backends, this is the same as `read_at`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `pread`. The buffer is then empty.
    pub fn read_pooled_at(&self, io: &dyn Io, buffer: &mut PooledBuffer, offset: u64) -> io::Result<usize> {
        buffer.set_len(0);
        let (storage, memory) = buffer.storage_and_memory_mut();
        let available = storage.len();
        let read = Operation::Read { file: &self.0, buffer: storage, memory, offset: Some(offset) };
        let count = io.operate(read)?.count(available)?;
        buffer.set_len(count);
        Ok(count)
    }

    /// Writes some of the content of a pooled buffer at `offset`. Returns the number of bytes.
    ///
    /// Works like [`write_at`](Self::write_at), and is cheaper in the same cases as
    /// [`read_pooled_at`](Self::read_pooled_at).
    ///
    /// # Cancellation
    ///
    /// See [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    pub fn write_pooled_at(&self, io: &dyn Io, buffer: &PooledBuffer, offset: u64) -> io::Result<usize> {
        let write = Operation::Write { file: &self.0, buffer, memory: buffer.memory(), offset: Some(offset) };
        io.operate(write)?.count(buffer.len())
    }

    /// Writes all of `buffer` at the position of the file.
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
        stream::write_all(io, buffer, |buffer| self.write(io, buffer))
    }

    /// Writes all of `buffer` at `offset`.
    ///
    /// # Cancellation
    ///
    /// See [`write_all`](Self::write_all).
    ///
    /// # Errors
    ///
    /// See [`write_all`](Self::write_all).
    pub fn write_all_at(&self, io: &dyn Io, buffer: &[u8], mut offset: u64) -> io::Result<()> {
        stream::write_all(io, buffer, |buffer| {
            let count = self.write_at(io, buffer, offset)?;
            offset += count as u64;
            Ok(count)
        })
    }

    /// Writes like [`write`](Self::write), from several buffers, of which at most 1,024 are used.
    ///
    /// # Cancellation
    ///
    /// See [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    pub fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored_to(io, buffers, None)
    }

    /// Writes like [`write_at`](Self::write_at), from several buffers, of which at most 1,024 are used.
    ///
    /// # Cancellation
    ///
    /// See [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    pub fn write_vectored_at(&self, io: &dyn Io, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.write_vectored_to(io, buffers, Some(offset))
    }

    /// Writes content and metadata to the disk.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fsync`. After an error, everything that was written since the last success may be lost.
    pub fn sync_all(&self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Sync { file: &self.0, data_only: false })?.done()
    }

    /// Writes the content to the disk, and the metadata that is needed to read it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fdatasync`.
    pub fn sync_data(&self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Sync { file: &self.0, data_only: true })?.done()
    }

    /// Moves the position of the streaming calls and returns the new one, in bytes from the
    /// beginning.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `lseek`.
    pub fn seek(&self, io: &dyn Io, position: SeekFrom) -> io::Result<u64> {
        io.operate(Operation::Seek { file: &self.0, position })?.position()
    }

    /// Truncates the file to `length` bytes, or extends it with zeros.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `ftruncate`.
    pub fn set_len(&self, io: &dyn Io, length: u64) -> io::Result<()> {
        io.operate(Operation::File(FileOperation::SetLength { file: &self.0, length }))?.done()
    }

    /// Returns the length in bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `statx`.
    pub fn len(&self, io: &dyn Io) -> io::Result<u64> {
        self.metadata(io).map(|metadata| metadata.len())
    }

    /// Closes the file and reports errors. Dropping it closes it too.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The file is closed in any case.
    ///
    /// # Errors
    ///
    /// The errors of `close`.
    pub fn close(self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.0 })?.done()
    }

    /// Returns the file as a [`std::io::Read`], [`std::io::Write`] and [`std::io::Seek`].
    pub fn with<'a>(&'a self, io: &'a dyn Io) -> BoundStream<'a, Self> {
        BoundStream::new(self, io)
    }

    /// Converts the file like [`with`](Self::with), but owns it and keeps the `Io`.
    pub fn into_with(self, io: Arc<dyn Io>) -> OwnedStream<Self> {
        OwnedStream::new(self, io)
    }

    pub(super) fn handle(&self) -> &Descriptor {
        &self.0
    }

    fn read_from(&self, io: &dyn Io, buffer: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
        let available = buffer.len();
        io.operate(Operation::Read { file: &self.0, buffer, memory: None, offset })?.count(available)
    }

    fn write_to(&self, io: &dyn Io, buffer: &[u8], offset: Option<u64>) -> io::Result<usize> {
        io.operate(Operation::Write { file: &self.0, buffer, memory: None, offset })?.count(buffer.len())
    }

    fn read_vectored_from(
        &self,
        io: &dyn Io,
        buffers: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        let mut rest = buffers.iter_mut().filter(|buffer| !buffer.is_empty());
        let mut buffers: [IoSliceMut<'_>; BUFFERS_MAX] =
            array::from_fn(|_| IoSliceMut::new(rest.next().map_or(&mut [], |buffer| &mut **buffer)));
        let available = buffers.iter().map(|buffer| buffer.len()).sum();
        io.operate(Operation::ReadVectored { file: &self.0, buffers: &mut buffers, offset })?.count(available)
    }

    fn write_vectored_to(&self, io: &dyn Io, buffers: &[IoSlice<'_>], offset: Option<u64>) -> io::Result<usize> {
        let available = buffers.iter().map(|buffer| buffer.len()).sum();
        io.operate(Operation::WriteVectored { file: &self.0, buffers, offset })?.count(available)
    }
}

/// The maximum number of buffers that one vectored read fills.
const BUFFERS_MAX: usize = 64;

impl ByteStream for File {
    fn read(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(io, buffer)
    }

    fn read_vectored(&self, io: &dyn Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored(io, buffers)
    }

    fn write(&self, io: &dyn Io, buffer: &[u8]) -> io::Result<usize> {
        self.write(io, buffer)
    }

    fn write_vectored(&self, io: &dyn Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored(io, buffers)
    }

    fn descriptor(&self) -> Option<&Descriptor> {
        Some(&self.0)
    }
}

/// For operations as data.
impl AsRef<Descriptor> for File {
    fn as_ref(&self) -> &Descriptor {
        &self.0
    }
}

impl From<Descriptor> for File {
    fn from(descriptor: Descriptor) -> Self {
        Self(descriptor)
    }
}

impl File {
    /// Converts a file of std, of any kind and in any mode. A call waits on both backends even if the file is
    /// non-blocking, such as a named pipe. The mode and the position do not change.
    pub fn from_std(file: std::fs::File) -> Self {
        Self::from(OwnedFd::from(file))
    }

    /// Converts the file to one of std. The mode and the position do not change. No call can be in progress on it,
    /// because every call borrows it.
    pub fn into_std(self) -> std::fs::File {
        OwnedFd::from(self).into()
    }
}

/// Does the same as [`File::from_std`].
impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        Self::from_std(file)
    }
}

/// Does the same as [`File::into_std`].
impl From<File> for std::fs::File {
    fn from(file: File) -> Self {
        file.into_std()
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> Self {
        file.0.into()
    }
}

impl From<File> for Descriptor {
    fn from(file: File) -> Self {
        file.0
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Seek for BoundStream<'_, File> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (file, io) = self.parts();
        file.seek(io, position)
    }
}

impl Seek for OwnedStream<File> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (file, io) = self.parts();
        file.seek(io, position)
    }
}
