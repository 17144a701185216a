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
    /// Starts a task that may run on top of the caller: order does not matter. It does so at once when no
    /// unit of concurrency is free, and in its [`join`](Task::join), on top of who joins, when nobody has
    /// begun it by then. The closure is handed the [`handle`](Io::handle) of this `Io`; where there is
    /// none, it runs inline.
    ///
    /// What the closure owns and what it returns is moved, and each takes several times its size of the stacks of caller and
    /// task in a build without optimization. So put what is larger than 16 KiB into a [`Box`], or ask for a
    /// [larger stack](crate::TaskBuilder::stack_size): this holds for every way to start a task.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. What is requested of the caller reaches the task that runs on top of it too.
    ///
    /// # Panics
    ///
    /// When inline tasks nest deeper than 40 (a recursion through `spawn_async` without a free
    /// unit). A panic of the closure goes to who joins, also if it ran inline.
    #[track_caller]
    pub fn spawn_async<F, T>(&self, closure: F) -> Task<T>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("what asks for nothing may run inline")
    }

    /// Starts a task that makes progress beside the caller.
    ///
    /// # Errors
    ///
    /// When no unit of concurrency is free; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(&self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.task().spawn(SpawnMode::Concurrent, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Waits for a unit of concurrency, then starts a task that makes progress beside the caller.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// When the caller is canceled, the runtime shuts down, or the system gives no thread; the
    /// closure comes back in the error.
    #[track_caller]
    pub fn spawn_waiting<F, T>(&self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().spawn_waiting(closure)
    }

    /// Starts a task on an operating-system thread of its own, named `name`, which it may block
    /// with calls that know nothing of `Io`. Calls through `io` work there as everywhere.
    ///
    /// # Errors
    ///
    /// When the system gives no thread; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_thread<F, T>(&self, name: &str, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.task().name(name).spawn_thread(closure)
    }

    /// A task that asks for a name, a stack size or a place, about to be started.
    pub fn task(&self) -> TaskBuilder<&(dyn Io + 'io)> {
        TaskBuilder::new(self)
    }
}

impl<'a, 'io> TaskBuilder<&'a (dyn Io + 'io)> {
    /// As [`io.spawn_waiting`](crate::Io#method.spawn_waiting).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// When what it asks for cannot be had, and as `io.spawn_waiting`; the closure comes back in
    /// the error.
    #[track_caller]
    pub fn spawn_waiting<F, T>(self, closure: F) -> Result<Task<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'static,
        T: Send + 'static,
    {
        let io = self.spawner;
        let mut parcel = Parcel::of(closure);
        let started = self.spawn_waiting_here(io, &mut parcel);
        parcel.unless_refused(started)
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
