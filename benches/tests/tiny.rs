//! Runs every subcommand for an instant, so that none can rot. The figures mean nothing.

use std::fs;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// All measurements are pinned to one core: beside another one, a thread that yields waits for
/// milliseconds.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

/// The lines of JSON that a subcommand prints with all peers that it offers, and who they are from.
fn run(arguments: &str) -> Vec<Value> {
    let output = output(&format!("{arguments} --rounds 1 --seconds 0.02 --format json"));
    lines(&String::from_utf8(output.stdout).unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command that succeeds prints.
fn output(arguments: &str) -> Output {
    let _one = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_iolite-bench"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {}\n{errors}", output.status);
    output
}

/// Whether the lines are from these peers, in this order, and have these fields. Peers in other languages take part
/// where their compiler is there.
#[track_caller]
fn check(lines: &[Value], peers: &[&str], fields: &[&str]) {
    let names = lines.iter().map(|line| line["peer"].as_str().unwrap());
    let names: Vec<_> = names.filter(|name| !["go", "zig"].contains(name)).collect();
    assert_eq!(names, peers);
    for line in lines {
        let found: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        // Nothing counts system calls where `perf` is missing or may not.
        let found: Vec<_> = found.into_iter().filter(|name| *name != "calls_per_request").collect();
        assert_eq!(found, [&["peer", "round"], fields].concat(), "{line}");
        assert!(fields.iter().all(|&field| line[field].is_number() || field == "mode"), "{line}");
    }
}

const ECHO: &[&str] = &[
    "raw-uring",
    "raw-epoll",
    "iolite-evented",
    "iolite-evented-2",
    "iolite-evented-multishot",
    "iolite-threaded",
    "tokio",
    "tokio-2",
    "monoio",
    "compio",
    "glommio",
    "may",
    "smol",
    "tokio-uring",
    "threads",
];
const TASKS: &[&str] =
    &["iolite-evented", "iolite-threaded", "tokio", "tokio-2", "monoio", "compio", "glommio", "may", "smol", "threads"];
const MANY: &[&str] = &["iolite-evented", "tokio", "monoio", "compio", "glommio", "smol"];
const OFFLOAD: &[&str] = &["iolite-evented", "iolite-threaded", "tokio", "monoio", "compio", "glommio", "smol"];
const FILES: &[&str] = &[
    "raw-uring",
    "iolite-evented",
    "iolite-threaded",
    "tokio",
    "monoio",
    "compio",
    "glommio",
    "tokio-uring",
    "threads",
];

/// Each name as often as a round has lines of it.
fn twice<'a>(peers: &[&'a str]) -> Vec<&'a str> {
    peers.iter().flat_map(|&peer| [peer, peer]).collect()
}

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
    check(&lines, &twice(OFFLOAD), &["in_flight", "ns_per_operation"]);
    let in_flight: Vec<_> = lines.iter().map(|line| line["in_flight"].as_u64().unwrap()).collect();
    assert_eq!(in_flight, [1, 256].repeat(OFFLOAD.len()));
}

#[test]
fn files_runs() {
    let lines = run("files --mib 4");
    check(&lines, &twice(FILES), &["mode", "iops", "cpu_us_per_read"]);
    let modes: Vec<_> = lines.iter().map(|line| line["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["direct", "hot"].repeat(FILES.len()));
}

#[test]
fn a_file_that_is_no_file_of_ours_is_left_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let command = format!("files --mib 1 --rounds 1 --file {}", file.path().display());
    let output = Command::new(env!("CARGO_BIN_EXE_iolite-bench")).args(command.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose another --file"));
    assert_eq!(file.path().metadata().unwrap().len(), 0);
}

#[test]
fn all_saves_what_report_draws() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    output(&format!("all --out {path} --questions yield,channel --rounds 1 --seconds 0.02"));
    check(&lines(&fs::read_to_string(folder.path().join("yield.jsonl")).unwrap()), TASKS, &["ns_per_operation"]);
    output(&format!("report {path}"));
    let report = fs::read_to_string(folder.path().join("report.md")).unwrap();
    for name in ["yield", "channel"] {
        assert!(report.contains(&format!("## {name}")), "{report}");
        assert!(folder.path().join(name).with_extension("svg").exists());
    }
}

#[test]
fn a_question_that_cannot_be_asked_ends_with_code_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_iolite-bench")).args(["tasks", "--peers", "raw-uring"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("raw-uring has no program for this"));
}
