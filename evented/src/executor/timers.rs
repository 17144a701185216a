//! The timers of one executor: a heap of the fibers that park with a deadline.

use std::cell::{Cell, RefCell};

use iolite_io::Instant;
use slab::Slab;

/// Identifies an armed timer until it is disarmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerId(usize);

/// A 4-ary heap that knows the position of each timer, so that timers can be disarmed. It keeps its memory: arming
/// allocates only if more timers are armed than ever before.
///
/// A table beside the heap contains the positions: a timer moves through many levels, and the fiber that it wakes is
/// seldom in the processor's caches.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: RefCell<Heap<T>>,
    /// The number of timers that are armed and have not popped, for code that only checks whether there are any.
    armed: Cell<usize>,
}

#[derive(Debug)]
struct Heap<T> {
    entries: Vec<(Instant, TimerId)>,
    timers: Slab<Timer<T>>,
}

#[derive(Debug)]
struct Timer<T> {
    /// The timer's position in `entries`, or `POPPED`.
    index: usize,
    wakes: T,
}

const POPPED: usize = usize::MAX;

/// The number of children of a node: fewer levels than a binary heap, and one cache line of deadlines.
const ARITY: usize = 4;

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: RefCell::new(Heap { entries: Vec::new(), timers: Slab::new() }), armed: Cell::new(0) }
    }
}

impl<T: Copy> Timers<T> {
    /// Returns true if no armed timer is left that has not popped.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.armed.get() == 0
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.borrow().entries.first().map(|(deadline, _)| *deadline)
    }

    /// Arms a timer: [`pop_passed`](Self::pop_passed) returns `wakes` once `deadline` has passed.
    #[must_use = "a timer is disarmed, also after it has popped"]
    pub(crate) fn arm(&self, deadline: Instant, wakes: T) -> TimerId {
        let mut heap = self.heap.borrow_mut();
        let index = heap.entries.len();
        let id = TimerId(heap.timers.insert(Timer { index, wakes }));
        heap.entries.push((deadline, id));
        heap.sift_up(index);
        self.armed.set(heap.entries.len());
        id
    }

    /// Disarms a timer, whether it has popped or not.
    pub(crate) fn disarm(&self, id: TimerId) {
        let mut heap = self.heap.borrow_mut();
        let index = heap.timers.remove(id.0).index;
        if index != POPPED {
            heap.remove(index);
            self.armed.set(heap.entries.len());
        }
    }

    /// Takes a timer whose deadline has passed.
    pub(crate) fn pop_passed(&self, now: Instant) -> Option<T> {
        let mut heap = self.heap.borrow_mut();
        let (deadline, id) = *heap.entries.first()?;
        if deadline > now {
            return None;
        }
        heap.remove(0);
        self.armed.set(heap.entries.len());
        let timer = &mut heap.timers[id.0];
        timer.index = POPPED;
        Some(timer.wakes)
    }
}

impl<T> Heap<T> {
    fn remove(&mut self, index: usize) {
        self.entries.swap_remove(index);
        if index < self.entries.len() {
            // The entry that came from the end may belong further up or further down.
            let index = self.sift_up(index);
            self.sift_down(index);
        }
    }

    fn sift_up(&mut self, mut index: usize) -> usize {
        let entry = self.entries[index];
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if self.entries[parent].0 <= entry.0 {
                break;
            }
            self.put(index, self.entries[parent]);
            index = parent;
        }
        self.put(index, entry);
        index
    }

    fn sift_down(&mut self, mut index: usize) {
        let entry = self.entries[index];
        loop {
            let first = index * ARITY + 1;
            let children = first..self.entries.len().min(first + ARITY);
            let Some(child) = children.min_by_key(|child| self.entries[*child].0) else { break };
            if entry.0 <= self.entries[child].0 {
                break;
            }
            self.put(index, self.entries[child]);
            index = child;
        }
        self.put(index, entry);
    }

    fn put(&mut self, index: usize, entry: (Instant, TimerId)) {
        self.entries[index] = entry;
        self.timers[entry.1.0].index = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that the order of insertion is arbitrary and repeatable.
    fn deadlines(count: usize) -> Vec<u64> {
        let mut state = 42_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 40
        })
        .take(count)
        .collect()
    }

    fn armed(timers: &Timers<u64>, deadlines: &[u64]) -> Vec<TimerId> {
        deadlines.iter().map(|deadline| timers.arm(Instant::from_nanos(*deadline), *deadline)).collect()
    }

    fn popped(timers: &Timers<u64>) -> Vec<u64> {
        std::iter::from_fn(|| timers.pop_passed(Instant::MAX)).collect()
    }

    #[test]
    fn timers_pop_in_order_of_their_deadlines() {
        let mut deadlines = deadlines(1000);
        let timers = Timers::default();
        let ids = armed(&timers, &deadlines);
        deadlines.sort_unstable();
        assert_eq!(popped(&timers), deadlines);
        ids.into_iter().for_each(|id| timers.disarm(id));
    }

    #[test]
    fn disarmed_timers_do_not_pop_and_the_others_do() {
        let deadlines = deadlines(1000);
        let timers = Timers::default();
        let ids = armed(&timers, &deadlines);
        ids.iter().step_by(3).for_each(|id| timers.disarm(*id));
        let mut others: Vec<_> = (0..1000).filter(|index| index % 3 != 0).map(|index| deadlines[index]).collect();
        others.sort_unstable();
        assert_eq!(popped(&timers), others);
    }

    #[test]
    fn what_was_disarmed_makes_room_for_others() {
        let deadlines = deadlines(100);
        let timers = Timers::default();
        for _ in 0..10 {
            let ids = armed(&timers, &deadlines);
            // Half of them are disarmed after they have popped.
            (0..50).for_each(|_| _ = timers.pop_passed(Instant::MAX));
            ids.into_iter().for_each(|id| timers.disarm(id));
            assert_eq!(timers.next(), None);
        }
        assert!(timers.heap.borrow().timers.is_empty() && timers.heap.borrow().timers.capacity() < 200);
    }

    #[test]
    fn a_timer_does_not_pop_before_its_deadline() {
        let timers = Timers::default();
        let id = timers.arm(Instant::from_nanos(10), ());
        assert_eq!(timers.next(), Some(Instant::from_nanos(10)));
        assert!(timers.pop_passed(Instant::from_nanos(9)).is_none());
        assert!(timers.pop_passed(Instant::from_nanos(10)).is_some());
        assert_eq!(timers.next(), None);
        timers.disarm(id);
    }
}
