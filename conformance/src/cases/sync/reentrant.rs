//! Re-entrant mutexes: the holder is a context, and no other context gets in.

use std::cell::{Cell, RefCell};
use std::thread;
use std::time::Duration;

use iolite_io::sync::ReentrantMutex;
use iolite_io::{Io, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, panic_quietly, rounds, scope, started};

pub(crate) const CASES: &[Case] = cases![
    its_holder_may_lock_again,
    it_excludes_tasks_and_plain_threads(1),
    it_excludes_tasks_and_plain_threads(2),
    a_canceled_lock_leaves_it_as_it_was,
    an_inline_child_is_of_its_parents_context,
    a_panic_unlocks_every_level,
];

fn its_holder_may_lock_again(on: &On) {
    on.run(|io| {
        let mut mutex = ReentrantMutex::new(RefCell::new(vec![1]));
        let first = mutex.lock(io).expect("free");
        let again = mutex.lock_uncancelable(io);
        again.borrow_mut().push(2);
        let soon = || io.now() + Duration::from_millis(1);
        drop(io.timeout_at(soon(), |io| mutex.lock(io)).expect("it is the holder"));
        drop(first);
        scope(io, |group| {
            let others = concurrently(group, |io| {
                (mutex.try_lock().is_some(), io.timeout_at(soon(), |io| mutex.lock(io)).is_ok())
            });
            assert_eq!(others.join(io), (false, false), "one guard is left");
            drop(mutex.try_lock().expect("it is the holder"));
            drop(again);
            let others = concurrently(group, |io| mutex.lock(io).map(|items| items.borrow().len()));
            assert_eq!(others.join(io).expect("free"), 2);
        });
        mutex.get_mut().get_mut().push(3);
        assert_eq!(mutex.into_inner().into_inner(), [1, 2, 3]);
    });
}

/// Fibers of one thread are as distinct as threads are.
fn it_excludes_tasks_and_plain_threads(on: &On, executors: usize) {
    fn count(io: &dyn Io, mutex: &ReentrantMutex<Cell<usize>>, depth: usize) {
        let counter = mutex.lock(io).expect("not canceled");
        let before = counter.get();
        io.yield_now();
        counter.set(before + 1);
        if depth > 0 {
            count(io, mutex, depth - 1);
        }
    }
    on.executors(executors).run(|io| {
        let mutex = ReentrantMutex::new(Cell::new(0));
        let rounds = rounds(100);
        let work = |io: &dyn Io| (0..rounds).for_each(|_| count(io, &mutex, 2));
        let work = &work;
        thread::scope(|threads| {
            (0..2).for_each(|_| drop(threads.spawn(move || work(io))));
            scope(io, |group| (0..4).for_each(|_| drop(concurrently(group, work))));
        });
        assert_eq!(mutex.into_inner().get(), 6 * 3 * rounds);
    });
}

fn a_canceled_lock_leaves_it_as_it_was(on: &On) {
    on.run(|io| {
        let mutex = ReentrantMutex::new(());
        for _ in 0..rounds(50) {
            let held = mutex.try_lock().expect("free");
            let again = mutex.try_lock().expect("its holder");
            scope(io, |group| {
                let mutex = &mutex;
                let canceled = started(group, io, |io| mutex.lock(io).map(drop));
                let waits = started(group, io, |io| mutex.lock(io).map(drop));
                canceled.cancel(io).expect_canceled("canceled");
                drop(held);
                assert!(matches!(
                    concurrently(group, |io| io.timeout_at(io.now(), |io| mutex.lock(io)).map(drop)).join(io),
                    Err(WaitError::TimedOut(_))
                ));
                drop(again);
                waits.join(io).expect("it comes to the next");
            });
        }
    });
}

/// An inline child runs on top of its parent, like a call: otherwise it would wait for ever for a parent that holds the
/// lock.
fn an_inline_child_is_of_its_parents_context(on: &On) {
    on.async_limit(0).run(|io| {
        let mutex = ReentrantMutex::new(Cell::new(1));
        let held = mutex.lock(io).expect("free");
        scope(io, |group| {
            let child = group.spawn_async(|io| mutex.lock(io).expect("its parent's").set(2));
            child.join(io);
        });
        assert_eq!(held.get(), 2);
    });
}

fn a_panic_unlocks_every_level(on: &On) {
    on.run(|io| {
        let mutex = ReentrantMutex::new(());
        scope(io, |group| {
            let member = concurrently(group, |io| {
                let _held = mutex.lock(io).expect("free");
                let _again = mutex.lock(io).expect("its holder");
                panic_quietly("deliberate");
            });
            assert_eq!(panic_of(|| member.join(io)), "deliberate");
        });
        assert!(mutex.try_lock().is_some());
    });
}
