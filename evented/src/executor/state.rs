//! An executor: its parts, and the one that runs on the calling thread.
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

/// One executor. Belongs to its thread.
pub(crate) struct Executor {
    pub(super) index: usize,
    pub(super) runtime: Arc<Runtime>,
    pub(super) inbox: &'static Inbox,
    pub(super) ring: Ring,
    pub(super) ready: RunQueue,
    /// The fiber with whose turn the executor's was over, and which can go on. It comes behind those that were served
    /// since.
    pub(super) overdue: Cell<Option<FiberRef>>,
    /// Tasks that its fibers have started, where it is the only executor: nobody could steal them.
    pub(super) unstarted: RefCell<UnstartedQueue<Admitted>>,
    /// When it last handed a task that it was about to begin to another executor.
    pub(super) handed_over: Cell<Instant>,
    pub(super) turn_time: TurnTime,
    /// No task was started in this turn.
    pub(super) turn_begins: Cell<bool>,
    pub(super) timers: Timers<FiberRef>,
    /// Every fiber that has a task; `Fiber::index` says where.
    pub(super) live: RefCell<Slab<OwnedFiber>>,
    pub(super) idle: IdleFibers,
    /// The size of the stack of a task that asks for none.
    pub(super) class_default: StackClass,
    /// What parks its fibers.
    pub(super) park: Rc<dyn Park>,
    /// Entries whose completions have not been reaped, the read of the wake-up event excepted.
    pub(super) in_flight: Cell<usize>,
    /// Bytes that fibers have received by calls since one of them queued an operation.
    pub(super) received: Cell<usize>,
    /// The operations of other contexts among those in flight.
    pub(super) foreign: InFlight,
    pub(super) multishot: Table,
    pub(super) buffers: BufferRings,
    pub(super) registered: RegisteredPools,
    /// Threads that the kernel may have beyond the usual.
    pub(super) kept_workers: Cell<u32>,
    pub(super) event: EventRead,
    pub(super) patience: SpinWait,
    pub(super) shutdown: Cell<Shutdown>,
    /// When the idle fibers that are too many are given up.
    pub(super) trim_at: Cell<Option<Instant>>,
    /// There was no memory for the stack of a fiber; at this instant it is tried again.
    pub(super) starved: Cell<Option<Instant>>,
}

/// How far an executor's shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    No,
    /// The tasks have been torn down; at this instant those that are left are named.
    Since(Instant),
    Reported,
    /// No fiber runs any more.
    Over,
}

thread_local! {
    static CURRENT: Cell<*const Executor> = const { Cell::new(ptr::null()) };
}

/// Makes `executor` the one of the calling thread, and returns the previous one.
///
/// # Safety
///
/// The executor stays where it is until another one is set.
pub(super) unsafe fn set_current(executor: *const Executor) -> *const Executor {
    CURRENT.replace(executor)
}

impl Executor {
    /// Calls `f` with the executor of the calling thread, if it is one's.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Executor) -> R) -> Option<R> {
        // A fiber stays on its thread, so the address of a thread-local stays what it is over a suspension.
        let executor = CURRENT.get();
        // SAFETY: null, or an executor that stays until another one is set, as the caller of `set_current` says.
        unsafe { executor.as_ref() }.map(f)
    }

    /// Whether the calling thread is an executor of `runtime`.
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

    /// The block of `context`, if that is a fiber of this executor.
    #[inline]
    pub(crate) fn block_of(&self, context: &Context) -> Option<&'static WakeBlock> {
        context.block_of(self.inbox).filter(|block| block.owner() != 0)
    }

    /// The group of buffers for receiving into `pool`, to be armed with at once; `None` when there is
    /// none to be had.
    pub(crate) fn acquire_buffers(&self, pool: &BufferPool) -> Option<u16> {
        let (inbox, most) = (self.inbox, pool.count() / self.runtime.options().executors);
        self.buffers.acquire(&self.ring, pool, most, move || inbox.call_in())
    }

    /// Whether the kernel completes operations inside of the executor's calls alone, so that others can end those that
    /// complete more than once (Linux 6.1): see [`Passage`](crate::ring::Passage).
    pub(crate) fn completes_inside_only(&self) -> bool {
        self.runtime.rings_defer()
    }

    /// The slot under which the ring knows the memory of a pool; `None` when there is none to be had.
    pub(crate) fn registered(&self, memory: &Arc<PoolMemory>) -> Option<u16> {
        self.registered.slot(&self.ring, memory)
    }

    /// This executor as one of its fibers starts a task.
    #[inline]
    pub(crate) fn own(&self) -> LocalExecutor {
        LocalExecutor { index: self.index, ready: self.ready.len(), live: self.live.borrow().len() }
    }

    #[inline]
    pub(crate) fn belongs_to(&self, runtime: &Runtime) -> bool {
        ptr::eq(&*self.runtime, runtime)
    }

    /// Whether `block` is that of a fiber of this executor.
    #[inline]
    pub(crate) fn owns(&self, block: &WakeBlock) -> bool {
        block.owner() != 0 && block.is_woken_by(self.inbox)
    }

    pub(crate) fn inbox(&self) -> &'static Inbox {
        self.inbox
    }
}
