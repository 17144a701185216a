//! Jobs: closures on their way to a worker, in a box or in the stack frame of a waiting caller.
//!
//! These rules say who may touch a job's memory, and when:
//!
//! - A **posted** job is a box. It belongs first to the slot that holds it, and then to the worker that has taken it,
//!   which consumes the box by running or refusing the job.
//! - A **called** job is a [`Frame`] on the caller's stack. When the slot is published, the closure and the outcome
//!   pass to the worker that takes the job, until that worker sets `done`. They belong to the caller again after `done`
//!   is set, or after the caller has won [`Slot::cancel`]. [`call`] neither returns nor unwinds in between. A canceled
//!   slot still contains the pointer, but nobody follows it.
//!   If the caller has asked for the commit, the worker keeps the frame as [`Uncommitted`] after it has run the job,
//!   and sets `done` when the run was committed, or when it is certain that it will not be.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;

use iolite_io::backend::{AbortOnUnwind, Unparker, current};
use iolite_io::{Canceled, Io};

use crate::CallError;
use crate::done::Done;
use crate::panics::caught;
use crate::word::{Generation, Taken, Word};

/// A place for one job in a queue.
pub(crate) struct Slot<S> {
    word: Word,
    /// Belongs to the thread that has brought the word into `HELD`.
    job: UnsafeCell<MaybeUninit<RawJob<S>>>,
}

// SAFETY: a slot holds pointers to closures that are `Send` (`post` and `call` require it) and pointers to functions.
// The word ensures that the thread that follows them is alone. No `S` is in the slot: the state is the worker's.
unsafe impl<S> Send for Slot<S> {}
// SAFETY: two threads can share the slot's word, which is atomic, and its job, which is touched only in `HELD`. Only
// one thread at a time is in `HELD`, and the queue that has brought it the slot's index orders it after the thread
// before.
unsafe impl<S> Sync for Slot<S> {}

/// A job that a worker has taken. If it is dropped before it was run, it is refused.
pub(crate) struct Job<S>(RawJob<S>);

/// The outcome of a job, for the worker's counts.
#[derive(Debug)]
pub(crate) enum Ending {
    Ran,
    /// The job ran, and its caller waits for the commit of the run.
    RanUncommitted(Uncommitted),
    /// The text to report, or nothing if a caller was told.
    Panicked {
        unheard: Option<String>,
    },
    /// The text to report, or nothing if a caller was told.
    Refused {
        unheard: Option<String>,
    },
}

/// A job that has run, and whose caller waits for the commit. If it is dropped, it counts as not committed.
#[must_use]
#[derive(Debug)]
pub(crate) struct Uncommitted {
    /// A frame whose owner waits for its `done`.
    pointer: NonNull<()>,
    /// Ends that wait. Must be called only once.
    end: unsafe fn(NonNull<()>, Option<String>),
}

/// The reason why a worker does not run a job that it has taken.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The worker has no state, for this reason.
    State(Arc<str>),
    /// The worker gave up.
    Closed,
}

/// A type-erased pointer to a job, and the function that consumes the job.
struct RawJob<S> {
    pointer: NonNull<()>,
    /// Consumes the job. Must be called once, by the thread that has taken the job.
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

    /// Puts a boxed closure into a slot. The slot's index comes from the free list, so the slot is free.
    pub(crate) fn post<F: FnOnce(&mut S) + Send + 'static>(&self, closure: F) {
        let pointer = NonNull::from(Box::leak(Box::new(closure))).cast();
        self.put(RawJob { pointer, act: act_on_box::<S, F> });
    }

    /// Takes the job of a slot whose index was popped, or returns `None` if the caller has withdrawn the job. In both
    /// cases the slot is free afterwards.
    pub(crate) fn take(&self) -> Option<Job<S>> {
        match self.word.take() {
            Taken::Job => {
                // SAFETY: `take` says that the word is in `HELD`, after the `publish` of a job that `put` has written.
                // The job is moved out once, before `free`.
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
        // SAFETY: `put` wrote the two together, so `pointer` is what `act` requires. `take` has moved them out of the
        // slot once, and the only `Job` with them is forgotten above, so this is the one call.
        unsafe { act(pointer, order) }
    }
}

impl<S> Drop for Job<S> {
    fn drop(&mut self) {
        // SAFETY: the same as for the call in `act`, which forgets the jobs that it consumes. So no other call was made
        // for this one.
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
    // SAFETY: the caller promises that it is a leaked box of an `F`, and that nobody else has made a box from it.
    let closure = unsafe { Box::from_raw(pointer.cast::<F>().as_ptr()) };
    match order {
        Order::Run(state) => match caught(|| closure(state)) {
            Ok(()) => Ending::Ran,
            Err(message) => Ending::Panicked { unheard: Some(message) },
        },
        Order::Refuse(refusal) => {
            // The values that the closure owns may panic when they are dropped; the job is refused nevertheless.
            let _ = caught(|| drop(closure));
            Ending::Refused { unheard: Some(CallError::from(refusal).to_string()) }
        }
    }
}

impl Uncommitted {
    /// Lets the caller continue: the run was committed, or it was not committed for this reason.
    pub(crate) fn end(self, result: Result<(), String>) {
        let Self { pointer, end } = self;
        std::mem::forget(self);
        // SAFETY: `act_on_frame` made both from one frame, whose owner waits for this. The only `Uncommitted` of that
        // frame is forgotten above, so this is the one call.
        unsafe { end(pointer, result.err()) };
    }
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        // SAFETY: the same as in `end`, which forgets those that it consumes. So no call was made for this one.
        unsafe { (self.end)(self.pointer, Some("the worker gave up".into())) };
    }
}

/// A called job, on its caller's stack.
struct Frame<F, T> {
    closure: UnsafeCell<Option<F>>,
    outcome: UnsafeCell<Option<Result<T, CallError>>>,
    /// The caller waits for the commit of the run.
    wants_commit: bool,
    /// The reason why the run that contained the job was not committed.
    uncommitted: UnsafeCell<Option<String>>,
    unparker: Unparker,
    done: Done,
}

/// # Safety
///
/// `pointer` is a `Frame<F, T>` whose caller waits until `done`, and this is the one call for it. `F` and `T` are
/// `Send`.
unsafe fn act_on_frame<S, F: FnOnce(&mut S) -> T, T>(pointer: NonNull<()>, order: Order<'_, S>) -> Ending {
    // SAFETY: the caller promises that it is a `Frame<F, T>` whose owner waits for `done`, which is set only at the end
    // of this function. No references to the frame's cells exist: until then, the owner looks at `done` and at nothing
    // else.
    let frame = unsafe { pointer.cast::<Frame<F, T>>().as_ref() };
    // SAFETY: until `done`, the closure and the outcome belong to this worker alone: this is the one call for the
    // frame, and its owner wrote them before it pushed the index of the slot, which this worker has popped.
    let closure = unsafe { (*frame.closure.get()).take() };
    let (outcome, ending) = match order {
        Order::Run(state) => match caught(|| closure.map(|closure| closure(state))) {
            Ok(Some(value)) if frame.wants_commit => {
                // SAFETY: the same as below. The frame belongs to this worker until the `Uncommitted` ends.
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
    // SAFETY: this is still before `done`, so the outcome belongs to this worker alone; nobody keeps a reference into
    // it.
    unsafe { *frame.outcome.get() = Some(outcome) };
    frame.let_go();
    ending
}

/// # Safety
///
/// `pointer` is a `Frame<F, T>` whose caller waits until `done`, and whose job this worker has run. This is the one
/// call for it.
unsafe fn end_frame<F, T>(pointer: NonNull<()>, uncommitted: Option<String>) {
    // SAFETY: the caller promises that it is such a frame, whose owner looks only at `done` before `done` is set.
    let frame = unsafe { pointer.cast::<Frame<F, T>>().as_ref() };
    // SAFETY: before `done` it belongs to this worker alone; nobody keeps a reference into it.
    unsafe { *frame.uncommitted.get() = uncommitted };
    frame.let_go();
}

impl<F, T> Frame<F, T> {
    /// Returns the frame to its owner and wakes the owner. This is the worker's last access.
    fn let_go(&self) {
        // Copied first: after `done` is set, the frame may be gone.
        let unparker = self.unparker;
        self.done.set();
        unparker.unpark();
    }

    fn into_outcome(self) -> Result<T, CallError> {
        let outcome = self.outcome.into_inner().unwrap_or(Err(CallError::Closed));
        match self.uncommitted.into_inner() {
            // The value is dropped: it may rely on data that was not committed.
            Some(reason) => outcome.and(Err(CallError::NotCommitted(reason))),
            None => outcome,
        }
    }
}

/// Puts a closure into a free slot, lets `enqueue` bring the slot to the workers, and waits for the end of the job.
///
/// # Cancellation
///
/// A cancellation point once it waits, but not before. If the job was already taken, the request stays pending.
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
        // From here on, the worker borrows the frame: no panic may unwind it.
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

/// Waits until `done` returns true. A request ends the wait if `withdraw` succeeds; otherwise the request stays
/// pending.
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

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::State(message) => CallError::State(message.to_string()),
            Refusal::Closed => CallError::Closed,
        }
    }
}
