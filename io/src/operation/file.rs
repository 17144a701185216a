//! The operations on a file system.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::Path;

use rustix::fs::{Access, Advice};

use super::at::PathAt;
use super::job::Job;
use super::metadata::{FileTimes, FileType, Metadata};
use crate::descriptor::Descriptor;

/// An operation on a file system, other than to open, read or write a file.
///
/// None waits for anything but the file system. Paths in a directory are single names, so that none leads out
/// of it. The answer is `Done`, unless the variant says otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileOperation<'a> {
    /// Reads the metadata of a file.
    Metadata {
        /// The file.
        of: FileTarget<'a>,
        /// Where to put the metadata.
        metadata: &'a mut Option<Metadata>,
    },
    /// Checks whether the process may use a file in a way, and fails if it may not.
    Access {
        /// The file.
        of: FileTarget<'a>,
        /// The way of use.
        access: Access,
    },
    /// Sets the permission bits.
    SetMode {
        /// The file. A link itself has no permission bits: `EOPNOTSUPP`.
        of: FileTarget<'a>,
        /// The bits, as in `chmod`.
        mode: u32,
    },
    /// Sets the owner of a file; `None` leaves the user or the group as it is.
    SetOwner {
        /// The file.
        of: FileTarget<'a>,
        /// The user.
        user: Option<u32>,
        /// The group.
        group: Option<u32>,
    },
    /// Sets the times.
    SetTimes {
        /// The file.
        of: FileTarget<'a>,
        /// The times to set; the others stay.
        times: &'a FileTimes,
    },
    /// Cuts or extends a file (with zeros).
    SetLength {
        /// A file that is open for writing.
        file: &'a Descriptor,
        /// The new length in bytes.
        length: u64,
    },
    /// Changes which parts of a file have room on the disk.
    Allocate {
        /// A file that is open for writing.
        file: &'a Descriptor,
        /// The beginning of the part, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// The change.
        how: Allocation,
    },
    /// Tells the kernel how a part of a file will be used.
    Advise {
        /// A file.
        file: &'a Descriptor,
        /// The beginning of the part, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: NonZeroU64,
        /// The kind of use.
        advice: Advice,
    },
    /// Locks a file as a whole, or unlocks it. Fails with `EWOULDBLOCK` if the lock of another holder is in the way.
    Lock {
        /// A file; the lock belongs to it and its duplicates.
        file: &'a Descriptor,
        /// The lock, in place of the one that it has; `None` unlocks it.
        lock: Option<Lock>,
    },
    /// Copies from one file's position to another's, which move, inside the kernel. Answered with `Count`, which is 0 at
    /// the end. Fails with `EXDEV`, `EINVAL` or `EOPNOTSUPP` if the kernel cannot do that.
    CopyRange {
        /// A file.
        from: &'a Descriptor,
        /// Another file.
        to: &'a Descriptor,
        /// The largest number of bytes to copy.
        bytes: usize,
    },
    /// Reads further entries of a directory. Answered with `Count`, the number of entries that were added, which is 0 only at
    /// the end.
    ReadDirectory {
        /// A directory, whose position moves.
        directory: &'a Descriptor,
        /// The list to which the entries are added, without `.` and `..`.
        entries: &'a mut Vec<Entry>,
        /// Set to true if these entries are known to be the last ones.
        ended: &'a mut bool,
    },
    /// Reads a link. Answered with `Path`.
    ReadLink {
        /// The link.
        at: PathAt<'a>,
    },
    /// Makes a directory.
    MakeDirectory {
        /// The directory's place.
        at: PathAt<'a>,
        /// Its permission bits, before the process' mask.
        mode: u32,
    },
    /// Removes a name.
    Remove {
        /// The name.
        at: PathAt<'a>,
        /// True for the name of an empty directory, false for the name of a file.
        directory: bool,
    },
    /// Gives a file another name, in one step.
    Rename {
        /// Its name.
        from: PathAt<'a>,
        /// Its new name, on the same file system.
        to: PathAt<'a>,
        /// What happens to a file that already has the new name.
        how: Rename,
    },
    /// Gives a file a second name.
    Link {
        /// A name that it has; a link is not followed.
        from: PathAt<'a>,
        /// The second name.
        to: PathAt<'a>,
    },
    /// Gives an open file another name.
    LinkOpen {
        /// The file.
        file: &'a Descriptor,
        /// The name.
        to: PathAt<'a>,
    },
    /// Makes another call of this library, which waits for the file system alone. A closure of
    /// [`offload`](crate::Io#method.offload), in contrast, may wait for anything, also for an operation on files.
    Call {
        /// The call.
        job: Job<'a>,
    },
    /// Makes a symbolic link.
    Symlink {
        /// The path that the link contains.
        target: &'a Path,
        /// Its name.
        at: PathAt<'a>,
    },
}

/// The file that an operation is about.
#[derive(Clone, Copy, Debug)]
pub enum FileTarget<'a> {
    /// A file that is open, or only named by its descriptor (`O_PATH`).
    Open(&'a Descriptor),
    /// The file that has this name. In a directory, a link is never followed.
    Named {
        /// The name.
        at: PathAt<'a>,
        /// True if the name of a link stands for the file that the link leads to.
        follow: bool,
    },
}

/// What [`FileOperation::Allocate`] does with a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocation {
    /// Reserves room for the part, so that no write to it fails for lack of room. The file grows if it ends before the end of
    /// the part.
    Extend,
    /// Reserves room as `Extend` does, but keeps the length of the file.
    Reserve,
    /// Gives the room back, so that the part reads as zeros. The length stays.
    PunchHole,
}

/// What [`FileOperation::Rename`] does with a file that has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rename {
    /// The file loses the name.
    Replace,
    /// The file keeps the name, and the operation fails with `EEXIST`.
    NoReplace,
    /// The two files swap their names.
    Exchange,
}

/// An advisory lock of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// A lock that several holders may have at the same time.
    Shared,
    /// A lock that excludes all others.
    Exclusive,
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// The inode number of its file.
    pub inode: u64,
    /// The file's type, if the file system reports it.
    pub file_type: Option<FileType>,
}
