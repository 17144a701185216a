//! The memory of stacks goes back to the system when a burst of tasks is over. The test has a process of its own,
//! because resident memory is counted per process.

mod support;

use iolite_conformance::{Case, whole};
use std::process::ExitCode;
use std::time::Duration;

use iolite_evented::{Evented, Options};
use iolite_io::sync::Event;

const CASES: &[Case] = whole![stacks_of_a_burst_are_given_back,];

fn main() -> ExitCode {
    support::run(&[CASES])
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

fn stacks_of_a_burst_are_given_back() {
    const TASKS: usize = 20_000;
    Evented::prepare(Options { executors: 1, ..Options::default() }).unwrap().run(|io| {
        let go = Event::new();
        let before = resident_bytes();
        let mut burst = 0;
        io.group(|group| {
            for _ in 0..TASKS {
                group.spawn_concurrent(|io| go.wait_uncancelable(io))?;
            }
            // When this task has ended, all of them have begun, and have therefore touched their stacks.
            group.spawn_concurrent(|_| ())?.join(io);
            burst = resident_bytes() - before;
            go.set();
            std::io::Result::Ok(())
        })
        .unwrap();
        assert!(burst > TASKS * 4096, "{burst} bytes");
        // Waits until that is so. The pool of warm stacks and the allocator's memory stay.
        while resident_bytes() - before > burst / 2 {
            io.sleep(Duration::from_millis(50)).unwrap();
        }
    });
}
