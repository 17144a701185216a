//! Operations on what has a path, and on extended attributes.
//!
//! Paths are relative to a directory, or to [`CWD`](super::CWD).
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use io_uring::{opcode, types};

use super::{count, descriptor, done, fd, length, operation};
use crate::sys;

operation! {
    /// Opens a file, closed on exec. Linux 5.6.
    OpenAt<'a> {
        /// Where the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `O_*`.
        flags: i32,
        /// Its permissions, where it is made.
        mode: u32,
    } -> OwnedFd;
    code: opcode::OpenAt;
    entry: |open, _frame| opcode::OpenAt::new(fd(open.directory), open.path.as_ptr())
        .flags(open.flags | sys::O_CLOEXEC).mode(open.mode);
    // SAFETY: it makes a descriptor.
    answer: |_open, _frame, answer| unsafe { descriptor(answer) };
}

operation! {
    /// Opens a file, closed on exec, and says how its path may be resolved. Linux 5.6.
    OpenAt2<'a> {
        /// Where the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `O_*`.
        flags: u64,
        /// Its permissions, where it is made; otherwise 0.
        mode: u64,
        /// `RESOLVE_*`.
        resolve: u64,
    } -> OwnedFd;
    code: opcode::OpenAt2;
    frame: Option<types::OpenHow>;
    entry: |open, how| {
        let wanted = types::OpenHow::new().flags(open.flags | sys::O_CLOEXEC as u64);
        let how = how.insert(wanted.mode(open.mode).resolve(open.resolve));
        opcode::OpenAt2::new(fd(open.directory), open.path.as_ptr(), how)
    };
    // SAFETY: it makes a descriptor.
    answer: |_open, _how, answer| unsafe { descriptor(answer) };
}

operation! {
    /// What is known of a file. Linux 5.6.
    Statx<'a> {
        /// Where the path begins; the file itself, with an empty path and `AT_EMPTY_PATH`.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `AT_*`.
        flags: i32,
        /// What is asked for: `STATX_*`.
        mask: u32,
    } -> sys::statx;
    code: opcode::Statx;
    frame: Option<MaybeUninit<sys::statx>>;
    entry: |stat, room| {
        let room = room.insert(MaybeUninit::zeroed());
        opcode::Statx::new(fd(stat.directory), stat.path.as_ptr(), room.as_mut_ptr().cast())
            .flags(stat.flags).mask(stat.mask)
    };
    answer: |_stat, room, answer| {
        answer?;
        // SAFETY: zeroed, which is a value of it, and filled by the kernel.
        Ok(unsafe { room.unwrap_or(MaybeUninit::zeroed()).assume_init() })
    };
}

operation! {
    /// Renames or moves a file. Linux 5.11.
    RenameAt<'a> {
        /// Where the old path begins.
        from_directory: BorrowedFd<'a>,
        /// The old path.
        from: &'a CStr,
        /// Where the new path begins.
        to_directory: BorrowedFd<'a>,
        /// The new path.
        to: &'a CStr,
        /// `RENAME_*`.
        flags: u32,
    } -> ();
    code: opcode::RenameAt;
    entry: |rename, _frame| opcode::RenameAt::new(
        fd(rename.from_directory), rename.from.as_ptr(), fd(rename.to_directory), rename.to.as_ptr(),
    ).flags(rename.flags);
    answer: |_rename, _frame, answer| done(answer);
}

operation! {
    /// Removes a name. Linux 5.11.
    UnlinkAt<'a> {
        /// Where the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `AT_REMOVEDIR` for a directory.
        flags: i32,
    } -> ();
    code: opcode::UnlinkAt;
    entry: |unlink, _frame| opcode::UnlinkAt::new(fd(unlink.directory), unlink.path.as_ptr()).flags(unlink.flags);
    answer: |_unlink, _frame, answer| done(answer);
}

operation! {
    /// Makes a directory. Linux 5.15.
    MkDirAt<'a> {
        /// Where the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// Its permissions.
        mode: u32,
    } -> ();
    code: opcode::MkDirAt;
    entry: |make, _frame| opcode::MkDirAt::new(fd(make.directory), make.path.as_ptr()).mode(make.mode);
    answer: |_make, _frame, answer| done(answer);
}

operation! {
    /// Makes a symbolic link. Linux 5.15.
    SymlinkAt<'a> {
        /// What it says.
        target: &'a CStr,
        /// Where the path begins.
        directory: BorrowedFd<'a>,
        /// The path of the link.
        path: &'a CStr,
    } -> ();
    code: opcode::SymlinkAt;
    entry: |link, _frame| opcode::SymlinkAt::new(fd(link.directory), link.target.as_ptr(), link.path.as_ptr());
    answer: |_link, _frame, answer| done(answer);
}

operation! {
    /// Makes another name for a file. Linux 5.15.
    LinkAt<'a> {
        /// Where the old path begins.
        from_directory: BorrowedFd<'a>,
        /// The old path.
        from: &'a CStr,
        /// Where the new path begins.
        to_directory: BorrowedFd<'a>,
        /// The new path.
        to: &'a CStr,
        /// `AT_SYMLINK_FOLLOW`, `AT_EMPTY_PATH`.
        flags: i32,
    } -> ();
    code: opcode::LinkAt;
    entry: |link, _frame| opcode::LinkAt::new(
        fd(link.from_directory), link.from.as_ptr(), fd(link.to_directory), link.to.as_ptr(),
    ).flags(link.flags);
    answer: |_link, _frame, answer| done(answer);
}

operation! {
    /// Reads an extended attribute of what has a path. Linux 5.19.
    GetXattr<'a> {
        /// The path.
        path: &'a CStr,
        /// The name of the attribute.
        name: &'a CStr,
        /// Where to put its value. With no room at all the answer is its length.
        value: &'a mut [u8],
    } -> usize;
    code: opcode::GetXattr;
    entry: |get, _frame| opcode::GetXattr::new(
        get.name.as_ptr(), get.value.as_mut_ptr().cast(), get.path.as_ptr(), length(get.value.len()),
    );
    answer: |_get, _frame, answer| count(answer);
}

operation! {
    /// Sets an extended attribute of what has a path. Linux 5.19.
    SetXattr<'a> {
        /// The path.
        path: &'a CStr,
        /// The name of the attribute.
        name: &'a CStr,
        /// Its value.
        value: &'a [u8],
        /// `XATTR_*`.
        flags: i32,
    } -> ();
    code: opcode::SetXattr;
    entry: |set, _frame| opcode::SetXattr::new(
        set.name.as_ptr(), set.value.as_ptr().cast(), set.path.as_ptr(), length(set.value.len()),
    ).flags(set.flags);
    answer: |_set, _frame, answer| done(answer);
}

operation! {
    /// Reads an extended attribute of an open file. Linux 5.19.
    FGetXattr<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// The name of the attribute.
        name: &'a CStr,
        /// As in [`GetXattr`].
        value: &'a mut [u8],
    } -> usize;
    code: opcode::FGetXattr;
    entry: |get, _frame| opcode::FGetXattr::new(
        fd(get.file), get.name.as_ptr(), get.value.as_mut_ptr().cast(), length(get.value.len()),
    );
    answer: |_get, _frame, answer| count(answer);
}

operation! {
    /// Sets an extended attribute of an open file. Linux 5.19.
    FSetXattr<'a> {
        /// The file.
        file: BorrowedFd<'a>,
        /// The name of the attribute.
        name: &'a CStr,
        /// Its value.
        value: &'a [u8],
        /// `XATTR_*`.
        flags: i32,
    } -> ();
    code: opcode::FSetXattr;
    entry: |set, _frame| opcode::FSetXattr::new(
        fd(set.file), set.name.as_ptr(), set.value.as_ptr().cast(), length(set.value.len()),
    ).flags(set.flags);
    answer: |_set, _frame, answer| done(answer);
}
