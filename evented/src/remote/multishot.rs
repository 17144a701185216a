//! Multishot operations: operations that complete more than once.
//!
//! An ordinary operation lives in the frame of the caller that waits for it. A multishot operation outlasts the calls
//! that ask for its completions, so it lives on the heap. It is shared by the handle from which completions are taken,
//! on whatever thread, and by the table of its executor, until its last completion was reaped.
//!
//! ```text
//!  arm ──▶ in the table ──completion──▶ queued ──poll──▶ the caller
//!               │  ▲          │MORE
//!     cancel ───┘  └──────────┘
//!               last completion ──▶ out of the table
//! ```
//!
//! A send without a copy is *over* with its first completion, which has its result. It stays in the table, which keeps its
//! bytes alive, until the kernel says in a second completion that it no longer reads them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::Poll;

use io_uring::opcode;
use io_uring::squeue::Entry;
use iolite_io::backend::{Lock, Unparker};
use iolite_io::net::PooledBuffer;
use iolite_io::operation::{Descriptor, SharedBytes};

use super::user_data::Tag;

/// The number of accepted connections that may wait to be taken before the kernel is asked to stop. The kernel may add
/// as many more as it accepts in one go, which the completion queue limits.
const CONNECTIONS_AHEAD: usize = 64;

/// The kind of an operation, with the memory that it needs.
#[derive(Debug)]
pub(crate) enum Kind {
    Accept,
    /// Receives into the buffers of a group.
    Receive {
        group: u16,
    },
    /// Sends these bytes, which the operation keeps alive.
    Send(SharedBytes),
}

/// The content of a completion.
#[derive(Debug)]
pub(crate) enum Completion {
    Connection(Descriptor),
    Bytes(PooledBuffer),
    /// The peer has finished.
    End,
    /// The result of a send, as the kernel gives it.
    Sent(i32),
}

/// A multishot operation.
#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct MultishotOp {
    kind: Kind,
    /// The operation's index in its executor's table. Only the executor uses it.
    index: AtomicUsize,
    state: Lock<State>,
}

#[derive(Debug, Default)]
struct State {
    completions: VecDeque<io::Result<Completion>>,
    /// The context that waits for the next completion.
    waiter: Option<Unparker>,
    /// True when no more completions come.
    over: bool,
    /// True if the operation was asked to end because too many completions wait here.
    stopping: bool,
    /// True if the operation was asked to end.
    ending: bool,
    /// True if nobody takes completions any more.
    abandoned: bool,
}

impl MultishotOp {
    /// Makes an operation that is about to be queued.
    pub(crate) fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, index: AtomicUsize::new(0), state: Lock::default() })
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the memory that has to stay for as long as the kernel has the operation.
    pub(crate) fn into_kind(self) -> Kind {
        self.kind
    }

    /// Returns the next completion, or `None` if the operation is over and all completions were taken. While more may
    /// come, the next one wakes `waiter`.
    pub(crate) fn poll(&self, waiter: Unparker) -> Poll<Option<io::Result<Completion>>> {
        let mut state = self.state();
        let completion = state.completions.pop_front();
        if completion.is_none() && !state.over {
            state.waiter = Some(waiter);
            return Poll::Pending;
        }
        Poll::Ready(completion)
    }

    /// Returns true if the operation is over.
    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Returns true if the operation is over; if not, the next completion wakes `waiter`.
    pub(crate) fn is_over_or_wakes(&self, waiter: Unparker) -> bool {
        let mut state = self.state();
        state.waiter = (!state.over).then_some(waiter);
        state.over
    }

    /// Returns true if the operation was asked to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.state().ending
    }

    /// Stops completions from waking anybody.
    pub(crate) fn forget_waiter(&self) {
        self.state().waiter = None;
    }

    /// Takes the completions that have arrived.
    pub(crate) fn take_all(&self) -> VecDeque<io::Result<Completion>> {
        mem::take(&mut self.state().completions)
    }

    /// Drops the completions that have arrived and those that arrive from now on.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.waiter = None;
        let dropped = mem::take(&mut state.completions);
        drop(state);
        drop(dropped);
    }

    /// Returns the entry that ends the operation, unless it is over.
    ///
    /// The kernel handles entries in the order in which they were queued. So the entry finds its operation or none, and
    /// never a later operation at the same place.
    pub(crate) fn cancellation(&self) -> Option<Entry> {
        let mut state = self.state();
        state.ending = true;
        let user_data = ptr::from_ref(self) as u64 | Tag::MultishotCancellation as u64;
        (!state.over).then(|| opcode::AsyncCancel::new(self.user_data()).build().user_data(user_data))
    }

    /// Stores a completion. Returns true if too many wait, but only the first time.
    pub(crate) fn push(&self, completion: io::Result<Completion>, over: bool) -> bool {
        let mut state = self.state();
        state.over = over;
        let unwanted = if state.abandoned {
            Some(completion)
        } else {
            state.completions.push_back(completion);
            None
        };
        let crowded = matches!(self.kind, Kind::Accept) && state.completions.len() >= CONNECTIONS_AHEAD;
        let stop = crowded && !mem::replace(&mut state.stopping, crowded);
        let waiter = state.waiter.take();
        drop(state);
        drop(unwanted);
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
        stop
    }

    /// Returns the user data of the operation's completions.
    pub(crate) fn user_data(&self) -> u64 {
        ptr::from_ref(self) as u64 | Tag::Multishot as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// The multishot operations of one executor whose last completion was not reaped yet.
#[derive(Debug, Default)]
pub(crate) struct Table(RefCell<Vec<Arc<MultishotOp>>>);

impl Table {
    pub(crate) fn add(&self, operation: Arc<MultishotOp>) {
        let mut table = self.0.borrow_mut();
        operation.index.store(table.len(), Ordering::Relaxed);
        table.push(operation);
    }

    pub(crate) fn remove(&self, operation: &MultishotOp) -> Arc<MultishotOp> {
        let mut table = self.0.borrow_mut();
        let index = operation.index.load(Ordering::Relaxed);
        let removed = table.swap_remove(index);
        if let Some(moved) = table.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        removed
    }

    /// Returns the operation at that address, if it is still here.
    pub(crate) fn find(&self, pointer: u64) -> Option<Arc<MultishotOp>> {
        self.0.borrow().iter().find(|operation| Arc::as_ptr(operation) as u64 == pointer).cloned()
    }

    /// Returns the operations that are not over.
    pub(crate) fn unfinished(&self) -> Vec<Arc<MultishotOp>> {
        self.0.borrow().iter().filter(|operation| !operation.is_over()).cloned().collect()
    }

    /// Leaks the remaining operations at the end of the executor. Their bytes are never freed, because the kernel may
    /// still read them, for as long as a peer does not receive them.
    pub(crate) fn leak(&self) {
        mem::forget(self.0.take());
    }
}
