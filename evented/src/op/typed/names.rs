//! Operations on paths, and on extended attributes.
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
        /// The directory at which the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `O_*`.
        flags: i32,
        /// The permissions, if the file is created.
        mode: u32,
    } -> OwnedFd;
    code: opcode::OpenAt;
    entry: |open, _frame| opcode::OpenAt::new(fd(open.directory), open.path.as_ptr())
        .flags(open.flags | sys::O_CLOEXEC).mode(open.mode);
    // SAFETY: this operation makes a descriptor.
    answer: |_open, _frame, answer| unsafe { descriptor(answer) };
}

operation! {
    /// Opens a file, closed on exec, with rules for resolving its path. Linux 5.6.
    OpenAt2<'a> {
        /// The directory at which the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `O_*`.
        flags: u64,
        /// The permissions, if the file is created; otherwise 0.
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
    // SAFETY: this operation makes a descriptor.
    answer: |_open, _how, answer| unsafe { descriptor(answer) };
}

operation! {
    /// Returns the metadata of a file. Linux 5.6.
    Statx<'a> {
        /// The directory at which the path begins; with an empty path and `AT_EMPTY_PATH`, the file itself.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// `AT_*`.
        flags: i32,
        /// The requested fields: `STATX_*`.
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
        // SAFETY: it was zeroed, which is a valid value, and filled by the kernel.
        Ok(unsafe { room.unwrap_or(MaybeUninit::zeroed()).assume_init() })
    };
}

operation! {
    /// Renames or moves a file. Linux 5.11.
    RenameAt<'a> {
        /// The directory at which the old path begins.
        from_directory: BorrowedFd<'a>,
        /// The old path.
        from: &'a CStr,
        /// The directory at which the new path begins.
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
        /// The directory at which the path begins.
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
        /// The directory at which the path begins.
        directory: BorrowedFd<'a>,
        /// The path.
        path: &'a CStr,
        /// The permissions of the new directory.
        mode: u32,
    } -> ();
    code: opcode::MkDirAt;
    entry: |make, _frame| opcode::MkDirAt::new(fd(make.directory), make.path.as_ptr()).mode(make.mode);
    answer: |_make, _frame, answer| done(answer);
}

operation! {
    /// Makes a symbolic link. Linux 5.15.
    SymlinkAt<'a> {
        /// The target of the link.
        target: &'a CStr,
        /// The directory at which the path begins.
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
        /// The directory at which the old path begins.
        from_directory: BorrowedFd<'a>,
        /// The old path.
        from: &'a CStr,
        /// The directory at which the new path begins.
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
    /// Reads an extended attribute by path. Linux 5.19.
    GetXattr<'a> {
        /// The path.
        path: &'a CStr,
        /// The name of the attribute.
        name: &'a CStr,
        /// The buffer for the value. If it is empty, the operation returns the length of the value.
        value: &'a mut [u8],
    } -> usize;
    code: opcode::GetXattr;
    entry: |get, _frame| opcode::GetXattr::new(
        get.name.as_ptr(), get.value.as_mut_ptr().cast(), get.path.as_ptr(), length(get.value.len()),
    );
    answer: |_get, _frame, answer| count(answer);
}

operation! {
    /// Sets an extended attribute by path. Linux 5.19.
    SetXattr<'a> {
        /// The path.
        path: &'a CStr,
        /// The name of the attribute.
        name: &'a CStr,
        /// The value of the attribute.
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
        /// The same as in [`GetXattr`].
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
        /// The value of the attribute.
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
