//! A bounded lock-free ring with many producers and one consumer. It carries one worker's keyed jobs.
//!
//! Positions count up and never wrap; position `p` lives in cell `p % capacity`. A cell's sequence says whose turn it
//! is:
//!
//! ```text
//!   2p             free for the producer of position p
//!   2p + 1         holds the item of position p, for the consumer
//!   2(p + capacity) free again, for the producer one lap later
//! ```
//!
//! A producer owns position `p` when it has moved `tail` from `p` to `p + 1`, which it tries only while the cell says
//! `2p`. Items are consumed in the order of positions. A producer that stops between its two steps holds up the items
//! behind it, but no other producer. The sequence is twice the position, so that the states differ even with a capacity
//! of one.
//!
//! `tests/loom_mpsc.rs` runs this very file under loom.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::primitive::{AtomicBool, AtomicU64, Ordering, UnsafeCell};

/// The ring. Producers use it directly, the consumer uses it through [`Ring::consumer`].
pub(crate) struct Ring<T> {
    /// The next position to be produced. Producers move it. It publishes nothing: the sequences do.
    tail: Apart<AtomicU64>,
    /// The next position to be consumed. Only the consumer writes it.
    head: Apart<AtomicU64>,
    /// Set while there is a consumer. The Release of a leaving consumer publishes `head` to the next one.
    consumed: AtomicBool,
    cells: Box<[Cell<T>]>,
}

struct Cell<T> {
    /// Stored with Release by the thread that filled or emptied the cell, and loaded with Acquire by the thread that
    /// has the next turn.
    sequence: AtomicU64,
    item: UnsafeCell<MaybeUninit<T>>,
}

/// Keeps the fields that producers write and those that the consumer writes on separate cache lines.
#[repr(align(128))]
struct Apart<T>(T);

// SAFETY: an item moves from the producer that owns its position to the one consumer. The cell's sequence orders the
// two, so two threads never touch a cell at once.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: through a `&Ring<T>`, threads get items only by value and never a reference to one, so `T: Send` is enough.
// They touch each cell one after the other, ordered by its sequence.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// Makes a ring that holds up to `capacity` items.
    ///
    /// # Panics
    ///
    /// If the capacity is 0.
    pub(crate) fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a ring holds at least one item");
        let cell = |position: usize| Cell {
            sequence: AtomicU64::new(2 * position as u64),
            item: UnsafeCell::new(MaybeUninit::uninit()),
        };
        Self {
            tail: Apart(AtomicU64::new(0)),
            head: Apart(AtomicU64::new(0)),
            consumed: AtomicBool::new(false),
            cells: (0..capacity).map(cell).collect(),
        }
    }

    /// Appends an item, or returns it if the ring is full.
    ///
    /// It may also return the item if the consumer has just made room and this thread has not seen that yet.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut position = self.tail.0.load(Ordering::Relaxed);
        loop {
            let cell = self.cell(position);
            // Acquire: pairs with the Release in `pop`, by which the consumer has read the item of the previous lap.
            let sequence = cell.sequence.load(Ordering::Acquire);
            if sequence == 2 * position {
                match self.tail.0.compare_exchange_weak(position, position + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        // SAFETY: this producer alone moved `tail` past `position`, and while the cell says
                        // `2 * position` nobody else touches it. Its previous item was moved out before the consumer's
                        // Release that the load above has acquired.
                        cell.item.with_mut(|slot| unsafe { (*slot).write(item) });
                        // Release: pairs with the Acquire load in `pop`.
                        cell.sequence.store(2 * position + 1, Ordering::Release);
                        return Ok(());
                    }
                    Err(now) => position = now,
                }
            } else {
                let now = self.tail.0.load(Ordering::Relaxed);
                if now == position && sequence < 2 * position {
                    return Err(item);
                }
                position = now;
            }
        }
    }

    /// Becomes the consumer, or returns `None` while there is another one.
    pub(crate) fn consumer(&self) -> Option<Consumer<'_, T>> {
        // Acquire: receives `head` from the previous consumer.
        let taken = self.consumed.swap(true, Ordering::Acquire);
        // Lazily: dropping a `Consumer` makes room for another one.
        (!taken).then(|| Consumer { ring: self, not_sync: PhantomData })
    }

    /// Returns true if there is nothing to pop, as far as this thread can tell. Meant for the consumer, and for threads
    /// that only look.
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.0.load(Ordering::Relaxed);
        // Relaxed: it takes nothing. The fences of `wake.rs` ensure that a worker that goes to sleep sees pushed items.
        self.cell(head).sequence.load(Ordering::Relaxed) != 2 * head + 1
    }

    fn cell(&self, position: u64) -> &Cell<T> {
        // The remainder is below the number of cells, which is a usize.
        #[allow(clippy::cast_possible_truncation)]
        &self.cells[(position % self.cells.len() as u64) as usize]
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer() {
            while consumer.pop().is_some() {}
        }
    }
}

/// The right to take items out of a [`Ring`]; there is one at a time.
pub(crate) struct Consumer<'a, T> {
    ring: &'a Ring<T>,
    /// Not `Sync`: two threads must not pop through one consumer.
    not_sync: PhantomData<std::cell::Cell<()>>,
}

impl<T> Consumer<'_, T> {
    /// Takes the oldest item.
    pub(crate) fn pop(&self) -> Option<T> {
        // Relaxed: only consumers write it, and this is the only one.
        let position = self.ring.head.0.load(Ordering::Relaxed);
        let cell = self.ring.cell(position);
        // Acquire: pairs with the Release store in `push`.
        if cell.sequence.load(Ordering::Acquire) != 2 * position + 1 {
            return None;
        }
        // SAFETY: the sequence says that the item of `position` is here, written before the Release that was just
        // acquired. `head` moves on below, so the item is read out once. There is one consumer, and its marker makes
        // `Consumer` not `Sync`, so nobody else is in here.
        let item = cell.item.with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.ring.head.0.store(position + 1, Ordering::Relaxed);
        // Release: the item has been read out before the cell is free for the next lap.
        cell.sequence.store(2 * (position + self.ring.cells.len() as u64), Ordering::Release);
        Some(item)
    }
}

impl<T> Drop for Consumer<'_, T> {
    fn drop(&mut self) {
        // Release: see `consumer`.
        self.ring.consumed.store(false, Ordering::Release);
    }
}
