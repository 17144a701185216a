//! The handle of a group, through which members are started, awaited and canceled.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::scoped_task::ScopedTask;
use super::shared::GroupShared;
use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, Inherited, REQUESTED, TORN_DOWN};
use crate::runnable::{Parcel, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::Token;
use crate::select::{OnPolled, Selectable};
use crate::task::{self, Body, TaskBuilder, TaskCell, TaskIo, sealed};

/// A group whose members may borrow from outside of it; see [`group`](crate::Io#method.group).
///
/// ```compile_fail
/// # fn demo(io: &dyn iolite_io::Io) -> std::io::Result<()> {
/// io.group(|group| {
///     let local = String::from("inside");
///     group.spawn_async(|_| println!("{local}")); // `local` does not live long enough
///     Ok(())
/// })
/// # }
/// ```
pub struct Group<'scope, 'env: 'scope> {
    shared: Arc<GroupShared>,
    io: TaskIo<'env>,
    /// Invariant, as in `std::thread::Scope`.
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl fmt::Debug for Group<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'scope, 'env> Group<'scope, 'env> {
    /// Starts a member that may run on top of the caller, because order does not matter. It runs there at once if
    /// no unit of concurrency is free, and in its [`join`](ScopedTask::join), on top of the joiner, if nobody
    /// has begun it by then. The wait for the whole group begins no member: its requests go to all of
    /// them at once.
    ///
    /// # Cancellation
    ///
    /// As [`io.spawn_async`](crate::Io#method.spawn_async).
    ///
    /// # Panics
    ///
    /// If inline tasks nest deeper than 40 (a recursion through `spawn_async` without a free
    /// unit).
    #[track_caller]
    pub fn spawn_async<F, T>(&self, closure: F) -> ScopedTask<'scope, T>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("what asks for nothing may run inline")
    }

    /// Starts a member that makes progress beside the caller.
    ///
    /// # Errors
    ///
    /// If no unit of concurrency is free; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(&self, closure: F) -> Result<ScopedTask<'scope, T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.task().spawn(SpawnMode::Concurrent, &mut parcel);
        parcel.unless_refused(started)
    }

    /// Waits for a unit of concurrency, then starts a member that makes progress beside the caller.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// [`SpawnErrorKind::Canceled`](crate::SpawnErrorKind::Canceled),
    /// [`SpawnErrorKind::ShutDown`](crate::SpawnErrorKind::ShutDown), or the system's error if it provides no
    /// thread; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_waiting<F, T>(&self, io: &dyn Io, closure: F) -> Result<ScopedTask<'scope, T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.task().spawn_waiting(io, closure)
    }

    /// Returns a builder for a member that asks for a name, a stack size or a place.
    pub fn task(&self) -> TaskBuilder<&Self> {
        TaskBuilder::new(self)
    }

    /// Waits until every member has ended. Members that are started during the wait are waited for,
    /// too. The group can be used again afterwards.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The request is copied to every member; when this returns
    /// [`Canceled`], all of them have ended. It also returns `Canceled` if the shutdown of a runtime has torn a member down.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a member whose handle was dropped, after all members have ended. Panics if a member calls it,
    /// since the member would wait for itself.
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.shared.wait_explicitly(io)
    }

    /// Requests cancellation of every member, once, and waits until all have ended. A member that
    /// is started during the wait starts canceled. The group can be used again afterwards.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait: the caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn cancel(&self, io: &dyn Io) {
        self.shared.cancel(io, REQUESTED);
    }

    /// Cancels every member so that *every* cancellation point that it reaches returns `Canceled`, and waits until all have
    /// ended. No member can swallow such a request, not even a loop that ignores errors. Otherwise this does the same as
    /// [`cancel`](Self::cancel).
    ///
    /// # Cancellation
    ///
    /// As [`cancel`](Self::cancel).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn abort(&self, io: &dyn Io) {
        self.shared.cancel(io, TORN_DOWN);
    }

    /// Requests cancellation of every member, once, and does not wait. This is for a member that ends the others and itself,
    /// such as the handler of a server that was told to stop the server. Members that are started later are not canceled.
    pub fn request_cancel(&self) {
        self.shared.request(REQUESTED);
    }

    /// Cancels every member as [`abort`](Self::abort) does, and does not wait. Members that are started later are torn down,
    /// too.
    pub fn request_abort(&self) {
        self.shared.request(TORN_DOWN);
    }

    /// Contains the panics of members: of those that have not ended, and of those that are started later.
    ///
    /// A panic of a member without a handle then neither cancels the other members nor becomes the group's panic. It is
    /// counted, and the runtime's hook (`Config::notice`) is told of it, with the task's name and the place where it was
    /// started. This is for a server, which has to survive the panic of a handler. The panic of a member that is joined still
    /// goes to its joiner.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpListener};
    ///
    /// fn serve(io: &dyn Io, listener: &TcpListener) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         group.contain_panics();
    ///         loop {
    ///             let (stream, _) = listener.accept(io)?;
    ///             group.task().name("handler").spawn_waiting(io, move |io| stream.write_all(io, b"hello"))?;
    ///         }
    ///     })
    /// }
    /// ```
    pub fn contain_panics(&self) {
        self.shared.contain_panics(self.io.report());
    }

    /// Returns the number of panics that the group has [contained](Self::contain_panics).
    pub fn contained_panics(&self) -> u64 {
        self.shared.contained_panics()
    }

    /// Returns the moment at which every member has ended, to [select](crate::Io#method.select) from.
    ///
    /// Unlike [`wait`](Self::wait), such a wait passes no request on to the members: they go on if it is canceled, or if
    /// something else happens first. It resumes no panic either: the group's end does, or its next `wait`.
    pub fn on_finish(&self) -> impl Selectable<Output = ()> + '_ {
        OnPolled::of(&*self.shared)
    }

    /// Returns the number of members that have not ended.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Returns true if every member has ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'scope, 'env> Group<'scope, 'env> {
    pub(crate) fn new(io: TaskIo<'env>) -> Self {
        Self { shared: Arc::default(), io, scope: PhantomData }
    }

    pub(crate) fn io(&self) -> &TaskIo<'env> {
        &self.io
    }

    pub(crate) fn shared(&self) -> &Arc<GroupShared> {
        &self.shared
    }

    /// Starts a member that runs `body`, with the timeouts that it inherits. Takes its closure out of the parcel, and puts
    /// the closure back if the member is refused.
    #[track_caller]
    pub(crate) fn start<B, F, T>(
        &self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        inherited: Vec<Inherited>,
        body: B,
        closure: &mut Parcel<F>,
    ) -> Result<ScopedTask<'scope, T>, SpawnErrorKind>
    where
        B: Body<F, T> + Send + 'scope,
        F: Send + 'scope,
        T: Send + 'scope,
    {
        if how != SpawnMode::Async && self.shared.refuses() {
            body.refused();
            return Err(Canceled::aborted().into());
        }
        let (turn, cell) = TaskCell::new(body, closure, Some(self.shared.clone()), options, inherited);
        // SAFETY: `run_scope` does not return before every member has left the group, and a member
        // leaves when its closure is consumed and its result is dropped or belongs to its
        // `ScopedTask<'scope>`; what is left of the cell borrows nothing. The members of an `OwnedGroup`
        // borrow nothing: its 'scope and 'env are 'static.
        #[allow(unsafe_code)]
        let turn = unsafe { turn.assume_static() };
        task::start(&*self.io, how, turn, &cell, closure)?;
        Ok(ScopedTask::new(cell.into_outcome()))
    }
}

impl<'scope> sealed::Spawn<'scope> for &Group<'scope, '_> {
    type Handle<T: Send + 'scope> = ScopedTask<'scope, T>;

    #[track_caller]
    fn spawn<F, T>(
        self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        closure: &mut Parcel<F>,
        _: Token,
    ) -> Result<ScopedTask<'scope, T>, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.start(how, options, context::inheritable_scopes(), self.io.clone(), closure)
    }
}

impl<'scope> TaskBuilder<&Group<'scope, '_>> {
    /// Waits for a unit of concurrency, then starts the member; see
    /// [`group.spawn_waiting`](crate::Group::spawn_waiting).
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// If the name, the stack size or the place cannot be provided, and as `group.spawn_waiting`; the closure comes back in
    /// the error.
    #[track_caller]
    pub fn spawn_waiting<F, T>(self, io: &dyn Io, closure: F) -> Result<ScopedTask<'scope, T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.spawn_waiting_here(io, &mut parcel);
        parcel.unless_refused(started)
    }
}
