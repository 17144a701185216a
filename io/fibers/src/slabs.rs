//! Where the stacks of this process lie.

use std::ops::Range;
use std::ptr;

use crate::primitive::AtomicPtr;
use crate::published::Published;

/// Bytes of the guard below each stack.
pub(crate) const GUARD_BYTES: usize = 64 * 1024;

/// The slabs, for the handler of stack overflows. Appended under the lock of the pools, and never removed. A slab past
/// the end of the table is one whose overflow is not named, nor its use seen.
static SLABS: [Published<Slab>; 8192] = [const { Published::new(AtomicPtr::new(ptr::null_mut())) }; 8192];

/// Where a slab lies.
pub(crate) struct Slab {
    pub(crate) start: usize,
    /// The bytes of a stack with its guard.
    pub(crate) slot: usize,
    pub(crate) count: usize,
}

impl Slab {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.slot * self.count
    }
}

/// Enters a slab. Called under the lock of the pools.
pub(crate) fn register_slab(slab: Slab) {
    if let Some(place) = SLABS.iter().find(|place| place.get().is_none()) {
        place.set(Box::leak(Box::new(slab)));
    }
}

/// All slabs. Async-signal-safe.
pub(crate) fn slabs() -> impl Iterator<Item = &'static Slab> {
    SLABS.iter().map_while(Published::get)
}

/// The size of the stack whose guard `address` hit. Async-signal-safe.
pub(crate) fn stack_of_guard(address: usize) -> Option<usize> {
    let slab = slabs().find(|slab| slab.range().contains(&address))?;
    ((address - slab.start) % slab.slot < GUARD_BYTES).then_some(slab.slot - GUARD_BYTES)
}
