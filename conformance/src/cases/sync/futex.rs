//! Words to wait on: nothing is missed, and no word disturbs another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::{Event, Semaphore, futex};
use iolite_io::{Group, Io, WaitError, select::OneOf2};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::cases::selection::select_races::crowd;
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    another_value_is_not_waited_for,
    as_many_are_woken_as_are_meant_and_in_order,
    who_is_canceled_takes_no_wake_up,
    words_do_not_disturb_each_other,
    a_word_is_one_of_many_things,
    a_wake_up_is_taken_or_left,
];

pub(crate) const PAIRS: &[Case] = pairs![a_lock_of_a_word_loses_no_update(1), a_lock_of_a_word_loses_no_update(2)];

const SHORT: Duration = Duration::from_millis(2);

fn another_value_is_not_waited_for(on: &On) {
    on.run(|io| {
        let word = AtomicU32::new(7);
        futex::wait(io, &word, 8).expect("not canceled");
        futex::wait_uncancelable(io, &word, 8);
        io.timeout_at(io.now() + SHORT, |io| futex::wait(io, &word, 8)).expect("no time is needed");
        let waited = io.timeout_at(io.now() + SHORT, |io| futex::wait(io, &word, 7));
        assert!(matches!(waited, Err(WaitError::TimedOut(_))));
        assert_eq!(futex::wake(&word, usize::MAX), 0, "nobody waits, and no wake-up is kept");
        let waited = io.timeout_at(io.now() + SHORT, |io| futex::wait(io, &word, 7));
        assert!(matches!(waited, Err(WaitError::TimedOut(_))));
    });
}

/// Starts a member that waits on the word while it is 0 and then acts. Returns when it waits.
fn waiter<'scope>(
    group: &'scope Group<'scope, '_>,
    io: &dyn Io,
    word: &'scope AtomicU32,
    act: impl FnOnce() + Send + 'scope,
) {
    let seen = Arc::new(Semaphore::new(1));
    let theirs = seen.clone();
    drop(concurrently(group, move |io| match io.select((futex::on_wait(word, 0), theirs.on_acquire_many(2))) {
        Ok(OneOf2::First(())) => act(),
        other => panic!("{other:?}"),
    }));
    // No task gets ahead of one that waits for two permits, and that one waits for the word first.
    until(io, || seen.try_acquire().is_none());
}

fn as_many_are_woken_as_are_meant_and_in_order(on: &On) {
    on.run(|io| {
        let (word, woken) = (AtomicU32::new(0), AtomicUsize::new(0));
        scope(io, |group| {
            for number in 0..6 {
                let woken = &woken;
                waiter(group, io, &word, move || {
                    // They are woken one at a time, so each finds those before it.
                    if number < 3 {
                        assert_eq!(woken.load(Ordering::SeqCst), number);
                    }
                    woken.fetch_add(1, Ordering::SeqCst);
                });
            }
            assert_eq!(futex::wake(&word, 0), 0);
            for number in 1..=3 {
                assert_eq!(futex::wake(&word, 1), 1);
                until(io, || group.len() == 6 - number);
            }
            assert_eq!(futex::wake(&word, 2), 2);
            until(io, || group.len() == 1);
            assert_eq!(futex::wake(&word, usize::MAX), 1);
            group.wait(io).expect("not canceled");
            assert_eq!(futex::wake(&word, usize::MAX), 0);
        });
        assert_eq!(woken.load(Ordering::SeqCst), 6);
    });
}

fn who_is_canceled_takes_no_wake_up(on: &On) {
    on.run(|io| {
        let word = AtomicU32::new(0);
        for _ in 0..rounds(100) {
            scope(io, |group| {
                let canceled = started(group, io, |io| futex::wait(io, &word, 0));
                waiter(group, io, &word, || ());
                canceled.cancel(io).expect_canceled("nobody has woken it");
                assert_eq!(futex::wake(&word, usize::MAX), 1);
            });
        }
    });
}

/// There are more words than queues, so some share one.
fn words_do_not_disturb_each_other(on: &On) {
    const WORDS: usize = 100;
    on.concurrent_limit(WORDS + 1).run(|io| {
        let words: Vec<_> = (0..WORDS).map(|_| AtomicU32::new(0)).collect();
        scope(io, |group| {
            for word in &words {
                waiter(group, io, word, move || assert_eq!(word.load(Ordering::SeqCst), 1));
            }
            for (number, word) in words.iter().enumerate().rev() {
                word.store(1, Ordering::SeqCst);
                assert_eq!(futex::wake(word, usize::MAX), 1, "it alone");
                until(io, || group.len() == number);
            }
        });
    });
}

fn a_word_is_one_of_many_things(on: &On) {
    on.run(|io| {
        let (word, set) = (AtomicU32::new(0), Event::new());
        let one = io.select((futex::on_wait(&word, 0), io.now() + SHORT)).expect("not canceled");
        assert!(matches!(one, OneOf2::Second(())));
        set.set();
        let one = io.select((futex::on_wait(&word, 1), set.on_wait())).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())), "it has another value");
        assert_eq!(futex::wake(&word, usize::MAX), 0, "who does not wait any more is not woken");
    });
}

fn a_wake_up_is_taken_or_left(on: &On) {
    on.on_thread(|io| {
        let word = AtomicU32::new(0);
        Race::new("a word: waking", 2_000).run(|start| {
            word.store(0, Ordering::Relaxed);
            let mut woken = 0;
            let waited = attempt(
                io,
                start,
                |io| Ok(futex::wait(io, &word, 0)?),
                || {
                    word.store(1, Ordering::Relaxed);
                    woken = futex::wake(&word, usize::MAX);
                },
            );
            assert!(woken == 0 || waited.is_some(), "who was woken was not canceled");
            assert_eq!(futex::wake(&word, usize::MAX), 0, "nobody is left");
            waited.is_some()
        });
    });
}

/// The lock is free, held, or held while others may wait.
struct Lock(AtomicU32);

impl Lock {
    /// Returns false if the wait was canceled or timed out, and the lock is not held.
    fn lock(&self, io: &dyn Io, patience: Option<Duration>) -> bool {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return true;
        }
        let deadline = patience.map(|patience| io.now() + patience);
        while self.0.swap(2, Ordering::Acquire) != 0 {
            let waited = match deadline {
                Some(deadline) => io.timeout_at(deadline, |io| futex::wait(io, &self.0, 2)).is_ok(),
                None => futex::wait(io, &self.0, 2).is_ok(),
            };
            if !waited {
                return false;
            }
        }
        true
    }

    fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            futex::wake(&self.0, 1);
        }
    }
}

/// Locks that are built on words, in contexts of every kind, which are canceled and time out.
fn a_lock_of_a_word_loses_no_update(one: &On, other: &On, executors: usize) {
    crowd("a lock of a word", &one.executors(executors), other, |crowd| {
        let locks = [(); 2].map(|()| Lock(AtomicU32::new(0)));
        let (held, updates) = ([(); 2].map(|()| AtomicUsize::new(0)), AtomicUsize::new(0));
        let values = [(); 2].map(|()| AtomicUsize::new(0));
        let count = rounds(1_000);
        crowd.run(|io, _, mut random| {
            for _ in 0..count {
                let index = random.below(2) as usize;
                let patience = (random.below(4) == 0).then(|| Duration::from_micros(random.below(100)));
                if locks[index].lock(io, patience) {
                    assert_eq!(held[index].fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    let before = values[index].load(Ordering::Relaxed);
                    io.yield_now();
                    values[index].store(before + 1, Ordering::Relaxed);
                    updates.fetch_add(1, Ordering::SeqCst);
                    held[index].fetch_sub(1, Ordering::SeqCst);
                    locks[index].unlock();
                }
            }
        });
        let sum: usize = values.iter().map(|value| value.load(Ordering::SeqCst)).sum();
        assert_eq!(sum, updates.load(Ordering::SeqCst));
        assert!(locks.iter().all(|lock| futex::wake(&lock.0, usize::MAX) == 0), "nobody is left");
    });
}
