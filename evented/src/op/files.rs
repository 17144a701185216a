//! What is asked of a file system: by the ring what the kernel's can do, on the pool what it cannot.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use iolite_io::backend::{Context, Glance, allocate_flags, directory_of, place_of, rename_flags};
use iolite_io::fs::{FileOperation, FileTarget, Metadata, PathAt};
use iolite_io::operation::Output;
use rustix::fs::Statx;

use super::offload::{call_for_files, perform_files};
use super::perform::{Performer, lacks_thread};
use crate::runtime::Runtime;
use crate::sys;

pub(super) fn perform(
    runtime: &Runtime,
    context: &Context,
    performer: &Performer<'_>,
    mut operation: FileOperation<'_>,
) -> io::Result<Output> {
    if let FileOperation::Metadata { of, ref mut metadata } = operation
        && let Some(told) = glance(runtime, context, of)?
    {
        **metadata = Some(told);
        return Ok(Output::Done);
    }
    if !runtime.rings_do_files() {
        return perform_files(runtime, context, operation);
    }
    if let FileOperation::Metadata { of, metadata } = operation {
        match statx(performer, of) {
            Err(error) if lacks_thread(&error) => {
                return perform_files(runtime, context, FileOperation::Metadata { of, metadata });
            }
            result => *metadata = Some(result?),
        }
        return Ok(Output::Done);
    }
    let Some((entry, _paths)) = request(&operation)? else { return perform_files(runtime, context, operation) };
    // SAFETY: the entry points to the paths, which are there until it returns.
    match unsafe { performer.run(&entry) } {
        Err(error) if lacks_thread(&error) => perform_files(runtime, context, operation),
        result => result.map(|_| Output::Done),
    }
}

/// The entry and what it points to; `None` for what the ring cannot.
fn request(operation: &FileOperation<'_>) -> io::Result<Option<(Entry, [Option<CString>; 2])>> {
    Ok(Some(match *operation {
        FileOperation::SetLength { file, length } => {
            (opcode::Ftruncate::new(sys::fd(file), length).build(), [None, None])
        }
        FileOperation::Allocate { file, offset, length, how } => {
            let entry = opcode::Fallocate::new(sys::fd(file), length);
            (entry.offset(offset).mode(allocate_flags(how).bits() as i32).build(), [None, None])
        }
        FileOperation::MakeDirectory { at, mode } => {
            let (folder, path) = place(at)?;
            (opcode::MkDirAt::new(folder, path.as_ptr()).mode(mode).build(), [Some(path), None])
        }
        FileOperation::Remove { at, directory } => {
            let (folder, path) = place(at)?;
            let flags = if directory { sys::AT_REMOVEDIR } else { 0 };
            (opcode::UnlinkAt::new(folder, path.as_ptr()).flags(flags).build(), [Some(path), None])
        }
        FileOperation::Rename { from, to, how } => {
            let ((from, from_path), (to, to_path)) = (place(from)?, place(to)?);
            let entry = opcode::RenameAt::new(from, from_path.as_ptr(), to, to_path.as_ptr());
            (entry.flags(rename_flags(how).bits()).build(), [Some(from_path), Some(to_path)])
        }
        FileOperation::Link { from, to } => {
            let ((from, from_path), (to, to_path)) = (place(from)?, place(to)?);
            let entry = opcode::LinkAt::new(from, from_path.as_ptr(), to, to_path.as_ptr());
            (entry.build(), [Some(from_path), Some(to_path)])
        }
        FileOperation::Symlink { target, at } => {
            let (target, (folder, path)) = (c_path(target)?, place(at)?);
            let entry = opcode::SymlinkAt::new(folder, target.as_ptr(), path.as_ptr());
            (entry.build(), [Some(target), Some(path)])
        }
        _ => return Ok(None),
    }))
}

fn place(at: PathAt<'_>) -> io::Result<(types::Fd, CString)> {
    Ok((sys::fd(directory_of(at)), c_path(at.path)?))
}

/// A path as the kernel wants it.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when it contains a zero byte.
pub(super) fn c_path(path: impl AsRef<OsStr>) -> io::Result<CString> {
    let path = path.as_ref();
    CString::new(path.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("the path {path:?} contains a zero byte")))
}

/// What the kernel's caches tell of a file, without waiting.
fn glance(runtime: &Runtime, context: &Context, of: FileTarget<'_>) -> io::Result<Option<Metadata>> {
    let mut glance = runtime.mounts().glance(of);
    if let Glance::UnknownMount = glance {
        call_for_files(runtime, context, || {
            runtime.mounts().find_out(of);
            Ok(())
        })?;
        glance = runtime.mounts().glance(of);
    }
    match glance {
        Glance::Told(metadata) => Ok(Some(metadata)),
        Glance::NotFound => Err(io::Error::from_raw_os_error(sys::ENOENT)),
        Glance::Untold | Glance::UnknownMount => Ok(None),
    }
}

fn statx(performer: &Performer<'_>, of: FileTarget<'_>) -> io::Result<Metadata> {
    let (directory, path, flags) = place_of(of);
    let (directory, path) = (sys::fd(directory), c_path(path)?);
    let mut statx = MaybeUninit::<Statx>::uninit();
    let entry = opcode::Statx::new(directory, path.as_ptr(), statx.as_mut_ptr().cast())
        .flags(flags.bits() as i32)
        .mask(Metadata::ASKED.bits());
    // SAFETY: the entry points to `path` and `statx`, which are there until it returns.
    unsafe { performer.run(&entry.build()) }?;
    // SAFETY: the kernel has filled all of it in, as it says by its success.
    Ok(unsafe { statx.assume_init() }.into())
}
