//! Programs that a process starts although it cannot wait for them. The test has a process of its own.

#![forbid(unsafe_code)]

mod support;

use std::env;
use std::io::ErrorKind;
use std::process::{Command, ExitCode, Stdio};

use iolite::{Io, process};
use iolite_conformance::tools::again;
use iolite_conformance::{Case, On, cases, run_cases};

const CASES: &[Case] = cases![a_program_that_nobody_can_wait_for_was_started_all_the_same];

fn main() -> ExitCode {
    run_cases(support::subjects(), &[CASES])
}

/// Set in the process that ignores the ends of its children.
const CHILD: &str = "IOLITE_TEST_PROCESSES";

const PROGRAMS: usize = 500;

fn start_programs(io: &dyn Io) {
    for _ in 0..PROGRAMS {
        // The program ends at once, often before anybody has looked at it.
        let mut child = process::spawn(io, &mut Command::new("true")).expect("it was started");
        let error = child.wait(io).expect_err("the kernel keeps no status");
        assert_eq!(error.raw_os_error(), Some(10), "ECHILD: {error}");
        child.kill().expect("nothing to kill");
        assert!(child.try_wait().is_err(), "still nothing to wait for");
    }
    let mut child = process::spawn(io, Command::new("cat").stdin(Stdio::piped())).expect("it was started");
    assert_eq!(child.try_wait().expect("it runs"), None);
    assert_eq!(child.wait(io).expect_err("no status").raw_os_error(), Some(10));
    let error = process::spawn(io, &mut Command::new("/no-such-program")).expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// If SIGCHLD is ignored, the kernel forgets a program at its end, and its number is free.
fn a_program_that_nobody_can_wait_for_was_started_all_the_same(on: &On) {
    if env::var_os(CHILD).is_some() {
        return on.main(start_programs);
    }
    let again = again();
    let output = Command::new("env")
        .arg("--ignore-signal=CHLD")
        .arg(again.get_program())
        .args(again.get_args())
        .env(CHILD, "1")
        .output()
        .expect("run");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
