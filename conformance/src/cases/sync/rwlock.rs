//! Read-write locks: no torn values, no starvation, and no change by a wait that was given up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::sync::RwLock;
use iolite_io::{Io, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{
    ExpectCanceled, Race, Random, attempt, concurrently, panic_of, panic_quietly, rounds, scope, started, until,
};

pub(crate) const CASES: &[Case] = cases![
    who_excludes_whom,
    nobody_sees_torn_data,
    a_writer_that_waits_keeps_new_readers_out,
    nobody_starves(false),
    nobody_starves(true),
    a_writer_goes_on_reading,
    a_canceled_wait_leaves_the_lock_as_it_was,
    a_canceled_writer_against_the_last_reader_leaks_nothing,
    a_ledger_of_readers_and_writers,
    a_panic_unlocks_and_poisons_nothing,
];

/// Asserts that the lock is free, in all respects.
#[track_caller]
fn assert_free<T>(lock: &RwLock<T>) {
    let read = lock.try_read().expect("nobody writes or waits");
    drop(lock.try_read().expect("readers share"));
    drop(read);
    drop(lock.try_write().expect("nobody reads"));
}

fn who_excludes_whom(on: &On) {
    on.run(|io| {
        let mut lock = RwLock::new(1);
        let read = lock.try_read().expect("free");
        assert!(lock.try_read().is_some(), "readers share");
        assert!(lock.try_write().is_none(), "a reader keeps writers out");
        drop(lock.read(io).expect("not canceled"));
        drop(lock.read_uncancelable(io));
        let soon = || io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon(), |io| lock.write(io)), Err(WaitError::TimedOut(_))));
        drop(read);
        let mut write = lock.try_write().expect("free");
        *write += 1;
        assert!(lock.try_read().is_none() && lock.try_write().is_none(), "a writer keeps all out");
        assert!(matches!(io.timeout_at(soon(), |io| lock.read(io)), Err(WaitError::TimedOut(_))));
        assert!(matches!(io.timeout_at(soon(), |io| lock.write(io)), Err(WaitError::TimedOut(_))));
        drop(write);
        *lock.write(io).expect("free") += 1;
        *lock.write_uncancelable(io) += 1;
        assert_free(&lock);
        *lock.get_mut() += 1;
        assert_eq!(lock.into_inner(), 5);
    });
}

/// Two writers and four readers, in tasks and on plain threads: the halves of the value always agree.
fn nobody_sees_torn_data(on: &On) {
    on.run(|io| {
        let lock = RwLock::new([0_usize; 16]);
        let count = rounds(200);
        let write = |io: &dyn Io| {
            for _ in 0..count {
                let mut value = lock.write(io).expect("not canceled");
                for (index, part) in value.iter_mut().enumerate() {
                    if index == 8 {
                        io.yield_now();
                    }
                    *part += 1;
                }
            }
        };
        let read = |io: &dyn Io| {
            for _ in 0..count {
                let value = lock.read(io).expect("not canceled");
                let first = value[0];
                io.yield_now();
                assert!(value.iter().all(|part| *part == first), "torn: {value:?}");
            }
        };
        let (write, read) = (&write, &read);
        thread::scope(|threads| {
            threads.spawn(move || write(io));
            threads.spawn(move || read(io));
            scope(io, |group| {
                drop(concurrently(group, write));
                (0..3).for_each(|_| drop(concurrently(group, read)));
            });
        });
        assert_eq!(lock.into_inner(), [2 * count; 16]);
    });
}

fn a_writer_that_waits_keeps_new_readers_out(on: &On) {
    on.run(|io| {
        let (lock, written) = (RwLock::new(0), AtomicBool::new(false));
        let reading = lock.try_read().expect("free");
        scope(io, |group| {
            let writer = started(group, io, |io| {
                let mut value = lock.write(io).expect("not canceled");
                *value += 1;
                written.store(true, Ordering::SeqCst);
            });
            until(io, || lock.try_read().is_none());
            let reader = started(group, io, |io| {
                let value = lock.read(io).expect("not canceled");
                (*value, written.load(Ordering::SeqCst))
            });
            assert!(!written.load(Ordering::SeqCst), "somebody reads");
            drop(reading);
            assert_eq!(reader.join(io), (1, true), "the writer came first");
            writer.join(io);
        });
        assert_free(&lock);
    });
}

/// Readers that come and go without end do not starve a writer, and writers do not starve a reader.
fn nobody_starves(on: &On, writers: bool) {
    on.run(|io| {
        let (lock, over) = (RwLock::new(0), AtomicBool::new(false));
        scope(io, |group| {
            for _ in 0..4 {
                drop(started(group, io, |io| {
                    while !over.load(Ordering::SeqCst) {
                        if writers {
                            let _writing = lock.write(io).expect("not canceled");
                            io.yield_now();
                        } else {
                            let _reading = lock.read(io).expect("not canceled");
                            io.yield_now();
                        }
                    }
                }));
            }
            for _ in 0..rounds(30) {
                if writers {
                    drop(lock.read(io).expect("not canceled"));
                } else {
                    drop(lock.write(io).expect("not canceled"));
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        assert_free(&lock);
    });
}

fn a_writer_goes_on_reading(on: &On) {
    on.run(|io| {
        let lock = RwLock::new(0);
        scope(io, |group| {
            let lock = &lock;
            let mut writing = lock.try_write().expect("free");
            let readers = [(); 3].map(|()| started(group, io, |io| *lock.read(io).expect("not canceled")));
            *writing = 7;
            let reading = writing.downgrade();
            assert_eq!(readers.map(|reader| reader.join(io)), [7; 3], "they are let in");
            assert!(lock.try_write().is_none(), "it still reads");
            assert_eq!(*reading, 7);
            let writer = started(group, io, |io| *lock.write(io).expect("not canceled") += 1);
            until(io, || lock.try_read().is_none());
            assert_eq!(*reading, 7, "no writer gets in between");
            drop(reading);
            writer.join(io);
        });
        assert_free(&lock);
        assert_eq!(lock.into_inner(), 8);
    });
}

/// A reader behind a reader, a writer behind a reader, a reader and a writer behind a writer, and a reader behind a
/// waiting writer: when one of them is canceled, the lock is unchanged.
fn a_canceled_wait_leaves_the_lock_as_it_was(on: &On) {
    on.run(|io| {
        let lock = RwLock::new(());
        for _ in 0..rounds(30) {
            scope(io, |group| {
                let lock = &lock;
                let reading = lock.try_read().expect("free");
                let writer = started(group, io, |io| lock.write(io).map(drop));
                until(io, || lock.try_read().is_none());
                let behind = started(group, io, |io| lock.read(io).map(drop));
                behind.cancel(io).expect_canceled("a writer waits before it");
                let behind = started(group, io, |io| lock.read(io).map(drop));
                writer.cancel(io).expect_canceled("somebody reads");
                behind.join(io).expect("the writer that kept it out is gone");
                drop(lock.try_read().expect("only readers"));
                drop(reading);
                let writing = lock.try_write().expect("free");
                let waiting = [
                    started(group, io, |io| lock.read(io).map(drop)),
                    started(group, io, |io| lock.write(io).map(drop)),
                ];
                waiting.into_iter().for_each(|waits| waits.cancel(io).expect_canceled("somebody writes"));
                assert!(lock.try_read().is_none() && lock.try_write().is_none(), "still held");
                drop(writing);
                assert_free(lock);
            });
        }
    });
}

fn a_canceled_writer_against_the_last_reader_leaks_nothing(on: &On) {
    on.on_thread(|io| {
        let lock = RwLock::new(0_usize);
        let mut written = 0;
        Race::new("writer against the last reader", 1_000).run(|start| {
            let reading = lock.try_read().expect("free between the rounds");
            let write = |io: &dyn Io| {
                *lock.write(io)? += 1;
                Ok(())
            };
            let wrote = attempt(io, start, write, || drop(reading)).is_some();
            written += usize::from(wrote);
            assert_free(&lock);
            assert_eq!(*lock.try_read().expect("free"), written);
            wrote
        });
    });
}

/// Readers and writers are canceled and timed out at random, with a ledger of those inside.
fn a_ledger_of_readers_and_writers(on: &On) {
    on.on_thread(|io| {
        let mut random = Random::new("ledger of a read-write lock");
        let (lock, readers, writers) = (RwLock::new(()), AtomicUsize::new(0), AtomicUsize::new(0));
        for _ in 0..rounds(100) {
            scope(io, |group| {
                let members: Vec<_> = (0..6)
                    .map(|_| {
                        let mut random = random.fork();
                        let (lock, readers, writers) = (&lock, &readers, &writers);
                        let read = move |io: &dyn Io| {
                            readers.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(writers.load(Ordering::SeqCst), 0, "a reader beside a writer");
                            io.yield_now();
                            readers.fetch_sub(1, Ordering::SeqCst);
                        };
                        let write = move |io: &dyn Io| {
                            assert_eq!(writers.fetch_add(1, Ordering::SeqCst), 0, "a writer beside a writer");
                            assert_eq!(readers.load(Ordering::SeqCst), 0, "a writer beside a reader");
                            io.yield_now();
                            writers.fetch_sub(1, Ordering::SeqCst);
                        };
                        started(group, io, move |io| {
                            for _ in 0..8 {
                                let soon = io.now() + Duration::from_micros(random.below(60));
                                match random.below(5) {
                                    0 => drop(lock.read(io).map(|_guard| read(io))),
                                    1 => drop(io.timeout_at(soon, |io| lock.read(io)).map(|_guard| read(io))),
                                    2 => drop(lock.write(io).map(|_guard| write(io))),
                                    3 => drop(io.timeout_at(soon, |io| lock.write(io)).map(|_guard| write(io))),
                                    _ => drop(lock.write(io).map(|guard| {
                                        write(io);
                                        let _guard = guard.downgrade();
                                        read(io);
                                    })),
                                }
                            }
                        })
                    })
                    .collect();
                for _ in 0..8 {
                    members[random.below(6) as usize].request_cancel();
                    io.yield_now();
                }
            });
            assert_free(&lock);
        }
    });
}

fn a_panic_unlocks_and_poisons_nothing(on: &On) {
    on.run(|io| {
        let lock = RwLock::new(1);
        scope(io, |group| {
            let reader = concurrently(group, |io| {
                let _held = lock.read(io).expect("free");
                panic_quietly("while it read");
            });
            assert_eq!(panic_of(|| reader.join(io)), "while it read");
            let writer = concurrently(group, |io| {
                let _held = lock.write(io).expect("free");
                panic_quietly("while it wrote");
            });
            assert_eq!(panic_of(|| writer.join(io)), "while it wrote");
        });
        assert_free(&lock);
    });
}
