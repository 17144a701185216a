//! The state of an executor, and the executor of the calling thread.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use iolite_fibers::StackClass;
use iolite_io::Instant;
use iolite_io::backend::{Context, Park, PoolMemory, SpinWait, UnstartedQueue, WakeBlock};
use iolite_io::net::BufferPool;
use slab::Slab;

use super::idle_fibers::IdleFibers;
use super::slots::EventRead;
use super::timers::Timers;
use super::turn_time::TurnTime;
use crate::admitted::Admitted;
use crate::fiber::{FiberRef, OwnedFiber};
use crate::placement::LocalExecutor;
use crate::remote::{InFlight, Inbox, Table};
use crate::ring::{BufferRings, RegisteredPools, Ring};
use crate::run_queue::RunQueue;
use crate::runtime::Runtime;

/// One executor. It belongs to its thread.
pub(crate) struct Executor {
    pub(super) index: usize,
    pub(super) runtime: Arc<Runtime>,
    pub(super) inbox: &'static Inbox,
    pub(super) ring: Ring,
    pub(super) ready: RunQueue,
    /// The fiber that yielded when the executor's turn was over. It is queued behind the fibers that were served since.
    pub(super) overdue: Cell<Option<FiberRef>>,
    /// Tasks that this executor's fibers have started, if it is the only executor: nobody could steal them.
    pub(super) unstarted: RefCell<UnstartedQueue<Admitted>>,
    /// The time at which it last handed a task that it was about to begin to another executor.
    pub(super) handed_over: Cell<Instant>,
    pub(super) turn_time: TurnTime,
    /// True if no task was started in this turn yet.
    pub(super) turn_begins: Cell<bool>,
    pub(super) timers: Timers<FiberRef>,
    /// Every fiber that has a task; `Fiber::index` is its index here.
    pub(super) live: RefCell<Slab<OwnedFiber>>,
    pub(super) idle: IdleFibers,
    /// The stack size of a task that asks for none.
    pub(super) class_default: StackClass,
    /// The object that parks its fibers.
    pub(super) park: Rc<dyn Park>,
    /// The number of entries whose completions have not been reaped, without the read of the wake-up event.
    pub(super) in_flight: Cell<usize>,
    /// The number of bytes that fibers have received with calls since one of them last queued an operation.
    pub(super) received: Cell<usize>,
    /// The operations in flight that belong to other contexts.
    pub(super) foreign: InFlight,
    pub(super) multishot: Table,
    pub(super) buffers: BufferRings,
    pub(super) registered: RegisteredPools,
    /// The number of threads that the kernel may have beyond the usual number.
    pub(super) kept_workers: Cell<u32>,
    pub(super) event: EventRead,
    pub(super) patience: SpinWait,
    pub(super) shutdown: Cell<Shutdown>,
    /// The time at which surplus idle fibers are given up.
    pub(super) trim_at: Cell<Option<Instant>>,
    /// Set if there was no memory for the stack of a fiber: the time of the next attempt.
    pub(super) starved: Cell<Option<Instant>>,
}

/// The progress of an executor's shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    No,
    /// The tasks have been torn down; at this time the report names those that are left.
    Since(Instant),
    Reported,
    /// No fiber runs any more.
    Over,
}

thread_local! {
    static CURRENT: Cell<*const Executor> = const { Cell::new(ptr::null()) };
}

/// Makes `executor` the executor of the calling thread, and returns the previous one.
///
/// # Safety
///
/// The executor stays in place until another one is set.
pub(super) unsafe fn set_current(executor: *const Executor) -> *const Executor {
    CURRENT.replace(executor)
}

impl Executor {
    /// Calls `f` with the executor of the calling thread, if there is one.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Executor) -> R) -> Option<R> {
        // A fiber stays on its thread, so the address of a thread-local does not change across a suspension.
        let executor = CURRENT.get();
        // SAFETY: it is null, or an executor that stays in place until another one is set, as the caller of
        // `set_current` promises.
        unsafe { executor.as_ref() }.map(f)
    }

    /// Returns true if the calling thread is an executor of `runtime`.
    #[inline]
    pub(crate) fn is_of(runtime: &Runtime) -> bool {
        Self::with_current(|executor| executor.belongs_to(runtime)) == Some(true)
    }

    /// Calls `f` with the executor of the calling fiber, if `context` is a fiber of `runtime`.
    #[inline]
    pub(crate) fn with_current_of<R>(
        runtime: &Runtime,
        context: &Context,
        f: impl FnOnce(&Executor) -> R,
    ) -> Option<R> {
        Self::with_current(|executor| {
            (executor.belongs_to(runtime) && executor.block_of(context).is_some()).then(|| f(executor))
        })
        .flatten()
    }

    /// Returns the block of `context` if that is a fiber of this executor.
    #[inline]
    pub(crate) fn block_of(&self, context: &Context) -> Option<&'static WakeBlock> {
        context.block_of(self.inbox).filter(|block| block.owner() != 0)
    }

    /// Returns the group of buffers for receiving into `pool`, to be armed with at once, or `None` if none can be had.
    pub(crate) fn acquire_buffers(&self, pool: &BufferPool) -> Option<u16> {
        let (inbox, most) = (self.inbox, pool.count() / self.runtime.options().executors);
        self.buffers.acquire(&self.ring, pool, most, move || inbox.call_in())
    }

    /// Returns true if the kernel completes operations only inside of the executor's calls, so that other threads can
    /// end operations that complete more than once (Linux 6.1): see [`Passage`](crate::ring::Passage).
    pub(crate) fn completes_inside_only(&self) -> bool {
        self.runtime.rings_defer()
    }

    /// Returns the slot under which the ring knows the memory of a pool, or `None` if there is none.
    pub(crate) fn registered(&self, memory: &Arc<PoolMemory>) -> Option<u16> {
        self.registered.slot(&self.ring, memory)
    }

    /// Describes this executor for a task that one of its fibers starts.
    #[inline]
    pub(crate) fn own(&self) -> LocalExecutor {
        LocalExecutor { index: self.index, ready: self.ready.len(), live: self.live.borrow().len() }
    }

    #[inline]
    pub(crate) fn belongs_to(&self, runtime: &Runtime) -> bool {
        ptr::eq(&*self.runtime, runtime)
    }

    /// Returns true if `block` belongs to a fiber of this executor.
    #[inline]
    pub(crate) fn owns(&self, block: &WakeBlock) -> bool {
        block.owner() != 0 && block.is_woken_by(self.inbox)
    }

    pub(crate) fn inbox(&self) -> &'static Inbox {
        self.inbox
    }
}
