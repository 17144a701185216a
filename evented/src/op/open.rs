//! Opening a file.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use io_uring::{opcode, types};
use iolite_io::Output;
use iolite_io::backend::open_flags;
use iolite_io::fs::OpenOptions;

use super::perform::Performer;

pub(super) fn perform(performer: &Performer<'_>, path: &Path, options: &OpenOptions) -> io::Result<Output> {
    let (flags, mode) = open_flags(options)?;
    let path = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("the path {path:?} contains a zero byte")))?;
    let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
        .flags(flags.bits() as i32)
        .mode(mode.bits())
        .build();
    // SAFETY: the entry points to `path`, which is there until it returns.
    let fd = unsafe { performer.run(&entry) }?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(Output::Opened(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into()))
}
