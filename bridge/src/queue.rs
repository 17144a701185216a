//! One bounded queue of jobs: slots, the indices of the free slots, and a carrier of the other indices.

use std::hint;

use crossbeam_queue::ArrayQueue;
use iolite_io::{Canceled, Io};

use crate::CallError;
use crate::job::{self, Job, Slot};
use crate::mpsc::{Consumer, Ring};
use crate::permits::Permits;

/// The maximum capacity of a queue, in jobs.
pub(crate) const CAPACITY_MAX: usize = 1 << 24;

/// Brings the indices of filled slots to the workers, in order. Everything before a push happens before everything
/// after the pop that returns the index. The same holds for the list of free slots.
pub(crate) trait Carrier {
    fn with_capacity(capacity: usize) -> Self;
    fn push(&self, index: u32) -> Result<(), u32>;
}

/// The end of a carrier from which a worker takes indices.
pub(crate) trait Source {
    fn pop(&self) -> Option<u32>;
}

/// A queue of up to `capacity` jobs.
///
/// A permit is room for one job, and there are as many slots and places in the carrier as there are permits. So the
/// holder of a permit finds a free slot and a place, at worst after an instant: the previous holder has returned them
/// before it released the permit.
pub(crate) struct Queue<S, C> {
    permits: Permits,
    free: ArrayQueue<u32>,
    slots: Box<[Slot<S>]>,
    carrier: C,
}

/// Room for one job. Dropping it returns the room.
#[must_use]
pub(crate) struct Room<'a, S, C>(&'a Queue<S, C>);

/// The result of taking from a queue.
pub(crate) enum Popped<S> {
    Job(Job<S>),
    /// The caller has withdrawn the job.
    Canceled,
}

impl<S, C: Carrier> Queue<S, C> {
    pub(crate) fn new(capacity: usize) -> Self {
        let free = ArrayQueue::new(capacity);
        let indices = 0..u32::try_from(capacity).expect("the builder bounds the capacity");
        let slots = indices.map(|index| {
            let _ = free.push(index);
            Slot::new()
        });
        let slots = slots.collect();
        Self { permits: Permits::new(capacity), free, slots, carrier: C::with_capacity(capacity) }
    }

    /// Waits for room.
    ///
    /// # Cancellation
    ///
    /// A cancellation point if it has to wait.
    #[inline]
    pub(crate) fn reserve(&self, io: &dyn Io) -> Result<Room<'_, S, C>, Canceled> {
        self.permits.acquire(io)?;
        Ok(Room(self))
    }

    pub(crate) fn try_reserve(&self) -> Option<Room<'_, S, C>> {
        // Lazily: dropping a `Room` returns its permit.
        self.permits.try_acquire().then(|| Room(self))
    }

    /// Takes the oldest job of `source`, the other end of this queue's carrier.
    #[inline]
    pub(crate) fn pop(&self, source: &impl Source) -> Option<Popped<S>> {
        let index = source.pop()?;
        let job = self.slots[index as usize].take();
        insist(index, |index| self.free.push(index));
        self.permits.release();
        Some(job.map_or(Popped::Canceled, Popped::Job))
    }

    /// See [`Permits::is_all_free`].
    pub(crate) fn is_all_free(&self) -> bool {
        self.permits.is_all_free()
    }

    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    pub(crate) fn carrier(&self) -> &C {
        &self.carrier
    }
}

impl<S, C: Carrier> Room<'_, S, C> {
    /// Puts a posted job into the room.
    pub(crate) fn post<F: FnOnce(&mut S) + Send + 'static>(self, closure: F) {
        let index = self.slot();
        self.0.slots[index as usize].post(closure);
        self.enqueue(index);
    }

    /// Puts a called job into the room, lets `wake` make sure that a worker comes, and waits for the end of the job, or
    /// for the commit of its run.
    ///
    /// # Cancellation
    ///
    /// The same as for [`job::call`].
    pub(crate) fn call<F, T>(
        self,
        io: &dyn Io,
        wake: impl FnOnce(),
        closure: F,
        wants_commit: bool,
    ) -> Result<T, CallError>
    where
        F: FnOnce(&mut S) -> T + Send,
        T: Send,
    {
        let index = self.slot();
        let slot = &self.0.slots[index as usize];
        let enqueue = || {
            self.enqueue(index);
            wake();
        };
        job::call(io, slot, enqueue, closure, wants_commit)
    }

    fn slot(&self) -> u32 {
        insist((), |()| self.0.free.pop().ok_or(()))
    }

    /// Pushes the index. From here on the permit belongs to the job, and the worker that takes the job returns it.
    fn enqueue(self, index: u32) {
        self.0.permits.count_accepted();
        insist(index, |index| self.0.carrier.push(index));
        std::mem::forget(self);
    }
}

impl<S, C> Drop for Room<'_, S, C> {
    fn drop(&mut self) {
        self.0.permits.release();
    }
}

/// Tries until it succeeds. That is at once, unless another thread is between two steps.
#[inline]
fn insist<T, R>(mut item: T, mut attempt: impl FnMut(T) -> Result<R, T>) -> R {
    loop {
        match attempt(item) {
            Ok(result) => return result,
            Err(back) => item = back,
        }
        hint::spin_loop();
    }
}

impl Carrier for ArrayQueue<u32> {
    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity)
    }

    fn push(&self, index: u32) -> Result<(), u32> {
        self.push(index)
    }
}

impl Source for ArrayQueue<u32> {
    fn pop(&self) -> Option<u32> {
        self.pop()
    }
}

impl Carrier for Ring<u32> {
    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity)
    }

    fn push(&self, index: u32) -> Result<(), u32> {
        self.push(index)
    }
}

impl Source for Consumer<'_, u32> {
    fn pop(&self) -> Option<u32> {
        self.pop()
    }
}
