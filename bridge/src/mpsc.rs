//! A bounded lock-free ring: many producers, one consumer. The carrier of one worker's keyed jobs.
//!
//! Positions count up for ever; position `p` lives in cell `p % capacity`. A cell's sequence says
//! whose turn it is:
//!
//! ```text
//!   2p             free for the producer of position p
//!   2p + 1         holds the item of position p, for the consumer
//!   2(p + capacity) free again, for the producer one lap later
//! ```
//!
//! A producer owns position `p` when it moved `tail` from `p` to `p + 1`, which it tries only while
//! the cell says `2p`. Items are consumed in the order of positions. A producer that stops between
//! its two steps holds up the items behind it, but no other producer. Twice the position, so that
//! the states differ also with a capacity of one.
//!
//! `tests/loom_mpsc.rs` runs this very file under loom.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::primitive::{AtomicBool, AtomicU64, Ordering, UnsafeCell};

/// The ring. Producers use it directly, the consumer through [`Ring::consumer`].
pub(crate) struct Ring<T> {
    /// The next position to be produced. Moved by producers; publishes nothing, the sequences do.
    tail: Apart<AtomicU64>,
    /// The next position to be consumed. Written by the consumer alone.
    head: Apart<AtomicU64>,
    /// Whether there is a consumer. Its Release on leaving publishes `head` to the next one.
    consumed: AtomicBool,
    cells: Box<[Cell<T>]>,
}

struct Cell<T> {
    /// Release by who filled or emptied the cell, Acquire by who has the next turn.
    sequence: AtomicU64,
    item: UnsafeCell<MaybeUninit<T>>,
}

/// Keeps what producers write and what the consumer writes on cache lines of their own.
#[repr(align(128))]
struct Apart<T>(T);

// SAFETY: an item moves from the producer that owns its position to the one consumer; the cell's
// sequence orders the two, so no cell is ever touched from two threads at once.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: through a `&Ring<T>` threads get items by value only, never a reference to one, so `T: Send` is enough; and
// they touch each cell one after the other, by its sequence.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// Makes a ring that holds up to `capacity` items.
    ///
    /// # Panics
    ///
    /// When the capacity is 0.
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

    /// Appends an item; it comes back when the ring is full.
    ///
    /// It may also come back when the consumer has just made room and nothing tells this thread so.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut position = self.tail.0.load(Ordering::Relaxed);
        loop {
            let cell = self.cell(position);
            // Acquire: the consumer has read the item of the lap before.
            let sequence = cell.sequence.load(Ordering::Acquire);
            if sequence == 2 * position {
                match self.tail.0.compare_exchange_weak(position, position + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        // SAFETY: this producer alone moved `tail` past `position`, and while the
                        // cell says `2 * position` nobody else touches it. What it held was moved
                        // out before the consumer's Release that the load above has acquired.
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

    /// Becomes the consumer; `None` while there is another.
    pub(crate) fn consumer(&self) -> Option<Consumer<'_, T>> {
        // Acquire: receives `head` from the consumer before.
        let taken = self.consumed.swap(true, Ordering::Acquire);
        // Lazily: a consumer that is dropped makes place for another.
        (!taken).then(|| Consumer { ring: self, not_sync: PhantomData })
    }

    /// Returns true if there is nothing to pop, as far as this thread can tell. For the consumer, or whoever only asks.
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.0.load(Ordering::Relaxed);
        // Relaxed: it takes nothing. That a sleeper sees what was pushed is up to the fences of `wake.rs`.
        self.cell(head).sequence.load(Ordering::Relaxed) != 2 * head + 1
    }

    fn cell(&self, position: u64) -> &Cell<T> {
        // The remainder is below the count of cells, which is a usize.
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
        // Relaxed: written by consumers only, of which this is the one.
        let position = self.ring.head.0.load(Ordering::Relaxed);
        let cell = self.ring.cell(position);
        // Acquire: pairs with the Release store in `push`.
        if cell.sequence.load(Ordering::Acquire) != 2 * position + 1 {
            return None;
        }
        // SAFETY: the sequence says that the item of `position` is here, written before the Release
        // that was just acquired. `head` moves on below, so it is read out once; there is one
        // consumer, and `Consumer` is not `Sync` by its marker, so nobody else is in here.
        let item = cell.item.with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.ring.head.0.store(position + 1, Ordering::Relaxed);
        // Release: the item is out before the cell is free for the next lap.
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
