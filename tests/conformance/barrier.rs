//! Barriers: all go together, and who gives up has not come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite::WaitError;
use iolite::sync::Barrier;
use rstest::rstest;

use crate::support::{ExpectCanceled, On, concurrently, evented, rounds, scope, started, threaded};

/// Upstream's barrier of ten, again and again, with two plain threads among the ten.
#[rstest]
fn a_barrier_of_ten(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let (barrier, arrived, leaders) = (Barrier::new(10), AtomicUsize::new(0), AtomicUsize::new(0));
        let count = rounds(20);
        let work = |io: &dyn iolite::Io| {
            for round in 1..=count {
                arrived.fetch_add(1, Ordering::SeqCst);
                let leader = barrier.wait(io).expect("not canceled").is_leader();
                leaders.fetch_add(usize::from(leader), Ordering::SeqCst);
                assert!(arrived.load(Ordering::SeqCst) >= 10 * round, "gone before all had come");
                barrier.wait_uncancelable(io);
                assert_eq!(leaders.load(Ordering::SeqCst), round, "one of them leads");
                barrier.wait_uncancelable(io);
            }
        };
        let work = &work;
        thread::scope(|threads| {
            threads.spawn(move || work(io));
            threads.spawn(move || work(io));
            scope(io, |group| (0..8).for_each(|_| drop(concurrently(group, work))));
        });
        assert_eq!(arrived.load(Ordering::SeqCst), 10 * count);
    });
}

#[rstest]
fn who_is_canceled_has_not_come(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        let barrier = Barrier::new(2);
        scope(io, |group| {
            let canceled = started(group, io, |io| barrier.wait(io));
            canceled.cancel(io).map(drop).expect_canceled("alone");
            let soon = io.now() + Duration::from_millis(1);
            assert!(matches!(barrier.wait_deadline(io, soon), Err(WaitError::TimedOut(_))), "the other has left");
            let first = started(group, io, |io| barrier.wait(io));
            let second = barrier.wait(io).expect("not canceled");
            assert_ne!(first.join(io).expect("not canceled").is_leader(), second.is_leader());
        });
    });
}

#[rstest]
fn a_barrier_of_none_or_one_holds_nobody(#[values(threaded(), evented())] on: On) {
    on.run(|io| {
        for count in [0, 1] {
            let barrier = Barrier::new(count);
            assert!(barrier.wait(io).expect("not canceled").is_leader());
            assert!(barrier.wait_uncancelable(io).is_leader());
        }
    });
}
