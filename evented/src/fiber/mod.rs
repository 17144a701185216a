//! Fibers: a stack, a saved context, and the task that runs on it.
//!
//! A fiber belongs to the executor that made it and never leaves that thread. Between tasks it
//! waits in its executor's pool, stack and all: the loop of [`Fiber::main`] runs one task after
//! another, and hands its stack back only after it has returned.
#![allow(unsafe_code)]

pub(crate) mod overflow;
pub(crate) mod stack;

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use iolite_io::backend::{Context, Park, TaskRef, WakeBlock, set_current};

use crate::executor::timers::{Timed, TimerSlot};
use crate::shared::Unstarted;
use stack::FiberStack;

/// Why a fiber gave the thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It waits for a token, a completion or its timer.
    Park,
    /// It lets others run.
    Yield,
    /// Its task has ended.
    Idle,
}

/// What a resumed fiber is to do next, asked when it is between tasks.
pub(crate) enum Work {
    Run(Unstarted),
    /// Return, so that the stack is free.
    Exit,
}

pub(crate) struct Fiber {
    coroutine: RefCell<Option<Coroutine<(), Pause, (), FiberStack>>>,
    /// Set by the fiber itself when it first runs; valid as long as its stack.
    yielder: Cell<*const Yielder<(), Pause>>,
    context: Context,
    work: Cell<Option<Work>>,
    task: RefCell<Option<TaskRef>>,
    /// In the executor's run queue.
    pub(crate) queued: Cell<bool>,
    /// Suspended in a park, and not in the run queue.
    pub(crate) parked: Cell<bool>,
    pub(crate) timer: TimerSlot,
    /// Where it is in the executor's table of live fibers.
    pub(crate) index: Cell<usize>,
}

impl Fiber {
    /// Makes an idle fiber. Boxed, since its context and its block point at it.
    pub(crate) fn new(stack: FiberStack, block: &'static WakeBlock, park: Rc<dyn Park>) -> Box<Self> {
        let fiber = Box::new(Fiber {
            coroutine: RefCell::new(None),
            yielder: Cell::new(ptr::null()),
            context: Context::new(block, park),
            work: Cell::new(None),
            task: RefCell::new(None),
            queued: Cell::new(false),
            parked: Cell::new(false),
            timer: TimerSlot::default(),
            index: Cell::new(usize::MAX),
        });
        let this = FiberRef(ptr::from_ref(&*fiber));
        // SAFETY: the block comes from this executor's remote, which made it.
        unsafe { block.set_owner(this.0 as usize) };
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Pause>, ()| {
            // SAFETY: the box outlives its coroutine, which is one of its fields and returns before
            // it is dropped (`exit`).
            unsafe { &*this.0 }.main(yielder);
        });
        fiber.coroutine.replace(Some(coroutine));
        fiber
    }

    pub(crate) fn block(&self) -> &'static WakeBlock {
        self.context.block()
    }

    /// Gives an idle fiber its next task.
    pub(crate) fn assign(&self, unstarted: Unstarted) {
        self.task.replace(Some(unstarted.start.task()));
        self.work.set(Some(Work::Run(unstarted)));
    }

    /// The task that it runs.
    pub(crate) fn task(&self) -> Option<TaskRef> {
        self.task.borrow().clone()
    }

    /// Calls `f` with the name of the task that it runs. Async-signal-safe.
    fn with_name(&self, f: impl FnOnce(&str)) {
        match self.task.try_borrow().as_deref() {
            Ok(Some(task)) => f(task.name()),
            _ => f("?"),
        }
    }

    /// Runs the fiber until it pauses.
    pub(crate) fn resume(&self) -> Pause {
        let mut coroutine = self.coroutine.borrow_mut();
        let Some(coroutine) = coroutine.as_mut() else { return Pause::Idle };
        overflow::RUNNING.set(self);
        // SAFETY: the context lives in this box, which outlives the resumption; it is put back
        // before anything else of this thread runs.
        let outer = unsafe { set_current(&self.context) };
        let paused = coroutine.resume(());
        // SAFETY: it was current before, and its code goes on now.
        unsafe { set_current(outer) };
        overflow::RUNNING.set(ptr::null());
        match paused {
            CoroutineResult::Yield(pause) => pause,
            CoroutineResult::Return(()) => Pause::Idle,
        }
    }

    /// Gives the thread back until the executor resumes this fiber. On the fiber itself only.
    pub(crate) fn suspend(&self, pause: Pause) {
        // SAFETY: `main` set it, on this stack, which is the one that runs.
        unsafe { &*self.yielder.get() }.suspend(pause);
    }

    /// Lets an idle fiber return; its stack is free then.
    pub(crate) fn exit(self: Box<Self>) -> Option<FiberStack> {
        self.work.set(Some(Work::Exit));
        self.resume();
        let coroutine = self.coroutine.take()?;
        assert!(coroutine.done(), "an idle fiber returns when it is told to");
        Some(coroutine.into_stack())
    }

    /// What runs on the fiber's stack: one task after another.
    fn main(&self, yielder: &Yielder<(), Pause>) {
        self.yielder.set(yielder);
        while let Some(Work::Run(unstarted)) = self.work.take() {
            unstarted.run();
            self.task.replace(None);
            yielder.suspend(Pause::Idle);
        }
    }
}

/// A live fiber, for the queues of its executor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FiberRef(*const Fiber);

impl FiberRef {
    pub(crate) fn new(fiber: &Fiber) -> Self {
        Self(fiber)
    }

    /// The fiber that owns a wake block.
    pub(crate) fn of_block(block: &WakeBlock) -> Self {
        Self(block.owner() as *const Fiber)
    }

    /// # Safety
    ///
    /// On the executor's thread, while the fiber is in its table of live fibers.
    pub(crate) unsafe fn get<'a>(self) -> &'a Fiber {
        // SAFETY: the caller's promise.
        unsafe { &*self.0 }
    }
}

impl Timed for FiberRef {
    fn slot(&self) -> &TimerSlot {
        // SAFETY: a fiber disarms its timer before it leaves the park in which it armed it, so an
        // armed timer's fiber is live; the heap belongs to the executor's thread.
        unsafe { &(*self.0).timer }
    }
}
