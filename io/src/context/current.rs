//! The context itself, and the current context.
//!
//! The current context is kept in one thread-local cell, which an executor swaps around each switch of fibers with
//! [`set_current`]. Every other thread is a context of its own.
#![allow(unsafe_code)]

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{Unparker, Wake, WakeBlock};
use super::depth::{INLINE_DEPTH_MAX, JOINED_DEPTH_MAX, TooDeep};
use super::locals::{Locals, LocalsCell};
use super::park::Park;
use super::report::Report;
use super::scopes::Scopes;
use super::task_state::TaskState;
use super::thread::ThreadPark;
use super::turn::{self, Turn};
use crate::dropping::drop_panic;
use crate::primitive::Lock;
use crate::time::Instant;

/// A fiber, a pool worker or a plain thread, with its wake block and the state of the task that runs on it.
pub struct Context {
    /// No other context of the process has this number, neither now nor later.
    id: ContextId,
    block: &'static WakeBlock,
    park: Rc<dyn Park>,
    /// The innermost running task, or [`TaskState::none`]; alive while it is here.
    task: Cell<*const TaskState>,
    pub(super) scopes: RefCell<Scopes>,
    inline_depth: Cell<u32>,
    pub(super) no_suspend: Cell<u32>,
    pub(super) turn: Turn,
    /// The values of the running task.
    locals: LocalsCell,
    /// Set while a panic hook runs on this context.
    pub(super) in_panic_hook: Cell<bool>,
    /// The runtimes of the tasks that run on this context, the innermost last. The addresses are only compared.
    runtimes: RefCell<Vec<*const ()>>,
    /// The function to which a task reports whose closure has just unwound.
    report: Cell<Option<Report>>,
}

/// Names a context of the process. No other context ever has the same number, even after the end of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextId(u64);

impl ContextId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the number, which is not 0.
    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("block", &self.block).finish_non_exhaustive()
    }
}

thread_local! {
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
    static THREAD: ThreadContext = const { ThreadContext(OnceCell::new()) };
}

impl Context {
    /// Makes a context that parks with `park` and is woken through `block`.
    pub fn new(block: &'static WakeBlock, park: Rc<dyn Park>) -> Self {
        block.reset();
        Self {
            id: ContextId::next(),
            block,
            park,
            task: Cell::new(TaskState::none()),
            scopes: RefCell::default(),
            inline_depth: Cell::new(0),
            no_suspend: Cell::new(0),
            turn: Turn::default(),
            locals: LocalsCell::default(),
            in_panic_hook: Cell::new(false),
            runtimes: RefCell::default(),
            report: Cell::new(None),
        }
    }

    /// Returns the number of the context.
    #[inline]
    pub(crate) fn id(&self) -> ContextId {
        self.id
    }

    /// Returns the context's wake block to the backend that made it, which is the one whose `target` wakes it. Other
    /// code could reuse or queue the block at the wrong time.
    #[inline]
    pub fn block_of(&self, target: &'static dyn Wake) -> Option<&'static WakeBlock> {
        self.block.is_woken_by(target).then_some(self.block)
    }

    /// Returns the context's wake block.
    #[inline]
    pub(super) fn block(&self) -> &'static WakeBlock {
        self.block
    }

    /// Returns an unparker that wakes this context.
    #[inline]
    pub fn unparker(&self) -> Unparker {
        Unparker(self.block)
    }

    /// Returns true if the context is a thread of its own, so that blocking it blocks no other context.
    pub fn is_thread(&self) -> bool {
        self.park.is_thread()
    }

    /// Returns the name of the backend that the context belongs to, for errors.
    pub fn backend_name(&self) -> &'static str {
        self.park.backend_name()
    }

    /// Notes that a task of `runtime`, which is any address of it, runs on this context until the guard drops.
    ///
    /// The context keeps this note, and not a thread-local of the backend: the context is still there in the destructors at
    /// a thread's end, and fibers of one thread take turns.
    pub fn enter_runtime(&self, runtime: *const ()) -> RuntimeGuard<'_> {
        self.runtimes.borrow_mut().push(runtime);
        RuntimeGuard(self)
    }

    /// Returns true if a task of that runtime runs on this context.
    pub fn is_in_runtime(&self, runtime: *const ()) -> bool {
        self.runtimes.borrow().contains(&runtime)
    }

    /// Returns the runtime of the innermost task, if it was noted.
    pub fn innermost_runtime(&self) -> Option<*const ()> {
        self.runtimes.borrow().last().copied()
    }

    /// Begins a turn. An executor calls this whenever it resumes the context, since others could run before.
    #[inline]
    pub fn begin_turn(&self) {
        self.turn.begin();
    }

    /// Counts a call that could have waited and that is not a cancellation point.
    #[inline]
    pub(crate) fn pass_point(&self) {
        self.spend(turn::POINT);
    }

    #[inline]
    fn spend(&self, cost: u32) {
        if !self.turn.spend(cost) {
            self.look_whether_to_give_way();
        }
    }

    #[cold]
    pub(super) fn look_whether_to_give_way(&self) {
        if self.park.is_thread() {
            self.turn.prolong();
        } else if self.no_suspend.get() == 0 && !self.in_panic_hook.get() && self.turn.look(self.park.has_run_long()) {
            self.turn.begin();
            self.park.yield_now(self.block);
        }
    }

    /// Asks the running task to stop. Returns false outside of every task, where there is nothing to cancel.
    pub(crate) fn request(&self) -> bool {
        self.task().rearm()
    }

    /// Calls `f` with the values that the running task has made of its own. `f` must not run code of the program.
    pub(crate) fn locals<R>(&self, f: impl FnOnce(&mut Locals) -> R) -> R {
        let mut locals = self.locals.take().unwrap_or_default();
        let result = f(&mut locals);
        self.locals.set(Some(locals));
        result
    }

    /// Drops the task-local values while the task still runs, in the reverse order of their creation, including values
    /// that their destructors make.
    #[inline]
    pub(crate) fn drop_locals(&self) {
        if let Some(locals) = self.locals.take() {
            self.locals.set(Some(locals));
            self.drop_locals_slow();
        }
    }

    /// Drops the values that a panic of the task, or of one of these values, has left.
    #[inline]
    pub(crate) fn drop_locals_after_panic(&self) {
        while let Some(locals) = self.locals.take() {
            self.locals.set(Some(locals));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.drop_locals_slow())) {
                drop_panic(panic);
            }
        }
    }

    /// Notes where the task, whose closure unwinds, reports its panic.
    pub(crate) fn set_report(&self, report: Option<Report>) {
        self.report.set(report);
    }

    /// Takes what was [noted](Self::set_report) last, if it was not taken before.
    pub(crate) fn take_report(&self) -> Option<Report> {
        self.report.take()
    }

    #[cold]
    fn drop_locals_slow(&self) {
        // One by one: a destructor may use those that are left.
        while let Some(value) = self.locals(Locals::pop) {
            drop(value);
        }
        self.locals.set(None);
    }

    /// Makes `state` the running task until the guard drops.
    ///
    /// # Errors
    ///
    /// Returns an error if inline tasks nest deeper than [`INLINE_DEPTH_MAX`].
    pub(crate) fn enter_task<'a>(&'a self, state: &'a TaskState) -> Result<TaskGuard<'a>, TooDeep> {
        let previous = self.task();
        let depth = self.inline_depth.get();
        if depth >= INLINE_DEPTH_MAX {
            return Err(TooDeep);
        }
        self.inline_depth.set(depth + 1);
        let mut scopes = self.scopes.borrow_mut();
        let (shielded, scope_depth) = (scopes.is_shielded(), scopes.depth());
        scopes.push_task(state.inherited(), self.unparker());
        drop(scopes);
        state.begin(self.unparker(), previous, shielded);
        self.task.set(state);
        Ok(TaskGuard { context: self, state, previous, previous_locals: self.locals.take(), scope_depth })
    }

    /// Returns true if the running task may run a task that it joins on top of itself. Inside a shield it may not, since the
    /// shield would keep a tear-down from that task.
    #[inline]
    pub(crate) fn may_begin_joined(&self) -> bool {
        self.inline_depth.get() < JOINED_DEPTH_MAX && !self.scopes.borrow().has_shield()
    }

    #[inline]
    pub(super) fn requests(&self) -> u32 {
        self.task().requests()
    }

    /// Returns the innermost running task.
    #[inline]
    pub(crate) fn task(&self) -> &TaskState {
        // SAFETY: `enter_task` puts a task here that outlives the guard, which puts the previous
        // one back; the outermost is a static.
        unsafe { &*self.task.get() }
    }
}

/// Notes that a task of a runtime runs on a context until this drops; from [`Context::enter_runtime`].
#[must_use]
pub struct RuntimeGuard<'a>(&'a Context);

impl fmt::Debug for RuntimeGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuntimeGuard").finish()
    }
}

impl Drop for RuntimeGuard<'_> {
    fn drop(&mut self) {
        self.0.runtimes.borrow_mut().pop();
    }
}

/// Ends the running of a task when it drops.
pub(crate) struct TaskGuard<'a> {
    context: &'a Context,
    state: &'a TaskState,
    previous: &'a TaskState,
    previous_locals: Option<Box<Locals>>,
    scope_depth: usize,
}

impl Drop for TaskGuard<'_> {
    fn drop(&mut self) {
        self.context.drop_locals_after_panic();
        self.context.locals.set(self.previous_locals.take());
        self.state.end();
        self.context.task.set(self.previous);
        self.context.scopes.borrow_mut().truncate(self.scope_depth);
        self.context.inline_depth.set(self.context.inline_depth.get() - 1);
    }
}

/// Calls `f` with the current context.
#[inline]
pub fn current<R>(f: impl FnOnce(&Context) -> R) -> R {
    let mut pointer = current_pointer();
    if pointer.is_null() {
        pointer = thread_context();
    }
    // SAFETY: the caller of `set_current` keeps the context alive while it is current, and the code that runs `f` is
    // what makes it current: a fiber's own context exists whenever the fiber runs. That of a thread exists until the
    // thread's end.
    f(unsafe { &*pointer })
}

/// Returns the current context, or null. A context stays on its thread, so the address of a thread-local does not
/// change over a suspension.
#[inline]
fn current_pointer() -> *const Context {
    CURRENT.get()
}

/// Makes the calling thread a context of its own.
#[cold]
fn thread_context() -> *const Context {
    let new = || Context::new(take_thread_block(), Rc::new(ThreadPark::default()));
    // It lives in a thread-local of this thread, whose destructor clears `CURRENT`.
    let made = THREAD.try_with(|thread| ptr::from_ref(thread.0.get_or_init(new)));
    // Otherwise this is a destructor of a thread-local, after ours has run. It gets a last context for this thread,
    // which nobody would give back. All later calls use the same one, so that a waiter is woken where it registered.
    let context = made.unwrap_or_else(|_| Box::leak(Box::new(new())));
    CURRENT.set(context);
    context
}

/// Makes `context` the current one of this thread and returns the one that was.
///
/// # Safety
///
/// `context` is null or stays valid until it is replaced by another call; it is replaced before
/// the code that runs in that context is suspended, and set again before that code goes on. The
/// caller itself runs on its thread's own stack, where the address of a thread-local stays what it
/// is.
#[inline]
pub unsafe fn set_current(context: *const Context) -> *const Context {
    CURRENT.replace(context)
}

/// The context of a thread. Its block goes back to the pool when the thread ends.
struct ThreadContext(OnceCell<Context>);

static FREE_BLOCKS: Lock<Vec<&'static WakeBlock>> = Lock::new(Vec::new());

fn take_thread_block() -> &'static WakeBlock {
    FREE_BLOCKS.lock().pop().unwrap_or_else(WakeBlock::leak_thread)
}

impl Drop for ThreadContext {
    fn drop(&mut self) {
        if let Some(context) = self.0.get() {
            // While it still is the current context, because the destructors may wait or panic.
            context.drop_locals_after_panic();
        }
        if let Some(context) = self.0.take() {
            let _ = CURRENT.try_with(|current| current.set(ptr::null()));
            FREE_BLOCKS.lock().push(context.block);
        }
    }
}

/// Blocks the calling context until its token arrives or the deadline passes. May return early.
///
/// This is the default of [`Io::park`](crate::Io::park).
///
/// # Panics
///
/// Panics inside [`no_suspend`](crate::no_suspend()).
#[inline]
pub fn park(deadline: Option<Instant>) {
    current(|context| {
        context.assert_may_suspend();
        context.park.park(context.block, deadline);
    });
}

/// Lets other contexts run. This is the default of [`Io::yield_now`](crate::Io::yield_now).
///
/// # Panics
///
/// Panics inside [`no_suspend`](crate::no_suspend()).
#[inline]
pub fn yield_now() {
    current(|context| {
        context.assert_may_suspend();
        context.park.yield_now(context.block);
    });
}

#[cfg(test)]
mod test {
    use std::rc::Rc;

    use super::super::no_suspend;
    use super::{Context, ThreadPark, Wake, WakeBlock, current, park, yield_now};
    use crate::time::Instant;

    #[derive(Debug)]
    struct Other;

    impl Wake for Other {
        fn wake(&self, _: &'static WakeBlock) {}
    }

    #[test]
    fn a_wake_block_is_handed_to_the_backend_that_made_it() {
        static OWN: Other = Other;
        assert!(current(|context| context.block_of(&OWN)).is_none(), "this is a thread's");
        let context = Context::new(WakeBlock::leak(&OWN), Rc::new(ThreadPark::default()));
        assert!(context.block_of(&OWN).is_some());
    }

    #[test]
    #[should_panic(expected = "inside no_suspend")]
    fn yielding_is_a_suspension() {
        no_suspend(yield_now);
    }

    #[test]
    #[should_panic(expected = "inside no_suspend")]
    fn parking_is_a_suspension() {
        no_suspend(|| park(Some(Instant::ZERO)));
    }
}
