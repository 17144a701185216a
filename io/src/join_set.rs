//! Sets of tasks whose results are taken in the order in which the tasks end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, Unparker, WaitEnd, Waiters};
use crate::dropping::drop_quietly;
use crate::group::{Group, run_to_end};
use crate::primitive::Lock;
use crate::runnable::{Parcel, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::Token;
use crate::select::{OnPolled, Polled, Selectable};
use crate::task::{Body, TaskBuilder, TaskIo, call_reporting, sealed};
use crate::waiting::Choice;

/// A set of tasks whose results are taken in the order in which the tasks end, each once; from
/// [`io.join_set`](crate::Io#method.join_set).
pub struct JoinSet<'scope, 'env, T> {
    group: Group<'scope, 'env>,
    results: Arc<Results<T>>,
}

impl<T> fmt::Debug for JoinSet<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("running", &self.running()).finish_non_exhaustive()
    }
}

impl<'scope, 'env, T: Send + 'scope> JoinSet<'scope, 'env, T> {
    fn new(io: TaskIo<'env>) -> Self {
        Self { group: Group::new(io), results: Arc::default() }
    }

    /// Starts a task as [`Group::spawn_async`](crate::Group::spawn_async) does.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A request to the caller also reaches a task that runs on top of it.
    ///
    /// # Panics
    ///
    /// See [`Group::spawn_async`](crate::Group::spawn_async).
    #[track_caller]
    pub fn spawn_async<F>(&self, closure: F)
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("a task without options may run inline");
    }

    /// Starts a task as [`Group::spawn_concurrent`](crate::Group::spawn_concurrent) does.
    ///
    /// # Errors
    ///
    /// Returns an error if no unit of concurrency is free. The error hands the closure back.
    #[track_caller]
    pub fn spawn_concurrent<F>(&self, closure: F) -> Result<(), SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        self.task().spawn_concurrent(closure)
    }

    /// Starts a task as [`Group::spawn_waiting`](crate::Group::spawn_waiting) does.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of [`Group::spawn_waiting`](crate::Group::spawn_waiting). The error hands the closure back.
    #[track_caller]
    pub fn spawn_waiting<F>(&self, closure: F) -> Result<(), SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        self.task().spawn_waiting(closure)
    }

    /// Returns a builder for a task with a name, a stack size or a placement.
    pub fn task(&self) -> TaskBuilder<&Self> {
        TaskBuilder::new(self)
    }
}

impl<'scope, T: Send + 'scope> sealed::Spawn<'scope, T> for &JoinSet<'scope, '_, T> {
    type Handle = ();

    fn io(&self, _: Token) -> &dyn Io {
        &**self.group.io()
    }

    #[track_caller]
    fn spawn<F>(
        self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        closure: &mut Parcel<F>,
        _: Token,
    ) -> Result<(), SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        let body = Entrant { io: self.group.io().clone(), pending: Pending::of(&self.results) };
        self.group.start(how, options, context::inheritable_scopes(), body, closure).map(drop)
    }
}

impl<T> JoinSet<'_, '_, T> {
    /// Returns the number of tasks that have not ended.
    pub fn running(&self) -> usize {
        self.group.len()
    }

    /// Returns true if [`next`](Self::next) would return `None`: no task runs, and no result is left.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Waits for the next result and returns it.
    ///
    /// Of the results that were not taken, it returns that of the task that ended first. Returns `None` if no result is
    /// left and no task runs that could bring one. More tasks may be started during the wait.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A canceled wait takes no result.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn next(&self, io: &dyn Io) -> Result<Option<T>, Canceled> {
        self.results.wait(io, 1)?;
        Ok(self.try_next())
    }

    /// Returns a source that is ready when [`next`](Self::next) would not wait; its output is that of `next`. For
    /// [`select`](crate::Io#method.select).
    pub fn on_next(&self) -> impl Selectable<Output = Option<T>> + '_ {
        OnPolled::of(&*self.results)
    }

    /// Returns the next result if there is one now. Does not wait.
    pub fn try_next(&self) -> Option<T> {
        self.results.take()
    }

    /// Waits until at least `min` results are available or no task runs any more, and returns all that are available,
    /// in the order in which their tasks have ended.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A canceled wait takes no result.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn next_many(&self, io: &dyn Io, min: usize) -> Result<Vec<T>, Canceled> {
        self.results.wait(io, min)?;
        Ok(self.results.take_all())
    }

    /// Requests cancellation of every task, once, waits until all have ended, and returns every result that was not
    /// taken. A task that is started during this call starts canceled. More tasks can be started after it.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; the caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// Resumes the first panic of a task, after all tasks have ended.
    pub fn cancel(&self, io: &dyn Io) -> Vec<T> {
        self.group.cancel(io);
        self.results.take_all()
    }
}

/// The results that were not taken, and the number of tasks that have not ended.
pub(crate) struct Results<T>(Lock<State<T>>);

struct State<T> {
    ended: VecDeque<T>,
    running: usize,
    waiters: Waiters,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { ended: VecDeque::new(), running: 0, waiters: Waiters::default() }
    }
}

impl<T> Default for Results<T> {
    fn default() -> Self {
        Self(Lock::new(State::default()))
    }
}

impl<T> Results<T> {
    /// Waits until at least `min` results are available or no task runs.
    pub(crate) fn wait(&self, io: &dyn Io, min: usize) -> Result<(), Canceled> {
        io.check_cancel()?;
        let unparker = context::current(|context| context.unparker());
        let enough = || {
            let mut state = self.0.lock();
            let enough = state.ended.len() >= min || state.running == 0;
            if !enough {
                state.waiters.enter(unparker);
            }
            enough
        };
        match context::wait(io, None, enough) {
            Err(WaitEnd::Canceled(canceled)) => Err(canceled),
            Ok(()) | Err(WaitEnd::TimedOut) => Ok(()),
        }
    }

    /// Returns true if no task runs and no result is left.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.0.lock();
        state.running == 0 && state.ended.is_empty()
    }

    /// Takes the results for which `which` returns true.
    pub(crate) fn take_if(&self, which: impl Fn(&T) -> bool) -> Vec<T> {
        let mut state = self.0.lock();
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut state.ended).into_iter().partition(which);
        state.ended = left.into();
        taken
    }

    /// Takes the oldest result.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().ended.pop_front()
    }

    pub(crate) fn take_all(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().ended).into()
    }
}

impl<T> Polled for &Results<T> {
    type Output = Option<T>;

    fn take(&self, comer: Option<&Choice>) -> Option<Option<T>> {
        let mut state = self.0.lock();
        if state.running == 0 || !state.ended.is_empty() {
            return comer.is_none_or(Choice::decide).then(|| state.ended.pop_front());
        }
        comer.into_iter().for_each(|comer| state.waiters.enter(comer.unparker()));
        None
    }

    fn forget(&self, waiter: Unparker) {
        self.0.lock().waiters.leave(waiter);
    }
}

/// Stands for a task that was started and has no result yet.
pub(crate) struct Pending<T> {
    results: Arc<Results<T>>,
    value: Option<T>,
}

impl<T> Pending<T> {
    pub(crate) fn of(results: &Arc<Results<T>>) -> Self {
        results.0.lock().running += 1;
        Self { results: results.clone(), value: None }
    }

    pub(crate) fn ended_with(mut self, value: T) {
        self.value = Some(value);
    }
}

impl<T> Drop for Pending<T> {
    /// Also runs for a task that panics or was refused. Nobody sees a result whose task still runs.
    fn drop(&mut self) {
        let mut state = self.results.0.lock();
        state.running -= 1;
        state.ended.extend(self.value.take());
        let mut waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.wake();
    }
}

/// The body of a task, which puts the result into the set.
struct Entrant<'a, T> {
    io: TaskIo<'a>,
    pending: Pending<T>,
}

impl<F: FnOnce(&dyn Io) -> T, T> Body<F, ()> for Entrant<'_, T> {
    fn call(self, closure: &mut Parcel<F>) {
        let value = call_reporting(closure, &*self.io);
        self.pending.ended_with(value);
    }
}

impl<'io> dyn Io + 'io {
    /// Runs `body` with a set of tasks whose results it takes in the order in which the tasks end, and returns when all
    /// tasks have ended. Results that nobody takes are dropped. A scope like [`group`](crate::Io#method.group).
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpStream};
    ///
    /// /// Returns the first connection that succeeds and stops the other attempts.
    /// fn fastest(io: &dyn Io, mirrors: &[(String, u16)]) -> std::io::Result<Option<TcpStream>> {
    ///     io.join_set(|set| {
    ///         for (host, port) in mirrors {
    ///             set.spawn_waiting(|io| TcpStream::connect(io, (host.as_str(), *port)))?;
    ///         }
    ///         while let Some(connected) = set.next(io)? {
    ///             if let Ok(stream) = connected {
    ///                 set.cancel(io); // a connection made in the meantime is returned, dropped, and so closed
    ///                 return Ok(Some(stream));
    ///             }
    ///         }
    ///         Ok(None)
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// See [`group`](crate::Io#method.group).
    ///
    /// # Errors
    ///
    /// The error of the body.
    ///
    /// # Panics
    ///
    /// See [`group`](crate::Io#method.group).
    pub fn join_set<'env, T: Send + 'env, R, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope JoinSet<'scope, 'env, T>) -> Result<R, E>,
    ) -> Result<R, E> {
        run_scope(self, body)
    }
}

/// Runs `body` with a set of tasks, and waits for those that have not ended.
fn run_scope<'env, T: Send + 'env, R, E>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope JoinSet<'scope, 'env, T>) -> Result<R, E>,
) -> Result<R, E> {
    let set = JoinSet::new(TaskIo::Borrowed(io));
    let outcome = run_to_end(io, set.group.shared(), || body(&set), Result::is_err);
    if outcome.is_err() {
        // Dropped now, because their destructors must not panic during unwinding.
        set.results.take_all().into_iter().for_each(drop_quietly);
    }
    set.group.shared().or_panic(outcome)
}
