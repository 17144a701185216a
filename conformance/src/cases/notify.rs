//! Notifications: one is kept, none is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::WaitError;
use iolite_io::sync::{Event, Notify};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    one_notification_is_kept,
    a_consumer_that_is_notified_misses_nothing,
    all_who_wait_are_notified,
    who_is_canceled_takes_no_notification,
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
        assert!(matches!(notify.wait_deadline(io, soon), Err(WaitError::TimedOut(_))), "one is kept, not two");
        notify.notify_one();
        notify.wait_uncancelable(io);
        notify.notify_one();
        assert!(notify.try_wait() && !notify.try_wait());
    });
}

/// A consumer that takes all there is per notification misses nothing, wherever the producer is.
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
            // Who comes late waits for the next.
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
