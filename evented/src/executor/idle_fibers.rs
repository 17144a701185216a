//! Fibers without a task, by the size of their stacks.

use std::cell::RefCell;

use iolite_fibers::StackClass;

use crate::fiber::OwnedFiber;

/// The number of idle fibers of each size that keep their stacks warm; an idle executor gives back the stacks of the
/// others.
const WARM_MAX: usize = 1024;

/// The maximum number of bytes of stack that the warm fibers of a size may have, so there are fewer warm fibers with
/// large stacks.
const WARM_BYTES_MAX: usize = 256 << 20;

/// The fibers of an executor that have no task.
#[derive(Default)]
pub(super) struct IdleFibers {
    /// The idle fibers by the size of their stacks, the warmest last.
    classes: [RefCell<Vec<OwnedFiber>>; StackClass::COUNT],
}

impl IdleFibers {
    /// Takes the warmest fiber with a stack of this size.
    pub(super) fn take(&self, class: StackClass) -> Option<OwnedFiber> {
        self.classes[class.index()].borrow_mut().pop()
    }

    pub(super) fn put(&self, fiber: OwnedFiber) {
        self.classes[fiber.class.index()].borrow_mut().push(fiber);
    }

    /// Returns true if there are more fibers than are kept warm.
    pub(super) fn has_surplus(&self) -> bool {
        StackClass::all().any(|class| self.classes[class.index()].borrow().len() > warm_max(class))
    }

    /// Takes the coldest fibers, as many as exceed the limit.
    pub(super) fn take_surplus(&self) -> Vec<OwnedFiber> {
        self.take_colder(warm_max)
    }

    pub(super) fn take_all(&self) -> Vec<OwnedFiber> {
        self.take_colder(|_| 0)
    }

    fn take_colder(&self, keep: fn(StackClass) -> usize) -> Vec<OwnedFiber> {
        let mut taken = Vec::new();
        for class in StackClass::all() {
            let mut fibers = self.classes[class.index()].borrow_mut();
            let surplus = fibers.len().saturating_sub(keep(class));
            taken.extend(fibers.drain(..surplus));
        }
        taken
    }
}

fn warm_max(class: StackClass) -> usize {
    WARM_MAX.min(WARM_BYTES_MAX / class.bytes())
}
