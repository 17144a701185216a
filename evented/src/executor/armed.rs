//! Arming, completing and ending multishot operations, and the handle from which their completions are taken.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::task::Poll;

use io_uring::cqueue;
use io_uring::squeue::Entry;
use iolite_io::backend::Unparker;
use rustix::io::Errno;

use super::state::Executor;
use crate::remote::{Completion, Inbox, Kind, MultishotOp};
use crate::ring::{Inside, Pushed};

/// An armed multishot operation, for the code that takes its completions.
#[derive(Debug)]
pub(crate) struct Armed {
    operation: Arc<MultishotOp>,
    /// The inbox of the executor that has the operation in its ring.
    inbox: &'static Inbox,
}

impl Armed {
    /// Returns the next completion, or `None` if the operation is over and all completions were taken. While more may
    /// come, the next one wakes `waiter`.
    pub(crate) fn poll(&self, waiter: Unparker) -> Poll<Option<io::Result<Completion>>> {
        self.operation.poll(waiter)
    }

    /// Stops completions from waking anybody.
    pub(crate) fn forget_waiter(&self) {
        self.operation.forget_waiter();
    }

    /// Returns true if the operation is over; if not, the next completion wakes `waiter`.
    pub(crate) fn is_over_or_wakes(&self, waiter: Unparker) -> bool {
        self.operation.is_over_or_wakes(waiter)
    }

    /// Takes the completions that have arrived.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = io::Result<Completion>> + use<> {
        self.operation.take_all().into_iter()
    }

    /// Drops the completions that have arrived, and ends the operation. The operation takes nothing that arrives after
    /// this has returned.
    ///
    /// On a thread other than that of its executor, this waits until the operation takes nothing more. The wait does
    /// not depend on the executor's fibers: see [`Passage`](crate::ring::Passage). It blocks the thread, so it needs no
    /// context that may suspend.
    pub(crate) fn abandon(&self) {
        self.operation.abandon();
        if let Some(inside) = self.begin_cancel() {
            self.inbox.wait_until_outside(inside);
        }
    }

    /// Asks the kernel to end the operation, from any thread. Does not wait.
    pub(crate) fn cancel(&self) {
        let _ = self.begin_cancel();
    }

    /// Asks the kernel to end the operation, and returns the call in which it may still take something.
    fn begin_cancel(&self) -> Option<Inside> {
        let canceled_here = || self.with_executor(|executor| executor.cancel_multishot(&self.operation)).is_some();
        if self.operation.is_over() || canceled_here() {
            return None;
        }
        self.inbox.cancel(self.operation.clone())
    }

    /// Refills the buffers of the operation's group, if the calling thread is its executor's.
    pub(crate) fn top_up(&self) {
        if let Kind::Receive { group } = *self.operation.kind() {
            self.with_executor(|executor| executor.buffers.top_up(&executor.ring, group));
        }
    }

    /// Returns true if the kernel could fill a buffer of the operation's group. To be called on its executor's thread.
    pub(crate) fn has_buffers(&self) -> bool {
        match *self.operation.kind() {
            Kind::Receive { group } => self.with_executor(|executor| executor.buffers.has_buffers(group)) == Some(true),
            Kind::Accept | Kind::Send(_) => false,
        }
    }

    /// Calls `f` with the executor that has the operation in its ring, if the calling thread is that executor's.
    fn with_executor<R>(&self, f: impl FnOnce(&Executor) -> R) -> Option<R> {
        Executor::with_current(|executor| ptr::eq(executor.inbox, self.inbox).then(|| f(executor))).flatten()
    }
}

/// A descriptor whose number a continuing operation names. The call that armed the operation lends it.
///
/// It is dropped when that call ends, also during unwinding: by then the kernel has looked the number up, or does so
/// during the drop.
#[derive(Debug)]
#[must_use = "it is kept until the call that lends the descriptor ends"]
pub(crate) struct Lent {
    pushed: Pushed,
    _on_its_thread: PhantomData<*const ()>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        Executor::with_current(|executor| executor.ring.flush_until(self.pushed));
    }
}

impl Executor {
    /// Queues an operation that completes more than once.
    ///
    /// # Safety
    ///
    /// The entry points only into `kind`. If there is a group, it was just acquired.
    pub(crate) unsafe fn arm(&self, kind: Kind, entry: Entry) -> (Armed, Lent) {
        let operation = MultishotOp::new(kind);
        self.multishot.add(operation.clone());
        // SAFETY: this function's caller promises that the entry points into `kind`, which stays in the table until the
        // last completion was reaped.
        let pushed = unsafe { self.push(entry.user_data(operation.user_data())) };
        (Armed { operation, inbox: self.inbox }, Lent { pushed, _on_its_thread: PhantomData })
    }

    /// Asks the kernel to end an operation, unless it is over.
    pub(super) fn cancel_multishot(&self, operation: &MultishotOp) {
        if let Some(entry) = operation.cancellation() {
            // SAFETY: the entry points to nothing.
            unsafe { self.ring.push(&entry) };
        }
    }

    /// Repeats a cancellation that did not find its operation because the operation was between two states.
    pub(super) fn complete_multishot_cancellation(&self, pointer: u64, result: i32) {
        if result == -Errno::NOENT.raw_os_error()
            && let Some(operation) = self.multishot.find(pointer)
            && operation.is_ending()
        {
            self.cancel_multishot(&operation);
        }
    }

    /// Passes a completion to its operation, and removes the operation from the table after the last one.
    ///
    /// # Safety
    ///
    /// `pointer` comes from the user data of a multishot operation's completion.
    pub(super) unsafe fn complete_multishot(&self, pointer: u64, result: i32, flags: u32) {
        // SAFETY: the pointer was made from a reference to an operation that the table keeps until the last completion
        // was reaped, which is this one or a later one. The operation is removed below, and the pointer is not used
        // after that.
        let operation = unsafe { &*(pointer as *const MultishotOp) };
        let last = !cqueue::more(flags);
        if !cqueue::notif(flags) {
            let over = last || matches!(operation.kind(), Kind::Send(_));
            if over {
                self.in_flight.set(self.in_flight.get() - 1);
            }
            if operation.push(self.completion(operation.kind(), result, flags), over) {
                self.cancel_multishot(operation);
            }
        }
        if last {
            if let Kind::Receive { group } = *operation.kind() {
                self.buffers.release(group);
            }
            // A call that has not returned yet may also own the operation, and drops it later.
            let operation = Arc::into_inner(self.multishot.remove(operation));
            if let Some(Kind::Send(bytes)) = operation.map(MultishotOp::into_kind) {
                self.drop_on_a_fiber(bytes);
            }
        }
    }

    fn completion(&self, kind: &Kind, result: i32, flags: u32) -> io::Result<Completion> {
        let buffer = match *kind {
            Kind::Receive { group } => cqueue::buffer_select(flags).and_then(|id| self.buffers.take(group, id)),
            Kind::Send(_) => return Ok(Completion::Sent(result)),
            Kind::Accept => None,
        };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        Ok(match (kind, buffer) {
            // SAFETY: a new descriptor that nobody else knows.
            (Kind::Accept, _) => Completion::Connection(unsafe { OwnedFd::from_raw_fd(result) }.into()),
            (_, Some(mut buffer)) if result > 0 => {
                buffer.set_len(result as usize);
                Completion::Bytes(buffer)
            }
            _ => Completion::End,
        })
    }
}
