//! Removing files and directories.

use std::io;

use rustix::io::Errno;

use super::dir::Dir;
use super::names::{perform, symlink_metadata};
use super::read_dir::{DirEntry, ReadDir};
use crate::Io;
use crate::operation::{AsPathAt, FileOperation, PathAt};

/// Removes a name of a file, and the file itself together with its last name.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `unlink`.
pub fn remove_file(io: &dyn Io, path: impl AsPathAt) -> io::Result<()> {
    remove(io, path.locate(), false)
}

/// Removes an empty directory.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `rmdir`.
pub fn remove_dir(io: &dyn Io, path: impl AsPathAt) -> io::Result<()> {
    remove(io, path.locate(), true)
}

/// Removes a directory and everything in it. Follows no link: links in it are removed, and so is `path` itself if it is
/// a link. It is not an error if others remove files at the same time, even `path` itself.
///
/// Uses one file descriptor for each level of directories.
///
/// # Cancellation
///
/// A cancellation point. The files that were not removed by then stay.
///
/// # Errors
///
/// The errors of `open`, `unlink` and `rmdir`; the files that were not removed by then stay. `EINVAL` for a path that
/// ends in `.` or `..`, through which a directory cannot be removed; in that case nothing in it is removed.
pub fn remove_dir_all(io: &dyn Io, path: impl AsPathAt) -> io::Result<()> {
    let at = path.locate();
    if at.ends_in_dot() || at.split().is_none() {
        return Err(Errno::INVAL.into());
    }
    at.with_name(io, |at| {
        if symlink_metadata(io, at)?.is_symlink() {
            return gone(remove(io, at, false));
        }
        // The directory existed, so from here on it is not an error if it is gone.
        gone(Dir::open_nofollow(io, at).and_then(|dir| remove_content(io, dir)).and_then(|()| remove(io, at, true)))
    })
}

/// Goes down into each directory and removes it on the way back.
fn remove_content(io: &dyn Io, dir: Dir) -> io::Result<()> {
    let mut levels = vec![(ReadDir::of(io, dir), None)];
    while let Some((level, _)) = levels.last_mut() {
        match level.next().transpose()? {
            Some(entry) => {
                if let Some(below) = remove_entry(io, level.dir(), &entry)? {
                    levels.push((ReadDir::of(io, below), Some(entry)));
                }
            }
            None => {
                let Some((_, entry)) = levels.pop() else { break };
                if let (Some((above, _)), Some(entry)) = (levels.last(), entry) {
                    gone(remove(io, above.dir().at(entry.name()), true))?;
                }
            }
        }
    }
    Ok(())
}

/// Removes a file, or opens it if it is a directory.
fn remove_entry(io: &dyn Io, dir: &Dir, entry: &DirEntry) -> io::Result<Option<Dir>> {
    let at = dir.at(entry.name());
    let file_type = match entry.file_type(io) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file_type => file_type?,
    };
    if file_type.is_dir() {
        match Dir::open_nofollow(io, at) {
            // Another file has the name by now.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::LOOP)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            below => return below.map(Some),
        }
    }
    gone(remove(io, at, false)).map(|()| None)
}

fn remove(io: &dyn Io, at: PathAt<'_>, directory: bool) -> io::Result<()> {
    at.with_name(io, |at| perform(io, FileOperation::Remove { at, directory })?.done())
}

/// Treats a missing file as removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
