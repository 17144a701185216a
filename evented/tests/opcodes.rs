//! Operations of io_uring with their own arguments. Each has its effect, on a fiber and on a plain thread; other cases
//! show the ways in which one ends early. `IOLITE_TEST_ROUNDS` is the number of rounds of a race.

mod support;

use iolite_conformance::tools::note;
use iolite_conformance::{Case, On, cases, whole};
use std::any::Any;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::hint;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};
use iolite_conformance::tools::rounds;
use iolite_evented::{Evented, Options, op};
use iolite_io::net::{Address, Received};
use iolite_io::sync::Event;
use iolite_io::{
    Canceled, Io,
    backend::Decorator,
    error::ShutDown,
    operation::{Operation, Output},
};
use rustix::event::epoll;
use tempfile::TempDir;

const CASES: &[Case] = cases![extended_attributes];
const WHOLE: &[Case] = whole![
    files,
    names,
    pipes,
    connections,
    messages,
    descriptors,
    time_and_readiness,
    words_of_memory,
    children,
    a_timeout_and_cancellations_are_told_apart,
    a_timeout_holds_with_one_entry_free,
    an_id_names_one_operation_at_a_time,
    what_is_being_executed_is_already_running,
    a_cancellation_by_id_loses_no_byte,
    a_canceled_task_performs_nothing,
    after_the_end_nothing_is_performed,
    the_end_of_the_runtime_ends_the_operations_of_threads,
    decorators_do_no_harm,
    the_table_is_complete,
];

fn main() -> ExitCode {
    support::run(&[CASES, WHOLE])
}

fn runtime() -> Evented {
    Evented::new(Options { executors: 1, ..Options::default() }).unwrap()
}

/// Runs `body` on a fiber, and then on the calling thread.
fn everywhere(body: impl Fn(&dyn Io) + Sync) {
    let evented = runtime();
    let io = evented.io();
    let Ok(()) = io.group(|group| {
        group.spawn_concurrent(&body).unwrap().join(io);
        Ok::<_, Infallible>(())
    });
    body(io);
}

/// Returns the result, or prints that this kernel does not have the operation.
fn told<T>(what: &str, result: io::Result<T>) -> Option<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            eprintln!("NOT RUN: {what}: {error}");
            None
        }
        result => Some(result.unwrap_or_else(|error| panic!("{what}: {error}"))),
    }
}

macro_rules! perform {
    ($io:expr, $operation:ident $arguments:tt) => {
        told(stringify!($operation), op::perform($io, op::$operation $arguments))
    };
}

fn c(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
}

fn pipe(io: &dyn Io) -> (OwnedFd, OwnedFd) {
    perform!(io, Pipe { flags: 0 }).unwrap_or_else(|| rustix::pipe::pipe().unwrap())
}

fn open(io: &dyn Io, path: &CStr) -> OwnedFd {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    perform!(io, OpenAt { directory: op::CWD, path, flags, mode: 0o600 }).unwrap()
}

fn files() {
    everywhere(|io| {
        let directory = TempDir::new().unwrap();
        let file = open(io, &c(directory.path().join("file")));
        let file = file.as_fd();
        let count = perform!(io, Write { file, buffer: b"0123456789", offset: Some(0), flags: 0 });
        assert_eq!(count, Some(10));
        let buffers = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
        assert_eq!(perform!(io, Writev { file, buffers: &buffers, offset: Some(2), flags: 0 }), Some(5));
        let mut buffer = [0; 4];
        assert_eq!(perform!(io, Read { file, buffer: &mut buffer, offset: Some(1), flags: 0 }), Some(4));
        assert_eq!(&buffer, b"1abc");
        let (mut first, mut second) = ([0; 3], [0; 9]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(perform!(io, Readv { file, buffers: &mut buffers, offset: None, flags: 0 }), Some(10));
        assert_eq!((&first, &second[..7]), (b"01a", &b"bcde789"[..]));
        perform!(io, Fsync { file, data_only: true });
        perform!(io, SyncFileRange { file, offset: 0, bytes: 0, flags: libc::SYNC_FILE_RANGE_WRITE });
        perform!(io, Fadvise { file, offset: 0, bytes: 10, advice: libc::POSIX_FADV_WILLNEED });
        perform!(io, Fallocate { file, mode: 0, offset: 0, bytes: 8192 });
        assert_eq!(size(io, file), 8192);
        if perform!(io, Ftruncate { file, length: 3 }).is_some() {
            assert_eq!(size(io, file), 3);
        }
        let descriptor = file.try_clone_to_owned().unwrap();
        perform!(io, Close { descriptor }).unwrap();
    });
}

fn size(io: &dyn Io, file: BorrowedFd<'_>) -> u64 {
    let stat = op::Statx { directory: file, path: c"", flags: libc::AT_EMPTY_PATH, mask: libc::STATX_SIZE };
    op::perform(io, stat).unwrap().stx_size
}

fn names() {
    everywhere(|io| {
        let root = TempDir::new().unwrap();
        let path = c(root.path());
        let flags = (libc::O_DIRECTORY | libc::O_PATH) as u64;
        let resolve = libc::RESOLVE_NO_MAGICLINKS;
        let directory = perform!(io, OpenAt2 { directory: op::CWD, path: &path, flags, mode: 0, resolve }).unwrap();
        let directory = directory.as_fd();
        let beneath = op::OpenAt2 { directory, path: c"..", flags, mode: 0, resolve: libc::RESOLVE_BENEATH };
        assert_eq!(op::perform(io, beneath).unwrap_err().raw_os_error(), Some(libc::EXDEV));
        perform!(io, MkDirAt { directory, path: c"inner", mode: 0o700 });
        let (from, to) = (c"inner", c"moved");
        perform!(io, RenameAt { from_directory: directory, from, to_directory: directory, to, flags: 0 });
        perform!(io, SymlinkAt { target: c"moved", directory, path: c"pointer" });
        assert_eq!(root.path().join("pointer").read_link().unwrap(), Path::new("moved"));
        std::fs::write(root.path().join("file"), "text").unwrap();
        let (from, to) = (c"file", c"moved/other");
        perform!(io, LinkAt { from_directory: directory, from, to_directory: directory, to, flags: 0 });
        assert_eq!(std::fs::read(root.path().join("pointer/other")).unwrap(), b"text");
        perform!(io, UnlinkAt { directory, path: c"moved/other", flags: 0 });
        perform!(io, UnlinkAt { directory, path: c"moved", flags: libc::AT_REMOVEDIR });
        assert!(!root.path().join("moved").exists());
    });
}

fn extended_attributes(on: &On) {
    everywhere(|io| {
        let directory = TempDir::new().unwrap();
        let path = c(directory.path().join("file"));
        let file = open(io, &path);
        let (file, path) = (file.as_fd(), &*path);
        let set = op::FSetXattr { file, name: c"user.one", value: b"1", flags: 0 };
        match op::perform(io, set) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                return on.not_run("the directory for temporary files has no extended attributes");
            }
            result => _ = told("FSetXattr", result),
        }
        perform!(io, SetXattr { path, name: c"user.two", value: b"22", flags: libc::XATTR_CREATE });
        let mut value = [0; 8];
        if let Some(count) = perform!(io, GetXattr { path, name: c"user.one", value: &mut value }) {
            assert_eq!(&value[..count], b"1");
            assert_eq!(perform!(io, FGetXattr { file, name: c"user.two", value: &mut value }), Some(2));
            assert_eq!(&value[..2], b"22");
            assert_eq!(perform!(io, FGetXattr { file, name: c"user.two", value: &mut [] }), Some(2));
        }
    });
}

fn pipes() {
    everywhere(|io| {
        let ((from, mut source), (to, target)) = (pipe(io), pipe(io));
        let (copy, copied) = pipe(io);
        write(&mut source, b"splice");
        let (from, to_pipe, copied) = (from.as_fd(), target.as_fd(), copied.as_fd());
        assert_eq!(perform!(io, Tee { from, to: copied, bytes: 64, flags: 0 }), Some(6));
        let splice = op::Splice { from, from_offset: None, to: to_pipe, to_offset: None, bytes: 64, flags: 0 };
        assert_eq!(op::perform(io, splice).unwrap(), 6);
        assert_eq!(read(to), b"splice");
        assert_eq!(read(copy), b"splice");
    });
}

fn write(to: &mut OwnedFd, bytes: &[u8]) {
    std::fs::File::from(to.try_clone().unwrap()).write_all(bytes).unwrap();
}

/// Returns the bytes that are available.
fn read(from: OwnedFd) -> Vec<u8> {
    let mut buffer = [0; 64];
    let count = std::fs::File::from(from).read(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

fn internet(address: SocketAddr) -> Address {
    Address::Internet(address)
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn connections() {
    everywhere(|io| {
        let (domain, kind) = (libc::AF_INET, libc::SOCK_STREAM);
        let listening = perform!(io, Socket { domain, kind, protocol: 0 }).unwrap();
        let bound = perform!(io, Bind { socket: listening.as_fd(), address: &internet(ANY) });
        let listens = perform!(io, Listen { socket: listening.as_fd(), backlog: 4 });
        let listener = match bound.and(listens) {
            Some(()) => std::net::TcpListener::from(listening),
            None => std::net::TcpListener::bind(ANY).unwrap(),
        };
        let address = internet(listener.local_addr().unwrap());
        let near = perform!(io, Socket { domain, kind, protocol: 0 }).unwrap();
        let socket = near.as_fd();
        perform!(io, Connect { socket, address: &address }).unwrap();
        let (far, peer) = perform!(io, Accept { listener: listener.as_fd(), flags: 0 }).unwrap();
        let near_address = TcpStream::from(near.try_clone().unwrap()).local_addr().unwrap();
        assert_eq!(peer, Some(internet(near_address)));
        assert_eq!(perform!(io, Send { socket, buffer: b"hello", to: None, flags: 0 }), Some(5));
        let mut buffer = [0; 8];
        let far = far.as_fd();
        assert_eq!(perform!(io, Recv { socket: far, buffer: &mut buffer, flags: 0 }), Some(5));
        assert_eq!(&buffer[..5], b"hello");
        perform!(io, Shutdown { socket, how: Shutdown::Write }).unwrap();
        assert_eq!(perform!(io, Recv { socket: far, buffer: &mut buffer, flags: 0 }), Some(0));
    });
}

fn messages() {
    everywhere(|io| {
        let (near, far) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
        let to = internet(far.local_addr().unwrap());
        let from = Some(internet(near.local_addr().unwrap()));
        let (socket, to) = (near.as_fd(), Some(&to));
        let buffers = [IoSlice::new(b"one"), IoSlice::new(b"more")];
        let send = op::SendMsg { socket, buffers: &buffers, to, descriptors: &[], flags: 0 };
        assert_eq!(op::perform(io, send).unwrap(), 7);
        assert_eq!(perform!(io, Send { socket, buffer: b"two", to, flags: 0 }), Some(3));
        let (mut first, mut second) = ([0; 2], [0; 3]);
        let received = receive(io, far.as_fd(), &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]);
        assert_eq!((received.count, received.truncated), (5, true));
        assert_eq!(received.from, from);
        assert_eq!((&first, &second), (b"on", b"emo"));
        let received = receive(io, far.as_fd(), &mut [IoSliceMut::new(&mut [0; 8])]);
        assert_eq!((received.count, received.truncated), (3, false));
        assert_eq!(received.from, from);
    });
}

fn receive<'a>(io: &dyn Io, socket: BorrowedFd<'a>, buffers: &'a mut [IoSliceMut<'a>]) -> Received {
    op::perform(io, op::RecvMsg { socket, buffers, descriptors_max: 2, flags: 0 }).unwrap()
}

fn descriptors() {
    everywhere(|io| {
        let (near, far) = UnixDatagram::pair().unwrap();
        let (reader, writer) = pipe(io);
        let (socket, descriptors) = (near.as_fd(), [writer.as_fd()]);
        let buffers = [IoSlice::new(b"the writer")];
        let send = op::SendMsg { socket, buffers: &buffers, to: None, descriptors: &descriptors, flags: 0 };
        assert_eq!(op::perform(io, send).unwrap(), 10);
        let mut received = receive(io, far.as_fd(), &mut [IoSliceMut::new(&mut [0; 16])]);
        assert_eq!((received.count, received.descriptors.len(), received.descriptors_truncated), (10, 1, false));
        let mut duplicate = OwnedFd::from(received.descriptors.remove(0));
        drop(writer);
        write(&mut duplicate, b"both");
        assert_eq!(read(reader), b"both");
    });
}

fn time_and_readiness() {
    everywhere(|io| {
        perform!(io, Nop {}).unwrap();
        let before = io.now();
        perform!(io, Timeout { duration: Duration::from_millis(2) }).unwrap();
        assert!(io.now().saturating_duration_since(before) >= Duration::from_millis(2));
        let (reader, mut writer) = pipe(io);
        let descriptor = writer.as_fd();
        let events = libc::POLLIN | libc::POLLOUT;
        assert_eq!(perform!(io, PollAdd { descriptor, events }), Some(libc::POLLOUT));

        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let (epoll, change, descriptor) = (poll.as_fd(), libc::EPOLL_CTL_ADD, reader.as_fd());
        let event = op::EpollEvent::new(libc::EPOLLIN as u32, 42);
        perform!(io, EpollCtl { epoll, change, descriptor, event }).unwrap();
        write(&mut writer, b"!");
        let mut events = [op::EpollEvent::new(0, 0); 4];
        if let Some(count) = perform!(io, EpollWait { epoll, events: &mut events }) {
            assert_eq!((count, events[0].events(), events[0].data()), (1, libc::EPOLLIN as u32, 42));
        }
    });
}

fn words_of_memory() {
    everywhere(|io| {
        let (word, other) = (AtomicU32::new(1), AtomicU32::new(2));
        let Some(woken) = perform!(io, FutexWake { word: &word, count: 1 }) else { return };
        assert_eq!(woken, 0);
        let wait = op::perform(io, op::FutexWait { word: &word, value: 7 });
        assert_eq!(wait.unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        let Ok(()) = io.group(|group| {
            let one = group.spawn_concurrent(|io| op::perform(io, op::FutexWait { word: &word, value: 1 }).unwrap());
            let words = [(&word, 1), (&other, 2)];
            let any =
                group.spawn_concurrent(move |io| op::perform(io, op::FutexWaitV { words: &words }).unwrap()).unwrap();
            wake(io, &other);
            assert_eq!(any.join(io), 1);
            wake(io, &word);
            one.unwrap().join(io);
            Ok::<_, Infallible>(())
        });
    });
}

/// Wakes one waiter, once it waits.
fn wake(io: &dyn Io, word: &AtomicU32) {
    while op::perform(io, op::FutexWake { word, count: 1 }).unwrap() == 0 {
        io.yield_now();
    }
}

fn children() {
    everywhere(|io| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let wait = |options| op::WaitId { child: op::Child::Pid(child.id()), options };
        let Some(state) = told("WaitId", op::perform(io, wait(libc::WEXITED | libc::WNOHANG))) else {
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        };
        assert_eq!(state, None);
        let pid = child.id() as i32;
        drop(child.stdin.take());
        let wait = op::WaitId { child: op::Child::Pid(child.id()), options: libc::WEXITED };
        let state = op::perform(io, wait).unwrap();
        assert_eq!(state, Some(op::ChildState { pid, code: libc::CLD_EXITED, status: 0 }));
    });
}

/// The errors of an operation that would wait for ever say why it has ended.
fn a_timeout_and_cancellations_are_told_apart() {
    everywhere(|io| {
        let (reader, mut writer) = pipe(io);
        let file = reader.as_fd();
        let id = op::Id::new();
        let mut buffer = [0; 8];
        let read = op::Read { file, buffer: &mut buffer, offset: None, flags: 0 };
        let error = op::Do::new(read).timeout(Duration::from_millis(1)).id(&id).perform(io).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!op::CanceledById::is_in(&error) && !Canceled::is_in(&error));

        let Ok(()) = io.group(|group| {
            let never = |id: op::Id| {
                move |io: &dyn Io| {
                    let mut buffer = [0; 8];
                    let read = op::Read { file, buffer: &mut buffer, offset: None, flags: 0 };
                    op::Do::new(read).timeout(Duration::from_secs(3600)).id(&id).perform(io).unwrap_err()
                }
            };
            let by_id = group.spawn_concurrent(never(id.clone())).unwrap();
            until_under_way(io, &id);
            assert_eq!(op::cancel(io, &id).unwrap(), op::Cancel::Done);
            let error = by_id.join(io);
            assert!(op::CanceledById::is_in(&error), "{error}");
            assert!(!Canceled::is_in(&error) && error.kind() != ErrorKind::TimedOut);
            assert_eq!(op::cancel(io, &id).unwrap(), op::Cancel::NotFound);

            let canceled = group.spawn_concurrent(never(id.clone())).unwrap();
            until_under_way(io, &id);
            let error = canceled.cancel(io);
            assert!(Canceled::is_in(&error), "{error}");
            assert!(!op::CanceledById::is_in(&error));
            Ok::<_, Infallible>(())
        });

        write(&mut writer, b"still");
        let read = op::Read { file, buffer: &mut buffer, offset: None, flags: 0 };
        assert_eq!(op::Do::new(read).timeout(Duration::from_secs(3600)).id(&id).perform(io).unwrap(), 5);
    });
}

/// A timeout is not an entry of its own, which a full queue could separate from its operation. However much room is
/// left for entries, each operation ends by its own timeout and by no other, and takes no byte.
fn a_timeout_holds_with_one_entry_free() {
    const SQ_ENTRIES: usize = 256;
    let evented = runtime();
    for count in [SQ_ENTRIES - 1, SQ_ENTRIES, SQ_ENTRIES + 1, 2 * SQ_ENTRIES] {
        // Either the odd ones time out or the even ones, so that each kind is once the last one that finds room.
        for odd in [0, 1] {
            timeouts_of_one_turn(evented.io(), count, |index| index % 2 == odd);
        }
    }
}

/// Lets the fibers of `count` reads queue them in the same turn of the one executor; none of the reads ends by itself.
fn timeouts_of_one_turn(io: &dyn Io, count: usize, times_out: impl Fn(usize) -> bool) {
    let (reader, mut writer) = pipe(io);
    let file = reader.as_fd();
    let (begun, go, gone) = (AtomicUsize::new(0), Event::new(), AtomicBool::new(false));
    let read_for = |io: &dyn Io, timeout| {
        begun.fetch_add(1, Ordering::Relaxed);
        go.wait(io).unwrap();
        let mut buffer = [0; 8];
        let read = op::Read { file, buffer: &mut buffer, offset: None, flags: 0 };
        op::Do::new(read).timeout(timeout).perform(io).unwrap_err()
    };
    let Ok(()) = io.group(|group| {
        let (read_for, begun, gone) = (&read_for, &begun, &gone);
        let start = |index| {
            let timeout = if times_out(index) { Duration::from_millis(1) } else { Duration::from_secs(3600) };
            group.spawn_concurrent(move |io| read_for(io, timeout)).unwrap()
        };
        let reads: Vec<_> = (0..count).map(start).collect();
        let until_begun = |count| {
            while begun.load(Ordering::Relaxed) < count {
                io.yield_now();
            }
        };
        until_begun(count);
        // Keeps the executor from its next turn until this thread has woken all of them.
        let keeper = group.spawn_concurrent(move |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            while !gone.load(Ordering::Acquire) {
                hint::spin_loop();
            }
        });
        until_begun(count + 1);
        go.set();
        gone.store(true, Ordering::Release);
        keeper.unwrap().join(io);
        let (timed, others): (Vec<_>, Vec<_>) = reads.into_iter().enumerate().partition(|(index, _)| times_out(*index));
        for (index, read) in timed {
            let error = read.join(io);
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{index} of {count}: {error}");
        }
        for (index, read) in others {
            assert!(!read.is_finished(), "{index} of {count} had the timeout of another");
            let error = read.cancel(io);
            assert!(Canceled::is_in(&error), "{index} of {count}: {error}");
        }
        Ok::<_, Infallible>(())
    });
    write(&mut writer, b"still");
    assert_eq!(read(reader), b"still");
}

fn until_under_way(io: &dyn Io, id: &op::Id) {
    while !id.is_under_way() {
        io.yield_now();
    }
}

fn an_id_names_one_operation_at_a_time() {
    everywhere(|io| {
        let (reader, _writer) = pipe(io);
        let (poll, id) = (op::PollAdd { descriptor: reader.as_fd(), events: libc::POLLIN }, op::Id::new());
        let Ok(()) = io.group(|group| {
            let waits = group.spawn_concurrent(|io| op::Do::new(poll).id(&id).perform(io)).unwrap();
            until_under_way(io, &id);
            let second = op::Do::new(op::Nop {}).id(&id).perform(io);
            assert_eq!(second.unwrap_err().kind(), ErrorKind::ResourceBusy);
            assert_eq!(op::cancel(io, &id).unwrap(), op::Cancel::Done);
            assert!(op::CanceledById::is_in(&waits.join(io).unwrap_err()));
            Ok::<_, Infallible>(())
        });
    });
}

/// A splice waits on a thread of the kernel, where it can only be interrupted.
fn what_is_being_executed_is_already_running() {
    everywhere(|io| {
        let ((reader, _writer), (_end, target)) = (pipe(io), pipe(io));
        let mut answer = op::Cancel::Done;
        // Until the thread has begun the operation, it can be canceled.
        while answer != op::Cancel::AlreadyRunning {
            let id = op::Id::new();
            let Ok(()) = io.group(|group| {
                let waits = group.spawn_concurrent(|io| {
                    let (from, to) = (reader.as_fd(), target.as_fd());
                    let splice = op::Splice { from, from_offset: None, to, to_offset: None, bytes: 1, flags: 0 };
                    op::Do::new(splice).id(&id).perform(io).unwrap_err()
                });
                until_under_way(io, &id);
                io.sleep(Duration::from_millis(1)).unwrap();
                answer = op::cancel(io, &id).unwrap();
                let error = waits.unwrap().join(io);
                assert!(op::CanceledById::is_in(&error), "{answer:?}: {error}");
                Ok::<_, Infallible>(())
            });
        }
    });
}

/// A byte arrives while its read is canceled: either the read returns it, or it is still there.
fn a_cancellation_by_id_loses_no_byte() {
    let rounds = rounds(1_000) as u32;
    for executors in [1, 2] {
        let evented = Evented::new(Options { executors, ..Options::default() }).unwrap();
        let io = evented.io();
        let (reader, writer) = pipe(io);
        let (canceled, id) = (AtomicU32::new(0), op::Id::new());
        let Ok(()) = io.group(|group| {
            let reads = group.spawn_concurrent(|io| {
                let mut buffer = [0];
                for expected in 0..rounds {
                    while let Err(error) =
                        op::Do::new(op::Read { file: reader.as_fd(), buffer: &mut buffer, offset: None, flags: 0 })
                            .id(&id)
                            .perform(io)
                    {
                        assert!(op::CanceledById::is_in(&error), "{error}");
                        canceled.fetch_add(1, Ordering::Relaxed);
                    }
                    assert_eq!(buffer, [expected as u8]);
                }
            });
            let mut done = 0;
            for round in 0..rounds {
                if round % 2 == 0 {
                    until_under_way(io, &id);
                }
                let buffer = [round as u8];
                let write = |io: &dyn Io| {
                    let write = op::Write { file: writer.as_fd(), buffer: &buffer, offset: None, flags: 0 };
                    assert_eq!(op::perform(io, write).unwrap(), 1);
                };
                let Ok(()) = io.group(|group| {
                    let writes = group.spawn_concurrent(write).unwrap();
                    done += u32::from(op::cancel(io, &id).unwrap() == op::Cancel::Done);
                    writes.join(io);
                    Ok::<_, Infallible>(())
                });
            }
            reads.unwrap().join(io);
            note(format_args!("{executors} executors: {done} reads of {rounds} were canceled"));
            assert_eq!(done, canceled.load(Ordering::Relaxed));
            Ok::<_, Infallible>(())
        });
    }
}

fn a_canceled_task_performs_nothing() {
    let evented = runtime();
    let io = evented.io();
    let task = io.spawn_concurrent(|io| {
        let canceled = io.sleep(Duration::MAX).unwrap_err();
        io.recancel(Canceled::from_error(canceled.into()).unwrap());
        let error = op::perform(io, op::Nop {}).unwrap_err();
        assert!(Canceled::is_in(&error), "{error}");
        op::perform(io, op::Nop {})
    });
    task.unwrap().cancel(io).unwrap();
}

fn after_the_end_nothing_is_performed() {
    let evented = runtime();
    let handle = evented.handle();
    evented.shutdown();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let error = op::perform(&*handle, op::Nop {}).unwrap_err();
    assert!(error.get_ref().is_some_and(|source| source.is::<ShutDown>()), "{error}");
    // A descriptor to be closed is still closed.
    op::perform(&*handle, op::Close { descriptor: writer }).unwrap();
    assert_eq!(read(reader), b"");
}

/// Operations of threads are in the rings of executors, which end.
fn the_end_of_the_runtime_ends_the_operations_of_threads() {
    let evented = runtime();
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let (handle, id) = (evented.handle(), op::Id::new());
    let named = id.clone();
    let thread = std::thread::spawn(move || {
        let poll = op::PollAdd { descriptor: reader.as_fd(), events: libc::POLLIN };
        op::Do::new(poll).id(&named).perform(&*handle)
    });
    until_under_way(evented.io(), &id);
    evented.shutdown();
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.get_ref().is_some_and(|source| source.is::<ShutDown>()), "{error}");
}

/// An `Io` of another crate, which may treat operations as it likes.
struct Around<'a> {
    io: &'a dyn Io,
    operate: fn(&dyn Io, &mut (dyn Any + Send)) -> io::Result<Output>,
}

impl Decorator for Around<'_> {
    fn inner(&self) -> &dyn Io {
        self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        match operation {
            Operation::Native { operation } => (self.operate)(self.io, operation),
            other => self.io.operate(other),
        }
    }
}

fn decorators_do_no_harm() {
    everywhere(|io| {
        let around = |operate| Around { io, operate };
        let passes = around(|io, operation| io.operate(Operation::Native { operation }));
        let (reader, _writer) = op::perform(&passes, op::Pipe { flags: 0 }).unwrap();
        let poll = op::PollAdd { descriptor: reader.as_fd(), events: libc::POLLIN };
        let error = op::Do::new(poll).timeout(Duration::from_millis(1)).perform(&passes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);

        let lies = around(|_, _| Ok(Output::Done));
        op::perform(&lies, op::Pipe { flags: 0 }).unwrap_err();

        let repeats = around(|io, operation| {
            io.operate(Operation::Native { operation: &mut *operation })?;
            io.operate(Operation::Native { operation })
        });
        let error = op::perform(&repeats, op::Pipe { flags: 0 }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);

        let exchanges = around(|io, _| io.operate(Operation::Native { operation: &mut 7 }));
        let error = op::perform(&exchanges, op::Pipe { flags: 0 }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);

        // The descriptor that the operation made is closed: the other end of the connection shows that.
        let fails = around(|io, operation| {
            io.operate(Operation::Native { operation })?;
            Err(io::Error::other("it failed"))
        });
        let listener = std::net::TcpListener::bind(ANY).unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accept = op::Accept { listener: listener.as_fd(), flags: 0 };
        assert_eq!(op::perform(&fails, accept).unwrap_err().to_string(), "it failed");
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
    });
}

macro_rules! codes {
    ($($name:ident)*) => { [$((stringify!($name), op::$name::CODE)),*] };
}

/// The table of the documentation lists every operation of the crate and of this kernel, and every type has its row and
/// its test.
fn the_table_is_complete() {
    let table = include_str!("../src/op/opcodes.md");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    for (code, row) in rows.iter().enumerate() {
        assert!(row.starts_with(&format!("| {code} | ")), "{row}");
    }
    let types = codes! {
        Nop Readv Writev Fsync PollAdd SyncFileRange SendMsg RecvMsg Timeout Accept Connect Fallocate OpenAt Close Statx
        Read Write Fadvise Madvise Send Recv OpenAt2 EpollCtl Splice Tee Shutdown RenameAt UnlinkAt MkDirAt SymlinkAt
        LinkAt MsgRing FSetXattr SetXattr FGetXattr GetXattr Socket UringCmd SetSockOpt WaitId FutexWait FutexWake
        FutexWaitV Ftruncate Bind Listen EpollWait Pipe
    };
    let sources = [include_str!("opcodes.rs"), include_str!("raw.rs")];
    for (name, code) in types {
        let row = rows[usize::from(code)];
        assert!(row.contains(&format!("[`{name}`]")), "{name}: {row}");
        let test = row.rsplit('`').nth(1).unwrap();
        assert!(sources.iter().any(|source| source.contains(&format!("fn {test}("))), "{name}: {row}");
    }
    let last = opcode::Pipe::CODE;
    assert_eq!(rows.len(), usize::from(last) + 1);
    let mut probe = Probe::new();
    IoUring::new(2).unwrap().submitter().register_probe(&mut probe).unwrap();
    for code in (0..=u8::MAX).filter(|code| probe.is_supported(*code) && *code > last) {
        eprintln!("this kernel has operation {code} of io_uring, which the table does not know");
    }
}
