//! The report of the conformance suite: the failures with their seeds, the cases that could not run, and what is
//! missing. The suite runs here as another process, on subjects that misbehave.

mod support;

use std::env;
use std::io;
use std::process::{Command, ExitCode, Output as Ended};
use std::sync::Arc;

use iolite::testing::{Faults, Faulty};
use iolite::{Io, operation::Operation};
use iolite_conformance::{Around, Running, Subject, Wanted, run};

/// In the other process: the subject on which it runs the suite.
const SUBJECT: &str = "IOLITE_TEST_HARNESS_SUBJECT";

fn main() -> ExitCode {
    if let Ok(name) = env::var(SUBJECT) {
        return run(vec![subject(&name)]);
    }
    what_holds_passes_and_is_counted();
    names_are_listed_and_chosen_exactly();
    what_fails_is_shown_with_its_place_and_its_seed();
    a_case_that_could_not_run_is_told_and_not_counted();
    a_subject_that_is_missing_is_ignored_aloud();
    a_subject_that_is_missing_and_required_fails_the_run();
    println!("all of tests/harness.rs holds");
    ExitCode::SUCCESS
}

fn what_holds_passes_and_is_counted() {
    let (ended, text) = suite("sound", &["clocks::"]);
    assert!(ended.status.success(), "{text}");
    let count = text.matches(" ... ok").count();
    assert!(count > 3 && text.contains(&format!("cases that ran on threaded: {count}\n")), "{text}");
    assert!(!text.contains("NOT"), "{text}");
}

fn names_are_listed_and_chosen_exactly() {
    let name = "channels::items_arrive_in_order_at_every_capacity(3)::threaded";
    let (_, listed) = suite("sound", &["--list"]);
    assert!(listed.lines().any(|line| line == format!("{name}: test")), "{listed}");
    let (ended, text) = suite("sound", &["--exact", name]);
    assert!(ended.status.success() && text.contains("cases that ran on threaded: 1\n"), "{text}");
}

/// Here some receives fail, which they never do in a race.
fn what_fails_is_shown_with_its_place_and_its_seed() {
    let (ended, text) = suite("faulty", &["races::a_byte_is_received_or_still_there"]);
    assert_eq!(ended.status.code(), Some(101), "{text}");
    assert!(text.contains("receive: IOLITE_TEST_SEED=") && text.contains("panicked at conformance/src/"), "{text}");
    assert!(text.contains("cases that ran on faulty: 1\n"), "{text}");
}

fn a_case_that_could_not_run_is_told_and_not_counted() {
    let (ended, text) = suite("sound", &["locks::waiters_are_served_in_the_order_in_which_they_came"]);
    assert!(ended.status.success(), "{text}");
    assert!(text.contains("cases that ran on threaded: 0\n"), "{text}");
    assert!(text.contains("1 ignored") && text.contains("cases that were IGNORED: 1: "), "{text}");
    assert!(text.contains(" (locks::waiters_are_served_in_the_order_in_which_they_came::threaded)\n"), "{text}");
}

fn a_subject_that_is_missing_is_ignored_aloud() {
    let (ended, text) = suite("missing", &["tcp::"]);
    assert!(ended.status.success(), "{text}");
    let count = text.matches(" ... ignored").count();
    let cause = "missing is not available here: no such machine";
    assert!(count > 12 && text.contains("test result: ok. 0 passed; 0 failed;"), "{text}");
    assert!(text.contains(&format!("cases that were IGNORED: {count}: {cause}\n")), "{text}");
}

fn a_subject_that_is_missing_and_required_fails_the_run() {
    let (ended, text) = suite_that_requires("threaded, nowhere", "missing", &["tcp::"]);
    assert_eq!(ended.status.code(), Some(101), "{text}");
    assert!(text.contains("IOLITE_TEST_REQUIRE requires it, but missing is not available"), "{text}");
    assert!(text.contains("0 passed") && text.contains("0 ignored") && !text.contains("IGNORED"), "{text}");
    // The missing backend is not the required one, or no chosen case needs it.
    for (required, filter) in [("threaded", "tcp::"), ("nowhere", "no case has this in its name")] {
        let (ended, text) = suite_that_requires(required, "missing", &[filter]);
        assert!(ended.status.success(), "{text}");
    }
}

/// Runs the suite in another process until it ends. Returns its standard output.
fn suite(subject: &str, arguments: &[&str]) -> (Ended, String) {
    suite_that_requires("", subject, arguments)
}

fn suite_that_requires(required: &str, subject: &str, arguments: &[&str]) -> (Ended, String) {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(arguments).env(SUBJECT, subject).env("IOLITE_TEST_REQUIRE", required).env_remove("IOLITE_TEST_ROUNDS");
    let ended = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    (ended, text)
}

fn subject(name: &str) -> Arc<dyn Subject> {
    let threaded = support::subjects().remove(0);
    match name {
        "sound" => threaded,
        "faulty" => Arc::new(Around::new(name, threaded, |io| {
            let receptions = |operation: &Operation<'_>| matches!(operation, Operation::Receive { .. });
            Faulty::new(io, 7, Faults::new().errors(0.02).only(receptions)) as Arc<dyn Io>
        })),
        "missing" => Arc::new(Missing),
        other => panic!("no subject {other}"),
    }
}

/// A backend that is never available.
struct Missing;

impl Subject for Missing {
    fn name(&self) -> &str {
        "missing"
    }

    fn backend(&self) -> &str {
        "nowhere"
    }

    fn start(&self, _wanted: &Wanted) -> io::Result<Running> {
        Err(io::Error::other("no such machine"))
    }

    fn tasks_are_threads(&self) -> bool {
        true
    }
}
