//! The properties of an open file, such as its metadata and its storage.

use std::fs::Permissions;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use rustix::fs::Advice;
use rustix::io::Errno;

use super::file::File;
use super::names::{metadata_of, perform};
use crate::Io;
use crate::operation::{Allocation, AsPathAt, FileOperation, FileTarget, FileTimes, Metadata};

impl File {
    /// Returns the metadata of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `statx`.
    pub fn metadata(&self, io: &dyn Io) -> io::Result<Metadata> {
        metadata_of(io, FileTarget::Open(self.handle()))
    }

    /// Gives the file an additional name, `link`, on the same file system. For a [file without a
    /// name](super::temp_file) it is the first.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `link`; [`io::ErrorKind::NotFound`] if the last name of the file was removed.
    pub fn hard_link(&self, io: &dyn Io, link: impl AsPathAt) -> io::Result<()> {
        let file = self.handle();
        link.locate().with_name(io, |to| perform(io, FileOperation::LinkOpen { file, to })?.done())
    }

    /// Sets the permissions of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fchmod`.
    pub fn set_permissions(&self, io: &dyn Io, permissions: Permissions) -> io::Result<()> {
        let of = FileTarget::Open(self.handle());
        perform(io, FileOperation::SetMode { of, mode: permissions.mode() })?.done()
    }

    /// Sets the user and the group of the file; `None` leaves one unchanged.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fchown`.
    pub fn set_owner(&self, io: &dyn Io, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let of = FileTarget::Open(self.handle());
        perform(io, FileOperation::SetOwner { of, user, group })?.done()
    }

    /// Sets the times of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `futimens`.
    pub fn set_times(&self, io: &dyn Io, times: FileTimes) -> io::Result<()> {
        let of = FileTarget::Open(self.handle());
        perform(io, FileOperation::SetTimes { of, times: &times })?.done()
    }

    /// Sets the time of the last change of the content.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `futimens`.
    pub fn set_modified(&self, io: &dyn Io, time: SystemTime) -> io::Result<()> {
        self.set_times(io, FileTimes::new().set_modified(time))
    }

    /// Allocates storage for a part of the file, in bytes from its beginning, so that writing there does not fail for
    /// lack of space. A file that ends before the end of the part is extended with zeros.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fallocate`; [`io::ErrorKind::StorageFull`]; [`io::ErrorKind::InvalidInput`] for an empty part.
    pub fn allocate(&self, io: &dyn Io, part: Range<u64>) -> io::Result<()> {
        self.change_room(io, part, Allocation::Extend)
    }

    /// Allocates storage like [`allocate`](Self::allocate), but does not change the length of the file.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// See [`allocate`](Self::allocate).
    pub fn reserve(&self, io: &dyn Io, part: Range<u64>) -> io::Result<()> {
        self.change_room(io, part, Allocation::Reserve)
    }

    /// Returns the storage of a part of the file to the file system. The part then reads as zeros. The length does not
    /// change.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `fallocate`; [`io::ErrorKind::InvalidInput`] for an empty part.
    pub fn punch_hole(&self, io: &dyn Io, part: Range<u64>) -> io::Result<()> {
        self.change_room(io, part, Allocation::PunchHole)
    }

    /// Tells the kernel how a part of the file will be used, so that it can decide whether to read ahead.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `posix_fadvise`.
    pub fn advise(&self, io: &dyn Io, part: Range<u64>, advice: Advice) -> io::Result<()> {
        let length = part.end.checked_sub(part.start).ok_or(Errno::INVAL)?;
        // For the kernel, a length of zero means the whole rest of the file.
        let Some(length) = NonZeroU64::new(length) else { return Ok(io.check_cancel()?) };
        let advise = FileOperation::Advise { file: self.handle(), offset: part.start, length, advice };
        perform(io, advise)?.done()
    }

    fn change_room(&self, io: &dyn Io, part: Range<u64>, how: Allocation) -> io::Result<()> {
        let length = part.end.checked_sub(part.start).ok_or(Errno::INVAL)?;
        let allocate = FileOperation::Allocate { file: self.handle(), offset: part.start, length, how };
        perform(io, allocate)?.done()
    }
}
