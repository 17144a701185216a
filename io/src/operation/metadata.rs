//! What there is to know about a file.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Statx, StatxFlags, StatxTimestamp};

/// What there is to know about a file, as in std.
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
    /// What has to be asked of the kernel.
    pub const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        rustix::fs::FileType::from_raw_mode(self.statx.stx_mode.into()).into()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// The length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "as in std")]
    pub fn len(&self) -> u64 {
        self.statx.stx_size
    }

    /// The permissions.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// When the content was last changed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::MTIME, self.statx.stx_mtime)
    }

    /// When the content was last read, as far as the file system keeps count.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn accessed(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::ATIME, self.statx.stx_atime)
    }

    /// When the file was made.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn created(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::BTIME, self.statx.stx_btime)
    }

    /// When content or metadata were last changed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where the file system does not keep it.
    pub fn changed(&self) -> io::Result<SystemTime> {
        self.time(StatxFlags::CTIME, self.statx.stx_ctime)
    }

    /// The device on which the file is.
    pub fn dev(&self) -> u64 {
        rustix::fs::makedev(self.statx.stx_dev_major, self.statx.stx_dev_minor)
    }

    /// The number of the file on its device.
    pub fn ino(&self) -> u64 {
        self.statx.stx_ino
    }

    /// Type and permission bits.
    pub fn mode(&self) -> u32 {
        self.statx.stx_mode.into()
    }

    /// How many names the file has.
    pub fn nlink(&self) -> u64 {
        self.statx.stx_nlink.into()
    }

    /// The user to whom it belongs.
    pub fn uid(&self) -> u32 {
        self.statx.stx_uid
    }

    /// The group to which it belongs.
    pub fn gid(&self) -> u32 {
        self.statx.stx_gid
    }

    /// Which device it stands for, if it does.
    pub fn rdev(&self) -> u64 {
        rustix::fs::makedev(self.statx.stx_rdev_major, self.statx.stx_rdev_minor)
    }

    /// How many bytes to read and write at once.
    pub fn blksize(&self) -> u64 {
        self.statx.stx_blksize.into()
    }

    /// How many blocks of 512 bytes it takes on the disk.
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

/// What kind of file it is, as in std.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileType(rustix::fs::FileType);

impl From<rustix::fs::FileType> for FileType {
    fn from(file_type: rustix::fs::FileType) -> Self {
        Self(file_type)
    }
}

impl FileType {
    /// A directory.
    pub fn is_dir(&self) -> bool {
        self.0 == rustix::fs::FileType::Directory
    }

    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.0 == rustix::fs::FileType::RegularFile
    }

    /// A symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.0 == rustix::fs::FileType::Symlink
    }

    /// A pipe that has a name.
    pub fn is_fifo(&self) -> bool {
        self.0 == rustix::fs::FileType::Fifo
    }

    /// A socket.
    pub fn is_socket(&self) -> bool {
        self.0 == rustix::fs::FileType::Socket
    }

    /// A device that is read in blocks.
    pub fn is_block_device(&self) -> bool {
        self.0 == rustix::fs::FileType::BlockDevice
    }

    /// A device that is read in bytes.
    pub fn is_char_device(&self) -> bool {
        self.0 == rustix::fs::FileType::CharacterDevice
    }
}

/// Times to be set, as in std; those that are not named stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTimes {
    pub(crate) accessed: Option<SystemTime>,
    pub(crate) modified: Option<SystemTime>,
}

impl FileTimes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the content was last read.
    #[must_use]
    pub fn set_accessed(self, time: SystemTime) -> Self {
        Self { accessed: Some(time), ..self }
    }

    /// When the content was last changed.
    #[must_use]
    pub fn set_modified(self, time: SystemTime) -> Self {
        Self { modified: Some(time), ..self }
    }
}
