//! Stacks of fibers: slabs of address space, committed page by page as they are touched.
//!
//! ```text
//!   slab (64 MiB or one large stack)
//!   ┌───────┬──────────────────────┬───────┬──────────────────────┬─ …
//!   │ guard │ stack 0       ◀ grows │ guard │ stack 1       ◀ grows │
//!   └───────┴──────────────────────┴───────┴──────────────────────┴─ …
//!    64 KiB   stack_size       base
//! ```
//!
//! Guards are installed with `MADV_GUARD_INSTALL` (Linux 6.13), which splits no mapping; on older
//! kernels with `mprotect`, of which `vm.max_map_count` allows some 32,000. They are 64 KiB, since
//! C code does not probe its frames: a large frame of a C function can still jump one.
//!
//! The base of a stack is moved down by a different multiple of 64 bytes for each (colouring):
//! otherwise the hot top of every stack falls into the same few cache sets.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

const SLAB_BYTES: usize = 64 * 1024 * 1024;
pub(crate) const GUARD_BYTES: usize = 64 * 1024;
const COLOURS: usize = 32;
const COLOUR_BYTES: usize = 64;
/// Linux 6.13; not in every libc crate yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// A stack of a fiber. It goes back to the pool with [`FiberStack::give_back`] and is leaked when
/// merely dropped: what ran on it may not have ended.
#[derive(Debug)]
pub(crate) struct FiberStack {
    /// The lowest usable address; the guard lies below it.
    bottom: usize,
    bytes: usize,
    colour: usize,
}

impl FiberStack {
    /// Where it begins: the end of its memory, moved down by its colour. A multiple of 64.
    pub(crate) fn base(&self) -> usize {
        self.bottom + self.bytes - self.colour * COLOUR_BYTES
    }

    /// The lowest usable address.
    #[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
    pub(crate) fn bottom(&self) -> usize {
        self.bottom
    }

    /// Takes a stack of at least `bytes` bytes.
    ///
    /// # Errors
    ///
    /// When the system gives no more memory or mappings.
    pub(crate) fn take(bytes: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let bytes = bytes.next_multiple_of(page);
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.get_or_insert_with(HashMap::new).entry(bytes).or_default();
        if pool.is_empty() {
            *pool = slab(bytes)?;
        }
        Ok(pool.pop().expect("a slab has at least one stack"))
    }

    /// Gives stacks of one size back, for any runtime of the process to use, and their memory to the
    /// system.
    ///
    /// # Safety
    ///
    /// What ran on them has returned.
    pub(crate) unsafe fn give_back(mut stacks: Vec<Self>) {
        stacks.sort_unstable_by_key(|stack| stack.bottom);
        // Neighbours together: a call costs as much as freeing several pages. The guards between them
        // survive it.
        for run in stacks.chunk_by(|lower, upper| lower.bottom + lower.bytes + GUARD_BYTES == upper.bottom) {
            let (start, last) = (run[0].bottom, &run[run.len() - 1]);
            let bytes = last.bottom + last.bytes - start;
            // SAFETY: the range is these stacks and their guards, which hold nothing of value any more.
            unsafe { libc::madvise(start as *mut libc::c_void, bytes, libc::MADV_DONTNEED) };
        }
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = pools.get_or_insert_with(HashMap::new);
        for stack in stacks {
            pools.entry(stack.bytes).or_default().push(stack);
        }
    }
}

/// Free stacks by size. Slabs are never unmapped, so a stack belongs to the process.
static POOLS: Mutex<Option<HashMap<usize, Vec<FiberStack>>>> = Mutex::new(None);

/// Whether the last slab's guards were made by `mprotect`: its limit then counts.
static MPROTECT: AtomicUsize = AtomicUsize::new(0);

/// How many guarded stacks this process can have, when it is less than memory allows.
pub(crate) fn stacks_max() -> Option<usize> {
    if MPROTECT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse::<usize>().ok()?;
    Some(maps / 2)
}

/// Maps a slab, guards its stacks and hands them out, lowest address last (so that it is used
/// first).
fn slab(bytes: usize) -> io::Result<Vec<FiberStack>> {
    let slot = GUARD_BYTES + bytes;
    let count = (SLAB_BYTES / slot).max(1);
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            slot * count,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = start as usize;
    for index in 0..count {
        if let Err(error) = guard(start + index * slot) {
            // SAFETY: nothing was handed out of this mapping.
            unsafe { libc::munmap(start as *mut libc::c_void, slot * count) };
            return Err(error);
        }
    }
    register_slab(start, slot, count);
    Ok((0..count)
        .rev()
        .map(|index| FiberStack { bottom: start + index * slot + GUARD_BYTES, bytes, colour: index % COLOURS })
        .collect())
}

fn guard(start: usize) -> io::Result<()> {
    let start = start as *mut libc::c_void;
    // SAFETY: the range lies in a mapping of `slab`'s that nobody uses yet.
    if MPROTECT.load(Ordering::Relaxed) == 0 && unsafe { libc::madvise(start, GUARD_BYTES, MADV_GUARD_INSTALL) } == 0 {
        return Ok(());
    }
    MPROTECT.store(1, Ordering::Relaxed);
    // SAFETY: as above.
    match unsafe { libc::mprotect(start, GUARD_BYTES, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Slabs as the handler of stack overflows sees them: `(start, slot bytes, slots)`, appended and
/// never removed. A slab past the end of the table is one whose overflow is not named.
struct SlabEntry {
    start: AtomicUsize,
    slot: AtomicUsize,
    count: AtomicUsize,
}

static SLABS: [SlabEntry; 8192] =
    [const { SlabEntry { start: AtomicUsize::new(0), slot: AtomicUsize::new(0), count: AtomicUsize::new(0) } }; 8192];
static SLAB_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Called under the lock of `POOLS`.
fn register_slab(start: usize, slot: usize, count: usize) {
    let index = SLAB_COUNT.load(Ordering::Relaxed);
    if let Some(entry) = SLABS.get(index) {
        entry.slot.store(slot, Ordering::Relaxed);
        entry.count.store(count, Ordering::Relaxed);
        entry.start.store(start, Ordering::Relaxed);
        // Release: pairs with the handler's Acquire, which may run on another thread.
        SLAB_COUNT.store(index + 1, Ordering::Release);
    }
}

/// The size of the stack whose guard `address` hit. Async-signal-safe.
pub(super) fn stack_of_guard(address: usize) -> Option<usize> {
    let count = SLAB_COUNT.load(Ordering::Acquire);
    SLABS[..count].iter().find_map(|entry| {
        let (start, slot) = (entry.start.load(Ordering::Relaxed), entry.slot.load(Ordering::Relaxed));
        let offset = address.checked_sub(start)?;
        let inside = offset < slot * entry.count.load(Ordering::Relaxed) && offset % slot < GUARD_BYTES;
        inside.then_some(slot - GUARD_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn stacks_do_not_overlap_and_their_guards_are_known() {
        let stacks: Vec<_> = (0..600).map(|_| FiberStack::take(64 * 1024).unwrap()).collect();
        let mut ranges: Vec<_> = stacks.iter().map(|stack| (stack.bottom, stack.bottom + stack.bytes)).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 + GUARD_BYTES <= pair[1].0));
        for stack in &stacks {
            assert_eq!(stack_of_guard(stack.bottom - 1), Some(64 * 1024));
            assert_eq!(stack_of_guard(stack.bottom), None);
        }
        // SAFETY: nothing ran on them.
        unsafe { FiberStack::give_back(stacks) };
    }

    #[test]
    fn guards_survive_the_return_of_their_stacks() {
        let (_out, into) = rustix::pipe::pipe().unwrap();
        // SAFETY: the kernel checks the address, and answers EFAULT where a read here would be a fault.
        let is_readable =
            |address: usize| unsafe { libc::write(into.as_raw_fd(), address as *const libc::c_void, 1) == 1 };
        let stacks: Vec<_> = (0..8).map(|_| FiberStack::take(80 * 1024).unwrap()).collect();
        let bottoms: Vec<_> = stacks.iter().map(|stack| stack.bottom).collect();
        // SAFETY: nothing ran on them.
        unsafe { FiberStack::give_back(stacks) };
        for bottom in bottoms {
            assert!(!is_readable(bottom - 1), "the guard is gone");
            assert!(is_readable(bottom), "the stack is gone");
        }
    }

    #[test]
    fn a_stack_is_reused() {
        let stack = FiberStack::take(48 * 1024).unwrap();
        let bottom = stack.bottom;
        // SAFETY: nothing ran on it.
        unsafe { FiberStack::give_back(vec![stack]) };
        assert_eq!(FiberStack::take(48 * 1024).unwrap().bottom, bottom);
    }
}
