//! Memory of pools whose pages the kernel keeps at hand, so that it need not look them up for each read
//! or write of a file.
//!
//! An executor registers a pool when one of its fibers first reads or writes through it. Entries name the
//! slot beside the place in memory; the kernel refuses a place that is not in the slot's memory.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use iolite_io::backend::PoolMemory;

use super::Ring;

/// How many pools an executor registers at a time.
const SLOTS: u16 = 100;

/// The registered pools of one executor, by slot.
#[derive(Debug, Default)]
pub(crate) struct RegisteredPools(RefCell<Vec<Slot>>);

#[derive(Debug)]
struct Slot {
    /// Whose slot it is, until nobody has the memory any more; its address is taken until then.
    memory: Weak<PoolMemory>,
    /// Whether the kernel has taken it.
    registered: bool,
}

impl RegisteredPools {
    /// The slot of `memory`, which is registered if it is not; `None` where it cannot be. Then it is not
    /// tried again.
    pub(crate) fn slot(&self, ring: &Ring, memory: &Arc<PoolMemory>) -> Option<u16> {
        let known = self.0.borrow().iter().position(|slot| slot.memory.as_ptr() == Arc::as_ptr(memory));
        let slot = known.or_else(|| self.register(ring, memory))?;
        self.0.borrow()[slot].registered.then_some(slot as u16)
    }

    /// Has the kernel let go of memory that nobody has any more.
    #[inline]
    pub(crate) fn release_unused(&self, ring: &Ring) {
        for (index, slot) in self.0.borrow_mut().iter_mut().enumerate() {
            if slot.registered && slot.is_free() {
                // Where it refuses, it keeps pages that nobody uses until the slot is.
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
            // Where it fails, setting a slot does, too.
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
