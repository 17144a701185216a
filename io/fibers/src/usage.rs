//! The depth to which stacks were used, according to the kernel's information about their pages.
//!
//! A page that was touched stays until the stack is given back. That notes how many there were, once somebody has
//! asked.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::class::StackClass;
use crate::slabs::{GUARD_BYTES, slabs};
use crate::sys::memory;

/// Set once somebody has asked for the use of stacks, so that stacks note their use when they are given back.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// The maximum number of bytes that a stack of each size had used when it was given back.
static HIGH_WATER: [AtomicUsize; StackClass::COUNT] = [const { AtomicUsize::new(0) }; StackClass::COUNT];

/// The depth to which fibers have used their stacks of one size; see [`stack_use`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackUse {
    /// The size of these stacks in bytes: the requested size, rounded up to a power of two.
    pub stack_bytes: usize,
    /// The number of these stacks that hold memory now, including those kept warm for later tasks.
    pub stacks: usize,
    /// The maximum that one of them has ever used, in bytes, in whole pages. It includes up to 2 KiB by which the bases
    /// of stacks differ.
    pub high_water_bytes: usize,
}

/// Returns how deep the fibers of this process have used their stacks, the smallest size first, without sizes that
/// nobody used.
///
/// It asks the kernel which pages have been touched, so it costs nothing before it is called, and then some 0.1 ms for
/// each 64 MiB of stacks. Stacks whose memory was given back before the first call do not count (this happens a second
/// after they were last needed, or at the end of a runtime). Pages that have since been swapped out do not count
/// either.
///
/// It does not include the stacks of threads: those of `spawn_thread`, of the bridge and of the program.
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
    // This comes last: a stack that is given back notes its use before it loses it.
    for (all, noted) in uses.iter_mut().zip(&HIGH_WATER) {
        all.high_water_bytes = all.high_water_bytes.max(noted.load(Ordering::Relaxed));
    }
    uses.retain(|all| all.high_water_bytes > 0);
    uses
}

/// Notes how much neighbouring stacks, which are all in `range`, have used, if somebody has asked.
pub(crate) fn note_use(stacks: impl IntoIterator<Item = (StackClass, Range<usize>)>, range: Range<usize>) {
    if !IS_ASKED.load(Ordering::Relaxed) {
        return;
    }
    let pages = Pages::look(range);
    for (class, stack) in stacks {
        HIGH_WATER[class.index()].fetch_max(pages.used(stack), Ordering::Relaxed);
    }
}

/// The pages of a range that have been touched.
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

    /// Returns the number of bytes from the upper end of a stack down to its lowest touched page.
    fn used(&self, stack: Range<usize>) -> usize {
        let page = |address: usize| (address - self.start) / self.bytes_each;
        let pages = &self.touched[page(stack.start)..page(stack.end)];
        let untouched = pages.iter().take_while(|page| *page & 1 == 0).count();
        (pages.len() - untouched) * self.bytes_each
    }
}
