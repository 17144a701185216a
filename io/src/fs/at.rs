//! Locations in a directory, for calls that must not lead out of it.

use std::io;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::{OpenOptions, PathAt};

impl PathAt<'_> {
    /// Calls `f` with the same location, resolved so that no path leads out of the directory: as a single name in its
    /// parent directory, possibly followed by slashes. For calls that do not look up the file of that name.
    ///
    /// # Errors
    ///
    /// `EXDEV` if the path leaves the directory, `EINVAL` if it does not end in a name (`..`).
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

    /// Does the same as [`with_name`](Self::with_name), for calls that look up the file. A slash after the name of a
    /// link makes such calls follow the link, which must not lead out of the directory.
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

    /// Opens the file only to identify it (`O_PATH`).
    pub(super) fn open_path(self, io: &dyn Io, flags: OFlags) -> io::Result<Descriptor> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::PATH | flags).bits() as i32);
        options.open(io, self).map(Descriptor::from)
    }
}
