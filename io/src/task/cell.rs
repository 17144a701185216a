//! The one allocation of a task: its cancellation state, its closure, and later its result.
//!
//! The slot may be touched, in this order, by
//!
//! - the holder of the task's [`Turn`], until the turn is over. Each task has one turn. It is consumed by running the
//!   task, by abandoning it, or by taking its closure back. Running ends with [`JoinWord::end`];
//! - after that, the join handle. There is one, and it is consumed by joining, which waits for [`JoinWord::finish`], or
//!   by dropping, which does not;
//! - if the handle was dropped first, the runner again, which drops the result **before** the task leaves the group,
//!   because results may borrow what the group's scope borrows.
//!
//! A task that waits in a queue of its backend may be begun by the context that joins it. The queue gives its `Start`
//! to one of the two, so there is still one runner. Such a joiner runs the task on its own stack, so only its
//! context touches the join word.
//!
//! A task can leave values of the program behind: its task-local values, a result that nobody takes, a panic. Their
//! destructors may wait, panic and use task-local values. So all of them are dropped while the task still counts as
//! running, on its context, inside of a catch. Only then does the runner give back the resources of the task, so that a
//! joiner finds them free.
#![allow(unsafe_code)]

use std::any::{Any, type_name};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;

use super::join::{self, JoinWord};
use super::slot::{Body, Slot};
use crate::Io;
use crate::context::{
    self, Context, Inherited, Report, TaskGuard, TaskState, TooDeep, Unparker, WakeBlock, panic_text, send_report,
};
use crate::dropping::drop_panic;
use crate::list::Node;
use crate::runnable::{Membership, Owned, Owner, Owners, Parcel, Run, TaskOptions, Ticket, Turn};

pub(crate) type Watch = join::Watch<WakeBlock>;

/// A task as seen by its join handle.
pub(crate) trait Outcome<T>: Owned + Send + Sync {
    fn state(&self) -> &TaskState;
    fn is_done(&self) -> bool;
    /// Waits for the task to end and passes requests to the waiter on to it.
    fn wait(&self, io: &dyn Io);
    /// Registers `waiter` to be woken when the task ends. Returns `None` if it has ended. Only the handle
    /// calls this.
    fn watch(&self, waiter: Unparker) -> Option<Watch>;
    /// Reverts the [`watch`](Self::watch) that returned `watch`.
    fn unwatch(&self, watch: Watch);
    /// Returns a pointer to the result, or else the panic.
    ///
    /// # Safety
    ///
    /// The caller consumes the only handle, and [`is_done`](Self::is_done) has returned true. It reads the result, once, before it drops
    /// the owner.
    unsafe fn take(&self) -> thread::Result<*mut T>;
    /// Gives the handle up. The later of handle and runner disposes of the result.
    ///
    /// # Safety
    ///
    /// The caller consumes the only handle.
    unsafe fn detach(&self);
}

pub(crate) struct TaskCell<B, F, T> {
    head: Head,
    slot: Slot<B, F, T>,
}

/// The part of a cell that does not depend on what the task runs.
struct Head {
    owners: Owners,
    node: Node<TaskState>,
    join: JoinWord<WakeBlock>,
    group: Option<Arc<dyn Membership>>,
    /// `None` if the task asks for nothing.
    options: Option<Box<TaskOptions>>,
    /// The place in the program where it was started.
    site: &'static Location<'static>,
    /// The ticket under which a joiner may find the task's `Start`, or 0. It is written before the `Start` is put there
    /// and read by the handle, which is made after that. A stale ticket finds nothing.
    offered: AtomicU64,
    /// The wake block of the context that waits in the handle's `wait` for the task to be begun on top of it; null
    /// otherwise. Written by the handle. Only a runner on that very context can find its own block here.
    joiner: AtomicPtr<WakeBlock>,
}

impl Head {
    fn new(
        join: JoinWord<WakeBlock>,
        group: Option<Arc<dyn Membership>>,
        options: Option<Box<TaskOptions>>,
        inherited: Vec<Inherited>,
        site: &'static Location<'static>,
    ) -> Self {
        Self {
            owners: Owners::new(),
            node: Node::new(TaskState::new(inherited)),
            join,
            group,
            options,
            site,
            offered: AtomicU64::new(0),
            joiner: AtomicPtr::default(),
        }
    }
}

// SAFETY: only one party touches the slot at a time, as the module's page says, and the content of the slot may move
// between threads: the body and the closure, which were made where the task was started, are called by the runner, and
// the result goes to the joiner. Everything else in the cell is `Send` and `Sync` by itself, except for the node, which
// the group links under its lock.
unsafe impl<B: Send, F: Send, T: Send> Send for TaskCell<B, F, T> {}
// SAFETY: sharing a cell gives no reference into the slot: each method that touches it requires the turn or the handle,
// and the join word passes the slot from one to the other.
unsafe impl<B: Send, F: Send, T: Send> Sync for TaskCell<B, F, T> {}

impl<T> TaskCell<(), (), T> {
    /// Makes the cell of a task that ended with `result`.
    #[track_caller]
    pub(crate) fn finished(result: thread::Result<T>) -> Owner<Self> {
        let head = Head::new(JoinWord::done(), None, None, Vec::new(), Location::caller());
        // SAFETY: both fields are written, in the place that is given.
        unsafe {
            Owner::new(|place: *mut Self| {
                (&raw mut (*place).head).write(head);
                Slot::init_finished(&raw mut (*place).slot, result);
            })
        }
    }
}

impl<B: Body<F, T> + Send, F: Send, T: Send> TaskCell<B, F, T> {
    /// Makes the cell and enters it into the group if there is one. The task takes over the `inherited` timeouts. The
    /// closure is taken. Returns the turn to begin the task, and the owner from which the one handle is to be made.
    #[track_caller]
    pub(crate) fn new<'a>(
        body: B,
        closure: &mut Parcel<F>,
        group: Option<Arc<dyn Membership>>,
        options: Option<Box<TaskOptions>>,
        inherited: Vec<Inherited>,
    ) -> (Turn<'a>, Owner<Self>)
    where
        B: 'a,
        F: 'a,
        T: 'a,
    {
        let head = Head::new(JoinWord::new(), group, options, inherited, Location::caller());
        // SAFETY: both fields are written, in the place that is given.
        let (cell, other) = unsafe {
            Owner::pair(|place: *mut Self| {
                (&raw mut (*place).head).write(head);
                Slot::init_unstarted(&raw mut (*place).slot, body, closure);
            })
        };
        if let Some(group) = &cell.head.group {
            // SAFETY: the node is new, and lives in the cell, which does not move; the turn's owner keeps that alive
            // until the node has left, at the end of `complete` or of `take_back`, and leaves it without an end where
            // the turn is leaked.
            unsafe { group.enter(NonNull::from(&cell.head.node)) };
        }
        // SAFETY: the cell is new, so this is its only turn.
        (unsafe { Turn::new(cell.into_run()) }, other)
    }

    /// Takes the closure of the task back into `closure`; the task then never runs.
    ///
    /// # Panics
    ///
    /// Panics if it is another task's turn, which is then abandoned.
    pub(crate) fn take_back(&self, turn: Turn<'_>, closure: &mut Parcel<F>) {
        assert!(turn.is_of(ptr::from_ref(self).cast()), "the turn of another task");
        // Runs last, even if a destructor of the rest of the body panics.
        let _leave = OnDrop(|| self.leave());
        // The owner keeps the cell alive until the node has left.
        let _owner = turn.give_up();
        // SAFETY: the turn was given up here, without running the task.
        unsafe { self.slot.take_unstarted(closure) }.refused();
    }
}

impl<B, F, T> TaskCell<B, F, T> {
    /// Completes the task, whose result or panic is in the slot. `guard` is `Some` if the task ran.
    ///
    /// # Safety
    ///
    /// It is the runner's turn, and this is the end of it.
    unsafe fn complete(&self, context: &Context, guard: Option<TaskGuard<'_>>, ended: &mut dyn FnMut()) {
        // The callback belongs to an `Io` and may do anything. The task completes even if it panics.
        let mut ended = || catch_unwind(AssertUnwindSafe(&mut *ended));
        let told = if self.head.joiner.load(Ordering::Relaxed) == context.unparker().as_ptr() {
            // The handle waits below, on this context, so nobody else looks at the word.
            drop(guard);
            let told = ended();
            self.head.join.finish_here();
            told
        } else {
            match self.head.join.end() {
                join::End::Detached => {
                    // SAFETY: the word says that the handle is gone, so the slot stays the runner's.
                    unsafe { self.dispose() };
                    drop(guard);
                    ended()
                }
                join::End::Handed(early) => {
                    drop(guard);
                    let told = ended();
                    for waiter in [early, self.head.join.finish()].into_iter().flatten() {
                        // SAFETY: `watch` put it into the word, from an `Unparker`.
                        unsafe { Unparker::from_ptr(waiter) }.unpark();
                    }
                    told
                }
            }
        };
        self.leave();
        if let Err(panic) = told {
            resume_unwind(panic);
        }
    }

    fn leave(&self) {
        if let Some(group) = &self.head.group {
            // SAFETY: `new` entered it, and this is called once: by the end of the only turn.
            unsafe { group.leave(NonNull::from(&self.head.node)) };
        }
    }

    /// Drops a result that nobody will take. A panic in it becomes the group's.
    ///
    /// # Safety
    ///
    /// The slot is the caller's, and nobody touches it after the call.
    unsafe fn dispose(&self) {
        // SAFETY: the slot is the caller's, as this function requires.
        let panic = unsafe { self.slot.empty() };
        match (panic, &self.head.group) {
            (Some(panic), Some(group)) => group.panicked(panic, &|| self.who()),
            (Some(panic), None) => drop_panic(panic),
            (None, _) => {}
        }
    }

    /// Returns the task's name in reports: its own name, or else the path of its closure.
    fn name(&self) -> &str {
        let options = self.head.options.as_deref();
        options.and_then(|options| options.name.as_deref()).unwrap_or_else(|| type_name::<F>())
    }

    /// Describes the task in a report.
    fn who(&self) -> String {
        format!("the task {}, started at {},", self.name(), self.head.site)
    }

    /// Reports a panic of the closure, which its body may have caught, unless the task's group reports it.
    #[cold]
    fn report_panic(&self, report: &Report, panic: Option<&(dyn Any + Send)>) {
        if self.head.group.as_ref().is_some_and(|group| group.contains_panics()) {
            return;
        }
        let text = panic.map(|panic| format!(": {}", panic_text(panic))).unwrap_or_default();
        send_report(Some(report), &format!("{} has panicked{text}", self.who()));
    }
}

/// Calls the closure when it is dropped, by unwinding too.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<B, F, T> Owned for TaskCell<B, F, T> {
    fn owners(&self) -> &Owners {
        &self.head.owners
    }
}

impl<'a, B: Body<F, T> + Send + 'a, F: Send + 'a, T: Send + 'a> Owner<TaskCell<B, F, T>> {
    /// Converts the cell to the runner's view of it.
    fn into_run(self) -> Owner<dyn Run + 'a> {
        // SAFETY: the closure returns its argument, coerced to the trait.
        unsafe { self.unsize(|cell| cell as NonNull<dyn Run + 'a>) }
    }
}

impl<'a, B: Send + 'a, F: Send + 'a, T: Send + 'a> Owner<TaskCell<B, F, T>> {
    /// Converts the cell to the join handle's view of it.
    pub(crate) fn into_outcome(self) -> Owner<dyn Outcome<T> + 'a> {
        // SAFETY: the closure returns its argument, coerced to the trait.
        unsafe { self.unsize(|cell| cell as NonNull<dyn Outcome<T> + 'a>) }
    }
}

impl<B: Body<F, T> + Send, F: Send, T: Send> Run for TaskCell<B, F, T> {
    unsafe fn run(&self, ended: &mut dyn FnMut()) -> Result<(), TooDeep> {
        context::current(|context| {
            let guard = context.enter_task(&self.head.node.value)?;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: the turn is the caller's, and the task begins here.
                unsafe { self.slot.call() };
                context.drop_locals();
            }))
            .err();
            if panic.is_some() {
                // Drops the value that the closure returned, if the panic is that of a task-local value. SAFETY: as
                // above.
                unsafe { self.slot.empty() }.into_iter().for_each(drop_panic);
            }
            context.drop_locals_after_panic();
            if let Some(report) = context.take_report() {
                self.report_panic(&report, panic.as_deref());
            }
            if let Some(panic) = panic {
                // SAFETY: as above; the slot is empty.
                unsafe { self.slot.put_panic(panic) };
            }
            // SAFETY: it is the runner's turn, which the caller has given up to this call, and which ends here.
            unsafe { self.complete(context, Some(guard), ended) };
            Ok(())
        })
    }

    unsafe fn abandon(&self) {
        // SAFETY: the turn is the caller's, of a task that never runs, and it ends here.
        unsafe {
            let panic = self.slot.empty().unwrap_or_else(|| {
                Box::new(format!("the task {} was abandoned: its Io dropped it before it ran", self.name()))
            });
            self.slot.put_panic(panic);
            context::current(|context| self.complete(context, None, &mut || {}));
        }
    }

    fn offer(&self, ticket: Ticket) {
        self.head.offered.store(ticket.number(), Ordering::Relaxed);
    }

    fn state(&self) -> &TaskState {
        &self.head.node.value
    }

    fn options(&self) -> &TaskOptions {
        self.head.options.as_deref().unwrap_or(&TaskOptions::NONE)
    }

    fn name(&self) -> &str {
        self.name()
    }
}

impl<B: Send, F: Send, T: Send> Outcome<T> for TaskCell<B, F, T> {
    fn state(&self) -> &TaskState {
        &self.head.node.value
    }

    fn is_done(&self) -> bool {
        self.head.join.is_done()
    }

    fn wait(&self, io: &dyn Io) {
        // Without this point, a loop that starts and joins tasks that are already done, or that the joiner runs itself,
        // would never let others run.
        context::current(Context::pass_point);
        if self.is_done() {
            return;
        }
        let is_own = context::current(|context| context.task().is_on_top_of(&self.head.node.value));
        assert!(!is_own, "the task {} joins itself: it would wait for its own end", self.name());
        let (waiter, may_begin) = context::current(|context| {
            context.assert_may_suspend();
            (context.unparker(), context.may_begin_joined())
        });
        if let Some(ticket) = Ticket::from_number(self.head.offered.load(Ordering::Relaxed)).filter(|_| may_begin) {
            self.head.joiner.store(waiter.as_ptr(), Ordering::Relaxed);
            let _over = OnDrop(|| self.head.joiner.store(ptr::null_mut(), Ordering::Relaxed));
            io.try_run_inline(ticket);
            if self.is_done() {
                return;
            }
        }
        if self.watch(waiter).is_none() {
            return;
        }
        context::wait_uncancelable(io, || self.is_done(), |requests| self.head.node.value.request(requests));
    }

    fn watch(&self, waiter: Unparker) -> Option<Watch> {
        self.head.join.watch(waiter.as_ptr())
    }

    fn unwatch(&self, watch: Watch) {
        self.head.join.unwatch(watch);
    }

    unsafe fn take(&self) -> thread::Result<*mut T> {
        // SAFETY: the slot is the handle's, since the task is done and the caller consumes the handle.
        unsafe { self.slot.take() }
    }

    unsafe fn detach(&self) {
        if self.head.join.detach() {
            // SAFETY: the word says that the runner has handed the slot over, and the caller consumes the handle.
            unsafe { self.dispose() };
        }
    }
}
