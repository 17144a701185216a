//! What is asked of a file system, as data.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::Path;

use rustix::fs::{Access, Advice};

use super::at::PathAt;
use super::job::Job;
use super::metadata::{FileTimes, FileType, Metadata};
use crate::descriptor::Descriptor;

/// What is asked of a file system, beside opening files, reading and writing.
///
/// None waits for anything but the file system. Paths in a directory are single names, so that none leads out
/// of it. Answered with `Done` where nothing else is said.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileOperation<'a> {
    /// Tells what there is to know about a file.
    Metadata {
        /// Of which.
        of: FileTarget<'a>,
        /// Where to put it.
        metadata: &'a mut Option<Metadata>,
    },
    /// Tells whether the process may use a file so.
    Access {
        /// Which one.
        of: FileTarget<'a>,
        /// How.
        access: Access,
    },
    /// Sets the permission bits.
    SetMode {
        /// Of which file. A link itself has none: `EOPNOTSUPP`.
        of: FileTarget<'a>,
        /// The bits, as in `chmod`.
        mode: u32,
    },
    /// Sets who owns a file; `None` leaves what is.
    SetOwner {
        /// Which one.
        of: FileTarget<'a>,
        /// The user.
        user: Option<u32>,
        /// The group.
        group: Option<u32>,
    },
    /// Sets the times.
    SetTimes {
        /// Of which file.
        of: FileTarget<'a>,
        /// Those to set; the others stay.
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
        /// What is to be done with it.
        how: Allocation,
    },
    /// Tells how a part of a file will be used.
    Advise {
        /// A file.
        file: &'a Descriptor,
        /// The beginning of the part, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: NonZeroU64,
        /// How.
        advice: Advice,
    },
    /// Locks a file as a whole, or lets it go; `EWOULDBLOCK` when somebody else's lock is in the way.
    Lock {
        /// A file; the lock belongs to it and its duplicates.
        file: &'a Descriptor,
        /// In place of the lock that it has.
        lock: Option<Lock>,
    },
    /// Copies from one file's position to another's, which move, inside the kernel. Answered with `Count`, 0 at
    /// the end. `EXDEV`, `EINVAL`, `EOPNOTSUPP` where the kernel does not do that.
    CopyRange {
        /// A file.
        from: &'a Descriptor,
        /// Another file.
        to: &'a Descriptor,
        /// How many bytes at most.
        bytes: usize,
    },
    /// Reads on in a directory. Answered with `Count`, how many entries were added, 0 only at the end.
    ReadDirectory {
        /// A directory, whose position moves.
        directory: &'a Descriptor,
        /// To which the entries are added; without `.` and `..`.
        entries: &'a mut Vec<Entry>,
        /// Set where these are the last ones, if that is known already.
        ended: &'a mut bool,
    },
    /// Reads a link. Answered with `Path`.
    ReadLink {
        /// The link.
        at: PathAt<'a>,
    },
    /// Makes a directory.
    MakeDirectory {
        /// Where.
        at: PathAt<'a>,
        /// Its permission bits, before the process' mask.
        mode: u32,
    },
    /// Removes a name.
    Remove {
        /// The name.
        at: PathAt<'a>,
        /// An empty directory's; else a file's.
        directory: bool,
    },
    /// Gives a file another name, in one step.
    Rename {
        /// Its name.
        from: PathAt<'a>,
        /// Its new name, on the same file system.
        to: PathAt<'a>,
        /// What happens to a file that has this name.
        how: Rename,
    },
    /// Gives a file a second name.
    Link {
        /// A name that it has; not followed if that is a link.
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
    /// Makes another call of this library's, which waits for the file system alone; unlike a closure of
    /// [`offload`](crate::Io#method.offload), which may wait for anything, an operation on files too.
    Call {
        /// The call.
        job: Job<'a>,
    },
    /// Makes a symbolic link.
    Symlink {
        /// What is in it.
        target: &'a Path,
        /// Its name.
        at: PathAt<'a>,
    },
}

/// A file, as an operation on one is told of it.
#[derive(Clone, Copy, Debug)]
pub enum FileTarget<'a> {
    /// One that is open, also for nothing (`O_PATH`).
    Open(&'a Descriptor),
    /// The one that has this name. In a directory, a link is not followed, whatever is said.
    Named {
        /// The name.
        at: PathAt<'a>,
        /// Whether the name of a link stands for what the link leads to.
        follow: bool,
    },
}

/// What [`FileOperation::Allocate`] does with a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocation {
    /// Finds room for it, so that writing there cannot fail for want of it. The file grows if it ends before.
    Extend,
    /// As `Extend`, but the length stays.
    Reserve,
    /// Gives the room back: it reads as zeros. The length stays.
    PunchHole,
}

/// What [`FileOperation::Rename`] does with a file that has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rename {
    /// It loses the name.
    Replace,
    /// It keeps the name, and the answer is `EEXIST`.
    NoReplace,
    /// Both files swap their names.
    Exchange,
}

/// An advisory lock of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// With others that are shared.
    Shared,
    /// With nobody.
    Exclusive,
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// The number of its file.
    pub inode: u64,
    /// The file's type, where the file system tells.
    pub file_type: Option<FileType>,
}
