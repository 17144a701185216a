//! Condition variables: no notification is lost, and the mutex is always locked again.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use iolite_io::sync::{Condvar, Mutex};
use iolite_io::{Io, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, concurrently, panic_of, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    producers_and_consumers,
    one_or_all_are_notified,
    a_timeout_leaves_the_mutex_held,
    who_is_canceled_holds_the_mutex_again,
    a_notification_comes_to_one_of_two,
    no_suspend_refuses_a_wait,
    waiters_are_notified_in_the_order_in_which_they_came,
];

/// Counts the waiters under the mutex: a task that locks the mutex and sees them knows that they are in the queue.
fn wait_counted(io: &dyn Io, waiting: &Mutex<usize>, condvar: &Condvar) -> Result<(), iolite_io::Canceled> {
    let mut guard = waiting.lock(io)?;
    *guard += 1;
    let result = condvar.wait(io, &mut guard);
    // The mutex is locked again, whether or not the wait was canceled.
    *guard -= 1;
    result
}

fn until_waiting(io: &dyn Io, waiting: &Mutex<usize>, count: usize) {
    until(io, || *waiting.lock_uncancelable(io) == count);
}

/// A bounded queue as in textbooks, for tasks and plain threads.
fn producers_and_consumers(on: &On) {
    on.run(|io| {
        let (items, not_empty, not_full) = (Mutex::new(VecDeque::new()), Condvar::new(), Condvar::new());
        let count = rounds(200);
        let produce = |io: &dyn Io| {
            for item in 0..count {
                let mut items = items.lock(io).expect("not canceled");
                while items.len() == 2 {
                    not_full.wait(io, &mut items).expect("not canceled");
                }
                items.push_back(item);
                not_empty.notify_one();
            }
        };
        let consume = |io: &dyn Io| {
            let mut sum = 0;
            for _ in 0..count {
                let mut items = items.lock_uncancelable(io);
                while items.is_empty() {
                    not_empty.wait_uncancelable(io, &mut items);
                }
                sum += items.pop_front().expect("not empty");
                not_full.notify_one();
            }
            sum
        };
        let (produce, consume) = (&produce, &consume);
        let sum: usize = thread::scope(|threads| {
            threads.spawn(move || produce(io));
            let on_thread = threads.spawn(move || consume(io));
            let in_tasks: usize = scope(io, |group| {
                (0..3).for_each(|_| drop(concurrently(group, produce)));
                let consumers = [(); 3].map(|()| concurrently(group, consume));
                consumers.map(|consumer| consumer.join(io)).iter().sum()
            });
            in_tasks + on_thread.join().expect("no panic")
        });
        assert_eq!(sum, 4 * (count * (count - 1) / 2));
    });
}

fn one_or_all_are_notified(on: &On) {
    on.run(|io| {
        let (waiting, condvar) = (Mutex::new(0), Condvar::new());
        condvar.notify_one();
        condvar.notify_all();
        scope(io, |group| {
            let members = [(); 5].map(|()| concurrently(group, |io| wait_counted(io, &waiting, &condvar)));
            until_waiting(io, &waiting, 5);
            condvar.notify_one();
            until_waiting(io, &waiting, 4);
            condvar.notify_all();
            members.into_iter().for_each(|member| member.join(io).expect("notified"));
        });
        assert_eq!(waiting.into_inner(), 0);
    });
}

/// From upstream's tests: a timeout, then a signal.
fn a_timeout_leaves_the_mutex_held(on: &On) {
    on.run(|io| {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        let mut guard = mutex.lock(io).expect("free");
        let soon = io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon, |io| condvar.wait(io, &mut guard)), Err(WaitError::TimedOut(_))));
        assert!(mutex.try_lock().is_none(), "held again");
        thread::scope(|threads| {
            threads.spawn(|| {
                *mutex.lock_uncancelable(io) += 1;
                condvar.notify_one();
            });
            while *guard == 0 {
                io.timeout_at(io.now() + Duration::from_secs(3600), |io| condvar.wait(io, &mut guard))
                    .expect("notified");
            }
        });
        drop(guard);
        assert_eq!(*mutex.try_lock().expect("free"), 1);
    });
}

fn who_is_canceled_holds_the_mutex_again(on: &On) {
    on.run(|io| {
        let (waiting, condvar) = (Mutex::new(0), Condvar::new());
        for _ in 0..rounds(50) {
            scope(io, |group| {
                let member = concurrently(group, |io| wait_counted(io, &waiting, &condvar));
                until_waiting(io, &waiting, 1);
                // The task is asked to stop while another one holds the mutex, and waits for it.
                let held = waiting.lock_uncancelable(io);
                member.request_cancel();
                (0..3).for_each(|_| io.yield_now());
                assert_eq!(*held, 1, "nobody was in between");
                drop(held);
                member.join(io).expect_canceled("not notified");
            });
            assert_eq!(*waiting.try_lock().expect("free"), 0);
        }
    });
}

/// A cancellation races a notification while another task waits behind: one of the two is notified.
fn a_notification_comes_to_one_of_two(on: &On) {
    on.on_thread(|io| {
        let (waiting, condvar) = (Mutex::new(0), Condvar::new());
        Race::new("condvar", 1_000).run(|start| {
            scope(io, |group| {
                let first = concurrently(group, |io| (wait_counted(io, &waiting, &condvar), io.check_cancel()));
                until_waiting(io, &waiting, 1);
                let behind = concurrently(group, |io| wait_counted(io, &waiting, &condvar));
                until_waiting(io, &waiting, 2);
                start.go(|| condvar.notify_one(), || first.request_cancel());
                let (result, pending) = first.join(io);
                if result.is_ok() {
                    drop(pending);
                    behind.cancel(io).expect_canceled("the notification came to the first");
                    return true;
                }
                pending.expect("delivered once");
                behind.join(io).expect("the notification was passed on");
                false
            })
        });
        assert_eq!(waiting.into_inner(), 0);
    });
}

/// The wait is refused before the mutex is unlocked: the guard is still valid.
fn no_suspend_refuses_a_wait(on: &On) {
    on.run(|io| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        let mut guard = mutex.try_lock().expect("free");
        let text = panic_of(|| iolite_io::no_suspend(|| condvar.wait_uncancelable(io, &mut guard)));
        assert!(text.contains("no_suspend"), "{text}");
        assert!(mutex.try_lock().is_none(), "still held");
        drop(guard);
        assert!(mutex.try_lock().is_some());
    });
}

fn waiters_are_notified_in_the_order_in_which_they_came(on: &On) {
    on.run(|io| {
        let (waiting, condvar, order) = (Mutex::new(0), Condvar::new(), Mutex::new(Vec::new()));
        scope(io, |group| {
            let (waiting, condvar, order) = (&waiting, &condvar, &order);
            for number in 0..5 {
                drop(started(group, io, move |io| {
                    wait_counted(io, waiting, condvar).expect("notified");
                    order.lock_uncancelable(io).push(number);
                }));
                until_waiting(io, waiting, number + 1);
            }
            for count in 1..=5 {
                condvar.notify_one();
                until(io, || order.lock_uncancelable(io).len() == count);
            }
        });
        assert_eq!(order.into_inner(), [0, 1, 2, 3, 4]);
    });
}
