//! A fiber that overflows its stack is named, and the process ends.

use std::hint::black_box;
use std::process::Command;

use iolite_evented::{Evented, Options};

/// Set in the child process that overflows.
const CHILD: &str = "IOLITE_TEST_OVERFLOW";

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX { frame[0] } else { recurse(depth + 1) + frame[63] }
}

#[test]
fn a_stack_overflow_names_the_task_and_the_size_of_its_stack() {
    if std::env::var_os(CHILD).is_some() {
        let options = Options { executors: 1, stack_size: 128 * 1024, ..Options::default() };
        Evented::prepare(options).unwrap().run(|io| {
            io.spawn_concurrent(|_| recurse(0)).unwrap().join(io);
        });
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_stack_overflow_names_the_task_and_the_size_of_its_stack", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success());
    assert!(told.contains("overflowed its stack of 128 KiB"), "{told}");
    assert!(told.contains("a_stack_overflow_names_the_task"), "names the task: {told}");
}
