//! Values that are made once, by initializers that suspend, panic, fail and are canceled.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use iolite_io::sync::{Event, LazyLock, Once, OnceLock};
use iolite_io::{Canceled, Io, WaitError};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Random, concurrently, panic_of, panic_quietly, rounds, scope, started};

pub(crate) const CASES: &[Case] = cases![
    one_initialiser_runs_for_all,
    what_a_cell_says,
    the_next_one_tries,
    a_wait_for_another_initialiser_ends,
    a_ledger_of_initialisers,
    something_is_done_once,
    a_lazy_static_is_made_once,
];

fn one_initialiser_runs_for_all(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(30) {
            let (cell, runs) = (OnceLock::new(), AtomicUsize::new(0));
            let get = |io: &dyn Io| {
                *cell
                    .get_or_init(io, || {
                        io.yield_now();
                        runs.fetch_add(1, Ordering::SeqCst) + 7
                    })
                    .expect("not canceled")
            };
            let get = &get;
            thread::scope(|threads| {
                let on_thread = threads.spawn(move || get(io));
                scope(io, |group| {
                    let members = [(); 5].map(|()| concurrently(group, get));
                    members.into_iter().for_each(|member| assert_eq!(member.join(io), 7));
                });
                assert_eq!(on_thread.join().expect("no panic"), 7);
            });
            assert_eq!(runs.into_inner(), 1);
        }
    });
}

fn what_a_cell_says(on: &On) {
    on.run(|io| {
        let mut cell = OnceLock::new();
        assert!(cell.get().is_none() && cell.get_mut().is_none());
        assert_eq!(cell.get_or_try_init_uncancelable(io, || Err("no")), Err("no"));
        cell.set(1).expect("empty");
        assert_eq!(cell.set(2), Err(2));
        assert_eq!(*cell.get_or_init_uncancelable(io, || 3), 1);
        assert_eq!(*io.timeout(Duration::from_secs(3600), |io| cell.get_or_init(io, || 3)).expect("it is there"), 1);
        *cell.get_mut().expect("it is there") += 1;
        assert_eq!((cell.get(), OnceLock::from(5).into_inner()), (Some(&2), Some(5)));
        assert_eq!(cell.into_inner(), Some(2));
    });
}

/// A panic, an error and a cancellation leave it empty, and a waiting task tries next.
fn the_next_one_tries(on: &On) {
    on.run(|io| {
        for way in 0..3 {
            let (cell, making, go) = (OnceLock::new(), Event::new(), Event::new());
            scope(io, |group| {
                let (cell, making, go) = (&cell, &making, &go);
                let first = concurrently(group, move |io| {
                    let init = || {
                        making.set();
                        if way == 2 {
                            io.sleep(Duration::MAX)?;
                        }
                        go.wait_uncancelable(io);
                        if way == 0 { panic_quietly("deliberate") } else { Err(io::Error::other("deliberate")) }
                    };
                    cell.get_or_try_init(io, init).map(drop)
                });
                making.wait_uncancelable(io);
                assert_eq!(cell.set(0), Err(0), "somebody makes it");
                let next = started(group, io, |io| cell.get_or_init(io, || 5).copied());
                go.set();
                match way {
                    0 => assert_eq!(panic_of(|| first.join(io)), "deliberate"),
                    1 => assert_eq!(first.join(io).expect_err("it failed").to_string(), "deliberate"),
                    _ => assert!(Canceled::is_in(&first.cancel(io).expect_err("canceled"))),
                }
                assert_eq!(next.join(io).expect("not canceled"), 5);
            });
        }
    });
}

/// A task that waits for the initializer of another can be canceled, and can time out.
fn a_wait_for_another_initialiser_ends(on: &On) {
    on.run(|io| {
        let (cell, making, go) = (OnceLock::new(), Event::new(), Event::new());
        scope(io, |group| {
            let first = concurrently(group, |io| {
                let init = || {
                    making.set();
                    go.wait_uncancelable(io);
                    1
                };
                *cell.get_or_init_uncancelable(io, init)
            });
            making.wait_uncancelable(io);
            let canceled = started(group, io, |io| cell.get_or_init(io, || 2).copied());
            canceled.cancel(io).map(drop).expect_canceled("canceled");
            let soon = io.now() + Duration::from_millis(1);
            assert!(matches!(io.timeout_at(soon, |io| cell.get_or_init(io, || 3)), Err(WaitError::TimedOut(_))));
            go.set();
            assert_eq!(first.join(io), 1);
        });
        assert_eq!(cell.get(), Some(&1));
    });
}

/// Initializers fail, panic or are canceled at random: in the end, one has made the value.
fn a_ledger_of_initialisers(on: &On) {
    on.on_thread(|io| {
        let mut random = Random::new("ledger of initialisers");
        for _ in 0..rounds(100) {
            let (cell, made) = (OnceLock::new(), AtomicUsize::new(0));
            scope(io, |group| {
                let members: Vec<_> = (0..5)
                    .map(|_| {
                        let mut random = random.fork();
                        let (cell, made) = (&cell, &made);
                        concurrently(group, move |io| {
                            let value = cell.get_or_try_init(io, || {
                                match random.below(3) {
                                    0 => Err(io::Error::other("it failed")),
                                    1 => Ok(io.sleep(Duration::from_micros(20))?),
                                    _ => Ok(()),
                                }
                                .map(|()| made.fetch_add(1, Ordering::SeqCst))
                            });
                            assert!(!matches!(value, Ok(number) if *number != 0), "made twice");
                        })
                    })
                    .collect();
                members[random.below(5) as usize].request_cancel();
                members[random.below(5) as usize].request_cancel();
            });
            assert_eq!(made.into_inner(), usize::from(cell.get().is_some()));
            assert_eq!(*cell.get_or_init(io, || 0).expect("not canceled"), 0, "its turn came back");
        }
    });
}

fn something_is_done_once(on: &On) {
    on.run(|io| {
        let (once, count) = (Once::new(), AtomicUsize::new(0));
        let work = || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        assert_eq!(panic_of(|| once.call_once(io, || panic_quietly("deliberate"))), "deliberate");
        assert!(!once.is_completed());
        scope(io, |group| {
            (0..4).for_each(|_| drop(concurrently(group, |io| once.call_once(io, work).expect("not canceled"))));
        });
        assert!(once.is_completed());
        once.call_once_uncancelable(io, work);
        io.timeout(Duration::from_secs(3600), |io| once.call_once(io, work)).expect("it is done");
        assert_eq!(count.into_inner(), 1);
    });
}

static TRIES: AtomicUsize = AtomicUsize::new(0);
static LAZY: LazyLock<usize> = LazyLock::new(|io| {
    io.sleep(Duration::from_micros(1))?;
    match TRIES.fetch_add(1, Ordering::SeqCst) {
        0 => Err(io::Error::other("the first time it fails")),
        number => Ok(number),
    }
});

/// One static serves all backends: the first caller makes the value.
fn a_lazy_static_is_made_once(on: &On) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    on.run(|io| {
        if LAZY.get().is_none() {
            assert_eq!(LAZY.force(io).expect_err("it fails").to_string(), "the first time it fails");
            assert!(LAZY.get().is_none());
        }
        assert_eq!(*LAZY.force(io).expect("made"), 1);
        assert_eq!(*LAZY.force_uncancelable(io).expect("made"), 1);
        assert_eq!(*io.timeout(Duration::from_secs(3600), |io| LAZY.force(io)).expect("made"), 1);
    });
    assert_eq!(TRIES.load(Ordering::SeqCst), 2);
}
