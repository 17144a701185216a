//! The timers of one executor: a heap of the fibers that park with a deadline.

use std::cell::{Cell, RefCell};

use iolite_io::Instant;

/// Where a timer is in its heap; each fiber has one, since it parks in one place at a time.
#[derive(Debug)]
pub(crate) struct TimerSlot(Cell<usize>);

const UNARMED: usize = usize::MAX;

impl Default for TimerSlot {
    fn default() -> Self {
        Self(Cell::new(UNARMED))
    }
}

impl TimerSlot {
    pub(crate) fn is_armed(&self) -> bool {
        self.0.get() != UNARMED
    }
}

/// What can be woken at a deadline.
pub(crate) trait Timed: Copy {
    fn slot(&self) -> &TimerSlot;
}

/// A 4-ary heap that knows where each of its timers is, so that one can be disarmed. Keeps its
/// memory: arming allocates only when more timers are armed than ever before.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: RefCell<Vec<(Instant, T)>>,
}

/// Children of a node: fewer levels than a binary heap, and one cache line of deadlines.
const ARITY: usize = 4;

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: RefCell::default() }
    }
}

impl<T: Timed> Timers<T> {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.borrow().first().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn arm(&self, deadline: Instant, timer: T) {
        debug_assert!(!timer.slot().is_armed());
        let mut heap = self.heap.borrow_mut();
        heap.push((deadline, timer));
        let last = heap.len() - 1;
        sift_up(&mut heap, last);
    }

    pub(crate) fn disarm(&self, timer: T) {
        let index = timer.slot().0.replace(UNARMED);
        if index != UNARMED {
            remove(&mut self.heap.borrow_mut(), index);
        }
    }

    /// Takes a timer whose deadline has passed.
    pub(crate) fn pop_passed(&self, now: Instant) -> Option<T> {
        let mut heap = self.heap.borrow_mut();
        let (deadline, timer) = *heap.first()?;
        if deadline > now {
            return None;
        }
        timer.slot().0.set(UNARMED);
        remove(&mut heap, 0);
        Some(timer)
    }
}

/// Removes the entry at `index`, whose slot is unarmed already.
fn remove<T: Timed>(heap: &mut Vec<(Instant, T)>, index: usize) {
    heap.swap_remove(index);
    if index < heap.len() {
        // What came from the end may belong further up or further down.
        let index = sift_up(heap, index);
        sift_down(heap, index);
    }
}

fn sift_up<T: Timed>(heap: &mut [(Instant, T)], mut index: usize) -> usize {
    while index > 0 {
        let parent = (index - 1) / ARITY;
        if heap[parent].0 <= heap[index].0 {
            break;
        }
        heap.swap(parent, index);
        heap[index].1.slot().0.set(index);
        index = parent;
    }
    heap[index].1.slot().0.set(index);
    index
}

fn sift_down<T: Timed>(heap: &mut [(Instant, T)], mut index: usize) {
    loop {
        let first = index * ARITY + 1;
        let children = first..heap.len().min(first + ARITY);
        let Some(child) = children.min_by_key(|child| heap[*child].0) else { break };
        if heap[index].0 <= heap[child].0 {
            break;
        }
        heap.swap(index, child);
        heap[index].1.slot().0.set(index);
        index = child;
    }
    heap[index].1.slot().0.set(index);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        slot: TimerSlot,
        deadline: u64,
    }

    impl Timed for &Fake {
        fn slot(&self) -> &TimerSlot {
            &self.slot
        }
    }

    /// A small generator, so that the order of insertion is arbitrary and repeatable.
    fn fakes(count: usize) -> Vec<Fake> {
        let mut state = 42_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Fake { slot: TimerSlot::default(), deadline: state >> 40 }
        })
        .take(count)
        .collect()
    }

    #[test]
    fn timers_pop_in_order_of_their_deadlines() {
        let fakes = fakes(1000);
        let timers = Timers::default();
        for fake in &fakes {
            timers.arm(Instant::from_nanos(fake.deadline), fake);
        }
        let mut popped = Vec::new();
        while let Some(fake) = timers.pop_passed(Instant::MAX) {
            assert!(!fake.slot.is_armed());
            popped.push(fake.deadline);
        }
        assert_eq!(popped.len(), fakes.len());
        assert!(popped.is_sorted());
    }

    #[test]
    fn disarmed_timers_do_not_pop_and_the_others_do() {
        let fakes = fakes(1000);
        let timers = Timers::default();
        for fake in &fakes {
            timers.arm(Instant::from_nanos(fake.deadline), fake);
        }
        for fake in fakes.iter().step_by(3) {
            timers.disarm(fake);
            timers.disarm(fake);
        }
        let mut popped = 0;
        while let Some(fake) = timers.pop_passed(Instant::MAX) {
            assert!(!fakes.iter().step_by(3).any(|disarmed| std::ptr::eq(disarmed, fake)));
            popped += 1;
        }
        assert_eq!(popped, fakes.len() - fakes.len().div_ceil(3));
    }

    #[test]
    fn a_timer_does_not_pop_before_its_deadline() {
        let fake = Fake { slot: TimerSlot::default(), deadline: 10 };
        let timers = Timers::default();
        timers.arm(Instant::from_nanos(10), &fake);
        assert_eq!(timers.next(), Some(Instant::from_nanos(10)));
        assert!(timers.pop_passed(Instant::from_nanos(9)).is_none());
        assert!(timers.pop_passed(Instant::from_nanos(10)).is_some());
        assert_eq!(timers.next(), None);
    }
}
