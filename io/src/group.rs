//! Groups: any number of tasks, awaited or canceled as a whole.
//!
//! The memory of a member is freed when the member returns, not when the group ends, so a group
//! can live for months.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::Io;
use crate::cancel::Canceled;
use crate::context::{
    self, HasFailed, Inherited, REQUESTED, Report, TORN_DOWN, TaskState, Unparker, Waiters, panic_text, tell,
};
use crate::dropping::{drop_panic, drop_quietly};
use crate::list::{List, Node};
use crate::primitive::Lock;
use crate::runnable::{Membership, Owner, Parcel, SpawnError, SpawnErrorKind, SpawnMode, TaskOptions};
use crate::sealed::Token;
use crate::select::{OnPolled, Polled, Selectable};
use crate::task::{self, Body, Finishing, Outcome, TaskBuilder, TaskCell, TaskIo, sealed};
use crate::waiting::Choice;

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
    /// Starts a member that may run on top of the caller: order does not matter. It does so at once when
    /// no unit of concurrency is free, and in its [`join`](ScopedTask::join), on top of who joins, when nobody
    /// has begun it by then. The wait for the whole group begins no member: its requests go to all of
    /// them at once.
    ///
    /// # Cancellation
    ///
    /// As [`io.spawn_async`](crate::Io#method.spawn_async).
    ///
    /// # Panics
    ///
    /// When inline tasks nest deeper than 40 (a recursion through `spawn_async` without a free
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
    /// When no unit of concurrency is free; the closure comes back in the error.
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
    /// [`SpawnErrorKind::ShutDown`](crate::SpawnErrorKind::ShutDown), or when the system gives no
    /// thread; the closure comes back in the error.
    #[track_caller]
    pub fn spawn_waiting<F, T>(&self, closure: F) -> Result<ScopedTask<'scope, T>, SpawnError<F>>
    where
        F: FnOnce(&dyn Io) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut parcel = Parcel::of(closure);
        let started = self.task().spawn(SpawnMode::Waiting, &mut parcel);
        parcel.unless_refused(started)
    }

    /// A member that asks for a name, a stack size or a place, about to be started.
    pub fn task(&self) -> TaskBuilder<&Self> {
        TaskBuilder::new(self)
    }

    /// Waits until every member has ended. Members may be started meanwhile; they are waited for
    /// too. The group can be used again afterwards.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The request is copied to every member; when this returns
    /// [`Canceled`], all of them have ended. It does so, too, when the shutdown of a runtime has torn a member down.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a member whose handle was dropped, after all members have ended. When a member calls it: it
    /// would wait for itself.
    pub fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.shared.wait_explicitly(io)
    }

    /// Requests cancellation of every member, once, and waits until all have ended. A member that
    /// is started meanwhile starts canceled. The group can be used again afterwards.
    ///
    /// # Cancellation
    ///
    /// Not ended by a request: the caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn cancel(&self, io: &dyn Io) {
        self.shared.cancel(io, REQUESTED);
    }

    /// As [`cancel`](Self::cancel), for good: *every* cancellation point of the members returns `Canceled`, so that none of
    /// them, a loop that ignores errors for instance, can swallow the request.
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

    /// Requests cancellation of every member, once, and does not wait: for a member that ends the others and itself, as the
    /// handler of a server does that was told to stop it. What is started later is not canceled.
    pub fn request_cancel(&self) {
        self.shared.request(REQUESTED);
    }

    /// As [`request_cancel`](Self::request_cancel), for good, as [`abort`](Self::abort); what is started later is torn
    /// down, too.
    pub fn request_abort(&self) {
        self.shared.request(TORN_DOWN);
    }

    /// Keeps the panics of members to themselves, of those that have not ended and of those that are started later.
    ///
    /// A member that panics without a handle then neither cancels the others nor becomes the group's panic: it is
    /// counted, and reported by the task's name and the place where it was started, where the runtime reports to
    /// (`Config::notice`). For a server, which has to survive one of its handlers. A panic of a member that is joined still
    /// is its joiner's.
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

    /// How many panics the group has [contained](Self::contain_panics).
    pub fn contained_panics(&self) -> u64 {
        self.shared.contained_panics()
    }

    /// Its being without a member that has not ended, as one of many things to [wait for](crate::Io#method.select).
    ///
    /// Unlike [`wait`](Self::wait), such a wait passes no request on to the members, which go on where it is canceled or
    /// something else comes first, and it resumes no panic: the group's end does, or its next `wait`.
    pub fn on_finish(&self) -> impl Selectable<Output = ()> + '_ {
        OnPolled::of(&*self.shared)
    }

    /// How many members have not ended.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether every member has ended.
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

    /// Starts a member that runs `body`, with the timeouts that it takes over. Its closure is taken out of the parcel,
    /// and comes back there where the member is refused.
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
    /// Runs `body` with a group of tasks that may borrow from outside of it, and returns when all
    /// of them have ended. The body's value is always returned.
    ///
    /// When the body returns an error or panics, the members are canceled, for good. When it succeeds they are waited
    /// for, however long they go on: to stop them with success, [cancel](Group::cancel) before.
    ///
    /// # Cancellation
    ///
    /// The final wait is not ended by a request to the caller: it is copied to the members, and
    /// the caller's next cancellation point returns it.
    ///
    /// # Errors
    ///
    /// The body's.
    ///
    /// # Panics
    ///
    /// Resumes the body's panic, or else the first panic of a member whose handle was dropped. The other members and the
    /// body are canceled when that one panics, for good, so that the scope ends. A group whose members' panics are theirs
    /// alone [contains](Group::contain_panics) them.
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
    let outcome = run_to_end(io, &group.shared, || body(&group), Result::is_err);
    group.shared.or_panic(outcome)
}

/// Runs the body of a scope, and then waits for the members, which are torn down where the body has panicked or
/// `is_failure`.
///
/// The members borrow from the scope's caller, so nothing unwinds out of here while there are any. All that is the
/// program's is in `body`, the destructors of what it does not return included: when this returns, no member
/// is left, and its code may run again. Nor does the wait happen in an unwinding: std's panic count is the
/// thread's, and a wait lets other fibers of the thread run.
pub(crate) fn run_to_end<T>(
    io: &dyn Io,
    group: &Arc<GroupShared>,
    body: impl FnOnce() -> T,
    is_failure: fn(&T) -> bool,
) -> thread::Result<T> {
    let outcome = context::current(|context| {
        // Here, and not only where the members are waited for: they would outlive the scope.
        context.assert_may_suspend();
        group.state.lock().body = Some(context.unparker());
        let _body = context.push_body(group.clone());
        catch_unwind(AssertUnwindSafe(body))
    });
    context::or_abort(|| {
        if outcome.as_ref().map_or(true, is_failure) {
            group.request(TORN_DOWN);
        }
        group.wait(io);
    });
    outcome
}

/// A member of a group: its result, and a way to cancel it alone. Dropping it does nothing; the
/// group owns the task.
pub struct ScopedTask<'scope, T> {
    outcome: Option<Owner<dyn Outcome<T> + 'scope>>,
}

impl<T> fmt::Debug for ScopedTask<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTask").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl<T> ScopedTask<'_, T> {
    /// Waits for the member to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// Not ended by a request: the request is copied to the member, the wait goes on, and the
    /// caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// Resumes the member's panic, which then is not the group's.
    pub fn join(mut self, io: &dyn Io) -> T {
        task::join(io, &mut self.outcome)
    }

    /// Requests cancellation of this member, once, waits for it to end and returns its result.
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

    /// As [`cancel`](Self::cancel), for good, as [`Task::abort`](crate::Task::abort).
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

    /// Requests cancellation of this member, once, and does not wait.
    pub fn request_cancel(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(REQUESTED);
        }
    }

    /// Requests cancellation of this member, for good, and does not wait.
    pub fn request_abort(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(TORN_DOWN);
        }
    }

    /// Whether the member has ended, so that [`join`](Self::join) would not wait.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// The end of the member, as one of many things to wait for, as [`Task::on_finish`](crate::Task::on_finish).
    pub fn on_finish(&mut self) -> impl Selectable<Output = ()> + '_ {
        Finishing::of(self.outcome.as_deref())
    }
}

impl<T> Drop for ScopedTask<'_, T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            task::detach(outcome);
        }
    }
}

/// A [`Group`] of tasks that borrow nothing, for fields of structs that live long.
///
/// Dropping it requests cancellation of every member, for good, and does not wait: the runtime
/// does, at its end. [`wait`](Group::wait) and [`cancel`](Group::cancel) wait.
///
/// It has no body that could be told when a member has panicked: the other members are torn down, and so is what
/// `spawn_async` starts, while the other ways to start a member fail with `Canceled`, until `wait` or `cancel` has
/// resumed the panic. One whose members' panics are theirs alone [contains](Group::contain_panics) them.
pub struct OwnedGroup(Group<'static, 'static>);

impl fmt::Debug for OwnedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedGroup").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl OwnedGroup {
    /// Makes a group whose members are handed `io`, an [`Io::handle`](crate::Io::handle).
    pub fn new(io: Arc<dyn Io>) -> Self {
        Self(Group::new(TaskIo::Kept(io)))
    }
}

impl Deref for OwnedGroup {
    type Target = Group<'static, 'static>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for OwnedGroup {
    fn drop(&mut self) {
        self.0.shared.request(TORN_DOWN);
        self.0.shared.close().into_iter().for_each(drop_panic);
    }
}

/// What a group and its members share.
#[derive(Debug, Default)]
pub(crate) struct GroupShared {
    state: Lock<State>,
    /// A member has panicked, or returned the error of a `try_group`: the members and the body are torn down until
    /// that has been told. Written under the lock of the state.
    ///
    /// Relaxed: the body reads it before it parks and is sent a token after it was set, which publishes what came before
    /// (`loom_park.rs` has this: `a_thread_misses_no_wake_up`). Whoever starts a member may read it too early, and the member
    /// then finds the request in the state, under the lock.
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    members: List<TaskState>,
    /// The requests that a new member starts with: `TORN_DOWN` after tear-down, `REQUESTED` while a
    /// `cancel` waits.
    requests: u32,
    /// The first panic that nobody else will see.
    panic: Option<Box<dyn Any + Send>>,
    /// Nor will anybody ask the group for it.
    closed: bool,
    /// Panics that nobody else will see do no harm to the others.
    contains: Option<Containment>,
    /// A member has ended that its runtime had torn down.
    shut_down: bool,
    /// The context of a scope's body.
    body: Option<Unparker>,
    /// Of those who wait until there is no member.
    waiters: Waiters,
}

impl State {
    /// Requests cancellation of every member, and of those that are started later by `new_members`.
    fn request(&mut self, bits: u32, new_members: u32) {
        self.requests |= new_members;
        self.members.for_each(|member| member.request(bits));
    }
}

/// What a group does with panics that it contains.
struct Containment {
    report: Option<Report>,
    count: u64,
}

impl fmt::Debug for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containment").field("count", &self.count).finish_non_exhaustive()
    }
}

impl GroupShared {
    /// The group has failed: its members are torn down, those that are started later and the body of its scope, too.
    pub(crate) fn fail(&self) {
        let body = self.fail_locked(&mut self.state.lock());
        body.into_iter().for_each(Unparker::unpark);
    }

    /// The same under the lock. Returns the body, which is to be woken.
    fn fail_locked(&self, state: &mut State) -> Option<Unparker> {
        self.failed.store(true, Ordering::Relaxed);
        state.request(TORN_DOWN, TORN_DOWN);
        state.body
    }

    /// Whether the group starts nothing until a failure was told. One with a body does, torn down: the body is told at
    /// its next cancellation point.
    fn refuses(&self) -> bool {
        self.has_failed() && self.state.lock().body.is_none()
    }

    fn contain_panics(&self, report: Option<Report>) {
        self.state.lock().contains.get_or_insert(Containment { report: None, count: 0 }).report = report;
    }

    fn contained_panics(&self) -> u64 {
        self.state.lock().contains.as_ref().map_or(0, |contained| contained.count)
    }

    /// Requests cancellation of every member. Tear-down also meets those that are started later.
    pub(crate) fn request(&self, bits: u32) {
        self.request_with_new(bits, bits & TORN_DOWN);
    }

    fn request_with_new(&self, bits: u32, new_members: u32) {
        self.state.lock().request(bits, new_members);
    }

    fn len(&self) -> usize {
        self.state.lock().members.len()
    }

    /// Waits until the group is empty, passing requests to the waiter on.
    fn wait(&self, io: &dyn Io) {
        let unparker = context::current(|context| {
            // It may be empty each time.
            context.pass_point();
            context.unparker()
        });
        context::wait_uncancelable(
            io,
            || {
                let mut state = self.state.lock();
                let empty = state.members.is_empty();
                // Asked each time: the group may have been empty, and been used again, meanwhile.
                if !empty {
                    state.waiters.enter(unparker);
                }
                empty
            },
            |requests| self.request(requests),
        );
    }

    /// Panics where the calling task is a member, whose end it would wait for.
    fn assert_no_member_waits(&self) {
        let is_member = context::current(|context| context.task().is_within(self));
        assert!(
            !is_member,
            "a task waits for the end of the group that it is a member of, which is its own: request_cancel and \
             request_abort do not wait",
        );
    }

    fn wait_explicitly(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.assert_no_member_waits();
        self.wait(io);
        self.resume_panic();
        let shut_down = mem::take(&mut self.state.lock().shut_down);
        io.check_cancel()?;
        // The runtime tears the waiter down, too, and just has not come to it.
        if shut_down { Err(Canceled::requested()) } else { Ok(()) }
    }

    /// Requests cancellation of every member by `bit`, and of those that are started meanwhile, and waits.
    fn cancel(&self, io: &dyn Io, bit: u32) {
        self.assert_no_member_waits();
        self.request_with_new(bit, bit);
        self.wait(io);
        self.state.lock().requests &= !bit;
        self.resume_panic();
    }

    /// Nobody will ask for a panic any more; returns the one that nobody has asked for. So none is left to be dropped
    /// with the last reference, wherever that may be.
    pub(crate) fn close(&self) -> Option<Box<dyn Any + Send>> {
        let mut state = self.state.lock();
        state.closed = true;
        state.panic.take()
    }

    /// What a scope returns without members: what its body has, or else the panic of the body or of a member, of which
    /// one is dropped where there are two.
    pub(crate) fn or_panic<T>(&self, outcome: thread::Result<T>) -> T {
        let own = self.close();
        match (outcome, own) {
            (Ok(value), None) => value,
            (Ok(value), Some(panic)) => {
                // Now, since in the unwinding its destructor might not panic.
                drop_quietly(value);
                resume_unwind(panic)
            }
            (Err(panic), own) => {
                own.into_iter().for_each(drop_panic);
                resume_unwind(panic)
            }
        }
    }

    fn resume_panic(&self) {
        let mut state = self.state.lock();
        if let Some(panic) = state.panic.take() {
            // It is told; the group is for use again.
            state.requests &= !TORN_DOWN;
            self.failed.store(false, Ordering::Relaxed);
            drop(state);
            resume_unwind(panic);
        }
    }
}

impl Membership for GroupShared {
    #[allow(unsafe_code)]
    unsafe fn enter(&self, node: NonNull<Node<TaskState>>) {
        let mut state = self.state.lock();
        // SAFETY: the node is in no list and stays alive and in place until it left, by this function's contract; the
        // list is this group's own, and is touched under its lock.
        unsafe {
            state.members.push_back(node);
            node.as_ref().value.set_group(self);
            node.as_ref().value.request(state.requests);
        }
    }

    #[allow(unsafe_code)]
    unsafe fn leave(&self, node: NonNull<Node<TaskState>>) {
        let mut state = self.state.lock();
        // SAFETY: the node entered this group's list and has not left it, by this function's contract, so it is alive
        // and linked there.
        unsafe {
            state.shut_down |= node.as_ref().value.was_shut_down();
            state.members.remove(node);
        }
        if state.members.is_empty() {
            state.waiters.wake();
        }
    }

    /// Takes the panic of that member, which has no handle: the group has failed, unless it contains panics.
    fn panicked(&self, panic: Box<dyn Any + Send>, who: &dyn Fn() -> String) {
        let mut state = self.state.lock();
        let contained = state.contains.as_mut().map(|contained| {
            contained.count += 1;
            contained.report.clone()
        });
        let surplus = if contained.is_some() || state.closed || state.panic.is_some() {
            Some(panic)
        } else {
            state.panic = Some(panic);
            None
        };
        // In the same critical section: who is told of the panic makes the group fit for use again, and it stays so.
        let body = if contained.is_none() { self.fail_locked(&mut state) } else { None };
        drop(state);
        body.into_iter().for_each(Unparker::unpark);
        if let Some(report) = contained {
            let text = surplus.as_deref().map_or("", panic_text);
            tell(report.as_ref(), &format!("{} has panicked, and its group goes on: {text}", who()));
        }
        // Outside of the lock: its destructor is the program's. It runs in the task that has panicked, or on who
        // drops its handle.
        surplus.into_iter().for_each(drop_panic);
    }

    fn contains_panics(&self) -> bool {
        self.state.lock().contains.is_some()
    }
}

impl HasFailed for GroupShared {
    #[inline]
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Polled for &GroupShared {
    type Output = ();

    fn take(&self, comer: Option<&Choice>) -> Option<()> {
        let mut state = self.state.lock();
        if state.members.is_empty() {
            return comer.is_none_or(Choice::decide).then_some(());
        }
        comer.into_iter().for_each(|comer| state.waiters.enter(comer.unparker()));
        None
    }

    fn forget(&self, waiter: Unparker) {
        self.state.lock().waiters.leave(waiter);
    }
}
