//! The bridge, used from fibers, workers and plain threads. The guarantees of jobs and workers are tested in its own
//! crate; these cases test that they hold on every backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use iolite_bridge::{Bridge, CallError, PostErrorKind};
use iolite_io::Io;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Random, concurrently, panic_quietly, rounds, scope, spin};

pub(crate) const CASES: &[Case] = cases![
    calls_come_back_with_their_results,
    no_call_is_lost_on_the_edge_of_sleep,
    jobs_may_block_while_the_caller_s_executor_goes_on,
    keyed_jobs_keep_their_order,
    a_full_queue_makes_the_poster_wait_and_says_so_to_who_does_not,
    a_call_is_canceled_while_it_is_queued_and_its_job_never_runs,
    a_call_may_be_timed_out_while_it_is_queued,
    a_panic_of_a_job_is_its_callers_and_the_worker_goes_on,
    closing_runs_what_was_accepted_and_refuses_the_rest,
    plain_threads_call_the_same_bridge,
];

/// A bridge whose workers each store what they are given.
fn bridge(io: &dyn Io, workers: usize, capacity: usize) -> Bridge<Vec<usize>> {
    let builder = Bridge::builder("conformance").workers(workers).queue_capacity(capacity);
    builder.state(|| Ok::<_, String>(Vec::new())).start(io).expect("started")
}

/// Occupies the only worker until the returned value is dropped.
fn hold(io: &dyn Io, bridge: &Bridge<Vec<usize>>) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let (running, runs) = mpsc::channel();
    let job = move |_: &mut Vec<usize>| {
        running.send(()).expect("somebody waits");
        let _ = held.recv();
    };
    bridge.post(io, job).unwrap_or_else(|error| panic!("{error}"));
    runs.recv().expect("it runs");
    release
}

fn calls_come_back_with_their_results(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 2, 4);
        let sum = AtomicUsize::new(0);
        scope(io, |group| {
            for number in 0..20_usize {
                let (bridge, sum) = (&bridge, &sum);
                drop(concurrently(group, move |io| {
                    for round in 0..20 {
                        // It borrows from its caller, which waits for it.
                        let text = format!("{number} {round}");
                        let length = bridge.call(io, |_| text.len()).expect("called");
                        assert_eq!(length, text.len());
                        sum.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            }
        });
        bridge.close(io);
        assert_eq!(sum.into_inner(), 400);
        assert_eq!(bridge.metrics().ran, 400);
    });
}

/// Callers compute, yield, and wait for replies and for time, in turn. So executors and workers meet each other's jobs
/// and replies while they are awake, yielding, going to sleep and asleep.
fn no_call_is_lost_on_the_edge_of_sleep(on: &On) {
    on.executors(1).concurrent_limit(16).run(|io| {
        let mut random = Random::new("edge of sleep");
        let bridge = bridge(io, 2, 4);
        let ran = AtomicUsize::new(0);
        let calls = rounds(500);
        scope(io, |group| {
            for _ in 0..6 {
                random.number();
                let (bridge, ran, mut random) = (&bridge, &ran, random.clone());
                drop(concurrently(group, move |io| {
                    for number in 0..calls {
                        let work = Duration::from_nanos(random.below(20_000));
                        let back = bridge.call(io, |_| {
                            spin(work);
                            ran.fetch_add(1, Ordering::Relaxed);
                            number
                        });
                        assert_eq!(back.expect("called"), number);
                        match random.below(8) {
                            0 => io.sleep(5 * work).expect("not canceled"),
                            1 => io.yield_now(),
                            2 => spin(work),
                            _ => {}
                        }
                    }
                }));
            }
        });
        bridge.close(io);
        assert_eq!(ran.into_inner(), 6 * calls, "each once");
        assert_eq!(bridge.metrics().accepted, 6 * calls as u64);
    });
}

fn jobs_may_block_while_the_caller_s_executor_goes_on(on: &On) {
    on.executors(1).run(|io| {
        let bridge = bridge(io, 1, 4);
        let (ticks, ticked) = mpsc::channel();
        scope(io, |group| {
            let ticker = concurrently(group, move |io| {
                io.sleep(Duration::from_millis(1)).expect("not canceled");
                ticks.send(()).expect("the job waits for it");
            });
            // The job ends only after the other task has run.
            bridge.call(io, move |_| ticked.recv()).expect("called").expect("ticked");
            ticker.join(io);
        });
        bridge.close(io);
    });
}

fn keyed_jobs_keep_their_order(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 3, 8);
        for number in 0..300 {
            let job = move |seen: &mut Vec<usize>| seen.push(number);
            bridge.post_keyed(io, "one key", job).unwrap_or_else(|error| panic!("{error}"));
        }
        let seen = bridge.call_keyed(io, "one key", |seen| seen.clone()).expect("called");
        assert_eq!(seen, (0..300).collect::<Vec<_>>());
        bridge.close(io);
    });
}

fn a_full_queue_makes_the_poster_wait_and_says_so_to_who_does_not(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 1, 2);
        let release = hold(io, &bridge);
        let mut posted = 0;
        let refused = loop {
            match bridge.try_post(|_| ()) {
                Ok(()) => posted += 1,
                Err(error) => break error,
            }
            assert!(posted <= 16, "a capacity of 2 takes {posted}");
        };
        assert!(matches!(refused.kind, PostErrorKind::Full), "{refused}");
        scope(io, |group| {
            let poster = concurrently(group, |io| bridge.post(io, |_| ()).is_ok());
            drop(release);
            assert!(poster.join(io), "there was room, in the end");
        });
        bridge.close(io);
    });
}

fn a_call_is_canceled_while_it_is_queued_and_its_job_never_runs(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 1, 4);
        let release = hold(io, &bridge);
        let ran = AtomicUsize::new(0);
        for _ in 0..10 {
            scope(io, |group| {
                let caller = concurrently(group, |io| bridge.call(io, |_| ran.fetch_add(1, Ordering::Relaxed)));
                io.yield_now();
                let error = caller.cancel(io).expect_err("canceled");
                assert!(matches!(error, CallError::Canceled(_)), "{error}");
            });
        }
        drop(release);
        bridge.close(io);
        assert_eq!(ran.into_inner(), 0);
    });
}

fn a_call_may_be_timed_out_while_it_is_queued(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 1, 4);
        let release = hold(io, &bridge);
        let error = io.timeout(Duration::from_millis(3), |io| bridge.call(io, |_| ())).expect_err("timed out");
        assert!(matches!(error, CallError::TimedOut(_)), "{error}");
        drop(release);
        bridge.call(io, |_| ()).expect("the worker is free");
        bridge.close(io);
    });
}

fn a_panic_of_a_job_is_its_callers_and_the_worker_goes_on(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 1, 4);
        let error = bridge.call(io, |_| -> usize { panic_quietly("of a job") }).expect_err("it panicked");
        assert!(matches!(&error, CallError::Panicked(text) if text.contains("of a job")), "{error}");
        assert_eq!(bridge.call(io, |_| 5).expect("called"), 5);
        bridge.close(io);
        assert_eq!(bridge.metrics().panicked, 1);
    });
}

fn closing_runs_what_was_accepted_and_refuses_the_rest(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 2, 64);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let ran = ran.clone();
            let job = move |_: &mut Vec<usize>| _ = ran.fetch_add(1, Ordering::Relaxed);
            bridge.post(io, job).unwrap_or_else(|error| panic!("{error}"));
        }
        bridge.close(io);
        assert_eq!(ran.load(Ordering::Relaxed), 50);
        let error = bridge.post(io, |_| ()).expect_err("closed");
        assert!(matches!(error.kind, PostErrorKind::Closed), "{error}");
        assert!(matches!(bridge.call(io, |_| ()), Err(CallError::Closed)));
    });
}

/// One bridge is used by a fiber or a worker of this runtime and by a thread that belongs to no runtime.
fn plain_threads_call_the_same_bridge(on: &On) {
    on.run(|io| {
        let bridge = bridge(io, 1, 2);
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| (0..50).for_each(|_| bridge.call(io, |seen| seen.push(1)).expect("called")));
            }
            (0..50).for_each(|_| bridge.call(io, |seen| seen.push(1)).expect("called"));
        });
        assert_eq!(bridge.call(io, |seen| seen.len()).expect("called"), 200);
        bridge.close(io);
    });
}
