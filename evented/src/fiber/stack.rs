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
//! All stacks of a slab have one size, a power of two: a stack that a task has left fits the next one
//! that asks for about as much.
//!
//! Guards are installed with `MADV_GUARD_INSTALL` (Linux 6.13), which splits no mapping; on older
//! kernels, and in locked memory, with `mprotect`, of which `vm.max_map_count` allows some 32,000. They
//! are 64 KiB, since C code does not probe its frames: a large frame of a C function can still jump one.
//!
//! The base of a stack is moved down by a different multiple of 64 bytes for each (colouring):
//! otherwise the hot top of every stack falls into the same few cache sets.
//!
//! How deep a stack was used is what the kernel says of its pages, when somebody asks: a page that was
//! touched stays until the stack is given back, which notes how many there were.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use iolite_io::backend::TaskOptions;

use super::published::Published;
use crate::primitive::AtomicPtr;

const SLAB_BYTES: usize = 64 * 1024 * 1024;
pub(crate) const GUARD_BYTES: usize = 64 * 1024;
const COLOURS: usize = 16;
pub(crate) const COLOUR_BYTES: usize = 64;
/// How much larger the frames of a program are than it reckons with: a sanitizer surrounds each variable.
const FRAME_FACTOR: usize = if cfg!(feature = "sanitizer") { 4 } else { 1 };
/// Linux 6.13; not in every libc crate yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// A size of stacks: a power of two of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass(u32);

impl SizeClass {
    pub(crate) const MIN_LOG2: u32 = TaskOptions::STACK_BYTES.start().trailing_zeros();
    /// How many there are.
    pub(crate) const COUNT: usize = (TaskOptions::STACK_BYTES.end().trailing_zeros() - Self::MIN_LOG2 + 1) as usize;

    /// The smallest with at least `bytes` bytes, which are in `TaskOptions::STACK_BYTES`.
    pub(crate) fn of(bytes: usize) -> Self {
        assert!(TaskOptions::STACK_BYTES.contains(&bytes), "the size of a stack is checked where it comes in");
        Self(bytes.next_power_of_two().trailing_zeros() - Self::MIN_LOG2)
    }

    /// The size for tasks that ask for `bytes` bytes.
    pub(crate) fn asked_for(bytes: usize) -> Self {
        Self::of((bytes * FRAME_FACTOR).min(*TaskOptions::STACK_BYTES.end()))
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }

    /// Its place in a table of all of them.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn bytes(self) -> usize {
        1 << (self.0 + Self::MIN_LOG2)
    }

    /// The bytes of a stack with its guard.
    fn slot_bytes(self) -> usize {
        GUARD_BYTES + self.bytes()
    }
}

/// A stack of a fiber. It goes back to the pool with [`FiberStack::give_back`] and is leaked when
/// merely dropped: what ran on it may not have ended.
#[derive(Debug)]
pub(crate) struct FiberStack {
    /// The lowest usable address; the guard lies below it.
    bottom: usize,
    class: SizeClass,
    colour: usize,
    /// Bytes above the base that are its fiber's.
    reserved: usize,
}

impl FiberStack {
    /// Where it begins: the end of its memory, moved down by its colour and by what is reserved. A
    /// multiple of 64.
    pub(crate) fn base(&self) -> usize {
        self.range().end - self.colour * COLOUR_BYTES - self.reserved
    }

    /// Sets bytes at its beginning aside, before anything runs on it; where they are, at a multiple of
    /// 64.
    pub(crate) fn reserve(&mut self, bytes: usize) -> NonNull<u8> {
        self.reserved = bytes.next_multiple_of(COLOUR_BYTES);
        NonNull::new(self.base() as *mut u8).expect("mappings are not at address 0")
    }

    /// The lowest usable address.
    #[cfg(any(feature = "portable-switch", not(target_arch = "x86_64")))]
    pub(crate) fn bottom(&self) -> usize {
        self.bottom
    }

    /// Takes a stack of a size.
    ///
    /// # Errors
    ///
    /// When the system gives no more memory or mappings.
    pub(crate) fn take(class: SizeClass) -> io::Result<Self> {
        let pool = &mut pools()[class.index()];
        if pool.is_empty() {
            *pool = slab(class)?;
        }
        Ok(pool.pop().expect("a slab has at least one stack"))
    }

    /// Gives stacks back, for any runtime of the process to use, and their memory to the system.
    ///
    /// # Safety
    ///
    /// What ran on them has returned.
    pub(crate) unsafe fn give_back(mut stacks: Vec<Self>) {
        stacks.sort_unstable_by_key(|stack| stack.bottom);
        // Neighbours together: a call costs as much as freeing several pages. The guards between them
        // survive it.
        for run in stacks.chunk_by(|lower, upper| lower.range().end + GUARD_BYTES == upper.bottom) {
            let range = run[0].bottom..run[run.len() - 1].range().end;
            if IS_ASKED.load(Ordering::Relaxed) {
                note_use(run, range.clone());
            }
            // SAFETY: the range is these stacks and their guards, which hold nothing of value any more.
            unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
        }
        let mut pools = pools();
        for stack in stacks {
            pools[stack.class.index()].push(Self { reserved: 0, ..stack });
        }
    }

    pub(crate) fn class(&self) -> SizeClass {
        self.class
    }

    fn range(&self) -> Range<usize> {
        self.bottom..self.bottom + self.class.bytes()
    }
}

type Pools = [Vec<FiberStack>; SizeClass::COUNT];

/// Free stacks by size. Slabs are never unmapped, so a stack belongs to the process.
fn pools() -> MutexGuard<'static, Pools> {
    static POOLS: Mutex<Pools> = Mutex::new([const { Vec::new() }; SizeClass::COUNT]);
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether guards are made by `mprotect`: its limit then counts.
static PROTECTED: AtomicBool = AtomicBool::new(false);

/// How many guarded stacks this process can have, when it is less than memory allows.
pub(crate) fn stacks_max() -> Option<usize> {
    if !PROTECTED.load(Ordering::Relaxed) {
        return None;
    }
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse::<usize>().ok()?;
    Some(maps / 2)
}

/// Maps a slab with the best guards that the kernel has for it.
fn slab(class: SizeClass) -> io::Result<Vec<FiberStack>> {
    if !PROTECTED.load(Ordering::Relaxed) {
        match map_slab(class, install_guard) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => PROTECTED.store(true, Ordering::Relaxed),
            mapped => return mapped,
        }
    }
    map_slab(class, protect_guard)
}

/// Maps a slab, guards its stacks and hands them out, lowest address last (so that it is used
/// first).
fn map_slab(class: SizeClass, guard: fn(usize) -> io::Result<()>) -> io::Result<Vec<FiberStack>> {
    let slot = class.slot_bytes();
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
    // A huge page would commit a whole stack at its first touch. Linux from 6.7 on does so by itself for
    // `MAP_STACK`; where it fails there are no huge pages.
    // SAFETY: advice on the new mapping.
    unsafe { libc::madvise(start, slot * count, libc::MADV_NOHUGEPAGE) };
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
        .map(|index| FiberStack {
            bottom: start + index * slot + GUARD_BYTES,
            class,
            colour: index % COLOURS,
            reserved: 0,
        })
        .collect())
}

/// Guards the lowest bytes of a slot without a mapping of their own; EINVAL where the kernel cannot.
fn install_guard(start: usize) -> io::Result<()> {
    // SAFETY: the range lies in a mapping of `map_slab`'s that nobody uses yet.
    match unsafe { libc::madvise(start as *mut libc::c_void, GUARD_BYTES, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Guards the lowest bytes of a slot with a mapping of their own.
fn protect_guard(start: usize) -> io::Result<()> {
    // SAFETY: the range lies in a mapping of `map_slab`'s that nobody uses yet, so that nobody loses access.
    match unsafe { libc::mprotect(start as *mut libc::c_void, GUARD_BYTES, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Somebody has asked for the use of stacks, so that those that are given back note theirs.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// The most bytes that a stack of each size had used when it was given back.
static HIGH_WATER: [AtomicUsize; SizeClass::COUNT] = [const { AtomicUsize::new(0) }; SizeClass::COUNT];

/// How deep fibers have used their stacks of one size; see [`stack_use`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackUse {
    /// The size of these stacks, in bytes: what was asked for, rounded up to a power of two.
    pub stack_bytes: usize,
    /// How many of them hold memory now, those kept warm for later tasks included.
    pub stacks: usize,
    /// The most that one of them has ever used, in bytes, in whole pages. Includes up to 2 KiB by which
    /// the bases of stacks differ.
    pub high_water_bytes: usize,
}

/// Tells how deep the fibers of this process have used their stacks, the smallest size first, sizes
/// that nobody used left out.
///
/// It asks the kernel which pages have been touched, so it costs nothing before it is called, and
/// then some 0.1 ms for each 64 MiB of stacks. Stacks whose memory was given back before the first call,
/// a second after they were last wanted or at the end of a runtime, do not count; nor do pages that have
/// been swapped out meanwhile.
///
/// Nor are the stacks of threads: those of `spawn_thread`, of the bridge and of the program.
pub fn stack_use() -> Vec<StackUse> {
    IS_ASKED.store(true, Ordering::Relaxed);
    let mut uses: Vec<_> =
        SizeClass::all().map(|class| StackUse { stack_bytes: class.bytes(), stacks: 0, high_water_bytes: 0 }).collect();
    for slab in slabs() {
        let pages = Pages::look(slab.range());
        let class = SizeClass::of(slab.slot - GUARD_BYTES);
        let stacks = slab.range().step_by(slab.slot).map(|start| start + GUARD_BYTES..start + slab.slot);
        let all = &mut uses[class.index()];
        for used in stacks.map(|stack| pages.used(stack)).filter(|used| *used > 0) {
            all.stacks += 1;
            all.high_water_bytes = all.high_water_bytes.max(used);
        }
    }
    // Last: a stack that is given back notes what it used before it forgets it.
    for (all, noted) in uses.iter_mut().zip(&HIGH_WATER) {
        all.high_water_bytes = all.high_water_bytes.max(noted.load(Ordering::Relaxed));
    }
    uses.retain(|all| all.high_water_bytes > 0);
    uses
}

/// Notes how much of themselves neighbouring stacks, which are all in `range`, have used.
fn note_use(stacks: &[FiberStack], range: Range<usize>) {
    let pages = Pages::look(range);
    for stack in stacks {
        HIGH_WATER[stack.class.index()].fetch_max(pages.used(stack.range()), Ordering::Relaxed);
    }
}

/// Which pages of a range have been touched.
struct Pages {
    start: usize,
    bytes_each: usize,
    touched: Vec<u8>,
}

impl Pages {
    fn look(range: Range<usize>) -> Self {
        let bytes_each = rustix::param::page_size();
        let mut touched = vec![0; range.len() / bytes_each];
        // SAFETY: a byte for each page of the range, which lies in slabs. Where it fails none counts as
        // touched.
        unsafe { libc::mincore(range.start as *mut libc::c_void, range.len(), touched.as_mut_ptr()) };
        Self { start: range.start, bytes_each, touched }
    }

    /// How many bytes at the upper end of a stack reach down to its lowest touched page.
    fn used(&self, stack: Range<usize>) -> usize {
        let page = |address: usize| (address - self.start) / self.bytes_each;
        let pages = &self.touched[page(stack.start)..page(stack.end)];
        let untouched = pages.iter().take_while(|page| *page & 1 == 0).count();
        (pages.len() - untouched) * self.bytes_each
    }
}

/// The slabs, for the handler of stack overflows. Appended under the lock of the pools, and never removed. A slab past
/// the end of the table is one whose overflow is not named, nor its use seen.
static SLABS: [Published<Slab>; 8192] = [const { Published::new(AtomicPtr::new(ptr::null_mut())) }; 8192];

/// Where a slab lies.
struct Slab {
    start: usize,
    /// The bytes of a stack with its guard.
    slot: usize,
    count: usize,
}

impl Slab {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.slot * self.count
    }
}

/// Under the lock of the pools.
fn register_slab(start: usize, slot: usize, count: usize) {
    if let Some(place) = SLABS.iter().find(|place| place.get().is_none()) {
        place.set(Box::leak(Box::new(Slab { start, slot, count })));
    }
}

/// Async-signal-safe.
fn slabs() -> impl Iterator<Item = &'static Slab> {
    SLABS.iter().map_while(Published::get)
}

/// The size of the stack whose guard `address` hit. Async-signal-safe.
pub(super) fn stack_of_guard(address: usize) -> Option<usize> {
    let slab = slabs().find(|slab| slab.range().contains(&address))?;
    ((address - slab.start) % slab.slot < GUARD_BYTES).then_some(slab.slot - GUARD_BYTES)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    /// Whether the kernel can read there; it answers EFAULT where a read here would be a fault.
    fn is_readable(address: usize) -> bool {
        let (_out, into) = rustix::pipe::pipe().unwrap();
        // SAFETY: the kernel checks the address.
        unsafe { libc::write(into.as_raw_fd(), address as *const libc::c_void, 1) == 1 }
    }

    #[test]
    fn a_size_class_is_the_next_power_of_two() {
        let class_bytes = |bytes| SizeClass::of(bytes).bytes();
        assert_eq!(class_bytes(32 << 10), 32 << 10);
        assert_eq!(class_bytes((32 << 10) + 1), 64 << 10);
        assert_eq!(class_bytes(300 << 10), 512 << 10);
        assert_eq!(class_bytes(1 << 30), 1 << 30);
        assert_eq!(SizeClass::of(1 << 30).index(), SizeClass::COUNT - 1);
        assert!(SizeClass::all().enumerate().all(|(index, class)| class.index() == index));
    }

    #[test]
    fn stacks_do_not_overlap_and_their_guards_are_known() {
        for guard in [install_guard, protect_guard] {
            // More than a slab's worth.
            let class = SizeClass::of(64 << 10);
            let stacks: Vec<_> = (0..2).flat_map(|_| map_slab(class, guard).unwrap()).collect();
            let mut ranges: Vec<_> = stacks.iter().map(FiberStack::range).collect();
            ranges.sort_unstable_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end + GUARD_BYTES <= pair[1].start));
            for range in ranges {
                assert_eq!(stack_of_guard(range.start - 1), Some(64 << 10));
                assert_eq!(stack_of_guard(range.start - GUARD_BYTES), Some(64 << 10));
                assert_eq!(stack_of_guard(range.start), None);
                assert!(!is_readable(range.start - 1) && !is_readable(range.start - GUARD_BYTES), "no guard");
                assert!(is_readable(range.start) && is_readable(range.end - 1), "no stack");
            }
            // SAFETY: nothing ran on them.
            unsafe { FiberStack::give_back(stacks) };
        }
    }

    #[test]
    fn guards_survive_the_return_of_their_stacks() {
        for guard in [install_guard, protect_guard] {
            let stacks = map_slab(SizeClass::of(8 << 20), guard).unwrap();
            let bottoms: Vec<_> = stacks.iter().map(|stack| stack.bottom).collect();
            // SAFETY: nothing ran on them.
            unsafe { FiberStack::give_back(stacks) };
            for bottom in bottoms {
                assert!(!is_readable(bottom - 1), "the guard is gone");
                assert!(is_readable(bottom), "the stack is gone");
            }
        }
    }

    #[test]
    fn a_stack_is_reused() {
        let class = SizeClass::of(32 << 20);
        let stack = FiberStack::take(class).unwrap();
        let bottom = stack.bottom;
        // SAFETY: nothing ran on it.
        unsafe { FiberStack::give_back(vec![stack]) };
        assert_eq!(FiberStack::take(class).unwrap().bottom, bottom);
    }

    #[test]
    fn the_use_of_a_stack_is_seen_while_it_lives_and_after_it_was_given_back() {
        let class = SizeClass::of(16 << 20);
        let of_class = || stack_use().into_iter().find(|all| all.stack_bytes == class.bytes());
        assert_eq!(of_class(), None);
        let stacks: Vec<_> = (0..3).map(|_| FiberStack::take(class).unwrap()).collect();
        for (stack, depth) in stacks.iter().zip([10_000, 1_000_000, 1]) {
            // SAFETY: an address of this stack, which nothing uses.
            unsafe { ((stack.range().end - depth) as *mut u8).write(1) };
        }
        let page = rustix::param::page_size();
        let mut seen = StackUse {
            stack_bytes: class.bytes(),
            stacks: 3,
            high_water_bytes: 1_000_000_usize.next_multiple_of(page),
        };
        assert_eq!(of_class(), Some(seen));
        // SAFETY: nothing runs on them.
        unsafe { FiberStack::give_back(stacks) };
        seen.stacks = 0;
        assert_eq!(of_class(), Some(seen));
    }
}
