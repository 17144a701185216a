//! Groups whose members may borrow.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::scope::run_to_end;
use super::scoped_task::ScopedTask;
use super::state::GroupShared;
use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, Inherited, REQUESTED, TORN_DOWN};
use crate::runnable::{Parcel, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::Token;
use crate::select::{OnPolled, Selectable};
use crate::task::{self, Body, TaskBuilder, TaskCell, TaskIo, sealed};

/// A group whose members may borrow from outside of it; see [`group`](crate::Io#method.group).
///
/// The values that a member borrows live outside of `io.group`. Values that the body makes are moved into the member, so this
/// does not compile:
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
    /// Starts a member that may run on top of the caller, so the caller and the member must not wait for each other.
    ///
    /// If no unit of concurrency is free, the member runs at once, before this returns. If nobody has begun it by the
    /// time of its [`join`](ScopedTask::join), it runs on top of the joiner. The wait for the whole group begins no member,
    /// because the requests of that wait go to all members at once.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A request to the caller also reaches a member that runs on top of it.
    ///
    /// # Panics
    ///
    /// Panics if inline tasks nest deeper than 40, for example in a recursion through `spawn_async` without a free unit
    /// of concurrency.
    #[track_caller]
    pub fn spawn_async<F, T>(&self, closure: F) -> ScopedTask<'scope, T>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        self.task().spawn(SpawnMode::Async, &mut parcel).expect("a task without options may run inline")
    }

    /// Starts a member that makes progress beside the caller.
    ///
    /// # Errors
    ///
    /// Returns an error if no unit of concurrency is free. The error hands the closure back.
    #[track_caller]
    pub fn spawn_concurrent<F, T>(&self, closure: F) -> Result<ScopedTask<'scope, T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.task().spawn_concurrent(closure)
    }

    /// Waits for a unit of concurrency, then starts a member that makes progress beside the caller.
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
    pub fn spawn_waiting<F, T>(&self, closure: F) -> Result<ScopedTask<'scope, T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.task().spawn_waiting(closure)
    }

    /// Returns a builder for a member with a name, a stack size or a placement.
    pub fn task(&self) -> TaskBuilder<&Self> {
        TaskBuilder::new(self)
    }

    /// Waits until every member has ended, including members that are started during the wait. The group can be used again
    /// afterwards.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. A request is copied to every member, and when this returns [`Canceled`], all of them have
    /// ended. It also returns `Canceled` if the shutdown of a runtime has canceled a member.
    ///
    /// A [timeout](crate::Io#method.timeout) around this call is not copied to members that were started outside of it, so
    /// it does not end the wait. To stop waiting after a time, [`select`](crate::Io#method.select) from
    /// [`on_finish`](Self::on_finish) and a deadline.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a member whose handle was dropped, after all members have ended. Panics if a member of the
    /// group calls it, because that member would wait for itself.
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.shared.wait_explicitly(io)
    }

    /// Requests cancellation of every member, once, and waits until all have ended. A member that is started during the
    /// wait starts canceled. The group can be used again afterwards.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; the caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// The panics of [`wait`](Self::wait).
    pub fn cancel(&self, io: &dyn Io) {
        self.shared.cancel(io, REQUESTED);
    }

    /// Requests permanent cancellation of every member and waits until all have ended. From then on *every* cancellation
    /// point of the members returns `Canceled`, so that no member can swallow the request, such as a loop that ignores
    /// errors.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; the caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// The panics of [`wait`](Self::wait).
    pub fn abort(&self, io: &dyn Io) {
        self.shared.cancel(io, TORN_DOWN);
    }

    /// Requests cancellation of every member, once, and does not wait. Members that are started later are not canceled.
    ///
    /// A member can call this to end the others and itself, for example the handler of a server that is told to stop.
    pub fn request_cancel(&self) {
        self.shared.request(REQUESTED);
    }

    /// Requests permanent cancellation of every member, see [`abort`](Self::abort), and does not wait. Members that are
    /// started later are canceled, too.
    pub fn request_abort(&self) {
        self.shared.request(TORN_DOWN);
    }

    /// Keeps the panic of a member from the other members and from the group. This applies to the members that have not
    /// ended and to those that are started later.
    ///
    /// A server calls this, so that it survives the panic of one of its handlers. Without it, a member that panics while
    /// nobody has its handle cancels the other members, and the group resumes the panic. With it, the panic is counted and
    /// reported to the hook of the runtime (`Config::report`), with the name of the task and the place where it was
    /// started. The panic of a member that is joined still goes to its joiner.
    ///
    /// ```
    /// use iolite_io::{Io, net::TcpListener};
    ///
    /// fn serve(io: &dyn Io, listener: &TcpListener) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         group.contain_panics();
    ///         loop {
    ///             let (stream, _) = listener.accept(io)?;
    ///             group.task().name("handler").spawn_waiting(move |io| stream.write_all(io, b"hello"))?;
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

    /// Returns a source for [`io.select`](crate::Io#method.select) that is ready once every member has ended.
    ///
    /// Unlike [`wait`](Self::wait), a `select` passes no request on to the members: they go on if it is canceled or another
    /// source is ready first. It resumes no panic either; the end of the group or its next `wait` does.
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

    /// Starts a member that runs `body` within the inherited timeouts. Takes its closure out of the parcel, and puts it back
    /// if the member is refused.
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
        // SAFETY: `run_to_end` does not return before every member has left the group, and a member
        // leaves when its closure is consumed and its result is dropped or belongs to its
        // `ScopedTask<'scope>`; what is left of the cell borrows nothing. The members of an `OwnedGroup`
        // borrow nothing: its 'scope and 'env are 'static.
        #[allow(unsafe_code)]
        let turn = unsafe { turn.assume_static() };
        task::start(&*self.io, how, turn, &cell, closure)?;
        Ok(ScopedTask { outcome: Some(cell.into_outcome()) })
    }
}

impl<'scope, T: Send + 'scope> sealed::Spawn<'scope, T> for &Group<'scope, '_> {
    type Handle = ScopedTask<'scope, T>;

    fn io(&self, _: Token) -> &dyn Io {
        &*self.io
    }

    #[track_caller]
    fn spawn<F>(
        self,
        how: SpawnMode,
        options: Option<Box<TaskOptions>>,
        closure: &mut Parcel<F>,
        _: Token,
    ) -> Result<ScopedTask<'scope, T>, SpawnErrorKind>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
    {
        self.start(how, options, context::inheritable_scopes(), self.io.clone(), closure)
    }
}

impl<'io> dyn Io + 'io {
    /// Runs `body` with a group of tasks that may borrow from outside of it, and returns the body's value once all of them
    /// have ended.
    ///
    /// If the body returns an error or panics, all members are canceled; from then on each of their cancellation points
    /// returns `Canceled`. If it succeeds, the group waits for them, however long they take. To stop them with success,
    /// [cancel](Group::cancel) them at the end of the body.
    ///
    /// # Cancellation
    ///
    /// A request to the caller does not end the final wait. It is copied to the members, and the caller's next cancellation
    /// point returns it.
    ///
    /// # Errors
    ///
    /// The error of the body.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body, or else the first panic of a member whose handle was dropped. Such a panic cancels
    /// the other members and the body permanently, so that the scope ends. [`Group::contain_panics`] changes that.
    pub fn group<'env, T, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope Group<'scope, 'env>) -> Result<T, E>,
    ) -> Result<T, E> {
        run_scope(self, body)
    }
}

/// Runs `body` with a group and waits for the members.
fn run_scope<'env, T, E>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope Group<'scope, 'env>) -> Result<T, E>,
) -> Result<T, E> {
    let group = Group::new(TaskIo::Borrowed(io));
    let outcome = run_to_end(io, group.shared(), || body(&group), Result::is_err);
    group.shared().or_panic(outcome)
}
