//! Stacks of fibers: slabs of address space, committed page by page as they are touched.
//!
//! ```text
//!   slab (64 MiB or one large stack)
//!   ┌───────┬──────────────────────┬───────┬──────────────────────┬─ …
//!   │ guard │ stack 0       ◀ grows │ guard │ stack 1       ◀ grows │
//!   └───────┴──────────────────────┴───────┴──────────────────────┴─ …
//!    64 KiB   size class    base
//! ```
//!
//! All stacks of a slab have one size, a power of two, so the next task that asks for about as much can use a stack
//! that another task has left.
//!
//! Guards are installed with `MADV_GUARD_INSTALL` (Linux 6.13), which splits no mapping. On older kernels, and in
//! locked memory, they are made with `mprotect`, of which `vm.max_map_count` allows some 32,000. They have 64 KiB,
//! because C code does not probe its frames; a still larger frame of a C function can jump over one.
//!
//! The base of each stack is moved down by a different multiple of 64 bytes (colouring). Otherwise the hot top of every
//! stack would fall into the same few cache sets.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::class::StackClass;
use crate::name::NameSlot;
use crate::slabs::{COLOUR_BYTES, GUARD_BYTES, Slab, colour, register_slab};
use crate::sys::memory;
use crate::usage::note_use;

/// The bytes that are reserved at the beginning of every stack: a cache line, for its name.
const RESERVED_MIN: usize = COLOUR_BYTES;

const SLAB_BYTES: usize = 64 * 1024 * 1024;

/// A stack on which nothing runs, from the pool of the process. [`Stack::give_back`] returns it to the pool; if it is
/// dropped in any other way, it is leaked.
#[derive(Debug)]
pub struct Stack {
    /// The lowest usable address; the guard lies below it.
    bottom: usize,
    class: StackClass,
    colour: usize,
    /// The number of bytes above the base that belong to its fiber and to its name.
    reserved: usize,
}

impl Stack {
    /// Returns the beginning of the stack: the end of its memory, moved down by its colour and by the reserved bytes.
    /// It is a multiple of 64.
    pub(crate) fn base(&self) -> usize {
        self.top() - self.reserved
    }

    /// Returns the end of its memory, moved down by its colour.
    fn top(&self) -> usize {
        self.range().end - self.colour * COLOUR_BYTES
    }

    /// Returns the place of the name of the task that runs on this stack.
    pub(crate) fn name(&self) -> NameSlot {
        // SAFETY: the bytes below the top are set aside for a name in every stack. Its memory stays readable and writable
        // while somebody has the stack, and is zero, or a name, at any time: it is mapped and given back as zeros.
        unsafe { NameSlot::below(self.top()) }
    }

    /// Reserves bytes at the stack's beginning, which the code on the stack does not touch, in place of those that were
    /// reserved before. Returns their address, a multiple of 64. They are uninitialized, and exist until the stack is
    /// given back.
    pub fn reserve(&mut self, bytes: usize) -> NonNull<u8> {
        self.reserved = (bytes + NameSlot::BYTES).next_multiple_of(COLOUR_BYTES);
        NonNull::new(self.base() as *mut u8).expect("mappings are not at address 0")
    }

    /// Returns the lowest usable address.
    #[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
    pub(crate) fn bottom(&self) -> usize {
        self.bottom
    }

    /// Takes a stack of a size class from the pool, or maps new ones.
    ///
    /// # Errors
    ///
    /// If the system gives no more memory or mappings.
    pub fn take(class: StackClass) -> io::Result<Self> {
        let pool = &mut pools()[class.index()];
        if pool.is_empty() {
            *pool = slab(class)?;
        }
        Ok(pool.pop().expect("a slab has at least one stack"))
    }

    /// Returns stacks to the pool, for the whole process, and their memory to the system. Returning neighbours together
    /// is cheaper.
    pub fn give_back(stacks: impl IntoIterator<Item = Self>) {
        let mut stacks: Vec<_> = stacks.into_iter().collect();
        stacks.sort_unstable_by_key(|stack| stack.bottom);
        // Neighbours are discarded together, because one call costs as much as freeing several pages. The guards
        // between them survive it.
        for run in stacks.chunk_by(|lower, upper| lower.range().end + GUARD_BYTES == upper.bottom) {
            let range = run[0].bottom..run[run.len() - 1].range().end;
            note_use(run.iter().map(|stack| (stack.class, stack.range())), range.clone());
            // SAFETY: the range consists of these stacks and their guards. Nothing runs on a stack that code can hold,
            // and its reserved bytes exist only until now.
            unsafe { memory::discard(range) };
        }
        let mut pools = pools();
        for stack in stacks {
            pools[stack.class.index()].push(Self { reserved: RESERVED_MIN, ..stack });
        }
    }

    /// Returns the size class of the stack.
    pub fn class(&self) -> StackClass {
        self.class
    }

    fn range(&self) -> Range<usize> {
        self.bottom..self.bottom + self.class.bytes()
    }
}

type Pools = [Vec<Stack>; StackClass::COUNT];

/// The free stacks by size. Slabs are never unmapped, so a stack belongs to the process.
fn pools() -> MutexGuard<'static, Pools> {
    static POOLS: Mutex<Pools> = Mutex::new([const { Vec::new() }; StackClass::COUNT]);
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if guards are made with `mprotect`, so that its limit counts.
static PROTECTED: AtomicBool = AtomicBool::new(false);

/// Returns the number of guarded stacks that this process can have, if that is less than memory allows: on kernels
/// before Linux 6.13, where each guard takes two mappings. It is known once a stack was taken.
pub fn guarded_stacks_max() -> Option<usize> {
    if !PROTECTED.load(Ordering::Relaxed) {
        return None;
    }
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse::<usize>().ok()?;
    Some(maps / 2)
}

/// Maps a slab with the best guards that the kernel supports for it.
fn slab(class: StackClass) -> io::Result<Vec<Stack>> {
    if !PROTECTED.load(Ordering::Relaxed) {
        match map_slab(class, memory::install_guard) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                PROTECTED.store(true, Ordering::Relaxed)
            }
            mapped => return mapped,
        }
    }
    map_slab(class, memory::protect_guard)
}

/// Maps a slab, guards its stacks and returns them, the lowest address last (so that it is used first).
fn map_slab(class: StackClass, guard: memory::Guard) -> io::Result<Vec<Stack>> {
    let slot = GUARD_BYTES + class.bytes();
    let count = (SLAB_BYTES / slot).max(1);
    let start = memory::map(slot * count)?;
    for index in 0..count {
        // SAFETY: the guard is the lowest part of a slot of the new mapping, which nobody uses yet.
        if let Err(error) = unsafe { guard(start + index * slot, GUARD_BYTES) } {
            // SAFETY: no part of this mapping was handed out.
            unsafe { memory::unmap(start, slot * count) };
            return Err(error);
        }
    }
    register_slab(Slab { start, slot, count });
    Ok((0..count)
        .rev()
        .map(|index| Stack {
            bottom: start + index * slot + GUARD_BYTES,
            class,
            colour: colour(index),
            reserved: RESERVED_MIN,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slabs::stack_of_guard;
    use crate::usage::{StackUse, stack_use};

    /// Returns true if the kernel can read there; it answers EFAULT if a read here would fault.
    fn is_readable(address: usize) -> bool {
        let (_out, into) = rustix::pipe::pipe().unwrap();
        memory::is_readable(&into, address)
    }

    #[test]
    fn stacks_do_not_overlap_and_their_guards_are_known() {
        for guard in [memory::install_guard as memory::Guard, memory::protect_guard] {
            // This is more than a slab has.
            let class = StackClass::of_exactly(64 << 10);
            let stacks: Vec<_> = (0..2).flat_map(|_| map_slab(class, guard).unwrap()).collect();
            let mut ranges: Vec<_> = stacks.iter().map(Stack::range).collect();
            ranges.sort_unstable_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end + GUARD_BYTES <= pair[1].start));
            for range in ranges {
                let overflown = stack_of_guard(range.start - 1).expect("in a guard");
                assert_eq!(overflown.stack_bytes, 64 << 10);
                assert_eq!(stack_of_guard(range.start - GUARD_BYTES).as_ref(), Some(&overflown));
                let stack = stacks.iter().find(|stack| stack.bottom == range.start).expect("its stack");
                assert_eq!(overflown.top, stack.top());
                assert_eq!(stack_of_guard(range.start), None);
                assert!(!is_readable(range.start - 1) && !is_readable(range.start - GUARD_BYTES), "no guard");
                assert!(is_readable(range.start) && is_readable(range.end - 1), "no stack");
            }
            Stack::give_back(stacks);
        }
    }

    #[test]
    fn guards_survive_the_return_of_their_stacks() {
        for guard in [memory::install_guard as memory::Guard, memory::protect_guard] {
            let stacks = map_slab(StackClass::of_exactly(8 << 20), guard).unwrap();
            let bottoms: Vec<_> = stacks.iter().map(|stack| stack.bottom).collect();
            Stack::give_back(stacks);
            for bottom in bottoms {
                assert!(!is_readable(bottom - 1), "the guard is gone");
                assert!(is_readable(bottom), "the stack is gone");
            }
        }
    }

    #[test]
    fn a_stack_is_reused() {
        let class = StackClass::of_exactly(32 << 20);
        let stack = Stack::take(class).unwrap();
        let bottom = stack.bottom;
        Stack::give_back(vec![stack]);
        assert_eq!(Stack::take(class).unwrap().bottom, bottom);
    }

    #[test]
    fn the_use_of_a_stack_is_seen_while_it_lives_and_after_it_was_given_back() {
        let class = StackClass::of_exactly(16 << 20);
        let of_class = || stack_use().into_iter().find(|all| all.stack_bytes == class.bytes());
        assert_eq!(of_class(), None);
        let stacks: Vec<_> = (0..3).map(|_| Stack::take(class).unwrap()).collect();
        for (stack, depth) in stacks.iter().zip([10_000, 1_000_000, 1]) {
            // SAFETY: it is an address of this stack, which nothing uses.
            unsafe { ((stack.range().end - depth) as *mut u8).write(1) };
        }
        let page = rustix::param::page_size();
        let mut seen = StackUse {
            stack_bytes: class.bytes(),
            stacks: 3,
            high_water_bytes: 1_000_000_usize.next_multiple_of(page),
        };
        assert_eq!(of_class(), Some(seen));
        Stack::give_back(stacks);
        seen.stacks = 0;
        assert_eq!(of_class(), Some(seen));
    }
}
