//! All interleavings, up to a bound of preemptions, of the ring, of the cancel word and of the end of a job.

#[path = "../src/done.rs"]
#[allow(dead_code)]
mod done;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/mpsc.rs"]
mod mpsc;
#[path = "../../io/tests/support/loom_primitive.rs"]
mod primitive;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/word.rs"]
mod word;

use done::Done;
use loom::sync::Arc;
use loom::thread;
use mpsc::Ring;
use primitive::{Guarded, explore};
use word::{Taken, Word};

/// Runs a model with up to three preemptions: two producers of one item each need them.
fn model(f: impl Fn() + Sync + Send + 'static) {
    explore(3, f);
}

/// Lets each producer push its number of items, with the producer's number in the tens, and consumes all of them.
///
/// One item has gone through before, so that the ring wraps around.
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

/// A slot: the word, and a job on which loom detects accesses from two threads at once.
struct Slot {
    word: Word,
    job: Guarded,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: Word::new(), job: Guarded::new() })
    }

    fn touch_job(&self) {
        self.job.write();
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
            // The caller's frame belongs to it again.
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

/// Models that fail with weaker orderings.
mod orders {
    use super::*;

    /// A slot whose index goes to the worker and comes back through rings, as it does through the queues of a bridge.
    struct Queue {
        slot: Slot,
        carrier: Ring<()>,
        free: Ring<()>,
    }

    impl Queue {
        fn new() -> Arc<Self> {
            let slot = Slot { word: Word::new(), job: Guarded::new() };
            Arc::new(Self { slot, carrier: Ring::new(1), free: Ring::new(1) })
        }

        fn put(&self) -> word::Generation {
            let generation = self.slot.word.claim().expect("free");
            self.slot.touch_job();
            self.slot.word.publish(generation);
            assert!(self.carrier.push(()).is_ok());
            generation
        }

        fn pop(&self) {
            if self.carrier.consumer().unwrap().pop().is_none() {
                return;
            }
            if self.slot.word.take() == Taken::Job {
                self.slot.touch_job();
                self.slot.word.free();
            }
            assert!(self.free.push(()).is_ok());
        }
    }

    #[test]
    fn who_takes_a_job_comes_after_who_put_it_in() {
        model(|| {
            let queue = Queue::new();
            let producer = {
                let queue = queue.clone();
                thread::spawn(move || _ = queue.put())
            };
            queue.pop();
            producer.join().unwrap();
        });
    }

    /// The worker takes the job or finds it canceled; in both cases the next producer gets the slot.
    #[test]
    fn the_next_producer_comes_after_the_job_before() {
        model(move || {
            let queue = Queue::new();
            let generation = queue.put();
            let worker = {
                let queue = queue.clone();
                thread::spawn(move || queue.pop())
            };
            let producer = {
                let queue = queue.clone();
                thread::spawn(move || {
                    if queue.free.consumer().unwrap().pop().is_some() {
                        let next = queue.put();
                        assert!(next != generation);
                    }
                })
            };
            let _ = queue.slot.word.cancel(generation);
            worker.join().unwrap();
            producer.join().unwrap();
        });
    }

    #[test]
    fn who_sees_the_end_of_its_job_has_its_frame_back() {
        model(|| {
            let frame = Arc::new((Done::new(), Guarded::new()));
            frame.1.write();
            let worker = {
                let frame = frame.clone();
                thread::spawn(move || {
                    frame.1.write();
                    frame.0.set();
                })
            };
            if frame.0.is_set() {
                frame.1.write();
            }
            worker.join().unwrap();
        });
    }

    /// A worker ends, and another thread becomes the consumer.
    #[test]
    fn the_next_consumer_goes_on_where_the_one_before_has_stopped() {
        model(|| {
            let ring = Arc::new(Ring::new(2));
            assert!(ring.push(1).is_ok() && ring.push(2).is_ok());
            let first = {
                let ring = ring.clone();
                thread::spawn(move || ring.consumer().and_then(|consumer| consumer.pop()))
            };
            let second = ring.consumer().and_then(|consumer| consumer.pop());
            let mut popped = [first.join().unwrap(), second];
            popped.sort_unstable();
            assert!([[None, Some(1)], [Some(1), Some(2)]].contains(&popped), "each once, in order: {popped:?}");
        });
    }

    #[test]
    fn an_item_goes_through_a_place_that_was_used_before() {
        model(|| {
            let ring = Arc::new(Ring::new(1));
            assert!(ring.push(Box::new(1)).is_ok());
            let producer = {
                let ring = ring.clone();
                thread::spawn(move || ring.push(Box::new(2)).is_ok())
            };
            let consumer = ring.consumer().unwrap();
            assert_eq!(consumer.pop().as_deref(), Some(&1));
            let second = consumer.pop();
            drop(consumer);
            let pushed = producer.join().unwrap();
            let third = ring.consumer().unwrap().pop();
            assert_eq!(second.or(third).is_some(), pushed);
        });
    }
}
