//! Waiting for several things at once, by many tasks and under cancellation: nothing is lost or taken twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::sync::{
    Event, Mutex, RwLock, Semaphore, SemaphorePermit,
    mpmc::{Receiver, Sender, channel},
};
use iolite_io::{
    Io,
    select::{OneOf2, OneOf3, OneOf4, Selectable},
};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{Race, Random, Watchdog, attempt, concurrently, rounds, scope};

pub(crate) const CASES: &[Case] = cases![
    an_item_is_received_or_still_there(0),
    an_item_is_received_or_still_there(1),
    a_permit_is_taken_or_still_there,
];

pub(crate) const PAIRS: &[Case] = pairs![
    every_item_is_accounted_for(1, 0),
    every_item_is_accounted_for(1, 2),
    every_item_is_accounted_for(2, 0),
    every_item_is_accounted_for(2, 2),
    permits_and_locks_are_conserved(1),
    permits_and_locks_are_conserved(2),
    two_ways_into_one_lock_are_conserved(1),
    two_ways_into_one_lock_are_conserved(2),
];

fn an_item_is_received_or_still_there(on: &On, capacity: usize) {
    on.on_thread(|io| {
        let ((sender, receiver), (_open, other)) = (channel(capacity), channel::<u32>(0));
        let mut next = 0;
        Race::new("one of many: an item", 2_000).run(|start| {
            next += 1;
            let mut left = None;
            let received = attempt(
                io,
                start,
                |io| match io.select((other.on_recv(), receiver.on_recv()))? {
                    OneOf2::Second(item) => Ok(item.expect("open")),
                    OneOf2::First(item) => panic!("{item:?}"),
                },
                || left = sender.try_send(next).err().map(|error| error.item),
            );
            assert_eq!([received, left, receiver.try_recv().ok()].into_iter().flatten().collect::<Vec<_>>(), [next]);
            received.is_some()
        });
    });
}

fn a_permit_is_taken_or_still_there(on: &On) {
    on.on_thread(|io| {
        let (permits, event) = (Semaphore::new(0), Event::new());
        Race::new("one of many: a permit", 2_000).run(|start| {
            let taken = attempt(
                io,
                start,
                |io| match io.select((event.on_wait(), permits.on_acquire()))? {
                    OneOf2::Second(permit) => {
                        permit.forget();
                        Ok(())
                    }
                    OneOf2::First(()) => unreachable!("it is never set"),
                },
                || permits.add_permits(1),
            );
            let left = permits.try_acquire();
            assert_eq!(left.is_some(), taken.is_none());
            left.into_iter().for_each(SemaphorePermit::forget);
            taken.is_some()
        });
    });
}

/// Two runtimes and plain threads, all of which wait for several things.
pub(crate) struct Crowd<'a> {
    one: &'a dyn Io,
    other: &'a dyn Io,
    random: Random,
}

impl<'a> Crowd<'a> {
    pub(crate) fn runtimes(&self) -> [&'a dyn Io; 2] {
        [self.one, self.other]
    }

    /// Runs `work` on two plain threads and in two tasks of each runtime, which are canceled again and again.
    pub(crate) fn run(&mut self, work: impl Fn(&dyn Io, usize, Random) + Sync) {
        let (work, ended) = (&work, &AtomicUsize::new(0));
        let mut randoms = (0..6).map(|_| self.random.fork()).collect::<Vec<_>>().into_iter().enumerate();
        let mut job = || {
            let (number, random) = randoms.next().expect("one of six");
            move |io: &dyn Io| {
                work(io, number, random);
                ended.fetch_add(1, Ordering::SeqCst);
            }
        };
        let (one, other) = (self.one, self.other);
        thread::scope(|threads| {
            for io in [one, other] {
                let job = job();
                threads.spawn(move || job(io));
            }
            scope(one, |ones| {
                scope(other, |others| {
                    let ours = [job(), job()].map(|job| concurrently(ones, job));
                    let theirs = [job(), job()].map(|job| concurrently(others, job));
                    while ended.load(Ordering::SeqCst) < 6 {
                        let index = self.random.below(2) as usize;
                        match self.random.below(2) {
                            0 => ours[index].request_cancel(),
                            _ => theirs[index].request_cancel(),
                        }
                        one.sleep(Duration::from_micros(self.random.below(200))).expect("nobody cancels this");
                    }
                });
            });
        });
    }
}

/// Runs the case with two runtimes.
pub(crate) fn crowd(name: &str, one: &On, other: &On, case: impl FnOnce(&mut Crowd<'_>)) {
    let _watchdog = Watchdog::start();
    let (one, other) = (one.start(), other.start());
    case(&mut Crowd { one: one.io(), other: other.io(), random: Random::new(name) });
    one.shutdown();
    other.shutdown();
}

/// Waits for one of the sources, sometimes with a short timeout. Returns `None` if it was canceled or timed out.
pub(crate) fn impatiently<S: Selectable>(io: &dyn Io, random: &mut Random, sources: S) -> Option<S::Output> {
    match random.below(4) {
        0 => io.timeout(Duration::from_micros(random.below(100)), |io| io.select(sources)).ok(),
        _ => io.select(sources).ok(),
    }
}

const CHANNELS: usize = 4;

/// Half of the crowd sends and half receives, all of them on every channel, each in its own order.
fn every_item_is_accounted_for(one: &On, other: &On, executors: usize, capacity: usize) {
    crowd("every item", &one.executors(executors), other, |crowd| {
        let per_sender = rounds(1_000);
        let channels: [_; CHANNELS] = [(); CHANNELS].map(|()| channel(capacity));
        let received: Vec<_> = (0..3 * per_sender).map(|_| AtomicUsize::new(0)).collect();
        let sending = AtomicUsize::new(3);
        crowd.run(|io, number, random| {
            let mut order: [_; CHANNELS] = std::array::from_fn(|index| index);
            order.rotate_left(number % CHANNELS);
            if number % 2 == 0 {
                send_all(io, random, order.map(|index| &channels[index].0), number / 2 * per_sender, per_sender);
                if sending.fetch_sub(1, Ordering::SeqCst) == 1 {
                    channels.iter().for_each(|(sender, _)| sender.close());
                }
            } else {
                receive_all(io, random, order.map(|index| &channels[index].1), &received);
            }
        });
        let wrong = received.iter().filter(|count| count.load(Ordering::SeqCst) != 1).count();
        assert_eq!(wrong, 0, "items that did not arrive exactly once");
    });
}

/// Sends `count` items, each through the first channel that takes one.
fn send_all(io: &dyn Io, mut random: Random, channels: [&Sender<usize>; CHANNELS], first: usize, count: usize) {
    let mut next = first..first + count;
    let mut slots: [_; CHANNELS] = [None; CHANNELS];
    loop {
        slots.iter_mut().filter(|slot| slot.is_none()).for_each(|slot| *slot = next.next());
        if slots == [None; CHANNELS] {
            return;
        }
        let before = slots;
        let mut places = slots.iter_mut();
        let sources = channels.map(|sender| sender.on_send(places.next().expect("as many")));
        let sent = impatiently(io, &mut random, sources);
        let gone = sent.map(|(index, sent)| sent.map(|()| index).expect("it is closed after all were sent"));
        for (index, (before, now)) in before.into_iter().zip(slots).enumerate() {
            assert_eq!(now, before.filter(|_| gone != Some(index)), "only what was sent is gone");
        }
    }
}

/// Counts all items until every channel is closed.
fn receive_all(io: &dyn Io, mut random: Random, channels: [&Receiver<usize>; CHANNELS], received: &[AtomicUsize]) {
    let mut open = [true; CHANNELS];
    while open.contains(&true) {
        let sources: Vec<_> =
            channels.iter().zip(open).map(|(receiver, open)| open.then(|| receiver.on_recv())).collect();
        match impatiently(io, &mut random, sources) {
            Some((_, Ok(item))) => drop(received[item].fetch_add(1, Ordering::SeqCst)),
            Some((index, Err(_))) => open[index] = false,
            None => {}
        }
    }
}

/// All take permits and locks of several at once, and return them.
fn permits_and_locks_are_conserved(one: &On, other: &On, executors: usize) {
    crowd("permits and locks", &one.executors(executors), other, |crowd| {
        let (few, many, lock) = (Semaphore::new(1), Semaphore::new(3), Mutex::new(0_usize));
        let (in_few, in_many, locked) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        // While it is held, there are at most `limit` holders.
        let hold = |io: &dyn Io, held: &AtomicUsize, count: usize, limit: usize| {
            assert!(held.fetch_add(count, Ordering::SeqCst) + count <= limit);
            io.yield_now();
            held.fetch_sub(count, Ordering::SeqCst);
        };
        let count = rounds(1_000);
        crowd.run(|io, number, mut random| {
            for _ in 0..count {
                let wanted = 1 + number % 3;
                match impatiently(io, &mut random, (few.on_acquire(), lock.on_lock(), many.on_acquire_many(wanted))) {
                    Some(OneOf3::First(_permit)) => hold(io, &in_few, 1, 1),
                    Some(OneOf3::Second(mut value)) => {
                        let before = *value;
                        io.yield_now();
                        *value = before + 1;
                        locked.fetch_add(1, Ordering::SeqCst);
                    }
                    Some(OneOf3::Third(permits)) => hold(io, &in_many, permits.count(), 3),
                    None => {}
                }
            }
        });
        assert_eq!((few.available(), many.available()), (1, 3));
        assert!(few.try_acquire().is_some() && many.try_acquire_many(3).is_some(), "nobody waits any more");
        assert_eq!(*lock.try_lock().expect("free"), locked.into_inner());
    });
}

/// All wait for two numbers of permits of one semaphore, and to read or to write, in any order.
fn two_ways_into_one_lock_are_conserved(one: &On, other: &On, executors: usize) {
    crowd("two ways into one lock", &one.executors(executors), other, |crowd| {
        let (permits, lock) = (Semaphore::new(4), RwLock::new(0_usize));
        let (held, written) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = rounds(1_000);
        crowd.run(|io, _, mut random| {
            for _ in 0..count {
                let mut number = || 1 + random.below(4) as usize;
                let wanted = [number(), number()];
                let [first, second] = wanted.map(|number| permits.on_acquire_many(number));
                match impatiently(io, &mut random, (first, lock.on_write(), second, lock.on_read())) {
                    Some(OneOf4::First(taken) | OneOf4::Third(taken)) => {
                        assert!(held.fetch_add(taken.count(), Ordering::SeqCst) + taken.count() <= 4);
                        io.yield_now();
                        held.fetch_sub(taken.count(), Ordering::SeqCst);
                    }
                    Some(OneOf4::Second(mut value)) => {
                        let before = *value;
                        io.yield_now();
                        *value = before + 1;
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                    Some(OneOf4::Fourth(value)) => {
                        let before = *value;
                        io.yield_now();
                        assert_eq!(*value, before, "nobody writes while somebody reads");
                    }
                    None => {}
                }
            }
        });
        assert_eq!(permits.available(), 4);
        assert!(permits.try_acquire_many(4).is_some(), "nobody waits any more");
        assert_eq!(*lock.try_write().expect("free"), written.into_inner());
    });
}
