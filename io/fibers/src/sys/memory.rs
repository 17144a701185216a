//! Memory of stacks: mapping, guarding and discarding it, and asking which of its pages were touched.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::ptr;

/// Linux 6.13; not in every libc crate yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// A way to make so many bytes from an address on inaccessible.
///
/// # Safety
///
/// The range lies in a mapping of [`map`], and nobody uses it.
pub(crate) type Guard = unsafe fn(usize, usize) -> io::Result<()>;

/// Maps memory, which the system commits page by page as it is touched.
pub(crate) fn map(bytes: usize) -> io::Result<usize> {
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // A huge page would commit a whole stack at its first touch. Linux from 6.7 on does so by itself for
    // `MAP_STACK`; where it fails there are no huge pages.
    // SAFETY: advice on the new mapping.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    Ok(start as usize)
}

/// # Safety
///
/// It is a mapping of [`map`], and nobody uses any part of it.
pub(crate) unsafe fn unmap(start: usize, bytes: usize) {
    // SAFETY: as this function's caller says.
    unsafe { libc::munmap(start as *mut libc::c_void, bytes) };
}

/// Gives memory back to the system; what was in it is lost. Guards in the range survive.
///
/// # Safety
///
/// The range lies in a mapping of [`map`], and nobody uses what is in it.
pub(crate) unsafe fn discard(range: Range<usize>) {
    // SAFETY: as this function's caller says.
    unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
}

/// Makes a guard without a mapping of its own; EINVAL where the kernel cannot.
///
/// # Safety
///
/// As [`Guard`].
pub(crate) unsafe fn install_guard(start: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: nobody uses the range, as this function's caller says.
    match unsafe { libc::madvise(start as *mut libc::c_void, bytes, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a guard with a mapping of its own.
///
/// # Safety
///
/// As [`Guard`].
pub(crate) unsafe fn protect_guard(start: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: nobody uses the range, as this function's caller says, so that nobody loses access.
    match unsafe { libc::mprotect(start as *mut libc::c_void, bytes, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns a byte for each page of a range, of which the lowest bit is set if the page was touched; none is where the
/// range is not mapped.
pub(crate) fn touched_pages(range: Range<usize>, page_bytes: usize) -> Vec<u8> {
    let mut touched = vec![0; range.len().div_ceil(page_bytes)];
    // SAFETY: the kernel checks the range, and there is a byte for each page of it.
    unsafe { libc::mincore(range.start as *mut libc::c_void, range.len(), touched.as_mut_ptr()) };
    touched
}

/// Whether the kernel can read at an address, of which it writes a byte into the pipe.
#[cfg(test)]
pub(crate) fn is_readable(pipe: &std::os::fd::OwnedFd, address: usize) -> bool {
    use std::os::fd::AsRawFd;
    // SAFETY: the kernel checks the address.
    unsafe { libc::write(pipe.as_raw_fd(), address as *const libc::c_void, 1) == 1 }
}
