//! How an executor arms, completes and ends multishot operations, and the handle from which completions are taken.
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

/// A multishot operation that was armed, as the one who takes its completions has it.
#[derive(Debug)]
pub(crate) struct Armed {
    operation: Arc<MultishotOp>,
    /// Of the executor in whose ring it is.
    inbox: &'static Inbox,
}

impl Armed {
    /// The next completion, or `None` when the operation is over and all were taken. While one may come, it wakes
    /// `waiter`.
    pub(crate) fn poll(&self, waiter: Unparker) -> Poll<Option<io::Result<Completion>>> {
        self.operation.poll(waiter)
    }

    /// Lets completions wake nobody.
    pub(crate) fn forget_waiter(&self) {
        self.operation.forget_waiter();
    }

    /// Whether it is over; if not, the next completion wakes `waiter`.
    pub(crate) fn is_over_or_wakes(&self, waiter: Unparker) -> bool {
        self.operation.is_over_or_wakes(waiter)
    }

    /// Takes the completions that have arrived.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = io::Result<Completion>> + use<> {
        self.operation.take_all().into_iter()
    }

    /// Drops what has arrived, and ends the operation. It takes nothing that arrives after this has returned.
    ///
    /// On another thread than its executor's, this waits until the operation takes nothing more, without the executor's
    /// fibers: see [`Passage`](crate::ring::Passage). The wait blocks the thread, so it needs no context that may suspend.
    pub(crate) fn abandon(&self) {
        self.operation.abandon();
        if let Some(inside) = self.begin_cancel() {
            self.inbox.wait_until_outside(inside);
        }
    }

    /// Asks the kernel to end the operation, from whatever thread; does not wait.
    pub(crate) fn cancel(&self) {
        let _ = self.begin_cancel();
    }

    /// Asks the kernel to end the operation, and tells the call in which it may still take something.
    fn begin_cancel(&self) -> Option<Inside> {
        let canceled_here = || self.with_executor(|executor| executor.cancel_multishot(&self.operation)).is_some();
        if self.operation.is_over() || canceled_here() {
            return None;
        }
        self.inbox.cancel(self.operation.clone())
    }

    /// Fills up the buffers of its group, if the calling thread is its executor's.
    pub(crate) fn top_up(&self) {
        if let Kind::Receive { group } = *self.operation.kind() {
            self.with_executor(|executor| executor.buffers.top_up(&executor.ring, group));
        }
    }

    /// Whether the kernel could fill a buffer of its group; asked on its executor's thread.
    pub(crate) fn has_buffers(&self) -> bool {
        match *self.operation.kind() {
            Kind::Receive { group } => self.with_executor(|executor| executor.buffers.has_buffers(group)) == Some(true),
            Kind::Accept | Kind::Send(_) => false,
        }
    }

    /// Calls `f` with the executor in whose ring it is, on that executor's thread.
    fn with_executor<R>(&self, f: impl FnOnce(&Executor) -> R) -> Option<R> {
        Executor::with_current(|executor| ptr::eq(executor.inbox, self.inbox).then(|| f(executor))).flatten()
    }
}

/// The descriptor that an operation which goes on names by its number, lent for the call that armed it.
///
/// It is dropped where that call ends, also by unwinding: the kernel has looked the number up then, or does so now.
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
    /// What the entry points to is in `kind`. A group is one that was just acquired.
    pub(crate) unsafe fn arm(&self, kind: Kind, entry: Entry) -> (Armed, Lent) {
        let operation = MultishotOp::new(kind);
        self.multishot.add(operation.clone());
        // SAFETY: the entry points into `kind`, as this function's caller says, which is in the table until the last
        // completion was reaped.
        let pushed = unsafe { self.push(entry.user_data(operation.user_data())) };
        (Armed { operation, inbox: self.inbox }, Lent { pushed, _on_its_thread: PhantomData })
    }

    /// Asks the kernel to end an operation, unless it is over.
    pub(super) fn cancel_multishot(&self, operation: &MultishotOp) {
        if let Some(entry) = operation.cancellation() {
            // SAFETY: it points to nothing.
            unsafe { self.ring.push(&entry) };
        }
    }

    /// Cancels an operation again that the kernel did not find: it was between two of its states.
    pub(super) fn complete_multishot_cancellation(&self, pointer: u64, result: i32) {
        if result == -Errno::NOENT.raw_os_error()
            && let Some(operation) = self.multishot.find(pointer)
            && operation.is_ending()
        {
            self.cancel_multishot(&operation);
        }
    }

    /// Leaves a completion with its operation, and forgets the operation with its last one.
    ///
    /// # Safety
    ///
    /// `pointer` comes from the user data of a multishot operation's completion.
    pub(super) unsafe fn complete_multishot(&self, pointer: u64, result: i32, flags: u32) {
        // SAFETY: the pointer was made from a reference to what the table keeps until the last completion was reaped, which
        // is this one or a later one; it is removed below, and used no more.
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
            // A call that has not returned yet may have it too, and drops it later.
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
