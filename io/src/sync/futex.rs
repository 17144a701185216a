//! Waiting on a word of one's own: what a lock, or whatever else waits, can be built on.
//!
//! A word says by its value whether there is something to wait for. Who finds that there is waits, for as long as the
//! word has that value; who changes it wakes who waits. The two miss nothing: [`wait()`] looks at the word and enters the
//! queue in one step, and [`wake`] comes after the change. A word costs nothing but itself: the queues are shared by
//! all words, and a wait needs no memory.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use iolite_io::{Canceled, Io, sync::futex};
//!
//! /// Counts down, and lets all go who wait for zero.
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
//! As everything in [`sync`](super) it works between contexts of any kind, also of two backends. It is no `futex(2)`:
//! other processes are not woken, nor is who waits in the kernel for the same word.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued, call};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{Choice, WaitQueue};
use crate::{Canceled, Io};

/// Waits until it is [woken](wake), for as long as `word` has the value `expected`: returns at once when it has another.
///
/// That it returns says nothing about the word: look at it, and wait again. What happened before the `wake`, and before
/// a change of the word with [`Release`](Ordering::Release), is visible afterwards.
///
/// # Cancellation
///
/// A cancellation point, even if it need not wait. A canceled wait takes no wake-up from others.
///
/// # Errors
///
/// [`Canceled`].
pub fn wait(io: &dyn Io, word: &AtomicU32, expected: u32) -> Result<(), Canceled> {
    call(io, Waiting { word, expected }, Until::Canceled)
}

/// As [`wait()`], whatever is requested meanwhile.
///
/// # Cancellation
///
/// Not a cancellation point.
pub fn wait_uncancelable(io: &dyn Io, word: &AtomicU32, expected: u32) {
    uncancelable(|until| call(io, Waiting { word, expected }, until));
}

/// A [`wait()`], as one of many things to [wait for](crate::Io#method.select).
pub fn on_wait(word: &AtomicU32, expected: u32) -> impl Selectable<Output = ()> + '_ {
    Queued::new(Waiting { word, expected })
}

/// Wakes `count` of those who wait on `word`, the longest waiting first, or all, if they are fewer. Says how many.
///
/// Change the word before. Never suspends; from any thread.
pub fn wake(word: &AtomicU32, count: usize) -> usize {
    let address = address_of(word);
    let woken = bucket_of(address).lock().release_some(count, |other| *other == address);
    let count = woken.len();
    woken.wake();
    count
}

/// Who waits, each with the address of its word, which it borrows: nothing else is there meanwhile.
type Bucket = Lock<WaitQueue<usize>>;

/// A power of two.
const BUCKETS: usize = 64;

fn bucket_of(address: usize) -> &'static Bucket {
    static ALL: [Bucket; BUCKETS] = [const { Lock::new(WaitQueue::new()) }; BUCKETS];
    &ALL[index_of(address)]
}

fn index_of(address: usize) -> usize {
    // Words lie in a row, or as far apart as pages: the product's high bits depend on all of an address.
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
        // Acquire: pairs with the change of the word, if that releases. Who changes it and takes the bucket's lock
        // before this took it is seen in any case; who takes it later finds this one in the queue.
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
