//! Names of files: links, renaming, and the properties of the file that has a name.

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

/// Returns the metadata of the file to which a path leads.
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

/// Returns the metadata of a file like [`metadata`], but does not follow a link at the end of the path.
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

/// Returns true if a path leads to a file. A dangling link does not.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `statx` if the answer cannot be determined.
pub fn exists(io: &dyn Io, path: impl AsPathAt) -> io::Result<bool> {
    match metadata(io, path.locate()) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Succeeds if this process may use a file as `access` says, checked with the rights with which the process would open
/// it. The answer may be out of date when it arrives: to open a file, just open it.
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
/// The errors of `faccessat`: [`io::ErrorKind::PermissionDenied`] if the process may not.
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

/// Sets the user and the group of a file; `None` leaves one unchanged.
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

/// Sets the user and the group like [`chown`], but does not follow a link at the end of the path.
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

/// Renames a file in one step. A file that has the new name is replaced; a directory can only replace an empty
/// directory.
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

/// Renames a file like [`rename`], but never replaces another file.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `renameat2`; [`io::ErrorKind::AlreadyExists`]; `EINVAL` if the file system does not support it.
pub fn rename_noreplace(io: &dyn Io, from: impl AsPathAt, to: impl AsPathAt) -> io::Result<()> {
    rename_as(io, from.locate(), to.locate(), Rename::NoReplace)
}

/// Swaps the names of two files in one step.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `renameat2`; `EINVAL` if the file system does not support it.
pub fn rename_exchange(io: &dyn Io, one: impl AsPathAt, other: impl AsPathAt) -> io::Result<()> {
    rename_as(io, one.locate(), other.locate(), Rename::Exchange)
}

pub(super) fn rename_as(io: &dyn Io, from: PathAt<'_>, to: PathAt<'_>, how: Rename) -> io::Result<()> {
    from.with_name(io, |from| to.with_name(io, |to| perform(io, FileOperation::Rename { from, to, how })?.done()))
}

/// Gives the file `original` an additional name, `link`, on the same file system. A link is not followed.
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

/// Makes a symbolic link, `link`, that leads to `original`, which is not checked.
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

/// Returns the target of a symbolic link.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `readlink`; [`io::ErrorKind::InvalidInput`] if the file is not a link.
pub fn read_link(io: &dyn Io, path: impl AsPathAt) -> io::Result<PathBuf> {
    path.locate().with_name_looked_up(io, |at| perform(io, FileOperation::ReadLink { at })?.path())
}

/// Returns the absolute path of a file, without links, `.` and `..`.
///
/// # Cancellation
///
/// A cancellation point.
///
/// # Errors
///
/// The errors of `realpath`; for a location [in a `Dir`](super::Dir::at), the errors of `openat2` and `readlink`.
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

/// Returns true if it is certain that `at` is a directory.
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

/// Makes a call that waits only for the file system.
pub(super) fn call<T: Send>(io: &dyn Io, call: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (mut call, mut value) = (Some(call), None);
    let mut job = || value = call.take().map(|call| call());
    perform(io, FileOperation::Call { job: Job::new(&mut job) })?.done()?;
    value.ok_or_else(|| io::Error::other("the Io reported success but did not make the call"))
}

/// Calls `f` with the file. A file in a directory is opened first, so that no link leads out of the directory.
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
