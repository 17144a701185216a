//! Names of files: links, renaming, and what is known of the file that has a name.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags};

use crate::descriptor::path_of;
use crate::operation::{
    AsPathAt, FileOperation, FileTarget, FileTimes, Job, Metadata, Operation, Output, PathAt, Rename,
};
use crate::{Canceled, Io};

/// What is known of the file that a path leads to.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `statx`.
pub fn metadata(io: &dyn Io, path: impl AsPathAt) -> io::Result<Metadata> {
    with_subject(io, path.locate(), true, |of| metadata_of(io, of))
}

/// As [`metadata`]; of a link itself, where the path leads to one.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `statx`.
pub fn symlink_metadata(io: &dyn Io, path: impl AsPathAt) -> io::Result<Metadata> {
    with_subject(io, path.locate(), false, |of| metadata_of(io, of))
}

/// Whether a path leads to a file. A link that leads nowhere does not.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `statx`, when it cannot be told.
pub fn exists(io: &dyn Io, path: impl AsPathAt) -> io::Result<bool> {
    match metadata(io, path.locate()) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Succeeds if this process may use a file as `access` says, by the rights with which it would open it. The
/// answer is out of date when it comes: who wants to open a file, opens it.
///
/// ```
/// use iolite_io::{Io, fs};
///
/// fn is_program(io: &dyn Io, path: &str) -> bool {
///     fs::access(io, path, fs::Access::READ_OK | fs::Access::EXEC_OK).is_ok()
/// }
/// ```
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `faccessat`: [`io::ErrorKind::PermissionDenied`] if it may not.
pub fn access(io: &dyn Io, path: impl AsPathAt, access: Access) -> io::Result<()> {
    with_subject(io, path.locate(), true, |of| perform(io, FileOperation::Access { of, access })?.done())
}

/// Sets the permissions of a file.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `chmod`.
pub fn set_permissions(io: &dyn Io, path: impl AsPathAt, permissions: Permissions) -> io::Result<()> {
    let mode = permissions.mode();
    with_subject(io, path.locate(), true, |of| perform(io, FileOperation::SetMode { of, mode })?.done())
}

/// Sets the user and the group of a file; `None` leaves what is.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `chown`.
pub fn chown(io: &dyn Io, path: impl AsPathAt, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    with_subject(io, path.locate(), true, |of| perform(io, FileOperation::SetOwner { of, user, group })?.done())
}

/// As [`chown`]; of a link itself, where the path leads to one.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `lchown`.
pub fn lchown(io: &dyn Io, path: impl AsPathAt, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    with_subject(io, path.locate(), false, |of| perform(io, FileOperation::SetOwner { of, user, group })?.done())
}

/// Sets the times of a file.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `utimensat`.
pub fn set_times(io: &dyn Io, path: impl AsPathAt, times: FileTimes) -> io::Result<()> {
    with_subject(io, path.locate(), true, |of| perform(io, FileOperation::SetTimes { of, times: &times })?.done())
}

/// Gives a file another name, in one step. A file that has it loses it; a directory takes the place of an empty one only.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `rename`.
pub fn rename(io: &dyn Io, from: impl AsPathAt, to: impl AsPathAt) -> io::Result<()> {
    rename_as(io, from.locate(), to.locate(), Rename::Replace)
}

/// As [`rename`], and never takes the name from another file.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `renameat2`; [`io::ErrorKind::AlreadyExists`]; `EINVAL` where the file system cannot do that.
pub fn rename_noreplace(io: &dyn Io, from: impl AsPathAt, to: impl AsPathAt) -> io::Result<()> {
    rename_as(io, from.locate(), to.locate(), Rename::NoReplace)
}

/// Lets two files swap their names, in one step.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `renameat2`; `EINVAL` where the file system cannot do that.
pub fn rename_exchange(io: &dyn Io, one: impl AsPathAt, other: impl AsPathAt) -> io::Result<()> {
    rename_as(io, one.locate(), other.locate(), Rename::Exchange)
}

pub(super) fn rename_as(io: &dyn Io, from: PathAt<'_>, to: PathAt<'_>, how: Rename) -> io::Result<()> {
    from.with_name(io, |from| to.with_name(io, |to| perform(io, FileOperation::Rename { from, to, how })?.done()))
}

/// Gives the file `original` a second name, `link`, on the same file system. A link is not followed.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `link`.
pub fn hard_link(io: &dyn Io, original: impl AsPathAt, link: impl AsPathAt) -> io::Result<()> {
    original.locate().with_name_looked_up(io, |from| {
        link.locate().with_name(io, |to| perform(io, FileOperation::Link { from, to })?.done())
    })
}

/// Makes a symbolic link, `link`, that leads to `original`. What is in it is not looked at.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `symlink`.
pub fn symlink(io: &dyn Io, original: impl AsRef<Path>, link: impl AsPathAt) -> io::Result<()> {
    let target = original.as_ref();
    link.locate().with_name(io, |at| perform(io, FileOperation::Symlink { target, at })?.done())
}

/// What is in a symbolic link.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `readlink`; [`io::ErrorKind::InvalidInput`] when it is no link.
pub fn read_link(io: &dyn Io, path: impl AsPathAt) -> io::Result<PathBuf> {
    path.locate().with_name_looked_up(io, |at| perform(io, FileOperation::ReadLink { at })?.path())
}

/// The path of a file from the root, without links, `.` and `..`.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `realpath`; of a place [in a `Dir`](super::Dir::at) those of `openat2` and `readlink`.
pub fn canonicalize(io: &dyn Io, path: impl AsPathAt) -> io::Result<PathBuf> {
    let at = path.locate();
    with_subject(io, at, true, |of| match of {
        FileTarget::Named { at, .. } => call(io, || at.path.canonicalize())?,
        FileTarget::Open(file) => {
            let path = path_of(file);
            perform(io, FileOperation::ReadLink { at: path.as_str().locate() })?.path()
        }
    })
}

/// Whether it is certain that there is a directory.
pub(super) fn is_dir(io: &dyn Io, at: PathAt<'_>) -> Result<bool, Canceled> {
    match metadata(io, at) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) => Canceled::from_error(error).map_or(Ok(false), Err),
    }
}

pub(super) fn metadata_of(io: &dyn Io, of: FileTarget<'_>) -> io::Result<Metadata> {
    let mut metadata = None;
    perform(io, FileOperation::Metadata { of, metadata: &mut metadata })?.done()?;
    metadata.ok_or_else(|| io::Error::other("the Io reported success but returned no metadata"))
}

pub(super) fn perform(io: &dyn Io, operation: FileOperation<'_>) -> io::Result<Output> {
    io.operate(Operation::File(operation))
}

/// Makes a call that waits for the file system, and for nothing else.
pub(super) fn call<T: Send>(io: &dyn Io, call: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (mut call, mut value) = (Some(call), None);
    let mut job = || value = call.take().map(|call| call());
    perform(io, FileOperation::Call { job: Job::new(&mut job) })?.done()?;
    value.ok_or_else(|| io::Error::other("the Io reported success but did not make the call"))
}

/// Hands `f` the file; one in a directory opened, so that no link leads out of that.
fn with_subject<T>(
    io: &dyn Io,
    at: PathAt<'_>,
    follow: bool,
    f: impl FnOnce(FileTarget<'_>) -> io::Result<T>,
) -> io::Result<T> {
    if at.directory.is_none() {
        return f(FileTarget::Named { at, follow });
    }
    let file = at.open_path(io, if follow { OFlags::empty() } else { OFlags::NOFOLLOW })?;
    f(FileTarget::Open(&file))
}
