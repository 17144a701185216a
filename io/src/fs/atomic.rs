//! Files that replace other files as a whole.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, OFlags, XattrFlags, fremovexattr, fsetxattr, getxattr, listxattr, unlinkat};
use rustix::io::Errno;

use super::dir::Dir;
use super::file::File;
use super::names::{call, metadata_of, rename_as};
use super::temp::create_unique;
use crate::Io;
use crate::descriptor::{Descriptor, path_of};
use crate::operation::{AsPathAt, FileTarget, Metadata, Rename};

/// A file that is written beside another one and replaces it when it is complete. A program that opens the name finds
/// either the old file or the new one, and so does a computer that lost power in between.
///
/// Until then the new file has a temporary name in the same folder. Dropping this value removes the new file, on the
/// calling thread, just as dropping a file closes it, so that errors and cancellations leave nothing behind.
///
/// # Attributes that it takes from the old file
///
/// From a regular file, it takes the owner, group, permissions and extended attributes, including access control lists.
/// It does not take what the kernel removes from a file that is written to (its capabilities), nor an attribute that
/// this process may not set or that the file system does not support. If the process may not give the file to the old
/// owner and group, the file has those of the process. In that case nobody can run it with the rights of its owner or
/// group (its set-user-ID and set-group-ID bits are cleared), and a group that differs from the old one gets no rights
/// that others do not have.
///
/// A symbolic link is not followed: the new file replaces the link, wherever it leads, and takes nothing from it. The
/// same holds for anything else that is not a regular file, except directories, which cannot be replaced. Other names
/// of the old file (hard links) keep the old file.
///
/// ```
/// use iolite_io::{Io, fs::AtomicFile};
///
/// fn save(io: &dyn Io, lines: &[String]) -> std::io::Result<()> {
///     let new = AtomicFile::create(io, "settings.txt")?;
///     for line in lines {
///         new.file().write_all(io, line.as_bytes())?;
///     }
///     new.commit(io)
/// }
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    folder: Dir,
    /// The name that the file will have in the folder.
    name: OsString,
    /// The name that it has now; `None` once it has its final name.
    temporary: Option<String>,
}

impl AtomicFile {
    /// Makes a file that will have the name `path`, and opens it for reading and writing.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `open`, `chown`, `chmod` and `setxattr`; [`io::ErrorKind::IsADirectory`] for a path that ends in a
    /// slash or in `.`.
    pub fn create(io: &dyn Io, path: impl AsPathAt) -> io::Result<Self> {
        let at = path.locate();
        let (folder, name) = at.split().ok_or(Errno::INVAL)?;
        if at.ends_as_directory() {
            return Err(Errno::ISDIR.into());
        }
        let folder = Dir::open(io, folder)?;
        let (file, temporary) = create_unique(io, &folder, ".", 0o666)?;
        let atomic = Self { file, folder, name: name.into(), temporary: Some(temporary) };
        match atomic.folder.at(&atomic.name).open_path(io, OFlags::NOFOLLOW) {
            Ok(old) => atomic.take_after(io, &old)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(atomic)
    }

    /// Copies the attributes of the old file to the new one.
    fn take_after(&self, io: &dyn Io, old: &Descriptor) -> io::Result<()> {
        let metadata = metadata_of(io, FileTarget::Open(old))?;
        if !metadata.is_file() {
            return Ok(());
        }
        let file = self.file.handle();
        // First, because only the owner of a file may set some of them.
        call(io, || copy_attributes(old, file))??;
        let (has_user, has_group) = self.take_owner(io, &metadata)?;
        // Last, because setting the owner clears some of the bits.
        let mode = mode_after(metadata.mode(), has_user, has_group);
        self.file.set_permissions(io, Permissions::from_mode(mode))
    }

    /// Gives the new file the old one's user and group. Returns for each of the two whether the new file now has it.
    fn take_owner(&self, io: &dyn Io, old: &Metadata) -> io::Result<(bool, bool)> {
        let new = self.file.metadata(io)?;
        let has = (new.uid() == old.uid(), new.gid() == old.gid());
        if has == (true, true) || may(self.file.set_owner(io, Some(old.uid()), Some(old.gid())))? {
            return Ok((true, true));
        }
        Ok((has.0, has.1 || may(self.file.set_owner(io, None, Some(old.gid())))?))
    }

    /// Returns the new file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes the file to the disk and gives it its name, in place of the file that had it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point until the file is on the disk. After a cancellation the new file is removed, and the old
    /// one is unchanged.
    ///
    /// # Errors
    ///
    /// The errors of `fsync` and `rename`, after which the old file is unchanged. If writing the name to the disk
    /// fails, either of the two files may exist after a loss of power.
    pub fn commit(self, io: &dyn Io) -> io::Result<()> {
        self.commit_as(io, Rename::Replace)
    }

    /// Commits like [`commit`](Self::commit), but fails if a file has the name.
    ///
    /// # Cancellation
    ///
    /// See [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// The errors of [`commit`](Self::commit); [`io::ErrorKind::AlreadyExists`].
    pub fn commit_new(self, io: &dyn Io) -> io::Result<()> {
        self.commit_as(io, Rename::NoReplace)
    }

    fn commit_as(mut self, io: &dyn Io, how: Rename) -> io::Result<()> {
        self.file.sync_all(io)?;
        io.shield(|io| {
            if let Some(temporary) = &self.temporary {
                rename_as(io, self.folder.at(temporary), self.folder.at(&self.name), how)?;
                self.temporary = None;
            }
            self.folder.sync_all(io)
        })
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // There is nobody to report an error to.
            let _ = unlinkat(&self.folder, temporary.as_str(), AtFlags::empty());
        }
    }
}

/// Writes a whole file so that other programs see either the old content or the new one; see [`AtomicFile`].
///
/// # Cancellation
///
/// A cancellation point, after which the old file is unchanged.
///
/// # Errors
///
/// The errors of [`AtomicFile`] and of `write`.
pub fn write_atomic(io: &dyn Io, path: impl AsPathAt, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let new = AtomicFile::create(io, path)?;
    new.file().write_all(io, contents.as_ref())?;
    new.commit(io)
}

/// Returns false if the process was not permitted to do what it tried. An owner that is unknown in its user namespace
/// gives `EINVAL`.
fn may(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::INVAL)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the permission bits of a file that replaces one with `mode`, depending on whether it has that file's user
/// and group.
fn mode_after(mode: u32, has_user: bool, has_group: bool) -> u32 {
    const RUNS_AS_OWNER_OR_GROUP: u32 = 0o6000;
    let mut mode = mode & 0o7777;
    if !(has_user && has_group) {
        mode &= !RUNS_AS_OWNER_OR_GROUP;
    }
    if !has_group {
        // A different group gets only the rights that others have.
        mode &= !0o070 | (mode & 0o007) << 3;
    }
    mode
}

/// Attributes that describe a content, which is replaced.
const ABOUT_CONTENT: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// The maximum size of an attribute in bytes, and of the names of all attributes together.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Copies the extended attributes of a file that was opened with `O_PATH` to a new file.
fn copy_attributes(from: &Descriptor, to: &Descriptor) -> rustix::io::Result<()> {
    let path = path_of(from);
    let mut names = Vec::with_capacity(ATTRIBUTE_BYTES_MAX);
    match listxattr(&path, spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error),
    }
    let names: Vec<&[u8]> = names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    if !names.contains(&ACCESS_LIST) {
        // The new file may have inherited one from the folder.
        let inherited = fremovexattr(to, ACCESS_LIST);
        inherited.or_else(|error| if is_left_out(error) { Ok(()) } else { Err(error) })?;
    }
    let mut value = Vec::with_capacity(ATTRIBUTE_BYTES_MAX);
    for name in names.into_iter().filter(|name| !ABOUT_CONTENT.contains(name)) {
        value.clear();
        let copied = getxattr(&path, name, spare_capacity(&mut value))
            .and_then(|_| fsetxattr(to, name, &value, XattrFlags::empty()));
        copied.or_else(|error| if is_left_out(error) { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// Returns true if the attribute does not exist or this process may not read or set it.
fn is_left_out(error: Errno) -> bool {
    matches!(error, Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS)
}

#[cfg(test)]
mod tests {
    use super::mode_after;

    #[test]
    fn a_file_of_another_owner_gives_nobody_more_rights() {
        for (mode, has_user, has_group, expected) in [
            (0o106755, true, true, 0o6755),
            (0o106755, false, true, 0o755),
            (0o106755, true, false, 0o755),
            (0o100664, true, false, 0o644),
            (0o100660, false, false, 0o600),
            (0o101674, false, false, 0o1644),
        ] {
            assert_eq!(mode_after(mode, has_user, has_group), expected, "{mode:o}");
        }
    }
}
