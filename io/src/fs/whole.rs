//! Whole files at once.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::io::Errno;

use super::file::File;
use super::names::perform;
use crate::Io;
use crate::operation::{AsPathAt, FileOperation, OpenOptions};
use crate::stream::{ReadMore, read_all};

/// How many bytes the kernel copies at once: what a request waits for.
const COPY_BYTES: usize = 16 << 20;

/// Reads a whole file.
///
/// # Cancellation
///
/// A cancellation point. What was read by then is dropped; who must not lose it, of a FIFO, opens a [`File`].
///
/// # Errors
///
/// The errors of `open` and `read`.
pub fn read(io: &dyn Io, path: impl AsPathAt) -> io::Result<Vec<u8>> {
    let file = File::open(io, path)?;
    // One more, so that the end is found without more room.
    let length = usize::try_from(file.len(io)?).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length)?;
    read_all(&mut bytes, ReadMore::expecting(length), |buffer| file.read(io, buffer))?;
    Ok(bytes)
}

/// Reads a whole file as text.
///
/// # Cancellation
///
/// As [`read`].
///
/// # Errors
///
/// The errors of `open` and `read`; [`io::ErrorKind::InvalidData`] when it is not UTF-8, with a
/// [`FromUtf8Error`](std::string::FromUtf8Error) that has the bytes.
pub fn read_to_string(io: &dyn Io, path: impl AsPathAt) -> io::Result<String> {
    String::from_utf8(read(io, path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes a whole file, made if it does not exist and cut if it does. To leave the old one as it is until all of
/// the new one is there, [`write_atomic`](super::write_atomic).
///
/// # Cancellation
///
/// A cancellation point; what was written by then is there.
///
/// # Errors
///
/// The errors of `open` and `write`.
pub fn write(io: &dyn Io, path: impl AsPathAt, contents: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(io, path)?.write_all(io, contents.as_ref())
}

/// Copies a file and its permissions; how many bytes. File systems that can do so let both files share them.
///
/// As with std, the copy has the owner that it has anyway: this process's user, or the one of the file that was there.
/// Where that is another than the original's, the copy lets nobody run it with its owner's or its group's rights (it has
/// no set-user-ID and no set-group-ID bit).
///
/// # Cancellation
///
/// A cancellation point; what was copied by then is there.
///
/// # Errors
///
/// The errors of `open`, `read` and `write`; [`io::ErrorKind::InvalidInput`] when it is no regular file.
pub fn copy(io: &dyn Io, from: impl AsPathAt, to: impl AsPathAt) -> io::Result<u64> {
    let from = File::open(io, from)?;
    let metadata = from.metadata(io)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the source of the copy is not a regular file"));
    }
    let mut options = OpenOptions::new();
    let to = options.write(true).create(true).truncate(true).mode(metadata.mode() & 0o777).open(io, to)?;
    // What had the name already keeps its own mode until here.
    let copied_to = to.metadata(io)?;
    if copied_to.is_file() {
        let same_owner = (copied_to.uid(), copied_to.gid()) == (metadata.uid(), metadata.gid());
        let mode = if same_owner { 0o7777 } else { 0o1777 } & metadata.mode();
        to.set_permissions(io, Permissions::from_mode(mode))?;
    }
    let copied = copy_in_kernel(io, &from, &to)?;
    Ok(copied + crate::copy(io, &from, &to)?)
}

/// Copies as much as the kernel does by itself; how many bytes.
fn copy_in_kernel(io: &dyn Io, from: &File, to: &File) -> io::Result<u64> {
    let (from, to) = (from.handle(), to.handle());
    let mut copied = 0;
    loop {
        match perform(io, FileOperation::CopyRange { from, to, bytes: COPY_BYTES }) {
            Ok(output) => match output.count(COPY_BYTES)? {
                0 => return Ok(copied),
                count => copied += count as u64,
            },
            Err(error) if is_refusal(&error) => return Ok(copied),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the kernel does not copy between these two.
fn is_refusal(error: &io::Error) -> bool {
    const REFUSALS: [Errno; 6] = [Errno::XDEV, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM, Errno::BADF];
    error.kind() == io::ErrorKind::Unsupported
        || Errno::from_io_error(error).is_some_and(|errno| REFUSALS.contains(&errno))
}
