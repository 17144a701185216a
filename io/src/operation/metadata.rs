//! The metadata of files.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Statx, StatxFlags, StatxTimestamp};

/// The metadata of a file, as in std.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    statx: Statx,
}

impl From<Statx> for Metadata {
    fn from(statx: Statx) -> Self {
        Self { statx }
    }
}

impl Metadata {
    /// The fields that have to be requested from the kernel.
    pub const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

    /// Returns the type of the file.
    pub fn file_type(&self) -> FileType {
        rustix::fs::FileType::from_raw_mode(self.statx.stx_mode.into()).into()
    }

    /// Returns true if the file is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Returns true if the file is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Returns true if the file is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Returns the length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "as in std")]
    pub fn len(&self) -> u64 {
        self.statx.stx_size
    }

    /// Returns the permissions.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// Returns the time at which the content was last changed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::MTIME, self.statx.stx_mtime)
    }

    /// Returns the time at which the content was last read, as far as the file system records that.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn accessed(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::ATIME, self.statx.stx_atime)
    }

    /// Returns the time at which the file was made.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn created(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::BTIME, self.statx.stx_btime)
    }

    /// Returns the time at which content or metadata were last changed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn changed(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::CTIME, self.statx.stx_ctime)
    }

    /// Returns the device on which the file is.
    pub fn dev(&self) -> u64 {
        rustix::fs::makedev(self.statx.stx_dev_major, self.statx.stx_dev_minor)
    }

    /// Returns the number of the file on its device.
    pub fn ino(&self) -> u64 {
        self.statx.stx_ino
    }

    /// Returns the bits of the type and of the permissions.
    pub fn mode(&self) -> u32 {
        self.statx.stx_mode.into()
    }

    /// Returns the number of names that the file has.
    pub fn nlink(&self) -> u64 {
        self.statx.stx_nlink.into()
    }

    /// Returns the user that owns the file.
    pub fn uid(&self) -> u32 {
        self.statx.stx_uid
    }

    /// Returns the group that owns the file.
    pub fn gid(&self) -> u32 {
        self.statx.stx_gid
    }

    /// Returns the device that the file stands for, if it stands for one.
    pub fn rdev(&self) -> u64 {
        rustix::fs::makedev(self.statx.stx_rdev_major, self.statx.stx_rdev_minor)
    }

    /// Returns the number of bytes that are best read and written at once.
    pub fn blksize(&self) -> u64 {
        self.statx.stx_blksize.into()
    }

    /// Returns the number of blocks of 512 bytes that the file takes on the disk.
    pub fn blocks(&self) -> u64 {
        self.statx.stx_blocks
    }

    fn time(&self, which: StatxFlags, time: StatxTimestamp) -> io::Result<SystemTime> {
        if self.statx.stx_mask & which.bits() == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the file system does not keep this time"));
        }
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        let whole = if time.tv_sec < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
        Ok(whole + Duration::from_nanos(time.tv_nsec.into()))
    }
}

/// The type of a file, as in std.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileType(rustix::fs::FileType);

impl From<rustix::fs::FileType> for FileType {
    fn from(file_type: rustix::fs::FileType) -> Self {
        Self(file_type)
    }
}

impl FileType {
    /// Returns true for a directory.
    pub fn is_dir(&self) -> bool {
        self.0 == rustix::fs::FileType::Directory
    }

    /// Returns true for a regular file.
    pub fn is_file(&self) -> bool {
        self.0 == rustix::fs::FileType::RegularFile
    }

    /// Returns true for a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.0 == rustix::fs::FileType::Symlink
    }

    /// Returns true for a pipe that has a name.
    pub fn is_fifo(&self) -> bool {
        self.0 == rustix::fs::FileType::Fifo
    }

    /// Returns true for a socket.
    pub fn is_socket(&self) -> bool {
        self.0 == rustix::fs::FileType::Socket
    }

    /// Returns true for a device that is read in blocks.
    pub fn is_block_device(&self) -> bool {
        self.0 == rustix::fs::FileType::BlockDevice
    }

    /// Returns true for a device that is read in bytes.
    pub fn is_char_device(&self) -> bool {
        self.0 == rustix::fs::FileType::CharacterDevice
    }
}

/// The times of a file that are to be set, as in std; the others stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTimes {
    pub(crate) accessed: Option<SystemTime>,
    pub(crate) modified: Option<SystemTime>,
}

impl FileTimes {
    /// Makes a value with no time to be set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time at which the content was last read.
    #[must_use]
    pub fn set_accessed(self, time: SystemTime) -> Self {
        Self { accessed: Some(time), ..self }
    }

    /// Sets the time at which the content was last changed.
    #[must_use]
    pub fn set_modified(self, time: SystemTime) -> Self {
        Self { modified: Some(time), ..self }
    }
}
