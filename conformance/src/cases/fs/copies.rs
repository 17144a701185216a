//! Copies between sockets, pipes and files: all bytes arrive, or an error accounts for every byte.

use std::fs;
use std::io::{self, IoSliceMut, Read, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::fs::{File, OpenOptions};
use iolite_io::net::{TcpStream, option};
use iolite_io::{
    Canceled, Incomplete, Io,
    backend::Decorator,
    operation::{Operation, Output},
    stream::ByteStream,
};
use iolite_io::{copy, copy_at_most};
use rustix::fs::{MemfdFlags, OFlags, SealFlags, fcntl_add_seals, fcntl_getfl, memfd_create};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Random, Watchdog, concurrently, note, rounds, scope, spin, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    everything_comes_across,
    an_io_that_cannot_splice_copies_too,
    other_handles_are_copied_from_and_to,
    no_more_is_read_than_asked_for,
    a_file_is_sent_as_it_is_by_then,
    a_part_of_a_file_is_sent,
    what_a_full_target_did_not_take_is_given_back,
    a_copy_that_nobody_reads_is_canceled,
    a_copy_of_a_source_that_falls_silent_is_canceled,
    a_timed_out_copy_accounts_for_every_byte,
    canceled_copies_lose_no_byte,
    a_proxy_passes_both_ways_on,
    copies_into_one_socket_are_each_canceled,
    a_peer_that_is_gone_is_an_error,
];

/// Large enough that the kernel does the copy.
const LARGE: usize = (5 << 20) + 3;

/// No two places of the content look alike to a copy that could confuse them.
fn content(bytes: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).take(bytes).collect()
}

fn std_stream(stream: &TcpStream) -> std::net::TcpStream {
    stream.as_fd().try_clone_to_owned().expect("a duplicate").into()
}

/// Calls `case` with the read end and the write end of something.
type Means = fn(&dyn Io, &[u8], &mut dyn FnMut(&dyn ByteStream));

/// Sources from which `bytes` and then the end can be read.
const SOURCES: [(&str, Means); 3] = [
    ("file", |io, bytes, case| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("source");
        fs::write(&path, bytes).expect("written");
        case(&File::open(io, &path).expect("opened"));
    }),
    ("socket", |io, bytes, case| {
        let (near, far) = tcp_pair(io);
        let mut far = std_stream(&far);
        thread::scope(|scope| {
            scope.spawn(move || {
                far.write_all(bytes).expect("sent");
                far.shutdown(Shutdown::Write).expect("finished");
            });
            case(&near);
        });
    }),
    ("pipe", |_, bytes, case| {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(bytes).expect("written"));
            case(&File::from(fs::File::from(OwnedFd::from(reader))));
        });
    }),
];

/// Targets to which the case writes, and which have to contain `bytes` in the end.
const TARGETS: [(&str, Means); 4] = [
    ("file", |io, bytes, case| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("target");
        case(&File::create(io, &path).expect("made"));
        assert!(fs::read(&path).expect("there") == bytes);
    }),
    // `splice` refuses this target.
    ("file that is appended to", |io, bytes, case| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("target");
        case(&OpenOptions::new().append(true).create(true).open(io, &path).expect("made"));
        assert!(fs::read(&path).expect("there") == bytes);
    }),
    ("socket", |io, bytes, case| {
        let (near, far) = tcp_pair(io);
        receives(std_stream(&far), bytes, || {
            case(&near);
            near.shutdown(io, Shutdown::Write).expect("finished");
        });
    }),
    ("pipe", |_, bytes, case| {
        let (reader, writer) = io::pipe().expect("a pipe");
        receives(reader, bytes, || case(&File::from(fs::File::from(OwnedFd::from(writer)))));
    }),
];

/// Reads everything while `write` writes it.
fn receives(mut reader: impl Read + Send, bytes: &[u8], write: impl FnOnce()) {
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).map(|_| received)
        });
        write();
        assert!(reading.join().expect("no panic").expect("received") == bytes);
    });
}

/// An `Io` that counts spliced bytes, and may refuse to splice.
struct Watched<'a> {
    io: &'a dyn Io,
    refuses: bool,
    spliced: AtomicUsize,
}

impl<'a> Watched<'a> {
    fn new(io: &'a dyn Io) -> Self {
        Self { io, refuses: false, spliced: AtomicUsize::new(0) }
    }
}

impl Decorator for Watched<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        let splice = matches!(operation, Operation::Splice { .. });
        if splice && self.refuses {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let output = self.io.operate(operation)?;
        if let (true, Output::Count(count)) = (splice, &output) {
            self.spliced.fetch_add(*count, Ordering::Relaxed);
        }
        Ok(output)
    }
}

/// Returns true if the file system of temporary files can be read without waiting for a disk.
fn can_be_asked() -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "text").expect("written");
    let file = fs::File::open(folder.path().join("file")).expect("opened");
    let read = preadv2(&file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT);
    read != Err(Errno::OPNOTSUPP)
}

fn everything_comes_across(on: &On) {
    let is_sent_directly = can_be_asked();
    if !is_sent_directly {
        note("the file system of temporary files cannot be read from without waiting");
    }
    on.run(|io| {
        for bytes in [0, 1, 8191, 8192, 8193, 100_000, LARGE] {
            let content = content(bytes);
            for (source, from_source) in SOURCES {
                for (target, to_target) in TARGETS {
                    let io = &Watched::new(io);
                    from_source(io, &content, &mut |from| {
                        to_target(io, &content, &mut |to| {
                            let count =
                                copy(io, from, to).unwrap_or_else(|error| panic!("{source}, {target}: {error}"));
                            assert_eq!(count, bytes as u64, "{source}, {target}");
                        });
                    });
                    let spliced = io.spliced.load(Ordering::Relaxed);
                    // The bytes go into the pipe and out of it. A socket or a pipe decides how many bytes it has at
                    // once.
                    let expected = if bytes < LARGE { 0 } else { 4 << 20 };
                    if (source, target) == ("file", "file") || (source, target) == ("file", "socket") {
                        assert!(spliced >= expected, "{source}, {target}: {spliced} bytes spliced");
                    }
                    if (source, target) == ("file", "socket") && is_sent_directly {
                        assert_eq!(spliced, bytes, "{source}, {target}");
                        continue;
                    }
                    let may = bytes == LARGE || (source, target) == ("file", "socket");
                    assert!(may || spliced == 0, "{source}, {target}: {spliced} bytes spliced");
                }
            }
        }
    });
}

fn an_io_that_cannot_splice_copies_too(on: &On) {
    on.run(|io| {
        let content = content(LARGE);
        let io = &Watched { refuses: true, ..Watched::new(io) };
        for (_, from_source) in SOURCES {
            for (_, to_target) in TARGETS {
                from_source(io, &content, &mut |from| {
                    to_target(io, &content, &mut |to| {
                        assert_eq!(copy(io, from, to).expect("copied"), LARGE as u64);
                    });
                });
            }
        }
    });
}

/// A handle without a descriptor: a source of one byte at a time.
struct Trickle(AtomicUsize);

impl ByteStream for Trickle {
    fn read(&self, _: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        buffer[0] = left as u8;
        Ok(left.min(1))
    }

    fn read_vectored(&self, io: &dyn Io, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.read(io, &mut buffers[0])
    }

    fn write(&self, _: &dyn Io, _: &[u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write_vectored(&self, _: &dyn Io, _: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Ok(0)
    }
}

fn other_handles_are_copied_from_and_to(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        assert_eq!(copy(io, &Trickle(AtomicUsize::new(3)), &near).expect("copied"), 3);
        let mut received = [0; 3];
        far.read_exact(io, &mut received).expect("received");
        assert_eq!(received, [3, 2, 1]);
        far.write_all(io, b"lost?").expect("sent");
        let error = copy(io, &near, &Trickle(AtomicUsize::new(0))).expect_err("it takes nothing");
        assert_eq!((error.kind(), Incomplete::count_of(&error)), (io::ErrorKind::WriteZero, 0));
        assert_eq!(Incomplete::unwritten_of(&error), b"lost?");
    });
}

fn no_more_is_read_than_asked_for(on: &On) {
    on.run(|io| {
        let content = content(LARGE);
        for (_, from_source) in SOURCES {
            for at_most in [0, 1, 8192, 70_000, LARGE - 1] {
                from_source(io, &content, &mut |from| {
                    TARGETS[2].1(io, &content, &mut |to| {
                        assert_eq!(copy_at_most(io, from, to, at_most as u64).expect("copied"), at_most as u64);
                        assert_eq!(copy(io, from, to).expect("the rest"), (LARGE - at_most) as u64);
                    });
                });
            }
        }
    });
}

/// A file that is truncated while it is sent, and a file that has no length and is on no disk.
fn a_file_is_sent_as_it_is_by_then(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        // This is more than the sockets hold.
        let bytes = 64 << 20;
        fs::write(&path, vec![1; bytes]).expect("written");
        let file = File::open(io, &path).expect("opened");
        let (near, far) = tcp_pair(io);
        scope(io, |group| {
            let sending = concurrently(group, |io| {
                let sent = near.send_file(io, &file, 0..bytes as u64).expect("sent");
                near.shutdown(io, Shutdown::Write).expect("finished");
                sent
            });
            far.read_exact(io, &mut [0]).expect("it is being sent");
            fs::File::options().write(true).open(&path).expect("opened").set_len(1).expect("cut");
            let mut rest = Vec::new();
            far.with(io).read_to_end(&mut rest).expect("received");
            let sent = sending.join(io);
            assert!(sent < bytes as u64, "it was cut meanwhile");
            assert_eq!(sent, rest.len() as u64 + 1);
        });
        let version = fs::read("/proc/version").expect("there");
        let (near, far) = tcp_pair(io);
        receives(std_stream(&far), &version, || {
            let file = File::open(io, "/proc/version").expect("opened");
            assert_eq!(copy(io, &file, &near).expect("copied"), version.len() as u64);
            near.shutdown(io, Shutdown::Write).expect("finished");
        });
    });
}

fn a_part_of_a_file_is_sent(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let content = content(LARGE);
        fs::write(&path, &content).expect("written");
        let file = File::open(io, &path).expect("opened");
        file.seek(io, SeekFrom::Start(7)).expect("moved");
        for (from, to) in [(0, LARGE), (1, LARGE - 1), (5000, 5001), (70, 70), (LARGE, LARGE), (LARGE - 2, LARGE + 9)] {
            let part = &content[from..to.min(LARGE)];
            TARGETS[2].1(io, part, &mut |stream| {
                let socket = TcpStream::from(std_stream_of(stream));
                let count = socket.send_file(io, &file, from as u64..to as u64).expect("sent");
                assert_eq!(count, part.len() as u64);
            });
        }
        assert_eq!(file.seek(io, SeekFrom::Current(0)).expect("asked"), 7, "the position is left alone");
        let (near, _far) = tcp_pair(io);
        for range in [(5, 3), (u64::MAX, u64::MAX), (1 << 40, u64::MAX)] {
            assert_eq!(near.send_file(io, &file, range.0..range.1).expect("nothing"), 0);
        }
    });
}

fn std_stream_of(stream: &dyn ByteStream) -> std::net::TcpStream {
    let descriptor = stream.descriptor().expect("a socket");
    descriptor.as_fd().try_clone_to_owned().expect("a duplicate").into()
}

/// Returns a file that cannot grow beyond 3 MiB.
fn bounded_file() -> (File, fs::File) {
    let fd = memfd_create("bounded", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("made");
    rustix::fs::ftruncate(&fd, 3 << 20).expect("extended");
    fcntl_add_seals(&fd, SealFlags::GROW).expect("sealed");
    let again = fs::File::from(fd.try_clone().expect("a duplicate"));
    (File::from(fs::File::from(fd)), again)
}

fn what_a_full_target_did_not_take_is_given_back(on: &On) {
    on.run(|io| {
        let content = content(LARGE);
        for refuses in [false, true] {
            let io = &Watched { refuses, ..Watched::new(io) };
            for (source, from_source) in SOURCES {
                from_source(io, &content, &mut |from| {
                    let (target, mut again) = bounded_file();
                    let error = copy(io, from, &target).expect_err("there is no room");
                    let (count, unwritten) = (Incomplete::count_of(&error), Incomplete::unwritten_of(&error));
                    assert_eq!((error.kind(), count), (io::ErrorKind::PermissionDenied, 3 << 20), "{source}");
                    assert!(format!("{error:?}").len() < 200, "the bytes are nothing for a log: {source}");
                    io::Seek::rewind(&mut again).expect("rewound");
                    let mut all = Vec::new();
                    again.read_to_end(&mut all).expect("read");
                    all.extend_from_slice(unwritten);
                    assert!(!unwritten.is_empty() && all == content[..all.len()], "{source}");
                    // The bytes that were not read are still there.
                    receives_rest(io, from, &content[all.len()..]);
                });
            }
        }
        let full = OpenOptions::new().write(true).open(io, "/dev/full").expect("every Linux has it");
        SOURCES[0].1(io, &content, &mut |from| {
            let error = copy(io, from, &full).expect_err("full");
            assert_eq!((error.kind(), Incomplete::count_of(&error)), (io::ErrorKind::StorageFull, 0));
            let unwritten = Incomplete::unwritten_of(&error);
            assert!(!unwritten.is_empty() && unwritten == &content[..unwritten.len()]);
        });
    });
}

fn receives_rest(io: &dyn Io, from: &dyn ByteStream, rest: &[u8]) {
    TARGETS[2].1(io, rest, &mut |to| {
        assert_eq!(copy(io, from, to).expect("copied"), rest.len() as u64);
    });
}

/// Returns sockets with small buffers, so that a pause of the reader has an effect soon.
fn narrow_pair(io: &dyn Io) -> (TcpStream, TcpStream) {
    let (near, far) = tcp_pair(io);
    for stream in [&near, &far] {
        stream.set_option(io, option::SEND_BUFFER_SIZE, 64 << 10).expect("set");
        stream.set_option(io, option::RECEIVE_BUFFER_SIZE, 64 << 10).expect("set");
    }
    (near, far)
}

/// Nobody reads: the copy waits in the middle, with bytes in hand, and a request ends it.
fn a_copy_that_nobody_reads_is_canceled(on: &On) {
    on.run(|io| {
        for refuses in [false, true] {
            let io = &Watched { refuses, ..Watched::new(io) };
            let io: &dyn Io = io;
            let content = content(LARGE);
            SOURCES[1].1(io, &content, &mut |from| {
                let (near, far) = narrow_pair(io);
                let from = TcpStream::from(std_stream_of(from));
                let mut all = vec![0; 2 << 20];
                let (count, mut unwritten) = scope(io, |group| {
                    let copying = concurrently(group, |io| copy(io, &from, &near));
                    // By then the copy has run for a long time, and comes to a stop soon.
                    far.read_exact(io, &mut all).expect("read");
                    let error = copying.cancel(io).expect_err("it had not ended");
                    assert!(Canceled::is_in(&error), "{error}");
                    (Incomplete::count_of(&error), Incomplete::unwritten_of(&error).to_vec())
                });
                let mode = fcntl_getfl(&near).expect("asked");
                assert!(!mode.contains(OFlags::NONBLOCK), "the socket is as it was");
                near.shutdown(io, Shutdown::Write).expect("finished");
                far.with(io).read_to_end(&mut all).expect("received");
                assert_eq!(all.len(), count, "the count and what arrived");
                all.append(&mut unwritten);
                from.with(io).read_to_end(&mut all).expect("the rest");
                assert!(all == content);
            });
        }
    });
}

/// Nobody writes any more: the copy waits without bytes in hand, its thread serves nobody, and a request ends it.
fn a_copy_of_a_source_that_falls_silent_is_canceled(on: &On) {
    on.executors(1).run(|io| {
        let content = content(LARGE);
        for round in 0..3 {
            let (near, from) = tcp_pair(io);
            let (to, far) = tcp_pair(io);
            scope(io, |group| {
                let copying = concurrently(group, |io| copy(io, &from, &to));
                let sending = concurrently(group, |io| near.write_all(io, &content));
                let mut received = vec![0; LARGE];
                far.read_exact(io, &mut received).expect("received");
                sending.join(io).expect("sent");
                assert!(received == content);
                io.sleep(Duration::from_millis(round)).expect("the executor is free");
                let error = copying.cancel(io).expect_err("the source has not ended");
                assert!(Canceled::is_in(&error), "{error}");
                assert_eq!(Incomplete::count_of(&error), LARGE);
                assert!(Incomplete::unwritten_of(&error).is_empty());
                assert!(!fcntl_getfl(&from).expect("asked").contains(OFlags::NONBLOCK));
            });
        }
    });
}

fn a_timed_out_copy_accounts_for_every_byte(on: &On) {
    on.run(|io| {
        let content = content(LARGE);
        SOURCES[1].1(io, &content, &mut |from| {
            let (near, far) = narrow_pair(io);
            let mut all = Vec::new();
            let error = io.timeout(Duration::from_millis(5), |io| copy(io, from, &near)).expect_err("nobody reads");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            near.shutdown(io, Shutdown::Write).expect("finished");
            far.with(io).read_to_end(&mut all).expect("received");
            assert_eq!(all.len(), Incomplete::count_of(&error));
            all.extend_from_slice(Incomplete::unwritten_of(&error));
            let from = TcpStream::from(std_stream_of(from));
            from.with(io).read_to_end(&mut all).expect("the rest");
            assert!(all == content);
        });
    });
}

/// Copies are canceled at random and continued where they were: the bytes that arrive are those that were sent.
fn canceled_copies_lose_no_byte(on: &On) {
    let mut random = Random::new("canceled copies");
    let content = content(4 * LARGE);
    // The outcomes: completed; canceled with bytes in hand; canceled between two chunks.
    let mut outcomes = [0; 3];
    let _watchdog = Watchdog::start();
    let runtime = on.start();
    let io = runtime.io();
    for _ in 0..rounds(60) {
        Watchdog::beat_here();
        let bytes = random.below(content.len() as u64) as usize;
        let content = &content[..bytes];
        SOURCES[1].1(io, content, &mut |from| {
            let from = TcpStream::from(std_stream_of(from));
            let (near, far) = narrow_pair(io);
            receives(Slow(std_stream(&far), random.clone()), content, || {
                let mut done = 0;
                while done < bytes {
                    let (copied, resumed) = one_attempt(io, &mut random, &from, &near);
                    outcomes[match (&copied, resumed) {
                        (Ok(_), _) => 0,
                        (Err(_), 0) => 2,
                        (Err(_), _) => 1,
                    }] += 1;
                    done += copied.unwrap_or_else(|count| count) + resumed;
                }
                near.shutdown(io, Shutdown::Write).expect("finished");
            });
        });
    }
    runtime.shutdown();
    note(format_args!(
        "{} completed, {} canceled with bytes in hand, {} without",
        outcomes[0], outcomes[1], outcomes[2]
    ));
    let all: usize = outcomes.iter().sum();
    assert!(all < 100 || outcomes.iter().all(|outcome| outcome * 20 >= all), "{outcomes:?}: not each is frequent");
}

/// Copies until it is done or, after a random time, canceled, and then writes the bytes in hand. Returns the progress
/// of the copy (`Err` if it was canceled) and the number of bytes in hand.
fn one_attempt(io: &dyn Io, random: &mut Random, from: &TcpStream, to: &TcpStream) -> (Result<usize, usize>, usize) {
    let result = scope(io, |group| {
        let copying = concurrently(group, |io| copy(io, from, to));
        spin(Duration::from_nanos(random.below(8_000_000)));
        copying.cancel(io)
    });
    match result {
        Ok(count) => (Ok(count as usize), 0),
        Err(error) => {
            assert!(Canceled::is_in(&error), "{error}");
            let unwritten = Incomplete::unwritten_of(&error);
            to.write_all(io, unwritten).expect("written");
            (Err(Incomplete::count_of(&error)), unwritten.len())
        }
    }
}

/// A reader that pauses.
struct Slow(std::net::TcpStream, Random);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.below(64) == 0 {
            spin(Duration::from_micros(self.1.below(2000)));
        }
        self.0.read(buffer)
    }
}

/// Copies in both directions at once, through the same two sockets.
fn a_proxy_passes_both_ways_on(on: &On) {
    on.run(|io| {
        let (client, front) = narrow_pair(io);
        let (back, server) = narrow_pair(io);
        let content = content(LARGE);
        scope(io, |group| {
            for (from, to) in [(&front, &back), (&back, &front)] {
                drop(concurrently(group, move |io| {
                    copy(io, from, to).expect("copied");
                    to.shutdown(io, Shutdown::Write).expect("finished");
                }));
            }
            for end in [&client, &server] {
                let content = &content;
                drop(concurrently(group, move |io| {
                    end.write_all(io, content).expect("sent");
                    end.shutdown(io, Shutdown::Write).expect("finished");
                }));
                drop(concurrently(group, move |io| {
                    let mut received = Vec::new();
                    end.with(io).read_to_end(&mut received).expect("received");
                    assert!(received == *content);
                }));
            }
        });
    });
}

/// Several copies into one socket: their bytes mix, and none of them blocks its thread.
fn copies_into_one_socket_are_each_canceled(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, content(LARGE)).expect("written");
        let (near, far) = narrow_pair(io);
        scope(io, |group| {
            let copies = [0; 4].map(|_| {
                let file = File::open(io, &path).expect("opened");
                let near = &near;
                concurrently(group, move |io| copy(io, &file, near))
            });
            far.read_exact(io, &mut vec![0; LARGE]).expect("read");
            let counts = copies.map(|copying| match copying.cancel(io) {
                Ok(count) => count as usize,
                Err(error) => {
                    assert!(Canceled::is_in(&error), "{error}");
                    Incomplete::count_of(&error)
                }
            });
            near.shutdown(io, Shutdown::Write).expect("finished");
            let mut rest = Vec::new();
            far.with(io).read_to_end(&mut rest).expect("received");
            assert_eq!(counts.iter().sum::<usize>(), LARGE + rest.len());
        });
    });
}

fn a_peer_that_is_gone_is_an_error(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, content(LARGE)).expect("written");
        let (near, far) = narrow_pair(io);
        scope(io, |group| {
            let path: &Path = &path;
            let copying = concurrently(group, move |io| {
                let file = File::open(io, path).expect("opened");
                near.send_file(io, &file, 0..LARGE as u64)
            });
            far.read_exact(io, &mut vec![0; 2 << 20]).expect("read");
            far.set_linger(io, Some(Duration::ZERO)).expect("set");
            drop(far);
            let error = copying.join(io).expect_err("nobody is there");
            let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{error}");
            assert!(Incomplete::count_of(&error) >= 2 << 20 && Incomplete::unwritten_of(&error).is_empty());
        });
    });
}
