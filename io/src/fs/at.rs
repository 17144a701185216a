//! Where a file is.

use std::io;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::dir::Dir;
use super::options::OpenOptions;
use crate::Io;
use crate::descriptor::Descriptor;

/// Where a file is: a path, relative to the working directory or [at a `Dir`](super::Dir::at).
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// From where the path goes on, and what it does not leave; `None` for the working directory.
    pub directory: Option<&'a Descriptor>,
    /// The path.
    pub path: &'a Path,
}

/// What says where a file is: every form of a path, [`Dir::at`](super::Dir::at), and a `&Dir`, which is the directory itself.
///
/// So each call of this module works on both:
///
/// ```
/// use iolite_io::{Io, fs};
///
/// fn publish(io: &dyn Io, upload: &str) -> std::io::Result<()> {
///     let public = fs::Dir::open(io, "/srv/public")?;
///     // Whatever the name of the upload is, nothing outside of /srv/public changes.
///     fs::rename(io, "/srv/incoming/upload", public.at(upload))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say where a file is",
    note = "a path does, a place in a directory (`dir.at(\"name\")`), and a directory by reference (`&dir`)"
)]
pub trait Locate {
    /// Where the file is.
    fn locate(&self) -> At<'_>;
}

impl<P: AsRef<Path> + ?Sized> Locate for P {
    fn locate(&self) -> At<'_> {
        At { directory: None, path: self.as_ref() }
    }
}

impl Locate for At<'_> {
    fn locate(&self) -> At<'_> {
        *self
    }
}

/// The directory itself, as `dir.at(".")`.
impl Locate for &Dir {
    fn locate(&self) -> At<'_> {
        self.at(".")
    }
}

impl<'a> At<'a> {
    /// The folder in which the file is.
    pub(super) fn parent(self) -> At<'a> {
        match self.path.parent() {
            Some(parent) if parent != "" => At { path: parent, ..self },
            _ => At { path: Path::new("."), ..self },
        }
    }

    /// Hands `f` the same place such that no path in it leads out of the directory: as a single name
    /// in the directory where it is.
    ///
    /// # Errors
    ///
    /// `EXDEV` when the path leaves the directory, `EINVAL` when it ends in no name (`..`).
    pub(super) fn with_name<T>(self, io: &dyn Io, f: impl FnOnce(At<'_>) -> io::Result<T>) -> io::Result<T> {
        if self.directory.is_none() {
            return f(self);
        }
        let Some(name) = self.path.file_name() else { return Err(Errno::INVAL.into()) };
        if self.path.parent().is_none_or(|parent| parent == "") {
            return f(At { path: Path::new(name), ..self });
        }
        let folder = self.parent().open_path(io, OFlags::DIRECTORY)?;
        f(At { directory: Some(&folder), path: Path::new(name) })
    }

    /// Opens the file for nothing but to say which one it is (`O_PATH`).
    pub(super) fn open_path(self, io: &dyn Io, flags: OFlags) -> io::Result<Descriptor> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::PATH | flags).bits() as i32);
        options.open(io, self).map(Descriptor::from)
    }
}
