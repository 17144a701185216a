//! A queue of completions: operations that have ended, and timers that have fired.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::completion::{Completion, OperationId};
use super::shared::{Ready, Shared, Timer};
use crate::Io;
use crate::cancel::{Canceled, TimedOut, WaitError};
use crate::context::{self, Unparker, WaitEnd};
use crate::dropping::drop_panic;
use crate::group::OwnedGroup;
use crate::runnable::{Parcel, SpawnError, SpawnMode};
use crate::select::{OnPolled, Polled, Selectable};
use crate::task::{Body, TaskIo, call_reporting};
use crate::time::Instant;
use crate::waiting::Choice;

/// A queue of completions, for programs that are built around an event loop.
///
/// Operations are submitted and timers are set with a tag. Each end of an operation and each tick of a timer comes out
/// of the queue with its tag, in the order in which they happened. An operation is a closure that owns what it needs,
/// above all its buffer, and returns what the program needs back: the queue is not a scope, so nothing can be lent to
/// it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use iolite_io::{Io, fs::File, completion::{CompletionQueue, CompletionKind}};
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
/// Dropping the queue requests permanent cancellation of its operations and does not wait; [`close`](Self::close)
/// waits. Completions that were not taken are dropped.
pub struct CompletionQueue<T, R> {
    io: Arc<dyn Io>,
    operations: OwnedGroup,
    shared: Arc<Shared<T, R>>,
}

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
    /// Makes a queue whose operations are given `io`, an [`Io::handle`](crate::Io::handle). Its timers follow the clock
    /// of `io`.
    pub fn new(io: Arc<dyn Io>) -> Self {
        Self { operations: OwnedGroup::new(io.clone()), io, shared: Arc::default() }
    }

    /// Begins an operation beside the caller. Works from any thread; never waits.
    ///
    /// # Errors
    ///
    /// Returns an error if no unit of concurrency is free or the runtime shuts down. The error hands the operation
    /// back.
    #[track_caller]
    pub fn submit<F>(&self, tag: T, operation: F) -> Result<OperationId, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> R + Send + 'static,
    {
        let id = self.shared.begin(tag);
        let end = End { shared: Some(self.shared.clone()), io: self.io.clone(), id };
        let body = Submitted { io: self.operations.io().clone(), end };
        let mut parcel = Parcel::of(operation);
        // The task inherits no timeout, because it may outlive the caller.
        let started = self.operations.start(SpawnMode::Concurrent, None, Vec::new(), body, &mut parcel);
        parcel.unless_refused(started.map(|member| {
            self.shared.began(id, member);
            id
        }))
    }

    /// Sets a timer that fires once, `after` from now. Never waits.
    pub fn timer(&self, after: Duration, tag: T) -> OperationId {
        self.shared.set_timer(self.io.now() + after, Timer { tag, again: None, canceled_at: None })
    }

    /// Sets a timer that fires every `period`, for the first time one `period` from now. All ticks that have passed
    /// come out one by one, however late the program takes them. Never waits.
    ///
    /// # Panics
    ///
    /// Panics if `period` is zero.
    pub fn timer_every(&self, period: Duration, tag: T) -> OperationId
    where
        T: Copy,
    {
        assert!(!period.is_zero(), "the period of a timer is zero: it would fire without end");
        let again: fn(&T) -> T = |tag| *tag;
        self.shared.set_timer(self.io.now() + period, Timer { tag, again: Some((period, again)), canceled_at: None })
    }

    /// Waits until there is a completion, and takes the oldest.
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
    /// Resumes the panic of an operation when its completion is taken.
    pub fn wait(&self, io: &dyn Io) -> Result<Completion<T, R>, Canceled> {
        match self.wait_until(io, None) {
            Ok(completion) => Ok(completion),
            Err(WaitError::Canceled(canceled)) => Err(canceled),
            Err(WaitError::TimedOut(_)) => unreachable!("there is no deadline"),
        }
    }

    /// Returns a source that takes the oldest completion. For [`select`](crate::Io#method.select). If it loses, it
    /// takes nothing. The panic of an operation is resumed by the wait that takes its completion.
    pub fn on_wait(&self) -> impl Selectable<Output = Completion<T, R>> + '_ {
        OnPolled::of(Waiting(self)).map(Ready::tell)
    }

    /// Waits like [`wait`](Self::wait), for at most `duration`.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A canceled wait takes nothing.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    ///
    /// # Panics
    ///
    /// Resumes the panic of an operation when its completion is taken.
    pub fn wait_timeout(&self, io: &dyn Io, duration: Duration) -> Result<Completion<T, R>, WaitError> {
        self.wait_until(io, Some(io.now() + duration))
    }

    /// Takes the oldest completion if there is one. Never waits.
    ///
    /// # Panics
    ///
    /// Resumes the panic of an operation when its completion is taken.
    pub fn poll(&self) -> Option<Completion<T, R>> {
        self.take(None).map(Ready::tell)
    }

    /// Requests cancellation of an operation, or ends a timer. Never waits.
    ///
    /// The end of the operation still comes out of the queue. So do the ticks that the timer has had by then, but no
    /// later ones. Returns true if there was something to cancel; does nothing if the operation or timer was canceled
    /// before or has ended.
    pub fn cancel(&self, id: OperationId) -> bool {
        self.shared.cancel(id, self.io.now())
    }

    /// Cancels all operations and timers, like [`cancel`](Self::cancel).
    pub fn cancel_all(&self) {
        self.shared.cancel_all(self.io.now());
    }

    /// Returns true if no operation is in flight, no timer is set, and no completion is left to take.
    pub fn is_empty(&self) -> bool {
        let state = self.shared.0.lock();
        state.ended.is_empty() && state.operations.is_empty() && state.timers.is_empty()
    }

    /// Cancels everything and waits until no operation is in flight. Completions that were not taken are dropped.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; the caller's next cancellation point returns it.
    pub fn close(self, io: &dyn Io) {
        self.operations.cancel(io);
    }

    fn take(&self, comer: Option<&Choice>) -> Option<Ready<T, R>> {
        // Before the lock, because the clock may belong to a decorator of the program.
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

/// Puts the end of an operation into the queue, whatever happens to its task.
struct End<T, R> {
    /// The queue that receives the end; `None` afterwards.
    shared: Option<Arc<Shared<T, R>>>,
    io: Arc<dyn Io>,
    id: OperationId,
}

impl<T, R> End<T, R> {
    fn tell(&mut self, result: thread::Result<R>) {
        if let Some(shared) = self.shared.take() {
            // The end comes out even if the clock, which belongs to an `Io`, panics.
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

/// The body of the task of an operation.
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
        // The caller learns of the refusal.
        if let Some(shared) = self.end.shared.take() {
            shared.forget(self.end.id);
        }
    }
}
