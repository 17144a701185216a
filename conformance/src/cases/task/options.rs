//! Options of a task: a name, a stack, a placement. It gets them or does not start.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::thread;

use iolite_io::sync::Event;
use iolite_io::{Io, SpawnError, SpawnErrorKind, Task, TaskBuilder, error::InvalidOption, task::Placement};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, rounds, scope};

pub(crate) const CASES: &[Case] = cases![
    a_task_has_the_stack_that_it_asks_for,
    a_member_has_the_stack_that_it_asks_for,
    a_member_of_every_kind_of_group_has_the_stack_that_it_asks_for,
    tasks_with_different_stacks_run_side_by_side,
    a_stack_out_of_range_is_refused_and_the_closure_comes_back,
    an_executor_that_there_is_not_is_refused_and_the_closure_comes_back,
    a_member_that_is_refused_is_not_waited_for,
    without_a_unit_only_what_asks_for_nothing_runs_inline,
    a_task_with_a_stack_of_its_own_counts_against_the_limit,
    spawn_waiting_with_options_is_a_cancellation_point,
    a_task_is_called_by_its_name,
    tasks_are_placed_from_anywhere,
];

type Job = fn(&dyn Io) -> usize;
type Spawned = Result<Task<usize>, SpawnError<Job>>;

/// Every way to start a task that asks for something.
const WAYS: [(&str, fn(TaskBuilder<&dyn Io>, Job) -> Spawned); 4] = [
    ("async", |task, job| task.spawn_async(job)),
    ("concurrent", |task, job| task.spawn_concurrent(job)),
    ("waiting", |task, job| task.spawn_waiting(job)),
    ("thread", |task, job| task.spawn_thread(job)),
];

/// Uses more stack than any task has by default.
fn use_two_mebibytes(_: &dyn Io) -> usize {
    fn descend(depth: usize) -> usize {
        let frame = black_box([depth as u8; 1024]);
        if depth == 0 { 0 } else { descend(depth - 1) + usize::from(black_box(&frame).len() == 1024) }
    }
    descend(2048)
}

fn a_task_has_the_stack_that_it_asks_for(on: &On) {
    on.async_limit(4).run(|io| {
        for (way, spawn) in WAYS {
            // More than once, because stacks are reused.
            for _ in 0..3 {
                let task = spawn(io.task().stack_size(16 << 20), use_two_mebibytes);
                assert_eq!(task.unwrap_or_else(|error| panic!("{way}: {error}")).join(io), 2048, "{way}");
            }
        }
    });
}

fn a_member_has_the_stack_that_it_asks_for(on: &On) {
    on.async_limit(4).run(|io| {
        let depths: usize = scope(io, |group| {
            let task = || group.task().stack_size(16 << 20);
            let members = [
                task().spawn_async(use_two_mebibytes),
                task().spawn_concurrent(use_two_mebibytes),
                task().spawn_waiting(use_two_mebibytes),
                task().spawn_thread(use_two_mebibytes),
            ];
            members.into_iter().map(|member| member.expect("started").join(io)).sum()
        });
        assert_eq!(depths, 4 * 2048);
    });
}

fn a_member_of_every_kind_of_group_has_the_stack_that_it_asks_for(on: &On) {
    on.async_limit(4).run(|io| {
        let sum = io.try_group(|group| -> io::Result<usize> {
            let task = || group.task().stack_size(16 << 20);
            let use_stack = |io: &dyn Io| Ok(use_two_mebibytes(io));
            let members = [
                task().spawn_async(use_stack)?,
                task().spawn_concurrent(use_stack)?,
                task().spawn_waiting(use_stack)?,
                task().spawn_thread(use_stack)?,
            ];
            members.into_iter().try_fold(0, |sum, member| Ok(sum + member.join(io)?))
        });
        assert_eq!(sum.expect("all have started"), 4 * 2048);

        let results = io.join_set(|set| -> io::Result<Vec<usize>> {
            let task = || set.task().stack_size(16 << 20);
            task().spawn_async(use_two_mebibytes)?;
            task().spawn_concurrent(use_two_mebibytes)?;
            task().spawn_waiting(use_two_mebibytes)?;
            task().spawn_thread(use_two_mebibytes)?;
            Ok(set.next_many(io, 4)?)
        });
        assert_eq!(results.expect("all have started"), [2048; 4]);
    });
}

fn tasks_with_different_stacks_run_side_by_side(on: &On) {
    on.async_limit(4).run(|io| {
        let (go, started) = (Event::new(), Event::new());
        scope(io, |group| {
            let members: Vec<_> = (0..40)
                .map(|number| {
                    let (go, started) = (&go, &started);
                    let task = group.task().stack_size((64 << 10) << (number % 5));
                    let body = move |io: &dyn Io| {
                        let frame = black_box([number as u8; 8192]);
                        started.set();
                        go.wait_uncancelable(io);
                        frame.iter().all(|byte| usize::from(*byte) == number)
                    };
                    task.spawn_concurrent(body).expect("started")
                })
                .collect();
            started.wait_uncancelable(io);
            go.set();
            assert!(members.into_iter().all(|member| member.join(io)), "stacks overlap");
        });
    });
}

fn a_stack_out_of_range_is_refused_and_the_closure_comes_back(on: &On) {
    on.async_limit(4).run(|io| {
        for bytes in [0, (32 << 10) - 1, (1 << 30) + 1, usize::MAX] {
            for (way, spawn) in WAYS {
                let error = spawn(io.task().stack_size(bytes), |_| 7).expect_err(way);
                let text = format!("stack_size = {bytes} is out of range: the stack of a task has 32 KiB to 1 GiB");
                assert_eq!(error.to_string(), text, "{way}");
                assert!(matches!(error.kind, SpawnErrorKind::InvalidOption(InvalidOption::StackSize { .. })), "{way}");
                assert_eq!((error.closure)(io), 7, "{way}");
                assert_eq!(io::Error::from(error.kind).kind(), io::ErrorKind::InvalidInput);
            }
        }
        for (way, spawn) in WAYS {
            assert_eq!(spawn(io.task().stack_size(32 << 10), |_| 7).expect(way).join(io), 7, "{way}");
        }
    });
}

fn an_executor_that_there_is_not_is_refused_and_the_closure_comes_back(on: &On) {
    let on = &on.executors(2);
    on.async_limit(4).run(|io| {
        let executors = io.backend().executors;
        for (way, spawn) in WAYS {
            for index in 0..executors {
                assert_eq!(spawn(io.task().placement(Placement::Executor(index)), |_| 7).expect(way).join(io), 7);
            }
            let error = spawn(io.task().placement(Placement::Executor(executors)), |_| 7).expect_err(way);
            let text =
                format!("placement = executor {executors} is out of range: executors = {executors}, counted from 0");
            assert_eq!(error.to_string(), text, "{way}");
            assert_eq!((error.closure)(io), 7, "{way}");
        }
    });
}

fn a_member_that_is_refused_is_not_waited_for(on: &On) {
    on.async_limit(4).run(|io| {
        let precious = Arc::new(());
        scope(io, |group| {
            for (bytes, placement) in [(1, Placement::Here), (1 << 20, Placement::Executor(99))] {
                let task = || group.task().stack_size(bytes).placement(placement);
                let held = || precious.clone();
                let body = |held: Arc<()>| move |_: &dyn Io| held;
                for error in [
                    task().spawn_async(body(held())).err(),
                    task().spawn_concurrent(body(held())).err(),
                    task().spawn_waiting(body(held())).err(),
                    task().spawn_thread(body(held())).err(),
                ] {
                    drop((error.expect("refused").closure)(io));
                }
                assert!(group.is_empty());
            }
        });
        assert_eq!(Arc::strong_count(&precious), 1);
    });
}

fn without_a_unit_only_what_asks_for_nothing_runs_inline(on: &On) {
    on.async_limit(0).run(|io| {
        let here = thread::current().id();
        let inline = io.task().name("inline").placement(Placement::Here).spawn_async(|_| thread::current().id());
        assert_eq!(inline.expect("inline").join(io), here);
        for task in [io.task().stack_size(1 << 20), io.task().placement(Placement::Executor(0))] {
            let error = task.spawn_async(|_| 7).expect_err("no unit, and no such thing inline");
            let SpawnErrorKind::ConcurrencyUnavailable(cause) = &error.kind else { panic!("{error}") };
            assert_eq!((cause.limit(), cause.value()), ("async_limit", 0));
            assert_eq!((error.closure)(io), 7);
        }
    });
}

fn a_task_with_a_stack_of_its_own_counts_against_the_limit(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        for round in 0..rounds(100) {
            let go = Arc::new(Event::new());
            let theirs = go.clone();
            let large = io.task().stack_size(8 << 20).spawn_concurrent(move |io| theirs.wait_uncancelable(io));
            let large = large.unwrap_or_else(|error| panic!("round {round}: {error}"));
            let error = io.task().stack_size(8 << 20).spawn_concurrent(|_| ()).expect_err("none is free");
            assert!(error.to_string().contains("concurrent_limit = 1"), "{error}");
            io.spawn_concurrent(|_| ()).expect_err("none is free");
            go.set();
            large.join(io);
            io.spawn_concurrent(|_| ()).unwrap_or_else(|error| panic!("round {round}: {error}")).join(io);
        }
    });
}

fn spawn_waiting_with_options_is_a_cancellation_point(on: &On) {
    on.async_limit(4).run(|io| {
        let task = io.spawn_concurrent(|io| {
            while io.check_cancel().map_err(|canceled| io.recancel(canceled)).is_ok() {
                io.yield_now();
            }
            let error = io.task().stack_size(1 << 20).spawn_waiting(|_| 7).expect_err("canceled");
            assert!(matches!(error.kind, SpawnErrorKind::Canceled(_)), "{error}");
            io.check_cancel().expect("delivered once");
            (error.closure)(io)
        });
        assert_eq!(task.expect("started").cancel(io), 7);
        scope(io, |group| {
            let member = group.spawn_concurrent(|io| {
                scope(io, |inner| {
                    let waiting = Event::new();
                    waiting.wait(io).expect_canceled("asked to");
                    let member = inner.task().stack_size(1 << 20).spawn_waiting(|_| 7).expect("started");
                    member.join(io)
                })
            });
            assert_eq!(member.expect("started").cancel(io), 7);
        });
    });
}

fn a_task_is_called_by_its_name(on: &On) {
    on.async_limit(4).run(|io| {
        let name = |_: &dyn Io| thread::current().name().map(str::to_owned);
        let named = io.task().name("by its name").stack_size(1 << 20).spawn_thread(name).expect("thread");
        assert_eq!(named.join(io).as_deref(), Some("by its name"));
        scope(io, |group| {
            let named = group.task().name("a member").spawn_thread(name).expect("thread");
            assert_eq!(named.join(io).as_deref(), Some("a member"));
        });
    });
}

fn tasks_are_placed_from_anywhere(on: &On) {
    let on = &on.executors(2);
    on.async_limit(4).run(|io| {
        let placements = [Placement::Anywhere, Placement::Here, Placement::Executor(0)];
        let started = placements.into_iter().cycle().take(300).enumerate().map(|(number, placement)| {
            let nested = move |io: &dyn Io| {
                let inner = io.task().placement(placement).spawn_async(move |io| {
                    io.yield_now();
                    number
                });
                inner.map_or_else(|error| (error.closure)(io), |task| task.join(io))
            };
            io.task().placement(placement).spawn_waiting(nested).expect("started")
        });
        let tasks: Vec<_> = started.collect();
        assert_eq!(tasks.into_iter().map(|task| task.join(io)).sum::<usize>(), 300 * 299 / 2);
    });
}
