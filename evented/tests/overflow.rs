//! A fiber that overflows its stack is named, and the process ends.

mod support;

use iolite_conformance::tools::again;
use iolite_conformance::{Case, whole};
use std::hint::black_box;
use std::process::ExitCode;

use iolite_evented::{Evented, Options};
use iolite_io::Io;

const CASES: &[Case] = whole![
    a_stack_overflow_names_the_task_and_the_size_of_its_stack,
    an_overflow_of_the_main_task_is_told_too,
    an_overflow_of_an_inline_task_is_told_of_the_fiber_below,
];

fn main() -> ExitCode {
    support::run(&[CASES])
}

/// Set in the child process that overflows.
const CHILD: &str = "IOLITE_TEST_OVERFLOW";

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX { frame[0] } else { recurse(depth + 1) + frame[63] }
}

/// Runs the test named `test` again in a process of its own, which ends with an overflow in `main`, and returns the
/// output of that process.
fn overflow(test: &str, options: Options, main: impl FnOnce(&dyn Io)) -> String {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        Evented::prepare(options).unwrap().run(main);
        unreachable!("it overflows");
    }
    let child = again().env(CHILD, test).output().unwrap();
    assert!(!child.status.success());
    String::from_utf8_lossy(&child.stderr).into_owned()
}

fn options() -> Options {
    Options { executors: 1, stack_size: 128 * 1024, main_stack_size: 512 * 1024, ..Options::default() }
}

fn a_stack_overflow_names_the_task_and_the_size_of_its_stack() {
    let told = overflow("a_stack_overflow_names_the_task_and_the_size_of_its_stack", options(), |io| {
        io.spawn_concurrent(|_| recurse(0)).unwrap().join(io);
    });
    assert!(told.contains("overflowed its stack of 128 KiB"), "{told}");
    assert!(told.contains("a_stack_overflow_names_the_task"), "names the task: {told}");
}

fn an_overflow_of_the_main_task_is_told_too() {
    let told = overflow("an_overflow_of_the_main_task_is_told_too", options(), |_| {
        recurse(0);
    });
    assert!(told.contains("main") && told.contains("overflowed its stack of 512 KiB"), "{told}");
}

fn an_overflow_of_an_inline_task_is_told_of_the_fiber_below() {
    let test = "an_overflow_of_an_inline_task_is_told_of_the_fiber_below";
    let told = overflow(test, Options { async_limit: 0, ..options() }, |io| {
        let task = io.spawn_concurrent(|io| {
            // Other fibers have run on the thread in the meantime.
            io.yield_now();
            io.spawn_async(|_| recurse(0)).join(io)
        });
        task.unwrap().join(io);
    });
    assert!(told.contains("overflowed its stack of 128 KiB"), "{told}");
    assert!(told.contains(test), "names the task: {told}");
}
