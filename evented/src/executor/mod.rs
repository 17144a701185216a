//! Executors: one thread each, which runs fibers and waits in its ring.
//!
//! A turn of the loop takes what other threads left, runs fibers and starts tasks up to a budget of
//! resumptions and of time, and then enters the kernel once: that submits what the fibers queued and, if nothing is ready,
//! waits for completions, the next timer or a wake-up. Completions are reaped in one go and only
//! make fibers ready; what waits for them runs in the next turn. So a fiber that yields all the time
//! starves neither I/O nor timers, and completions are told in the order in which they arrived.
#![allow(unsafe_code)]

mod completion;
pub(crate) mod foreign;
mod idle;
mod leftover;
mod messages;
mod ready;
pub(crate) mod remote;
mod shutdown;
mod sleep;
pub(crate) mod standing;
pub(crate) mod timers;
mod turn;

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::Instant;
use iolite_io::backend::{Context, Park, PoolMemory, SpinWait, Ticket, UnstartedQueue, WakeBlock, monotonic_now};
use iolite_io::net::BufferPool;
use slab::Slab;

use crate::abort::AbortOnUnwind;
use crate::fiber::stack::{FiberStack, SizeClass};
use crate::fiber::{Fiber, FiberRef, OwnedFiber, Pause, overflow};
use crate::placement::Own;
use crate::ring::{BufferRings, Features, RegisteredPools, Ring, Wait};
use crate::shared::{Shared, Unstarted};
use completion::EventRead;
pub(crate) use completion::OpSlot;
use foreign::{InFlight, Message};
use idle::IdleFibers;
use leftover::drop_quietly;
use ready::Ready;
use remote::Remote;
use shutdown::Shutdown;
use timers::Timers;
use turn::Turn;

/// How often fibers are resumed in one turn, unless its time is over: as often as fibers were ready at its beginning,
/// or that often. A look at the ring costs as much as a few resumptions, so not after each.
const RESUMES_PER_TURN: usize = 64;

/// How many tasks are started after as many resumptions: a task that has not started waits no longer than a fiber that is
/// ready.
const STARTS: usize = 8;

/// As many fibers as stay in a core's own caches between their turns: each touches some 2 KiB, on pages of its own.
const WARM_FIBERS: usize = 200;

/// How much later than its deadline a timer may wake an executor that sleeps, so that timers near each
/// other cost one wake-up. As much as Linux allows itself for a thread that sleeps.
const TIMER_SLACK: Duration = Duration::from_micros(50);

/// With more fibers than these, what is at hand must not overtake what was waited for.
const CROWD: usize = 128;

/// How many bytes fibers receive by calls in a row while others could run: what takes about as long as half a turn.
const BYTES_IN_A_ROW: usize = 512 << 10;

/// What a call costs in itself, in bytes.
const BYTES_PER_CALL: usize = 4 << 10;

/// How often an executor hands a task that it was about to begin to one that is idle, at most.
const HANDED_OVER_EVERY: Duration = Duration::from_micros(100);

/// How long stacks that nobody uses are kept warm beyond that.
const TRIM_AFTER: Duration = Duration::from_secs(1);

/// When to try again after there was no memory for a stack.
const STACK_RETRY: Duration = Duration::from_millis(10);

/// One executor. Belongs to its thread.
pub(crate) struct Executor {
    index: usize,
    shared: Arc<Shared>,
    remote: &'static Remote,
    ring: Ring,
    ready: Ready,
    /// The fiber with whose turn the executor's was over, and which can go on; comes behind those who were served since.
    overdue: Cell<Option<FiberRef>>,
    /// Tasks that its fibers have started, where it is the only executor: nobody could steal them.
    unstarted: RefCell<UnstartedQueue<Unstarted>>,
    /// When it last handed a task that it was about to begin to another executor.
    handed_over: Cell<Instant>,
    turn: Turn,
    /// No task was started in this turn.
    turn_begins: Cell<bool>,
    timers: Timers<FiberRef>,
    /// Every fiber that has a task; `Fiber::index` says where.
    live: RefCell<Slab<OwnedFiber>>,
    idle: IdleFibers,
    /// The size of the stack of a task that asks for none.
    class_default: SizeClass,
    park: Rc<dyn Park>,
    /// Entries whose completions have not been reaped, the read of the wake-up event excepted.
    in_flight: Cell<usize>,
    /// Bytes that fibers have received by calls since one of them queued an operation.
    received: Cell<usize>,
    /// Those of other contexts among them.
    foreign: InFlight,
    standing: standing::Table,
    buffers: BufferRings,
    registered: RegisteredPools,
    /// Threads that the kernel may have beyond the usual.
    kept_workers: Cell<u32>,
    event: EventRead,
    patience: SpinWait,
    shutdown: Cell<Shutdown>,
    /// When the idle fibers that are too many are given up.
    trim_at: Cell<Option<Instant>>,
    /// There was no memory for the stack of a fiber; at this instant it is tried again.
    starved: Cell<Option<Instant>>,
}

thread_local! {
    static CURRENT: Cell<*const Executor> = const { Cell::new(ptr::null()) };
}

impl Executor {
    /// Makes executor number `index`, on the thread that will run it.
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> io::Result<(Self, Features)> {
        overflow::prepare_thread();
        let remote = shared.remote(index);
        let (ring, features) = Ring::new(Some(remote))?;
        let class_default = SizeClass::asked_for(shared.options().stack_size);
        let executor = Self {
            index,
            shared,
            remote,
            ring,
            ready: Ready::default(),
            overdue: Cell::new(None),
            unstarted: RefCell::default(),
            handed_over: Cell::new(Instant::ZERO),
            turn: Turn::default(),
            turn_begins: Cell::new(true),
            timers: Timers::default(),
            live: RefCell::default(),
            idle: IdleFibers::default(),
            class_default,
            park: Rc::new(FiberPark),
            in_flight: Cell::new(0),
            received: Cell::new(0),
            foreign: InFlight::default(),
            standing: standing::Table::default(),
            buffers: BufferRings::default(),
            registered: RegisteredPools::default(),
            kept_workers: Cell::new(0),
            event: EventRead::default(),
            patience: SpinWait::default(),
            shutdown: Cell::new(Shutdown::No),
            trim_at: Cell::new(None),
            starved: Cell::new(None),
        };
        executor.shared.executor_begins();
        Ok((executor, features))
    }

    /// Runs fibers until the runtime has shut down, then gives everything back.
    ///
    /// A panic in here ends the process: other threads, the kernel and the tasks of a group in the
    /// frame of whoever called `run` count on the fibers of this executor.
    pub(crate) fn run(self) {
        let bomb = AbortOnUnwind;
        let outer = CURRENT.replace(&self);
        while self.turn() {}
        self.end();
        CURRENT.set(outer);
        self.shared.executor_ends();
        let shared = self.shared.clone();
        drop(self);
        mem::forget(bomb);
        // Its last owner drops what the program has given it. Nothing else is left to run on this thread.
        drop_quietly(shared);
    }

    /// Calls `f` with the executor of the calling thread, if it is one's.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Executor) -> R) -> Option<R> {
        let executor = current();
        // SAFETY: `run` puts itself here for as long as it runs, and everything that calls this
        // runs within it.
        (!executor.is_null()).then(|| f(unsafe { &*executor }))
    }

    /// Whether the calling thread is an executor of `shared`.
    #[inline]
    pub(crate) fn is_of(shared: &Shared) -> bool {
        Self::with_current(|executor| executor.belongs_to(shared)) == Some(true)
    }

    /// Calls `f` with the executor of the calling fiber, if `context` is a fiber of `shared`.
    pub(crate) fn with_current_of<R>(shared: &Shared, context: &Context, f: impl FnOnce(&Executor) -> R) -> Option<R> {
        Self::with_current(|executor| {
            (executor.belongs_to(shared) && executor.block_of(context).is_some()).then(|| f(executor))
        })
        .flatten()
    }

    /// The block of `context`, if that is a fiber of this executor.
    pub(crate) fn block_of(&self, context: &Context) -> Option<&'static WakeBlock> {
        context.block_of(self.remote).filter(|block| block.owner() != 0)
    }

    /// Whether there are so many fibers that they get in each other's way.
    pub(crate) fn is_crowded(&self) -> bool {
        self.live.borrow().len() > CROWD
    }

    /// Whether the fiber that runs is the only one that could: a call that does not wait is the shorter way for it then,
    /// where for many the ring is, which takes all of theirs at once.
    pub(crate) fn is_alone(&self) -> bool {
        self.ready.is_empty()
            && self.overdue.get().is_none()
            && !self.ring.has_queued()
            && !self.remote.has_woken()
            && !self.seems_to_have_unstarted()
    }

    /// Whether the fiber that runs may receive `bytes` by a call in place of an operation, which counts them.
    ///
    /// A fiber that is alone always may. One of several may receive some in a row: it drains a stream without an operation
    /// and two switches for each piece, and gives way with the first operation that it queues. In a crowd nobody may, so
    /// that what is at hand does not overtake what was waited for.
    pub(crate) fn may_receive(&self, bytes: usize) -> bool {
        let received = self.received.get();
        let may = received < BYTES_IN_A_ROW && !self.is_crowded() || self.is_alone();
        if may {
            self.received.set(received.saturating_add(bytes.max(BYTES_PER_CALL)));
        }
        may
    }

    /// The group of buffers for receiving into `pool`, to be armed with at once; `None` when there is
    /// none to be had.
    pub(crate) fn acquire_buffers(&self, pool: &BufferPool) -> Option<u16> {
        let (remote, most) = (self.remote, pool.count() / self.shared.options().executors);
        self.buffers.acquire(&self.ring, pool, most, move || remote.call_in())
    }

    /// Whether the kernel completes operations inside of the executor's calls alone, so that others can end those that
    /// complete more than once (Linux 6.1): see [`Passage`](crate::ring::Passage).
    pub(crate) fn completes_inside_only(&self) -> bool {
        self.shared.rings_defer()
    }

    /// The slot under which the ring knows the memory of a pool; `None` when there is none to be had.
    pub(crate) fn registered(&self, memory: &Arc<PoolMemory>) -> Option<u16> {
        self.registered.slot(&self.ring, memory)
    }

    /// This executor as one of its fibers starts a task.
    pub(crate) fn own(&self) -> Own {
        Own { index: self.index, ready: self.ready.len(), live: self.live.borrow().len() }
    }

    pub(crate) fn belongs_to(&self, shared: &Shared) -> bool {
        ptr::eq(&*self.shared, shared)
    }

    /// Whether `block` is that of a fiber of this executor.
    pub(crate) fn owns(&self, block: &WakeBlock) -> bool {
        block.owner() != 0 && block.is_woken_by(self.remote)
    }

    pub(crate) fn remote(&self) -> &'static Remote {
        self.remote
    }

    /// Makes the fiber on which the main task will run, with a stack of its own size.
    pub(crate) fn prepare_main(&self) -> io::Result<()> {
        self.idle.put(self.new_fiber(self.class_of_main())?);
        Ok(())
    }

    /// Gives the main task to the fiber that `prepare_main` made.
    pub(crate) fn assign_main(&self, main: Unstarted) {
        self.assign(self.idle.take(self.class_of_main()).expect("prepared"), main);
    }

    fn class_of_main(&self) -> SizeClass {
        SizeClass::asked_for(self.shared.options().main_stack_size)
    }

    /// Makes the fiber of a woken block run, if it is parked; else `false`.
    pub(crate) fn make_ready_block(&self, block: &WakeBlock) -> bool {
        // SAFETY: its owner is a fiber of this executor, live or idle.
        self.owns(block) && self.make_ready(unsafe { FiberRef::of_block(block).get() })
    }

    /// Keeps a task that one of its fibers has started.
    pub(crate) fn push_unstarted(&self, unstarted: Unstarted) {
        let mut queue = self.unstarted.borrow_mut();
        unstarted.offer(queue.next_ticket());
        queue.push(unstarted);
    }

    /// Begins the task that waits under `ticket` on the calling fiber, which joins it.
    pub(crate) fn try_run_inline(&self, ticket: Ticket) {
        let own = self.unstarted.borrow_mut().take(ticket);
        if let Some(unstarted) = own.or_else(|| self.shared.unstarted().take(self.index, ticket)) {
            self.tear_down_if_closing(&unstarted);
            unstarted.run(&self.shared);
        }
    }

    /// Tasks that start after the others were torn down are, too.
    fn tear_down_if_closing(&self, unstarted: &Unstarted) {
        if self.shared.is_closing() {
            unstarted.start.task().tear_down();
        }
    }

    /// Runs a task to its end; on the fiber that was given it.
    pub(crate) fn run_task(unstarted: Unstarted) {
        Self::with_current(|executor| unstarted.run(&executor.shared));
    }

    fn make_ready(&self, fiber: &Fiber) -> bool {
        let parked = fiber.parked.replace(false);
        if parked {
            self.queue(fiber);
        }
        parked
    }

    fn queue(&self, fiber: &Fiber) {
        // SAFETY: this executor's, and live: only the loop below lets a fiber end, after it popped it.
        unsafe { self.ready.push(fiber) };
    }

    /// Performs an operation of a context that is no fiber of this executor.
    fn perform_message(&self, message: &Message) {
        message.take(self.remote);
        self.foreign.add(message);
        // SAFETY: the sender waits for the completion.
        unsafe { self.push(message.entry()) };
    }

    /// One turn; `false` when the runtime has shut down.
    fn turn(&self) -> bool {
        self.remote.drain_woken(|block| _ = self.make_ready_block(block));
        self.remote.drain_messages(|message| self.perform_message(message));
        self.ring.queue_urgent();
        self.return_wanted_buffers();
        if let Some(fiber) = self.overdue.take() {
            // SAFETY: it is live: it was not resumed since.
            self.queue(unsafe { fiber.get() });
        }
        self.run_fibers();
        if self.shared.is_closing() && self.shut_down() {
            return false;
        }
        let wait = self.wait();
        self.grant_workers();
        self.ring.turn(wait);
        if wait != Wait::No && self.remote.end_sleep() {
            self.patience.woken();
        }
        self.ring.reap(|user_data, result, flags| self.complete(user_data, result, flags));
        self.fire_timers();
        true
    }

    /// Gives buffers back that the kernel could fill, where somebody waits for one.
    fn return_wanted_buffers(&self) {
        if !self.remote.take_call_in() || !self.buffers.withdraw(&self.ring) {
            return;
        }
        loop {
            self.ring.reap(|user_data, result, flags| self.complete(user_data, result, flags));
            if !self.ring.has_overflown() {
                break;
            }
            self.ring.turn(Wait::No);
        }
        self.buffers.empty();
    }

    /// Lets the kernel have a thread for each operation that keeps one: they wait for other programs, and files for none
    /// of them.
    fn grant_workers(&self) {
        let kept = self.remote.kept_workers();
        if self.kept_workers.replace(kept) != kept {
            self.ring.set_kept_workers(kept);
        }
    }

    /// Runs fibers and starts tasks, in turn, up to the budget.
    fn run_fibers(&self) {
        let budget = self.ready.len().max(RESUMES_PER_TURN);
        let cold = self.live.borrow().len() > WARM_FIBERS;
        self.turn_begins.set(true);
        self.turn.begin(self.has_others_to_serve(), monotonic_now);
        self.tell_load();
        self.start_task();
        for resumed in 0..budget {
            if resumed % STARTS == STARTS - 1 {
                self.start_tasks();
            }
            let next = self.ready.pop().or_else(|| {
                self.start_task();
                self.ready.pop()
            });
            let Some(fiber) = next else { break };
            if cold && let Some(next) = self.ready.first() {
                // SAFETY: queued fibers are live; only this loop lets one end.
                unsafe { next.get() }.prefetch();
            }
            // SAFETY: queued fibers are live; only this loop lets one end.
            if self.run_fiber(unsafe { fiber.get() }) {
                break;
            }
        }
    }

    /// Starts some of the tasks that wait here.
    fn start_tasks(&self) {
        for _ in 0..STARTS {
            if !self.seems_to_have_unstarted() || self.starved.get().is_some() {
                return;
            }
            self.start_task();
        }
    }

    /// A hint, without a lock.
    #[inline]
    fn seems_to_have_unstarted(&self) -> bool {
        !self.unstarted.borrow().is_empty() || self.shared.unstarted().seems_to_have_next(self.index)
    }

    /// Whether there is something to look after beside the fibers that are ready: timers, completions that may come, tasks
    /// that have not started, what other threads left.
    fn has_others_to_serve(&self) -> bool {
        self.has_events() || self.seems_to_have_unstarted() || self.remote.has_left()
    }

    /// Most of it, and as cheap as it has to be after each resumption.
    #[inline]
    fn has_events(&self) -> bool {
        // Without jumps: most of the time it is none of them.
        (self.in_flight.get() > 0) | !self.timers.is_empty() | self.remote.has_woken()
    }

    /// Whether the turn is over after this resumption: by its time or, where there was nothing to look after, as soon as
    /// something comes up.
    #[inline]
    fn is_turn_over(&self) -> bool {
        if self.turn.serves() {
            self.turn.is_look_due() && self.turn.is_over(monotonic_now())
        } else {
            self.has_events() || self.turn.is_look_due() && self.has_others_to_serve()
        }
    }

    /// Whether the running fiber should let others run, because the turn is over.
    fn has_run_long(&self) -> bool {
        let has_others = self.has_others_to_serve();
        if !has_others && self.ready.is_empty() {
            return false;
        }
        let is_over = has_others && !self.turn.serves() || self.turn.is_over(monotonic_now());
        if is_over {
            self.turn.look_next();
        }
        is_over
    }

    /// Runs a fiber until it pauses; whether the time of the turn is over then.
    fn run_fiber(&self, fiber: &Fiber) -> bool {
        let pause = fiber.resume();
        let is_over = self.is_turn_over();
        match pause {
            // It may be what took so long: those who are looked after now come first.
            Pause::Yield if is_over => self.overdue.set(Some(FiberRef::new(fiber))),
            Pause::Yield => self.queue(fiber),
            // Nobody else ran on this thread since it looked for its token, and wakes of other threads
            // arrive between fibers.
            Pause::Park => fiber.parked.set(true),
            Pause::Idle => self.retire(fiber),
        }
        is_over
    }

    /// Puts a fiber whose task has ended into the pool.
    fn retire(&self, fiber: &Fiber) {
        self.shared.forget(self.index, fiber.number.get());
        let fiber = self.live.borrow_mut().remove(fiber.index.get());
        self.idle.put(fiber);
        // Its stack may be what a task waits for.
        self.starved.set(None);
        self.tell_load();
    }

    fn assign(&self, fiber: OwnedFiber, unstarted: Unstarted) {
        self.tear_down_if_closing(&unstarted);
        fiber.number.set(self.shared.register(self.index, unstarted.start.task()));
        fiber.assign(unstarted);
        let mut live = self.live.borrow_mut();
        let place = live.vacant_entry();
        fiber.index.set(place.key());
        self.queue(&fiber);
        place.insert(fiber);
        drop(live);
        self.tell_load();
    }

    /// Starts a task that waits here or, when there is nothing else to do, with another executor.
    fn start_task(&self) {
        if self.starved.get().is_some_and(|retry| monotonic_now() < retry) {
            return;
        }
        self.starved.set(None);
        let steal = self.ready.is_empty();
        let Some(unstarted) = self.next_unstarted(steal) else { return };
        let Err(unstarted) = self.hand_over(unstarted) else { return };
        let class = unstarted.start.options().stack_size.map_or(self.class_default, SizeClass::asked_for);
        let fiber = self.idle.take(class).map_or_else(|| self.new_fiber(class), Ok);
        match fiber {
            Ok(fiber) => self.assign(fiber, unstarted),
            Err(error) => {
                // Its turn comes when another task has ended and left its stack, or there is memory.
                self.starved.set(Some(monotonic_now() + STACK_RETRY));
                self.shared.report_once(&format!("no memory for the stack of a fiber, a task waits: {error}"));
                self.shared.put_back(self.index, unstarted);
            }
        }
    }

    /// Hands a task to an executor that is idle: it may compute for long, and the fibers that wait here would be late. Not
    /// one that was handed over before, nor many within a short time: to wake somebody takes longer than most tasks.
    fn hand_over(&self, unstarted: Unstarted) -> Result<(), Unstarted> {
        let may_be_handed = self.shared.options().executors > 1
            && !self.live.borrow().is_empty()
            && unstarted.may_be_handed_over()
            && self.shared.unstarted().idle(Some(self.own())).is_some();
        if !may_be_handed {
            return Err(unstarted);
        }
        let now = monotonic_now();
        if now < self.handed_over.get() + HANDED_OVER_EVERY {
            return Err(unstarted);
        }
        self.shared.hand_over(self.own(), unstarted).inspect(|()| self.handed_over.set(now))
    }

    /// The next task to start. Those of others first, each turn: its own come as fast as it runs.
    fn next_unstarted(&self, steal: bool) -> Option<Unstarted> {
        let own = || self.unstarted.borrow_mut().pop();
        let shared = || self.shared.unstarted().next(self.index, steal);
        if self.turn_begins.replace(false) { shared().or_else(own) } else { own().or_else(shared) }
    }

    fn has_unstarted(&self) -> bool {
        !self.unstarted.borrow().is_empty() || self.shared.unstarted().has_next(self.index)
    }

    fn new_fiber(&self, class: SizeClass) -> io::Result<OwnedFiber> {
        // The stack first: a block that was taken for nothing would be lost.
        let stack = FiberStack::take(class)?;
        Ok(OwnedFiber::new(stack, self.remote.take_block(), self.park.clone()))
    }

    /// Whether a task could be started now.
    fn can_start(&self) -> bool {
        self.starved.get().is_none() && self.has_unstarted()
    }

    /// Lets the others know how much there is to do here.
    fn tell_load(&self) {
        self.shared.unstarted().tell(self.own());
    }

    /// What the next turn of the ring may wait for.
    fn wait(&self) -> Wait {
        if !self.ready.is_empty() || self.overdue.get().is_some() || self.ring.has_collected() || self.can_start() {
            return Wait::No;
        }
        self.tell_load();
        self.registered.release_unused(&self.ring);
        if self.buffers.release_unused(&self.ring) {
            // Somebody may have waited for one of them.
            return Wait::No;
        }
        let trim_at = self.trim();
        let report_at = match self.shutdown.get() {
            Shutdown::Since(instant) => Some(instant),
            Shutdown::No | Shutdown::Reported | Shutdown::Over => None,
        };
        let retry_at = self.starved.get().filter(|_| self.has_unstarted());
        let timer_at = self.timers.next().map(|deadline| deadline + TIMER_SLACK);
        let deadline = [timer_at, report_at, retry_at, trim_at].into_iter().flatten().min();
        let nanos = deadline.map(|deadline| deadline.saturating_duration_since(monotonic_now()).as_nanos());
        if nanos == Some(0) || self.wait_patiently() {
            return Wait::No;
        }
        self.arm_event();
        // Making room for entries may have collected completions.
        if self.ring.has_collected() || !self.remote.begin_sleep() {
            return Wait::No;
        }
        // Once more, after the announcement: whoever left something elsewhere before it did not wake us.
        if self.shared.take_messages(self.index, |message| self.perform_message(message))
            || self.can_start()
            || self.shared.is_closing() && !self.may_sleep_closing()
        {
            self.remote.end_sleep();
            return Wait::No;
        }
        nanos.map_or(Wait::Forever, |nanos| Wait::Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Waits a moment for what other threads may leave; whether they did. Completions do not count: that
    /// they are waited for costs no more in `enter`.
    fn wait_patiently(&self) -> bool {
        if !self.patience.pays() {
            return false;
        }
        self.ring.flush();
        self.patience.wait(|| self.remote.has_left())
    }

    fn fire_timers(&self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = monotonic_now();
        while let Some(fiber) = self.timers.pop_passed(now) {
            // SAFETY: it is live: it disarms its timer before it leaves the park in which it armed it.
            self.make_ready(unsafe { fiber.get() });
        }
    }

    /// Gives cold stacks back, some time after there was nothing to do with them; when to look again.
    fn trim(&self) -> Option<Instant> {
        if !self.idle.has_surplus() {
            self.trim_at.set(None);
            return None;
        }
        let now = monotonic_now();
        let trim_at = self.trim_at.get().unwrap_or(now + TRIM_AFTER);
        if now < trim_at {
            self.trim_at.set(Some(trim_at));
            return Some(trim_at);
        }
        self.trim_at.set(None);
        self.discard(self.idle.take_surplus());
        None
    }

    fn discard(&self, fibers: impl IntoIterator<Item = OwnedFiber>) {
        let stacks = fibers.into_iter().filter_map(|fiber| {
            let block = fiber.block();
            // SAFETY: the block comes from this executor's remote, which made it.
            unsafe { block.set_owner(0) };
            // No waker comes here from now on.
            block.end_park();
            while block.is_queued() {
                // A waker is between its decision and its push; the block is its own until then.
                self.remote.drain_woken(|block| _ = self.make_ready_block(block));
                std::hint::spin_loop();
            }
            let stack = fiber.exit();
            self.remote.give_block(block);
            stack
        });
        // SAFETY: `exit` says that what ran on them has returned.
        unsafe { FiberStack::give_back(stacks.collect()) };
    }
}

/// A fiber stays on its thread, so the address of a thread-local stays what it is over a suspension.
#[inline]
fn current() -> *const Executor {
    CURRENT.get()
}

/// Parks fibers.
#[derive(Debug)]
struct FiberPark;

impl Park for FiberPark {
    fn park(&self, block: &'static WakeBlock, deadline: Option<Instant>) {
        if block.take_token() {
            return;
        }
        let calling = FiberRef::of_block(block);
        // SAFETY: the calling fiber owns the block and is live.
        let fiber = unsafe { calling.get() };
        match deadline {
            None => fiber.suspend(Pause::Park),
            Some(deadline) => {
                Executor::with_current(|executor| {
                    let timer = executor.timers.arm(deadline, calling);
                    fiber.suspend(Pause::Park);
                    executor.timers.disarm(timer);
                });
            }
        }
        block.take_token();
    }

    fn yield_now(&self, block: &'static WakeBlock) {
        // SAFETY: the calling fiber owns the block and is live.
        unsafe { FiberRef::of_block(block).get() }.suspend(Pause::Yield);
    }

    fn has_run_long(&self) -> bool {
        Executor::with_current(Executor::has_run_long) == Some(true)
    }

    fn is_thread(&self) -> bool {
        false
    }

    fn backend_name(&self) -> &'static str {
        "evented"
    }
}
