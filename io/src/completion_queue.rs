//! A queue of what has happened: operations that have ended, timers that have fired.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Io;
use crate::cancel::{Canceled, TimedOut, WaitError};
use crate::context::{self, Unparker, WaitEnd, Waiters};
use crate::dropping::drop_panic;
use crate::group::{OwnedGroup, ScopedTask};
use crate::primitive::Lock;
use crate::runnable::{Parcel, SpawnError, SpawnMode};
use crate::select::{OnPolled, Polled, Selectable};
use crate::task::{Body, TaskIo, call_reporting};
use crate::time::Instant;
use crate::waiting::Choice;

/// A queue of what has happened: the heart of a program that is an event loop.
///
/// Operations are submitted and timers set with a tag; each end and each tick comes out with it, in the order in
/// which they happened. An operation is a closure that owns what it needs, its buffer above all, and
/// returns what is to come back: the queue is no scope, so nothing can be lent to it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use iolite_io::{CompletionQueue, CompletionKind, Io, fs::File};
///
/// #[derive(Clone, Copy)]
/// enum Tag { Page(u64), Progress }
///
/// fn read_all(io: &dyn Io, handle: Arc<dyn Io>, file: File, pages: u64) -> std::io::Result<u64> {
///     let (queue, file) = (CompletionQueue::new(handle), Arc::new(file));
///     for page in 0..pages {
///         let file = file.clone();
///         queue.submit(Tag::Page(page), move |io| {
///             let mut buffer = vec![0; 4096];
///             file.read_exact_at(io, &mut buffer, page * 4096).map(|()| buffer)
///         })?;
///     }
///     let progress = queue.timer_every(Duration::from_secs(1), Tag::Progress);
///     let (mut done, mut sum) = (0, 0);
///     while done < pages {
///         let completion = queue.wait(io)?;
///         match (completion.tag, completion.kind) {
///             (Tag::Page(_), CompletionKind::Operation(buffer)) => {
///                 done += 1;
///                 sum += buffer?.iter().map(|byte| u64::from(*byte)).sum::<u64>();
///             }
///             _ => eprintln!("{done} of {pages} pages"),
///         }
///     }
///     queue.cancel(progress);
///     Ok(sum)
/// }
/// ```
///
/// Dropping it requests cancellation of its operations, for good, and does not wait;
/// [`close`](Self::close) waits. What had happened and was not taken is dropped.
pub struct CompletionQueue<T, R> {
    io: Arc<dyn Io>,
    operations: OwnedGroup,
    shared: Arc<Shared<T, R>>,
}

/// What happened, from a [`CompletionQueue`].
#[derive(Debug)]
pub struct Completion<T, R> {
    /// Which operation or timer this is about.
    pub id: OperationId,
    /// The tag that it was given.
    pub tag: T,
    /// What happened.
    pub kind: CompletionKind<R>,
}

/// What happened to an operation or a timer of a [`CompletionQueue`].
#[derive(Debug, PartialEq, Eq)]
pub enum CompletionKind<R> {
    /// The timer has fired.
    Timer,
    /// The operation has ended with this.
    Operation(R),
}

/// An operation or a timer of a [`CompletionQueue`], for [`cancel`](CompletionQueue::cancel). Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(u64);

impl<T, R> fmt::Debug for CompletionQueue<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.0.lock();
        f.debug_struct("CompletionQueue")
            .field("ended", &state.ended.len())
            .field("operations", &state.operations.len())
            .field("timers", &state.timers.len())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static, R: Send + 'static> CompletionQueue<T, R> {
    /// Makes a queue whose operations are handed `io`, an [`Io::handle`](crate::Io::handle), whose clock its
    /// timers follow.
    pub fn new(io: Arc<dyn Io>) -> Self {
        Self { operations: OwnedGroup::new(io.clone()), io, shared: Arc::default() }
    }

    /// Begins an operation, beside the caller. From any thread; never waits.
    ///
    /// # Errors
    ///
    /// When no unit of concurrency is free, or the runtime shuts down; the operation comes back in the error.
    #[track_caller]
    pub fn submit<F>(&self, tag: T, operation: F) -> Result<OperationId, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> R + Send + 'static,
    {
        let id = self.shared.begin(tag);
        let end = End { shared: Some(self.shared.clone()), io: self.io.clone(), id };
        let body = Submitted { io: self.operations.io().clone(), end };
        let mut parcel = Parcel::of(operation);
        // No timeout passes to it: it may outlive the caller.
        let started = self.operations.start(SpawnMode::Concurrent, None, Vec::new(), body, &mut parcel);
        parcel.unless_refused(started.map(|member| {
            self.shared.began(id, member);
            id
        }))
    }

    /// Fires once, `after` from now. Never waits.
    pub fn timer(&self, after: Duration, tag: T) -> OperationId {
        self.shared.set_timer(self.io.now() + after, Timer { tag, again: None, canceled_at: None })
    }

    /// Fires every `period` from now on, the first time after one. All times that have passed are told, one by
    /// one, however late they are asked for. Never waits.
    ///
    /// # Panics
    ///
    /// When `period` is zero.
    pub fn timer_every(&self, period: Duration, tag: T) -> OperationId
    where
        T: Copy,
    {
        assert!(!period.is_zero(), "the period of a timer is zero: it would fire without end");
        let again: fn(&T) -> T = |tag| *tag;
        self.shared.set_timer(self.io.now() + period, Timer { tag, again: Some((period, again)), canceled_at: None })
    }

    /// Waits until something happens, and takes the oldest of it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A canceled wait takes nothing.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    ///
    /// # Panics
    ///
    /// Resumes the panic of the operation whose turn it is.
    pub fn wait(&self, io: &dyn Io) -> Result<Completion<T, R>, Canceled> {
        match self.wait_until(io, None) {
            Ok(completion) => Ok(completion),
            Err(WaitError::Canceled(canceled)) => Err(canceled),
            Err(WaitError::TimedOut(_)) => unreachable!("there is no deadline"),
        }
    }

    /// What [`wait`](Self::wait) returns, as one of many things to [wait for](crate::Io#method.select). What loses
    /// takes nothing. The panic of an operation whose turn it is comes out of the wait that takes it.
    pub fn on_wait(&self) -> impl Selectable<Output = Completion<T, R>> + '_ {
        OnPolled::of(Waiting(self)).map(Ready::tell)
    }

    /// As [`wait`](Self::wait), for at most `duration`.
    ///
    /// # Cancellation
    ///
    /// As `wait`.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    ///
    /// # Panics
    ///
    /// As `wait`.
    pub fn wait_timeout(&self, io: &dyn Io, duration: Duration) -> Result<Completion<T, R>, WaitError> {
        self.wait_until(io, Some(io.now() + duration))
    }

    /// Takes the oldest of what has happened. Never waits.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn poll(&self) -> Option<Completion<T, R>> {
        self.take(None).map(Ready::tell)
    }

    /// Requests cancellation of an operation, whose end still comes out, or ends a timer: what it has fired
    /// still comes out, and nothing more. Whether there was something to cancel. Again, and for what has
    /// ended, it does nothing. Never waits.
    pub fn cancel(&self, id: OperationId) -> bool {
        self.shared.cancel(id, self.io.now())
    }

    /// As [`cancel`](Self::cancel), of everything.
    pub fn cancel_all(&self) {
        self.shared.cancel_all(self.io.now());
    }

    /// Whether nothing is under way, no timer is set, and nothing is left to take.
    pub fn is_empty(&self) -> bool {
        let state = self.shared.0.lock();
        state.ended.is_empty() && state.operations.is_empty() && state.timers.is_empty()
    }

    /// Cancels everything and waits until no operation is under way; what happened is dropped.
    ///
    /// # Cancellation
    ///
    /// Not ended by a request: the caller's next cancellation point returns it.
    pub fn close(self, io: &dyn Io) {
        self.operations.cancel(io);
    }

    fn take(&self, comer: Option<&Choice>) -> Option<Ready<T, R>> {
        // Before the lock: the clock may be somebody's decorator.
        let now = self.io.now();
        self.shared.0.lock().take(now, comer)
    }

    fn wait_until(&self, io: &dyn Io, deadline: Option<Instant>) -> Result<Completion<T, R>, WaitError> {
        io.check_cancel()?;
        let unparker = context::current(|context| context.unparker());
        loop {
            if let Some(ready) = self.take(None) {
                return Ok(ready.tell());
            }
            let fires_at = self.shared.0.lock().fires_at();
            let changed = || {
                let mut state = self.shared.0.lock();
                let changed = !state.ended.is_empty() || state.fires_at() != fires_at;
                if !changed {
                    state.waiters.enter(unparker);
                }
                changed
            };
            let nearest = [fires_at, deadline].into_iter().flatten().min();
            match context::wait(io, nearest, changed) {
                Err(WaitEnd::Canceled(canceled)) => return Err(canceled.into()),
                Err(WaitEnd::TimedOut) if deadline == nearest && fires_at != nearest => return Err(TimedOut.into()),
                Ok(()) | Err(WaitEnd::TimedOut) => {}
            }
        }
    }
}

struct Waiting<'a, T, R>(&'a CompletionQueue<T, R>);

impl<T: Send + 'static, R: Send + 'static> Polled for Waiting<'_, T, R> {
    type Output = Ready<T, R>;

    fn take(&self, comer: Option<&Choice>) -> Option<Ready<T, R>> {
        self.0.take(comer)
    }

    fn forget(&self, waiter: Unparker) {
        self.0.shared.0.lock().waiters.leave(waiter);
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.shared.0.lock().fires_at()
    }
}

struct Shared<T, R>(Lock<State<T, R>>);

struct State<T, R> {
    ids: u64,
    /// Operations that have ended, with the times, which only grow.
    ended: VecDeque<(Instant, Ready<T, R>)>,
    /// Operations that have not ended.
    operations: HashMap<OperationId, Operation<T>>,
    /// Each at the first time that was not told. Those that have passed are told from here, one by one, and so take no
    /// memory, however many they are.
    timers: BTreeMap<(Instant, OperationId), Timer<T>>,
    /// Where a timer is among them.
    deadlines: HashMap<OperationId, Instant>,
    waiters: Waiters,
}

struct Ready<T, R> {
    id: OperationId,
    tag: T,
    kind: CompletionKind<thread::Result<R>>,
}

struct Operation<T> {
    tag: T,
    task: OperationTask,
}

/// The task of an operation, to cancel it.
enum OperationTask {
    /// It is being started; `true`: to be canceled.
    Starting(bool),
    Started(ScopedTask<'static, ()>),
}

struct Timer<T> {
    tag: T,
    /// When it fires again, and how its tag is copied.
    again: Option<(Duration, fn(&T) -> T)>,
    /// It was canceled then: later times are not told.
    canceled_at: Option<Instant>,
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
    fn begin(&self, tag: T) -> OperationId {
        let mut state = self.0.lock();
        let id = state.new_id();
        state.operations.insert(id, Operation { tag, task: OperationTask::Starting(false) });
        id
    }

    /// Remembers the task of an operation that has begun, and maybe ended.
    fn began(&self, id: OperationId, member: ScopedTask<'static, ()>) {
        let mut state = self.0.lock();
        if let Some(operation) = state.operations.get_mut(&id) {
            if let OperationTask::Starting(true) = operation.task {
                member.request_cancel();
            }
            operation.task = OperationTask::Started(member);
        }
    }

    /// Takes an operation out that was not begun.
    fn forget(&self, id: OperationId) {
        // It is dropped outside of the lock.
        let _operation = self.0.lock().operations.remove(&id);
    }

    fn end(&self, id: OperationId, result: thread::Result<R>, now: Instant) {
        let mut result = Some(result);
        // In one step: it is under way, or there to be taken. Its task is dropped outside of the lock.
        let _task = self.change(|state| {
            let Operation { tag, task } = state.operations.remove(&id)?;
            let kind = result.take().map(CompletionKind::Operation)?;
            let at = state.ended.back().map_or(now, |(before, _)| now.max(*before));
            state.ended.push_back((at, Ready { id, tag, kind }));
            Some(task)
        });
    }

    fn set_timer(&self, deadline: Instant, timer: Timer<T>) -> OperationId {
        self.change(|state| {
            let id = state.new_id();
            state.insert(deadline, id, timer);
            id
        })
    }

    fn cancel(&self, id: OperationId, now: Instant) -> bool {
        let mut state = self.0.lock();
        let (is_timer, timer) = state.cancel_timer(id, now);
        let is_operation = state.operations.get_mut(&id).map(Operation::cancel).is_some();
        drop(state);
        // Outside of the lock: its tag is the program's.
        drop(timer);
        is_timer || is_operation
    }

    fn cancel_all(&self, now: Instant) {
        let mut state = self.0.lock();
        state.operations.values_mut().for_each(Operation::cancel);
        let ids: Vec<_> = state.deadlines.keys().copied().collect();
        let timers: Vec<_> = ids.into_iter().map(|id| state.cancel_timer(id, now)).collect();
        drop(state);
        drop(timers);
    }

    /// Changes the state and wakes who waits for that.
    fn change<U>(&self, change: impl FnOnce(&mut State<T, R>) -> U) -> U {
        let mut state = self.0.lock();
        let value = change(&mut state);
        let mut waiters = mem::take(&mut state.waiters);
        drop(state);
        waiters.wake();
        value
    }
}

impl<T, R> State<T, R> {
    fn new_id(&mut self) -> OperationId {
        self.ids += 1;
        OperationId(self.ids)
    }

    fn insert(&mut self, deadline: Instant, id: OperationId, timer: Timer<T>) {
        self.deadlines.insert(id, deadline);
        self.timers.insert((deadline, id), timer);
    }

    /// Ends a timer, of which the times up to `now` are still told. Whether there was one that had not ended, and the
    /// timer, if nothing of it is left to tell.
    fn cancel_timer(&mut self, id: OperationId, now: Instant) -> (bool, Option<Timer<T>>) {
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

    /// When the next timer fires.
    fn fires_at(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes the oldest of what has happened, if `comer` has not been decided elsewhere, which it decides. `comer` is
    /// woken when there is something, if nothing is.
    fn take(&mut self, now: Instant, comer: Option<&Choice>) -> Option<Ready<T, R>> {
        let ended_at = self.ended.front().map(|(at, _)| *at);
        // An operation may have ended after its taker looked at the clock; what fired before comes out before.
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

    /// Takes the first time of the first timer.
    fn tick(&mut self) -> Option<Ready<T, R>> {
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
    fn cancel(&mut self) {
        match &mut self.task {
            OperationTask::Starting(canceled) => *canceled = true,
            OperationTask::Started(member) => member.request_cancel(),
        }
    }
}

impl<T, R> Ready<T, R> {
    fn tell(self) -> Completion<T, R> {
        let kind = match self.kind {
            CompletionKind::Timer => CompletionKind::Timer,
            CompletionKind::Operation(Ok(value)) => CompletionKind::Operation(value),
            CompletionKind::Operation(Err(panic)) => resume_unwind(panic),
        };
        Completion { id: self.id, tag: self.tag, kind }
    }
}

/// The end of an operation, which comes out of the queue whatever happens to its task.
struct End<T, R> {
    /// Where it is told; `None` afterwards.
    shared: Option<Arc<Shared<T, R>>>,
    io: Arc<dyn Io>,
    id: OperationId,
}

impl<T, R> End<T, R> {
    fn tell(&mut self, result: thread::Result<R>) {
        if let Some(shared) = self.shared.take() {
            // Its end comes out also where the clock, an `Io`'s, panics.
            let now = catch_unwind(AssertUnwindSafe(|| self.io.now()));
            shared.end(self.id, result, *now.as_ref().unwrap_or(&Instant::ZERO));
            now.err().into_iter().for_each(drop_panic);
        }
    }
}

impl<T, R> Drop for End<T, R> {
    fn drop(&mut self) {
        if self.shared.is_some() {
            self.tell(Err(Box::new("an operation was abandoned: its Io dropped it before it ran")));
        }
    }
}

/// The body of an operation's task.
struct Submitted<T, R> {
    io: TaskIo<'static>,
    end: End<T, R>,
}

impl<F: FnOnce(&dyn Io) -> R, T, R> Body<F, ()> for Submitted<T, R> {
    fn call(self, operation: &mut Parcel<F>) {
        let Self { io, mut end } = self;
        let result = catch_unwind(AssertUnwindSafe(|| call_reporting(operation, &*io)));
        end.tell(result);
    }

    fn refused(mut self) {
        // Its caller is told.
        if let Some(shared) = self.end.shared.take() {
            shared.forget(self.end.id);
        }
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
        // The clock of who takes is behind that of the ends.
        let take = || shared.0.lock().take(Instant::from_nanos(5), None).map(|ready| ready.tag);
        assert!(!shared.cancel(fired, Instant::from_nanos(15)), "it has fired, and is still told");
        assert_eq!((take(), take(), take(), take(), take()), (Some(10), Some(20), Some(21), Some(30), Some(40)));
        assert_eq!(take(), None);
    }
}
