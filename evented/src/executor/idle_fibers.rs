//! Fibers without a task, by the size of their stacks.

use std::cell::RefCell;

use iolite_fibers::StackClass;

use crate::fiber::OwnedFiber;

/// How many idle fibers of a size keep their stacks warm; more are given back when the executor is
/// idle.
const WARM_MAX: usize = 1024;

/// How many bytes of stack the warm fibers of a size may have: of large stacks that are fewer.
const WARM_BYTES_MAX: usize = 256 << 20;

/// The fibers of an executor that have no task.
#[derive(Default)]
pub(super) struct IdleFibers {
    /// By size, the warmest last.
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

    /// Whether there are more than are kept warm.
    pub(super) fn has_surplus(&self) -> bool {
        StackClass::all().any(|class| self.classes[class.index()].borrow().len() > warm_max(class))
    }

    /// Takes the coldest fibers, those that are too many.
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
