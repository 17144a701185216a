//! A task on its way to where it runs.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::thread;

use super::Ticket;
use crate::cancel::STICKY;
use crate::context;
use crate::error::SpawnErrorKind;
use crate::task::{Body, Outcome, Owner, Run, TaskCell, TaskOptions};

/// What a task needs in order to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartHow {
    /// Order does not matter: on a unit of concurrency if one is free, else inline, before
    /// [`Io::start`](crate::Io::start) returns, or refused if it may not
    /// ([`TaskOptions::may_run_inline`]). One that may can be [offered](Start::offer) to who joins it.
    /// Counted against `async_limit`.
    Async,
    /// It must make progress beside the caller, or is refused. Counted against `concurrent_limit`.
    Concurrent,
    /// As `Concurrent`, but the caller waits for a slot, which is a cancellation point.
    Waiting,
    /// On a thread of its own, with the task's name and stack, which it may block: a worker of a
    /// pool for what can only block. Counted against no limit; who starts it bounds it.
    Thread,
}

/// A task that has not started. Whoever holds it runs it, once, on a context of its choice;
/// dropping it unrun completes the task as abandoned.
#[must_use]
pub struct Start {
    run: Owner<dyn Run>,
    /// It has run, or was given up: dropping it does nothing.
    over: Cell<bool>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("name", &self.run.name()).finish()
    }
}

impl Start {
    pub(crate) fn new(run: Owner<dyn Run>) -> Self {
        Self { run, over: Cell::new(false) }
    }

    /// A task that runs `body` and is not started through an `Io`: the main task of a runtime.
    ///
    /// # Safety
    ///
    /// The `Start` is run, or dropped, before anything that `body` and `T` borrow ends, and `body`
    /// need not be `Send` only if that happens on the calling thread.
    pub unsafe fn scoped<'a, T: 'a>(body: impl FnOnce() -> T + 'a) -> (Self, ScopedOutcome<'a, T>) {
        let (run, cell) = TaskCell::new(AssumeSend(body), None, None, context::inheritable_timeouts());
        // SAFETY: the caller says that it is over before 'a ends.
        let run = unsafe { run.into_run().assume_static() };
        (Self::new(run), ScopedOutcome(cell.into_outcome()))
    }

    /// Runs the task on the calling context, to its end. On top of a running task it is an inline
    /// child: it has a cancellation state of its own, and requests to the task below are copied.
    ///
    /// Never panics: a panic of the task goes to who joins it.
    ///
    /// # Panics
    ///
    /// When inline tasks nest deeper than 40; the task is then abandoned.
    pub fn run(self) {
        self.run_with(|| {});
    }

    /// As [`run`](Self::run), and calls `ended` when the closure has ended and before whoever joins
    /// can know: what a task occupies is free again by the time its join returns. The result of a
    /// task that nobody joins has been dropped by then.
    ///
    /// `ended` must neither block for long nor panic.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run); `ended` is then dropped without having been called.
    pub fn run_with(&self, ended: impl FnOnce()) {
        if self.over.get() {
            return;
        }
        let mut ended = Some(ended);
        // Still armed: if entering panics, dropping `self` abandons the task.
        self.run.run(&mut || {
            if let Some(ended) = ended.take() {
                ended();
            }
        });
        self.over.set(true);
    }

    /// Lets whoever joins the task begin it, through [`Io::begin_joined`](crate::Io::begin_joined) with
    /// this ticket, under which the backend is about to put this into a queue. Only for
    /// [`StartHow::Async`], whose tasks may run on top of another.
    #[inline]
    pub fn offer(&self, ticket: Ticket) {
        self.run.offer(ticket);
    }

    /// The task, for cancellation at shutdown and for reports.
    pub fn task(&self) -> TaskRef {
        TaskRef(self.run.clone())
    }

    /// What the task is called in reports: its name, or else the path of its closure.
    pub fn name(&self) -> &str {
        self.run.name()
    }

    /// What the task asks for. Whoever cannot give it refuses the task.
    #[inline]
    pub fn options(&self) -> &TaskOptions {
        self.run.options()
    }

    /// Which task it is.
    pub(crate) fn identity(&self) -> *const () {
        self.run.address()
    }

    /// Gives the task up without completing it.
    pub(crate) fn forget(self) {
        self.over.set(true);
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if !self.over.get() {
            self.run.abandon();
        }
    }
}

/// A started task as its runtime knows it.
#[derive(Clone)]
pub struct TaskRef(Owner<dyn Run>);

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskRef").field(&self.name()).finish()
    }
}

impl PartialEq for TaskRef {
    /// Whether both are the same task.
    fn eq(&self, other: &Self) -> bool {
        self.0.address() == other.0.address()
    }
}

impl Eq for TaskRef {}

impl TaskRef {
    /// Requests cancellation for good: every cancellation point of the task returns `Canceled`.
    pub fn tear_down(&self) {
        self.0.state().request(STICKY);
    }

    /// What the task is called in reports: its name, or else the path of its closure.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether it has begun and has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.0.state().is_running()
    }

    /// Whether it was ever asked to stop.
    pub(crate) fn is_canceled(&self) -> bool {
        self.0.state().is_canceled()
    }
}

/// An `Io` does not start a task.
#[derive(Debug)]
pub struct Refused {
    /// The task, unrun.
    pub start: Start,
    /// Why.
    pub kind: SpawnErrorKind,
}

/// Something that stays on its thread, by the promise of [`Start::scoped`]'s caller.
struct AssumeSend<T>(T);

// SAFETY: the caller of `Start::scoped` runs the body and takes the result on one thread, or knows
// them to be `Send`.
unsafe impl<T> Send for AssumeSend<T> {}

impl<F: FnOnce() -> T, T> Body<AssumeSend<T>> for AssumeSend<F> {
    type Closure = F;

    fn call(self) -> AssumeSend<T> {
        AssumeSend((self.0)())
    }

    fn into_closure(self) -> F {
        self.0
    }
}

/// The result of a [`Start::scoped`].
pub struct ScopedOutcome<'a, T>(Owner<dyn Outcome<AssumeSend<T>> + 'a>);

impl<T> fmt::Debug for ScopedOutcome<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedOutcome").field("done", &self.is_done()).finish()
    }
}

impl<T> ScopedOutcome<'_, T> {
    /// Whether the task has ended.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// The result, after the task has ended.
    pub fn take(self) -> thread::Result<T> {
        self.0.take().map(|value| value.0)
    }
}
