//! Waiting on an atomic word: a building block for locks and other primitives.
//!
//! The value of a word says whether there is something to wait for. If there is, a context waits for as long as the
//! word has that value. A context that changes the word wakes the waiters. No wake-up is missed: [`wait()`] checks the
//! word and enters the queue in one step, and [`wake`] comes after the change. A word needs no memory besides itself:
//! the queues are shared by all words, and a wait allocates nothing.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use iolite_io::{Canceled, Io, sync::futex};
//!
//! /// Counts down, and releases all contexts that wait for zero.
//! struct Latch(AtomicU32);
//!
//! impl Latch {
//!     fn count_down(&self) {
//!         if self.0.fetch_sub(1, Ordering::Release) == 1 {
//!             futex::wake(&self.0, usize::MAX);
//!         }
//!     }
//!
//!     fn wait(&self, io: &dyn Io) -> Result<(), Canceled> {
//!         loop {
//!             match self.0.load(Ordering::Acquire) {
//!                 0 => return Ok(()),
//!                 count => futex::wait(io, &self.0, count)?,
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! Like everything in [`sync`](super), it works between contexts of any kind, even of two backends. It is not
//! `futex(2)`: it does not wake other processes, nor threads that wait in the kernel for the same word.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// Waits until it is [woken](wake), while `word` has the value `expected`. Returns at once if `word` has another value.
///
/// A return says nothing about the word: check it, and wait again. Writes before the `wake`, and writes before a change
/// of the word with [`Release`](Ordering::Release), are visible after the return.
///
/// # Cancellation
///
/// A cancellation point, even if it does not have to wait. A canceled wait takes no wake-up from other waiters.
///
/// # Errors
///
/// [`Canceled`].
pub fn wait(io: &dyn Io, word: &AtomicU32, expected: u32) -> Result<(), Canceled> {
    call(io, Waiting { word, expected }, Until::Canceled)
}

/// Waits like [`wait()`]. Requests do not end the wait.
///
/// # Cancellation
///
/// Not a cancellation point.
pub fn wait_uncancelable(io: &dyn Io, word: &AtomicU32, expected: u32) {
    uncancelable(|until| call(io, Waiting { word, expected }, until));
}

/// Returns a source that is ready when [`wait()`] would return. For [`select`](crate::Io#method.select).
pub fn on_wait(word: &AtomicU32, expected: u32) -> impl Selectable<Output = ()> + '_ {
    Queued::new(Waiting { word, expected })
}

/// Wakes up to `count` waiters on `word`, those that have waited longest first. Returns the number of waiters that it
/// woke.
///
/// Change the word before the call. Never suspends; works from any thread.
pub fn wake(word: &AtomicU32, count: usize) -> usize {
    let address = address_of(word);
    let woken = bucket_of(address).lock().release_some(count, |other| *other == address);
    let count = woken.len();
    woken.wake();
    count
}

/// The waiters of some words, each with the address of its word. A waiter borrows its word, so no other object has that
/// address during the wait.
type Bucket = Lock<WaitQueue<usize>>;

/// A power of two.
const BUCKETS: usize = 64;

fn bucket_of(address: usize) -> &'static Bucket {
    static ALL: [Bucket; BUCKETS] = [const { Lock::new(WaitQueue::new()) }; BUCKETS];
    &ALL[index_of(address)]
}

fn index_of(address: usize) -> usize {
    // Words are adjacent in an array, or whole pages apart. The high bits of the product depend on all bits of the
    // address.
    let hash = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - BUCKETS.ilog2())) as usize
}

fn address_of(word: &AtomicU32) -> usize {
    ptr::from_ref(word).addr()
}

struct Waiting<'a> {
    word: &'a AtomicU32,
    expected: u32,
}

impl Call for Waiting<'_> {
    type State = WaitQueue<usize>;
    type Value = usize;
    type Output = ();

    fn lock(&self) -> &Bucket {
        bucket_of(address_of(self.word))
    }

    fn queue(bucket: &mut WaitQueue<usize>) -> &mut WaitQueue<usize> {
        bucket
    }

    fn attempt(&self, _: &mut WaitQueue<usize>, comer: Option<&Choice>) -> Option<Done<usize>> {
        // Acquire: pairs with the change of the word, if that releases. If the changing context takes the lock of the
        // bucket before this call did, the change is visible here in any case; if it takes the lock later, it finds
        // this waiter in the queue.
        if self.word.load(Ordering::Acquire) == self.expected { None } else { Done::alone(None, comer) }
    }

    fn bring(&self) -> Option<usize> {
        Some(address_of(self.word))
    }

    fn output(self, _: Option<usize>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_a_row_and_words_on_pages_are_spread_over_the_buckets() {
        for distance in [4, 64, 4096, 1 << 20] {
            let mut hits = [0; BUCKETS];
            (0..4 * BUCKETS).for_each(|number| hits[index_of(0x7f00_1234_5000 + number * distance)] += 1);
            assert!(hits.iter().all(|hits| *hits <= 16), "{distance}: {hits:?}");
        }
    }
}
