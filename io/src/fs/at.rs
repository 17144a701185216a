//! Places in a directory for calls that must not lead out of it.

use std::io;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::{OpenOptions, PathAt};

impl PathAt<'_> {
    /// Hands `f` the same place such that no path in it leads out of the directory: as a single name
    /// in the directory where it is, perhaps with slashes behind it. For calls that do not look up what has the name.
    ///
    /// # Errors
    ///
    /// `EXDEV` when the path leaves the directory, `EINVAL` when it ends in no name (`..`).
    pub(super) fn with_name<T>(self, io: &dyn Io, f: impl FnOnce(PathAt<'_>) -> io::Result<T>) -> io::Result<T> {
        if self.directory.is_none() {
            return f(self);
        }
        let (folder, name) = self.split().ok_or(Errno::INVAL)?;
        if folder.path == "." {
            return f(PathAt { path: name, ..self });
        }
        let folder = folder.open_path(io, OFlags::DIRECTORY)?;
        f(PathAt { directory: Some(&folder), path: name })
    }

    /// As [`with_name`](Self::with_name), for calls that look up what has the name: a slash behind the name of a link
    /// makes them follow it, which must not lead out of the directory.
    pub(super) fn with_name_looked_up<T>(
        self,
        io: &dyn Io,
        f: impl FnOnce(PathAt<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.directory.is_some() && self.ends_as_directory() {
            let directory = self.open_path(io, OFlags::DIRECTORY)?;
            return f(PathAt { directory: Some(&directory), path: Path::new(".") });
        }
        self.with_name(io, f)
    }

    /// Opens the file for nothing but to say which one it is (`O_PATH`).
    pub(super) fn open_path(self, io: &dyn Io, flags: OFlags) -> io::Result<Descriptor> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::PATH | flags).bits() as i32);
        options.open(io, self).map(Descriptor::from)
    }
}
