//! The state that a queue and its operations share: operations in flight, timers, and completions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use super::completion::{Completion, CompletionKind, OperationId};
use crate::context::Waiters;
use crate::group::ScopedTask;
use crate::primitive::Lock;
use crate::time::Instant;
use crate::waiting::Choice;

pub(super) struct Shared<T, R>(pub(super) Lock<State<T, R>>);

pub(super) struct State<T, R> {
    ids: u64,
    /// Operations that have ended, with their times, in increasing order.
    pub(super) ended: VecDeque<(Instant, Ready<T, R>)>,
    /// Operations that have not ended.
    pub(super) operations: HashMap<OperationId, Operation<T>>,
    /// The timers, each at the first of its ticks that was not taken. Ticks that have passed are taken from here one by
    /// one, and so take no memory, however many there are.
    pub(super) timers: BTreeMap<(Instant, OperationId), Timer<T>>,
    /// The position of each timer in `timers`.
    deadlines: HashMap<OperationId, Instant>,
    pub(super) waiters: Waiters,
}

pub(super) struct Ready<T, R> {
    id: OperationId,
    tag: T,
    kind: CompletionKind<thread::Result<R>>,
}

pub(super) struct Operation<T> {
    tag: T,
    task: OperationTask,
}

/// The task of an operation, for canceling it.
pub(super) enum OperationTask {
    /// The task is being started; `true` if it has to be canceled.
    Starting(bool),
    Started(ScopedTask<'static, ()>),
}

pub(super) struct Timer<T> {
    pub(super) tag: T,
    /// The period after which it fires again, and the function that copies its tag.
    pub(super) again: Option<(Duration, fn(&T) -> T)>,
    /// The instant at which it was canceled: later ticks do not come out.
    pub(super) canceled_at: Option<Instant>,
}

impl<T, R> Default for Shared<T, R> {
    fn default() -> Self {
        Self(Lock::new(State {
            ids: 0,
            ended: VecDeque::new(),
            operations: HashMap::new(),
            timers: BTreeMap::new(),
            deadlines: HashMap::new(),
            waiters: Waiters::default(),
        }))
    }
}

impl<T, R> Shared<T, R> {
    pub(super) fn begin(&self, tag: T) -> OperationId {
        let mut state = self.0.lock();
        let id = state.new_id();
        state.operations.insert(id, Operation { tag, task: OperationTask::Starting(false) });
        id
    }

    /// Stores the task of an operation that has begun, and may have ended.
    pub(super) fn began(&self, id: OperationId, member: ScopedTask<'static, ()>) {
        let mut state = self.0.lock();
        if let Some(operation) = state.operations.get_mut(&id) {
            if let OperationTask::Starting(true) = operation.task {
                member.request_cancel();
            }
            operation.task = OperationTask::Started(member);
        }
    }

    /// Removes an operation that was not begun.
    pub(super) fn forget(&self, id: OperationId) {
        // Dropped outside of the lock.
        let _operation = self.0.lock().operations.remove(&id);
    }

    pub(super) fn end(&self, id: OperationId, result: thread::Result<R>, now: Instant) {
        let mut result = Some(result);
        // In one step: the operation is either in flight or ready to be taken. Its task is dropped outside of the lock.
        let _task = self.change(|state| {
            let Operation { tag, task } = state.operations.remove(&id)?;
            let kind = result.take().map(CompletionKind::Operation)?;
            let at = state.ended.back().map_or(now, |(before, _)| now.max(*before));
            state.ended.push_back((at, Ready { id, tag, kind }));
            Some(task)
        });
    }

    pub(super) fn set_timer(&self, deadline: Instant, timer: Timer<T>) -> OperationId {
        self.change(|state| {
            let id = state.new_id();
            state.insert(deadline, id, timer);
            id
        })
    }

    pub(super) fn cancel(&self, id: OperationId, now: Instant) -> bool {
        let mut state = self.0.lock();
        let (is_timer, timer) = state.cancel_timer(id, now);
        let is_operation = state.operations.get_mut(&id).map(Operation::cancel).is_some();
        drop(state);
        // Outside of the lock, because its tag belongs to the program.
        drop(timer);
        is_timer || is_operation
    }

    pub(super) fn cancel_all(&self, now: Instant) {
        let mut state = self.0.lock();
        state.operations.values_mut().for_each(Operation::cancel);
        let ids: Vec<_> = state.deadlines.keys().copied().collect();
        let timers: Vec<_> = ids.into_iter().map(|id| state.cancel_timer(id, now)).collect();
        drop(state);
        drop(timers);
    }

    /// Changes the state and wakes those that wait for the change.
    pub(super) fn change<U>(&self, change: impl FnOnce(&mut State<T, R>) -> U) -> U {
        let mut state = self.0.lock();
        let value = change(&mut state);
        let mut waiters = mem::take(&mut state.waiters);
        drop(state);
        waiters.wake();
        value
    }
}

impl<T, R> State<T, R> {
    pub(super) fn new_id(&mut self) -> OperationId {
        self.ids += 1;
        OperationId(self.ids)
    }

    pub(super) fn insert(&mut self, deadline: Instant, id: OperationId, timer: Timer<T>) {
        self.deadlines.insert(id, deadline);
        self.timers.insert((deadline, id), timer);
    }

    /// Ends a timer, whose ticks up to `now` still come out. Returns true if there was a timer that had not ended; also
    /// returns the timer if it has no tick left.
    pub(super) fn cancel_timer(&mut self, id: OperationId, now: Instant) -> (bool, Option<Timer<T>>) {
        let Some(deadline) = self.deadlines.get(&id).copied() else { return (false, None) };
        let Some(timer) = self.timers.get_mut(&(deadline, id)) else { return (false, None) };
        if timer.canceled_at.is_some() {
            (false, None)
        } else if deadline <= now {
            timer.canceled_at = Some(now);
            (timer.again.is_some(), None)
        } else {
            self.deadlines.remove(&id);
            (true, self.timers.remove(&(deadline, id)))
        }
    }

    /// Returns the instant at which the next timer fires.
    pub(super) fn fires_at(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes the oldest completion if `comer` has not been decided elsewhere, and decides `comer`. If there is none,
    /// `comer` is woken when there is one.
    pub(super) fn take(&mut self, now: Instant, comer: Option<&Choice>) -> Option<Ready<T, R>> {
        let ended_at = self.ended.front().map(|(at, _)| *at);
        // An operation may have ended after the caller read the clock; ticks before that end come out first.
        let until = ended_at.unwrap_or(now);
        let fires = self.fires_at().is_some_and(|at| at <= until);
        if !fires && ended_at.is_none() {
            comer.into_iter().for_each(|comer| self.waiters.enter(comer.unparker()));
            return None;
        }
        if !comer.is_none_or(Choice::decide) {
            return None;
        }
        if fires { self.tick() } else { self.ended.pop_front().map(|(_, ready)| ready) }
    }

    /// Takes the first tick of the first timer.
    pub(super) fn tick(&mut self) -> Option<Ready<T, R>> {
        let ((deadline, id), timer) = self.timers.pop_first()?;
        self.deadlines.remove(&id);
        if let Some((period, copy)) = timer.again {
            let next = deadline + period;
            if timer.canceled_at.is_none_or(|canceled_at| next <= canceled_at) {
                self.insert(next, id, Timer { tag: copy(&timer.tag), ..timer });
            }
        }
        Some(Ready { id, tag: timer.tag, kind: CompletionKind::Timer })
    }
}

impl<T> Operation<T> {
    pub(super) fn cancel(&mut self) {
        match &mut self.task {
            OperationTask::Starting(canceled) => *canceled = true,
            OperationTask::Started(member) => member.request_cancel(),
        }
    }
}

impl<T, R> Ready<T, R> {
    pub(super) fn tell(self) -> Completion<T, R> {
        let kind = match self.kind {
            CompletionKind::Timer => CompletionKind::Timer,
            CompletionKind::Operation(Ok(value)) => CompletionKind::Operation(value),
            CompletionKind::Operation(Err(panic)) => resume_unwind(panic),
        };
        Completion { id: self.id, tag: self.tag, kind }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Shared, Timer};
    use crate::time::Instant;

    #[test]
    fn timers_fire_in_the_order_of_their_times_and_then_of_their_setting() {
        let shared = Shared::<u64, ()>::default();
        let again: fn(&u64) -> u64 = |tag| *tag;
        let set = |tag, every: bool| {
            let again = every.then_some((Duration::from_nanos(tag), again));
            shared.set_timer(Instant::from_nanos(tag), Timer { tag, again, canceled_at: None })
        };
        let slow = set(15, true);
        set(5, true);
        set(12, false);
        let take = |now| -> Vec<u64> {
            std::iter::from_fn(|| shared.0.lock().take(Instant::from_nanos(now), None)).map(|ready| ready.tag).collect()
        };
        assert_eq!(take(4), []);
        assert_eq!(take(16), [5, 5, 12, 15, 5]);
        assert_eq!(take(30), [5, 5, 15, 5], "ties go to what was set first");
        assert!(shared.cancel(slow, Instant::from_nanos(45)), "it fires once more before");
        assert_eq!(take(60), [5, 5, 15, 5, 5, 5, 5]);
        shared.cancel_all(Instant::from_nanos(60));
        assert_eq!(take(1000), []);
    }

    #[test]
    fn times_that_were_missed_are_told_one_by_one_and_kept_nowhere() {
        const MISSED: u64 = 1_000_000_000_000;
        let shared = Shared::<u64, ()>::default();
        let timer = Timer { tag: 7, again: Some((Duration::from_nanos(1), |tag: &u64| *tag)), canceled_at: None };
        let every = shared.set_timer(Instant::from_nanos(1), timer);
        let take = || shared.0.lock().take(Instant::from_nanos(MISSED), None).map(|ready| ready.tag);
        assert_eq!((take(), take(), take()), (Some(7), Some(7), Some(7)));
        let state = shared.0.lock();
        assert_eq!((state.timers.len(), state.ended.len()), (1, 0));
        drop(state);
        assert!(shared.cancel(every, Instant::from_nanos(5)), "two times have passed that were not told");
        assert!(!shared.cancel(every, Instant::from_nanos(5)), "it has ended");
        assert_eq!((take(), take(), take()), (Some(7), Some(7), None));
    }

    #[test]
    fn what_fired_before_an_end_comes_out_before_it() {
        let shared = Shared::<u64, ()>::default();
        let set = |at| shared.set_timer(Instant::from_nanos(at), Timer { tag: at, again: None, canceled_at: None });
        let end = |tag, at| shared.end(shared.begin(tag), Ok(()), Instant::from_nanos(at));
        let fired = set(10);
        set(30);
        end(20, 20);
        end(21, 19);
        end(40, 40);
        // The clock of the caller is behind that of the ends.
        let take = || shared.0.lock().take(Instant::from_nanos(5), None).map(|ready| ready.tag);
        assert!(!shared.cancel(fired, Instant::from_nanos(15)), "it has fired, and is still told");
        assert_eq!((take(), take(), take(), take(), take()), (Some(10), Some(20), Some(21), Some(30), Some(40)));
        assert_eq!(take(), None);
    }
}
