//! Files that take the place of others as a whole.

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

/// A file that is written beside another and takes its place when it is complete: whoever opens the name finds the
/// old one or the new one, and so does the computer that lost its power in between.
///
/// Until then it has a name of its own in the same folder. Dropping it instead removes it, on the calling thread, as
/// dropping a file closes it; so nothing is left behind by errors and cancellations.
///
/// # What it has of the old file
///
/// A regular file's owner, group, permissions and extended attributes, access control lists among them. Not what the kernel
/// takes from a file that is written to (its capabilities), and no attribute that this process may not set or the file
/// system does not have. Where the process may not give the file to the old one's owner and group, it has the process's;
/// then nobody can run it with its owner's or its group's rights (it has no set-user-ID and no set-group-ID bit), and a
/// group that is another has no rights that others have not.
///
/// A symbolic link is not followed: the new file takes its place, wherever it leads, as a file that is new. So it does with
/// what is neither a link nor a regular file, directories excepted, which nothing replaces. Other names of the old file
/// (hard links) keep the old file.
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
    /// The name that it is to have in the folder.
    name: OsString,
    /// The name that it has; `None` when it has that one.
    temporary: Option<String>,
}

impl AtomicFile {
    /// Makes a file that is to have the name `path`, open for reading and writing.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `open`, `chown`, `chmod` and `setxattr`; [`io::ErrorKind::IsADirectory`] for a path that ends in a slash
    /// or in `.`.
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

    /// Gives the new file what the old one has beside its content.
    fn take_after(&self, io: &dyn Io, old: &Descriptor) -> io::Result<()> {
        let metadata = metadata_of(io, FileTarget::Open(old))?;
        if !metadata.is_file() {
            return Ok(());
        }
        let file = self.file.handle();
        // First: only the owner of a file may set some of them.
        call(io, || copy_attributes(old, file))??;
        let (has_user, has_group) = self.take_owner(io, &metadata)?;
        // Last: setting the owner takes some of its bits.
        let mode = mode_after(metadata.mode(), has_user, has_group);
        self.file.set_permissions(io, Permissions::from_mode(mode))
    }

    /// Gives the new file the old one's user and group, and says which of the two it has now.
    fn take_owner(&self, io: &dyn Io, old: &Metadata) -> io::Result<(bool, bool)> {
        let new = self.file.metadata(io)?;
        let has = (new.uid() == old.uid(), new.gid() == old.gid());
        if has == (true, true) || may(self.file.set_owner(io, Some(old.uid()), Some(old.gid())))? {
            return Ok((true, true));
        }
        Ok((has.0, has.1 || may(self.file.set_owner(io, None, Some(old.gid())))?))
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Brings the file to the disk and gives it its name, in place of the file that has it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point until the file is on the disk; it is removed then, and the old one is as it was.
    ///
    /// # Errors
    ///
    /// The errors of `fsync` and `rename`, with which the old file is as it was; those of bringing the name to the disk, after
    /// which either of them may be there when the power is lost.
    pub fn commit(self, io: &dyn Io) -> io::Result<()> {
        self.commit_as(io, Rename::Replace)
    }

    /// As [`commit`](Self::commit), unless a file has the name.
    ///
    /// # Cancellation
    ///
    /// As [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); [`io::ErrorKind::AlreadyExists`].
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
            // Nobody could be told.
            let _ = unlinkat(&self.folder, temporary.as_str(), AtFlags::empty());
        }
    }
}

/// Writes a whole file, so that whoever opens it finds the old content or the new: see [`AtomicFile`].
///
/// # Cancellation
///
/// A cancellation point; the old file is as it was then.
///
/// # Errors
///
/// Those of [`AtomicFile`] and of `write`.
pub fn write_atomic(io: &dyn Io, path: impl AsPathAt, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let new = AtomicFile::create(io, path)?;
    new.file().write_all(io, contents.as_ref())?;
    new.commit(io)
}

/// Whether the process may do what was tried. An owner that its name space does not know is `EINVAL`.
fn may(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::INVAL)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The permission bits of a file that takes the place of one with `mode`, and has its user and its group or not.
fn mode_after(mode: u32, has_user: bool, has_group: bool) -> u32 {
    const RUNS_AS_OWNER_OR_GROUP: u32 = 0o6000;
    let mut mode = mode & 0o7777;
    if !(has_user && has_group) {
        mode &= !RUNS_AS_OWNER_OR_GROUP;
    }
    if !has_group {
        // What others may is all that a stranger's group may.
        mode &= !0o070 | (mode & 0o007) << 3;
    }
    mode
}

/// What is about a content that is not there any more.
const ABOUT_CONTENT: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// The most bytes that an attribute has, and that the names of all have together.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Copies the extended attributes of a file that is open for nothing (`O_PATH`) to one that is new.
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
        // It may have inherited one from the folder.
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

/// Whether an attribute is not there, or none that this process may read or set.
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
