//! The queues of tasks that have not started, and the choice of the executor that gets them.
//!
//! Each executor has three queues: an open one, from which any executor takes tasks when it has nothing else to do; one
//! for tasks that asked for this very executor; and one for tasks that were handed to it while it was idle. A task that
//! asks for no executor goes to an idle executor, because it delays no other task there. If none is idle, it goes to
//! the executor with the smallest load: the number of its fibers that were ready when it last published that number,
//! and the number of tasks that wait for it. Among equals, the executor with the fewest fibers gets the task. The load
//! is a hint and nothing depends on it: a task in the wrong place is stolen.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use iolite_io::backend::{Lock, Ticket, UnstartedQueue};
use iolite_io::task::Placement;

/// The number of fibers by which an idle executor may exceed the executor that starts a task and still get that task.
const FIBERS_AHEAD: usize = 16;

/// The tasks of a runtime that have not started.
#[derive(Debug)]
pub(crate) struct Queues<T> {
    executors: Box<[Queue<T>]>,
    /// The position at which the next search for the smallest load begins.
    next: AtomicUsize,
}

#[derive(Debug)]
struct Queue<T> {
    /// Tasks that any executor may take.
    open: Tasks<T>,
    /// Tasks for this executor only.
    pinned: Tasks<T>,
    /// Tasks that were handed to the executor while it was idle. It is coming to begin them, so no other executor may
    /// steal them in the meantime; that would often be the one that gave them away.
    handed: Tasks<T>,
    /// True if the executor looks into `pinned` first; it alternates. Only that executor writes it.
    pinned_first: AtomicBool,
    /// The number of its fibers that were ready when it last published that. Only that executor writes it.
    ready: AtomicUsize,
    /// The number of its fibers at that time. Only that executor writes it.
    live: AtomicUsize,
}

/// A queue whose length can be read without its lock.
#[derive(Debug)]
struct Tasks<T> {
    queue: Lock<UnstartedQueue<T>>,
    /// The length of the queue after its last change; written under the lock. It is a hint: before an executor sleeps,
    /// it looks under the lock, after it has announced its sleep.
    len: AtomicUsize,
}

/// The executor whose fiber starts a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor {
    pub(crate) index: usize,
    /// The number of its fibers that are ready, without the one that runs.
    pub(crate) ready: usize,
    /// The number of its fibers.
    pub(crate) live: usize,
}

/// The place where a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) executor: usize,
    /// True if no other executor may take the task.
    pub(crate) pinned: bool,
}

impl<T> Queues<T> {
    pub(crate) fn new(executors: usize) -> Self {
        let queue = || Queue {
            open: Tasks::default(),
            pinned: Tasks::default(),
            handed: Tasks::default(),
            pinned_first: AtomicBool::new(false),
            ready: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
        };
        Self { executors: (0..executors).map(|_| queue()).collect(), next: AtomicUsize::new(0) }
    }

    /// Chooses the place of a task; `own` is the executor of the fiber that starts it, if it is one.
    pub(crate) fn place(&self, wanted: Placement, own: Option<LocalExecutor>) -> Place {
        match (wanted, own) {
            (Placement::Executor(executor), _) => Place { executor, pinned: true },
            (Placement::Here, Some(own)) => Place { executor: own.index, pinned: true },
            (Placement::Anywhere, Some(own)) => Place { executor: self.least_loaded_beside(own), pinned: false },
            (Placement::Anywhere | Placement::Here, None) => Place { executor: self.least_loaded(), pinned: false },
        }
    }

    /// Adds a task, and gives it its ticket before any executor can take it.
    pub(crate) fn push(&self, place: Place, task: T, offer: impl FnOnce(&T, Ticket)) {
        let queue = &self.executors[place.executor];
        let tasks = if place.pinned { &queue.pinned } else { &queue.open };
        tasks.push(task, offer);
    }

    /// Hands a task to an idle executor; the caller wakes that executor afterwards.
    pub(crate) fn hand(&self, executor: usize, task: T, offer: impl FnOnce(&T, Ticket)) {
        self.executors[executor].handed.push(task, offer);
    }

    /// Chooses an idle executor for a task that `own`, or an outside thread, starts: the one with the fewest fibers. It
    /// excludes executors that have many more fibers than `own`; otherwise all connections of a server could end up
    /// there.
    pub(crate) fn idle(&self, own: Option<LocalExecutor>) -> Option<usize> {
        let fits = |index: &usize| match own {
            Some(own) => *index != own.index && self.live(*index) <= own.live + FIBERS_AHEAD,
            None => true,
        };
        let first = own.map_or_else(|| self.in_turn(), |own| own.index);
        let order = (first..self.executors.len()).chain(0..first);
        order.filter(|index| self.load(*index) == 0 && fits(index)).min_by_key(|index| self.live(*index))
    }

    /// Takes the task that waits under `ticket` and asked for no executor; it is most likely in a queue of `own`.
    pub(crate) fn take(&self, own: usize, ticket: Ticket) -> Option<T> {
        let mut order = std::iter::once(own).chain(self.others(own));
        order.find_map(|index| {
            let queue = &self.executors[index];
            queue.open.take(ticket).or_else(|| queue.handed.take(ticket))
        })
    }

    /// Returns the next task for executor `own`: one of its own or, if it may steal, one of another executor.
    pub(crate) fn next(&self, own: usize, steal: bool) -> Option<T> {
        let next = self.executors[own].next();
        if next.is_some() || !steal {
            return next;
        }
        self.others(own).find_map(|index| self.executors[index].open.pop())
    }

    /// Returns true if there is a task that executor `own` may take.
    pub(crate) fn has_next(&self, own: usize) -> bool {
        let queue = &self.executors[own];
        queue.pinned.has_tasks()
            || queue.handed.has_tasks()
            || self.executors.iter().any(|queue| queue.open.has_tasks())
    }

    /// Returns true if there seems to be a task for executor `own` itself. It is a hint that takes no lock.
    #[inline]
    pub(crate) fn seems_to_have_next(&self, own: usize) -> bool {
        self.executors[own].waiting() > 0
    }

    /// Publishes how many fibers of an executor are ready, and how many it has.
    pub(crate) fn tell(&self, own: LocalExecutor) {
        let queue = &self.executors[own.index];
        queue.ready.store(own.ready, Ordering::Relaxed);
        queue.live.store(own.live, Ordering::Relaxed);
    }

    /// Returns how much an executor has to do, according to its last publication.
    pub(crate) fn load(&self, executor: usize) -> usize {
        self.executors[executor].load()
    }

    fn live(&self, executor: usize) -> usize {
        self.executors[executor].live.load(Ordering::Relaxed)
    }

    /// Returns the next executor in turn.
    fn in_turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.executors.len()
    }

    fn others(&self, own: usize) -> impl Iterator<Item = usize> {
        (own + 1..self.executors.len()).chain(0..own)
    }

    /// Returns the caller's own executor, unless another one has less to do.
    fn least_loaded_beside(&self, own: LocalExecutor) -> usize {
        if self.executors.len() == 1 {
            return own.index;
        }
        let mut least = (own.ready + self.executors[own.index].waiting(), own.index);
        for index in self.others(own.index) {
            let load = self.executors[index].load();
            if load < least.0 {
                least = (load, index);
            }
        }
        least.1
    }

    /// Returns the executor with the least to do; equals take turns.
    pub(crate) fn least_loaded(&self) -> usize {
        if self.executors.len() == 1 {
            return 0;
        }
        let first = self.in_turn();
        let order = (first..self.executors.len()).chain(0..first);
        order.min_by_key(|index| self.executors[*index].load()).unwrap_or(first)
    }
}

impl<T> Queue<T> {
    /// Returns first the tasks that were handed to it, and then tasks of the other two kinds in turn, so that neither
    /// kind waits for the end of the other. (More tasks are handed to it only when it is idle again.)
    fn next(&self) -> Option<T> {
        if let Some(task) = self.handed.pop() {
            return Some(task);
        }
        let pinned_first = self.pinned_first.load(Ordering::Relaxed);
        self.pinned_first.store(!pinned_first, Ordering::Relaxed);
        let (first, second) = if pinned_first { (&self.pinned, &self.open) } else { (&self.open, &self.pinned) };
        first.pop().or_else(|| second.pop())
    }

    /// Returns the number of tasks that wait here.
    fn waiting(&self) -> usize {
        [&self.open, &self.pinned, &self.handed].iter().map(|tasks| tasks.len.load(Ordering::Relaxed)).sum()
    }

    fn load(&self) -> usize {
        self.ready.load(Ordering::Relaxed) + self.waiting()
    }
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self { queue: Lock::default(), len: AtomicUsize::new(0) }
    }
}

impl<T> Tasks<T> {
    #[inline]
    fn pop(&self) -> Option<T> {
        if self.len.load(Ordering::Relaxed) == 0 { None } else { self.change(UnstartedQueue::pop) }
    }

    fn take(&self, ticket: Ticket) -> Option<T> {
        if self.len.load(Ordering::Relaxed) == 0 { None } else { self.change(|queue| queue.take(ticket)) }
    }

    fn push(&self, task: T, offer: impl FnOnce(&T, Ticket)) {
        self.change(|queue| {
            offer(&task, queue.next_ticket());
            queue.push(task);
        });
    }

    /// Under the lock: one thread pushes a task and then looks for sleepers; the other announces its sleep and then
    /// looks here. So one of the two sees the other.
    fn has_tasks(&self) -> bool {
        !self.lock().is_empty()
    }

    fn change<R>(&self, change: impl FnOnce(&mut UnstartedQueue<T>) -> R) -> R {
        let mut queue = self.lock();
        let result = change(&mut queue);
        self.len.store(queue.len(), Ordering::Relaxed);
        result
    }

    fn lock(&self) -> MutexGuard<'_, UnstartedQueue<T>> {
        self.queue.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(queues: &Queues<u32>, wanted: Placement, own: Option<LocalExecutor>, task: u32) -> Place {
        let place = queues.place(wanted, own);
        queues.push(place, task, |_, _| {});
        place
    }

    fn open(executor: usize) -> Place {
        Place { executor, pinned: false }
    }

    #[test]
    fn a_task_stays_where_it_was_started_unless_another_has_less_to_do() {
        let queues = Queues::new(3);
        let own = Some(LocalExecutor { index: 1, ready: 0, live: 1 });
        assert_eq!(put(&queues, Placement::Anywhere, own, 0), open(1));
        assert_eq!(put(&queues, Placement::Anywhere, own, 1), open(2));
        assert_eq!(put(&queues, Placement::Anywhere, own, 2), open(0));
        assert_eq!(put(&queues, Placement::Anywhere, own, 3), open(1), "all have one");
        let busy = Some(LocalExecutor { index: 1, ready: 9, live: 10 });
        queues.tell(LocalExecutor { index: 2, ready: 5, live: 5 });
        assert_eq!(put(&queues, Placement::Anywhere, busy, 4), open(0));
        queues.tell(LocalExecutor { index: 0, ready: 9, live: 9 });
        assert_eq!(put(&queues, Placement::Anywhere, busy, 5), open(2));
    }

    #[test]
    fn a_task_from_outside_goes_to_the_least_loaded_and_to_equals_in_turn() {
        let queues = Queues::new(4);
        let executors: Vec<_> = (0..8).map(|task| put(&queues, Placement::Here, None, task).executor).collect();
        assert_eq!(executors, [0, 1, 2, 3, 0, 1, 2, 3]);
        (0..4).filter(|index| *index != 2).for_each(|index| queues.tell(LocalExecutor { index, ready: 10, live: 10 }));
        assert!((0..5).all(|task| put(&queues, Placement::Anywhere, None, task) == open(2)));
    }

    #[test]
    fn what_asked_for_an_executor_is_never_stolen() {
        let queues = Queues::new(2);
        let own = Some(LocalExecutor { index: 0, ready: 0, live: 1 });
        let pinned = Place { executor: 0, pinned: true };
        assert_eq!(put(&queues, Placement::Here, own, 1), pinned);
        assert_eq!(
            put(&queues, Placement::Executor(0), Some(LocalExecutor { index: 1, ready: 0, live: 1 }), 2),
            pinned
        );
        assert_eq!(put(&queues, Placement::Executor(0), None, 3), pinned);
        assert!(!queues.has_next(1) && queues.has_next(0));
        assert_eq!(queues.next(1, true), None);
        queues.push(open(0), 4, |_, _| {});
        assert!(queues.has_next(1));
        assert_eq!(queues.next(1, false), None);
        assert_eq!(queues.next(1, true), Some(4));
        let own: Vec<_> = std::iter::from_fn(|| queues.next(0, false)).collect();
        assert_eq!(own, [1, 2, 3]);
    }

    #[test]
    fn a_task_is_taken_by_its_ticket_from_any_open_queue() {
        let queues = Queues::new(2);
        let mut tickets = Vec::new();
        (0..4).for_each(|task| queues.push(open(1), task, |_, ticket| tickets.push(ticket)));
        assert_eq!(queues.take(0, tickets[2]), Some(2));
        assert_eq!(queues.take(1, tickets[0]), Some(0));
        assert_eq!(queues.take(1, tickets[0]), None);
        let rest: Vec<_> = std::iter::from_fn(|| queues.next(0, true)).collect();
        assert_eq!(rest, [1, 3]);
    }

    #[test]
    fn of_those_that_are_idle_the_one_with_the_fewest_fibers_gets_it() {
        let queues = Queues::<u32>::new(3);
        let own = LocalExecutor { index: 0, ready: 0, live: 10 };
        queues.tell(LocalExecutor { index: 1, ready: 0, live: 9 });
        queues.tell(LocalExecutor { index: 2, ready: 0, live: 8 });
        assert_eq!(queues.idle(Some(own)), Some(2));
        queues.tell(LocalExecutor { index: 2, ready: 1, live: 8 });
        assert_eq!(queues.idle(Some(own)), Some(1));
        queues.tell(LocalExecutor { index: 1, ready: 0, live: 10 + FIBERS_AHEAD + 1 });
        assert_eq!(queues.idle(Some(own)), None, "one is busy, the other has too many fibers already");
        assert_eq!(queues.idle(None), Some(0));
        queues.tell(LocalExecutor { index: 0, ready: 1, live: 1 });
        assert_eq!(queues.idle(None), Some(1));
    }

    #[test]
    fn what_was_handed_to_an_executor_is_begun_first_and_there_or_by_its_joiner() {
        let queues = Queues::new(2);
        let mut tickets = Vec::new();
        queues.push(open(1), 1, |_, _| {});
        (2..4).for_each(|task| queues.hand(1, task, |_, ticket| tickets.push(ticket)));
        assert_eq!(queues.next(0, true), Some(1));
        assert_eq!(queues.next(0, true), None);
        assert!(!queues.has_next(0) && queues.has_next(1));
        queues.push(open(1), 4, |_, _| {});
        assert_eq!(queues.take(0, tickets[1]), Some(3));
        let order: Vec<_> = std::iter::from_fn(|| queues.next(1, false)).collect();
        assert_eq!(order, [2, 4]);
    }

    #[test]
    fn neither_kind_waits_for_the_end_of_the_other() {
        let queues = Queues::new(1);
        for task in 0..4 {
            queues.push(open(0), task, |_, _| {});
            queues.push(Place { executor: 0, pinned: true }, 10 + task, |_, _| {});
        }
        let order: Vec<_> = std::iter::from_fn(|| queues.next(0, true)).collect();
        assert_eq!(order, [0, 10, 1, 11, 2, 12, 3, 13]);
    }
}
