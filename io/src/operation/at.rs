//! The places of files: paths, and the directories that they start from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::descriptor::Descriptor;

/// The place of a file: a path, relative to the working directory or [at a `Dir`](crate::fs::Dir::at).
#[derive(Clone, Copy, Debug)]
pub struct PathAt<'a> {
    /// The directory that the path starts from and does not leave; `None` for the working directory.
    pub directory: Option<&'a Descriptor>,
    /// The path.
    pub path: &'a Path,
}

/// A value that says where a file is: every form of a path, [`Dir::at`](crate::fs::Dir::at), and a `&Dir`, which is the
/// directory itself.
///
/// So each call of this module takes paths and places in directories:
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
pub trait AsPathAt {
    /// Returns the place of the file.
    fn locate(&self) -> PathAt<'_>;
}

impl<P: AsRef<Path> + ?Sized> AsPathAt for P {
    fn locate(&self) -> PathAt<'_> {
        PathAt { directory: None, path: self.as_ref() }
    }
}

impl AsPathAt for PathAt<'_> {
    fn locate(&self) -> PathAt<'_> {
        *self
    }
}

impl<'a> PathAt<'a> {
    /// Returns the folder in which the file is, and its name there as the path has it, with the slashes that follow it: they
    /// make the kernel refuse a file that is not a directory. A path that ends in `.` has that as its name, which the kernel
    /// refuses in its own ways. Returns `None` for a path that ends in `..` or in the root, and for an empty one.
    pub(crate) fn split(self) -> Option<(PathAt<'a>, &'a Path)> {
        let (folder, name) = cut(self.path)?;
        let folder = if folder == "" { Path::new(".") } else { folder };
        (first_of(name) != b"..").then_some((PathAt { path: folder, ..self }, name))
    }

    /// Returns true if the path says by its end that it leads to a directory: `name/`, `name/.`, `.`.
    pub(crate) fn ends_as_directory(self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        path.ends_with(b"/") || self.ends_in_dot()
    }

    /// Returns true if the path ends in `.`, with or without slashes behind it.
    pub(crate) fn ends_in_dot(self) -> bool {
        cut(self.path).is_some_and(|(_, name)| first_of(name) == b".")
    }
}

/// Returns a path without its last name, and that name with the slashes behind it; `None` if there is no name.
pub(crate) fn cut(path: &Path) -> Option<(&Path, &Path)> {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/')? + 1;
    let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, name) = bytes.split_at(start);
    Some((path_from(folder), path_from(name)))
}

/// Returns a name without the slashes behind it.
fn first_of(name: &Path) -> &[u8] {
    name.as_os_str().as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default()
}

fn path_from(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_before_its_last_name() {
        let split = |path: &'static str| {
            let (folder, name) = path.locate().split()?;
            Some((folder.path.to_str().expect("text"), name.to_str().expect("text")))
        };
        for (path, expected) in [
            ("name", Some((".", "name"))),
            ("name/", Some((".", "name/"))),
            ("name//", Some((".", "name//"))),
            ("a/name", Some(("a/", "name"))),
            ("a//b/name/", Some(("a//b/", "name/"))),
            ("/name", Some(("/", "name"))),
            (".", Some((".", "."))),
            ("a/.", Some(("a/", "."))),
            ("a/./", Some(("a/", "./"))),
            ("a/.../", Some(("a/", ".../"))),
            ("..", None),
            ("a/../", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(split(path), expected, "{path}");
        }
    }

    #[test]
    fn the_end_of_a_path_may_say_that_it_is_a_directory() {
        for (path, directory, dot) in [
            ("a", false, false),
            ("a/", true, false),
            ("a/.", true, true),
            (".", true, true),
            ("a/.b", false, false),
            ("a/.//", true, true),
        ] {
            assert_eq!((path.locate().ends_as_directory(), path.locate().ends_in_dot()), (directory, dot), "{path}");
        }
    }
}
