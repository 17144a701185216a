//! Files that take the place of others as a whole.

use std::ffi::OsString;
use std::io;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::at::Locate;
use super::dir::Dir;
use super::file::File;
use super::names::{metadata, rename_as};
use super::operation::Rename;
use super::temp::create_unique;
use crate::Io;

/// A file that is written beside another and takes its place when it is complete: whoever opens the name finds the
/// old one or the new one, and so does the computer that lost its power in between.
///
/// Until then it has a name of its own in the same folder. Dropping it instead removes it, on the calling thread, as
/// dropping a file closes it; so nothing is left behind by errors and cancellations.
///
/// ```
/// use iolite_io::{Io, fs::AtomicFile};
///
/// fn save(io: &dyn Io, lines: &[String]) -> std::io::Result<()> {
///     let new = AtomicFile::create(io, "settings.txt")?;
///     for line in lines {
///         new.file().write_all(io, line.as_bytes())?;
///     }
///     new.commit(io)
/// }
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    folder: Dir,
    /// The name that it is to have in the folder.
    name: OsString,
    /// The name that it has; `None` when it has that one.
    temporary: Option<String>,
}

impl AtomicFile {
    /// Makes a file that is to have the name `path`, open for reading and writing. It has the permissions of the
    /// file that has this name, if there is one. A link is not followed: the file will take its place.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `open`.
    pub fn create(io: &dyn Io, path: impl Locate) -> io::Result<Self> {
        let at = path.locate();
        let name = at.path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let folder = Dir::open(io, at.parent())?;
        let (file, temporary) = create_unique(io, &folder, ".", 0o666)?;
        let atomic = Self { file, folder, name, temporary: Some(temporary) };
        match metadata(io, atomic.folder.at(&atomic.name)) {
            Ok(old) => atomic.file.set_permissions(io, old.permissions())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A link that leads elsewhere.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            Err(error) => return Err(error),
        }
        Ok(atomic)
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Brings the file to the disk and gives it its name, in place of the file that has it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point until the file is on the disk; it is removed then, and the old one is as it was.
    ///
    /// # Errors
    ///
    /// Those of `fsync` and `rename`, with which the old file is as it was; those of bringing the name to the disk, after
    /// which either of them may be there when the power is lost.
    pub fn commit(self, io: &dyn Io) -> io::Result<()> {
        self.commit_as(io, Rename::Replace)
    }

    /// As [`commit`](Self::commit), unless a file has the name.
    ///
    /// # Cancellation
    ///
    /// As [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); [`io::ErrorKind::AlreadyExists`].
    pub fn commit_new(self, io: &dyn Io) -> io::Result<()> {
        self.commit_as(io, Rename::NoReplace)
    }

    fn commit_as(mut self, io: &dyn Io, how: Rename) -> io::Result<()> {
        self.file.sync_all(io)?;
        io.protect(|io| {
            if let Some(temporary) = &self.temporary {
                rename_as(io, self.folder.at(temporary), self.folder.at(&self.name), how)?;
                self.temporary = None;
            }
            self.folder.sync_all(io)
        })
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nobody could be told.
            let _ = unlinkat(&self.folder, temporary.as_str(), AtFlags::empty());
        }
    }
}

/// Writes a whole file, so that whoever opens it finds the old content or the new: see [`AtomicFile`].
///
/// # Cancellation
///
/// A cancellation point; the old file is as it was then.
///
/// # Errors
///
/// Those of [`AtomicFile`] and of `write`.
pub fn write_atomic(io: &dyn Io, path: impl Locate, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let new = AtomicFile::create(io, path)?;
    new.file().write_all(io, contents.as_ref())?;
    new.commit(io)
}
