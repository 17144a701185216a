//! Memory-mapped files.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::file::File;
use super::names::call;
use crate::Io;

/// The content of a file as memory, shared with everyone who maps, reads or writes the file.
///
/// Others can change it at any time, so no slice of it is lent: bytes are copied out and in, each by itself.
///
/// Touching a page that is not in memory yet reads it from the disk, and the thread waits, together with its executor.
/// [`offload`](crate::Io#method.offload) code that touches many pages. As with every mapping, truncating the file ends
/// each process that touches the removed part (SIGBUS).
#[derive(Debug)]
pub struct Map {
    memory: MmapRaw,
    /// The length of the file when it was mapped. An empty file is mapped too.
    length: usize,
    access: MapAccess,
}

/// The access that a [`Map`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapAccess {
    /// Reading.
    Read,
    /// Reading and writing; the file has to be open for both.
    ReadWrite,
}

impl Map {
    /// Maps a file at its current length. When the file grows, map it again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `mmap`.
    pub fn new(io: &dyn Io, file: &File, access: MapAccess) -> io::Result<Self> {
        let length = usize::try_from(file.len(io)?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut options = MmapOptions::new();
        options.len(length);
        let memory = call(io, || match access {
            MapAccess::Read => options.map_raw_read_only(file.handle()),
            MapAccess::ReadWrite => options.map_raw(file.handle()),
        })??;
        Ok(Self { memory, length, access })
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns true if the file was empty when it was mapped.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies the bytes at `offset` to `buffer`. Returns their number, which is less than `buffer.len()` if the map ends
    /// before.
    pub fn read_at(&self, buffer: &mut [u8], offset: usize) -> usize {
        let bytes = self.bytes().get(offset..).unwrap_or_default();
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = from.load(Ordering::Relaxed);
        }
        buffer.len().min(bytes.len())
    }

    /// Copies `buffer` to the bytes at `offset`. Returns their number, which is less than `buffer.len()` if the map ends
    /// before.
    ///
    /// # Panics
    ///
    /// Panics if the map is read-only.
    pub fn write_at(&self, buffer: &[u8], offset: usize) -> usize {
        assert_eq!(self.access, MapAccess::ReadWrite, "writing to a map that is for reading");
        let bytes = self.bytes().get(offset..).unwrap_or_default();
        for (to, from) in bytes.iter().zip(buffer) {
            to.store(*from, Ordering::Relaxed);
        }
        buffer.len().min(bytes.len())
    }

    /// Writes changes to the disk.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `msync`.
    pub fn flush(&self, io: &dyn Io) -> io::Result<()> {
        if self.is_empty() {
            return Ok(io.check_cancel()?);
        }
        call(io, || self.memory.flush())?
    }

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: `new` mapped `length` bytes, or a page if that is 0. They are initialized, since they belong to a
        // file, and stay mapped until `memory` is dropped: with `self`, which is borrowed. `AtomicU8` has the layout of
        // `u8`, and the one field that hands out the pointer is private, so that in this process nobody makes
        // references to these bytes except as atomics. Other processes and the kernel may change them at any time,
        // which atomics allow. Only `write_at` stores, after it has checked that the mapping may be written to. A page
        // that was truncated from the file is not memory, but touching it ends the process by a signal, so the program
        // does not go on with an invalid value.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast::<AtomicU8>(), self.length) }
    }
}
