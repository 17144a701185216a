//! The state that a group and its members share.

use std::any::Any;
use std::mem;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::state::{Containment, State};
use crate::Io;
use crate::cancel::Canceled;
use crate::context::{self, HasFailed, Report, TORN_DOWN, TaskState, Unparker, panic_text, tell};
use crate::dropping::{drop_panic, drop_quietly};
use crate::list::Node;
use crate::primitive::Lock;
use crate::runnable::Membership;
use crate::select::Polled;
use crate::waiting::Choice;

/// The state that a group and its members share.
#[derive(Debug, Default)]
pub(crate) struct GroupShared {
    state: Lock<State>,
    /// A member has panicked, or returned the error of a `try_group`: the members and the body are torn down until
    /// somebody has been told of that. Written under the lock of the state.
    ///
    /// Relaxed: the body reads it before it parks and is sent a token after it was set, which publishes what came before
    /// (`loom_park.rs` has this: `a_thread_misses_no_wake_up`). A context that starts a member may read it too early, and the
    /// member then finds the request in the state, under the lock.
    failed: AtomicBool,
}

impl GroupShared {
    /// Makes the group fail: tears down its members, those that are started later, and the body of its scope.
    pub(crate) fn fail(&self) {
        let body = self.fail_locked(&mut self.state.lock());
        body.into_iter().for_each(Unparker::unpark);
    }

    /// Does the work of [`fail`](Self::fail) under the lock. Returns the body, which the caller wakes.
    fn fail_locked(&self, state: &mut State) -> Option<Unparker> {
        self.failed.store(true, Ordering::Relaxed);
        state.request(TORN_DOWN, TORN_DOWN);
        state.body
    }

    /// Returns true if the group refuses to start members until somebody has been told of its failure. A group with a body
    /// starts them, torn down: the body is told at its next cancellation point.
    pub(super) fn refuses(&self) -> bool {
        self.has_failed() && self.state.lock().body.is_none()
    }

    /// Sets the context that runs the body of the group's scope.
    pub(super) fn set_body(&self, body: Unparker) {
        self.state.lock().body = Some(body);
    }

    pub(super) fn contain_panics(&self, report: Option<Report>) {
        self.state.lock().contains.get_or_insert(Containment { report: None, count: 0 }).report = report;
    }

    pub(super) fn contained_panics(&self) -> u64 {
        self.state.lock().contains.as_ref().map_or(0, |contained| contained.count)
    }

    /// Requests cancellation of every member. Tear-down also reaches the members that are started later.
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
            // It may be empty each time.
            context.pass_point();
            context.unparker()
        });
        context::wait_uncancelable(
            io,
            || {
                let mut state = self.state.lock();
                let empty = state.members.is_empty();
                // Each time: the group may have been empty, which let the waiters go, and been used again.
                if !empty {
                    state.waiters.enter(unparker);
                }
                empty
            },
            |requests| self.request(requests),
        );
    }

    /// Panics if the calling task is a member, since it would wait for its own end.
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
        // The runtime tears the waiter down, too; it has only not reached it yet.
        if shut_down { Err(Canceled::requested()) } else { Ok(()) }
    }

    /// Requests cancellation by `bit` of every member, and of those that are started during the wait, and waits.
    pub(super) fn cancel(&self, io: &dyn Io, bit: u32) {
        self.assert_no_member_waits();
        self.request_with_new(bit, bit);
        self.wait(io);
        self.state.lock().requests &= !bit;
        self.resume_panic();
    }

    /// Returns the panic that nobody has asked for, and notes that nobody will ask for one any more. So no panic is left to
    /// be dropped with the last reference, wherever that may happen.
    pub(crate) fn close(&self) -> Option<Box<dyn Any + Send>> {
        let mut state = self.state.lock();
        state.closed = true;
        state.panic.take()
    }

    /// Returns the value of a scope's body once no member is left, or else resumes the panic of the body or of a member; if
    /// there are both, the member's is dropped.
    pub(crate) fn or_panic<T>(&self, outcome: thread::Result<T>) -> T {
        let own = self.close();
        match (outcome, own) {
            (Ok(value), None) => value,
            (Ok(value), Some(panic)) => {
                // Before the unwinding, in which its destructor must not panic.
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
            // The caller is told of it now, so the group can be used again.
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

    /// Takes the panic of a member without a handle. It makes the group fail, unless the group contains panics.
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
        // In the same critical section: the caller that takes the panic makes the group usable again, and it has to stay so.
        let body = if contained.is_none() { self.fail_locked(&mut state) } else { None };
        drop(state);
        body.into_iter().for_each(Unparker::unpark);
        if let Some(report) = contained {
            let text = surplus.as_deref().map_or("", panic_text);
            tell(report.as_ref(), &format!("{} has panicked, and its group goes on: {text}", who()));
        }
        // Outside of the lock: its destructor is the program's. It runs in the task that has panicked, or in the context
        // that drops the task's handle.
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
