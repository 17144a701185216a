//! Starting tasks with options: a name, a stack size, a placement.

use std::fmt;

use crate::Io;
use crate::runnable::{Parcel, Placement, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::TOKEN;

/// Sets a name, a stack size or a placement for a task and then starts it; from [`io.task()`](crate::Io#method.task) or
/// [`group.task()`](crate::Group::task).
///
/// It has the same ways to start a task as the `Io` or the group. All of them may fail here, because no task starts
/// without the options that it asks for.
///
/// ```
/// use iolite_io::{Io, task::Placement};
///
/// fn parse(io: &dyn Io, documents: &[&str]) -> std::io::Result<usize> {
///     io.group(|group| {
///         let mut parsers = Vec::new();
///         for document in documents {
///             let task = group.task().name("parser").stack_size(2 << 20);
///             parsers.push(task.spawn_concurrent(|_| document.len())?);
///         }
///         Ok(parsers.into_iter().map(|parser| parser.join(io)).sum())
///     })
/// }
///
/// fn one_for_each_executor(io: &dyn Io) -> std::io::Result<()> {
///     for number in 0..io.backend().executors {
///         let task = io.task().name("statistics").placement(Placement::Executor(number));
///         task.spawn_concurrent(|_| { /* sees the statistics of this executor */ })?.detach();
///     }
///     Ok(())
/// }
/// ```
#[must_use = "a builder starts no task by itself"]
pub struct TaskBuilder<S> {
    pub(super) spawner: S,
    options: Option<Box<TaskOptions>>,
}

impl<S> fmt::Debug for TaskBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<S> TaskBuilder<S> {
    pub(crate) fn new(spawner: S) -> Self {
        Self { spawner, options: None }
    }

    /// Sets the name of the task in reports. Default: the path of its closure.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.options.get_or_insert_default().name = Some(name.into());
        self
    }

    /// Sets the minimum size of the task's stack in bytes, from 32 KiB to 1 GiB. Default: the backend's `stack_size`.
    ///
    /// [The values that the closure owns and returns](crate::Io#method.spawn_async) are copied on this stack too, and
    /// on the stack of the caller that starts the task.
    ///
    /// On `threaded`, a task that asks for a larger stack than the workers have gets a thread of its own, which counts
    /// against the same limit and ends with the task.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.get_or_insert_default().stack_size = Some(bytes);
        self
    }

    /// Sets the executor on which the task runs. Default: [`Placement::Anywhere`].
    pub fn placement(mut self, placement: Placement) -> Self {
        self.options.get_or_insert_default().placement = placement;
        self
    }
}

impl<S> TaskBuilder<S> {
    /// Starts the task, which may run on top of the caller; see [`io.spawn_async`](crate::Io#method.spawn_async). If no
    /// unit of concurrency is free, the task runs inline only if it asks for neither a stack nor an executor.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; see [`io.spawn_async`](crate::Io#method.spawn_async).
    ///
    /// # Errors
    ///
    /// Returns an error if the options cannot be met, or if the task needs a unit of concurrency and none is free. The
    /// error hands the closure back.
    ///
    /// # Panics
    ///
    /// See [`io.spawn_async`](crate::Io#method.spawn_async).
    #[track_caller]
    pub fn spawn_async<'scope, F, T>(self, closure: F) -> Result<S::Handle, SpawnError<F>>
    where
        S: Spawner<'scope, T>,
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Async, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Starts the task, which makes progress beside the caller; see
    /// [`io.spawn_concurrent`](crate::Io#method.spawn_concurrent).
    ///
    /// # Errors
    ///
    /// Returns an error if the options cannot be met or no unit of concurrency is free. The error hands the closure
    /// back.
    #[track_caller]
    pub fn spawn_concurrent<'scope, F, T>(self, closure: F) -> Result<S::Handle, SpawnError<F>>
    where
        S: Spawner<'scope, T>,
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Concurrent, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Waits for a unit of concurrency, then starts the task; see [`io.spawn_waiting`](crate::Io#method.spawn_waiting).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Returns an error if the options cannot be met, the caller is canceled, the runtime shuts down, or the system
    /// provides no thread. The error hands the closure back.
    #[track_caller]
    pub fn spawn_waiting<'scope, F, T>(self, closure: F) -> Result<S::Handle, SpawnError<F>>
    where
        S: Spawner<'scope, T>,
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Waiting, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Starts the task on an operating-system thread with the task's name and stack size; see
    /// [`io.spawn_thread`](crate::Io#method.spawn_thread). The thread belongs to no executor, whatever the placement.
    ///
    /// # Errors
    ///
    /// Returns an error if the options cannot be met or the system provides no thread. The error hands the closure
    /// back.
    #[track_caller]
    pub fn spawn_thread<'scope, F, T>(self, closure: F) -> Result<S::Handle, SpawnError<F>>
    where
        S: Spawner<'scope, T>,
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Thread, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Starts a task whose closure is in the parcel. If the task is refused, the closure stays there.
    #[track_caller]
    pub(crate) fn spawn<'scope, F, T>(
        self,
        how: SpawnMode,
        closure: &mut Parcel<F>,
    ) -> Result<S::Handle, SpawnErrorKind>
    where
        S: Spawner<'scope, T>,
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        if how == SpawnMode::Waiting {
            self.spawner.io(TOKEN).check_cancel()?;
        }
        self.options.as_ref().map_or(Ok(()), |options| options.check_stack())?;
        self.spawner.spawn(how, self.options, closure, TOKEN)
    }
}

/// Starts tasks whose closures return `T`: an `&dyn` [`Io`], a [`Group`](crate::Group), a [`TryGroup`](crate::TryGroup),
/// or a [`JoinSet`](crate::JoinSet). No other type implements this trait.
///
/// Generic code starts tasks through a [`TaskBuilder`], which checks their options. It cannot bypass that check:
///
/// ```compile_fail,E0061
/// use iolite_io::{backend::SpawnMode, task::Spawner};
///
/// fn start<'scope, S: Spawner<'scope, ()>>(spawner: S) {
///     let _ = spawner.spawn(SpawnMode::Async, None, |_| ());
/// }
/// ```
pub trait Spawner<'scope, T>: sealed::Spawn<'scope, T> {}

impl<'scope, T, S: sealed::Spawn<'scope, T>> Spawner<'scope, T> for S {}

pub(crate) mod sealed {
    use crate::Io;
    use crate::runnable::SpawnErrorKind;
    use crate::runnable::SpawnMode;
    use crate::runnable::{Parcel, TaskOptions};
    use crate::sealed::Token;

    pub trait Spawn<'scope, T> {
        /// The handle of a task that was started.
        type Handle;

        /// Returns the `Io` that the task is started with.
        fn io(&self, token: Token) -> &dyn Io;

        /// Starts a task whose options were checked. Takes its closure out of the parcel, and puts it back if the task
        /// is refused.
        #[track_caller]
        fn spawn<F>(
            self,
            how: SpawnMode,
            options: Option<Box<TaskOptions>>,
            closure: &mut Parcel<F>,
            token: Token,
        ) -> Result<Self::Handle, SpawnErrorKind>
        where
            F: FnOnce(&dyn Io) -> T + Send + 'scope;
    }
}
