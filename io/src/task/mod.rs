//! Tasks that an [`Io`] starts for whoever holds their handle.

mod cell;

use std::fmt;
use std::mem;
use std::panic::resume_unwind;
use std::sync::Arc;

pub(crate) use cell::{Body, Outcome, Run, TaskCell, drop_panic};

use crate::Io;
use crate::backend::{Refused, Start, StartHow};
use crate::cancel::{REQUESTED, STICKY};
use crate::error::{SpawnError, SpawnErrorKind};

/// A task started by [`spawn_async`](crate::Io#method.spawn_async) or one of its siblings: a unit
/// of work with a result.
///
/// Dropping it requests cancellation, for good (see [`crate::cancel`] on tear-down), and does not
/// wait: the runtime does, at its end. [`detach`](Task::detach) lets it live on.
#[must_use = "dropping a task cancels it: join it, or detach it"]
pub struct Task<T> {
    outcome: Option<Arc<dyn Outcome<T>>>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl<T> Task<T> {
    /// Waits for the task to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// Not ended by a request: the request is copied to the task, the wait goes on, and the
    /// caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// Resumes the task's panic. Panics inside [`no_suspend`](crate::no_suspend).
    pub fn join(mut self, io: &dyn Io) -> T {
        join(io, &mut self.outcome)
    }

    /// Requests cancellation, once, waits for the task to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn cancel(self, io: &dyn Io) -> T {
        self.request_cancel();
        self.join(io)
    }

    /// Requests cancellation, once, and does not wait.
    pub fn request_cancel(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(REQUESTED);
        }
    }

    /// Whether the task has ended, so that [`join`](Self::join) would not wait.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// Lets the task live on without a handle, until it ends or the runtime shuts down. Its result
    /// is dropped, and so is its panic.
    pub fn detach(mut self) {
        if let Some(outcome) = self.outcome.take() {
            outcome.detach();
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            outcome.state().request(STICKY);
            outcome.detach();
        }
    }
}

/// Waits and consumes the handle. When the wait panics (`no_suspend`), the handle stays where it is,
/// whose owner then detaches it: a result that nobody takes has to be dropped before its task leaves
/// the group.
pub(crate) fn join<T>(io: &dyn Io, handle: &mut Option<Arc<dyn Outcome<T> + '_>>) -> T {
    let outcome = handle.as_deref().expect("a handle is consumed once");
    outcome.wait(io);
    let outcome = handle.take().expect("it was there");
    match outcome.take() {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// The body of an owned task: the closure and the `Io` it is handed.
pub(crate) struct WithHandle<F> {
    pub(crate) closure: F,
    pub(crate) io: Arc<dyn Io>,
}

impl<F: FnOnce(&dyn Io) -> T, T> Body<T> for WithHandle<F> {
    type Closure = F;

    fn call(self) -> T {
        (self.closure)(&*self.io)
    }

    fn into_closure(self) -> F {
        self.closure
    }
}

/// The body of a task that runs before `spawn_async` returns, on an `Io` without a handle.
struct WithRef<'a, F> {
    pub(crate) closure: F,
    io: &'a (dyn Io + 'a),
}

impl<F: FnOnce(&dyn Io) -> T, T> Body<T> for WithRef<'_, F> {
    type Closure = F;

    fn call(self) -> T {
        (self.closure)(self.io)
    }

    fn into_closure(self) -> F {
        self.closure
    }
}

pub(crate) fn spawn<F, T>(
    io: &dyn Io,
    how: StartHow,
    label: Option<Box<str>>,
    closure: F,
) -> Result<Task<T>, SpawnError<F>>
where
    F: FnOnce(&dyn Io) -> T + Send + 'static,
    T: Send + 'static,
{
    let Some(handle) = io.handle() else {
        return Err(SpawnError { closure, kind: SpawnErrorKind::NoHandle });
    };
    let cell = TaskCell::with_label(WithHandle { closure, io: handle }, None, label);
    start(io, how, cell.clone(), &cell)?;
    Ok(Task { outcome: Some(cell) })
}

/// Runs the closure now, as a task on top of the caller.
pub(crate) fn run_inline<F, T>(io: &dyn Io, closure: F) -> Task<T>
where
    F: FnOnce(&dyn Io) -> T + Send,
    T: Send + 'static,
{
    let cell = TaskCell::new(WithRef { closure, io }, None);
    run_on_top(&*cell);
    Task { outcome: Some(TaskCell::finished(cell.take())) }
}

/// Runs a task on the calling context, without a [`Start`] that would look after it.
///
/// # Panics
///
/// When inline tasks nest too deep; the task is then abandoned, so that its group does not wait for
/// it, nor keep it.
pub(crate) fn run_on_top(run: &(dyn Run + '_)) {
    struct Unrun<'a>(&'a (dyn Run + 'a));
    impl Drop for Unrun<'_> {
        fn drop(&mut self) {
            self.0.abandon();
        }
    }
    let unrun = Unrun(run);
    run.run(&mut || {});
    mem::forget(unrun);
}

/// Offers a task to `io`; the closure comes back if `io` refuses.
pub(crate) fn start<B: Body<T> + Send, T: Send>(
    io: &dyn Io,
    how: StartHow,
    run: Arc<dyn Run>,
    cell: &Arc<TaskCell<B, T>>,
) -> Result<(), SpawnError<B::Closure>> {
    /// Stands for the handle until there is one: an `Io` that panics may have started the task.
    struct Handle<'a, T>(&'a dyn Outcome<T>);

    impl<T> Drop for Handle<'_, T> {
        fn drop(&mut self) {
            self.0.detach();
        }
    }

    let identity = Arc::as_ptr(&run).cast::<()>();
    let handle = Handle(&**cell);
    match io.start(Start::new(run), how) {
        Ok(()) => mem::forget(handle),
        Err(Refused { start, kind }) => {
            // Another one is dropped by the panic, and so abandoned: whoever waits for it is told.
            assert!(start.identity() == identity, "an Io refused another task than the one that it was asked to start");
            mem::forget(handle);
            start.forget();
            // SAFETY: its `Start` is gone, unrun, and the caller makes a handle only after `Ok`.
            #[allow(unsafe_code)]
            let closure = unsafe { cell.take_back() }.expect("a task that never ran has its closure");
            return Err(SpawnError { closure, kind });
        }
    }
    Ok(())
}
