//! An idle runtime uses no CPU time. The test has a process of its own, because CPU time is counted per process.

mod support;

use iolite_conformance::{Case, whole};
use std::process::ExitCode;
use std::time::Duration;

use iolite_evented::{Evented, Options};
use rustix::time::{ClockId, clock_gettime};

const CASES: &[Case] = whole![an_idle_runtime_uses_no_cpu_time,];

fn main() -> ExitCode {
    support::run(&[CASES])
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn an_idle_runtime_uses_no_cpu_time() {
    Evented::prepare(Options { executors: 2, ..Options::default() }).unwrap().run(|io| {
        let waiter = io.spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).unwrap();
        let before = cpu_time();
        io.sleep(Duration::from_millis(500)).unwrap();
        let used = cpu_time() - before;
        assert!(used < Duration::from_millis(25), "an idle runtime used {used:?} of 500 ms");
        assert!(waiter.cancel(io).is_err());
    });
}
