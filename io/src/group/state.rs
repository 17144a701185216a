//! The state that a group shares with its members.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, HasFailed, Report, TORN_DOWN, TaskState, Unparker, Waiters, panic_text, send_report};
use crate::dropping::{drop_panic, drop_quietly};
use crate::list::{List, Node};
use crate::primitive::Lock;
use crate::runnable::Membership;
use crate::select::Polled;
use crate::waiting::Choice;

/// The state that a group shares with its members.
#[derive(Debug, Default)]
pub(crate) struct GroupShared {
    state: Lock<State>,
    /// Set when a member has panicked, or has returned the error of a `try_group`. The members and the body are torn down
    /// until the failure was reported. Written under the lock of the state.
    ///
    /// Relaxed: the body reads it before it parks, and gets a token after it was set, which publishes what came before
    /// (`loom_park.rs` has this: `a_thread_misses_no_wake_up`). The starter of a member may read it too early; that member
    /// then finds the request in the state, under the lock.
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    members: List<TaskState>,
    /// The requests with which a new member starts: `TORN_DOWN` after a tear-down, `REQUESTED` while a `cancel` waits.
    requests: u32,
    /// The first panic of a member without a handle.
    panic: Option<Box<dyn Any + Send>>,
    /// Set when nobody will ask the group for a panic any more.
    closed: bool,
    /// Set if panics of members without a handle do not fail the group.
    contains: Option<Containment>,
    /// Set when a member has ended that its runtime had torn down.
    shut_down: bool,
    /// The context of the body, if the group is a scope.
    body: Option<Unparker>,
    /// The contexts that wait until no member is left.
    waiters: Waiters,
}

impl State {
    /// Requests cancellation of every member by `bits`, and of members that are started later by `new_members`.
    fn request(&mut self, bits: u32, new_members: u32) {
        self.requests |= new_members;
        self.members.for_each(|member| member.request(bits));
    }
}

/// The panics that a group contains.
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
    /// Marks the group as failed and tears down its members, the members that are started later, and the body.
    pub(crate) fn fail(&self) {
        let body = self.fail_locked(&mut self.state.lock());
        body.into_iter().for_each(Unparker::unpark);
    }

    /// Does so under the lock. Returns the body, which the caller wakes after it has released the lock.
    fn fail_locked(&self, state: &mut State) -> Option<Unparker> {
        self.failed.store(true, Ordering::Relaxed);
        state.request(TORN_DOWN, TORN_DOWN);
        state.body
    }

    /// Notes the context of the body.
    pub(super) fn begin_body(&self, body: Unparker) {
        self.state.lock().body = Some(body);
    }

    /// Returns true if the group starts no member, because its failure was not reported yet. A group with a body starts
    /// members all the same, torn down, since the body learns of the failure at its next cancellation point.
    pub(super) fn refuses(&self) -> bool {
        self.has_failed() && self.state.lock().body.is_none()
    }

    pub(super) fn contain_panics(&self, report: Option<Report>) {
        self.state.lock().contains.get_or_insert(Containment { report: None, count: 0 }).report = report;
    }

    pub(super) fn contained_panics(&self) -> u64 {
        self.state.lock().contains.as_ref().map_or(0, |contained| contained.count)
    }

    /// Requests cancellation of every member. A tear-down also applies to members that are started later.
    pub(crate) fn request(&self, bits: u32) {
        self.request_with_new(bits, bits & TORN_DOWN);
    }

    fn request_with_new(&self, bits: u32, new_members: u32) {
        self.state.lock().request(bits, new_members);
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().members.len()
    }

    /// Waits until the group is empty, and passes requests to the waiter on to the members.
    pub(super) fn wait(&self, io: &dyn Io) {
        let unparker = context::current(|context| {
            // The group may be empty, so that the wait lets nobody else run.
            context.pass_point();
            context.unparker()
        });
        context::wait_uncancelable(
            io,
            || {
                let mut state = self.state.lock();
                let empty = state.members.is_empty();
                // Entered each time, since the group may have been empty and then used again during the wait.
                if !empty {
                    state.waiters.enter(unparker);
                }
                empty
            },
            |requests| self.request(requests),
        );
    }

    /// Panics if the calling task is a member, because it would wait for its own end.
    fn assert_no_member_waits(&self) {
        let is_member = context::current(|context| context.task().is_within(self));
        assert!(
            !is_member,
            "a task waits for the end of the group that it is a member of, which is its own: request_cancel and \
             request_abort do not wait",
        );
    }

    pub(super) fn wait_explicitly(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.assert_no_member_waits();
        self.wait(io);
        self.resume_panic();
        let shut_down = mem::take(&mut self.state.lock().shut_down);
        io.check_cancel()?;
        // The runtime will also tear the waiter down; it has not done so yet.
        if shut_down { Err(Canceled::requested()) } else { Ok(()) }
    }

    /// Requests cancellation by `bit` of every member, also of those that are started during the wait, and waits.
    pub(super) fn cancel(&self, io: &dyn Io, bit: u32) {
        self.assert_no_member_waits();
        self.request_with_new(bit, bit);
        self.wait(io);
        self.state.lock().requests &= !bit;
        self.resume_panic();
    }

    /// Returns the panic for which nobody has asked. From then on the group keeps no panic, so that none is dropped with the
    /// last reference, wherever that may be.
    pub(crate) fn close(&self) -> Option<Box<dyn Any + Send>> {
        let mut state = self.state.lock();
        state.closed = true;
        state.panic.take()
    }

    /// Returns the value of the body of a scope without members, or resumes the panic of the body or else of a member. If
    /// both have panicked, the panic of the member is dropped.
    pub(crate) fn or_panic<T>(&self, outcome: thread::Result<T>) -> T {
        let own = self.close();
        match (outcome, own) {
            (Ok(value), None) => value,
            (Ok(value), Some(panic)) => {
                // Dropped now, since a destructor must not panic during the unwinding.
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
            // The failure is reported, so the group can be used again.
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

    /// Takes the panic of a member without a handle. The group has failed then, unless it contains panics.
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
        // In the same critical section, because the one who gets the panic makes the group fit for use again.
        let body = if contained.is_none() { self.fail_locked(&mut state) } else { None };
        drop(state);
        body.into_iter().for_each(Unparker::unpark);
        if let Some(report) = contained {
            let text = surplus.as_deref().map_or("", panic_text);
            send_report(report.as_ref(), &format!("{} has panicked, and its group goes on: {text}", who()));
        }
        // Outside of the lock, because its destructor is code of the program. It runs in the task that has panicked, or in
        // the one that drops its handle.
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
