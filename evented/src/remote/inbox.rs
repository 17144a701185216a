//! Everything that other threads leave for an executor, and the way they wake it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};

use io_uring::squeue::Entry;
use iolite_io::backend::{Lock, PerProcess, Wake, WakeBlock, WakeStack};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use super::message::Message;
use super::messages::Messages;
use super::multishot::MultishotOp;
use super::sleep::Sleep;
use crate::ring::{Inside, Passage, Urgent};
use crate::run_queue::{self, RunQueue};

/// The operations, wake-ups and requests that other threads leave for an executor, and the way they wake it.
///
/// Inboxes are leaked, and later executors reuse them, as wake blocks are. At worst, a late waker finds the inbox of
/// another executor, which then looks around once for nothing.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The contexts that were woken.
    woken: WakeStack,
    /// Operations of contexts that are not this executor's fibers.
    messages: Messages<Message>,
    /// Multishot operations that are asked to end.
    cancellations: Passage<Arc<MultishotOp>>,
    /// Set if somebody waits for a buffer of a pool of which the executor may hold some.
    called_in: AtomicBool,
    /// The number of operations that occupy a thread of the kernel while they last.
    kept_workers: AtomicU32,
    /// True while the executor waits in its ring, or is about to.
    sleep: Sleep,
    /// Written to in order to wake the executor. There is none while there is no executor.
    event: Lock<Option<OwnedFd>>,
    /// Wake blocks of fibers, for reuse. They always wake this inbox, so they stay with it.
    blocks: Lock<Vec<&'static WakeBlock>>,
}

/// Each process has its own list: if two processes shared an event, the wrong one would read it.
static FREE: PerProcess<Lock<Vec<&'static Inbox>>> = PerProcess::new();

impl Inbox {
    /// Takes a free inbox, or makes one.
    ///
    /// # Errors
    ///
    /// An error if no descriptor is free.
    pub(crate) fn take() -> io::Result<&'static Self> {
        // The event is blocking, because io_uring answers EAGAIN at once for a read of a non-blocking one.
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        if let Some(inbox) = FREE.get().lock().pop() {
            *inbox.event() = Some(event);
            return Ok(inbox);
        }
        Ok(Box::leak(Box::new(Self {
            woken: WakeStack::default(),
            messages: Messages::default(),
            cancellations: Passage::new(),
            called_in: AtomicBool::new(false),
            kept_workers: AtomicU32::new(0),
            sleep: Sleep::default(),
            event: Lock::new(Some(event)),
            blocks: Lock::new(Vec::new()),
        })))
    }

    /// Lets a later executor use this inbox, and closes its descriptor. Nothing may be queued here any more.
    pub(crate) fn give_back(&'static self) {
        drop(self.event().take());
        FREE.get().lock().push(self);
    }

    /// Returns the descriptor number of the event, which is open until the executor has ended.
    pub(crate) fn event_number(&self) -> RawFd {
        self.event().as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn event(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.event.lock()
    }

    pub(crate) fn take_block(&'static self) -> &'static WakeBlock {
        let free = self.blocks.lock().pop();
        free.unwrap_or_else(|| WakeBlock::leak(self))
    }

    /// Takes back a block that no waker holds.
    pub(crate) fn give_block(&self, block: &'static WakeBlock) {
        self.blocks.lock().push(block);
    }

    /// Hands an operation to the executor. Returns true if the executor slept.
    ///
    /// # Safety
    ///
    /// The message stays in place until it has its result.
    pub(crate) unsafe fn send(&self, message: &Message) -> bool {
        // SAFETY: the caller promises that the message stays. It gets its result after `drain_messages` or
        // `take_messages` has given it to an executor. It is sent only once, because this is the only stack that it can
        // be in.
        unsafe { self.messages.push(message) };
        self.wake_executor()
    }

    /// Takes the operations that this inbox's executor, whose number is `executor`, has not reached, for another
    /// executor. Returns true if there were any.
    pub(crate) fn take_messages(&self, executor: usize, mut perform: impl FnMut(&Message)) -> bool {
        // SeqCst, like the check of a sender for a sleeping executor: see `Sleep`.
        if self.messages.is_empty() {
            return false;
        }
        let (mut taken, mut kept) = (false, false);
        self.messages.drain(|message| {
            if message.may_leave(executor) {
                perform(message);
                taken = true;
            } else {
                // SAFETY: the message was in this stack, was taken out of it, and is not performed; it still stays in
                // place.
                unsafe { self.messages.push(message) };
                kept = true;
            }
        });
        if kept {
            // The executor may have gone to sleep in the meantime.
            self.wake_executor();
        }
        taken
    }

    /// Announces that an operation that is about to be handed to the executor occupies a thread of the kernel.
    pub(crate) fn keep_worker(&'static self) -> KeptWorker {
        // Relaxed: a late look only makes the thread late.
        self.kept_workers.fetch_add(1, Ordering::Relaxed);
        KeptWorker(self)
    }

    /// Returns the number of operations that occupy a thread of the kernel.
    pub(crate) fn kept_workers(&self) -> u32 {
        self.kept_workers.load(Ordering::Relaxed)
    }

    /// Lets the executor end a multishot operation. The operation may still take something while the executor is inside
    /// of the returned call.
    pub(crate) fn cancel(&self, operation: Arc<MultishotOp>) -> Option<Inside> {
        let inside = self.cancellations.leave(operation);
        self.wake_executor();
        inside
    }

    /// Blocks the calling thread until an operation that was [canceled](Self::cancel) can take nothing more.
    pub(crate) fn wait_until_outside(&self, inside: Inside) {
        self.cancellations.wait_until_outside(inside);
    }

    /// Asks the executor to give back buffers that others wait for.
    pub(crate) fn call_in(&self) {
        // SeqCst, like everything that is left for the executor: see `Sleep`.
        self.called_in.store(true, Ordering::SeqCst);
        self.wake_executor();
    }

    /// Returns true if the executor was asked for buffers since the last call.
    pub(crate) fn take_call_in(&self) -> bool {
        self.called_in.load(Ordering::Relaxed) && self.called_in.swap(false, Ordering::SeqCst)
    }

    /// Makes the executor look around if it sleeps; returns true if it did. This costs at most one system call per
    /// sleep.
    pub(crate) fn wake_executor(&self) -> bool {
        let asleep = self.sleep.end_for_waker();
        if asleep {
            self.ring_event();
        }
        asleep
    }

    /// Ends the executor's read of the event.
    pub(crate) fn ring_event(&self) {
        if let Some(event) = &*self.event() {
            // This blocks only if the counter is full, which takes 2^64 writes without a read.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// Announces that the executor goes to sleep. Returns false if something was left for it, so that it must not
    /// sleep.
    #[must_use]
    pub(crate) fn begin_sleep(&self) -> bool {
        self.sleep.begin(|| self.has_left())
    }

    /// Returns true if something was left for the executor.
    pub(crate) fn has_left(&self) -> bool {
        !self.woken.is_empty()
            || !self.messages.is_empty()
            || !self.cancellations.is_empty()
            || self.called_in.load(Ordering::SeqCst)
    }

    /// Returns true if another thread has woken a fiber of the executor.
    #[inline]
    pub(crate) fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Takes the announcement back. Returns true if somebody has woken the executor.
    pub(crate) fn end_sleep(&self) -> bool {
        self.sleep.end()
    }

    /// Returns the address by which the run queue of this executor knows the inbox.
    pub(crate) fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    pub(crate) fn drain_woken(&self, ready: impl FnMut(&'static WakeBlock)) {
        self.woken.drain(ready);
    }

    pub(crate) fn drain_messages(&self, submit: impl FnMut(&Message)) {
        self.messages.drain(submit);
    }
}

/// An operation occupies a thread of the kernel until this is dropped.
#[derive(Debug)]
pub(crate) struct KeptWorker(&'static Inbox);

impl Drop for KeptWorker {
    fn drop(&mut self) {
        self.0.kept_workers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Urgent for Inbox {
    fn go_in(&self) {
        self.cancellations.go_in();
    }

    fn come_out(&self) {
        self.cancellations.come_out();
    }

    fn next(&self) -> Option<Entry> {
        std::iter::from_fn(|| self.cancellations.take()).find_map(|operation| operation.cancellation())
    }
}

impl Wake for Inbox {
    fn wake_here(&self, block: &'static WakeBlock) -> bool {
        // SAFETY: this inbox made the block, because blocks ask the inbox that made them; so the block's owner is a
        // fiber of this executor.
        let wake = |queue: &RunQueue| unsafe { queue.make_block_ready(block) };
        run_queue::with_current_of(self.address(), wake) == Some(true)
    }

    fn wake(&self, block: &'static WakeBlock) {
        if run_queue::with_current_of(self.address(), |_| ()).is_some() {
            // The fiber was not parked a moment ago, and has a token now.
            block.woken();
        } else {
            self.woken.push(block);
            self.wake_executor();
        }
    }
}
