//! Performs one entry, from its submission to its completion, for any context.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::mem;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use io_uring::opcode;
use io_uring::squeue::Entry;
use iolite_io::backend::{AbortOnUnwind, Context, PoolMemory, Unparker, WakeBlock, monotonic_now, park};
use iolite_io::{Canceled, Instant, error::ShutDown, operation::SharedBytes};

use super::offload::call_for_files;
use super::typed::{CanceledById, Id, UnderWay};
use crate::executor::{Executor, OpSlot};
use crate::remote::{Completion, Inbox, Kind, Message, Role};
use crate::runtime::Runtime;
use crate::sys;

/// Errors that an interrupted system call returns within the kernel so that it is restarted: `ERESTARTSYS` and similar
/// ones. Some operations return them to the program (seen with splices, up to Linux 6.18).
const RESTARTS: [i32; 4] = [512, 513, 514, 516];

/// The interval after which an operation that was being executed is canceled again. The kernel interrupts the thread
/// that executes it, and the interruption is lost if that thread was about to wait (seen with connections to a full
/// Unix listener, Linux 6.18).
const CANCEL_AGAIN: Duration = Duration::from_millis(1);

/// Performs entries for one context.
pub(super) struct Performer<'a> {
    runtime: &'a Runtime,
    context: &'a Context,
    /// True if each operation keeps a thread of the kernel busy. The kernel is then allowed one more thread for it.
    keeps_worker: bool,
    /// Set if the last operation left bytes in the socket that it received from.
    left_more: Cell<bool>,
}

/// The events that may end an operation before it has completed.
#[derive(Clone, Copy, Debug)]
enum Until<'a> {
    Completed,
    Canceled,
    /// The same as `Canceled`, and also cancellations by its id.
    CanceledById(&'a UnderWay<'a>),
}

/// The events that have asked for the end of an operation.
#[derive(Default)]
struct Asked {
    request: Option<Canceled>,
    by_id: bool,
}

/// An operation in some ring for which the calling context waits.
trait InFlight {
    /// Returns the operation's result once it has ended.
    fn result(&self) -> Option<i32>;

    /// Cancels the operation and waits for the kernel's answer, so that the cancellation cannot find a later operation
    /// at the same place.
    fn cancel(&self) -> i32;
}

impl<'a> Performer<'a> {
    pub(super) fn new(runtime: &'a Runtime, context: &'a Context) -> Self {
        Self { runtime, context, keeps_worker: false, left_more: Cell::new(false) }
    }

    /// Returns a performer for operations that occupy a thread of the kernel, for an unlimited time.
    pub(super) fn keeping_worker(&self) -> Self {
        Self { keeps_worker: true, ..Self::new(self.runtime, self.context) }
    }

    /// Refuses operations that need no ring once the runtime has ended.
    ///
    /// # Errors
    ///
    /// [`ShutDown`].
    pub(super) fn check_open(&self) -> io::Result<()> {
        if self.runtime.is_closed() { Err(ShutDown.into()) } else { Ok(()) }
    }

    /// Returns true if this performs for one of many fibers, on a kernel that can make receives wait for their turn.
    pub(super) fn is_crowded(&self) -> bool {
        // This operation is as old as the flag that is needed (Linux 5.19).
        Executor::with_current_of(self.runtime, self.context, Executor::is_crowded) == Some(true)
            && self.runtime.supports(opcode::Socket::CODE)
    }

    /// Returns true if this performs for the only fiber of its executor that could run.
    pub(super) fn is_alone(&self) -> bool {
        Executor::with_current_of(self.runtime, self.context, Executor::is_alone) == Some(true)
    }

    /// Returns true if this performs for a fiber that may receive `bytes` with a call instead of an operation.
    pub(super) fn may_receive(&self, bytes: usize) -> bool {
        Executor::with_current_of(self.runtime, self.context, |executor| executor.may_receive(bytes)) == Some(true)
    }

    /// Returns true if the last operation left bytes in the socket that it received from, as far as the kernel tells.
    pub(super) fn left_more(&self) -> bool {
        self.left_more.get()
    }

    /// Returns the slot under which the ring that [`run`](Self::run) uses knows `memory`, if there is one.
    pub(super) fn registered(&self, memory: Option<&Arc<PoolMemory>>) -> Option<u16> {
        let memory = memory?;
        Executor::with_current_of(self.runtime, self.context, |executor| executor.registered(memory)).flatten()
    }

    /// Performs `entry` and waits for its completion. The result is the kernel's, and not negative.
    ///
    /// If a request arrives or a timeout passes, this cancels the operation in the kernel and still waits for its
    /// completion: only then does the memory that was lent to the operation belong to the caller again. If the
    /// operation succeeded first, this returns the success, and the request stays pending.
    ///
    /// # Errors
    ///
    /// Those of the operation, with their errno; [`Canceled`]; [`ShutDown`].
    ///
    /// # Safety
    ///
    /// Everything that the entry points to is valid until this returns.
    pub(super) unsafe fn run(&self, entry: &Entry) -> io::Result<u32> {
        // SAFETY: this function's caller promises that everything that the entry points to is valid until this returns.
        unsafe { self.run_until(entry, Until::Canceled) }
    }

    /// Performs `entry` as [`run`](Self::run) does. If the kernel refuses because it has no thread, `call` does the
    /// work instead, on a thread if there is one.
    ///
    /// # Errors
    ///
    /// Those of `run`, and those of `call`.
    ///
    /// # Safety
    ///
    /// The same as for `run`.
    pub(super) unsafe fn run_or_call(
        &self,
        entry: &Entry,
        call: impl FnOnce() -> io::Result<u32> + Send,
    ) -> io::Result<u32> {
        // SAFETY: this function's caller promises that everything that the entry points to is valid until this returns.
        match unsafe { self.run(entry) } {
            Err(error) if lacks_thread(&error) => self.call(call),
            result => result,
        }
    }

    /// Makes a call that waits for nothing but a file system, on a thread if there is one.
    ///
    /// # Errors
    ///
    /// [`Canceled`], and those of `call`.
    pub(super) fn call<T: Send>(&self, call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        call_for_files(self.runtime, self.context, call)
    }

    /// Performs `entry` as [`run`](Self::run) does; the operation can also be canceled by its id.
    ///
    /// # Errors
    ///
    /// Those of `run`, and [`CanceledById`].
    ///
    /// # Safety
    ///
    /// The same as for `run`.
    pub(super) unsafe fn run_under_id(&self, entry: &Entry, id: &Id) -> io::Result<u32> {
        let under_way = id.begin(self.context.unparker())?;
        // SAFETY: this function's caller promises that everything that the entry points to is valid until this returns.
        unsafe { self.run_until(entry, Until::CanceledById(&under_way)) }
    }

    /// Performs `entry` as [`run`](Self::run) does, but no request ends it.
    ///
    /// # Safety
    ///
    /// The same as for `run`.
    pub(super) unsafe fn run_to_completion(&self, entry: &Entry) -> io::Result<u32> {
        // SAFETY: this function's caller promises that everything that the entry points to is valid until this returns.
        unsafe { self.run_until(entry, Until::Completed) }
    }

    /// # Safety
    ///
    /// The same as for [`run`](Self::run).
    unsafe fn run_until(&self, entry: &Entry, until: Until<'_>) -> io::Result<u32> {
        loop {
            let here =
                Executor::with_current_of(self.runtime, self.context, |executor| executor.block_of(self.context));
            // SAFETY: the caller keeps everything that the entry points to until this returns, and each turn of the
            // loop ends only when the entry has completed. The block is the calling fiber's.
            let (result, asked) = unsafe {
                match here.flatten() {
                    Some(block) => self.run_here(block, entry, until),
                    None => self.run_elsewhere(entry, until)?,
                }
            };
            let result = if RESTARTS.contains(&-result) { -sys::EINTR } else { result };
            let wanted = asked.request.is_none() && !asked.by_id && !matches!(until, Until::Completed);
            if wanted && result == -sys::EINTR {
                // A close is not repeated: the descriptor is gone, and its number may belong to another file. An
                // operation that is interrupted each time would hide a request, so that is checked first.
                self.check()?;
                continue;
            }
            return self.outcome(result, asked);
        }
    }

    /// Converts the kernel's result for a caller that may have been canceled in the meantime.
    fn outcome(&self, result: i32, asked: Asked) -> io::Result<u32> {
        let has_stopped = result == -sys::ECANCELED || result == -sys::EINTR;
        if let Some(canceled) = asked.request {
            if has_stopped {
                return Err(canceled.into());
            }
            self.context.recancel(canceled);
        } else if has_stopped && asked.by_id {
            return Err(CanceledById.into());
        } else if result == -sys::ECANCELED && self.runtime.is_closed() {
            // The runtime canceled the remaining operations of other contexts at its end.
            return Err(ShutDown.into());
        }
        u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }

    /// Checks for requests, as a cancellation point without an operation.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub(super) fn check(&self) -> io::Result<()> {
        Ok(self.context.check(self.runtime)?)
    }

    /// Waits for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub(super) fn pause(&self, duration: Duration) -> io::Result<()> {
        self.check()?;
        let then = monotonic_now() + duration;
        park(Some(self.context.deadline().map_or(then, |deadline| deadline.min(then))));
        Ok(())
    }

    /// Performs a send whose bytes the kernel may keep, or returns `None` on a context whose own ring cannot perform
    /// it. The bytes do not belong to the caller, so only the result has to arrive before this call ends.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    ///
    /// # Safety
    ///
    /// The entry points into `bytes`.
    pub(super) unsafe fn run_send(&self, bytes: &SharedBytes, entry: Entry) -> Option<io::Result<u32>> {
        // SAFETY: this function's caller promises that the entry points into the bytes. They are shared: the clone in
        // the kind keeps them in place.
        let arm = |executor: &Executor| unsafe { executor.arm(Kind::Send(bytes.clone()), entry) };
        let (send, _lent) = Executor::with_current_of(self.runtime, self.context, arm)?;
        let mut asked = Asked::default();
        loop {
            match send.poll(self.context.unparker()) {
                Poll::Ready(Some(Ok(Completion::Sent(result)))) => return Some(self.outcome(result, asked)),
                Poll::Ready(_) => unreachable!("a send has one answer, its result"),
                Poll::Pending => {}
            }
            if self.looks_for_request(Until::Canceled, &mut asked) {
                send.cancel();
            }
            park(self.deadline(Until::Canceled, &asked));
        }
    }

    /// Performs the entry on a fiber of this runtime, in its executor's own ring.
    ///
    /// # Safety
    ///
    /// The same as for [`run`](Self::run); and `block` belongs to the calling fiber.
    unsafe fn run_here(&self, block: &WakeBlock, entry: &Entry, until: Until<'_>) -> (i32, Asked) {
        // The kernel writes to this frame, so it must not unwind.
        let bomb = AbortOnUnwind;
        let slot = OpSlot::new(block);
        // SAFETY: the slot, in this frame, and everything that the entry points to stay until this function returns. It
        // returns only after `wait` has seen the result, and an unwinding in between ends the process.
        let submit = |executor: &Executor| unsafe {
            let kept = self.keeps_worker.then(|| executor.inbox().keep_worker());
            executor.submit(&slot, entry.clone());
            kept
        };
        let _kept = Executor::with_current(submit);
        let outcome = self.wait(&slot, until);
        mem::forget(bomb);
        self.left_more.set(slot.left_more());
        outcome
    }

    /// Performs the entry on any other context, in the ring of some executor, while this context parks.
    ///
    /// # Safety
    ///
    /// The same as for [`run`](Self::run).
    unsafe fn run_elsewhere(&self, entry: &Entry, until: Until<'_>) -> io::Result<(i32, Asked)> {
        let inbox = self.runtime.begin_foreign()?;
        // The same as in `run_here`.
        let bomb = AbortOnUnwind;
        let _kept = self.keeps_worker.then(|| inbox.keep_worker());
        // Pinned: only this executor's ring was allowed one more thread of the kernel.
        let role = if self.keeps_worker { Role::Pinned } else { Role::Operation };
        let message = Message::new(entry.clone(), self.context.unparker(), role);
        // SAFETY: `wait` returns only when there is a result, and never unwinds past the bomb.
        unsafe { self.runtime.send(inbox, &message) };
        let outcome = self
            .wait(&Sent { runtime: self.runtime, inbox, message: &message, unparker: self.context.unparker() }, until);
        mem::forget(bomb);
        self.runtime.end_foreign();
        Ok(outcome)
    }

    /// Waits for the end of an operation, and cancels it if that is asked for.
    #[inline]
    fn wait(&self, operation: &impl InFlight, until: Until<'_>) -> (i32, Asked) {
        let mut asked = Asked::default();
        let mut again_at = None;
        let cancel = || {
            let answer = operation.cancel();
            (answer, (answer != 0).then(|| monotonic_now() + CANCEL_AGAIN))
        };
        loop {
            if let Some(result) = operation.result() {
                return (result, asked);
            }
            if self.looks_for_request(until, &mut asked) || again_at.is_some_and(|at| at <= monotonic_now()) {
                (_, again_at) = cancel();
            } else if let Until::CanceledById(under_way) = until
                && let Some(asking) = under_way.asking()
            {
                asked.by_id = true;
                let answer;
                (answer, again_at) = cancel();
                asking.answer(answer);
            } else {
                park([self.deadline(until, &asked), again_at].into_iter().flatten().min());
            }
        }
    }

    /// Returns true if the first request has arrived; it does not check for further ones.
    fn looks_for_request(&self, until: Until<'_>, asked: &mut Asked) -> bool {
        if asked.request.is_some() || matches!(until, Until::Completed) {
            return false;
        }
        asked.request = self.context.check_within_wait(self.runtime).err();
        asked.request.is_some()
    }

    fn deadline(&self, until: Until<'_>, asked: &Asked) -> Option<Instant> {
        if asked.request.is_some() || matches!(until, Until::Completed) { None } else { self.context.deadline() }
    }
}

/// Returns true if the kernel has canceled an operation by itself, as it does if it needs a thread and the system has none
/// left. Errors of requests have no errno, so they are not
/// mistaken for this.
pub(super) fn lacks_thread(error: &io::Error) -> bool {
    error.raw_os_error() == Some(sys::ECANCELED)
}

impl InFlight for OpSlot {
    fn result(&self) -> Option<i32> {
        self.result()
    }

    fn cancel(&self) -> i32 {
        // SAFETY: the slot stays until the loop below has seen the answer. `run_here`, which owns the slot, keeps it
        // until it has the result. An unwinding in between ends the process.
        Executor::with_current(|executor| unsafe { executor.submit_cancellation(self) });
        loop {
            if let Some(answer) = self.cancellation() {
                return answer;
            }
            park(None);
        }
    }
}

/// An operation in the ring of an executor, for a caller that is not a fiber of that executor.
struct Sent<'a> {
    runtime: &'a Runtime,
    inbox: &'static Inbox,
    message: &'a Message,
    unparker: Unparker,
}

impl InFlight for Sent<'_> {
    fn result(&self) -> Option<i32> {
        self.message.result()
    }

    fn cancel(&self) -> i32 {
        loop {
            // The cancellation goes to the same executor, behind the message, so that it finds the operation.
            let taken_by = self.message.taken_by();
            let inbox = taken_by.map_or(self.inbox, |executor| self.runtime.executors().inbox(executor));
            let entry = opcode::AsyncCancel::new(self.message.user_data()).build();
            let role = Role::Cancellation(NonNull::from(self.message));
            let cancellation = Message::new(entry, self.unparker, role);
            // SAFETY: the loop ends when there is an answer, and a panic in it meets the bomb of `run_elsewhere`.
            unsafe { self.runtime.send(inbox, &cancellation) };
            let answer = loop {
                match cancellation.result() {
                    Some(answer) => break answer,
                    None => park(None),
                }
            };
            // Another executor may have taken either of the two in the meantime; then this cancellation has found
            // nothing.
            let has_met = self.message.result().is_some() || self.message.taken_by() == cancellation.taken_by();
            if answer != -sys::ENOENT || has_met {
                return answer;
            }
        }
    }
}
