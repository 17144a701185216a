//! Memory of stacks: mapping, guarding and discarding it, and asking which of its pages were touched.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::ptr;

/// Since Linux 6.13; not every libc crate has it yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// A way to make a number of bytes from an address on inaccessible.
///
/// # Safety
///
/// The range lies in a mapping made by [`map`], and nobody uses it.
pub(crate) type Guard = unsafe fn(usize, usize) -> io::Result<()>;

/// Maps memory, which the system commits page by page as it is touched.
pub(crate) fn map(bytes: usize) -> io::Result<usize> {
    // SAFETY: it is a new anonymous mapping at an address of the kernel's choice.
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
    // A huge page would commit a whole stack at its first touch. Since 6.7, Linux avoids that by itself for
    // `MAP_STACK`. If the call fails, there are no huge pages.
    // SAFETY: it is advice on the new mapping.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    Ok(start as usize)
}

/// # Safety
///
/// It is a mapping made by [`map`], and nobody uses any part of it.
pub(crate) unsafe fn unmap(start: usize, bytes: usize) {
    // SAFETY: this function's caller promises the same.
    unsafe { libc::munmap(start as *mut libc::c_void, bytes) };
}

/// Returns memory to the system; its content is lost. Guards in the range survive.
///
/// # Safety
///
/// The range lies in a mapping made by [`map`], and nobody uses its content.
pub(crate) unsafe fn discard(range: Range<usize>) {
    // SAFETY: this function's caller promises the same.
    unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
}

/// Makes a guard without a mapping of its own. Fails with EINVAL if the kernel cannot.
///
/// # Safety
///
/// The same as for [`Guard`].
pub(crate) unsafe fn install_guard(start: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: this function's caller promises that nobody uses the range.
    match unsafe { libc::madvise(start as *mut libc::c_void, bytes, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a guard with a mapping of its own.
///
/// # Safety
///
/// The same as for [`Guard`].
pub(crate) unsafe fn protect_guard(start: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: this function's caller promises that nobody uses the range, so nobody loses access.
    match unsafe { libc::mprotect(start as *mut libc::c_void, bytes, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns a byte for each page of a range; its lowest bit is set if the page was touched. Returns no bytes if the
/// range is not mapped.
pub(crate) fn touched_pages(range: Range<usize>, page_bytes: usize) -> Vec<u8> {
    let mut touched = vec![0; range.len().div_ceil(page_bytes)];
    // SAFETY: the kernel checks the range, and there is a byte for each page of it.
    unsafe { libc::mincore(range.start as *mut libc::c_void, range.len(), touched.as_mut_ptr()) };
    touched
}

/// Returns true if the kernel can read at an address, by letting it write a byte from there into the pipe.
#[cfg(test)]
pub(crate) fn is_readable(pipe: &std::os::fd::OwnedFd, address: usize) -> bool {
    use std::os::fd::AsRawFd;
    // SAFETY: the kernel checks the address.
    unsafe { libc::write(pipe.as_raw_fd(), address as *const libc::c_void, 1) == 1 }
}
