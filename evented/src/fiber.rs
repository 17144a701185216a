//! Fibers: a stack, a saved context, and the task that runs on it.
//!
//! A fiber belongs to the executor that made it and never leaves that thread. Between tasks it
//! waits in its executor's pool, stack and all: the loop of [`Fiber::main`] runs one task after
//! another, and hands its stack back only after it has returned.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use iolite_fibers::{Coroutine, LINE_BYTES, Stack, StackClass, prefetch};
use iolite_io::backend::{Context, Park, WakeBlock, set_current};

use crate::admitted::Admitted;

/// How many lines of its stack a fiber touches when it goes on: its innermost frames.
const FRAME_LINES: usize = 12;

/// Why a fiber gave the thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuspendReason {
    /// It waits for a token, a completion or its timer.
    Park,
    /// It lets others run.
    Yield,
    /// Its task has ended.
    Idle,
}

pub(crate) struct Fiber {
    /// The size of its stack.
    pub(crate) class: StackClass,
    coroutine: Coroutine,
    /// Why it suspended last.
    pause: Cell<SuspendReason>,
    block: &'static WakeBlock,
    context: Context,
    /// The task that it is about to run. An idle fiber that is resumed without one returns, so that its stack is free.
    task: Cell<Option<Admitted>>,
    /// Runs a task to its end, on behalf of the runtime.
    run: fn(Admitted),
    /// In the executor's run queue, where `next` comes after it.
    pub(crate) queued: Cell<bool>,
    pub(crate) next: Cell<Option<FiberRef>>,
    /// Suspended in a park, and not in the run queue.
    pub(crate) parked: Cell<bool>,
    /// Where it is in the executor's table of live fibers.
    pub(crate) index: Cell<usize>,
    /// The number under which its runtime knows its task.
    pub(crate) number: Cell<usize>,
}

impl Fiber {
    pub(crate) fn block(&self) -> &'static WakeBlock {
        self.block
    }

    /// Gives an idle fiber its next task.
    pub(crate) fn assign(&self, unstarted: Admitted) {
        self.task.set(Some(unstarted));
    }

    /// Runs the fiber until it pauses.
    #[inline]
    pub(crate) fn resume(&self) -> SuspendReason {
        self.context.begin_turn();
        // SAFETY: the context lives in this box, which outlives the resumption; it is put back
        // before anything else of this thread runs.
        let outer = unsafe { set_current(&self.context) };
        // SAFETY: only the executor resumes, fibers that are suspended, in their boxes, and none that
        // was told to exit; each was made with a pointer to itself.
        unsafe { self.coroutine.resume() };
        // SAFETY: it was current before, and its code goes on now.
        unsafe { set_current(outer) };
        self.pause.get()
    }

    /// Has fetched what the fiber touches first when it is resumed, while another one runs. Not in line: it is for
    /// many fibers, and those that are few take turns faster without.
    #[cold]
    pub(crate) fn prefetch(&self) {
        prefetch(self.coroutine.place(), FRAME_LINES);
        prefetch(ptr::from_ref(self.block()).cast(), 1);
        if let Some(FiberRef(after)) = self.next.get() {
            // It is asked next.
            prefetch(after.as_ptr().cast_const().cast(), size_of::<Self>().div_ceil(LINE_BYTES));
        }
    }

    /// Gives the thread back until the executor resumes this fiber. On the fiber itself only.
    #[inline]
    pub(crate) fn suspend(&self, pause: SuspendReason) {
        self.pause.set(pause);
        // SAFETY: it is this fiber that runs.
        unsafe { self.coroutine.suspend() };
    }

    /// What runs on the fiber's stack: one task after another.
    ///
    /// # Safety
    ///
    /// `fiber` points to the fiber that runs, which stays there until this returns.
    unsafe fn main(fiber: *const ()) {
        // SAFETY: by this function's contract the fiber is there, and stays until this returns.
        let fiber = unsafe { &*fiber.cast::<Self>() };
        while let Some(unstarted) = fiber.task.take() {
            // SAFETY: the runtime knows the task, and so keeps its name, until the executor retires this fiber, after the
            // suspension below.
            unsafe { fiber.coroutine.set_name(Some(unstarted.start.name())) };
            (fiber.run)(unstarted);
            // SAFETY: no name.
            unsafe { fiber.coroutine.set_name(None) };
            fiber.suspend(SuspendReason::Idle);
        }
    }
}

/// A fiber with its stack. It lies at the beginning of that stack: one page for both, and no allocation.
/// Leaked when merely dropped, as its stack is.
pub(crate) struct OwnedFiber(NonNull<Fiber>);

impl Deref for OwnedFiber {
    type Target = Fiber;

    fn deref(&self) -> &Fiber {
        // SAFETY: `Fiber::new` wrote it, and only `exit`, which consumes this, takes it out.
        unsafe { self.0.as_ref() }
    }
}

impl OwnedFiber {
    /// Makes an idle fiber, which runs each of its tasks by `run`.
    pub(crate) fn new(mut stack: Stack, block: &'static WakeBlock, park: Rc<dyn Park>, run: fn(Admitted)) -> Self {
        const { assert!(align_of::<Fiber>() <= LINE_BYTES) };
        let class = stack.class();
        let place = stack.reserve(size_of::<Fiber>()).cast::<Fiber>();
        let coroutine = Coroutine::new(stack, Fiber::main, place.as_ptr().cast());
        let fiber = Fiber {
            class,
            coroutine,
            pause: Cell::new(SuspendReason::Idle),
            block,
            context: Context::new(block, park),
            task: Cell::new(None),
            run,
            queued: Cell::new(false),
            next: Cell::new(None),
            parked: Cell::new(false),
            index: Cell::new(usize::MAX),
            number: Cell::new(usize::MAX),
        };
        // SAFETY: so many bytes, aligned to a cache line, were reserved for it; nothing else is there.
        unsafe { place.write(fiber) };
        // SAFETY: the block comes from this executor's inbox, which made it.
        unsafe { block.set_owner(place.as_ptr() as usize) };
        // For good: see `WakeBlock::take_token`. A waker of the block's last owner may come in between.
        while !block.begin_park() {}
        Self(place)
    }

    /// Lets an idle fiber return; its stack is free then.
    pub(crate) fn exit(self) -> Option<Stack> {
        self.resume();
        // SAFETY: the one place from which it is moved; `self` is not used again, and who holds a pointer
        // to it, its block's owner word above all, has forgotten that.
        let fiber = unsafe { self.0.read() };
        let stack = fiber.coroutine.into_stack();
        assert!(stack.is_some(), "an idle fiber returns when it is told to");
        stack
    }
}

/// A live fiber, for the queues of its executor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FiberRef(NonNull<Fiber>);

impl FiberRef {
    #[inline]
    pub(crate) fn new(fiber: &Fiber) -> Self {
        Self(NonNull::from(fiber))
    }

    /// The fiber that owns a wake block, which has one.
    #[inline]
    pub(crate) fn of_block(block: &WakeBlock) -> Self {
        Self(NonNull::new(block.owner() as *mut Fiber).expect("the block of a fiber"))
    }

    /// # Safety
    ///
    /// On the executor's thread, while the fiber is in its table of live fibers.
    pub(crate) unsafe fn get<'a>(self) -> &'a Fiber {
        // SAFETY: it was made from a reference to a fiber, which lies where it is for as long as it is in its executor's
        // table, where it still is, as this function's caller says. Only that executor's thread has references to it,
        // and all are shared.
        unsafe { self.0.as_ref() }
    }
}
