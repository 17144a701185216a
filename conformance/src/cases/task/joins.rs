//! Joining `spawn_async` tasks that either the backend or the joiner begins: a task runs once in both cases, and its
//! joiner cannot tell the difference.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Io, Task};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Random, Watchdog, concurrently, rounds, scope};

pub(crate) const CASES: &[Case] = cases![
    a_task_runs_once_whoever_begins_it,
    a_request_to_the_joiner_reaches_the_task_whoever_began_it,
    recursion_through_joins_is_not_bounded_by_the_depth_of_inline_tasks,
    a_slot_is_free_after_the_join_whoever_began_the_task,
];

const LONG: Duration = Duration::from_secs(3600);
const TASKS: usize = 12;

/// Counts of the events of each task.
#[derive(Default)]
struct Ledger {
    ran: [AtomicU32; TASKS],
    results_dropped: [AtomicU32; TASKS],
}

impl Ledger {
    fn spawn(self: &Arc<Self>, io: &dyn Io, index: usize) -> Task<Receipt> {
        let ledger = self.clone();
        io.spawn_async(move |io| {
            ledger.ran[index].fetch_add(1, Ordering::Relaxed);
            let points = array::from_fn(|_| io.check_cancel().is_err());
            Receipt { index, ledger, points }
        })
    }
}

/// The result of a task, and the results of its first two cancellation points.
struct Receipt {
    index: usize,
    ledger: Arc<Ledger>,
    points: [bool; 2],
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.ledger.results_dropped[self.index].fetch_add(1, Ordering::Relaxed);
    }
}

/// Tasks are joined here and elsewhere, canceled, dropped and detached, and the runtime is shut down in the middle.
fn a_task_runs_once_whoever_begins_it(on: &On) {
    let _watchdog = Watchdog::start();
    let mut random = Random::new("joins");
    for _ in 0..rounds(200) {
        let ledger = Arc::new(Ledger::default());
        let runtime = on.async_limit(4).start();
        let handle = runtime.handle();
        let mut kept = Vec::new();
        thread::scope(|scope| {
            for index in 0..TASKS {
                let task = ledger.spawn(&*handle, index);
                match random.below(6) {
                    0 => assert_eq!(task.join(&*handle).index, index),
                    1 => {
                        let receipt = task.cancel(&*handle);
                        assert_eq!(receipt.index, index);
                        // If a worker has begun the task, the request may come before the first point or before the
                        // second.
                        assert_ne!(receipt.points, [true, true], "the request is delivered once");
                    }
                    2 => drop(task),
                    3 => task.detach(),
                    4 => {
                        let handle = &handle;
                        scope.spawn(move || assert_eq!(task.join(&**handle).index, index));
                    }
                    _ => kept.push(task),
                }
            }
            runtime.shutdown();
        });
        assert!(kept.iter().all(Task::is_finished), "shutdown waits for every task");
        drop(kept);
        for index in 0..TASKS {
            assert_eq!(ledger.ran[index].load(Ordering::Relaxed), 1, "task {index} runs once");
            assert_eq!(ledger.results_dropped[index].load(Ordering::Relaxed), 1, "of task {index}");
        }
    }
}

fn a_request_to_the_joiner_reaches_the_task_whoever_began_it(on: &On) {
    on.async_limit(1).on_thread(|io| {
        for _ in 0..rounds(200) {
            let started = Event::new();
            let started = &started;
            scope(io, |group| {
                let parent = concurrently(group, |io| {
                    scope(io, |inner| {
                        let child = inner.spawn_async(|io| {
                            started.set();
                            (io.sleep(LONG), io.check_cancel())
                        });
                        let (first, second) = child.join(io);
                        first.expect_canceled("a copy of the joiner's request");
                        second.expect("delivered once");
                    });
                    (io.check_cancel(), io.check_cancel())
                });
                started.wait_uncancelable(io);
                let (first, second) = parent.cancel(io);
                first.expect_canceled("the joiner has its own");
                second.expect("delivered once");
            });
        }
    });
}

fn recursion_through_joins_is_not_bounded_by_the_depth_of_inline_tasks(on: &On) {
    fn recurse(io: &dyn Io, depth: u32) -> u32 {
        if depth == 0 { 0 } else { 1 + io.spawn_async(move |io| recurse(io, depth - 1)).join(io) }
    }
    on.async_limit(200).run(|io| assert_eq!(recurse(io, 200), 200));
}

/// If a slot were lost, one of the last tasks would run on top of its starter every time.
fn a_slot_is_free_after_the_join_whoever_began_the_task(on: &On) {
    on.async_limit(2).run(|io| {
        for number in 0..rounds(2_000) {
            assert_eq!(io.spawn_async(move |_| number).join(io), number);
        }
        let (first, second) = (Event::new(), Event::new());
        scope(io, |group| {
            group.spawn_async(|io| (second.set(), first.wait_uncancelable(io)));
            group.spawn_async(|io| (first.set(), second.wait_uncancelable(io)));
        });
    });
}
