//! Runs every subcommand for an instant, so that it keeps working. The figures mean nothing. Without io_uring, only the
//! subcommands that do not need it run.

use std::fs;
use std::io;
use std::process::{Command, ExitCode, Output};
use std::sync::{Arc, Mutex, PoisonError};

use iolite::evented::{self, Evented};
use iolite::threaded::{self, Threaded};
use iolite_conformance::{Case, On, Running, Subject, Wanted, cases, run_cases, whole};
use serde_json::Value;

const CASES: &[Case] = cases![
    stream_runs,
    tasks_runs,
    yield_runs,
    channel_runs,
    timers_runs,
    offload_runs,
    files_runs,
    names_runs,
    serve_runs,
    proxy_runs
];
/// These have a load that comes from a ring.
const WHOLE: &[Case] = whole![echo_runs, memory_runs, all_saves_what_report_draws];

fn main() -> ExitCode {
    run_cases(vec![Arc::new(Threads), Arc::new(Fibers)], &[CASES, WHOLE])
}

/// The peers that need no io_uring.
struct Threads;

impl Subject for Threads {
    fn name(&self) -> &str {
        "threaded"
    }

    fn start(&self, _: &Wanted) -> io::Result<Running> {
        let threaded = Threaded::new(threaded::Options::default())?;
        Ok(Running::new(threaded.handle(), || threaded.shutdown()))
    }

    fn tasks_are_threads(&self) -> bool {
        true
    }
}

/// All peers.
struct Fibers;

impl Subject for Fibers {
    fn name(&self) -> &str {
        "evented"
    }

    fn start(&self, _: &Wanted) -> io::Result<Running> {
        let evented = Evented::new(evented::Options::default())?;
        Ok(Running::new(evented.handle(), || evented.shutdown()))
    }

    fn tasks_are_threads(&self) -> bool {
        false
    }
}

/// All measurements are pinned to one core: beside another one, a thread that yields waits for milliseconds.
static ONE_BY_ONE: Mutex<()> = Mutex::new(());

/// Returns the lines of JSON that a subcommand prints with all of its peers, and the names of these peers.
fn run(arguments: &str) -> Vec<Value> {
    let output = output(&format!("{arguments} --rounds 1 --seconds 0.02 --format json"));
    lines(&String::from_utf8(output.stdout).unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the output of a command that succeeds.
fn output(arguments: &str) -> Output {
    let _one = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_iolite-bench"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {}\n{errors}", output.status);
    output
}

/// Checks that the lines are from these peers, in this order, and have these fields. Peers in other languages, and
/// servers of the system, take part only if they or their compilers are installed.
#[track_caller]
fn check(lines: &[Value], peers: &[&str], fields: &[&str]) {
    let names = lines.iter().map(|line| line["peer"].as_str().unwrap());
    let names: Vec<_> = names.filter(|name| !["go", "zig", "nginx", "haproxy"].contains(name)).collect();
    assert_eq!(names, peers);
    for line in lines {
        let found: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        // System calls are not counted if `perf` is missing or not permitted.
        let found: Vec<_> = found.into_iter().filter(|name| *name != "calls_per_request").collect();
        assert_eq!(found, [&["peer", "round"], fields].concat(), "{line}");
        assert!(fields.iter().all(|&field| line[field].is_number() || field == "mode"), "{line}");
    }
}

const ECHO: &[&str] = &[
    "raw-uring",
    "raw-uring-poll-first",
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
const STREAM: &[&str] = &["iolite-evented", "iolite-threaded", "tokio", "threads"];
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

/// The peers that need no io_uring.
const PORTABLE: &[&str] = &["iolite-threaded", "tokio", "tokio-2", "may", "smol", "threads"];

/// Returns the lines of a subcommand, and the peers that they must be from: all of its peers if there is no choice, or,
/// without io_uring, only those that do not need it.
fn here<'a>(on: &On, arguments: &str, peers: &[&'a str]) -> (Vec<Value>, Vec<&'a str>) {
    if !on.tasks_are_threads() {
        return (run(arguments), peers.to_vec());
    }
    let peers: Vec<_> = peers.iter().copied().filter(|peer| PORTABLE.contains(peer)).collect();
    (run(&format!("{arguments} --peers {}", peers.join(","))), peers)
}

/// Repeats each name as often as a round has lines of it.
fn twice<'a>(peers: &[&'a str]) -> Vec<&'a str> {
    peers.iter().flat_map(|&peer| [peer, peer]).collect()
}

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
        "p999_us",
        "max_us",
        "fairness",
    ];
    check(&run("echo --connections 8 --bytes 3000"), ECHO, &fields);
    check(&run("echo --connections 1 --bytes 1"), ECHO, &fields);
}

fn stream_runs(on: &On) {
    let (lines, peers) = here(on, "stream --connections 2 --bytes 1000", STREAM);
    let fields = ["connections", "bytes", "mode", "cpu_us_per_mib", "user_us_per_mib", "mib_per_second"];
    check(&lines, &twice(&peers), &fields);
    let modes: Vec<_> = lines.iter().map(|line| line["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["receive", "send"].repeat(peers.len()));
}

fn tasks_runs(on: &On) {
    let (run, peers) = here(on, "tasks --batch 10", TASKS);
    check(&run, &peers, &["ns_per_operation"]);
}

fn yield_runs(on: &On) {
    let (run, peers) = here(on, "yield", TASKS);
    check(&run, &peers, &["ns_per_operation"]);
}

fn channel_runs(on: &On) {
    let (run, peers) = here(on, "channel", TASKS);
    check(&run, &peers, &["ns_per_operation"]);
}

fn timers_runs(on: &On) {
    let (run, peers) = here(on, "timers --sleepers 100", MANY);
    check(&run, &peers, &["cpu_ms", "late_p50_us", "late_p99_us"]);
}

fn memory_runs() {
    let tasks = run(&format!("memory --fibers 50 --peers {}", TASKS.join(",")));
    check(&tasks, TASKS, &["alive", "bytes_per_task"]);
    check(&run("memory --connections 20"), ECHO, &["connections", "bytes_per_connection"]);
}

fn offload_runs(on: &On) {
    let (lines, peers) = here(on, "offload", OFFLOAD);
    check(&lines, &twice(&peers), &["in_flight", "ns_per_operation"]);
    let in_flight: Vec<_> = lines.iter().map(|line| line["in_flight"].as_u64().unwrap()).collect();
    assert_eq!(in_flight, [1, 256].repeat(peers.len()));
}

fn files_runs(on: &On) {
    let (lines, peers) = here(on, "files --mib 4", FILES);
    check(&lines, &twice(&peers), &["mode", "iops", "cpu_us_per_read"]);
    let modes: Vec<_> = lines.iter().map(|line| line["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["direct", "hot"].repeat(peers.len()));
}

fn names_runs(on: &On) {
    let (lines, peers) = here(on, "names", STREAM);
    let five: Vec<_> = peers.iter().flat_map(|&peer| [peer; 5]).collect();
    check(&lines, &five, &["mode", "cpu_us_per_operation", "us_per_operation"]);
    let modes: Vec<_> = lines.iter().map(|line| line["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["metadata", "walk", "read", "replace", "status"].repeat(peers.len()));
}

const EXCHANGE: &[&str] = &["connections", "bytes", "cpu_us_per_request", "requests_per_second"];

fn serve_runs(on: &On) {
    for bytes in [0, 1000, 300_000] {
        let (lines, peers) = here(on, &format!("serve --connections 2 --bytes {bytes}"), STREAM);
        check(&lines, &peers, EXCHANGE);
    }
}

fn proxy_runs(on: &On) {
    let (lines, peers) = here(on, "proxy --connections 3 --bytes 10000", STREAM);
    check(&lines, &peers, EXCHANGE);
}

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
