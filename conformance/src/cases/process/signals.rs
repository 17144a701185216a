//! Signals to the process. All cases share them, so these cases take turns.

use std::fs;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use iolite_io::signal::{self, Signal, Signals};
use iolite_io::sync::Event;
use iolite_io::{Canceled, process, stdio};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{Race, attempt, concurrently, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    each_watcher_sees_each_signal,
    signals_are_kept_until_somebody_looks,
    a_canceled_wait_takes_no_signal,
    a_request_meets_a_wait_that_need_not_wait,
    the_default_comes_back_with_the_last_watcher,
    a_handler_that_was_there_is_called_and_stays,
    a_handler_that_came_later_stays,
    ctrl_c_is_waited_for,
    the_end_of_a_child_is_a_signal,
    what_cannot_be_watched_is_refused,
    a_signal_cancels_nothing,
    watchers_come_and_go_under_signals,
];

pub(crate) const PAIRS: &[Case] = pairs![a_watcher_outlives_runtimes];

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises a signal, which must have a handler, on the calling thread: it has been handled when this returns. A signal
/// to the process could arrive after the case, and its handler, has ended.
pub(crate) fn send(signal: Signal) {
    assert!(has_handler(signal), "{signal} would end the tests");
    signal_hook::low_level::raise(signal.as_raw()).expect("raised");
}

fn has_handler(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("there");
    u64::from_str_radix(caught.trim(), 16).expect("a mask") & (1 << (signal.as_raw() - 1)) != 0
}

pub(crate) fn watch(signal: Signal) -> Signals {
    Signals::new([signal]).expect("watched")
}

fn each_watcher_sees_each_signal(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let mut watchers: Vec<_> = (0..4).map(|_| watch(Signal::USER1)).collect();
        let others = watch(Signal::USER2);
        for _ in 0..10 {
            scope(io, |group| {
                for watcher in &mut watchers {
                    concurrently(group, |io| assert_eq!(watcher.next(io).expect("seen"), Signal::USER1));
                }
                send(Signal::USER1);
            });
        }
        let mut others = others;
        assert_eq!(others.try_next(), None);
        watchers.iter_mut().for_each(|watcher| assert_eq!(watcher.try_next(), None, "each is seen once"));
    });
}

fn signals_are_kept_until_somebody_looks(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let mut watcher = Signals::new([Signal::USER2, Signal::USER1, Signal::USER1]).expect("watched");
        let mut first = watch(Signal::USER1);
        send(Signal::USER2);
        send(Signal::USER1);
        first.next(io).expect("it has arrived");
        assert_eq!(watcher.next(io).expect("kept"), Signal::USER1, "the lowest number first");
        assert_eq!(watcher.next(io).expect("kept"), Signal::USER2);
        assert_eq!(watcher.try_next(), None);
        let result = io.timeout(Duration::from_millis(1), |io| watcher.next(io));
        assert_eq!(result.expect_err("no more").kind(), io::ErrorKind::TimedOut);
        send(Signal::USER2);
        assert_eq!(watcher.next(io).expect("seen"), Signal::USER2);
    });
}

fn a_canceled_wait_takes_no_signal(on: &On) {
    let _alone = alone();
    on.on_thread(|io| {
        let mut watcher = watch(Signal::USER1);
        let mut witness = watch(Signal::USER1);
        Race::new("wait for a signal", 2_000).run(|start| {
            let seen = attempt(io, start, |io| watcher.next(io), || send(Signal::USER1)).is_some();
            witness.next(io).expect("it has arrived");
            if !seen {
                assert_eq!(watcher.next(io).expect("it is kept"), Signal::USER1);
            }
            assert_eq!(watcher.try_next(), None);
            seen
        });
    });
}

fn a_request_meets_a_wait_that_need_not_wait(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let (mut watcher, mut witness) = (watch(Signal::USER1), watch(Signal::USER1));
        send(Signal::USER1);
        witness.next(io).expect("it has arrived");
        let error = io.timeout(Duration::ZERO, |io| watcher.next(io)).expect_err("the time is over");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(watcher.next(io).expect("kept"), Signal::USER1);
    });
}

fn the_default_comes_back_with_the_last_watcher(on: &On) {
    let _alone = alone();
    on.run(|io| {
        assert!(!has_handler(Signal::USER1));
        for _ in 0..3 {
            let (first, mut second) = (watch(Signal::USER1), watch(Signal::USER1));
            drop(first);
            send(Signal::USER1);
            second.next(io).expect("seen");
            drop(second);
            assert!(!has_handler(Signal::USER1));
        }
        Signals::new([Signal::USER1, Signal::KILL]).expect_err("one of them cannot be watched");
        assert!(!has_handler(Signal::USER1), "nothing is left of what failed");
    });
}

fn a_handler_that_was_there_is_called_and_stays(on: &On) {
    let _alone = alone();
    // This is permanent: it never restores a signal.
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let mut previous = signal_hook::iterator::Signals::new([Signal::HANGUP.as_raw()]).expect("registered");
    let handle = previous.handle();
    let listener = thread::spawn(move || previous.forever().for_each(|_| _ = count.fetch_add(1, Ordering::SeqCst)));
    on.run(|io| {
        for _ in 0..3 {
            let before = called.load(Ordering::SeqCst);
            let mut watcher = watch(Signal::HANGUP);
            send(Signal::HANGUP);
            watcher.next(io).expect("seen");
            until(io, || called.load(Ordering::SeqCst) == before + 1);
            drop(watcher);
            send(Signal::HANGUP);
            until(io, || called.load(Ordering::SeqCst) == before + 2);
        }
    });
    handle.close();
    listener.join().expect("ended");
}

/// Returns a signal for which this program has no handler yet, and which gets one that stays.
fn unhandled() -> Option<Signal> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    // The last ones are SIGVTALRM, SIGPROF, SIGIO, SIGPWR.
    const SIGNALS: [i32; 6] = [Signal::CONTINUE.as_raw(), Signal::ALARM.as_raw(), 26, 27, 29, 30];
    SIGNALS.get(TAKEN.fetch_add(1, Ordering::Relaxed)).copied().map(Signal::from_raw)
}

/// Other code installs a handler over ours, which calls ours, and keeps it.
fn a_handler_that_came_later_stays(on: &On) {
    let _alone = alone();
    let Some(signal) = unhandled() else { return on.not_run("every signal that it could be tried with has a handler") };
    on.on_thread(|io| {
        let mut watcher = watch(signal);
        let told = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal.as_raw(), told.clone()).expect("registered");
        send(signal);
        watcher.next(io).expect("through the other");
        until(io, || told.swap(false, Ordering::SeqCst));
        drop(watcher);
        send(signal);
        until(io, || told.swap(false, Ordering::SeqCst));
        let mut watcher = watch(signal);
        send(signal);
        watcher.next(io).expect("through the other, again");
    });
}

fn ctrl_c_is_waited_for(on: &On) {
    let _alone = alone();
    on.run(|io| {
        scope(io, |group| {
            let waiter = started(group, io, signal::ctrl_c);
            until(io, || has_handler(Signal::INTERRUPT));
            send(Signal::INTERRUPT);
            waiter.join(io).expect("seen");
            let waiter = started(group, io, signal::ctrl_c);
            assert!(Canceled::is_in(&waiter.cancel(io).expect_err("nobody pressed it")));
        });
        assert!(!has_handler(Signal::INTERRUPT));
    });
}

fn the_end_of_a_child_is_a_signal(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let mut watcher = watch(Signal::CHILD);
        assert!(process::status(io, &mut Command::new("true")).expect("run").success());
        assert_eq!(watcher.next(io).expect("seen"), Signal::CHILD);
    });
}

fn what_cannot_be_watched_is_refused(_on: &On) {
    let refused = [9, 19, 11, 7, 8, 4, 23, 0, -1, 65, i32::MAX, i32::MIN];
    for signal in refused.map(Signal::from_raw) {
        let error = Signals::new([signal]).expect_err("it cannot be watched");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{signal}: {error}");
    }
    assert_eq!(Signals::new([Signal::from_raw(33)]).expect_err("libc's own").kind(), io::ErrorKind::InvalidInput);
}

/// A hundred signals arrive, and a task that waits for something else continues to wait.
fn a_signal_cancels_nothing(on: &On) {
    let _alone = alone();
    on.run(|io| {
        let mut watcher = watch(Signal::USER1);
        let (input, output) = stdio::pipe().expect("a pipe");
        let done = Event::new();
        scope(io, |group| {
            let reader = started(group, io, |io| input.read(io, &mut [0; 8]));
            let waiter = started(group, io, |io| done.wait(io));
            let sleeper = started(group, io, |io| io.sleep(Duration::from_millis(20)));
            for _ in 0..100 {
                send(Signal::USER1);
                watcher.next(io).expect("seen");
            }
            output.write_all(io, b"bytes").expect("written");
            done.set();
            assert_eq!(reader.join(io).expect("not canceled"), 5);
            waiter.join(io).expect("not canceled");
            sleeper.join(io).expect("not canceled");
        });
    });
}

/// Runtimes come and go around a watcher, which belongs to none of them.
fn a_watcher_outlives_runtimes(first: &On, second: &On) {
    let _alone = alone();
    let mut watcher = watch(Signal::USER2);
    let (first, second) = (first.start(), second.start());
    send(Signal::USER2);
    watcher.next(first.io()).expect("seen");
    first.shutdown();
    send(Signal::USER2);
    watcher.next(second.io()).expect("seen");
    second.shutdown();
    drop(watcher);
    assert!(!has_handler(Signal::USER2));
}

/// Watchers come and go while signals arrive.
fn watchers_come_and_go_under_signals(on: &On) {
    let _alone = alone();
    on.on_thread(|io| {
        let _keeps_the_handler = watch(Signal::USER1);
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    send(Signal::USER1);
                }
            });
            for _ in 0..1_000 {
                let (mut first, second) = (watch(Signal::USER1), watch(Signal::USER1));
                first.next(io).expect("seen");
                drop(second);
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}
