//! Files, names, file locks, pipes, programs, and code that runs on threads of its own.

use std::fs as std_fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use iolite_bridge::{Bridge, CallError};
use iolite_io::fs::{self, File, OpenOptions};
use iolite_io::net::{UnixStream, resolve};
use iolite_io::stdio::{InputStream, OutputStream};
use iolite_io::sync::Event;
use iolite_io::{
    Incomplete, Io, copy_at_most,
    operation::{Operation, Output},
    process,
    stream::ByteStream,
};
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;

use super::ends::By;
use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Race, concurrently, scope, until};

pub(crate) const CASES: &[Case] = cases![
    a_page_is_touched_or_not(By::Request, Touch::Read),
    a_page_is_touched_or_not(By::Request, Touch::ReadAt),
    a_page_is_touched_or_not(By::Request, Touch::ReadVectored),
    a_page_is_touched_or_not(By::Request, Touch::Write),
    a_page_is_touched_or_not(By::Request, Touch::WriteAt),
    a_page_is_touched_or_not(By::Request, Touch::WriteVectored),
    a_page_is_touched_or_not(By::Timeout, Touch::Read),
    a_page_is_touched_or_not(By::Timeout, Touch::ReadAt),
    a_page_is_touched_or_not(By::Timeout, Touch::ReadVectored),
    a_page_is_touched_or_not(By::Timeout, Touch::Write),
    a_page_is_touched_or_not(By::Timeout, Touch::WriteAt),
    a_page_is_touched_or_not(By::Timeout, Touch::WriteVectored),
    a_file_is_opened_or_closed(By::Request),
    a_file_is_opened_or_closed(By::Timeout),
    a_fifo_is_opened_or_left_alone(By::Request, false),
    a_fifo_is_opened_or_left_alone(By::Request, true),
    a_fifo_is_opened_or_left_alone(By::Timeout, false),
    a_fifo_is_opened_or_left_alone(By::Timeout, true),
    a_file_is_locked_or_free(By::Request),
    a_file_is_locked_or_free(By::Timeout),
    a_change_is_done_or_not_begun(By::Request),
    a_change_is_done_or_not_begun(By::Timeout),
    a_file_is_replaced_or_as_it_was,
    a_name_is_resolved_or_the_lookup_left_to_others(By::Request),
    a_name_is_resolved_or_the_lookup_left_to_others(By::Timeout),
    a_closure_has_run_or_never_will(By::Request),
    a_closure_has_run_or_never_will(By::Timeout),
    a_closure_that_waits_for_a_thread_is_withdrawn_or_runs(By::Request),
    a_closure_that_waits_for_a_thread_is_withdrawn_or_runs(By::Timeout),
    a_job_has_run_or_never_will(By::Request),
    a_job_has_run_or_never_will(By::Timeout),
    bytes_that_are_written_to_a_pipe_are_counted(By::Request, PAGE),
    bytes_that_are_written_to_a_pipe_are_counted(By::Request, PAGE + 1_000),
    bytes_that_are_written_to_a_pipe_are_counted(By::Timeout, PAGE),
    bytes_that_are_written_to_a_pipe_are_counted(By::Timeout, PAGE + 1_000),
    spliced_bytes_are_here_or_there(By::Request, Lacks::Bytes),
    spliced_bytes_are_here_or_there(By::Request, Lacks::Room),
    spliced_bytes_are_here_or_there(By::Timeout, Lacks::Bytes),
    spliced_bytes_are_here_or_there(By::Timeout, Lacks::Room),
    copied_bytes_are_here_or_there_or_in_hand(By::Request),
    copied_bytes_are_here_or_there_or_in_hand(By::Timeout),
    a_program_is_run_or_gone(Run::Spawn),
    a_program_is_run_or_gone(Run::Status),
    a_program_is_run_or_gone(Run::Output),
    what_was_written_to_a_program_has_arrived(By::Request),
    what_was_written_to_a_program_has_arrived(By::Timeout),
];

const PAGE: usize = 4096;

/// Returns the number of this process' descriptors that lead into `folder`. Descriptors of other cases are not among
/// them.
fn descriptors_in(folder: &Path) -> usize {
    let folder = folder.canonicalize().expect("it is there");
    let descriptors = std_fs::read_dir("/proc/self/fd").expect("opened");
    let targets = descriptors.filter_map(|descriptor| std_fs::read_link(descriptor.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(&folder)).count()
}

/// A read or write of a page of a file, at its position or elsewhere.
#[derive(Clone, Copy, Debug)]
enum Touch {
    Read,
    ReadAt,
    ReadVectored,
    Write,
    WriteAt,
    WriteVectored,
}

impl Touch {
    fn at(self, io: &dyn Io, file: &File, page: &mut [u8; PAGE], offset: u64) -> io::Result<usize> {
        let (one, other) = page.split_at_mut(1_000);
        match self {
            Self::Read => file.read(io, page),
            Self::ReadAt => file.read_at(io, page, offset),
            Self::ReadVectored => {
                file.read_vectored_at(io, &mut [IoSliceMut::new(one), IoSliceMut::new(other)], offset)
            }
            Self::Write => file.write(io, page),
            Self::WriteAt => file.write_at(io, page, offset),
            Self::WriteVectored => file.write_vectored_at(io, &[IoSlice::new(one), IoSlice::new(other)], offset),
        }
    }

    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::WriteAt | Self::WriteVectored)
    }

    fn moves(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// Either the bytes are read or written and the position has moved, or nothing has happened. The pages may be on the
/// disk or in memory.
fn a_page_is_touched_or_not(on: &On, by: By, touch: Touch) {
    on.on_thread(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pages");
        let mut expected: Vec<_> = (0..8).flat_map(|number| [number; PAGE]).collect();
        std_fs::write(&path, &expected).expect("written");
        let file = OpenOptions::new().read(true).write(true).open(io, &path).expect("open");
        let mut number = 0_usize;
        Race::new("touch a page", 200).run(|start| {
            number += 1;
            let offset = number % 8 * PAGE;
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(offset as u64)).expect("moved");
            if number.is_multiple_of(2) {
                fadvise(&file, 0, None, Advice::DontNeed).expect("advised");
            }
            let mut page = [number as u8; PAGE];
            let count = by.ends_begun(io, start, |io| touch.at(io, &file, &mut page, offset as u64));
            assert!(matches!(count, None | Some(PAGE)), "{count:?}");
            if count.is_some() && touch.writes() {
                expected[offset..][..PAGE].fill(number as u8);
            }
            if count.is_some() && !touch.writes() {
                assert_eq!(page, expected[offset..][..PAGE]);
            }
            assert!(std_fs::read(&path).expect("read") == expected, "exactly what was reported is written");
            let moved = rustix::fs::tell(&file).expect("told") - offset as u64;
            assert_eq!(moved, if touch.moves() { count.unwrap_or(0) as u64 } else { 0 });
            count.is_some()
        });
    });
}

fn a_file_is_opened_or_closed(on: &On, by: By) {
    on.on_thread(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let (there, new) = (folder.path().join("there"), folder.path().join("new"));
        std_fs::write(&there, "text").expect("written");
        let mut creates = false;
        Race::new("open", 300).run(|start| {
            creates = !creates;
            let opened = by.ends_begun(io, start, |io| match creates {
                true => File::create_new(io, &new),
                false => File::open(io, &there),
            });
            assert_eq!(new.exists(), creates && opened.is_some());
            let _ = std_fs::remove_file(&new);
            opened.is_some()
        });
        // A program that is being started has them until it executes.
        until(io, || descriptors_in(folder.path()) == 0);
    });
}

/// Opening waits for the other end. On Threaded it cannot be interrupted, so there the request comes before or after
/// it.
fn a_fifo_is_opened_or_left_alone(on: &On, by: By, to_write: bool) {
    on.on_thread(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("made");
        let theirs =
            |options: &mut std_fs::OpenOptions| options.custom_flags(OFlags::NONBLOCK.bits() as i32).open(&path);
        let nobody_reads = || theirs(std_fs::OpenOptions::new().write(true)).is_err();
        let nobody_writes =
            || matches!(theirs(std_fs::OpenOptions::new().read(true)).expect("open").read(&mut [0]), Ok(0));
        Race::new("open a FIFO", 300).run(|start| {
            let (begin, other_end) = (Event::new(), AtomicBool::new(false));
            if !on.tasks_are_threads() {
                begin.set();
            }
            let open = |io: &dyn Io| {
                begin.wait_uncancelable(io);
                let file = OpenOptions::new().read(!to_write).write(to_write).open(io, &path)?;
                assert!(other_end.load(Ordering::SeqCst), "it waits for the other end");
                Ok(file)
            };
            let mut both_ends = None;
            let opened = by.ends(io, start, open, || {
                other_end.store(true, Ordering::SeqCst);
                both_ends = Some(std_fs::OpenOptions::new().read(true).write(true).open(&path).expect("open"));
                begin.set();
            });
            let won = opened.is_some();
            drop((opened, both_ends));
            // A program that is being started has it until it executes.
            until(io, || nobody_reads() && nobody_writes());
            won
        });
    });
}

/// A waiting locker tries again after a millisecond, which is longer than the timeout. So with the timeout, the call
/// begins when it is released.
fn a_file_is_locked_or_free(on: &On, by: By) {
    on.on_thread(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let theirs = std_fs::File::create(&path).expect("created");
        let third = std_fs::File::open(&path).expect("open");
        let ours = File::open(io, &path).expect("open");
        let mut shared = false;
        Race::new("lock a file", 200).run(|start| {
            shared = !shared;
            theirs.try_lock().expect("free between the rounds");
            let begin = Event::new();
            if matches!(by, By::Request) {
                begin.set();
            }
            let lock = |io: &dyn Io| {
                begin.wait_uncancelable(io);
                if shared { ours.lock_shared(io) } else { ours.lock(io) }
            };
            let unlock = || {
                theirs.unlock().expect("let go");
                begin.set();
            };
            let locked = by.ends(io, start, lock, unlock).is_some();
            assert_eq!(third.try_lock().is_err(), locked);
            third.unlock().expect("let go");
            ours.unlock(io).expect("let go");
            locked
        });
    });
}

/// A change of a folder with the file `file` and the folder `empty`.
type Change = fn(&dyn Io, &Path) -> io::Result<()>;

const CHANGES: &[(&str, Change)] = &[
    ("create_dir", |io, folder| fs::create_dir(io, folder.join("new"))),
    ("remove_dir", |io, folder| fs::remove_dir(io, folder.join("empty"))),
    ("remove_file", |io, folder| fs::remove_file(io, folder.join("file"))),
    ("rename", |io, folder| fs::rename(io, folder.join("file"), folder.join("new"))),
    ("rename_noreplace", |io, folder| fs::rename_noreplace(io, folder.join("file"), folder.join("empty/new"))),
    ("rename_exchange", |io, folder| fs::rename_exchange(io, folder.join("file"), folder.join("empty"))),
    ("hard_link", |io, folder| fs::hard_link(io, folder.join("file"), folder.join("new"))),
    ("symlink", |io, folder| fs::symlink(io, "file", folder.join("new"))),
    ("set_permissions", |io, folder| {
        fs::set_permissions(io, folder.join("file"), std_fs::Permissions::from_mode(0o600))
    }),
];

/// Restores the folder.
fn reset(folder: &Path) {
    for entry in std_fs::read_dir(folder).expect("opened") {
        let path = entry.expect("read").path();
        let is_dir = path.is_dir() && !path.is_symlink();
        let remove = if is_dir { std_fs::remove_dir_all } else { std_fs::remove_file };
        remove(&path).expect("removed");
    }
    std_fs::write(folder.join("file"), "old").expect("written");
    std_fs::create_dir(folder.join("empty")).expect("made");
}

/// Returns its visible state: paths, modes, and the contents of files.
fn state(folder: &Path) -> Vec<(std::path::PathBuf, u32, Option<Vec<u8>>)> {
    let (mut state, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std_fs::read_dir(folder).expect("opened") {
            let path = entry.expect("read").path();
            let metadata = std_fs::symlink_metadata(&path).expect("there");
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let content = (!metadata.is_dir()).then(|| std_fs::read(&path).expect("read"));
            state.push((path, metadata.permissions().mode(), content));
        }
    }
    state.sort();
    state
}

/// Either the change is made, or nothing has changed.
fn race_change(race: Race, by: By, io: &dyn Io, change: Change) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    reset(folder);
    let before = state(folder);
    change(io, folder).expect("possible");
    let after = state(folder);
    race.run(|start| {
        reset(folder);
        let done = by.ends_begun(io, start, |io| change(io, folder)).is_some();
        assert_eq!(state(folder), if done { after.as_slice() } else { &before });
        done
    });
    until(io, || descriptors_in(folder) == 0);
}

fn a_change_is_done_or_not_begun(on: &On, by: By) {
    on.on_thread(|io| {
        for (name, change) in CHANGES {
            race_change(Race::new(name, 60), by, io, *change);
        }
    });
}

/// This takes many calls, and the disk: longer than the timeout.
fn a_file_is_replaced_or_as_it_was(on: &On) {
    on.on_thread(|io| {
        let replace: Change = |io, folder| fs::write_atomic(io, folder.join("file"), "new");
        race_change(Race::new("write_atomic", 100), By::Request, io, replace);
    });
}

/// Two tasks look up the same name, which is one lookup; if one of them gives up, that does not affect the other.
fn a_name_is_resolved_or_the_lookup_left_to_others(on: &On, by: By) {
    on.on_thread(|io| {
        let expected = resolve(io, "localhost", 80).expect("localhost");
        Race::new("resolve", 100).run(|start| {
            scope(io, |group| {
                let other = concurrently(group, |io| resolve(io, "localhost", 80));
                let addresses = by.ends_begun(io, start, |io| resolve(io, "localhost", 80));
                assert_eq!(other.join(io).expect("resolved"), expected);
                assert!(addresses.as_ref().is_none_or(|addresses| *addresses == expected));
                addresses.is_some()
            })
        });
    });
}

fn a_closure_has_run_or_never_will(on: &On, by: By) {
    on.on_thread(|io| {
        let (ran, mut expected) = (AtomicUsize::new(0), 0);
        Race::new("offload", 300).run(|start| {
            let value = by.ends_begun(io, start, |io| io.offload(|| ran.fetch_add(1, Ordering::SeqCst)));
            assert!(value.is_none_or(|value| value == expected));
            expected += usize::from(value.is_some());
            assert_eq!(ran.load(Ordering::SeqCst), expected);
            value.is_some()
        });
        // One more closure, whose turn comes after all that wait.
        io.offload(|| assert_eq!(ran.load(Ordering::SeqCst), expected)).expect("run");
    });
}

/// A fiber has to wait for a thread, so its closure is either withdrawn or gets the thread.
fn a_closure_that_waits_for_a_thread_is_withdrawn_or_runs(on: &On, by: By) {
    if on.tasks_are_threads() {
        return on.not_run("a task begins at once with what it offloads");
    }
    on.offload_limit(1).on_thread(|io| {
        let (ran, mut expected) = (AtomicUsize::new(0), 0);
        Race::new("offload where no thread is free", 300).run(|start| {
            let (release, held) = mpsc::channel::<()>();
            let holds = Event::new();
            let value = scope(io, |group| {
                let theirs = &holds;
                drop(concurrently(group, move |io| {
                    let hold = move || {
                        theirs.set();
                        held.recv().expect_err("let go");
                    };
                    io.offload(hold).expect("run");
                }));
                holds.wait_uncancelable(io);
                let call = |io: &dyn Io| io.offload(|| ran.fetch_add(1, Ordering::SeqCst));
                by.ends(io, start, call, || drop(release))
            });
            expected += usize::from(value.is_some());
            assert_eq!(ran.load(Ordering::SeqCst), expected);
            value.is_some()
        });
    });
}

/// Its only worker is busy until the job is released.
fn a_job_has_run_or_never_will(on: &On, by: By) {
    on.on_thread(|io| {
        let builder = Bridge::builder("race").workers(1).queue_capacity(4);
        let bridge = builder.state(|| Ok::<_, String>(0_usize)).start(io).expect("started");
        let mut expected = 0;
        Race::new("call through a bridge", 300).run(|start| {
            let (release, held) = mpsc::channel::<()>();
            let hold = move |_: &mut usize| held.recv().expect_err("let go");
            bridge.post(io, move |ran| _ = hold(ran)).unwrap_or_else(|error| panic!("{error}"));
            let call = |io: &dyn Io| {
                let run = |ran: &mut usize| {
                    *ran += 1;
                    *ran
                };
                bridge.call(io, run).map_err(|error| match error {
                    CallError::Canceled(canceled) => canceled.into(),
                    other => panic!("{other}"),
                })
            };
            let value = by.ends(io, start, call, || drop(release));
            expected += usize::from(value.is_some());
            assert!(value.is_none_or(|value| value == expected));
            assert_eq!(bridge.call(io, |ran| *ran).expect("called"), expected);
            value.is_some()
        });
        bridge.close(io);
    });
}

/// Returns a pipe with room for a page.
fn narrow_pipe() -> (io::PipeReader, io::PipeWriter) {
    let (reader, writer) = io::pipe().expect("a pipe");
    assert_eq!(fcntl_setpipe_size(&writer, PAGE).expect("set"), PAGE);
    (reader, writer)
}

/// Reads everything that is available.
fn take(reader: &mut io::PipeReader) -> Vec<u8> {
    let mut bytes = vec![0; ioctl_fionread(&*reader).expect("counted") as usize];
    reader.read_exact(&mut bytes).expect("they are there");
    bytes
}

/// A pipe like standard output, or like the standard input of a program. A page is written whole; of more bytes, a part
/// may be written.
fn bytes_that_are_written_to_a_pipe_are_counted(on: &On, by: By, bytes: usize) {
    on.on_thread(|io| {
        let (mut reader, mut writer) = narrow_pipe();
        let output = OutputStream::from(OwnedFd::from(writer.try_clone().expect("a duplicate")));
        let mut number = 0_u8;
        Race::new("write to a pipe", 300).run(|start| {
            number = number.wrapping_add(1);
            writer.write_all(&[0; PAGE]).expect("there is room");
            let mut first = Vec::new();
            let written = by.ends(io, start, |io| output.write(io, &vec![number; bytes]), || first = take(&mut reader));
            first.extend(take(&mut reader));
            let count = written.unwrap_or(0);
            assert!(first[..PAGE].iter().all(|byte| *byte == 0));
            assert_eq!(first[PAGE..], vec![number; count]);
            count > 0
        });
        drop((writer, output));
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
    });
}

/// The event that a splice waits for.
#[derive(Clone, Copy, Debug)]
enum Lacks {
    Bytes,
    Room,
}

fn spliced_bytes_are_here_or_there(on: &On, by: By, lacks: Lacks) {
    on.on_thread(|io| {
        let ((mut near, mut source), (mut sink, mut far)) = (narrow_pipe(), narrow_pipe());
        let from = InputStream::from(OwnedFd::from(near.try_clone().expect("a duplicate")));
        let to = OutputStream::from(OwnedFd::from(far.try_clone().expect("a duplicate")));
        Race::new("splice", 300).run(|start| {
            match lacks {
                Lacks::Bytes => {}
                Lacks::Room => {
                    source.write_all(b"byte").expect("there is room");
                    far.write_all(&[0; PAGE]).expect("there is room");
                }
            }
            let splice = |io: &dyn Io| {
                let (from, to) = (from.descriptor().expect("a pipe"), to.descriptor().expect("a pipe"));
                match io.operate(Operation::Splice { from, from_offset: None, to, bytes: 100 })? {
                    Output::Count(count) => Ok(count),
                    other => panic!("{other:?}"),
                }
            };
            let spliced = by.ends(io, start, splice, || match lacks {
                Lacks::Bytes => source.write_all(b"byte").expect("there is room"),
                Lacks::Room => sink.read_exact(&mut [0; PAGE]).expect("they are there"),
            });
            let places = (take(&mut near), take(&mut sink));
            match spliced {
                Some(4) => assert_eq!(places, (vec![], b"byte".to_vec())),
                None => assert_eq!(places, (b"byte".to_vec(), vec![])),
                Some(count) => panic!("{count} bytes"),
            }
            spliced.is_some()
        });
    });
}

/// On the way the bytes may be in hand: then the error has them.
fn copied_bytes_are_here_or_there_or_in_hand(on: &On, by: By) {
    on.on_thread(|io| {
        let ((mut source, near), (far, sink)) = (StdStream::pair().expect("pair"), StdStream::pair().expect("pair"));
        let take = |stream: &StdStream| {
            let mut bytes = vec![0; ioctl_fionread(stream).expect("counted") as usize];
            (&*stream).read_exact(&mut bytes).expect("they are there");
            bytes
        };
        let left = near.try_clone().expect("a duplicate");
        let (from, to) = (UnixStream::from(near), UnixStream::from(far));
        let mut next = 0_u32;
        Race::new("copy", 300).run(|start| {
            next += 1;
            let (mut count, mut in_hand) = (0, Vec::new());
            let copy = |io: &dyn Io| {
                let copied = copy_at_most(io, &from, &to, 4);
                if let Err(error) = &copied {
                    count = Incomplete::count_of(error);
                    in_hand = Incomplete::unwritten_of(error).to_vec();
                }
                copied
            };
            let send = || source.write_all(&next.to_le_bytes()).expect("sent");
            let copied = by.ends(io, start, copy, send);
            let arrived = take(&sink);
            assert_eq!(arrived.len(), copied.map_or(count, |copied| copied as usize));
            let all: Vec<_> = arrived.into_iter().chain(in_hand).chain(take(&left)).collect();
            assert_eq!(all, next.to_le_bytes());
            copied.is_some()
        });
    });
}

/// The way in which a program is run.
#[derive(Clone, Copy, Debug)]
enum Run {
    Spawn,
    Status,
    Output,
}

/// The program's standard input is one end of a pipe, whose other end shows when nobody has it any more. The program
/// runs longer than the timeout.
fn a_program_is_run_or_gone(on: &On, run: Run) {
    on.on_thread(|io| {
        Race::new("run a program", 60).run(|start| {
            let (mut reader, writer) = io::pipe().expect("a pipe");
            let mut command = Command::new("echo");
            command.arg("text").stdin(writer).stdout(Stdio::null());
            let ended = By::Request.ends_begun(io, start, |io| match run {
                Run::Spawn => process::spawn(io, &mut command)?.wait(io),
                Run::Status => process::status(io, &mut command),
                Run::Output => process::output(io, command.stdout(Stdio::piped())).map(|output| {
                    assert_eq!(output.stdout, b"text\n");
                    output.status
                }),
            });
            drop(command);
            assert!(ended.is_none_or(|status| status.success()));
            assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
            ended.is_some()
        });
    });
}

/// The program sends back what it received.
fn what_was_written_to_a_program_has_arrived(on: &On, by: By) {
    on.on_thread(|io| {
        let mut command = Command::new("cat");
        let mut cat = process::spawn(io, command.stdin(Stdio::piped()).stdout(Stdio::piped())).expect("spawned");
        let (input, output) = (cat.stdin.take().expect("piped"), cat.stdout.take().expect("piped"));
        let mut next = 0_u32;
        Race::new("write to a program", 200).run(|start| {
            next += 1;
            let bytes = next.to_le_bytes();
            let mut count = 0;
            let write = |io: &dyn Io| {
                let written = input.write_all(io, &bytes);
                count = written.as_ref().map_or_else(Incomplete::count_of, |()| bytes.len());
                written
            };
            let written = by.ends_begun(io, start, write).is_some();
            let mut back = vec![0; count];
            output.read_exact(io, &mut back).expect("it sends them back");
            assert_eq!(back, bytes[..count]);
            written
        });
        drop(input);
        assert_eq!(output.read(io, &mut [0]).expect("the end"), 0, "nothing arrived that was not reported");
        assert!(cat.wait(io).expect("waited").success());
    });
}
