//! Standing operations: those that complete more than once.
//!
//! An ordinary operation lives in the frame of who waits for it. A standing one outlasts the calls
//! that ask for its answers, so it lives on the heap: shared by whoever takes the answers, on
//! whatever thread, and by the table of its executor, until its last completion was reaped.
//!
//! ```text
//!  arm ──▶ in the table ──completion──▶ answers ──poll──▶ the caller
//!               │  ▲          │MORE
//!     cancel ───┘  └──────────┘
//!               last completion ──▶ out of the table
//! ```
//!
//! A send without a copy is *over* with its first completion, which is its answer; it stays in the
//! table, and its bytes alive, until the kernel says in a second one that it has let them go.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use io_uring::squeue::Entry;
use io_uring::{cqueue, opcode};
use iolite_io::backend::Unparker;
use iolite_io::net::PooledBuffer;
use iolite_io::operation::{Descriptor, SharedBytes};

use super::Executor;
use super::completion::Tag;
use super::remote::Remote;
use crate::ring::{Inside, Pushed};

/// How many accepted connections may wait to be taken before the kernel is asked to stop. What it
/// accepts in one go, and so may add to them, is bounded by the completion queue.
const CONNECTIONS_AHEAD: usize = 64;

/// What an operation is, with what it needs to stay.
#[derive(Debug)]
pub(crate) enum Kind {
    Accept,
    /// Into the buffers of a group.
    Receive {
        group: u16,
    },
    /// The bytes are here to be kept.
    Send(SharedBytes),
}

/// What a completion brings.
#[derive(Debug)]
pub(crate) enum Answer {
    Connection(Descriptor),
    Bytes(PooledBuffer),
    /// The peer has finished.
    End,
    /// The result of a send, as the kernel gives it.
    Sent(i32),
}

#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct Standing {
    kind: Kind,
    /// Of the executor in whose ring it is.
    remote: &'static Remote,
    /// Where it is in its executor's table; the executor's alone.
    index: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<io::Result<Answer>>,
    /// Who waits for the next answer.
    waiter: Option<Unparker>,
    /// No more answers come.
    over: bool,
    /// It was asked to end, because too much waits here.
    stopping: bool,
    /// It was asked to end.
    ending: bool,
    /// Nobody takes answers any more.
    abandoned: bool,
}

impl Standing {
    /// The next answer; nothing when it is over and all have been taken. While there may come one,
    /// `waiter` is woken for it.
    pub(crate) fn poll(&self, waiter: Unparker) -> Poll<Option<io::Result<Answer>>> {
        let mut state = self.state();
        let answer = state.answers.pop_front();
        if answer.is_none() && !state.over {
            state.waiter = Some(waiter);
            return Poll::Pending;
        }
        Poll::Ready(answer)
    }

    /// Whether it is over; if not, `waiter` is woken by what comes.
    pub(crate) fn is_over(&self, waiter: Unparker) -> bool {
        let mut state = self.state();
        state.waiter = (!state.over).then_some(waiter);
        state.over
    }

    /// Wakes nobody any more.
    pub(crate) fn forget_waiter(&self) {
        self.state().waiter = None;
    }

    /// Takes what has arrived.
    pub(crate) fn take_all(&self) -> VecDeque<io::Result<Answer>> {
        mem::take(&mut self.state().answers)
    }

    /// Drops what has arrived, and ends it. It takes nothing that arrives after this has returned.
    ///
    /// On another thread than its executor's, that is waited for, without the executor's fibers: see
    /// [`Passage`](crate::ring::Passage). The wait is one of the thread, so it needs no context that may suspend.
    pub(crate) fn abandon(self: &Arc<Self>) {
        let mut state = self.state();
        state.abandoned = true;
        state.waiter = None;
        let dropped = mem::take(&mut state.answers);
        drop(state);
        drop(dropped);
        if let Some(inside) = self.begin_cancel() {
            self.remote.wait_until_outside(inside);
        }
    }

    /// Asks the kernel to end it, from whatever thread; does not wait.
    pub(crate) fn cancel(self: &Arc<Self>) {
        let _ = self.begin_cancel();
    }

    /// The same; tells the call in which it may take something yet.
    fn begin_cancel(self: &Arc<Self>) -> Option<Inside> {
        if self.state().over || self.with_executor(|executor| executor.cancel_standing(self)).is_some() {
            return None;
        }
        self.remote.cancel(self.clone())
    }

    /// The entry that ends it, unless it is over.
    ///
    /// Entries are looked at in the order in which they were queued, so it finds its operation or none, never a later
    /// one at the same place.
    pub(super) fn cancellation(&self) -> Option<Entry> {
        let mut state = self.state();
        state.ending = true;
        let user_data = ptr::from_ref(self) as u64 | Tag::StandingCancellation as u64;
        (!state.over).then(|| opcode::AsyncCancel::new(self.user_data()).build().user_data(user_data))
    }

    /// Fills up the buffers of its group, if the calling thread is its executor's.
    pub(crate) fn top_up(&self) {
        if let Kind::Receive { group } = self.kind {
            self.with_executor(|executor| executor.buffers.top_up(&executor.ring, group));
        }
    }

    /// Whether the kernel could fill a buffer of its group; asked on its executor's thread.
    pub(crate) fn has_buffers(&self) -> bool {
        match self.kind {
            Kind::Receive { group } => self.with_executor(|executor| executor.buffers.has_buffers(group)) == Some(true),
            Kind::Accept | Kind::Send(_) => false,
        }
    }

    /// Calls `f` with the executor in whose ring it is, on that executor's thread.
    fn with_executor<R>(&self, f: impl FnOnce(&Executor) -> R) -> Option<R> {
        Executor::with_current(|executor| ptr::eq(executor.remote, self.remote).then(|| f(executor))).flatten()
    }

    /// Leaves an answer; says whether too many wait, for the first time.
    fn push(&self, answer: io::Result<Answer>, over: bool) -> bool {
        let mut state = self.state();
        state.over = over;
        let unwanted = if state.abandoned {
            Some(answer)
        } else {
            state.answers.push_back(answer);
            None
        };
        let crowded = matches!(self.kind, Kind::Accept) && state.answers.len() >= CONNECTIONS_AHEAD;
        let stop = crowded && !mem::replace(&mut state.stopping, crowded);
        let waiter = state.waiter.take();
        drop(state);
        drop(unwanted);
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
        stop
    }

    fn user_data(&self) -> u64 {
        ptr::from_ref(self) as u64 | Tag::Standing as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The standing operations of one executor whose last completion has not been reaped.
#[derive(Debug, Default)]
pub(super) struct Table(RefCell<Vec<Arc<Standing>>>);

impl Table {
    fn add(&self, standing: Arc<Standing>) {
        let mut table = self.0.borrow_mut();
        standing.index.store(table.len(), Ordering::Relaxed);
        table.push(standing);
    }

    fn remove(&self, standing: &Standing) -> Arc<Standing> {
        let mut table = self.0.borrow_mut();
        let index = standing.index.load(Ordering::Relaxed);
        let removed = table.swap_remove(index);
        if let Some(moved) = table.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        removed
    }

    /// The one at that address, if it is still there.
    fn find(&self, pointer: u64) -> Option<Arc<Standing>> {
        self.0.borrow().iter().find(|standing| Arc::as_ptr(standing) as u64 == pointer).cloned()
    }

    /// Those that are not over.
    pub(super) fn unfinished(&self) -> Vec<Arc<Standing>> {
        self.0.borrow().iter().filter(|standing| !standing.state().over).cloned().collect()
    }

    /// Gives up what is left at the end of the executor: bytes that the kernel has not let go. They
    /// are never freed, for it may read them for as long as a peer does not.
    pub(super) fn leak(&self) {
        mem::forget(self.0.take());
    }
}

/// The descriptor that an operation which goes on names by its number, lent for the call that armed it.
///
/// Dropped where that call ends, also by unwinding: the kernel has looked the number up then, or does so now.
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
    pub(crate) unsafe fn arm(&self, kind: Kind, entry: Entry) -> (Arc<Standing>, Lent) {
        let standing =
            Arc::new(Standing { kind, remote: self.remote, index: AtomicUsize::new(0), state: Mutex::default() });
        self.standing.add(standing.clone());
        // SAFETY: the entry points into `kind`, as this function's caller says, which is in the table until the last
        // completion was reaped.
        let pushed = unsafe { self.push(entry.user_data(standing.user_data())) };
        (standing, Lent { pushed, _on_its_thread: PhantomData })
    }

    /// Asks the kernel to end an operation, unless it is over.
    pub(super) fn cancel_standing(&self, standing: &Standing) {
        if let Some(entry) = standing.cancellation() {
            // SAFETY: it points to nothing.
            unsafe { self.ring.push(&entry) };
        }
    }

    /// Cancels an operation again that the kernel did not find: it was between two of its states.
    pub(super) fn complete_standing_cancellation(&self, pointer: u64, result: i32) {
        if result == -libc::ENOENT
            && let Some(standing) = self.standing.find(pointer)
            && standing.state().ending
        {
            self.cancel_standing(&standing);
        }
    }

    /// Does what a completion is for.
    ///
    /// # Safety
    ///
    /// `pointer` comes from the user data of a standing operation's completion.
    pub(super) unsafe fn complete_standing(&self, pointer: u64, result: i32, flags: u32) {
        // SAFETY: the pointer was made from a reference to what the table keeps until the last completion was reaped, which
        // is this one or a later one; it is removed below, and used no more.
        let standing = unsafe { &*(pointer as *const Standing) };
        let last = !cqueue::more(flags);
        if !cqueue::notif(flags) {
            let over = last || matches!(standing.kind, Kind::Send(_));
            if over {
                self.in_flight.set(self.in_flight.get() - 1);
            }
            if standing.push(self.answer(standing, result, flags), over) {
                self.cancel_standing(standing);
            }
        }
        if last {
            if let Kind::Receive { group } = standing.kind {
                self.buffers.release(group);
            }
            // Whoever else has it drops it later: a call that has not returned yet.
            if let Some(Standing { kind: Kind::Send(bytes), .. }) = Arc::into_inner(self.standing.remove(standing)) {
                self.drop_on_a_fiber(bytes);
            }
        }
    }

    fn answer(&self, standing: &Standing, result: i32, flags: u32) -> io::Result<Answer> {
        let buffer = match standing.kind {
            Kind::Receive { group } => cqueue::buffer_select(flags).and_then(|id| self.buffers.take(group, id)),
            Kind::Send(_) => return Ok(Answer::Sent(result)),
            Kind::Accept => None,
        };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        Ok(match (&standing.kind, buffer) {
            // SAFETY: a new descriptor that nobody else knows.
            (Kind::Accept, _) => Answer::Connection(unsafe { OwnedFd::from_raw_fd(result) }.into()),
            (_, Some(mut buffer)) if result > 0 => {
                buffer.set_len(result as usize);
                Answer::Bytes(buffer)
            }
            _ => Answer::End,
        })
    }
}
