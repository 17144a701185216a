//! Fibers: a stack, a saved context, and the task that runs on it.
//!
//! A fiber belongs to the executor that made it and never leaves that thread. Between tasks it waits in its executor's
//! pool together with its stack: the loop of [`Fiber::main`] runs one task after another, and the stack is given back
//! only after the loop has returned.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use iolite_fibers::{Coroutine, LINE_BYTES, Stack, StackClass, prefetch};
use iolite_io::backend::{Context, LiveIndex, Park, WakeBlock, set_current};

use crate::admitted::Admitted;

/// The number of cache lines of its stack that a fiber touches when it is resumed: those of its innermost frames.
const FRAME_LINES: usize = 12;

/// The reason why a fiber gave the thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuspendReason {
    /// It waits for a token, a completion or its timer.
    Park,
    /// It lets other fibers run.
    Yield,
    /// Its task has ended.
    Idle,
}

pub(crate) struct Fiber {
    /// The size class of the fiber's stack.
    pub(crate) class: StackClass,
    coroutine: Coroutine,
    /// The reason of the last suspension.
    pause: Cell<SuspendReason>,
    block: &'static WakeBlock,
    context: Context,
    /// The task that the fiber is about to run. An idle fiber that is resumed without a task returns, so that its stack
    /// becomes free.
    task: Cell<Option<Admitted>>,
    /// Runs a task to its end, on behalf of the runtime.
    run: fn(Admitted),
    /// True while the fiber is in the executor's run queue, where `next` is its successor.
    pub(crate) queued: Cell<bool>,
    pub(crate) next: Cell<Option<FiberRef>>,
    /// True while the fiber is suspended in a park and not in the run queue.
    pub(crate) parked: Cell<bool>,
    /// The fiber's index in the executor's table of live fibers.
    pub(crate) index: Cell<usize>,
    /// The index of the fiber's task among the live tasks of its executor.
    pub(crate) live_task: Cell<Option<LiveIndex>>,
}

impl Fiber {
    pub(crate) fn block(&self) -> &'static WakeBlock {
        self.block
    }

    /// Gives an idle fiber its next task.
    pub(crate) fn assign(&self, unstarted: Admitted) {
        self.task.set(Some(unstarted));
    }

    /// Runs the fiber until it suspends.
    #[inline]
    pub(crate) fn resume(&self) -> SuspendReason {
        self.context.begin_turn();
        // SAFETY: the context lives in this box, which outlives the resumption. The previous context is restored before
        // any other code of this thread runs.
        let outer = unsafe { set_current(&self.context) };
        // SAFETY: only the executor resumes fibers. It resumes suspended fibers, in their boxes, and none that was told
        // to exit. Each was made with a pointer to itself.
        unsafe { self.coroutine.resume() };
        // SAFETY: it was current before, and its code continues now.
        unsafe { set_current(outer) };
        self.pause.get()
    }

    /// Prefetches the memory that the fiber touches first when it is resumed, while another fiber runs. Not inlined: it
    /// helps only with many fibers, and few fibers take turns faster without it.
    #[cold]
    pub(crate) fn prefetch(&self) {
        prefetch(self.coroutine.place(), FRAME_LINES);
        prefetch(ptr::from_ref(self.block()).cast(), 1);
        if let Some(FiberRef(after)) = self.next.get() {
            // That one is prefetched next.
            prefetch(after.as_ptr().cast_const().cast(), size_of::<Self>().div_ceil(LINE_BYTES));
        }
    }

    /// Gives the thread back until the executor resumes this fiber. To be called only on the fiber itself.
    #[inline]
    pub(crate) fn suspend(&self, pause: SuspendReason) {
        self.pause.set(pause);
        // SAFETY: this fiber is the one that runs.
        unsafe { self.coroutine.suspend() };
    }

    /// Runs one task after another on the fiber's stack.
    ///
    /// # Safety
    ///
    /// `fiber` points to the running fiber, which stays there until this returns.
    unsafe fn main(fiber: *const ()) {
        // SAFETY: this function's contract says that the fiber is there and stays until this returns.
        let fiber = unsafe { &*fiber.cast::<Self>() };
        while let Some(unstarted) = fiber.task.take() {
            // SAFETY: the runtime knows the task, and therefore keeps its name, until the executor retires this fiber,
            // which is after the suspension below.
            unsafe { fiber.coroutine.set_name(Some(unstarted.start.name())) };
            (fiber.run)(unstarted);
            // SAFETY: there is no name.
            unsafe { fiber.coroutine.set_name(None) };
            fiber.suspend(SuspendReason::Idle);
        }
    }
}

/// A fiber with its stack. The fiber lies at the beginning of that stack, so both share a page and no allocation is
/// needed. If it is merely dropped, it is leaked, as its stack is.
pub(crate) struct OwnedFiber(NonNull<Fiber>);

impl Deref for OwnedFiber {
    type Target = Fiber;

    fn deref(&self) -> &Fiber {
        // SAFETY: `Fiber::new` wrote it, and only `exit`, which consumes this value, moves it out.
        unsafe { self.0.as_ref() }
    }
}

impl OwnedFiber {
    /// Makes an idle fiber that runs each of its tasks with `run`.
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
            live_task: Cell::new(None),
        };
        // SAFETY: the place has the fiber's size, aligned to a cache line, and was reserved for it; nothing else is
        // there.
        unsafe { place.write(fiber) };
        // SAFETY: the block comes from this executor's inbox, which made it.
        unsafe { block.set_owner(place.as_ptr() as usize) };
        // The park never ends: see `WakeBlock::take_token`. A waker of the block's last owner may come in between.
        while !block.begin_park() {}
        Self(place)
    }

    /// Lets an idle fiber return, which frees its stack.
    pub(crate) fn exit(self) -> Option<Stack> {
        self.resume();
        // SAFETY: this is the only place from which it is moved. `self` is not used again, and nobody keeps a pointer
        // to it: in particular, its block's owner word has been cleared.
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

    /// Returns the fiber that owns a wake block. The block must have an owner.
    #[inline]
    pub(crate) fn of_block(block: &WakeBlock) -> Self {
        Self(NonNull::new(block.owner() as *mut Fiber).expect("the block of a fiber"))
    }

    /// # Safety
    ///
    /// To be called on the executor's thread, while the fiber is in its table of live fibers.
    pub(crate) unsafe fn get<'a>(self) -> &'a Fiber {
        // SAFETY: it was made from a reference to a fiber, which stays in place for as long as it is in its executor's
        // table. This function's caller promises that it still is. Only that executor's thread has references to it,
        // and all of them are shared.
        unsafe { self.0.as_ref() }
    }
}
