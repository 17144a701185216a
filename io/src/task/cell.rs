//! The one allocation of a task: its cancellation state, its closure, and later its result.
//!
//! Who may touch the slot, and when:
//!
//! - the runner, from the start until it swaps the join word to `ENDED`; there is one runner, since
//!   [`Start`](crate::backend::Start) is consumed by running;
//! - after `ENDED`, the join handle; there is one, and it is consumed by joining, which waits for
//!   `DONE`, or by dropping, which does not;
//! - where the handle was dropped first (`DETACHED`), the runner again, which drops the result
//!   **before** it leaves the group: results may borrow what the group's scope borrows.
//!
//! A task that waits in a queue of its backend may be begun by who joins it: the queue gives its `Start`
//! to one of the two, so there still is one runner. Where the joiner is, it waits below the task on the
//! same context, and nobody but that context touches the join word.
//!
//! Between `ENDED` and `DONE` the runner gives back what the task occupied: whoever joined finds it
//! free, and no destructor of a result, which may take its time, runs after that on the runner.
#![allow(unsafe_code)]

use std::any::{Any, type_name};
use std::cell::UnsafeCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;

use crate::Io;
use crate::backend::Ticket;
use crate::cancel::TaskState;
use crate::context::{self, InheritedTimeout, Unparker, WakeBlock};
use crate::group::GroupShared;
use crate::list::Node;
use crate::task::TaskOptions;
use crate::task::owner::{Owned, Owner, Owners};

/// What a task runs.
pub(crate) trait Body<T> {
    type Closure;
    fn call(self) -> T;
    fn into_closure(self) -> Self::Closure;
}

/// A task as its runner sees it.
pub(crate) trait Run: Owned + Send + Sync {
    /// Runs the task. `ended` is called once, when the closure has ended and its joiner does not
    /// know yet.
    fn run(&self, ended: &mut dyn FnMut());
    /// Completes the task without having run it.
    fn abandon(&self);
    /// Says where the task waits to be begun.
    fn offer(&self, ticket: Ticket);
    fn state(&self) -> &TaskState;
    /// What the task asks for.
    fn options(&self) -> &TaskOptions;
    /// What the task is called in reports: its name, or else the path of its closure.
    fn name(&self) -> &str;
}

/// A task as its join handle sees it.
pub(crate) trait Outcome<T>: Owned + Send + Sync {
    fn state(&self) -> &TaskState;
    fn is_done(&self) -> bool;
    /// Waits for the task to end, passing requests to the waiter on.
    fn wait(&self, io: &dyn Io);
    /// From now on the end of the task wakes that context; unless it has ended. For the only handle.
    fn watch(&self, waiter: Unparker) -> Option<Watch>;
    /// As before [`watch`](Self::watch), which has returned this.
    fn unwatch(&self, watch: Watch);
    /// The result. Once, after the task has ended.
    fn take(&self) -> thread::Result<T>;
    /// Gives the handle up: whoever comes last disposes of the result.
    fn detach(&self);
}

/// A context in the join word of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    waiter: Unparker,
    /// The word in whose place it is.
    before: *mut WakeBlock,
}

enum Slot<B, T> {
    Body(B),
    Finished(thread::Result<T>),
    Empty,
}

pub(crate) struct TaskCell<B, T> {
    owners: Owners,
    node: Node<TaskState>,
    /// `RUNNING`, `ENDED`, `DONE`, `DETACHED` or the block of the waiting joiner.
    join: AtomicPtr<WakeBlock>,
    group: Option<Arc<GroupShared>>,
    /// `None`: it asks for nothing.
    options: Option<Box<TaskOptions>>,
    /// The ticket under which a joiner may find the task's `Start`, or 0. Written before the start is
    /// put there, read by the handle, which is made after that; a stale one finds nothing.
    offered: AtomicU64,
    /// The block of the context that waits in the handle's `wait` for the task to be begun on top of
    /// itself; null otherwise. Written by the handle; only who runs on that very context may find
    /// its own block here.
    joiner: AtomicPtr<WakeBlock>,
    slot: UnsafeCell<Slot<B, T>>,
}

const RUNNING: *mut WakeBlock = ptr::null_mut();
const DONE: *mut WakeBlock = ptr::without_provenance_mut(1);
const DETACHED: *mut WakeBlock = ptr::without_provenance_mut(2);
const ENDED: *mut WakeBlock = ptr::without_provenance_mut(3);

// SAFETY: see the module's page on who touches the slot; the join word orders them. The body is
// called on the runner's thread and the result moves to the joiner's, so both are `Send`.
unsafe impl<B: Send, T: Send> Send for TaskCell<B, T> {}
// SAFETY: as above.
unsafe impl<B: Send, T: Send> Sync for TaskCell<B, T> {}

/// The body of a task that has already ended.
pub(crate) enum Ended {}

impl<T> Body<T> for Ended {
    type Closure = Self;

    fn call(self) -> T {
        match self {}
    }

    fn into_closure(self) -> Self {
        self
    }
}

impl<T> TaskCell<Ended, T> {
    /// A task that ended with `result`.
    pub(crate) fn finished(result: thread::Result<T>) -> Owner<Self> {
        Owner::new(|| Self {
            owners: Owners::new(),
            node: Node::new(TaskState::new(Vec::new())),
            join: AtomicPtr::new(DONE),
            group: None,
            options: None,
            offered: AtomicU64::new(0),
            joiner: AtomicPtr::default(),
            slot: UnsafeCell::new(Slot::Finished(result)),
        })
    }
}

impl<B: Body<T>, T> TaskCell<B, T> {
    /// Makes the cell, in the group if there is one, with the timeouts that it takes over, for its runner
    /// and its handle.
    pub(crate) fn new(
        body: B,
        group: Option<Arc<GroupShared>>,
        options: Option<Box<TaskOptions>>,
        inherited: Vec<InheritedTimeout>,
    ) -> (Owner<Self>, Owner<Self>) {
        let (cell, other) = Owner::pair(|| Self {
            owners: Owners::new(),
            node: Node::new(TaskState::new(inherited)),
            join: AtomicPtr::new(RUNNING),
            group,
            options,
            offered: AtomicU64::new(0),
            joiner: AtomicPtr::default(),
            slot: UnsafeCell::new(Slot::Body(body)),
        });
        if let Some(group) = &cell.group {
            // SAFETY: the node lives in the cell, which its runner keeps alive until it left the
            // group in `complete`, or the refusal did in `take_back`.
            unsafe { group.enter(NonNull::from(&cell.node)) };
        }
        (cell, other)
    }

    /// Takes the closure of a task that will never run.
    ///
    /// # Safety
    ///
    /// The task's `Start` is gone without having run, and no handle was made.
    pub(crate) unsafe fn take_back(&self) -> Option<B::Closure> {
        self.leave();
        // SAFETY: without a runner and a handle, the caller is the only one.
        match unsafe { self.replace_slot(Slot::Empty) } {
            Slot::Body(body) => Some(body.into_closure()),
            Slot::Finished(_) | Slot::Empty => None,
        }
    }

    fn complete(&self, result: thread::Result<T>, ended: &mut dyn FnMut()) {
        // SAFETY: the runner's turn, see the module's page.
        unsafe { self.replace_slot(Slot::Finished(result)) };
        if self.joiner.load(Ordering::Relaxed) == own_block().as_ptr() {
            // The handle waits below, on this context, so nobody else looks at the word meanwhile.
            ended();
            self.join.store(DONE, Ordering::Relaxed);
            self.leave();
            return;
        }
        // AcqRel: publishes the slot to the handle; receives the joiner's block or its leaving.
        let early = self.join.swap(ENDED, Ordering::AcqRel);
        if early == DETACHED {
            self.dispose();
            ended();
        } else {
            ended();
            // Release: what `ended` gave back is free for the joiner. Acquire: a joiner's block. One
            // that left since `ENDED` has disposed of the result itself.
            let late = self.join.swap(DONE, Ordering::AcqRel);
            for waiter in [early, late] {
                if ![RUNNING, ENDED, DETACHED].contains(&waiter) {
                    // SAFETY: no other word: `wait` stored it.
                    unsafe { Unparker::from_ptr(waiter) }.unpark();
                }
            }
        }
        self.leave();
    }

    fn leave(&self) {
        if let Some(group) = &self.group {
            // SAFETY: `new` entered it, and nobody else lets it leave.
            unsafe { group.leave(NonNull::from(&self.node)) };
        }
    }

    /// Drops a result that nobody will take; its panic becomes the group's.
    fn dispose(&self) {
        // SAFETY: the join word says that this is the only one left.
        let panic = match unsafe { self.replace_slot(Slot::Empty) } {
            Slot::Finished(Ok(value)) => catch_unwind(AssertUnwindSafe(|| drop(value))).err(),
            Slot::Finished(Err(panic)) => Some(panic),
            Slot::Body(_) | Slot::Empty => None,
        };
        match (panic, &self.group) {
            (Some(panic), Some(group)) => group.panicked(panic),
            (Some(panic), None) => drop_panic(panic),
            (None, _) => {}
        }
    }

    /// # Safety
    ///
    /// It is the caller's turn, by the module's page.
    unsafe fn replace_slot(&self, slot: Slot<B, T>) -> Slot<B, T> {
        // SAFETY: the caller's turn means that nobody else has a reference into the cell.
        mem::replace(unsafe { &mut *self.slot.get() }, slot)
    }
}

/// Drops a panic that nobody will see. Its payload is the program's, and its destructor may panic
/// too, which the runner must not notice: what that throws is leaked.
pub(crate) fn drop_panic(panic: Box<dyn Any + Send>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(panic);
    }
}

/// The block of the calling context.
fn own_block() -> Unparker {
    context::current(|context| context.unparker())
}

/// Calls the closure when it is dropped, by unwinding too.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<B, T> Owned for TaskCell<B, T> {
    fn owners(&self) -> &Owners {
        &self.owners
    }
}

impl<'a, B: Body<T> + Send + 'a, T: Send + 'a> Owner<TaskCell<B, T>> {
    /// The cell as its runner sees it.
    pub(crate) fn into_run(self) -> Owner<dyn Run + 'a> {
        // SAFETY: it coerces.
        unsafe { self.unsize(|cell| cell as NonNull<dyn Run + 'a>) }
    }

    /// The cell as its join handle sees it.
    pub(crate) fn into_outcome(self) -> Owner<dyn Outcome<T> + 'a> {
        // SAFETY: it coerces.
        unsafe { self.unsize(|cell| cell as NonNull<dyn Outcome<T> + 'a>) }
    }
}

impl<'a> Owner<dyn Run + 'a> {
    /// Forgets what the task borrows.
    ///
    /// # Safety
    ///
    /// The task's closure and its result are gone, or the result belongs to its handle, by the time 'a
    /// ends; other owners may stay.
    pub(crate) unsafe fn assume_static(self) -> Owner<dyn Run> {
        // SAFETY: only the lifetime changes.
        unsafe { mem::transmute::<Owner<dyn Run + 'a>, Owner<dyn Run>>(self) }
    }
}

impl<B: Body<T> + Send, T: Send> Run for TaskCell<B, T> {
    fn run(&self, ended: &mut dyn FnMut()) {
        // SAFETY: the runner's turn.
        let Slot::Body(body) = (unsafe { self.replace_slot(Slot::Empty) }) else { return };
        let result = context::current(|context| {
            let _guard = context.enter_task(&self.node.value);
            catch_unwind(AssertUnwindSafe(|| {
                let value = body.call();
                context.drop_locals();
                value
            }))
        });
        self.complete(result, ended);
    }

    fn abandon(&self) {
        // SAFETY: the runner's turn.
        let body = unsafe { self.replace_slot(Slot::Empty) };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(body)));
        let reason: Box<dyn Any + Send> =
            Box::new(format!("the task {} was abandoned: its Io dropped it before it ran", self.name()));
        self.complete(Err(dropped.err().unwrap_or(reason)), &mut || {});
    }

    fn offer(&self, ticket: Ticket) {
        self.offered.store(ticket.number(), Ordering::Relaxed);
    }

    fn state(&self) -> &TaskState {
        &self.node.value
    }

    fn options(&self) -> &TaskOptions {
        self.options.as_deref().unwrap_or(&TaskOptions::NONE)
    }

    fn name(&self) -> &str {
        self.options().name.as_deref().unwrap_or_else(|| type_name::<B::Closure>())
    }
}

impl<B: Body<T> + Send, T: Send> Outcome<T> for TaskCell<B, T> {
    fn state(&self) -> &TaskState {
        &self.node.value
    }

    fn is_done(&self) -> bool {
        self.join.load(Ordering::Acquire) == DONE
    }

    fn wait(&self, io: &dyn Io) {
        if self.is_done() {
            return;
        }
        let (waiter, may_begin) = context::current(|context| {
            context.assert_may_suspend();
            (context.unparker(), context.may_begin_joined())
        });
        if let Some(ticket) = Ticket::from_number(self.offered.load(Ordering::Relaxed)).filter(|_| may_begin) {
            self.joiner.store(waiter.as_ptr(), Ordering::Relaxed);
            let _over = OnDrop(|| self.joiner.store(ptr::null_mut(), Ordering::Relaxed));
            io.begin_joined(ticket);
            if self.is_done() {
                return;
            }
        }
        if self.watch(waiter).is_none() {
            return;
        }
        let mut passed_on = 0;
        context::wait_uncancelable(
            io,
            || self.is_done(),
            |requests| {
                self.node.value.request(requests & !passed_on);
                passed_on |= requests;
            },
        );
    }

    fn watch(&self, waiter: Unparker) -> Option<Watch> {
        // Release: the block is initialized. Acquire on failure: the task has ended.
        let announce = |word| self.join.compare_exchange(word, waiter.as_ptr(), Ordering::Release, Ordering::Acquire);
        let announced = announce(RUNNING).or_else(|word| if word == ENDED { announce(ENDED) } else { Err(word) });
        announced.ok().map(|before| Watch { waiter, before })
    }

    fn unwatch(&self, Watch { waiter, before }: Watch) {
        // It fails where the task has taken it out. Relaxed: it publishes nothing but the word itself.
        let _ = self.join.compare_exchange(waiter.as_ptr(), before, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn take(&self) -> thread::Result<T> {
        // SAFETY: the handle's turn, after `DONE`; the caller consumes the handle.
        match unsafe { self.replace_slot(Slot::Empty) } {
            Slot::Finished(result) => result,
            Slot::Body(_) | Slot::Empty => unreachable!("a handle is consumed by taking"),
        }
    }

    fn detach(&self) {
        // AcqRel: receives the slot if the task has ended.
        if [ENDED, DONE].contains(&self.join.swap(DETACHED, Ordering::AcqRel)) {
            self.dispose();
        }
    }
}
