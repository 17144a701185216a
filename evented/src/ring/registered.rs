//! Memory of pools whose pages the kernel keeps at hand, so that it does not have to look them up for each read or
//! write of a file.
//!
//! An executor registers a pool when one of its fibers first reads or writes through the pool. Entries name both the
//! slot and the place in memory; the kernel refuses a place outside of the slot's memory.
//! slot beside the place in memory; the kernel refuses a place that is not in the slot's memory.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use iolite_io::backend::PoolMemory;

use super::Ring;

/// The number of pools that an executor can register at a time.
const SLOTS: u16 = 100;

/// The registered pools of one executor, by slot.
#[derive(Debug, Default)]
pub(crate) struct RegisteredPools(RefCell<Vec<Slot>>);

#[derive(Debug)]
struct Slot {
    /// The memory that has the slot, until nobody has that memory any more; its address stays in use until then.
    memory: Weak<PoolMemory>,
    /// True if the kernel has accepted it.
    registered: bool,
}

impl RegisteredPools {
    /// Returns the slot of `memory`, which is registered first if needed. Returns `None` if it cannot be registered,
    /// and then does not try again.
    pub(crate) fn slot(&self, ring: &Ring, memory: &Arc<PoolMemory>) -> Option<u16> {
        let known = self.0.borrow().iter().position(|slot| slot.memory.as_ptr() == Arc::as_ptr(memory));
        let slot = known.or_else(|| self.register(ring, memory))?;
        self.0.borrow()[slot].registered.then_some(slot as u16)
    }

    /// Lets the kernel release memory that nobody has any more.
    #[inline]
    pub(crate) fn release_unused(&self, ring: &Ring) {
        for (index, slot) in self.0.borrow_mut().iter_mut().enumerate() {
            if slot.registered && slot.is_free() {
                // If the kernel refuses, it keeps pages that nobody uses until the slot is used again.
                slot.registered = ring.set_slot(index as u16, None).is_err();
            }
        }
    }

    #[cold]
    fn register(&self, ring: &Ring, memory: &Arc<PoolMemory>) -> Option<usize> {
        let mut slots = self.0.borrow_mut();
        let free = slots.iter().position(Slot::is_free).unwrap_or(slots.len());
        if free == usize::from(SLOTS) {
            return None;
        }
        if slots.is_empty() {
            // If this fails, setting a slot fails too.
            let _ = ring.make_slots(SLOTS);
        }
        let registered = ring.set_slot(free as u16, Some(memory)).is_ok();
        let slot = Slot { memory: Arc::downgrade(memory), registered };
        if free == slots.len() {
            slots.push(slot);
        } else {
            slots[free] = slot;
        }
        Some(free)
    }
}

impl Slot {
    fn is_free(&self) -> bool {
        self.memory.strong_count() == 0
    }
}
