//! Memory stays flat over any number of tasks. The test has a process of its own, because memory belongs to the
//! process.

mod support;

use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use iolite::OwnedGroup;
use iolite_conformance::tools::{Watchdog, note, rounds, scope};
use iolite_conformance::{Case, On, cases, run_one_by_one};

const CASES: &[Case] = cases![
    a_long_group_of_short_tasks_stays_small,
    an_owned_group_stays_small,
    tasks_without_a_group_leave_nothing,
    runtimes_that_come_and_go_leave_nothing,
];

fn main() -> ExitCode {
    run_one_by_one(support::subjects(), &[CASES])
}

/// The maximum growth of the process while nothing is kept: allocators and stack pools settle.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

/// Returns the resident memory of the process.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * rustix::param::page_size() as u64
}

/// Runs a tenth of the repetitions to settle, and then measures the others.
fn assert_flat(what: &str, times: usize, mut run: impl FnMut(usize)) {
    run(times / 10);
    let before = resident_bytes();
    run(times);
    let growth = resident_bytes().saturating_sub(before);
    note(format_args!("{what}, {times} times: {} KiB more", growth >> 10));
    assert!(growth < GROWTH_BYTES_MAX, "{what}, {times} times: {growth} bytes more");
}

fn a_long_group_of_short_tasks_stays_small(on: &On) {
    const LIMIT: usize = 32;
    on.concurrent_limit(LIMIT).on_thread(|io| {
        let total = AtomicUsize::new(0);
        let ran = &total;
        scope(io, |group| {
            let mut live_most = 0;
            assert_flat("tasks of one group", rounds(100_000), |times| {
                for _ in 0..times {
                    // Values that the closure owns would be noticed if they were kept.
                    let owned = vec![1_u8; 512];
                    let member = group.spawn_waiting(move |_| ran.fetch_add(owned.len(), Ordering::Relaxed));
                    drop(member.expect("a slot, in the end"));
                    live_most = live_most.max(group.len());
                }
            });
            group.wait(io).expect("not canceled");
            assert_eq!(group.len(), 0);
            // A slot is free a moment before its member is removed.
            assert!(live_most <= 2 * LIMIT, "{live_most} members were alive with {LIMIT} slots");
        });
        let all = rounds(100_000) + rounds(100_000) / 10;
        assert_eq!(total.into_inner(), 512 * all);
    });
}

fn an_owned_group_stays_small(on: &On) {
    on.on_thread(|io| {
        let group = OwnedGroup::new(io.handle().expect("a backend has a handle"));
        assert_flat("tasks of an owned group", rounds(30_000), |times| {
            for number in 0..times {
                let owned = vec![1_u8; 512];
                drop(group.spawn_async(move |_| owned.len()));
                if number % 100 == 0 {
                    group.wait(io).expect("not canceled");
                }
            }
        });
        group.cancel(io);
    });
}

fn tasks_without_a_group_leave_nothing(on: &On) {
    on.on_thread(|io| {
        assert_flat("tasks", rounds(30_000), |times| {
            for number in 0..times {
                let owned = vec![1_u8; 512];
                let task = io.spawn_waiting(move |io| {
                    io.yield_now();
                    owned
                });
                let task = task.expect("a slot, in the end");
                match number % 4 {
                    0 => drop(task),
                    1 => task.detach(),
                    _ => drop(task.join(io)),
                }
            }
        });
    });
}

fn runtimes_that_come_and_go_leave_nothing(on: &On) {
    let watchdog = Watchdog::start();
    assert_flat("runtimes", rounds(300), |times| {
        for _ in 0..times {
            let runtime = on.start();
            let io = runtime.io();
            scope(io, |group| drop((0..4).map(|_| group.spawn_async(|_| vec![1_u8; 4096])).collect::<Vec<_>>()));
            runtime.shutdown();
            watchdog.beat();
        }
    });
}
