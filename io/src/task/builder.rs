//! Tasks that ask for something: a name, a stack, a place.

use std::fmt;

use crate::runnable::{Parcel, Placement, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::TOKEN;
use crate::{Io, context};

/// A task about to be started that asks for a name, a stack or a place; from
/// [`io.task()`](crate::Io#method.task) or [`group.task()`](crate::Group::task).
///
/// It has the same ways to start as the `Io` or the group, without options. All of them may fail
/// here: no task starts without what it asks for.
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
///         task.spawn_concurrent(|_| { /* sees what is this executor's */ })?.detach();
///     }
///     Ok(())
/// }
/// ```
#[must_use = "it starts nothing by itself"]
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

    /// What the task is called in reports. Default: the path of its closure.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.options.get_or_insert_default().name = Some(name.into());
        self
    }

    /// How much stack the task has at least, in bytes, from 32 KiB to 1 GiB. Default: the backend's
    /// `stack_size`.
    ///
    /// [What the closure owns and returns](crate::Io#method.spawn_async) is copied on it, too, and on the stack of who starts
    /// the task.
    ///
    /// On `threaded` a task that asks for more than the workers have gets a thread of its own,
    /// which counts against the same limit and ends with it.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.get_or_insert_default().stack_size = Some(bytes);
        self
    }

    /// On which executor the task runs. Default: [`Placement::Anywhere`].
    pub fn placement(mut self, placement: Placement) -> Self {
        self.options.get_or_insert_default().placement = placement;
        self
    }
}

impl<'scope, S: Spawner<'scope>> TaskBuilder<S> {
    /// As [`io.spawn_async`](crate::Io#method.spawn_async). Without a free unit of concurrency it
    /// runs inline only if it asks neither for a stack nor for an executor.
    ///
    /// # Cancellation
    ///
    /// As [`io.spawn_async`](crate::Io#method.spawn_async).
    ///
    /// # Errors
    ///
    /// When what it asks for cannot be had, or no unit is free for it; the closure comes back in
    /// the error.
    ///
    /// # Panics
    ///
    /// As [`io.spawn_async`](crate::Io#method.spawn_async).
    #[track_caller]
    pub fn spawn_async<F, T>(self, closure: F) -> Result<S::Handle<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Async, &mut parcel);
        parcel.unless_refused(started)
    }

    /// As [`io.spawn_concurrent`](crate::Io#method.spawn_concurrent).
    ///
    /// # Errors
    ///
    /// When what it asks for cannot be had, or no unit is free; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(self, closure: F) -> Result<S::Handle<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Concurrent, &mut parcel);
        parcel.unless_refused(started)
    }

    /// As [`io.spawn_thread`](crate::Io#method.spawn_thread): on a thread with the task's name and
    /// stack, which is on no executor, whatever its placement.
    ///
    /// # Errors
    ///
    /// When what it asks for cannot be had, or the system gives no thread; the closure comes back
    /// in the error.
    #[track_caller]
    pub fn spawn_thread<F, T>(self, closure: F) -> Result<S::Handle<T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn(SpawnMode::Thread, &mut parcel);
        parcel.unless_refused(started)
    }

    #[track_caller]
    pub(crate) fn spawn_waiting_here<F, T>(
        self,
        io: &dyn Io,
        closure: &mut Parcel<F>,
    ) -> Result<S::Handle<T>, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        context::current(|context| context.check(io))?;
        self.spawn(SpawnMode::Waiting, closure)
    }

    /// Starts a task whose closure is in the parcel, and stays there where it is refused.
    #[track_caller]
    pub(crate) fn spawn<F, T>(self, how: SpawnMode, closure: &mut Parcel<F>) -> Result<S::Handle<T>, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.options.as_ref().map_or(Ok(()), |options| options.check_stack())?;
        self.spawner.spawn(how, self.options, closure, TOKEN)
    }
}

/// Whatever starts tasks: an `&dyn` [`Io`] or a [`Group`](crate::Group), and nothing else.
///
/// Generic code starts tasks through a [`TaskBuilder`], which checks what they ask for, and cannot get around it:
///
/// ```compile_fail,E0061
/// use iolite_io::{backend::SpawnMode, task::Spawner};
///
/// fn start<'scope, S: Spawner<'scope>>(spawner: S) {
///     let _ = spawner.spawn(SpawnMode::Async, None, |_| ());
/// }
/// ```
pub trait Spawner<'scope>: sealed::Spawn<'scope> {}

impl<'scope, S: sealed::Spawn<'scope>> Spawner<'scope> for S {}

pub(crate) mod sealed {
    use crate::Io;
    use crate::runnable::SpawnErrorKind;
    use crate::runnable::SpawnMode;
    use crate::runnable::{Parcel, TaskOptions};
    use crate::sealed::Token;

    pub trait Spawn<'scope> {
        /// What stands for a task that was started.
        type Handle<T: Send + 'scope>;

        /// Starts a task whose options were checked. Its closure is taken out of the parcel, and comes back there
        /// where the task is refused.
        #[track_caller]
        fn spawn<F, T>(
            self,
            how: SpawnMode,
            options: Option<Box<TaskOptions>>,
            closure: &mut Parcel<F>,
            token: Token,
        ) -> Result<Self::Handle<T>, SpawnErrorKind>
        where
            F: FnOnce(&dyn Io) -> T + Send + 'scope,
            T: Send + 'scope;
    }
}
