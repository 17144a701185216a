//! How deep stacks were used: what the kernel says of their pages.
//!
//! A page that was touched stays until the stack is given back, which notes how many there were once somebody has asked.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::class::StackClass;
use crate::slabs::{GUARD_BYTES, slabs};
use crate::sys::memory;

/// Somebody has asked for the use of stacks, so that those that are given back note theirs.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// The most bytes that a stack of each size had used when it was given back.
static HIGH_WATER: [AtomicUsize; StackClass::COUNT] = [const { AtomicUsize::new(0) }; StackClass::COUNT];

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
    let mut uses: Vec<_> = StackClass::all()
        .map(|class| StackUse { stack_bytes: class.bytes(), stacks: 0, high_water_bytes: 0 })
        .collect();
    for slab in slabs() {
        let pages = Pages::look(slab.range());
        let class = StackClass::of_exactly(slab.slot - GUARD_BYTES);
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

/// Notes how much of themselves neighbouring stacks, which are all in `range`, have used, if somebody has asked.
pub(crate) fn note_use(stacks: impl IntoIterator<Item = (StackClass, Range<usize>)>, range: Range<usize>) {
    if !IS_ASKED.load(Ordering::Relaxed) {
        return;
    }
    let pages = Pages::look(range);
    for (class, stack) in stacks {
        HIGH_WATER[class.index()].fetch_max(pages.used(stack), Ordering::Relaxed);
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
        let (start, bytes_each) = (range.start, rustix::param::page_size());
        Self { start, bytes_each, touched: memory::touched_pages(range, bytes_each) }
    }

    /// How many bytes at the upper end of a stack reach down to its lowest touched page.
    fn used(&self, stack: Range<usize>) -> usize {
        let page = |address: usize| (address - self.start) / self.bytes_each;
        let pages = &self.touched[page(stack.start)..page(stack.end)];
        let untouched = pages.iter().take_while(|page| *page & 1 == 0).count();
        (pages.len() - untouched) * self.bytes_each
    }
}
