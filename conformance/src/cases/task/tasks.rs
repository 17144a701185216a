//! Tasks: starting, joining, canceling, dropping, detaching.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::{Event, mpmc::channel};
use iolite_io::{Io, Task};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, panic_of, panic_quietly, rounds, scope};

pub(crate) const CASES: &[Case] = cases![
    join_returns_the_result,
    join_resumes_the_panic,
    cancel_resumes_the_panic,
    a_panic_that_nobody_joins_harms_nobody,
    a_task_is_handed_the_io_that_started_it,
    is_finished_tells_that_join_would_not_wait,
    concurrent_tasks_progress_beside_the_caller,
    two_concurrent_tasks_progress_beside_each_other,
    closures_and_results_have_any_size_and_alignment,
    what_closures_own_and_return_may_be_large,
    a_result_is_dropped_once_whoever_drops_it,
    a_task_canceled_before_it_starts_runs_once_with_the_request_pending,
    request_cancel_does_not_wait,
    a_dropped_task_is_torn_down_at_every_point,
    a_dropped_task_is_not_waited_for,
    a_detached_task_lives_on,
    join_meets_the_end_of_the_task_at_any_time,
    a_task_may_be_joined_by_another_task_or_thread,
    spawn_thread_has_a_named_thread_of_its_own_to_block,
    a_task_on_a_thread_of_its_own_is_canceled_at_its_points,
    a_computation_does_not_delay_the_timers_of_others,
    a_dump_names_who_runs_and_who_was_asked_to_stop,
    a_dump_waits_for_nobody,
];

const LONG: Duration = Duration::from_secs(3600);

/// Tries every way to start a task.
fn each_way(io: &dyn Io, mut check: impl FnMut(&str, fn(&dyn Io, Job) -> Task<u32>)) {
    let _ = io;
    check("async", |io, job| io.spawn_async(job));
    check("concurrent", |io, job| io.spawn_concurrent(job).expect("concurrent"));
    check("waiting", |io, job| io.spawn_waiting(job).expect("waiting"));
    check("thread", |io, job| io.spawn_thread("of-its-own", job).expect("thread"));
}

type Job = fn(&dyn Io) -> u32;

fn join_returns_the_result(on: &On) {
    on.run(|io| {
        each_way(io, |way, spawn| assert_eq!(spawn(io, |_| 42).join(io), 42, "{way}"));
    });
}

fn join_resumes_the_panic(on: &On) {
    on.run(|io| {
        each_way(io, |way, spawn| {
            let task = spawn(io, |_| panic_quietly("deliberate"));
            assert_eq!(panic_of(|| task.join(io)), "deliberate", "{way}");
        });
    });
}

fn cancel_resumes_the_panic(on: &On) {
    on.run(|io| {
        each_way(io, |way, spawn| {
            let task = spawn(io, |_| panic_quietly("deliberate"));
            assert_eq!(panic_of(|| task.cancel(io)), "deliberate", "{way}");
        });
    });
}

fn a_panic_that_nobody_joins_harms_nobody(on: &On) {
    on.run(|io| {
        for _ in 0..100 {
            io.spawn_concurrent(|_| panic_quietly("deliberate")).expect("concurrent").detach();
            drop(io.spawn_async(|_| panic_quietly("deliberate")));
        }
        assert_eq!(io.spawn_async(|_| 1).join(io), 1);
    });
}

fn a_task_is_handed_the_io_that_started_it(on: &On) {
    on.run(|io| {
        let name = io.backend().name;
        assert_eq!(io.spawn_async(|io| io.backend().name).join(io), name);
        assert_eq!(io.spawn_thread("one", |io| io.backend().name).expect("thread").join(io), name);
        let nested = io.spawn_async(|io| io.spawn_async(|io| io.backend().name).join(io));
        assert_eq!(nested.join(io), name);
    });
}

fn is_finished_tells_that_join_would_not_wait(on: &On) {
    on.run(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let task = io.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("concurrent");
        assert!(!task.is_finished());
        go.set();
        while !task.is_finished() {
            io.yield_now();
        }
        task.join(io);
    });
}

/// Two tasks can make progress only together.
fn concurrent_tasks_progress_beside_the_caller(on: &On) {
    for async_limit in [0, 4] {
        on.async_limit(async_limit).run(|io| {
            let (sender, receiver) = channel(0);
            let producer = io.spawn_concurrent(move |io| (0..100).try_for_each(|item| sender.send(io, item)));
            let producer = producer.expect("concurrent");
            for item in 0..100 {
                assert_eq!(receiver.recv(io).expect("an item"), item);
            }
            producer.join(io).expect("all sent");
        });
    }
}

/// A producer and a consumer; neither is the caller.
fn two_concurrent_tasks_progress_beside_each_other(on: &On) {
    on.async_limit(0).run(|io| {
        let (sender, receiver) = channel(0);
        let producer = io.spawn_concurrent(move |io| (0..100).try_for_each(|item| sender.send(io, item)));
        let consumer = io.spawn_concurrent(move |io| (0..).map_while(|_| receiver.recv(io).ok()).sum::<u32>());
        assert_eq!(consumer.expect("concurrent").join(io), 4950);
        producer.expect("concurrent").join(io).expect("all sent");
    });
}

fn closures_and_results_have_any_size_and_alignment(on: &On) {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(512))]
    struct Aligned(u8);

    on.run(|io| {
        let aligned = Aligned(7);
        let at = |value: &Aligned| std::ptr::from_ref(value).addr() % 512;
        let back = io
            .spawn_concurrent(move |_| {
                assert_eq!(at(&aligned), 0);
                aligned
            })
            .expect("concurrent")
            .join(io);
        assert_eq!((at(&back), back), (0, Aligned(7)));

        // A debug build copies it some twenty times, each time on the fiber's stack.
        let mut big = [3_u8; 6_000];
        let back = io
            .spawn_async(move |_| {
                big.fill(4);
                big
            })
            .join(io);
        assert!(back.iter().all(|byte| *byte == 4));
        io.spawn_async(|_| ()).join(io);
    });
}

/// On stacks of the default size, also in a build without optimization: captures and results are not copied from frame
/// to frame.
fn what_closures_own_and_return_may_be_large(on: &On) {
    const BYTES: usize = 16 << 10;
    // Each has a frame of its own, on a stack of the default size: the case itself may have a larger one.
    let ways: [fn(&dyn Io); 8] = [
        |io| {
            let large = [1_u8; BYTES];
            assert_eq!(io.spawn_async(move |_| large[BYTES - 1]).join(io), 1);
        },
        |io| {
            let large = [1_u8; BYTES];
            assert_eq!(io.spawn_concurrent(move |_| large[BYTES - 1]).expect("concurrent").join(io), 1);
        },
        |io| {
            let large = [1_u8; BYTES];
            assert_eq!(io.spawn_waiting(move |_| large[BYTES - 1]).expect("waiting").join(io), 1);
        },
        |io| {
            let large = [1_u8; BYTES];
            let task = io.task().name("large");
            assert_eq!(task.spawn_async(move |_| large[BYTES - 1]).expect("inline").join(io), 1);
        },
        |io| {
            let large = [1_u8; BYTES];
            scope(io, |group| assert_eq!(group.spawn_async(|_| large[BYTES - 1]).join(io), 1));
            scope(io, |group| assert_eq!(group.spawn_async(move |_| large[BYTES - 1]).join(io), 1));
        },
        |io| {
            let large = [1_u8; BYTES];
            let first = io.join_set(|set| {
                set.spawn_async(move |_| large[BYTES - 1]);
                set.next(io)
            });
            assert_eq!(first.expect("not canceled"), Some(1));
        },
        |io| assert_eq!(io.spawn_async(|_| [1_u8; BYTES]).join(io)[BYTES - 1], 1),
        |io| assert_eq!(io.spawn_concurrent(|_| [1_u8; BYTES]).expect("concurrent").join(io)[BYTES - 1], 1),
    ];
    on.run(|io| {
        for way in ways {
            io.spawn_concurrent(way).expect("concurrent").join(io);
        }
    });
}

fn a_result_is_dropped_once_whoever_drops_it(on: &On) {
    on.run(|io| {
        let counted = Arc::new(());
        let uses = || Arc::strong_count(&counted) - 1;
        for _ in 0..rounds(100) {
            let [taken, detached, dropped, panics] = [(); 4].map(|()| counted.clone());
            let task = io.spawn_concurrent(move |_| taken).expect("concurrent");
            drop(task.join(io));
            assert_eq!(uses(), 3, "taken");
            scope(io, |group| {
                drop(group.spawn_concurrent(move |_| detached).expect("concurrent"));
                let late = group.spawn_async(move |_| dropped);
                while !late.is_finished() {
                    io.yield_now();
                }
                drop(late);
            });
            assert_eq!(uses(), 1, "detached before and after its end");
            let task = io.spawn_async(move |_| {
                let _owned = panics;
                panic_quietly("deliberate")
            });
            assert_eq!(panic_of(|| -> () { task.join(io) }), "deliberate");
            assert_eq!(uses(), 0, "unwound");
        }
    });
}

fn a_task_canceled_before_it_starts_runs_once_with_the_request_pending(on: &On) {
    on.run(|io| {
        for _ in 0..rounds(500) {
            let runs = Arc::new(AtomicUsize::new(0));
            let theirs = runs.clone();
            let task = io.spawn_concurrent(move |io| {
                theirs.fetch_add(1, Ordering::Relaxed);
                (io.sleep(LONG), io.check_cancel())
            });
            let (first, second) = task.expect("concurrent").cancel(io);
            first.expect_canceled("the request arrives, before or after the start");
            second.expect("it arrives once");
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        }
    });
}

fn request_cancel_does_not_wait(on: &On) {
    on.run(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let task = io.spawn_concurrent(move |io| {
            io.shield(|io| theirs.wait_uncancelable(io));
            io.check_cancel()
        });
        let task = task.expect("concurrent");
        task.request_cancel();
        assert!(!task.is_finished());
        go.set();
        task.join(io).expect_canceled("requested");
    });
}

fn a_dropped_task_is_torn_down_at_every_point(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        drop(
            io.spawn_concurrent(move |io| {
                // With one-shot cancellation the second sleep would last an hour.
                let canceled = (0..5).filter(|_| io.sleep(LONG).is_err()).count();
                sender.try_send(canceled).expect("room");
            })
            .expect("concurrent"),
        );
        assert_eq!(receiver.recv(io).expect("the count"), 5);
    });
}

fn a_dropped_task_is_not_waited_for(on: &On) {
    on.run(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        drop(io.spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("concurrent"));
        // If the drop had waited, this line would not be reached.
        go.set();
    });
}

fn a_detached_task_lives_on(on: &On) {
    on.run(|io| {
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let (sender, receiver) = channel(1);
        io.spawn_concurrent(move |io| {
            let waited = theirs.wait(io);
            sender.try_send(waited.is_ok()).expect("room");
        })
        .expect("concurrent")
        .detach();
        go.set();
        assert!(receiver.recv(io).expect("it says"), "detaching does not cancel");
    });
}

/// The order of the join and the end of the task differs from round to round.
fn join_meets_the_end_of_the_task_at_any_time(on: &On) {
    on.run(|io| {
        for round in 0..rounds(1_000) {
            let task = io.spawn_concurrent(move |_| round).expect("concurrent");
            (0..round % 7).for_each(|_| io.yield_now());
            assert_eq!(task.join(io), round);
        }
    });
}

fn a_task_may_be_joined_by_another_task_or_thread(on: &On) {
    on.run(|io| {
        let inner = io.spawn_concurrent(|_| 7).expect("concurrent");
        let outer = io.spawn_concurrent(move |io| inner.join(io)).expect("concurrent");
        let thread = io.spawn_thread("joiner", move |io| outer.join(io)).expect("thread");
        assert_eq!(thread.join(io), 7);
    });
}

fn spawn_thread_has_a_named_thread_of_its_own_to_block(on: &On) {
    on.concurrent_limit(2).run(|io| {
        let (sender, receiver) = std::sync::mpsc::channel();
        // More tasks than any limit, each blocked in a call that does not use `Io`.
        let (back, count) = std::sync::mpsc::channel();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let back = back.clone();
                io.spawn_thread("blocking", move |io| {
                    back.send(std::thread::current().name().map(str::to_owned)).expect("counted");
                    io.sleep(Duration::from_millis(1)).expect("calls through io work here");
                })
                .expect("thread")
            })
            .collect();
        let blocked = io.spawn_thread("blocked", move |_| receiver.recv()).expect("thread");
        for _ in 0..8 {
            assert_eq!(count.recv().expect("all of them run").as_deref(), Some("blocking"));
        }
        sender.send(5).expect("somebody waits");
        assert_eq!(blocked.join(io), Ok(5));
        tasks.into_iter().for_each(|task| task.join(io));
    });
}

fn a_task_on_a_thread_of_its_own_is_canceled_at_its_points(on: &On) {
    on.run(|io| {
        let task = io.spawn_thread("sleeper", |io| (io.sleep(LONG), io.check_cancel())).expect("thread");
        let (first, second) = task.cancel(io);
        first.expect_canceled("canceled");
        second.expect("once");
    });
}

/// Timers of other tasks end during a computation, which continues until they have, as long as there is an executor for
/// them.
fn a_computation_does_not_delay_the_timers_of_others(on: &On) {
    on.executors(2).on_thread(|io| {
        for _ in 0..rounds(20) {
            let (started, ended) = (Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
            let (theirs, end) = (started.clone(), ended.clone());
            let computation = io.spawn_concurrent(move |_| {
                theirs.set();
                while !end.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
            let computation = computation.expect("concurrent");
            started.wait_uncancelable(io);
            let timers = io.spawn_concurrent(|io| (0..5).try_for_each(|_| io.sleep(Duration::from_millis(1))));
            let slept = timers.expect("concurrent").join(io);
            ended.store(true, Ordering::Relaxed);
            computation.join(io);
            slept.expect("not canceled");
        }
    });
}

fn a_dump_names_who_runs_and_who_was_asked_to_stop(on: &On) {
    let named =
        |io: &dyn Io, name: &str| io.dump().tasks.into_iter().filter(|task| task.name == name).collect::<Vec<_>>();
    on.run(|io| {
        let (began, end) = (Event::new(), Event::new());
        scope(io, |group| {
            let stubborn = |io: &dyn Io| {
                began.set();
                end.wait_uncancelable(io);
            };
            assert!(named(io, "stubborn").is_empty());
            let task = group.task().name("stubborn").spawn_concurrent(stubborn).expect("concurrent");
            began.wait_uncancelable(io);
            assert!(matches!(&named(io, "stubborn")[..], [task] if !task.is_canceled));
            task.request_cancel();
            assert!(matches!(&named(io, "stubborn")[..], [task] if task.is_canceled));
            assert!(io.dump().to_string().contains("stubborn: was asked to stop\n"));
            end.set();
            task.join(io);
        });
        assert!(named(io, "stubborn").is_empty(), "it has ended");
    });
}

/// A plain thread calls it while a task computes and lets no other run.
fn a_dump_waits_for_nobody(on: &On) {
    on.executors(1).on_thread(|io| {
        let (began, over) = (Event::new(), AtomicBool::new(false));
        scope(io, |group| {
            let computing = |_: &dyn Io| {
                began.set();
                while !over.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            };
            let task = group.task().name("computing").spawn_concurrent(computing).expect("concurrent");
            began.wait_uncancelable(io);
            assert!(io.dump().tasks.iter().any(|task| task.name == "computing"));
            over.store(true, Ordering::Relaxed);
            task.join(io);
        });
    });
}
