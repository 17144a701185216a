//! One entry from its submission to its completion, for whatever context asks.
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
use iolite_io::backend::{Context, PoolMemory, Unparker, WakeBlock, monotonic_now, park};
use iolite_io::{Canceled, Instant, error::ShutDown, operation::SharedBytes};

use super::offload::call_for_files;
use super::typed::{CanceledById, Id, UnderWay};
use crate::abort::AbortOnUnwind;
use crate::executor::{Executor, OpSlot};
use crate::remote::{Completion, Inbox, Kind, Message, Role};
use crate::runtime::Runtime;

/// What an interrupted system call returns within the kernel, to be begun again: `ERESTARTSYS` and its
/// kin. Some operations let it out (seen with splices, up to Linux 6.18).
const RESTARTS: [i32; 4] = [512, 513, 514, 516];

/// How soon an operation that was being executed is canceled again. The interruption that the kernel leaves for
/// its thread is lost when that was about to wait (seen with connections to a full Unix listener, Linux 6.18).
const CANCEL_AGAIN: Duration = Duration::from_millis(1);

/// Performs entries for one context.
pub(super) struct Performer<'a> {
    runtime: &'a Runtime,
    context: &'a Context,
    /// Each operation keeps a thread of the kernel's, and must not take it from others.
    keeps_worker: bool,
    /// The last operation left something in the socket that it received from.
    left_more: Cell<bool>,
}

/// What may end an operation before it has completed.
#[derive(Clone, Copy, Debug)]
enum Until<'a> {
    Completed,
    Canceled,
    /// As `Canceled`, and whoever knows its id.
    CanceledById(&'a UnderWay<'a>),
}

/// What has asked for the end of an operation.
#[derive(Default)]
struct Asked {
    request: Option<Canceled>,
    by_id: bool,
}

/// An operation in some ring, which the calling context waits for.
trait InFlight {
    /// Its result, once it has ended.
    fn result(&self) -> Option<i32>;

    /// Cancels it and waits for the kernel's answer, so that the cancellation cannot find a later operation
    /// at the same place.
    fn cancel(&self) -> i32;
}

impl<'a> Performer<'a> {
    pub(super) fn new(runtime: &'a Runtime, context: &'a Context) -> Self {
        Self { runtime, context, keeps_worker: false, left_more: Cell::new(false) }
    }

    /// The same for what waits on a thread of the kernel's, for as long as it likes.
    pub(super) fn keeping_worker(&self) -> Self {
        Self { keeps_worker: true, ..Self::new(self.runtime, self.context) }
    }

    /// Refuses what needs no ring, once the runtime has ended.
    ///
    /// # Errors
    ///
    /// [`ShutDown`].
    pub(super) fn check_open(&self) -> io::Result<()> {
        if self.runtime.is_closed() { Err(ShutDown.into()) } else { Ok(()) }
    }

    /// Whether it performs for one of many fibers, on a kernel that lets receptions wait for their turn.
    pub(super) fn is_crowded(&self) -> bool {
        // As old as the flag (Linux 5.19).
        Executor::with_current_of(self.runtime, self.context, Executor::is_crowded) == Some(true)
            && self.runtime.supports(opcode::Socket::CODE)
    }

    /// Whether it performs for the only fiber of an executor that could run.
    pub(super) fn is_alone(&self) -> bool {
        Executor::with_current_of(self.runtime, self.context, Executor::is_alone) == Some(true)
    }

    /// Whether it performs for a fiber that may receive `bytes` by a call in place of an operation.
    pub(super) fn may_receive(&self, bytes: usize) -> bool {
        Executor::with_current_of(self.runtime, self.context, |executor| executor.may_receive(bytes)) == Some(true)
    }

    /// Whether the last operation left something in the socket that it received from, as far as the kernel tells.
    pub(super) fn left_more(&self) -> bool {
        self.left_more.get()
    }

    /// The slot under which the ring in which [`run`](Self::run) performs knows `memory`, if any.
    pub(super) fn registered(&self, memory: Option<&Arc<PoolMemory>>) -> Option<u16> {
        let memory = memory?;
        Executor::with_current_of(self.runtime, self.context, |executor| executor.registered(memory)).flatten()
    }

    /// Performs `entry` and waits for its completion; the result is the kernel's, not negative.
    ///
    /// When a request arrives or a timeout passes, the operation is canceled in the kernel, and its
    /// completion awaited all the same: only then the memory it was lent is the caller's again. A
    /// success that came first is reported, and the request stays pending.
    ///
    /// # Errors
    ///
    /// The operation's, with its errno; [`Canceled`]; [`ShutDown`].
    ///
    /// # Safety
    ///
    /// What the entry points to is valid until this returns.
    pub(super) unsafe fn run(&self, entry: &Entry) -> io::Result<u32> {
        // SAFETY: what the entry points to is valid until this returns, as this function's caller says.
        unsafe { self.run_until(entry, Until::Canceled) }
    }

    /// As [`run`](Self::run); and what the kernel does not do for want of a thread, `call` does instead, where there is one.
    ///
    /// # Errors
    ///
    /// As `run`, and those of `call`.
    ///
    /// # Safety
    ///
    /// As `run`.
    pub(super) unsafe fn run_or_call(
        &self,
        entry: &Entry,
        call: impl FnOnce() -> io::Result<u32> + Send,
    ) -> io::Result<u32> {
        // SAFETY: what the entry points to is valid until this returns, as this function's caller says.
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

    /// As [`run`](Self::run); the operation can also be canceled by its id.
    ///
    /// # Errors
    ///
    /// As `run`; [`CanceledById`].
    ///
    /// # Safety
    ///
    /// As `run`.
    pub(super) unsafe fn run_under_id(&self, entry: &Entry, id: &Id) -> io::Result<u32> {
        let under_way = id.begin(self.context.unparker())?;
        // SAFETY: what the entry points to is valid until this returns, as this function's caller says.
        unsafe { self.run_until(entry, Until::CanceledById(&under_way)) }
    }

    /// As [`run`](Self::run), but no request ends it.
    ///
    /// # Safety
    ///
    /// As `run`.
    pub(super) unsafe fn run_to_completion(&self, entry: &Entry) -> io::Result<u32> {
        // SAFETY: what the entry points to is valid until this returns, as this function's caller says.
        unsafe { self.run_until(entry, Until::Completed) }
    }

    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn run_until(&self, entry: &Entry, until: Until<'_>) -> io::Result<u32> {
        loop {
            let here =
                Executor::with_current_of(self.runtime, self.context, |executor| executor.block_of(self.context));
            // SAFETY: the caller keeps what the entry points to until this returns, and each turn of the loop returns
            // only when the entry has completed. The block is the calling fiber's.
            let (result, asked) = unsafe {
                match here.flatten() {
                    Some(block) => self.run_here(block, entry, until),
                    None => self.run_elsewhere(entry, until)?,
                }
            };
            let result = if RESTARTS.contains(&-result) { -libc::EINTR } else { result };
            let wanted = asked.request.is_none() && !asked.by_id && !matches!(until, Until::Completed);
            if wanted && result == -libc::EINTR {
                // Not so a close: the descriptor is gone, and its number may be somebody else's. What is interrupted each
                // time hides no request.
                self.check()?;
                continue;
            }
            return self.outcome(result, asked);
        }
    }

    /// What the kernel's result means to a caller that was perhaps canceled meanwhile.
    fn outcome(&self, result: i32, asked: Asked) -> io::Result<u32> {
        let has_stopped = result == -libc::ECANCELED || result == -libc::EINTR;
        if let Some(canceled) = asked.request {
            if has_stopped {
                return Err(canceled.into());
            }
            self.context.recancel(canceled);
        } else if has_stopped && asked.by_id {
            return Err(CanceledById.into());
        } else if result == -libc::ECANCELED && self.runtime.is_closed() {
            // The runtime canceled what was left of foreign operations at its end.
            return Err(ShutDown.into());
        }
        u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }

    /// A bare cancellation point.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub(super) fn check(&self) -> io::Result<()> {
        Ok(self.context.check(self.runtime)?)
    }

    /// Waits for `duration`, or less.
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

    /// Performs a send whose bytes the kernel may keep; `None` on a context whose own ring cannot
    /// perform it. No bytes are the caller's, so nothing has to end with this call but the answer.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Safety
    ///
    /// The entry points into `bytes`.
    pub(super) unsafe fn run_send(&self, bytes: &SharedBytes, entry: Entry) -> Option<io::Result<u32>> {
        // SAFETY: the entry points into the bytes, as this function's caller says, and they are shared: the clone in the
        // kind keeps them where they are.
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

    /// On a fiber of this runtime: in its executor's own ring.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run); and `block` is that fiber's.
    unsafe fn run_here(&self, block: &WakeBlock, entry: &Entry, until: Until<'_>) -> (i32, Asked) {
        // The kernel writes to this frame.
        let bomb = AbortOnUnwind;
        let slot = OpSlot::new(block);
        // SAFETY: the slot, in this frame, and what the entry points to stay until this function returns, which it does when
        // `wait` has seen the result; an unwinding in between ends the process.
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

    /// On any other context: in the ring of some executor, while this context parks.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn run_elsewhere(&self, entry: &Entry, until: Until<'_>) -> io::Result<(i32, Asked)> {
        let inbox = self.runtime.begin_foreign()?;
        // As in `run_here`.
        let bomb = AbortOnUnwind;
        let _kept = self.keeps_worker.then(|| inbox.keep_worker());
        // Where it was allowed to keep a thread of the kernel's, there it stays.
        let role = if self.keeps_worker { Role::Pinned } else { Role::Operation };
        let message = Message::new(entry.clone(), self.context.unparker(), role);
        // SAFETY: `wait` returns when there is a result, and unwinds past the bomb never.
        unsafe { self.runtime.send(inbox, &message) };
        let outcome = self
            .wait(&Sent { runtime: self.runtime, inbox, message: &message, unparker: self.context.unparker() }, until);
        mem::forget(bomb);
        self.runtime.end_foreign();
        Ok(outcome)
    }

    /// Waits for the end of an operation, canceling it when that is asked for.
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

    /// Whether a request has arrived, the first one.
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

/// Whether an operation that nobody canceled was not performed because the system has no thread left: then the kernel
/// cancels what it would do on one of its own. The errors of requests have no errno.
pub(super) fn lacks_thread(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}

impl InFlight for OpSlot {
    fn result(&self) -> Option<i32> {
        self.result()
    }

    fn cancel(&self) -> i32 {
        // SAFETY: the slot stays until the loop below has seen the answer, and `run_here`, whose slot it is, until it has the
        // result: an unwinding in between ends the process.
        Executor::with_current(|executor| unsafe { executor.submit_cancellation(self) });
        loop {
            if let Some(answer) = self.cancellation() {
                return answer;
            }
            park(None);
        }
    }
}

/// An operation in the ring of an executor whose fiber the caller is not.
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
            // To the same executor, behind the message, so that it finds the operation.
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
            // Each of the two may have been taken by another executor in the meantime: then this one has found nothing.
            let has_met = self.message.result().is_some() || self.message.taken_by() == cancellation.taken_by();
            if answer != -libc::ENOENT || has_met {
                return answer;
            }
        }
    }
}
