//! Jobs: closures on their way to a worker, in a box or in the stack frame of who waits for them.
//!
//! Who may touch a job's memory, and when:
//!
//! - a **posted** job is a box; it belongs to the slot that holds it and then to the worker that
//!   took it, which consumes it by running or refusing it;
//! - a **called** job is a [`Frame`] in the caller's stack. From the publishing of its slot the
//!   closure and the outcome belong to the worker that takes it, until that worker sets `done`;
//!   then, or after winning [`Slot::cancel`], they are the caller's again. [`call`] does not return,
//!   nor unwind, in between. A canceled slot still holds the pointer, and nobody follows it.
//!   Where the caller asked for the commit, the worker keeps the frame as [`Uncommitted`] after it has
//!   run the job, and sets `done` when the run has been committed, or will not be.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::process;
use std::ptr::NonNull;
use std::sync::Arc;

use iolite_io::backend::{Unparker, current};
use iolite_io::{Canceled, Io};

use crate::CallError;
use crate::done::Done;
use crate::panics::caught;
use crate::word::{Generation, Taken, Word};

/// Where a queue holds one job.
pub(crate) struct Slot<S> {
    word: Word,
    /// Belongs to whoever has the word in `HELD`.
    job: UnsafeCell<MaybeUninit<RawJob<S>>>,
}

// SAFETY: a slot holds pointers to closures that are `Send` (`post` and `call` ask for it) and of
// functions; whoever follows them is alone, by the word. No `S` is in it: the state is the worker's.
unsafe impl<S> Send for Slot<S> {}
// SAFETY: what two threads can share of a slot are its word, which is atomic, and its job, which is touched in `HELD`
// only; one thread at a time is in it, and comes after the one before by what has brought it the slot's index.
unsafe impl<S> Sync for Slot<S> {}

/// A job that a worker has taken. Dropping it unrun refuses it.
pub(crate) struct Job<S>(RawJob<S>);

/// How a job ended, for the worker's counts.
#[derive(Debug)]
pub(crate) enum Ending {
    Ran,
    /// Its caller waits for the commit of the run.
    RanUncommitted(Uncommitted),
    /// With what there is to report: nothing when a caller was told.
    Panicked {
        unheard: Option<String>,
    },
    /// With what there is to report: nothing when a caller was told.
    Refused {
        unheard: Option<String>,
    },
}

/// A job that has run, whose caller waits for the commit. Dropped, it is not committed.
#[must_use]
#[derive(Debug)]
pub(crate) struct Uncommitted {
    /// A frame whose owner waits for its `done`.
    pointer: NonNull<()>,
    /// Ends that wait: to be called once.
    end: unsafe fn(NonNull<()>, Option<String>),
}

/// Why a worker does not run a job that it took.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// There is no state, for this reason.
    State(Arc<str>),
    /// The worker gave up.
    Closed,
}

/// A type-erased pointer to a job, and what follows it.
struct RawJob<S> {
    pointer: NonNull<()>,
    /// Consumes the job: to be called once, by who has taken it.
    act: unsafe fn(NonNull<()>, Order<'_, S>) -> Ending,
}

enum Order<'a, S> {
    Run(&'a mut S),
    Refuse(Refusal),
}

impl<S> Slot<S> {
    pub(crate) fn new() -> Self {
        Self { word: Word::new(), job: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Puts a closure into a free slot, boxed. The slot comes from the free list, so it is free.
    pub(crate) fn post<F: FnOnce(&mut S) + Send + 'static>(&self, closure: F) {
        let pointer = NonNull::from(Box::leak(Box::new(closure))).cast();
        self.put(RawJob { pointer, act: act_on_box::<S, F> });
    }

    /// Takes the job of a slot whose index was popped; `None` when its caller has withdrawn it.
    /// Either way the slot is free afterwards.
    pub(crate) fn take(&self) -> Option<Job<S>> {
        match self.word.take() {
            Taken::Job => {
                // SAFETY: `take` says that the word is in `HELD`, after the `publish` of a job that
                // `put` wrote; it is moved out once, before `free`.
                let job = unsafe { (*self.job.get()).assume_init_read() };
                self.word.free();
                Some(Job(job))
            }
            Taken::Canceled => None,
        }
    }

    fn put(&self, job: RawJob<S>) -> Generation {
        let generation = self.word.claim().expect("the free list gives out free slots");
        // SAFETY: `claim` says that the word is in `HELD`.
        unsafe { (*self.job.get()).write(job) };
        self.word.publish(generation);
        generation
    }
}

impl<S> Job<S> {
    /// Runs the job. Does not panic.
    pub(crate) fn run(self, state: &mut S) -> Ending {
        self.act(Order::Run(state))
    }

    /// Ends the job without running it, and tells its caller why. Does not panic.
    pub(crate) fn refuse(self, refusal: Refusal) -> Ending {
        self.act(Order::Refuse(refusal))
    }

    fn act(self, order: Order<'_, S>) -> Ending {
        let RawJob { pointer, act } = self.0;
        std::mem::forget(self);
        // SAFETY: `put` wrote the two as one, so `pointer` is what `act` asks for; `take` has moved them out of the slot
        // once, and the only `Job` of them is forgotten above, so this is the one call.
        unsafe { act(pointer, order) }
    }
}

impl<S> Drop for Job<S> {
    fn drop(&mut self) {
        // SAFETY: as for the call in `act`, which forgets those that it consumes: so none was made for this one.
        unsafe { (self.0.act)(self.0.pointer, Order::Refuse(Refusal::Closed)) };
    }
}

impl<S> Clone for RawJob<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for RawJob<S> {}

/// # Safety
///
/// `pointer` is a leaked box of an `F`, and this is the one call for it.
unsafe fn act_on_box<S, F: FnOnce(&mut S)>(pointer: NonNull<()>, order: Order<'_, S>) -> Ending {
    // SAFETY: the caller says that it is a leaked box of an `F`, and that nobody else has made a box of it.
    let closure = unsafe { Box::from_raw(pointer.cast::<F>().as_ptr()) };
    match order {
        Order::Run(state) => match caught(|| closure(state)) {
            Ok(()) => Ending::Ran,
            Err(message) => Ending::Panicked { unheard: Some(message) },
        },
        Order::Refuse(refusal) => {
            // What the closure owns may panic when it drops; the job is refused all the same.
            let _ = caught(|| drop(closure));
            Ending::Refused { unheard: Some(CallError::from(refusal).to_string()) }
        }
    }
}

impl Uncommitted {
    /// Lets the caller go: the run was committed, or it was not, for that reason.
    pub(crate) fn end(self, result: Result<(), String>) {
        let Self { pointer, end } = self;
        std::mem::forget(self);
        // SAFETY: `act_on_frame` made the two of one frame, whose owner waits for this; the only `Uncommitted` of it is
        // forgotten above, so this is the one call.
        unsafe { end(pointer, result.err()) };
    }
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        // SAFETY: as in `end`, which forgets those that it consumes: so no call was made for this one.
        unsafe { (self.end)(self.pointer, Some("the worker gave up".into())) };
    }
}

/// A called job, in its caller's stack.
struct Frame<F, T> {
    closure: UnsafeCell<Option<F>>,
    outcome: UnsafeCell<Option<Result<T, CallError>>>,
    /// The caller waits for the commit of the run.
    wants_commit: bool,
    /// Why the run was not committed in which the job has run.
    uncommitted: UnsafeCell<Option<String>>,
    unparker: Unparker,
    done: Done,
}

/// # Safety
///
/// `pointer` is a `Frame<F, T>` whose caller waits until `done`, and this is the one call for it;
/// `F` and `T` are `Send`.
unsafe fn act_on_frame<S, F: FnOnce(&mut S) -> T, T>(pointer: NonNull<()>, order: Order<'_, S>) -> Ending {
    // SAFETY: the caller says that it is a `Frame<F, T>` whose owner waits for `done`, which is set at the end of this
    // function only. The frame's cells are not references: the owner looks at `done` meanwhile, and at nothing else.
    let frame = unsafe { pointer.cast::<Frame<F, T>>().as_ref() };
    // SAFETY: until `done` the closure and the outcome are this worker's alone: this is the one call for the frame, and
    // its owner wrote them before it pushed the index of the slot, which this worker has popped.
    let closure = unsafe { (*frame.closure.get()).take() };
    let (outcome, ending) = match order {
        Order::Run(state) => match caught(|| closure.map(|closure| closure(state))) {
            Ok(Some(value)) if frame.wants_commit => {
                // SAFETY: as below. The frame stays this worker's until the `Uncommitted` ends.
                unsafe { *frame.outcome.get() = Some(Ok(value)) };
                return Ending::RanUncommitted(Uncommitted { pointer, end: end_frame::<F, T> });
            }
            Ok(value) => (value.ok_or(CallError::Closed), Ending::Ran),
            Err(message) => (Err(CallError::Panicked(message)), Ending::Panicked { unheard: None }),
        },
        Order::Refuse(refusal) => {
            let _ = caught(|| drop(closure));
            (Err(refusal.into()), Ending::Refused { unheard: None })
        }
    };
    // SAFETY: still before `done`, so it is this worker's alone; nobody keeps a reference into it.
    unsafe { *frame.outcome.get() = Some(outcome) };
    frame.let_go();
    ending
}

/// # Safety
///
/// `pointer` is a `Frame<F, T>` whose caller waits until `done`, and whose job this worker has run; this is the one call for
/// it.
unsafe fn end_frame<F, T>(pointer: NonNull<()>, uncommitted: Option<String>) {
    // SAFETY: the caller says that it is such a frame, whose owner looks at `done` and at nothing else before that is set.
    let frame = unsafe { pointer.cast::<Frame<F, T>>().as_ref() };
    // SAFETY: before `done` it is this worker's alone; nobody keeps a reference into it.
    unsafe { *frame.uncommitted.get() = uncommitted };
    frame.let_go();
}

impl<F, T> Frame<F, T> {
    /// Gives the frame back to its owner, and wakes it: the worker's last touch.
    fn let_go(&self) {
        // Copied first: after `done` the frame may be gone.
        let unparker = self.unparker;
        self.done.set();
        unparker.unpark();
    }

    fn into_outcome(self) -> Result<T, CallError> {
        let outcome = self.outcome.into_inner().unwrap_or(Err(CallError::Closed));
        match self.uncommitted.into_inner() {
            // A value that was made of what is not there.
            Some(reason) => outcome.and(Err(CallError::NotCommitted(reason))),
            None => outcome,
        }
    }
}

/// Puts a closure into a free slot, lets `enqueue` bring the slot to the workers, and waits for the
/// end of the job.
///
/// # Cancellation
///
/// A cancellation point, but not before it waits. Where the job was taken the request stays
/// pending.
pub(crate) fn call<S, F, T>(
    io: &dyn Io,
    slot: &Slot<S>,
    enqueue: impl FnOnce(),
    closure: F,
    wants_commit: bool,
) -> Result<T, CallError>
where
    F: FnOnce(&mut S) -> T + Send,
    T: Send,
{
    let frame = Frame {
        closure: UnsafeCell::new(Some(closure)),
        outcome: UnsafeCell::new(None),
        wants_commit,
        uncommitted: UnsafeCell::new(None),
        unparker: current(|context| context.unparker()),
        done: Done::new(),
    };
    let withdrawn = {
        // The frame is lent from here on: nothing may unwind it.
        let abort = AbortOnUnwind;
        let pointer = NonNull::from(&frame).cast();
        let generation = slot.put(RawJob { pointer, act: act_on_frame::<S, F, T> });
        enqueue();
        let withdrawn = wait(io, || frame.done.is_set(), || slot.word.cancel(generation));
        std::mem::forget(abort);
        withdrawn
    };
    match withdrawn {
        Some(canceled) => Err(canceled.into()),
        None => frame.into_outcome(),
    }
}

/// Waits until `done`. A request ends the wait if `withdraw` succeeds, and stays pending if not.
fn wait(io: &dyn Io, done: impl Fn() -> bool, withdraw: impl FnOnce() -> bool) -> Option<Canceled> {
    current(|context| {
        while !done() {
            if let Err(canceled) = context.check_within_wait(io) {
                if withdraw() {
                    return Some(canceled);
                }
                context.recancel(canceled);
                break;
            }
            io.park(context.deadline());
        }
        while !done() {
            io.park(None);
        }
        None
    })
}

/// Ends the process where an unwinding would free what a worker uses: out of somebody's `Io`.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        process::abort();
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::State(message) => CallError::State(message.to_string()),
            Refusal::Closed => CallError::Closed,
        }
    }
}
