//! Directories.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use super::names::is_dir;
use crate::descriptor::Descriptor;
use crate::operation::{AsPathAt, FileOperation, OpenOptions, Operation, PathAt, cut};
use crate::{Canceled, Io};

/// An open directory, from which paths can be resolved that do not leave it.
///
/// It stays the same directory when it is renamed or another directory takes its name. Its paths reach only what is
/// beneath it. A path that leads out of it, by `..`, from the root or through a link, is refused with `EXDEV`
/// ([`CrossesDevices`](io::ErrorKind::CrossesDevices)).
///
/// ```
/// use iolite_io::{Io, fs};
///
/// fn store(io: &dyn Io, name: &str, upload: &[u8]) -> std::io::Result<()> {
///     let folder = fs::Dir::open(io, "/srv/uploads")?;
///     fs::create_dir_all(io, folder.at("today"))?;
///     let today = fs::Dir::open(io, folder.at("today"))?;
///     fs::write(io, today.at(name), upload)
/// }
/// ```
#[derive(Debug)]
pub struct Dir(Descriptor);

impl Dir {
    /// Opens a directory.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `open`; [`io::ErrorKind::NotADirectory`].
    pub fn open(io: &dyn Io, path: impl AsPathAt) -> io::Result<Self> {
        Self::open_with(io, path, OFlags::empty())
    }

    /// Opens a directory like `open`, but refuses a link.
    pub(super) fn open_nofollow(io: &dyn Io, path: impl AsPathAt) -> io::Result<Self> {
        Self::open_with(io, path, OFlags::NOFOLLOW)
    }

    fn open_with(io: &dyn Io, path: impl AsPathAt, flags: OFlags) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::DIRECTORY | flags).bits() as i32);
        options.open(io, path.locate()).map(|file| Self(file.into()))
    }

    /// Returns the location to which `path` leads from here. It does not have to exist. `.` is this directory.
    pub fn at<'a, P: AsRef<Path> + ?Sized>(&'a self, path: &'a P) -> PathAt<'a> {
        PathAt { directory: Some(&self.0), path: path.as_ref() }
    }

    /// Writes the entries of this directory to the disk.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fsync`.
    pub fn sync_all(&self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Sync { file: &self.0, data_only: false })?.done()
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.0
    }
}

/// The directory itself, like `dir.at(".")`.
impl AsPathAt for &Dir {
    fn locate(&self) -> PathAt<'_> {
        self.at(".")
    }
}

/// Takes ownership of an open directory. If the descriptor is not a directory, calls on locations in it fail with
/// `NotADirectory`.
impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.0.into()
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Options for making a directory, as in std.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl Default for DirBuilder {
    fn default() -> Self {
        Self { recursive: false, mode: 0o777 }
    }
}

impl DirBuilder {
    /// Makes a builder for a directory whose parent exists, with all permissions that the mask of the process allows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also makes missing parents, and succeeds if the directory exists.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Sets the permission bits before the mask of the process is applied; 0o777 by default.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Makes the directory.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. Parents that were made by then stay.
    ///
    /// # Errors
    ///
    /// The errors of `mkdir`.
    pub fn create(&self, io: &dyn Io, path: impl AsPathAt) -> io::Result<()> {
        let at = path.locate();
        if self.recursive { self.create_all(io, at) } else { self.create_one(io, at) }
    }

    fn create_one(&self, io: &dyn Io, at: PathAt<'_>) -> io::Result<()> {
        at.with_name(io, |at| io.operate(Operation::File(FileOperation::MakeDirectory { at, mode: self.mode }))?.done())
    }

    fn create_all(&self, io: &dyn Io, at: PathAt<'_>) -> io::Result<()> {
        // Upwards from the last component to the first one that can be made, and down again.
        if at.path == "" {
            // In every other case the first call is the cancellation point.
            return Ok(io.check_cancel()?);
        }
        let mut missing = Vec::new();
        let mut next = Some(at.path).filter(|path| *path != "");
        while let Some(path) = next {
            match self.create_or_find(io, PathAt { path, ..at }) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(path),
                Err(error) => return Err(error),
            }
            next = cut(path).map(|(folder, _)| folder).filter(|folder| *folder != "");
        }
        missing.into_iter().rev().try_for_each(|path| self.create_or_find(io, PathAt { path, ..at }))
    }

    fn create_or_find(&self, io: &dyn Io, at: PathAt<'_>) -> io::Result<()> {
        match self.create_one(io, at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || Canceled::is_in(&error) => Err(error),
            // Not only after `AlreadyExists`: `.`, for instance, gives another error although it exists.
            Err(error) => {
                if is_dir(io, at)? {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Makes a directory.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `mkdir`; [`io::ErrorKind::AlreadyExists`].
pub fn create_dir(io: &dyn Io, path: impl AsPathAt) -> io::Result<()> {
    DirBuilder::new().create(io, path)
}

/// Makes a directory and its missing parents. Succeeds if it exists.
///
/// # Cancellation
///
/// A cancellation point. Parents that were made by then stay.
///
/// # Errors
///
/// The errors of `mkdir`; [`io::ErrorKind::AlreadyExists`] if a file that is not a directory has the name.
pub fn create_dir_all(io: &dyn Io, path: impl AsPathAt) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(io, path)
}
