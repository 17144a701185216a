//! The operations on file systems, as system calls.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    self, Access, AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Gid, Mode, RawDir, RenameFlags, ResolveFlags,
    Timespec, Timestamps, UTIME_OMIT, Uid,
};
use rustix::io::{Errno, retry_on_intr};

use super::quick::open_flags;
use crate::descriptor::{Descriptor, path_of};
use crate::operation::{
    Allocation, Entry, FileOperation, FileTarget, FileTimes, Lock, Metadata, OpenOptions, Output, PathAt, Rename,
};

/// The number of bytes of entries that are read at once.
const ENTRIES_BYTES: usize = 32 << 10;

/// The number of entries at which one call stops reading.
const ENTRIES_MIN: usize = 64;

/// Performs an operation on files on the calling thread, which waits for the disk.
///
/// # Cancellation
///
/// Not a cancellation point: the backend checks first.
///
/// # Errors
///
/// The error of the operation, with its errno.
pub fn perform_file(operation: FileOperation<'_>) -> io::Result<Output> {
    match operation {
        FileOperation::Metadata { of, metadata } => *metadata = Some(retry_on_intr(|| statx(of))?.into()),
        FileOperation::Access { of, access } => retry_on_intr(|| may(of, access))?,
        FileOperation::SetMode { of, mode } => retry_on_intr(|| set_mode(of, Mode::from_raw_mode(mode)))?,
        FileOperation::SetOwner { of, user, group } => {
            let (directory, path, flags) = place_of(of);
            let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
            retry_on_intr(|| fs::chownat(directory, path, user, group, flags))?;
        }
        FileOperation::SetTimes { of, times } => {
            let ((directory, path, flags), times) = (place_of(of), timestamps(times)?);
            retry_on_intr(|| fs::utimensat(directory, path, &times, flags))?;
        }
        FileOperation::SetLength { file, length } => retry_on_intr(|| fs::ftruncate(file, length))?,
        FileOperation::Allocate { file, offset, length, how } => {
            retry_on_intr(|| fs::fallocate(file, allocate_flags(how), offset, length))?;
        }
        FileOperation::Advise { file, offset, length, advice } => {
            retry_on_intr(|| fs::fadvise(file, offset, Some(length), advice))?;
        }
        FileOperation::Lock { file, lock } => retry_on_intr(|| fs::flock(file, lock_operation(lock)))?,
        FileOperation::CopyRange { from, to, bytes } => {
            return Ok(Output::Count(retry_on_intr(|| fs::copy_file_range(from, None, to, None, bytes))?));
        }
        FileOperation::ReadDirectory { directory, entries, ended } => {
            return read_entries(directory, entries, ended).map(Output::Count);
        }
        FileOperation::ReadLink { at } => {
            let path = retry_on_intr(|| fs::readlinkat(directory_of(at), at.path, Vec::new()))?;
            return Ok(Output::Path(OsString::from_vec(path.into_bytes()).into()));
        }
        FileOperation::MakeDirectory { at, mode } => {
            retry_on_intr(|| fs::mkdirat(directory_of(at), at.path, Mode::from_raw_mode(mode)))?;
        }
        FileOperation::Remove { at, directory } => {
            let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            retry_on_intr(|| fs::unlinkat(directory_of(at), at.path, flags))?;
        }
        FileOperation::Rename { from, to, how } => retry_on_intr(|| {
            fs::renameat_with(directory_of(from), from.path, directory_of(to), to.path, rename_flags(how))
        })?,
        FileOperation::Link { from, to } => {
            retry_on_intr(|| fs::linkat(directory_of(from), from.path, directory_of(to), to.path, AtFlags::empty()))?
        }
        FileOperation::LinkOpen { file, to } => {
            let flags = AtFlags::SYMLINK_FOLLOW;
            retry_on_intr(|| fs::linkat(CWD, path_of(file), directory_of(to), to.path, flags))?;
        }
        FileOperation::Call { job } => job.run(),
        FileOperation::Symlink { target, at } => {
            retry_on_intr(|| fs::symlinkat(target, directory_of(at), at.path))?;
        }
    }
    Ok(Output::Done)
}

/// Opens a file on the calling thread, in one system call. A file in a directory is opened beneath it.
///
/// # Errors
///
/// The errors of `open` and `openat2`, `EINTR` included: a FIFO waits for its other end.
pub fn open_file(at: PathAt<'_>, options: &OpenOptions) -> io::Result<Descriptor> {
    let (flags, mode) = open_flags(options)?;
    let file = match at.directory {
        Some(directory) => fs::openat2(directory, at.path, flags, mode, ResolveFlags::BENEATH),
        None => fs::open(at.path, flags, mode),
    };
    Ok(file?.into())
}

/// Returns the directory at which the path starts.
pub fn directory_of<'a>(at: PathAt<'a>) -> BorrowedFd<'a> {
    at.directory.map_or(CWD, AsFd::as_fd)
}

/// Returns a file in the form that the calls ending in `at` take.
pub fn place_of<'a>(subject: FileTarget<'a>) -> (BorrowedFd<'a>, &'a OsStr, AtFlags) {
    match subject {
        FileTarget::Open(file) => (file.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH),
        FileTarget::Named { at, follow } => {
            let follows = follow && at.directory.is_none();
            let flags = if follows { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
            (directory_of(at), at.path.as_os_str(), flags)
        }
    }
}

/// Returns the flags for `fallocate`.
pub fn allocate_flags(how: Allocation) -> FallocateFlags {
    match how {
        Allocation::Extend => FallocateFlags::empty(),
        Allocation::Reserve => FallocateFlags::KEEP_SIZE,
        Allocation::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
    }
}

/// Returns the flags for `renameat2`.
pub fn rename_flags(how: Rename) -> RenameFlags {
    match how {
        Rename::Replace => RenameFlags::empty(),
        Rename::NoReplace => RenameFlags::NOREPLACE,
        Rename::Exchange => RenameFlags::EXCHANGE,
    }
}

fn statx(of: FileTarget<'_>) -> rustix::io::Result<fs::Statx> {
    let (directory, path, flags) = place_of(of);
    fs::statx(directory, path, flags, Metadata::ASKED)
}

/// Checks whether the process may use a file as `access` says, with the rights with which it opens files.
fn may(of: FileTarget<'_>, access: Access) -> rustix::io::Result<()> {
    match of {
        // `faccessat` of Linux before 5.8 takes no empty path.
        FileTarget::Open(file) => fs::accessat(CWD, path_of(file), access, AtFlags::EACCESS),
        FileTarget::Named { .. } => {
            let (directory, path, flags) = place_of(of);
            fs::accessat(directory, path, access, flags | AtFlags::EACCESS)
        }
    }
}

fn set_mode(of: FileTarget<'_>, mode: Mode) -> rustix::io::Result<()> {
    match of {
        FileTarget::Open(file) => match fs::fchmod(file, mode) {
            // `fchmod` takes no `O_PATH`.
            Err(Errno::BADF) => fs::chmod(path_of(file), mode),
            result => result,
        },
        FileTarget::Named { .. } => {
            let (directory, path, flags) = place_of(of);
            fs::chmodat(directory, path, mode, flags)
        }
    }
}

fn timestamps(times: &FileTimes) -> io::Result<Timestamps> {
    Ok(Timestamps { last_access: timestamp(times.accessed)?, last_modification: timestamp(times.modified)? })
}

fn timestamp(time: Option<SystemTime>) -> io::Result<Timespec> {
    let Some(time) = time else { return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }) };
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()), after.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            let part = u64::from(before.subsec_nanos() > 0);
            let nanos = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
            (i64::try_from(before.as_secs() + part).map(|seconds| -seconds), nanos)
        }
    };
    let seconds = seconds.map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "the time is out of the range that the kernel can store")
    })?;
    Ok(Timespec { tv_sec: seconds, tv_nsec: nanos.into() })
}

fn lock_operation(lock: Option<Lock>) -> FlockOperation {
    match lock {
        Some(Lock::Shared) => FlockOperation::NonBlockingLockShared,
        Some(Lock::Exclusive) => FlockOperation::NonBlockingLockExclusive,
        None => FlockOperation::NonBlockingUnlock,
    }
}

/// Reads entries until there are at least `ENTRIES_MIN`, or the end. Each call may occupy a thread, so a call that has
/// found only a few reads on.
fn read_entries(directory: &Descriptor, entries: &mut Vec<Entry>, ended: &mut bool) -> io::Result<usize> {
    let before = entries.len();
    let mut buffer = Vec::with_capacity(ENTRIES_BYTES);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    loop {
        let name = match names.next() {
            Some(Ok(name)) => name,
            Some(Err(Errno::INTR)) => continue,
            // The directory was removed, so it is empty.
            None | Some(Err(Errno::NOENT)) => {
                *ended = true;
                break;
            }
            // The same error comes again in the next call.
            Some(Err(_)) if entries.len() > before => break,
            Some(Err(error)) => return Err(error.into()),
        };
        if !matches!(name.file_name().to_bytes(), b"." | b"..") {
            entries.push(Entry {
                name: OsStr::from_bytes(name.file_name().to_bytes()).to_owned(),
                inode: name.ino(),
                file_type: Some(name.file_type()).filter(|kind| *kind != FileType::Unknown).map(Into::into),
            });
        }
        if names.is_buffer_empty() && entries.len() >= before + ENTRIES_MIN {
            break;
        }
    }
    Ok(entries.len() - before)
}
