//! Notifications: one is kept, none is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::sync::{Event, Notify};
use iolite_io::{WaitError, select::OneOf2};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    one_notification_is_kept,
    a_consumer_that_is_notified_misses_nothing,
    all_who_wait_are_notified,
    who_is_canceled_takes_no_notification,
    who_has_registered_is_among_all,
    who_registers_before_it_looks_misses_nothing,
];

fn one_notification_is_kept(on: &On) {
    on.run(|io| {
        let notify = Notify::new();
        assert!(!notify.try_wait());
        notify.notify_all();
        assert!(!notify.try_wait(), "nobody waited");
        notify.notify_one();
        notify.notify_one();
        notify.wait(io).expect("kept");
        let soon = io.now() + Duration::from_millis(1);
        assert!(
            matches!(io.timeout_at(soon, |io| notify.wait(io)), Err(WaitError::TimedOut(_))),
            "one is kept, not two"
        );
        notify.notify_one();
        notify.wait_uncancelable(io);
        notify.notify_one();
        assert!(notify.try_wait() && !notify.try_wait());
    });
}

/// A consumer that takes everything at each notification misses nothing, wherever the producer is.
fn a_consumer_that_is_notified_misses_nothing(on: &On) {
    on.run(|io| {
        let (notify, produced) = (Notify::new(), AtomicUsize::new(0));
        let count = rounds(2_000);
        thread::scope(|threads| {
            threads.spawn(|| {
                for _ in 0..count {
                    produced.fetch_add(1, Ordering::SeqCst);
                    notify.notify_one();
                }
            });
            let mut consumed = 0;
            while consumed < count {
                notify.wait(io).expect("not canceled");
                consumed = produced.load(Ordering::SeqCst);
            }
        });
    });
}

fn all_who_wait_are_notified(on: &On) {
    on.run(|io| {
        let (notify, woken) = (Notify::new(), AtomicUsize::new(0));
        scope(io, |group| {
            for _ in 0..8 {
                drop(concurrently(group, |io| {
                    notify.wait(io).expect("not canceled");
                    woken.fetch_add(1, Ordering::SeqCst);
                }));
            }
            // A late task waits for the next one.
            until(io, || {
                notify.notify_all();
                woken.load(Ordering::SeqCst) == 8
            });
        });
        assert!(!notify.try_wait(), "nothing is kept");
    });
}

fn who_is_canceled_takes_no_notification(on: &On) {
    on.run(|io| {
        let (notify, done) = (Notify::new(), Event::new());
        for _ in 0..rounds(100) {
            scope(io, |group| {
                let canceled = started(group, io, |io| notify.wait(io));
                let waits = started(group, io, |io| {
                    notify.wait(io)?;
                    done.set();
                    Ok::<_, iolite_io::Canceled>(())
                });
                canceled.cancel(io).expect_canceled("canceled");
                notify.notify_one();
                done.wait_uncancelable(io);
                waits.join(io).expect("it comes to the other");
            });
            done.reset();
            assert!(!notify.try_wait());
        }
    });
}

fn who_has_registered_is_among_all(on: &On) {
    on.run(|io| {
        let (notify, never) = (Notify::new(), Event::new());
        let before = notify.register();
        let registered = [(); 3].map(|()| notify.register());
        notify.notify_all();
        let [first, second, third] = registered;
        first.wait(io).expect("not canceled");
        second.wait_uncancelable(io);
        io.timeout_at(io.now() + Duration::from_secs(3600), |io| third.wait(io)).expect("it was notified");
        let one = io.select((never.on_wait(), before.on_wait())).expect("not canceled");
        assert_eq!(one, OneOf2::Second(()));
        // There is nothing for a task that registers afterwards.
        let soon = io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon, |io| notify.register().wait(io)), Err(WaitError::TimedOut(_))));
        // One notification is for one waiter.
        let (one, other) = (notify.register(), notify.register());
        notify.notify_one();
        notify.notify_all();
        one.wait(io).expect("not canceled");
        other.wait(io).expect("not canceled");
        assert!(notify.try_wait(), "it was kept, since all were notified");
        scope(io, |group| {
            let waiter = concurrently(group, |io| notify.register().wait(io));
            waiter.request_cancel();
            waiter.join(io).expect_canceled("it is asked to stop");
        });
    });
}

/// Each of many steps is announced to all, who may be anywhere between two checks.
fn who_registers_before_it_looks_misses_nothing(on: &On) {
    on.run(|io| {
        let (notify, step, seen) = (Notify::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let count = rounds(1_000);
        scope(io, |group| {
            for _ in 0..2 {
                drop(concurrently(group, |io| {
                    for next in 1..=count {
                        loop {
                            let registration = notify.register();
                            if step.load(Ordering::SeqCst) >= next {
                                break;
                            }
                            registration.wait(io).expect("not canceled");
                        }
                        seen.fetch_add(1, Ordering::SeqCst);
                    }
                }));
            }
            for next in 1..=count {
                step.store(next, Ordering::SeqCst);
                notify.notify_all();
                // Without this, the others would find many steps at once.
                until(io, || seen.load(Ordering::SeqCst) == 2 * next);
            }
        });
    });
}
