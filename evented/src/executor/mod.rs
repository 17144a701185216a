//! Executors: one thread each, which runs fibers and waits in its ring.
//!
//! A turn of the loop takes what other threads left, runs fibers and starts tasks up to a budget,
//! and then enters the kernel once: that submits what the fibers queued and, if nothing is ready,
//! waits for completions, the next timer or a wake-up. Completions are reaped in one go and only
//! make fibers ready; what waits for them runs in the next turn. So a fiber that yields all the time
//! starves neither I/O nor timers, and completions are told in the order in which they arrived.
#![allow(unsafe_code)]

pub(crate) mod foreign;
pub(crate) mod remote;
pub(crate) mod timers;

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use iolite_io::Instant;
use iolite_io::backend::{Park, WakeBlock, monotonic_now};

use crate::fiber::{Fiber, FiberRef, Pause, overflow};
use crate::ring::{Features, Ring, Wait};
use crate::shared::{Shared, Unstarted};
use foreign::Message;
use remote::Remote;
use timers::Timers;

/// How often fibers are resumed in one turn, at least: all that were ready at its beginning, or
/// that many. A look at the ring costs as much as a few resumptions, so not after each.
const RESUMES_PER_TURN: usize = 64;

/// How many idle fibers keep their stacks warm; more are given back when the executor is idle.
const IDLE_FIBERS_MAX: usize = 1024;

/// One executor. Belongs to its thread.
pub(crate) struct Executor {
    index: usize,
    shared: Arc<Shared>,
    remote: &'static Remote,
    ring: Ring,
    /// Fibers that can run, first come first served.
    ready: RefCell<VecDeque<FiberRef>>,
    timers: Timers<FiberRef>,
    /// Every fiber that has a task; `Fiber::index` says where. Boxed: queues and blocks point at them.
    #[allow(clippy::vec_box)]
    live: RefCell<Vec<Box<Fiber>>>,
    /// Fibers without a task, the warmest last.
    #[allow(clippy::vec_box)]
    idle: RefCell<Vec<Box<Fiber>>>,
    park: Rc<dyn Park>,
    /// Entries whose completions have not been reaped, the read of the wake-up event excepted.
    in_flight: Cell<usize>,
    event: EventRead,
    shutdown: Cell<Shutdown>,
}

/// The read that waits for a wake-up.
#[derive(Default)]
struct EventRead {
    armed: Cell<bool>,
    /// Written by the kernel while armed.
    count: UnsafeCell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    No,
    /// The tasks have been torn down; at this instant those that are left are named.
    Since(Instant),
    Reported,
}

thread_local! {
    static CURRENT: Cell<*const Executor> = const { Cell::new(ptr::null()) };
}

/// What a completion's user data points to, in its lowest bits; the rest is the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Tag {
    /// An operation of a fiber: an [`OpSlot`].
    Operation = 0,
    /// The cancellation of one: the same slot.
    Cancellation = 1,
    /// A [`Message`].
    Foreign = 2,
    /// The executor's own: the wake-up event, or something nobody waits for.
    Own = 3,
}

const TAG_MASK: u64 = 7;
const EVENT: u64 = 8 | Tag::Own as u64;
const NOBODY: u64 = Tag::Own as u64;

/// Where an operation of a fiber leaves its result; lives on the fiber's stack until both its
/// completion and that of its cancellation, if there is one, were reaped.
#[repr(align(8))]
pub(crate) struct OpSlot {
    fiber: FiberRef,
    result: Cell<Option<i32>>,
    cancellation_pending: Cell<bool>,
}

impl OpSlot {
    /// The result, once nothing in the kernel refers to the operation any more.
    pub(crate) fn result(&self) -> Option<i32> {
        if self.cancellation_pending.get() { None } else { self.result.get() }
    }

    /// Whether the operation itself has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.result.get().is_some()
    }

    fn user_data(&self, tag: Tag) -> u64 {
        ptr::from_ref(self) as u64 | tag as u64
    }
}

impl Executor {
    /// Makes executor number `index`, on the thread that will run it.
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> io::Result<(Self, Features)> {
        overflow::prepare_thread();
        let (ring, features) = Ring::new()?;
        let remote = shared.remote(index);
        let executor = Self {
            index,
            shared,
            remote,
            ring,
            ready: RefCell::default(),
            timers: Timers::default(),
            live: RefCell::default(),
            idle: RefCell::default(),
            park: Rc::new(FiberPark),
            in_flight: Cell::new(0),
            event: EventRead::default(),
            shutdown: Cell::new(Shutdown::No),
        };
        Ok((executor, features))
    }

    /// Runs fibers until the runtime has shut down, then gives everything back.
    pub(crate) fn run(self) {
        let outer = CURRENT.replace(&self);
        while self.turn() {}
        self.end();
        CURRENT.set(outer);
        self.remote.give_back();
    }

    /// Calls `f` with the executor of the calling thread, if it is one's.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Executor) -> R) -> Option<R> {
        let executor = current();
        // SAFETY: `run` puts itself here for as long as it runs, and everything that calls this
        // runs within it.
        (!executor.is_null()).then(|| f(unsafe { &*executor }))
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn belongs_to(&self, shared: &Shared) -> bool {
        ptr::eq(&*self.shared, shared)
    }

    pub(crate) fn remote(&self) -> &'static Remote {
        self.remote
    }

    /// Runs `main` on a fiber of this executor with a stack of its own size.
    pub(crate) fn assign_main(&self, main: Unstarted, stack_bytes: usize) -> io::Result<()> {
        self.assign(self.new_fiber(stack_bytes)?, main);
        Ok(())
    }

    /// Queues an operation of the calling fiber.
    ///
    /// # Safety
    ///
    /// The slot, and what the entry points to, stay in place until `slot.result()` is there.
    pub(crate) unsafe fn submit(&self, slot: &OpSlot, entry: Entry) {
        slot.result.set(None);
        // SAFETY: the caller's promise.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Operation))) };
    }

    /// Makes the slot of an operation of the calling fiber.
    pub(crate) fn slot(block: &WakeBlock) -> OpSlot {
        OpSlot { fiber: FiberRef::of_block(block), result: Cell::new(None), cancellation_pending: Cell::new(false) }
    }

    /// Queues the cancellation of a submitted operation. Its completion is waited for too: the user
    /// data names a place on a stack, where another operation could be by the time the kernel
    /// looks.
    ///
    /// # Safety
    ///
    /// As [`submit`](Self::submit).
    pub(crate) unsafe fn submit_cancellation(&self, slot: &OpSlot) {
        slot.cancellation_pending.set(true);
        let entry = opcode::AsyncCancel::new(slot.user_data(Tag::Operation)).build();
        // SAFETY: it points to nothing but the slot, as user data.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Cancellation))) };
    }

    /// Makes the fiber of a woken block run.
    pub(crate) fn make_ready_block(&self, block: &WakeBlock) {
        if block.owner() != 0 {
            // SAFETY: a block's owner is a fiber of this executor, live or idle, or 0.
            self.make_ready(unsafe { FiberRef::of_block(block).get() });
        }
    }

    fn make_ready(&self, fiber: &Fiber) {
        if fiber.parked.replace(false) {
            self.queue(fiber);
        }
    }

    fn queue(&self, fiber: &Fiber) {
        if !fiber.queued.replace(true) {
            self.ready.borrow_mut().push_back(FiberRef::new(fiber));
        }
    }

    /// # Safety
    ///
    /// What the entry points to stays valid until its completion was reaped.
    unsafe fn push(&self, entry: Entry) {
        self.in_flight.set(self.in_flight.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { self.ring.push(&entry) };
    }

    /// One turn; `false` when the runtime has shut down.
    fn turn(&self) -> bool {
        self.remote.drain_woken(|block| self.make_ready_block(block));
        self.remote.drain_messages(|message| {
            // SAFETY: the sender waits for the completion.
            unsafe { self.push(message.entry()) };
        });
        self.run_fibers();
        if self.shared.is_closing() && self.shut_down() {
            return false;
        }
        self.arm_event();
        let wait = self.wait();
        self.ring.turn(wait);
        if wait != Wait::No {
            self.remote.end_sleep();
        }
        self.ring.reap(|user_data, result| self.complete(user_data, result));
        self.fire_timers();
        true
    }

    /// Runs fibers and starts tasks, in turn, up to the budget.
    fn run_fibers(&self) {
        let budget = self.ready.borrow().len().max(RESUMES_PER_TURN);
        self.start_task();
        for _ in 0..budget {
            let next = self.ready.borrow_mut().pop_front();
            let next = next.or_else(|| {
                self.start_task();
                self.ready.borrow_mut().pop_front()
            });
            let Some(fiber) = next else { break };
            // SAFETY: queued fibers are live; only this loop lets one end.
            self.run_fiber(unsafe { fiber.get() });
        }
    }

    fn run_fiber(&self, fiber: &Fiber) {
        fiber.queued.set(false);
        match fiber.resume() {
            Pause::Yield => self.queue(fiber),
            // Only now its context is saved: a wake before this left a token.
            Pause::Park if fiber.block().begin_park() => fiber.parked.set(true),
            Pause::Park => self.queue(fiber),
            Pause::Idle => self.retire(fiber),
        }
    }

    /// Puts a fiber whose task has ended into the pool.
    fn retire(&self, fiber: &Fiber) {
        let index = fiber.index.get();
        let mut live = self.live.borrow_mut();
        let fiber = live.swap_remove(index);
        if let Some(moved) = live.get(index) {
            moved.index.set(index);
        }
        self.idle.borrow_mut().push(fiber);
    }

    fn assign(&self, fiber: Box<Fiber>, unstarted: Unstarted) {
        if self.shared.is_closing() {
            unstarted.start.task().tear_down();
        }
        fiber.assign(unstarted);
        let mut live = self.live.borrow_mut();
        fiber.index.set(live.len());
        self.queue(&fiber);
        live.push(fiber);
    }

    /// Starts a task that waits here or, when there is nothing else to do, with another executor.
    fn start_task(&self) {
        let steal = self.ready.borrow().is_empty();
        let Some(unstarted) = self.shared.next_unstarted(self.index, steal) else { return };
        let warm = self.idle.borrow_mut().pop();
        let fiber = warm.map_or_else(|| self.new_fiber(self.shared.options().stack_size), Ok);
        match fiber {
            Ok(fiber) => self.assign(fiber, unstarted),
            Err(error) => {
                // Its turn comes when another task has ended and left its stack.
                self.shared.report_once(&format!("no memory for the stack of a fiber, a task waits: {error}"));
                self.shared.put_back(self.index, unstarted);
            }
        }
    }

    fn new_fiber(&self, stack_bytes: usize) -> io::Result<Box<Fiber>> {
        Fiber::with_stack_size(stack_bytes, self.remote.take_block(), self.park.clone())
    }

    /// What the next turn of the ring may wait for.
    fn wait(&self) -> Wait {
        if !self.ready.borrow().is_empty() || self.ring.has_collected() || self.shared.has_unstarted() {
            return Wait::No;
        }
        self.trim();
        let report_at = match self.shutdown.get() {
            Shutdown::Since(instant) => Some(instant),
            Shutdown::No | Shutdown::Reported => None,
        };
        let deadline = [self.timers.next(), report_at].into_iter().flatten().min();
        let nanos = deadline.map(|deadline| deadline.saturating_duration_since(monotonic_now()).as_nanos());
        if nanos == Some(0) || !self.remote.begin_sleep() {
            return Wait::No;
        }
        // Once more, after the announcement: whoever pushed a task before it did not wake us.
        if self.shared.has_unstarted() || self.shared.is_closing() && !self.may_sleep_closing() {
            self.remote.end_sleep();
            return Wait::No;
        }
        nanos.map_or(Wait::Forever, |nanos| Wait::Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn fire_timers(&self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = monotonic_now();
        while let Some(fiber) = self.timers.pop_passed(now) {
            // SAFETY: a fiber with an armed timer is live.
            self.make_ready(unsafe { fiber.get() });
        }
    }

    fn complete(&self, user_data: u64, result: i32) {
        let pointer = user_data & !TAG_MASK;
        match user_data & TAG_MASK {
            tag if tag == Tag::Foreign as u64 => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the message's one completion; it is there until this call.
                unsafe { &*(pointer as *const Message) }.complete(result);
            }
            _ if user_data == EVENT => self.event.armed.set(false),
            tag if tag == Tag::Own as u64 => self.in_flight.set(self.in_flight.get() - 1),
            tag => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the slot waits for this completion.
                let slot = unsafe { &*(pointer as *const OpSlot) };
                if tag == Tag::Cancellation as u64 {
                    slot.cancellation_pending.set(false);
                } else {
                    slot.result.set(Some(result));
                }
                if slot.result().is_some() {
                    // SAFETY: its fiber is live: it waits for this.
                    self.make_ready(unsafe { slot.fiber.get() });
                }
            }
        }
    }

    /// Keeps a read of the wake-up event in flight.
    fn arm_event(&self) {
        if self.event.armed.replace(true) {
            return;
        }
        let fd = types::Fd(self.remote.event().as_raw_fd());
        let entry = opcode::Read::new(fd, self.event.count.get().cast(), size_of::<u64>() as u32).build();
        // SAFETY: the buffer is a field of the executor, which ends only when the read has.
        unsafe { self.ring.push(&entry.user_data(EVENT)) };
    }

    /// Gives cold stacks back when there is nothing to do.
    fn trim(&self) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() > IDLE_FIBERS_MAX {
            let surplus = idle.len() - IDLE_FIBERS_MAX;
            let cold: Vec<_> = idle.drain(..surplus).collect();
            drop(idle);
            cold.into_iter().for_each(|fiber| self.discard(fiber));
        }
    }

    fn discard(&self, fiber: Box<Fiber>) {
        let block = fiber.block();
        // SAFETY: the block comes from this executor's remote, which made it.
        unsafe { block.set_owner(0) };
        while block.is_queued() {
            // A waker is between its decision and its push; the block is its own until then.
            self.remote.drain_woken(|block| self.make_ready_block(block));
            std::hint::spin_loop();
        }
        fiber.exit();
        self.remote.give_block(block);
    }

    /// What shutting down needs in each turn; `true` when all is done.
    fn shut_down(&self) -> bool {
        match self.shutdown.get() {
            Shutdown::No => {
                self.shutdown.set(Shutdown::Since(monotonic_now() + self.shared.options().grace));
                let tasks: Vec<_> = self.live.borrow().iter().filter_map(|fiber| fiber.task()).collect();
                tasks.iter().for_each(|task| task.tear_down());
            }
            Shutdown::Since(instant) if instant <= monotonic_now() => {
                self.shutdown.set(Shutdown::Reported);
                self.shared.report_stuck(self.live.borrow().iter().filter_map(|fiber| fiber.task()));
            }
            Shutdown::Since(_) | Shutdown::Reported => {}
        }
        if !self.shared.is_closed() {
            return false;
        }
        if self.in_flight.get() > 0 {
            self.cancel_all();
        }
        self.shared.has_no_foreign() && self.in_flight.get() == 0
    }

    /// Whether nothing has changed since `shut_down` looked.
    fn may_sleep_closing(&self) -> bool {
        let told = self.shutdown.get() != Shutdown::No;
        let ended = self.shared.is_closed() && self.shared.has_no_foreign() && self.in_flight.get() == 0;
        told && !ended
    }

    /// Cancels every operation in flight: those of threads that called a runtime which ends.
    fn cancel_all(&self) {
        let all = types::CancelBuilder::any();
        let entry = opcode::AsyncCancel2::new(all).build().user_data(NOBODY);
        // SAFETY: it points to nothing.
        unsafe { self.push(entry) };
        self.ring.turn(Wait::No);
        self.ring.reap(|user_data, result| self.complete(user_data, result));
    }

    /// Waits for the last completions and gives the fibers back.
    fn end(&self) {
        while self.event.armed.get() || self.in_flight.get() > 0 {
            // The event's read ends by being served.
            self.remote.ring_event();
            self.ring.turn(Wait::Forever);
            self.ring.reap(|user_data, result| self.complete(user_data, result));
        }
        let idle = self.idle.take();
        idle.into_iter().for_each(|fiber| self.discard(fiber));
        debug_assert!(self.live.borrow().is_empty());
        self.shared.add_enters(self.ring.enters());
    }
}

/// Never inlined, so that no compiler keeps the address of a thread-local over a suspension.
#[inline(never)]
fn current() -> *const Executor {
    CURRENT.get()
}

/// Parks fibers.
#[derive(Debug)]
struct FiberPark;

impl Park for FiberPark {
    fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>) {
        if block.is_notified() {
            block.end_park();
            return;
        }
        // SAFETY: the calling fiber owns the block and is live.
        let fiber = unsafe { FiberRef::of_block(block).get() };
        Executor::with_current(|executor| {
            if let Some(deadline) = deadline {
                executor.timers.arm(deadline, FiberRef::new(fiber));
            }
            fiber.suspend(Pause::Park);
            if deadline.is_some() {
                executor.timers.disarm(FiberRef::new(fiber));
            }
        });
        block.end_park();
    }

    fn yield_now(&self) {
        iolite_io::backend::current(|context| {
            // SAFETY: as in `park`.
            unsafe { FiberRef::of_block(context.block()).get() }.suspend(Pause::Yield);
        });
    }

    fn is_thread(&self) -> bool {
        false
    }
}
