//! All interleavings, up to a bound of preemptions, of the ring and of the cancel word.

#[allow(dead_code)]
mod primitive {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

#[allow(dead_code, unreachable_pub)]
#[path = "../src/mpsc.rs"]
mod mpsc;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/word.rs"]
mod word;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use mpsc::Ring;
use word::{Taken, Word};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Lets a producer push each number of items, with the producer's number in the tens, and consumes all.
///
/// One item has gone through before, so that the end of the ring is passed.
fn produce_and_consume(capacity: usize, items: &'static [usize]) {
    let ring = Arc::new(Ring::new(capacity));
    assert!(ring.push(0).is_ok());
    assert_eq!(ring.consumer().unwrap().pop(), Some(0));
    let producing: Vec<_> = (0..items.len())
        .map(|producer| {
            let ring = ring.clone();
            thread::spawn(move || {
                for item in 0..items[producer] {
                    let mut item = 10 * producer + item;
                    while let Err(back) = ring.push(item) {
                        item = back;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let consumer = ring.consumer().unwrap();
    assert!(ring.consumer().is_none(), "one consumer at a time");
    let mut next = vec![0; items.len()];
    for _ in 0..items.iter().sum() {
        let item = loop {
            match consumer.pop() {
                Some(item) => break item,
                None => thread::yield_now(),
            }
        };
        assert_eq!(item % 10, next[item / 10], "in order per producer, each once");
        next[item / 10] += 1;
    }
    assert_eq!(consumer.pop(), None);
    producing.into_iter().for_each(|producer| producer.join().unwrap());
}

#[test]
fn two_producers_of_one_item_each() {
    model(|| produce_and_consume(2, &[1, 1]));
}

#[test]
fn two_producers_over_the_end_of_the_ring() {
    model(|| produce_and_consume(3, &[2, 1]));
}

#[test]
fn one_producer_through_one_place() {
    model(|| produce_and_consume(1, &[3]));
}

#[test]
fn a_full_ring_takes_no_item_more() {
    model(|| {
        let ring = Arc::new(Ring::new(1));
        let pushing = [1, 2].map(|item| {
            let ring = ring.clone();
            thread::spawn(move || ring.push(item).is_ok())
        });
        let pushed = pushing.map(|pushing| pushing.join().unwrap());
        assert_eq!(pushed.iter().filter(|pushed| **pushed).count(), 1, "one place, one item");
        let consumer = ring.consumer().unwrap();
        assert_eq!(consumer.pop(), Some(if pushed[0] { 1 } else { 2 }));
        assert_eq!(consumer.pop(), None);
        assert!(ring.push(3).is_ok(), "and again on the next lap");
    });
}

#[test]
fn a_ring_drops_what_nobody_took() {
    model(|| {
        let item = Arc::new(());
        let ring = Arc::new(Ring::new(2));
        let producer = {
            let (ring, item) = (ring.clone(), item.clone());
            thread::spawn(move || drop(ring.push(item)))
        };
        drop(ring);
        producer.join().unwrap();
        assert_eq!(Arc::strong_count(&item), 1);
    });
}

/// A slot: the word, and a job that loom watches for touches from two threads at once.
struct Slot {
    word: Word,
    job: UnsafeCell<()>,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: Word::new(), job: UnsafeCell::new(()) })
    }

    fn touch_job(&self) {
        self.job.with_mut(|_| ());
    }
}

#[test]
fn a_job_is_taken_or_canceled_and_touched_by_one() {
    model(|| {
        let slot = Slot::new();
        let generation = slot.word.claim().unwrap();
        slot.touch_job();
        slot.word.publish(generation);
        let worker = {
            let slot = slot.clone();
            thread::spawn(move || match slot.word.take() {
                Taken::Job => {
                    slot.touch_job();
                    slot.word.free();
                    true
                }
                Taken::Canceled => false,
            })
        };
        let canceled = slot.word.cancel(generation);
        if canceled {
            // The caller's frame is its own again.
            slot.touch_job();
        }
        assert_ne!(worker.join().unwrap(), canceled, "exactly one of the two has the job");
    });
}

#[test]
fn a_late_cancel_does_not_hit_the_next_job_of_the_slot() {
    model(|| {
        let slot = Slot::new();
        let first = slot.word.claim().unwrap();
        slot.touch_job();
        slot.word.publish(first);
        let reuse = {
            let slot = slot.clone();
            // The worker takes the first job, and a producer puts in the next one.
            thread::spawn(move || {
                let taken = slot.word.take();
                if taken == Taken::Job {
                    slot.word.free();
                }
                let second = slot.word.claim().unwrap();
                slot.touch_job();
                slot.word.publish(second);
                taken
            })
        };
        let canceled = slot.word.cancel(first);
        let taken = reuse.join().unwrap();
        assert_eq!(canceled, taken == Taken::Canceled);
        assert_eq!(slot.word.take(), Taken::Job, "the second job is not touched by a cancel of the first");
    });
}

#[test]
fn a_cancel_of_an_earlier_generation_does_nothing() {
    model(|| {
        let word = Word::new();
        let first = word.claim().unwrap();
        word.publish(first);
        assert_eq!(word.take(), Taken::Job);
        assert!(!word.cancel(first), "taken");
        word.free();
        let second = word.claim().unwrap();
        word.publish(second);
        assert!(!word.cancel(first), "another job's turn");
        assert!(word.cancel(second));
        assert_eq!(word.take(), Taken::Canceled);
        assert!(word.claim().is_some_and(|third| third != second));
    });
}
