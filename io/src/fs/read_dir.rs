//! Listing the content of a directory.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use super::dir::Dir;
use super::names::{perform, symlink_metadata};
use crate::operation::{AsPathAt, Entry, FileOperation, FileType, Metadata};
use crate::{Canceled, Io};

/// Lists the files in a directory, in no particular order, without `.` and `..`.
///
/// Files that are made or removed during the iteration may or may not be returned; every other file is returned once.
///
/// ```
/// use iolite_io::{Io, fs};
///
/// fn total(io: &dyn Io, folder: &str) -> std::io::Result<u64> {
///     let mut bytes = 0;
///     for entry in fs::read_dir(io, folder)? {
///         bytes += entry?.metadata(io)?.len();
///     }
///     Ok(bytes)
/// }
/// ```
///
/// # Cancellation
///
/// A cancellation point, and so is each step of the iteration. The iteration can continue after [`Canceled`].
///
/// # Errors
///
/// The errors of `open`. The iteration ends after an error, unless it is `Canceled`.
pub fn read_dir(io: &dyn Io, path: impl AsPathAt) -> io::Result<ReadDir<'_>> {
    let at = path.locate();
    let folder = Arc::new(Folder { dir: Dir::open(io, at)?, path: at.path.to_owned() });
    Ok(ReadDir { io, folder, entries: Vec::new().into_iter(), ended: false })
}

/// An iterator over the files in a directory; see [`read_dir`].
pub struct ReadDir<'io> {
    io: &'io dyn Io,
    folder: Arc<Folder>,
    entries: vec::IntoIter<Entry>,
    ended: bool,
}

#[derive(Debug)]
struct Folder {
    dir: Dir,
    path: PathBuf,
}

impl fmt::Debug for ReadDir<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.folder.path).finish()
    }
}

impl<'io> ReadDir<'io> {
    /// Iterates over a directory that nothing else reads, because reading moves its position.
    pub(super) fn of(io: &'io dyn Io, dir: Dir) -> Self {
        let folder = Arc::new(Folder { dir, path: PathBuf::new() });
        Self { io, folder, entries: Vec::new().into_iter(), ended: false }
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.folder.dir
    }

    fn refill(&mut self) -> io::Result<()> {
        let mut entries = Vec::new();
        let (directory, mut ended) = (self.folder.dir.descriptor(), false);
        let read = FileOperation::ReadDirectory { directory, entries: &mut entries, ended: &mut ended };
        let result = perform(self.io, read).and_then(|output| output.count(usize::MAX));
        self.ended = ended || result.as_ref().map_or_else(|error| !Canceled::is_in(error), |count| *count == 0);
        self.entries = entries.into_iter();
        result.map(drop)
    }
}

impl Iterator for ReadDir<'_> {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.entries.len() == 0 && !self.ended {
            if let Err(error) = self.refill() {
                return Some(Err(error));
            }
            // This is a point even if there is an entry left to return.
        } else if let Err(canceled) = self.io.check_cancel() {
            return Some(Err(canceled.into()));
        }
        self.entries.next().map(|entry| Ok(DirEntry { folder: self.folder.clone(), entry }))
    }
}

/// A file in a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    folder: Arc<Folder>,
    entry: Entry,
}

impl DirEntry {
    /// Returns the path of the directory, as it was opened, with the name appended. For a location [in a
    /// `Dir`](super::Dir::at), the path is relative to that `Dir`: `dir.at(&entry.path())`.
    pub fn path(&self) -> PathBuf {
        self.folder.path.join(&self.entry.name)
    }

    /// Returns the name.
    pub fn file_name(&self) -> OsString {
        self.entry.name.clone()
    }

    pub(super) fn name(&self) -> &Path {
        Path::new(&self.entry.name)
    }

    /// Returns the inode number of the file on its device.
    pub fn ino(&self) -> u64 {
        self.entry.inode
    }

    /// Returns the metadata of the file, or of the link itself if it is a link. The file is looked up in the directory
    /// that was opened, even if that has been moved.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `statx`.
    pub fn metadata(&self, io: &dyn Io) -> io::Result<Metadata> {
        symlink_metadata(io, self.folder.dir.at(self.name()))
    }

    /// Returns the type of the file. If the directory does not record it, asks [`metadata`](Self::metadata).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `statx`.
    pub fn file_type(&self, io: &dyn Io) -> io::Result<FileType> {
        match self.entry.file_type {
            Some(file_type) => io.check_cancel().map(|()| file_type).map_err(io::Error::from),
            None => self.metadata(io).map(|metadata| metadata.file_type()),
        }
    }
}
