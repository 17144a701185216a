//! Files as memory.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::file::File;
use super::names::call;
use crate::Io;

/// A file's content as memory, shared with everybody who maps, reads or writes the file.
///
/// Others change it at any time, so nobody is lent a slice of it: bytes are copied out and in, each by itself.
///
/// A page that is not in memory yet is read from the disk when it is touched, and the thread, with its
/// executor, waits: [`offload`](crate::Io#method.offload) what touches many of them. Who cuts the file ends the
/// processes that touch what was cut off (SIGBUS), as with every mapping.
#[derive(Debug)]
pub struct Map {
    memory: MmapRaw,
    /// The length of the file when it was mapped; a file without content is mapped nevertheless.
    length: usize,
    access: MapAccess,
}

/// What a [`Map`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapAccess {
    /// Reading.
    Read,
    /// Reading and writing; the file has to be open for both.
    ReadWrite,
}

impl Map {
    /// Maps a file as long as it is now. When it grows, map it again.
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

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the file had no content when it was mapped.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies what is at `offset` to `buffer`; how many bytes, fewer when the map ends before.
    pub fn read_at(&self, buffer: &mut [u8], offset: usize) -> usize {
        let bytes = self.bytes().get(offset..).unwrap_or_default();
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = from.load(Ordering::Relaxed);
        }
        buffer.len().min(bytes.len())
    }

    /// Copies `buffer` to what is at `offset`; how many bytes, fewer when the map ends before.
    ///
    /// # Panics
    ///
    /// When the map is for reading only.
    pub fn write_at(&self, buffer: &[u8], offset: usize) -> usize {
        assert_eq!(self.access, MapAccess::ReadWrite, "writing to a map that is for reading");
        let bytes = self.bytes().get(offset..).unwrap_or_default();
        for (to, from) in bytes.iter().zip(buffer) {
            to.store(*from, Ordering::Relaxed);
        }
        buffer.len().min(bytes.len())
    }

    /// Brings what was changed to the disk.
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
        // SAFETY: `new` mapped `length` bytes, or a page where that is 0, which are initialized, since they are a file's,
        // and stay mapped until `memory` is dropped: with `self`, which is borrowed. `AtomicU8` has the layout of `u8`, and
        // the one field that hands out the pointer is private, so that in this process nobody makes references to these
        // bytes but as atomics. Other processes and the kernel may change them at any time, which atomics allow. Only
        // `write_at` stores, after it has asked whether the mapping may be written to. A page that was cut off the file
        // is not memory, but touching it ends the process by a signal: nothing goes on with a value that is none.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast::<AtomicU8>(), self.length) }
    }
}
