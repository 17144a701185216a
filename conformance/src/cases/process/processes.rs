//! Other programs.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use iolite_io::process::{self, Child};
use iolite_io::signal::Signal;
use iolite_io::{Canceled, Io};
use rustix::process::{Pid, kill_process};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, scope, until};

pub(crate) const CASES: &[Case] = cases![
    a_program_reads_and_writes_streams,
    streams_move_more_than_pipes_hold,
    output_collects_both_streams_side_by_side,
    one_piped_stream_is_collected_too,
    the_status_says_how_a_program_has_ended,
    a_command_starts_again_and_again,
    a_program_that_is_not_there_is_named,
    a_program_gets_none_of_our_descriptors,
    a_canceled_wait_waits_again,
    what_was_collected_is_there_although_a_stream_does_not_end,
    a_command_whose_output_was_collected_runs_without_pipes_afterwards,
    a_request_meets_every_wait,
    no_end_is_lost_to_a_cancellation,
    a_signal_ends_a_program_that_heeds_it,
    what_was_collected_outlives_a_timeout,
    a_canceled_output_leaves_no_program,
    a_dropped_child_goes_on_and_leaves_no_zombie,
    a_child_can_be_killed_by_its_drop,
    a_thousand_children_leave_no_zombie,
    a_task_has_programs_started_by_a_thread_that_lasts,
    a_thread_starts_programs_itself,
];

pub(crate) const PAIRS: &[Case] = pairs![programs_start_through_another];

pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A program that runs until it is killed, which dropping it does.
pub(crate) fn endless(io: &dyn Io) -> Child {
    let mut command = Command::new("sleep");
    command.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::spawn(io, &mut command).expect("spawned");
    child.kill_on_drop(true);
    child
}

/// Returns `R`, `S`, `Z` and so on, while the process exists.
pub(crate) fn state_of(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn is_there(id: u32) -> bool {
    state_of(id).is_some()
}

fn a_program_reads_and_writes_streams(on: &On) {
    on.run(|io| {
        let mut command = Command::new("cat");
        let mut child = process::spawn(io, command.stdin(Stdio::piped()).stdout(Stdio::piped())).expect("spawned");
        assert!(child.stderr.is_none(), "it is not piped");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        for round in 0..10_u8 {
            stdin.write_all(io, &[round; 100]).expect("written");
            let mut buffer = [0; 100];
            stdout.read_exact(io, &mut buffer).expect("read");
            assert_eq!(buffer, [round; 100]);
        }
        stdin.with(io).write_all(b"as std's").expect("written");
        drop(stdin);
        let mut rest = String::new();
        stdout.with(io).read_to_string(&mut rest).expect("read");
        assert_eq!(rest, "as std's");
        assert!(child.wait(io).expect("waited").success());
        assert!(!is_there(child.id()));
    });
}

/// More than pipes hold: a caller that reads one pipe after the other, or that writes before it reads, would wait for
/// ever.
fn streams_move_more_than_pipes_hold(on: &On) {
    on.run(|io| {
        let bytes: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
        let mut command = Command::new("cat");
        let mut child = process::spawn(io, command.stdin(Stdio::piped()).stdout(Stdio::piped())).expect("spawned");
        let stdin = child.stdin.take().expect("piped");
        let output = scope(io, |group| {
            let writer = concurrently(group, |io| {
                stdin.write_all(io, &bytes).expect("written");
                drop(stdin);
            });
            let output = child.wait_with_output(io).expect("collected");
            writer.join(io);
            output
        });
        assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
    });
}

fn output_collects_both_streams_side_by_side(on: &On) {
    on.run(|io| {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; head -c 300001 /dev/zero >&2; exit 7";
        let output = process::output(io, &mut shell(script)).expect("collected");
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 600_001));
        assert_eq!(output.status.code(), Some(7));
        let closed_early = process::output(io, &mut shell("exec 2>&-; echo text")).expect("collected");
        assert_eq!(
            (closed_early.stdout.as_slice(), closed_early.stderr.as_slice()),
            (b"text\n".as_slice(), b"".as_slice())
        );
    });
}

fn one_piped_stream_is_collected_too(on: &On) {
    on.run(|io| {
        let mut command = shell("echo error >&2");
        let mut child = process::spawn(io, command.stderr(Stdio::piped())).expect("spawned");
        let output = child.wait_with_output(io).expect("collected");
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"".as_slice(), b"error\n".as_slice()));
    });
}

fn the_status_says_how_a_program_has_ended(on: &On) {
    on.run(|io| {
        assert!(process::status(io, &mut shell("true")).expect("waited").success());
        assert_eq!(process::status(io, &mut shell("exit 3")).expect("waited").code(), Some(3));
        let killed = process::status(io, &mut shell("kill -TERM $$")).expect("waited");
        assert_eq!((killed.code(), killed.signal()), (None, Some(Signal::TERMINATE.as_raw())));
    });
}

fn a_command_starts_again_and_again(on: &On) {
    on.run(|io| {
        let mut command = shell("echo $TEXT");
        command.env("TEXT", "the same");
        for _ in 0..3 {
            assert_eq!(process::output(io, &mut command).expect("collected").stdout, b"the same\n");
        }
        let mut missing = Command::new("./no such program");
        for _ in 0..2 {
            process::spawn(io, &mut missing).expect_err("it is not there");
            assert_eq!(missing.get_program(), "./no such program");
        }
    });
}

fn a_program_that_is_not_there_is_named(on: &On) {
    on.run(|io| {
        // If a folder of PATH may not be read, the system cannot say that the program does not exist.
        let mut missing = Command::new("no-such-program");
        let error = process::spawn(io, missing.env("PATH", "/bin")).expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("`no-such-program`"), "{error}");
        let source = error.get_ref().and_then(|error| error.source()).expect("a source");
        assert_eq!(source.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error), Some(2));
        let error = process::output(io, &mut Command::new("/")).expect_err("a folder");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    });
}

fn a_program_gets_none_of_our_descriptors(on: &On) {
    on.run(|io| {
        // These are the descriptors with which the tests were started, and the shell's own.
        let mut command = shell("for fd in /proc/$$/fd/*; do echo ${fd##*/}; done");
        let before = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("run");
        let (_input, _output) = iolite_io::stdio::pipe().expect("a pipe");
        let _running = process::spawn(io, Command::new("cat").stdin(Stdio::piped())).expect("spawned");
        let _signals = iolite_io::signal::Signals::new([Signal::WINDOW_CHANGE]).expect("watched");
        let output = process::output(io, &mut command).expect("collected");
        assert_eq!(String::from_utf8(output.stdout), String::from_utf8(before.stdout));
    });
}

fn a_command_whose_output_was_collected_runs_without_pipes_afterwards(on: &On) {
    on.run(|io| {
        let mut command = Command::new("true");
        command.stdin(Stdio::null());
        process::output(io, &mut command).expect("it runs");
        let mut child = process::spawn(io, &mut command).expect("started");
        assert!(child.stdout.is_none() && child.stderr.is_none(), "nobody reads them");
        assert!(child.wait(io).expect("waited").success());
    });
}

fn what_was_collected_is_there_although_a_stream_does_not_end(on: &On) {
    on.run(|io| {
        // A background process of the program keeps its standard error open until its standard input ends.
        let mut command = Command::new("sh");
        command.args(["-c", "echo said; echo told >&2; cat <&0 >/dev/null & exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(io, &mut command).expect("started");
        let open = child.stdin.take();
        let mut collected = (Vec::new(), Vec::new());
        while collected != (b"said\n".to_vec(), b"told\n".to_vec()) {
            let error = io.timeout(Duration::from_millis(5), |io| child.wait_with_output(io)).expect_err("it goes on");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let (stdout, stderr) = child.take_collected();
            collected.0.extend(stdout);
            collected.1.extend(stderr);
        }
        child.kill().expect("killed");
        child.wait(io).expect("waited");
        assert_eq!(child.take_collected(), (Vec::new(), Vec::new()), "it was taken");
        drop(open);
    });
}

fn a_canceled_wait_waits_again(on: &On) {
    on.run(|io| {
        let mut child = endless(io);
        for _ in 0..3 {
            assert_eq!(child.try_wait().expect("asked"), None);
            let error = io.timeout(Duration::from_millis(1), |io| child.wait(io)).expect_err("it does not end");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        let mut child = scope(io, |group| {
            let member = concurrently(group, move |io| {
                let error = child.wait(io).expect_err("it does not end");
                Canceled::from_error(error).map(drop).expect("canceled");
                child
            });
            member.cancel(io)
        });
        child.kill().expect("killed");
        child.kill().expect("killed again");
        for _ in 0..2 {
            assert_eq!(child.wait(io).expect("waited").signal(), Some(Signal::KILL.as_raw()));
        }
        assert_eq!(child.try_wait().expect("known").expect("ended").signal(), Some(9));
        child.kill().expect("nothing to kill");
    });
}

fn a_request_meets_every_wait(on: &On) {
    on.run(|io| {
        let mut child = process::spawn(io, &mut shell("exit 0")).expect("spawned");
        child.wait(io).expect("waited");
        scope(io, |group| {
            let member = concurrently(group, |io| {
                until(io, || io.check_cancel().map_err(|canceled| io.recancel(canceled)).is_err());
                let error = child.wait(io).expect_err("a point, also when it has ended");
                assert!(Canceled::is_in(&error));
                child.wait(io).expect("delivered once");
                io.check_cancel().expect("nothing more");
            });
            member.cancel(io);
            let member = concurrently(group, |io| {
                until(io, || io.check_cancel().map_err(|canceled| io.recancel(canceled)).is_err());
                let error = process::spawn(io, &mut shell("exit 0")).expect_err("not started");
                Canceled::from_error(error).expect_canceled_error();
            });
            member.cancel(io);
        });
    });
}

trait ExpectCanceledError {
    fn expect_canceled_error(self);
}

impl ExpectCanceledError for Result<Canceled, io::Error> {
    fn expect_canceled_error(self) {
        Err::<(), _>(self.expect("canceled")).expect_canceled("canceled");
    }
}

/// The program ends and the wait is canceled at the same time: the status is returned in any case.
fn no_end_is_lost_to_a_cancellation(on: &On) {
    on.on_thread(|io| {
        Race::new("wait for a child", 200).run(|start| {
            let mut child = endless(io);
            let pid = Pid::from_raw(child.id() as i32).expect("a number");
            let id = child.id();
            let end = || {
                kill_process(pid, rustix::process::Signal::KILL).expect("killed");
                // It needs a processor to end, and the waiting thread may have taken its status.
                until(io, || matches!(state_of(id), None | Some('Z')));
            };
            let status = attempt(io, start, |io| child.wait(io), end);
            let again = child.wait(io).expect("waited");
            assert_eq!(again.signal(), Some(9));
            status.is_some_and(|status| status == again)
        });
    });
}

fn a_signal_ends_a_program_that_heeds_it(on: &On) {
    on.run(|io| {
        let script = "trap 'echo heard; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
        let mut command = shell(script);
        let mut child = process::spawn(io, command.stdout(Stdio::piped())).expect("spawned");
        let mut ready = [0; 6];
        child.stdout.as_ref().expect("piped").read_exact(io, &mut ready).expect("ready");
        child.signal(Signal::TERMINATE).expect("sent");
        let output = child.wait_with_output(io).expect("collected");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), b"heard\n".as_slice()));
        let error = endless(io).signal(Signal::from_raw(1000)).expect_err("no signal");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

/// Waits until `path` exists.
fn until_exists(io: &dyn Io, path: &Path) {
    until(io, || path.exists());
}

fn what_was_collected_outlives_a_timeout(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let marker = folder.path().join("marker");
        let mut command = shell("echo out; echo error >&2; : > \"$MARKER\"; exec sleep infinity");
        command.env("MARKER", &marker).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(io, &mut command).expect("spawned");
        let mut seen = false;
        while !seen {
            seen = marker.exists();
            let error = io.timeout(Duration::from_millis(5), |io| child.wait_with_output(io)).expect_err("endless");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        child.kill().expect("killed");
        let output = child.wait_with_output(io).expect("collected");
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"out\n".as_slice(), b"error\n".as_slice()));
        assert_eq!(output.status.signal(), Some(9));
    });
}

fn a_canceled_output_leaves_no_program(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let (id, marker) = (folder.path().join("id"), folder.path().join("marker"));
        let mut command = shell("echo $$ > \"$ID\"; : > \"$MARKER\"; exec sleep infinity");
        command.env("ID", &id).env("MARKER", &marker);
        for collect in [true, false] {
            let _ = fs::remove_file(&marker);
            scope(io, |group| {
                let command = &mut command;
                let member = concurrently(group, move |io| match collect {
                    true => process::output(io, command).map(drop),
                    false => process::status(io, command).map(drop),
                });
                until_exists(io, &marker);
                let error = member.cancel(io).expect_err("it does not end");
                assert!(Canceled::is_in(&error), "{error}");
            });
            let id = fs::read_to_string(&id).expect("written").trim().parse().expect("a number");
            assert_eq!(state_of(id), None, "killed, and waited for");
        }
        let result = io.timeout(Duration::from_millis(50), |io| process::output(io, &mut command));
        assert_eq!(result.expect_err("it does not end").kind(), io::ErrorKind::TimedOut);
    });
}

fn a_dropped_child_goes_on_and_leaves_no_zombie(on: &On) {
    on.run(|io| {
        let mut command = Command::new("cat");
        let mut child = process::spawn(io, command.stdin(Stdio::piped()).stdout(Stdio::piped())).expect("spawned");
        let (id, stdin, stdout) = (child.id(), child.stdin.take().unwrap(), child.stdout.take().unwrap());
        drop(child);
        stdin.write_all(io, b"still here").expect("written");
        let mut echo = [0; 10];
        stdout.read_exact(io, &mut echo).expect("read");
        drop(stdin);
        until(io, || !is_there(id));
    });
}

fn a_child_can_be_killed_by_its_drop(on: &On) {
    on.run(|io| {
        let child = endless(io);
        let id = child.id();
        drop(child);
        until(io, || !is_there(id));
    });
}

/// Children are waited for, dropped while they run, dropped when they have ended, and killed: none is left.
fn a_thousand_children_leave_no_zombie(on: &On) {
    on.in_task(|io| {
        let mut ids = Vec::new();
        scope(io, |group| {
            let tasks: Vec<_> = (0..4).map(|task| concurrently(group, move |io| children(io, task))).collect();
            tasks.into_iter().for_each(|task| ids.extend(task.join(io)));
        });
        assert_eq!(ids.len(), 1_000);
        until(io, || ids.iter().all(|id| state_of(*id) != Some('Z')));
    });
}

fn children(io: &dyn Io, task: usize) -> Vec<u32> {
    let start = |number| match number % 4 {
        0 => {
            let mut child = process::spawn(io, &mut Command::new("true")).expect("spawned");
            child.wait(io).expect("waited");
            child.id()
        }
        1 => process::spawn(io, &mut Command::new("true")).expect("spawned").id(),
        2 => {
            let child = process::spawn(io, &mut Command::new("true")).expect("spawned");
            until(io, || state_of(child.id()) == Some('Z'));
            child.id()
        }
        _ => endless(io).id(),
    };
    (0..250).map(|number| start(number + task)).collect()
}

/// Returns the name of the thread that has started a program of ours. A program that wants to end with its parent
/// (`PR_SET_PDEATHSIG`) learns of the end of that thread.
fn thread_that_started(id: u32) -> String {
    let tasks = || fs::read_dir("/proc/self/task").expect("listed").map(|task| task.expect("an entry").path());
    let has_started = |task: &PathBuf| {
        let children = fs::read_to_string(task.join("children")).unwrap_or_default();
        children.split_whitespace().any(|child| child == id.to_string())
    };
    // The kernel's list misses some while others come and go; this one stays.
    let task = loop {
        if let Some(task) = tasks().find(has_started) {
            break task;
        }
    };
    fs::read_to_string(task.join("comm")).expect("read").trim().to_owned()
}

fn tells_of_children(on: &On) -> bool {
    let tells = Path::new("/proc/thread-self/children").exists();
    if !tells {
        on.not_run("this kernel does not tell which thread has started a program");
    }
    tells
}

/// Neither the threads of a runtime nor those of its pools last: they end when they have nothing to do.
fn a_task_has_programs_started_by_a_thread_that_lasts(on: &On) {
    if !tells_of_children(on) {
        return;
    }
    on.in_task(|io| {
        let parent = thread_that_started(endless(io).id());
        assert!(parent.starts_with("iolite-spawn"), "{parent}");
        let parent = io.offload(|| thread_that_started(endless(io).id())).expect("run");
        assert!(parent.starts_with("iolite-spawn"), "{parent}");
    });
}

/// So its programs inherit its own properties: affinity, namespaces, limits of system calls.
fn a_thread_starts_programs_itself(on: &On) {
    if !tells_of_children(on) {
        return;
    }
    on.on_thread(|io| {
        let child = endless(io);
        // The kernel's list misses some while others come and go; this one stays.
        until(io, || {
            let children = fs::read_to_string("/proc/thread-self/children").expect("read");
            children.split_whitespace().any(|id| id == child.id().to_string())
        });
    });
}

/// A task starts a program through an `Io` that is not its own.
fn programs_start_through_another(own: &On, other: &On) {
    let other = other.start();
    own.in_task(|_| {
        let output = process::output(other.io(), &mut shell("echo elsewhere")).expect("collected");
        assert_eq!(output.stdout, b"elsewhere\n");
        let mut child = endless(other.io());
        let result = other.io().timeout(Duration::from_millis(1), |io| child.wait(io));
        assert_eq!(result.expect_err("endless").kind(), io::ErrorKind::TimedOut);
        child.kill().expect("killed");
        child.wait(other.io()).expect("waited");
    });
    other.shutdown();
}
