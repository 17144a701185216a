//! The places of this process's stacks in memory.

use std::ops::Range;
use std::ptr;

use crate::primitive::AtomicPtr;
use crate::published::Published;

/// The size of the guard below each stack, in bytes.
pub(crate) const GUARD_BYTES: usize = 64 * 1024;

/// The slabs, for the handler of stack overflows. They are appended under the lock of the pools, and never removed. A
/// slab past the end of the table works, but its overflows are not named and its use is not measured.
static SLABS: [Published<Slab>; 8192] = [const { Published::new(AtomicPtr::new(ptr::null_mut())) }; 8192];

/// The place of a slab.
pub(crate) struct Slab {
    pub(crate) start: usize,
    /// The size of a stack with its guard, in bytes.
    pub(crate) slot: usize,
    pub(crate) count: usize,
}

impl Slab {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.slot * self.count
    }
}

/// Registers a slab. To be called under the lock of the pools.
pub(crate) fn register_slab(slab: Slab) {
    if let Some(place) = SLABS.iter().find(|place| place.get().is_none()) {
        place.set(Box::leak(Box::new(slab)));
    }
}

/// Returns all slabs. Async-signal-safe.
pub(crate) fn slabs() -> impl Iterator<Item = &'static Slab> {
    SLABS.iter().map_while(Published::get)
}

/// Returns the size of the stack whose guard contains `address`. Async-signal-safe.
pub(crate) fn stack_of_guard(address: usize) -> Option<usize> {
    let slab = slabs().find(|slab| slab.range().contains(&address))?;
    ((address - slab.start) % slab.slot < GUARD_BYTES).then_some(slab.slot - GUARD_BYTES)
}
