//! The places of this process's stacks in memory.

use std::ops::Range;
use std::ptr;

use crate::primitive::AtomicPtr;
use crate::published::Published;

/// The size of the guard below each stack, in bytes.
pub(crate) const GUARD_BYTES: usize = 64 * 1024;

const COLOURS: usize = 16;
pub(crate) const COLOUR_BYTES: usize = 64;

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

/// Returns the colour of a stack by its index in its slab: its beginning is moved down by this many [`COLOUR_BYTES`].
pub(crate) fn colour(index: usize) -> usize {
    index % COLOURS
}

/// A stack whose guard was hit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflown {
    /// The size of the stack, in bytes.
    pub(crate) stack_bytes: usize,
    /// The end of the stack's memory, moved down by its colour.
    pub(crate) top: usize,
}

/// Returns the stack whose guard contains `address`. Async-signal-safe.
pub(crate) fn stack_of_guard(address: usize) -> Option<Overflown> {
    let slab = slabs().find(|slab| slab.range().contains(&address))?;
    let (index, offset) = ((address - slab.start) / slab.slot, (address - slab.start) % slab.slot);
    let end = slab.start + (index + 1) * slab.slot;
    (offset < GUARD_BYTES)
        .then(|| Overflown { stack_bytes: slab.slot - GUARD_BYTES, top: end - colour(index) * COLOUR_BYTES })
}
