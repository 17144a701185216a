//! Reading, writing and copying whole files.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::io::Errno;

use super::file::File;
use super::names::perform;
use crate::Io;
use crate::operation::{AsPathAt, FileOperation, OpenOptions};
use crate::stream::{ReadMore, read_all};

/// The number of bytes that the kernel copies at once, and for which a cancellation request has to wait.
const COPY_BYTES: usize = 16 << 20;

/// Reads a whole file.
///
/// # Cancellation
///
/// A cancellation point. The bytes that were read by then are dropped. If they must not be lost, as with a FIFO, open a
/// [`File`] instead.
///
/// # Errors
///
/// The errors of `open` and `read`.
pub fn read(io: &dyn Io, path: impl AsPathAt) -> io::Result<Vec<u8>> {
    let file = File::open(io, path)?;
    // One more byte, so that the end is found without growing the buffer.
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
/// A cancellation point; see [`read`].
///
/// # Errors
///
/// The errors of `open` and `read`; [`io::ErrorKind::InvalidData`] if the file is not UTF-8, with a
/// [`FromUtf8Error`](std::string::FromUtf8Error) that holds the bytes.
pub fn read_to_string(io: &dyn Io, path: impl AsPathAt) -> io::Result<String> {
    String::from_utf8(read(io, path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes a whole file. Makes it if it does not exist and truncates it if it does.
/// [`write_atomic`](super::write_atomic) keeps the old file until the new one is complete.
///
/// # Cancellation
///
/// A cancellation point. The bytes that were written by then are in the file.
///
/// # Errors
///
/// The errors of `open` and `write`.
pub fn write(io: &dyn Io, path: impl AsPathAt, contents: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(io, path)?.write_all(io, contents.as_ref())
}

/// Copies a file and its permissions. Returns the number of bytes. On file systems that support it, both files share
/// their storage.
///
/// As with std, the owner of the copy does not change: it is the user of this process, or the owner of a file that
/// existed before. If that differs from the owner of the original, nobody can run the copy with the rights of its owner
/// or group (its set-user-ID and set-group-ID bits are cleared).
///
/// # Cancellation
///
/// A cancellation point. The bytes that were copied by then are in the copy.
///
/// # Errors
///
/// The errors of `open`, `read` and `write`; [`io::ErrorKind::InvalidInput`] if the source is not a regular file.
pub fn copy(io: &dyn Io, from: impl AsPathAt, to: impl AsPathAt) -> io::Result<u64> {
    let from = File::open(io, from)?;
    let metadata = from.metadata(io)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the source of the copy is not a regular file"));
    }
    let mut options = OpenOptions::new();
    let to = options.write(true).create(true).truncate(true).mode(metadata.mode() & 0o777).open(io, to)?;
    // A file that existed before keeps its own mode until here.
    let copied_to = to.metadata(io)?;
    if copied_to.is_file() {
        let same_owner = (copied_to.uid(), copied_to.gid()) == (metadata.uid(), metadata.gid());
        let mode = if same_owner { 0o7777 } else { 0o1777 } & metadata.mode();
        to.set_permissions(io, Permissions::from_mode(mode))?;
    }
    let copied = copy_in_kernel(io, &from, &to)?;
    Ok(copied + crate::copy(io, &from, &to)?)
}

/// Copies as much as the kernel can copy by itself. Returns the number of bytes.
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

/// Returns true if the error says that the kernel does not copy between these two files.
fn is_refusal(error: &io::Error) -> bool {
    const REFUSALS: [Errno; 6] = [Errno::XDEV, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM, Errno::BADF];
    error.kind() == io::ErrorKind::Unsupported
        || Errno::from_io_error(error).is_some_and(|errno| REFUSALS.contains(&errno))
}
