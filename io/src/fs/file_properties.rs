//! What an open file is, beside its content.

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
    /// What is known of the file.
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

    /// Gives the file another name, `link`, on the same file system; a [file without a name](super::temp_file) its first.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `link`; [`io::ErrorKind::NotFound`] where the last of its names was removed.
    pub fn hard_link(&self, io: &dyn Io, link: impl AsPathAt) -> io::Result<()> {
        let file = self.handle();
        link.locate().with_name(io, |to| perform(io, FileOperation::LinkOpen { file, to })?.done())
    }

    /// Sets its permissions.
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

    /// Sets its user and its group; `None` leaves what is.
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

    /// Sets its times.
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

    /// Sets when its content was last changed.
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

    /// Finds room on the disk for a part of the file, in bytes from its beginning, so that writing there does not
    /// fail for want of it. The file grows (with zeros) if it ends before.
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

    /// As [`allocate`](Self::allocate), but the file's length stays.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate).
    pub fn reserve(&self, io: &dyn Io, part: Range<u64>) -> io::Result<()> {
        self.change_room(io, part, Allocation::Reserve)
    }

    /// Gives the room of a part of the file back to the disk: it reads as zeros. The length stays.
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

    /// Tells the kernel how a part of the file will be used, so that it reads ahead, or does not.
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
        // The kernel takes none for all the rest.
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
