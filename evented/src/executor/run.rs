//! The life of an executor: making it, the loop of its turns, and its end.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use iolite_fibers::StackClass;
use iolite_io::Instant;
use iolite_io::backend::{AbortOnUnwind, SpinWait};

use super::idle_fibers::IdleFibers;
use super::leftover::drop_quietly;
use super::park::FiberPark;
use super::slots::EventRead;
use super::state::{Executor, Shutdown, set_current};
use super::timers::Timers;
use super::turn_time::TurnTime;
use crate::remote::{InFlight, Message, Table};
use crate::ring::{BufferRings, Features, RegisteredPools, Ring, Wait};
use crate::run_queue::{self, RunQueue};
use crate::runtime::Runtime;

impl Executor {
    /// Makes the executor with number `index`, on the thread that will run it.
    pub(crate) fn new(index: usize, runtime: Arc<Runtime>) -> io::Result<(Self, Features)> {
        iolite_fibers::prepare_thread();
        let inbox = runtime.executors().inbox(index);
        let (ring, features) = Ring::new(Some(inbox))?;
        let class_default = StackClass::of(runtime.options().stack_size);
        let executor = Self {
            index,
            runtime,
            inbox,
            ring,
            ready: RunQueue::new(inbox.address()),
            overdue: Cell::new(None),
            unstarted: RefCell::default(),
            handed_over: Cell::new(Instant::ZERO),
            turn_time: TurnTime::default(),
            turn_begins: Cell::new(true),
            timers: Timers::default(),
            live: RefCell::default(),
            idle: IdleFibers::default(),
            class_default,
            park: Rc::new(FiberPark),
            in_flight: Cell::new(0),
            received: Cell::new(0),
            foreign: InFlight::default(),
            multishot: Table::default(),
            buffers: BufferRings::default(),
            registered: RegisteredPools::default(),
            kept_workers: Cell::new(0),
            event: EventRead::default(),
            patience: SpinWait::default(),
            shutdown: Cell::new(Shutdown::No),
            trim_at: Cell::new(None),
            starved: Cell::new(None),
        };
        executor.runtime.executors().executor_begins();
        Ok((executor, features))
    }

    /// Runs fibers until the runtime has shut down, then frees everything.
    ///
    /// A panic in here ends the process: other threads, the kernel, and tasks of a group in the frame of the caller of
    /// `run` rely on the fibers of this executor.
    pub(crate) fn run(self) {
        let bomb = AbortOnUnwind;
        // SAFETY: both stay in this frame until the previous ones are set again, below; a panic in between ends the
        // process.
        let outer = unsafe { (run_queue::set_current(&self.ready), set_current(&self)) };
        while self.turn() {}
        self.end();
        // SAFETY: these were current before `run`, and their frames are still on the stack.
        unsafe {
            run_queue::set_current(outer.0);
            set_current(outer.1);
        }
        self.runtime.executors().executor_ends();
        let runtime = self.runtime.clone();
        drop(self);
        mem::forget(bomb);
        // The last owner of the runtime drops the values that the program has given it. Nothing else is left to run on
        // this thread.
        drop_quietly(runtime);
    }

    /// Runs one turn. Returns false if the runtime has shut down.
    fn turn(&self) -> bool {
        self.inbox.drain_woken(|block| _ = self.make_ready_block(block));
        self.inbox.drain_messages(|message| self.perform_message(message));
        self.ring.queue_urgent();
        self.return_wanted_buffers();
        if let Some(fiber) = self.overdue.take() {
            // SAFETY: the fiber is live, because it was not resumed since.
            self.queue(unsafe { fiber.get() });
        }
        self.run_fibers();
        if self.runtime.is_closing() && self.shut_down() {
            return false;
        }
        let wait = self.wait();
        self.grant_workers();
        self.ring.turn(wait);
        if wait != Wait::No && self.inbox.end_sleep() {
            self.patience.woken();
        }
        self.ring.reap(|user_data, result, flags| self.complete(user_data, result, flags));
        self.fire_timers();
        true
    }

    /// Performs an operation of a context that is not a fiber of this executor.
    pub(super) fn perform_message(&self, message: &Message) {
        message.take(self.index);
        self.foreign.add(message);
        // SAFETY: the sender waits for the completion.
        unsafe { self.push(message.entry()) };
    }

    /// Takes buffers back from the kernel that it has not filled, if somebody waits for one.
    fn return_wanted_buffers(&self) {
        if !self.inbox.take_call_in() || !self.buffers.withdraw(&self.ring) {
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

    /// Raises the kernel's limit of threads by one for each operation that keeps a thread busy. Such operations wait for
    /// other programs, and file operations must not queue behind them.
    fn grant_workers(&self) {
        let kept = self.inbox.kept_workers();
        if self.kept_workers.replace(kept) != kept {
            self.ring.set_kept_workers(kept);
        }
    }
}
