//! Tasks that an [`Io`] starts for whoever holds their handle.

mod builder;
mod cell;
mod dropping;
mod finishing;
mod join;
mod local;
mod options;
mod owner;
mod owners;
mod parcel;
mod requests;
mod slot;
mod turn;

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

pub(crate) use builder::sealed;
pub use builder::{Spawner, TaskBuilder};
pub(crate) use cell::{Outcome, Run, TaskCell};
pub(crate) use dropping::{drop_panic, drop_quietly};
pub(crate) use finishing::Finishing;
pub use local::FiberLocal;
pub(crate) use local::{Locals, LocalsCell};
pub use options::{Placement, TaskOptions};
pub(crate) use owner::Owner;
pub(crate) use parcel::Parcel;
pub(crate) use requests::{REQUESTED, Requests, SHUT_DOWN, STICKY};
pub(crate) use slot::Body;
pub(crate) use turn::Turn;

use crate::Io;
use crate::backend::{Refused, SpawnMode, Start};
use crate::context::{self, Context};
use crate::error::SpawnErrorKind;
use crate::sealed::Token;
use crate::select::Selectable;

/// A task started by [`spawn_async`](crate::Io#method.spawn_async) or one of its siblings: a unit
/// of work with a result.
///
/// Dropping it requests cancellation, for good (see [`crate::cancel`] on tear-down), and does not
/// wait: the runtime does, at its end. [`detach`](Task::detach) lets it live on.
#[must_use = "dropping a task cancels it: join it, or detach it"]
pub struct Task<T> {
    outcome: Option<Owner<dyn Outcome<T>>>,
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

    /// Requests cancellation, for good, waits for the task to end and returns its result.
    ///
    /// *Every* cancellation point of the task returns `Canceled` from then on, where [`cancel`](Self::cancel) ends one
    /// call. So it stops a task that ignores the error of one call and goes on, such as a retry loop with
    /// `let _ = io.sleep(pause)`; the task's own clean-up that waits has to be in [`shield`](crate::Io#method.shield).
    /// Nothing is unwound or killed: a task that never comes to a cancellation point goes on.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn abort(self, io: &dyn Io) -> T {
        self.request_abort();
        self.join(io)
    }

    /// Requests cancellation, once, and does not wait.
    pub fn request_cancel(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(REQUESTED);
        }
    }

    /// Requests cancellation, for good, as [`abort`](Self::abort), and does not wait.
    pub fn request_abort(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(STICKY);
        }
    }

    /// Whether the task has ended, so that [`join`](Self::join) would not wait.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// The end of the task, as one of many things to [wait for](crate::Io#method.select); [`join`](Self::join) then
    /// does not wait. Requests to the waiter are not copied to the task, and a task of
    /// [`spawn_async`](crate::Io#method.spawn_async) that nobody has begun is left to who will begin it.
    pub fn on_finish(&mut self) -> impl Selectable<Output = ()> + '_ {
        Finishing::of(self.outcome.as_deref())
    }

    /// Lets the task live on without a handle, until it ends or the runtime shuts down. Its result
    /// is dropped, and so is its panic.
    pub fn detach(mut self) {
        if let Some(outcome) = self.outcome.take() {
            detach(outcome);
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            outcome.state().request(STICKY);
            detach(outcome);
        }
    }
}

/// Waits and consumes the handle. When the wait panics (`no_suspend`), the handle stays where it is,
/// whose owner then detaches it: a result that nobody takes has to be dropped before its task leaves
/// the group.
pub(crate) fn join<T>(io: &dyn Io, handle: &mut Option<Owner<dyn Outcome<T> + '_>>) -> T {
    let outcome = handle.as_deref().expect("a handle is consumed once");
    context::current(Context::assert_outside_no_suspend);
    outcome.wait(io);
    assert!(outcome.is_done(), "a wait for a task has ended before the task");
    let outcome = handle.take().expect("it was there");
    // SAFETY: it is done, and the only handle was taken out here.
    #[allow(unsafe_code)]
    let result = unsafe { outcome.take() };
    match result {
        // SAFETY: the result is read once, while the handle is there, in whose cell it is.
        #[allow(unsafe_code)]
        Ok(value) => unsafe { value.read() },
        Err(panic) => resume_unwind(panic),
    }
}

/// Gives the only handle of a task up.
pub(crate) fn detach<T>(handle: Owner<dyn Outcome<T> + '_>) {
    // SAFETY: handles are made in one place for each kind, one for each cell, and this one is consumed.
    #[allow(unsafe_code)]
    unsafe {
        handle.detach();
    }
}

/// The `Io` that a task is handed.
#[derive(Clone)]
pub(crate) enum TaskIo<'a> {
    Borrowed(&'a (dyn Io + 'a)),
    Kept(Arc<dyn Io>),
}

impl<'a> Deref for TaskIo<'a> {
    type Target = dyn Io + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Borrowed(io) => *io,
            Self::Kept(io) => &**io,
        }
    }
}

/// Takes a task's closure and calls it; where it unwinds, its runner finds where to tell of that.
pub(crate) fn call_reporting<T, F: FnOnce(&dyn Io) -> T>(closure: &mut Parcel<F>, io: &dyn Io) -> T {
    /// Stands for the closure; dropped where that unwinds.
    struct Calling<'a>(&'a dyn Io);

    impl Drop for Calling<'_> {
        fn drop(&mut self) {
            note_report(self.0);
        }
    }

    let calling = Calling(io);
    let value = closure.take()(io);
    mem::forget(calling);
    value
}

#[cold]
fn note_report(io: &dyn Io) {
    // An `Io`'s, which may do what it likes; in an unwinding, where a panic of it would end the process.
    match catch_unwind(AssertUnwindSafe(|| io.report())) {
        Ok(report) => context::current(|context| context.set_report(report)),
        Err(panic) => drop_panic(panic),
    }
}

/// The body of a task whose result is what its closure returns.
impl<F: FnOnce(&dyn Io) -> T, T> Body<F, T> for TaskIo<'_> {
    fn call(self, closure: &mut Parcel<F>) -> T {
        call_reporting(closure, &*self)
    }
}

impl<'io> sealed::Spawn<'static> for &(dyn Io + 'io) {
    type Handle<T: Send + 'static> = Task<T>;

    #[track_caller]
    fn spawn<F, T>(
        self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        closure: &mut Parcel<F>,
        _: Token,
    ) -> Result<Task<T>, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.handle() {
            Some(handle) => {
                let inherited = context::inheritable_scopes();
                let (turn, cell) = TaskCell::new(TaskIo::Kept(handle), closure, None, options, inherited);
                start(self, how, turn, &cell, closure)?;
                Ok(Task { outcome: Some(cell.into_outcome()) })
            }
            None if how == SpawnMode::Async && options.as_ref().is_none_or(|options| options.may_run_inline()) => {
                Ok(run_inline(self, options, closure))
            }
            None => Err(SpawnErrorKind::NoHandle),
        }
    }
}

/// Runs the closure now, as a task on top of the caller.
#[track_caller]
fn run_inline<F, T>(io: &dyn Io, options: Option<Box<TaskOptions>>, closure: &mut Parcel<F>) -> Task<T>
where
    F: FnOnce(&dyn Io) -> T + Send,
    T: Send + 'static,
{
    let (turn, cell) = TaskCell::new(TaskIo::Borrowed(io), closure, None, options, context::inheritable_scopes());
    let run = turn.run(&mut || {});
    // SAFETY: it was its turn, so it is done, and `cell` is the only handle; the result is read once.
    #[allow(unsafe_code)]
    let result = unsafe { cell.take().map(|value| value.read()) };
    if let Err(too_deep) = run {
        // It was abandoned; what its closure's destructor has panicked with goes with the result.
        result.err().into_iter().for_each(drop_panic);
        panic!("{too_deep}");
    }
    Task { outcome: Some(TaskCell::finished(result).into_outcome()) }
}

/// Offers a task to `io`. If `io` refuses, its closure comes back into the parcel, unless it may run inline as well:
/// an `Io` that starts nothing any more still has the calling context to run it on.
pub(crate) fn start<B: Body<F, T> + Send, F: Send, T: Send>(
    io: &dyn Io,
    how: SpawnMode,
    turn: Turn<'static>,
    cell: &Owner<TaskCell<B, F, T>>,
    closure: &mut Parcel<F>,
) -> Result<(), SpawnErrorKind> {
    /// Stands for the handle until there is one: an `Io` that panics may have started the task.
    struct Handle<'a, T>(&'a dyn Outcome<T>);

    impl<T> Drop for Handle<'_, T> {
        fn drop(&mut self) {
            // SAFETY: there is no other handle: the caller makes one only after `Ok`, where this is forgotten.
            #[allow(unsafe_code)]
            unsafe {
                self.0.detach();
            }
        }
    }

    let handle = Handle(&**cell);
    if let Err(Refused { start, kind }) = io.start(Start::new(turn), how) {
        let turn = start.into_turn();
        // Another one is dropped by the panic, and so abandoned: whoever waits for it is told.
        assert!(turn.is_of(cell.address()), "an Io refused another task than the one that it was asked to start");
        if how == SpawnMode::Async && turn.task().options().may_run_inline() {
            Start::new(turn).run();
        } else {
            mem::forget(handle);
            cell.take_back(turn, closure);
            return Err(kind);
        }
    }
    mem::forget(handle);
    Ok(())
}
