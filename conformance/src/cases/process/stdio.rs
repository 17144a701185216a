//! Standard streams of another process, which is this program again and runs one of the programs below.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::backend::try_read;
use iolite_io::process::{self, Child};
use iolite_io::stdio::{InputStream, OutputStream, pipe, stderr, stdin, stdout};
use iolite_io::sync::Barrier;
use iolite_io::{Canceled, Incomplete, Io, copy, operation::Descriptor};
use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::case::{Case, cases};
use crate::tools::{Race, Random, attempt, concurrently, in_folder, note, rounds, scope, spin, started, until};
use crate::{On, Subject};

pub(crate) const CASES: &[Case] = cases![
    pipes_are_read_and_written("echo"),
    pipes_are_read_and_written("copy"),
    pipes_are_read_and_written("impatient"),
    files_are_read_and_written,
    null_is_empty_and_takes_all,
    a_terminal_is_read_by_lines,
    the_mode_of_shared_descriptors_stays,
    a_full_pipe_takes_what_it_can,
    the_ends_of_a_pipe_fail_as_the_system_says,
    a_canceled_read_loses_no_byte,
    the_readers_of_a_pipe_are_all_canceled(Shared::Pipe),
    the_readers_of_a_pipe_are_all_canceled(Shared::Fifo),
    the_readers_of_a_pipe_are_all_canceled(Shared::Terminal),
    a_reader_that_finds_nothing_any_more_is_canceled(Shared::Pipe),
    a_reader_that_finds_nothing_any_more_is_canceled(Shared::Fifo),
    a_reader_that_finds_nothing_any_more_is_canceled(Shared::Terminal),
    a_fifo_that_was_opened_without_a_writer_is_at_its_end,
    a_write_to_a_terminal_is_canceled(Screen::Stopped),
    a_write_to_a_terminal_is_canceled(Screen::Unread),
];

/// Names the program of the other process, and the subject that it runs on.
const PROGRAM: &str = "IOLITE_TEST_STDIO_PROGRAM";
const SUBJECT: &str = "IOLITE_TEST_STDIO_SUBJECT";

/// Runs the program of the other process.
///
/// # Panics
///
/// If the program fails.
pub(crate) fn other_process(subjects: &[Arc<dyn Subject>]) -> Option<ExitCode> {
    let program = env::var(PROGRAM).ok()?;
    let name = env::var(SUBJECT).expect("beside the program");
    let subject = subjects.iter().find(|subject| subject.name() == name).expect("a subject of its parent");
    On::new(subject.clone()).executors(1).main(|io| match program.as_str() {
        "echo" => echo(io).expect("echoed"),
        "copy" => _ = copy(io, stdin(), stdout()).expect("copied"),
        "lines" => lines(io).expect("repeated"),
        "impatient" => impatient(io),
        "aside" => aside(io),
        other => panic!("no program {other}"),
    });
    Some(ExitCode::SUCCESS)
}

fn echo(io: &dyn Io) -> io::Result<()> {
    let mut buffer = [0; 100_000];
    loop {
        match stdin().read(io, &mut buffer)? {
            0 => return stderr().write_all(io, b"the end"),
            count => stdout().write_all(io, &buffer[..count])?,
        }
    }
}

fn lines(io: &dyn Io) -> io::Result<()> {
    for line in BufReader::new(stdin().with(io)).lines() {
        writeln!(stdout().with(io), "[{}]", line?)?;
    }
    Ok(())
}

/// Reads the bytes that arrive within moments, over and over.
fn impatient(io: &dyn Io) {
    let mut buffer = [0; 64];
    loop {
        match io.timeout(Duration::from_micros(200), |io| stdin().read(io, &mut buffer)) {
            Ok(0) => return,
            Ok(count) => stdout().write_all(io, &buffer[..count]).expect("written"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        }
    }
}

/// A task waits for input, which comes only after the other task has continued.
fn aside(io: &dyn Io) {
    scope(io, |group| {
        let reader = concurrently(group, |io| stdin().read(io, &mut [0; 8]));
        for _ in 0..10 {
            io.sleep(Duration::from_millis(1)).expect("not canceled");
        }
        stdout().write_all(io, b"went on").expect("written");
        assert_eq!(reader.join(io).expect("read"), 3);
    });
}

/// Returns the command of the other process, which is not started yet.
fn command(on: &On, program: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(PROGRAM, program).env(SUBJECT, on.name()).stdin(Stdio::null());
    command.stderr(Stdio::piped());
    command
}

fn child_of(io: &dyn Io, command: &mut Command) -> Child {
    let mut child = process::spawn(io, command).expect("spawned");
    child.kill_on_drop(true);
    child
}

fn some_bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

fn pipes_are_read_and_written(on: &On, program: &'static str) {
    on.in_task(|io| {
        let bytes = some_bytes(if program == "impatient" { 20_000 } else { 1_000_000 });
        let mut child = child_of(io, command(on, program).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let input = child.stdin.take().expect("piped");
        let output = scope(io, |group| {
            let writer = concurrently(group, |io| {
                for part in bytes.chunks(if program == "impatient" { 40 } else { bytes.len() }) {
                    input.write_all(io, part).expect("written");
                }
                drop(input);
            });
            let output = child.wait_with_output(io).expect("collected");
            writer.join(io);
            output
        });
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
        if program == "echo" {
            assert!(output.stderr.ends_with(b"the end"));
        }
    });
}

fn files_are_read_and_written(on: &On) {
    on.in_task(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, some_bytes(300_000)).expect("written");
        let (input, output) = (File::open(&from).expect("there"), File::create(&to).expect("made"));
        let mut child = child_of(io, command(on, "echo").stdin(input).stdout(output));
        assert!(child.wait_with_output(io).expect("waited").status.success());
        assert!(fs::read(&to).expect("there") == some_bytes(300_000));
    });
}

fn null_is_empty_and_takes_all(on: &On) {
    on.in_task(|io| {
        let mut child = child_of(io, command(on, "echo").stdin(Stdio::null()).stdout(Stdio::null()));
        let output = child.wait_with_output(io).expect("waited");
        assert!(output.status.success() && output.stderr.ends_with(b"the end"), "{output:?}");
    });
}

/// Opens a terminal: the person's side, and the path of the program's side.
fn terminal() -> (OwnedFd, PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("named");
    (master, OsStr::from_bytes(name.to_bytes()).into())
}

fn a_terminal_is_read_by_lines(on: &On) {
    on.in_task(|io| {
        let (master, path) = terminal();
        let terminal = || fs::OpenOptions::new().read(true).write(true).open(&path).expect("opened");
        let mut child = child_of(io, command(on, "lines").stdin(terminal()).stdout(terminal()));
        let keys = InputStream::from(master.try_clone().expect("a duplicate"));
        let screen = OutputStream::from(master);
        screen.write_all(io, b"typed\n").expect("typed");
        let mut shown = vec![0; b"typed\r\n[typed]\r\n".len()];
        keys.read_exact(io, &mut shown).expect("shown");
        assert_eq!(String::from_utf8_lossy(&shown), "typed\r\n[typed]\r\n");
        // Ctrl-D.
        screen.write_all(io, b"\x04").expect("typed");
        assert!(child.wait_with_output(io).expect("waited").status.success());
    });
}

fn the_mode_of_shared_descriptors_stays(on: &On) {
    on.in_task(|io| {
        let (input, theirs_to_write) = io::pipe().expect("a pipe");
        let (theirs_to_read, output) = io::pipe().expect("a pipe");
        let shared =
            [OwnedFd::from(input.try_clone().expect("one more")), output.try_clone().expect("one more").into()];
        let mut child = child_of(io, command(on, "aside").stdin(input).stdout(output));
        let read = InputStream::from(OwnedFd::from(theirs_to_read));
        read.read_exact(io, &mut [0; 7]).expect("it went on");
        for descriptor in &shared {
            assert!(!fcntl_getfl(descriptor.as_fd()).expect("flags").contains(OFlags::NONBLOCK));
        }
        OutputStream::from(OwnedFd::from(theirs_to_write)).write_all(io, b"end").expect("written");
        assert!(child.wait_with_output(io).expect("waited").status.success());
    });
}

fn a_full_pipe_takes_what_it_can(on: &On) {
    on.run(|io| {
        let (input, output) = pipe().expect("a pipe");
        let bytes = some_bytes(1_000_000);
        let room = fcntl_getpipe_size(output.as_fd()).expect("a size");
        let error = scope(io, |group| {
            let writer = concurrently(group, |io| output.write_all(io, &bytes));
            until(io, || ioctl_fionread(input.as_fd()).expect("a count") == room as u64);
            writer.cancel(io).expect_err("nobody reads")
        });
        assert!(Canceled::is_in(&error), "{error}");
        let count = Incomplete::count_of(&error);
        assert_eq!(count, room);
        drop(output);
        let mut read = Vec::new();
        assert_eq!(input.read_to_end(io, &mut read).expect("read"), count);
        assert!(read == bytes[..count]);
    });
}

fn the_ends_of_a_pipe_fail_as_the_system_says(on: &On) {
    on.run(|io| {
        let (input, output) = pipe().expect("a pipe");
        assert_eq!(input.read(io, &mut []).expect("nothing to do"), 0);
        assert_eq!(output.write(io, &[]).expect("nothing to do"), 0);
        assert_eq!(input.with(io).write(b"x").expect_err("for reading").raw_os_error(), Some(9));
        assert_eq!(output.with(io).read(&mut [0]).expect_err("for writing").raw_os_error(), Some(9));
        output.write_all(io, b"text").expect("written");
        let error = {
            drop(output);
            input.read_exact(io, &mut [0; 5]).expect_err("too short")
        };
        assert_eq!((error.kind(), Incomplete::count_of(&error)), (io::ErrorKind::UnexpectedEof, 4));
        let (input, output) = pipe().expect("a pipe");
        drop(input);
        assert_eq!(output.write(io, b"x").expect_err("nobody reads").kind(), io::ErrorKind::BrokenPipe);
    });
}

/// A read is canceled while its bytes arrive: the bytes are returned or still there.
fn a_canceled_read_loses_no_byte(on: &On) {
    on.on_thread(|io| {
        let (input, output) = pipe().expect("a pipe");
        let mut next = 0_u32;
        Race::new("read from a pipe", 2_000).run(|start| {
            let mut bytes = [0; 4];
            let read = || output.write_all(io, &next.to_le_bytes()).expect("written");
            let completed = attempt(io, start, |io| input.read_exact(io, &mut bytes), read).is_some();
            if !completed {
                input.read_exact(io, &mut bytes).expect("they are there");
            }
            assert_eq!(u32::from_le_bytes(bytes), next);
            next += 1;
            completed
        });
    });
}

/// A file that several can read from, in blocking mode.
#[derive(Clone, Copy, Debug)]
enum Shared {
    Pipe,
    Fifo,
    Terminal,
}

impl Shared {
    /// Opens both ends.
    fn open(self) -> (InputStream, OutputStream) {
        let read_write = |path: &Path| fs::OpenOptions::new().read(true).write(true).open(path).expect("opened");
        match self {
            Self::Pipe => pipe().expect("a pipe"),
            Self::Fifo => {
                let folder = tempfile::tempdir().expect("a folder");
                let path = folder.path().join("fifo");
                mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("made");
                let output = OwnedFd::from(read_write(&path));
                (OwnedFd::from(File::open(&path).expect("it has a writer")).into(), output.into())
            }
            Self::Terminal => {
                let (master, path) = terminal();
                (OwnedFd::from(read_write(&path)).into(), OutputStream::from(master))
            }
        }
    }
}

/// Several readers wait for one byte and find it at the same time: a reader that comes too late can still be canceled,
/// and delays nobody.
fn the_readers_of_a_pipe_are_all_canceled(on: &On, shared: Shared) {
    on.on_thread(|io| {
        let mut random = Random::new("readers of a pipe");
        for _ in 0..rounds(2_000) {
            let (input, output) = shared.open();
            let (all, taken) = (Barrier::new(READERS + 1), AtomicUsize::new(0));
            scope(io, |group| {
                let readers = [(); READERS].map(|()| {
                    concurrently(group, |io| {
                        all.wait_uncancelable(io);
                        while taken.fetch_add(input.read(io, &mut [0; 8])?, Ordering::SeqCst) < 2 {}
                        io::Result::Ok(())
                    })
                });
                all.wait_uncancelable(io);
                spin(Duration::from_micros(random.below(100)));
                output.write_all(io, b"\n").expect("written");
                until(io, || taken.load(Ordering::SeqCst) == 1);
                for reader in readers {
                    assert!(Canceled::is_in(&reader.cancel(io).expect_err("no more bytes")));
                }
            });
        }
    });
}

/// Another process takes the byte that a reader was told of, so the reader would wait for more.
fn a_reader_that_finds_nothing_any_more_is_canceled(on: &On, shared: Shared) {
    on.run(|io| {
        let (mut ours, mut theirs) = (0, 0);
        for _ in 0..rounds(500) {
            let (input, output) = shared.open();
            let thief = Descriptor::from(input.as_fd().try_clone_to_owned().expect("one more"));
            let taken = AtomicUsize::new(0);
            scope(io, |group| {
                let reader = started(group, io, |io| {
                    let count = input.read(io, &mut [0; 8])?;
                    taken.fetch_add(count, Ordering::SeqCst);
                    io::Result::Ok(())
                });
                thread::scope(|threads| {
                    threads.spawn(|| {
                        while taken.load(Ordering::SeqCst) == 0 {
                            if let Ok(count) = try_read(&thief, &mut [IoSliceMut::new(&mut [0; 8])]) {
                                taken.fetch_add(count, Ordering::SeqCst);
                            }
                        }
                    });
                    output.write_all(io, b"\n").expect("written");
                    until(io, || taken.load(Ordering::SeqCst) == 1);
                });
                match reader.cancel(io) {
                    Ok(()) => ours += 1,
                    Err(error) => {
                        theirs += 1;
                        assert!(Canceled::is_in(&error), "{error}");
                    }
                }
            });
        }
        note(format_args!("{ours} read, {theirs} taken"));
    });
}

/// It does not wait for a writer, as std does not.
fn a_fifo_that_was_opened_without_a_writer_is_at_its_end(on: &On) {
    in_folder(on, |io, folder| {
        let path = folder.join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("made");
        let mut options = iolite_io::fs::OpenOptions::new();
        let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(io, &path).expect("opened");
        assert_eq!(file.read(io, &mut [0; 8]).expect("nobody writes"), 0);
        let mut bytes = [0; 8];
        assert_eq!(file.read_vectored(io, &mut [IoSliceMut::new(&mut bytes)]).expect("nobody writes"), 0);
        assert_eq!(file.read_to_end(io, &mut Vec::new()).expect("nobody writes"), 0);
        // As soon as there is a writer, reads wait for it.
        let mut writer = fs::OpenOptions::new().write(true).open(&path).expect("it has a reader");
        let error = io.timeout(Duration::from_millis(1), |io| file.read(io, &mut [0; 8])).expect_err("nothing yet");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        writer.write_all(b"text").expect("written");
        assert_eq!(file.read(io, &mut [0; 8]).expect("it is there"), 4);
    });
}

/// The reason why a write to a terminal waits.
#[derive(Clone, Copy)]
enum Screen {
    /// Its output is stopped (Ctrl-S).
    Stopped,
    /// Nobody reads. The terminal is reported as ready while there is room for one more byte.
    Unread,
}

fn a_write_to_a_terminal_is_canceled(on: &On, screen: Screen) {
    on.run(|io| {
        let (master, path) = terminal();
        let opened = fs::OpenOptions::new().read(true).write(true).open(&path).expect("opened");
        let (output, keys) = (OutputStream::from(OwnedFd::from(opened)), OutputStream::from(master));
        if let Screen::Stopped = screen {
            keys.write_all(io, b"\x13").expect("typed");
        }
        let bytes = some_bytes(300_000);
        for round in 0..20 {
            let time = Duration::from_micros(round * 250);
            let error = io.timeout(time, |io| output.write_all(io, &bytes)).expect_err("nobody takes all of it");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            scope(io, |group| {
                let writer = started(group, io, |io| output.write_all(io, &bytes));
                io.sleep(time).expect("nobody cancels this");
                let error = writer.cancel(io).expect_err("nobody takes all of it");
                assert!(Canceled::is_in(&error), "{error}");
            });
        }
    });
}

const READERS: usize = 8;
