//! Barriers: all leave together, and a task that gives up has not arrived.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::WaitError;
use iolite_io::sync::Barrier;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, rounds, scope, started};

pub(crate) const CASES: &[Case] =
    cases![a_barrier_of_ten, who_is_canceled_has_not_come, a_barrier_of_none_or_one_holds_nobody,];

/// The barrier of ten of zio's tests, again and again, with two plain threads among the ten.
fn a_barrier_of_ten(on: &On) {
    on.run(|io| {
        let (barrier, arrived, leaders) = (Barrier::new(10), AtomicUsize::new(0), AtomicUsize::new(0));
        let count = rounds(20);
        let work = |io: &dyn iolite_io::Io| {
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

fn who_is_canceled_has_not_come(on: &On) {
    on.run(|io| {
        let barrier = Barrier::new(2);
        scope(io, |group| {
            let canceled = started(group, io, |io| barrier.wait(io));
            canceled.cancel(io).map(drop).expect_canceled("alone");
            let soon = io.now() + Duration::from_millis(1);
            assert!(
                matches!(io.timeout_at(soon, |io| barrier.wait(io)), Err(WaitError::TimedOut(_))),
                "the other has left"
            );
            let first = started(group, io, |io| barrier.wait(io));
            let second = barrier.wait(io).expect("not canceled");
            assert_ne!(first.join(io).expect("not canceled").is_leader(), second.is_leader());
        });
    });
}

fn a_barrier_of_none_or_one_holds_nobody(on: &On) {
    on.run(|io| {
        for count in [0, 1] {
            let barrier = Barrier::new(count);
            assert!(barrier.wait(io).expect("not canceled").is_leader());
            assert!(barrier.wait_uncancelable(io).is_leader());
        }
    });
}
