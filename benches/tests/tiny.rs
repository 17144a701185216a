//! Runs every subcommand for an instant, so that none can rot. The figures mean nothing.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// All measurements are pinned to one core: beside another one, a thread that yields waits for
/// milliseconds.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

/// The lines of JSON that a subcommand prints with all peers that it offers, and who they are from.
fn run(arguments: &str) -> Vec<Value> {
    let _one = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_iolite-bench"))
        .args(arguments.split_whitespace())
        .args(["--rounds", "1", "--seconds", "0.02", "--format", "json"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {}\n{errors}", output.status);
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check(lines: &[Value], peers: &[&str], fields: &[&str]) {
    let names: Vec<_> = lines.iter().map(|line| line["peer"].as_str().unwrap()).collect();
    assert_eq!(names, peers);
    for line in lines {
        let found: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, [&["peer", "round"], fields].concat(), "{line}");
        assert!(fields.iter().all(|&field| line[field].is_number()), "{line}");
    }
}

const ECHO: &[&str] = &["raw-uring", "raw-epoll", "iolite-evented", "iolite-threaded", "tokio", "monoio", "threads"];
const TASKS: &[&str] = &["iolite-evented", "iolite-threaded", "tokio", "monoio", "threads"];
const MANY: &[&str] = &["iolite-evented", "tokio", "monoio"];

#[test]
fn echo_runs() {
    let fields = [
        "connections",
        "bytes",
        "requests",
        "requests_per_second",
        "cpu_us_per_request",
        "user_us_per_request",
        "p50_us",
        "p99_us",
        "max_us",
        "fairness",
    ];
    check(&run("echo --connections 8 --bytes 3000"), ECHO, &fields);
    check(&run("echo --connections 1 --bytes 1"), ECHO, &fields);
}

#[test]
fn tasks_runs() {
    check(&run("tasks --batch 10"), TASKS, &["ns_per_operation"]);
}

#[test]
fn yield_runs() {
    check(&run("yield"), TASKS, &["ns_per_operation"]);
}

#[test]
fn channel_runs() {
    check(&run("channel"), TASKS, &["ns_per_operation"]);
}

#[test]
fn timers_runs() {
    check(&run("timers --sleepers 100"), MANY, &["cpu_ms", "late_p50_us", "late_p99_us"]);
}

#[test]
fn memory_runs() {
    let tasks = run(&format!("memory --fibers 50 --peers {}", TASKS.join(",")));
    check(&tasks, TASKS, &["alive", "bytes_per_task"]);
    check(&run("memory --connections 20"), ECHO, &["connections", "bytes_per_connection"]);
}

#[test]
fn offload_runs() {
    let lines = run("offload");
    let peers = ["iolite-evented", "iolite-evented", "iolite-threaded", "iolite-threaded", "tokio", "tokio"];
    check(&lines, &peers, &["in_flight", "ns_per_operation"]);
    let in_flight: Vec<_> = lines.iter().map(|line| line["in_flight"].as_u64().unwrap()).collect();
    assert_eq!(in_flight, [1, 256, 1, 256, 1, 256]);
}

#[test]
fn a_question_that_cannot_be_asked_ends_with_code_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_iolite-bench")).args(["tasks", "--peers", "raw-uring"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("raw-uring has no program for this"));
}
