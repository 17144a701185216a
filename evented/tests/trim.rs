//! The memory of stacks goes back to the system when a burst of tasks is over. In a process of its
//! own, since resident memory is the process'.

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
            // All of them have begun, and so touched their stacks, when this one is through.
            group.spawn_concurrent(|_| ())?.join(io);
            burst = resident_bytes() - before;
            go.set();
            std::io::Result::Ok(())
        })
        .unwrap();
        assert!(burst > TASKS * 4096, "{burst} bytes");
        // Until it is so; what stays is the pool of warm stacks, and what the allocator keeps.
        while resident_bytes() - before > burst / 2 {
            io.sleep(Duration::from_millis(50)).unwrap();
        }
    });
}
