//! Starting tasks.

use std::mem;

use super::builder::{TaskBuilder, sealed};
use super::cell::{Outcome, TaskCell};
use super::handle::Task;
use super::slot::Body;
use super::task_io::TaskIo;
use crate::Io;
use crate::context;
use crate::dropping::drop_panic;
use crate::runnable::{Owner, Parcel, Refused, SpawnError, SpawnErrorKind, SpawnMode, Start, TaskOptions, Turn};
use crate::sealed::Token;

impl<'io> dyn Io + 'io {
    /// Starts a task that may run on top of the caller, for work whose order does not matter.
    ///
    /// If no unit of concurrency is free, the task runs at once on top of the caller. If nobody has begun it by the
    /// time of its [`join`](Task::join), it runs on top of the joiner. The closure is given the [`handle`](Io::handle)
    /// of this `Io`; if this `Io` has no handle, the task runs inline.
    ///
    /// The values that the closure owns and returns are moved. In a build without optimization, each takes several
    /// times its size on the stacks of caller and task. So put values of more than 16 KiB into a [`Box`], or ask for a
    /// [larger stack](crate::TaskBuilder::stack_size). This holds for every way to start a task.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A request to the caller also reaches a task that runs on top of it.
    ///
    /// # Panics
    ///
    /// Panics if inline tasks nest deeper than 40, for example in a recursion through `spawn_async` without a free unit
    /// of concurrency. A panic of the closure goes to the joiner, even if the task ran inline.
    #[track_caller]
    pub fn spawn_async<F, T>(&self, closure: F) -> Task<T>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("a task without options may run inline")
    }

    /// Starts a task that makes progress beside the caller.
    ///
    /// # Errors
    ///
    /// Returns an error if no unit of concurrency is free. The error hands the closure back.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(&self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().spawn_concurrent(closure)
    }

    /// Waits for a unit of concurrency, then starts a task that makes progress beside the caller.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Returns an error if the caller is canceled, the runtime shuts down, or the system provides no thread. The error
    /// hands the closure back.
    #[track_caller]
    pub fn spawn_waiting<F, T>(&self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().spawn_waiting(closure)
    }

    /// Starts a task on an operating-system thread of its own, named `name`. The task may block the thread with calls
    /// that know nothing of `Io`. Calls through `io` work there as everywhere.
    ///
    /// # Errors
    ///
    /// Returns an error if the system provides no thread. The error hands the closure back.
    #[track_caller]
    pub fn spawn_thread<F, T>(&self, name: &str, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().name(name).spawn_thread(closure)
    }

    /// Returns a builder for a task with a name, a stack size or a placement.
    pub fn task(&self) -> TaskBuilder<&(dyn Io + 'io)> {
        TaskBuilder::new(self)
    }
}

impl<'io, T: Send + 'static> sealed::Spawn<'static, T> for &(dyn Io + 'io) {
    type Handle = Task<T>;

    fn io(&self, _: Token) -> &dyn Io {
        *self
    }

    #[track_caller]
    fn spawn<F>(
        self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        closure: &mut Parcel<F>,
        _: Token,
    ) -> Result<Task<T>, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
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

/// Runs the closure at once, as a task on top of the caller.
#[track_caller]
fn run_inline<F, T>(io: &dyn Io, options: Option<Box<TaskOptions>>, closure: &mut Parcel<F>) -> Task<T>
where
    F: FnOnce(&dyn Io) -> T + Send,
    T: Send + 'static,
{
    let (turn, cell) = TaskCell::new(TaskIo::Borrowed(io), closure, None, options, context::inheritable_scopes());
    let run = turn.run(&mut || {});
    // SAFETY: the turn was used, so the task is done, and `cell` is the only handle; the result is read once.
    #[allow(unsafe_code)]
    let result = unsafe { cell.take().map(|value| value.read()) };
    if let Err(too_deep) = run {
        // The task was abandoned. If the destructor of its closure has panicked, that panic is dropped with the result.
        result.err().into_iter().for_each(drop_panic);
        panic!("{too_deep}");
    }
    Task { outcome: Some(TaskCell::finished(result).into_outcome()) }
}

/// Offers a task to `io`. If `io` refuses it, the closure comes back into the parcel, unless the task may also run
/// inline: an `Io` that starts nothing any more still has the calling context to run it on.
pub(crate) fn start<B: Body<F, T> + Send, F: Send, T: Send>(
    io: &dyn Io,
    how: SpawnMode,
    turn: Turn<'static>,
    cell: &Owner<TaskCell<B, F, T>>,
    closure: &mut Parcel<F>,
) -> Result<(), SpawnErrorKind> {
    /// Stands in for the handle until it exists, because an `Io` that panics may have started the task.
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
        // The turn of another task is dropped by the panic and so abandoned, and its joiner learns of it.
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
