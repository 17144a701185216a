//! Signals that arrive at once, in a process of their own.

#![forbid(unsafe_code)]

mod support;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use iolite::Io;
use iolite::signal::{Signal, Signals};
use iolite_conformance::tools::again;
use iolite_conformance::{Case, On, cases, run_cases};
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};

const CASES: &[Case] = cases![signals_that_come_at_once_are_all_seen];

fn main() -> ExitCode {
    run_cases(support::subjects(), &[CASES])
}

/// Set in the child process.
const CHILD: &str = "IOLITE_TEST_SIGNALS";

const ROUNDS: usize = 1_000;

/// All signals that can be watched, that nobody else sends here, and that SIGCONT does not discard.
const WATCHED: [i32; 19] = [1, 2, 3, 5, 6, 10, 12, 13, 14, 15, 16, 24, 25, 26, 27, 28, 29, 30, 31];

fn watched() -> impl Iterator<Item = Signal> {
    WATCHED.into_iter().map(Signal::from_raw)
}

/// Reports each time that it has seen all signals.
fn watch(io: &dyn Io) {
    let mut signals = Signals::new(watched()).expect("watched");
    let mut stdout = std::io::stdout();
    for _ in 0..=ROUNDS {
        writeln!(stdout, "ready").expect("written");
        let mut missing: Vec<_> = watched().collect();
        while !missing.is_empty() {
            let seen = signals.next(io).expect("not canceled");
            missing.retain(|signal| *signal != seen);
        }
    }
}

/// A process that is continued gets all signals that were sent to it while it was stopped, before it runs another
/// instruction of its own: each handler interrupts the previous one, unless that one blocks the signal.
fn signals_that_come_at_once_are_all_seen(on: &On) {
    if env::var_os(CHILD).is_some() {
        return on.main(watch);
    }
    let mut child = again().env(CHILD, "1").stdout(Stdio::piped()).spawn().expect("spawned");
    let pid = Pid::from_child(&child);
    let mut told = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut is_ready = || told.by_ref().any(|line| line.expect("text").ends_with("ready"));
    for _ in 0..ROUNDS {
        if !is_ready() {
            break;
        }
        kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .expect("waited for");
        for signal in WATCHED {
            let signal = rustix::process::Signal::from_named_raw(signal).expect("a name");
            kill_process(pid, signal).expect("sent");
        }
        kill_process(pid, rustix::process::Signal::CONT).expect("continued");
    }
    if is_ready() {
        child.kill().expect("killed");
        child.wait().expect("waited for");
        return;
    }
    panic!("not all signals were seen: {}", child.wait().expect("waited for"));
}
