//! Every call that can block is a cancellation point, even if it would not have to block; and a request also reaches it
//! while it is blocked.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use iolite_io::fs::{File, OpenOptions};
use iolite_io::net::{
    Message, OutgoingMessage, Socket, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream, option,
};
use iolite_io::sync::{
    Barrier, Condvar, Event, Mutex, Notify, OnceLock, Queue, ReentrantMutex, RwLock, Semaphore, broadcast,
    mpmc::{Receiver, Sender, channel},
    watch,
};
use iolite_io::{Canceled, Io};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, fill, full_listener, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    each_call_delivers_a_pending_request_once,
    each_call_delivers_tear_down_every_time,
    each_call_delivers_a_timeout_that_has_passed,
    each_call_is_canceled_while_it_is_blocked,
    each_call_is_timed_out_while_it_is_blocked,
    a_closed_channel_blocks_nobody,
    uncancelable_forms_leave_the_request_pending,
];

const LONG: Duration = Duration::from_secs(3600);

/// Things on which no call has to wait.
pub(crate) struct Ready {
    mutex: Mutex<()>,
    event: Event,
    semaphore: Semaphore,
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    stream: TcpStream,
    listener: TcpListener,
    address: SocketAddr,
    /// Connected to itself, with messages in its queue.
    udp: UdpSocket,
    unix: UnixStream,
    datagram: UnixDatagram,
    file: File,
    folder: tempfile::TempDir,
    /// The peers that the others need to be ready.
    _peers: (TcpStream, TcpStream, UnixStream, UnixDatagram),
}

impl Ready {
    pub(crate) fn new(io: &dyn Io) -> Self {
        let event = Event::new();
        event.set();
        let (sender, receiver) = channel(8);
        sender.try_send(1).expect("room");
        let (stream, peer) = tcp_pair(io);
        peer.write_all(io, b"some bytes").expect("sent");
        // This ensures that the bytes have arrived.
        stream.peek(io, &mut [0]).expect("they arrive");
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let waiting = TcpStream::connect(io, address).expect("connect");
        let udp = UdpSocket::bind(io, "127.0.0.1:0").expect("bind");
        udp.connect(io, udp.local_addr(io).expect("address")).expect("connect");
        (0..4).for_each(|_| assert_eq!(udp.send(io, b"message").expect("sent"), 7));
        let (unix, unix_peer) = UnixStream::pair(io).expect("pair");
        unix_peer.write_all(io, b"some bytes").expect("sent");
        let (datagram, datagram_peer) = UnixDatagram::pair(io).expect("pair");
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = OpenOptions::new();
        let path = folder.path().join("file");
        let file = options.read(true).write(true).create(true).open(io, path).expect("open");
        file.write_all_at(io, b"content", 0).expect("written");
        Self {
            mutex: Mutex::new(()),
            event,
            semaphore: Semaphore::new(1),
            sender,
            receiver,
            stream,
            listener,
            address,
            udp,
            unix,
            datagram,
            file,
            folder,
            _peers: (peer, waiting, unix_peer, datagram_peer),
        }
    }
}

pub(crate) type Point = fn(&dyn Io, &Ready) -> io::Result<()>;

pub(crate) const POINTS: &[(&str, Point)] = &[
    ("check_cancel", |io, _| Ok(io.check_cancel()?)),
    ("sleep", |io, _| Ok(io.sleep(Duration::from_nanos(1))?)),
    ("sleep zero", |io, _| Ok(io.sleep(Duration::ZERO)?)),
    ("sleep_until the past", |io, _| Ok(io.sleep_until(iolite_io::Instant::ZERO)?)),
    ("lock", |io, ready| Ok(ready.mutex.lock(io).map(drop)?)),
    ("event wait", |io, ready| Ok(ready.event.wait(io)?)),
    ("acquire", |io, ready| Ok(ready.semaphore.acquire(io).map(drop)?)),
    ("acquire_many", |io, _| Ok(Semaphore::new(2).acquire_many(io, 2).map(drop)?)),
    ("reentrant lock", |io, _| Ok(ReentrantMutex::new(()).lock(io).map(drop)?)),
    ("rwlock read", |io, _| Ok(RwLock::new(()).read(io).map(drop)?)),
    ("rwlock write", |io, _| Ok(RwLock::new(()).write(io).map(drop)?)),
    ("barrier wait", |io, _| Ok(Barrier::new(1).wait(io).map(drop)?)),
    ("notify wait", |io, _| {
        let notify = Notify::new();
        notify.notify_one();
        Ok(notify.wait(io)?)
    }),
    ("get_or_init", |io, _| Ok(OnceLock::from(1).get_or_init(io, || 2).map(drop)?)),
    ("get_or_init of an empty cell", |io, _| Ok(OnceLock::new().get_or_init(io, || 2).map(drop)?)),
    ("queue put", |io, _| Ok(Queue::new(1).put(io, &mut [1].into(), 1).map(drop)?)),
    ("queue put of nothing", |io, _| Ok(Queue::<u32>::new(1).put(io, &mut [].into(), 0).map(drop)?)),
    ("queue get", |io, _| Ok(Queue::<u32>::new(1).get(io, &mut Vec::new(), 0, 1).map(drop)?)),
    ("broadcast recv", |io, _| {
        let (sender, mut receiver) = broadcast::channel(1);
        sender.send(1).expect("there is a receiver");
        Ok(receiver.recv(io).map(drop)?)
    }),
    ("watch changed", |io, _| {
        let (sender, mut receiver) = watch::channel(1);
        sender.send(2);
        Ok(receiver.changed(io).map(drop)?)
    }),
    ("send", |io, ready| Ok(ready.sender.send(io, 1)?)),
    ("reserve", |io, ready| Ok(ready.sender.reserve(io).map(drop)?)),
    ("recv", |io, ready| Ok(ready.receiver.recv(io).map(drop)?)),
    ("group wait", |io, _| {
        let Ok(waited) = io.group(|group| Ok::<_, Infallible>(group.wait(io)));
        Ok(waited?)
    }),
    ("spawn_waiting", |io, _| Ok(io.spawn_waiting(|_| ()).map(|task| task.join(io))?)),
    ("peek", |io, ready| ready.stream.peek(io, &mut [0]).map(drop)),
    ("read", |io, ready| ready.stream.read(io, &mut [0]).map(drop)),
    ("read_vectored", |io, ready| ready.stream.read_vectored(io, &mut [io::IoSliceMut::new(&mut [0])]).map(drop)),
    ("read_exact", |io, ready| ready.stream.read_exact(io, &mut [0])),
    ("write", |io, ready| ready.stream.write(io, b"x").map(drop)),
    ("write_vectored", |io, ready| ready.stream.write_vectored(io, &[io::IoSlice::new(b"x")]).map(drop)),
    ("write_all", |io, ready| ready.stream.write_all(io, b"x")),
    ("set_option", |io, ready| ready.stream.set_option(io, option::NO_DELAY, true)),
    ("option", |io, ready| ready.stream.option(io, option::NO_DELAY).map(drop)),
    ("local_addr", |io, ready| ready.stream.local_addr(io).map(drop)),
    ("peer_addr", |io, ready| ready.stream.peer_addr(io).map(drop)),
    ("shutdown", |io, ready| ready.stream.shutdown(io, Shutdown::Write)),
    ("bind", |io, _| TcpListener::bind(io, "127.0.0.1:0").map(drop)),
    ("connect", |io, ready| TcpStream::connect(io, ready.address).map(drop)),
    ("accept", |io, ready| ready.listener.accept(io).map(drop)),
    ("resolve", |io, _| iolite_io::net::resolve(io, "localhost", 1).map(drop)),
    ("readable", |io, ready| ready.stream.readable(io)),
    ("writable", |io, ready| ready.stream.writable(io)),
    ("udp bind", |io, _| UdpSocket::bind(io, "127.0.0.1:0").map(drop)),
    ("udp connect", |io, ready| ready.udp.connect(io, ready.udp.local_addr(io)?)),
    ("udp send", |io, ready| ready.udp.send(io, b"x").map(drop)),
    ("udp send_to", |io, _| UdpSocket::bind(io, "127.0.0.1:0")?.send_to(io, b"x", "127.0.0.1:9").map(drop)),
    ("udp recv", |io, ready| ready.udp.recv(io, &mut [0; 8]).map(drop)),
    ("udp recv_from", |io, ready| ready.udp.recv_from(io, &mut [0; 8]).map(drop)),
    ("udp peek_from", |io, ready| ready.udp.peek_from(io, &mut [0; 8]).map(drop)),
    ("send_many", |io, ready| ready.udp.send_many(io, &[OutgoingMessage { bytes: b"x", to: None }]).map(drop)),
    ("recv_many", |io, ready| ready.udp.recv_many(io, &mut [Message::with_room(8)]).map(drop)),
    ("unix bind", |io, _| UnixDatagram::bind(io, iolite_io::net::UnixAddress::unnamed()).map(drop)),
    ("unix pair", |io, _| UnixStream::pair(io).map(drop)),
    ("unix read", |io, ready| ready.unix.read(io, &mut [0]).map(drop)),
    ("unix write", |io, ready| ready.unix.write(io, b"x").map(drop)),
    ("unix send", |io, ready| ready.datagram.send(io, b"x").map(drop)),
    ("send_with_fds", |io, ready| ready.unix.send_with_fds(io, b"x", &[ready.file.as_fd()]).map(drop)),
    ("recv_with_fds", |io, ready| ready.unix.recv_with_fds(io, &mut [0], 1).map(drop)),
    ("peer_credentials", |io, ready| ready.unix.peer_credentials(io).map(drop)),
    ("socket", |io, _| Socket::new(io, 2.into(), 1.into(), 0).map(drop)),
    ("open", |io, ready| File::open(io, ready.folder.path().join("file")).map(drop)),
    ("file read", |io, ready| ready.file.read(io, &mut [0; 4]).map(drop)),
    ("file read_at", |io, ready| ready.file.read_at(io, &mut [0; 4], 0).map(drop)),
    ("file write", |io, ready| ready.file.write(io, b"x").map(drop)),
    ("file write_at", |io, ready| ready.file.write_at(io, b"x", 3).map(drop)),
    ("read_to_end", |io, ready| ready.file.read_to_end(io, &mut Vec::new()).map(drop)),
    ("seek", |io, ready| ready.file.seek(io, io::SeekFrom::Start(0)).map(drop)),
    ("set_len", |io, ready| ready.file.set_len(io, 4)),
    ("len", |io, ready| ready.file.len(io).map(drop)),
    ("sync_all", |io, ready| ready.file.sync_all(io)),
    ("sync_data", |io, ready| ready.file.sync_data(io)),
    ("with", |io, ready| ready.file.with(io).write(b"x").map(drop)),
];

/// A call on something that is ready delivers an earlier request, and has its effect the next time.
pub(crate) fn delivers_a_request_once<R: Sync>(
    io: &dyn Io,
    name: &str,
    ready: &R,
    point: fn(&dyn Io, &R) -> io::Result<()>,
) {
    let go = Event::new();
    scope(io, |group| {
        let member = concurrently(group, |io| {
            go.wait_uncancelable(io);
            (point(io, ready), point(io, ready))
        });
        member.request_cancel();
        go.set();
        let (first, second) = member.join(io);
        let error = first.err().unwrap_or_else(|| panic!("{name} is no cancellation point"));
        assert!(Canceled::is_in(&error), "{name}: {error}");
        assert_ne!(error.kind(), io::ErrorKind::Interrupted, "{name}: std's helpers would retry it");
        second.unwrap_or_else(|error| panic!("{name}: the request was delivered: {error}"));
    });
}

fn each_call_delivers_a_pending_request_once(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            delivers_a_request_once(io, name, &Ready::new(io), *point);
        }
    });
}

fn each_call_delivers_tear_down_every_time(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            let ready = Ready::new(io);
            let ready = &ready;
            let result: Result<(), &str> = io.group(|group| {
                drop(concurrently(group, |io| {
                    io.sleep(LONG).expect_canceled("torn down");
                    for _ in 0..3 {
                        let error = point(io, ready).err().unwrap_or_else(|| panic!("{name} is no point"));
                        assert!(Canceled::is_in(&error), "{name}: {error}");
                    }
                    io.shield(|io| point(io, ready)).unwrap_or_else(|error| panic!("{name}: protected: {error}"));
                }));
                Err("tear down")
            });
            result.expect_err("the body's");
        }
    });
}

/// A timeout's request is delivered like any other, and only once.
fn each_call_delivers_a_timeout_that_has_passed(on: &On) {
    on.run(|io| {
        for (name, point) in POINTS {
            let ready = Ready::new(io);
            let result = io.timeout(Duration::ZERO, |io| {
                let error = point(io, &ready).err().unwrap_or_else(|| panic!("{name} is no cancellation point"));
                point(io, &ready).unwrap_or_else(|error| panic!("{name}: delivered once: {error}"));
                Err::<(), _>(error)
            });
            assert_eq!(result.expect_err(name).kind(), io::ErrorKind::TimedOut, "{name}");
        }
    });
}

/// Things on which every call has to wait.
struct Blocked {
    mutex: Mutex<()>,
    written: RwLock<()>,
    event: Event,
    semaphore: Semaphore,
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    stream: TcpStream,
    listener: TcpListener,
    /// The address of a listener whose queue is full, so that a connection waits for an `accept`.
    full: SocketAddr,
    udp: UdpSocket,
    unix: UnixStream,
    _unix_peer: UnixStream,
    _full: (TcpListener, Vec<TcpStream>),
    _peer: TcpStream,
}

impl Blocked {
    fn new(io: &dyn Io) -> Self {
        let (sender, _) = channel(0);
        let (_, receiver) = channel(0);
        let (stream, peer) = tcp_pair(io);
        // Sizes that were set do not grow by themselves, so the buffer stays full.
        stream.set_option(io, option::SEND_BUFFER_SIZE, 16 << 10).expect("set");
        peer.set_option(io, option::RECEIVE_BUFFER_SIZE, 16 << 10).expect("set");
        fill(io, &stream);
        let (full, full_address, waiting) = full_listener(io);
        let (unix, unix_peer) = UnixStream::pair(io).expect("pair");
        Self {
            mutex: Mutex::new(()),
            written: RwLock::new(()),
            event: Event::new(),
            semaphore: Semaphore::new(0),
            sender,
            receiver,
            stream,
            listener: TcpListener::bind(io, "127.0.0.1:0").expect("bind"),
            full: full_address,
            udp: UdpSocket::bind(io, "127.0.0.1:0").expect("bind"),
            unix,
            _unix_peer: unix_peer,
            _full: (full, waiting),
            _peer: peer,
        }
    }
}

type BlockedPoint = fn(&dyn Io, &Blocked) -> io::Result<()>;

const BLOCKED_POINTS: &[(&str, BlockedPoint)] = &[
    ("sleep", |io, _| Ok(io.sleep(LONG)?)),
    ("lock", |io, blocked| Ok(blocked.mutex.lock(io).map(drop)?)),
    ("event wait", |io, blocked| Ok(blocked.event.wait(io)?)),
    ("acquire", |io, blocked| Ok(blocked.semaphore.acquire(io).map(drop)?)),
    ("acquire_many", |io, blocked| Ok(blocked.semaphore.acquire_many(io, 3).map(drop)?)),
    ("condvar wait", |io, _| Ok(Condvar::new().wait(io, &mut Mutex::new(()).lock_uncancelable(io))?)),
    ("rwlock read", |io, blocked| Ok(blocked.written.read(io).map(drop)?)),
    ("rwlock write", |io, blocked| Ok(blocked.written.write(io).map(drop)?)),
    ("barrier wait", |io, _| Ok(Barrier::new(2).wait(io).map(drop)?)),
    ("notify wait", |io, _| Ok(Notify::new().wait(io)?)),
    ("get_or_init, whose initialiser waits", |io, _| {
        Ok(OnceLock::new().get_or_try_init(io, || io.sleep(LONG)).copied()?)
    }),
    ("queue put", |io, _| Ok(Queue::new(0).put(io, &mut [1].into(), 1).map(drop)?)),
    ("queue get", |io, _| Ok(Queue::<u32>::new(1).get(io, &mut Vec::new(), 1, 1).map(drop)?)),
    ("peek", |io, blocked| blocked.stream.peek(io, &mut [0]).map(drop)),
    ("read", |io, blocked| blocked.stream.read(io, &mut [0]).map(drop)),
    ("read_vectored", |io, blocked| blocked.stream.read_vectored(io, &mut [io::IoSliceMut::new(&mut [0])]).map(drop)),
    ("read_exact", |io, blocked| blocked.stream.read_exact(io, &mut [0; 10])),
    ("write", |io, blocked| blocked.stream.write(io, &[0; 100_000]).map(drop)),
    ("write_vectored", |io, blocked| blocked.stream.write_vectored(io, &[io::IoSlice::new(&[0; 100_000])]).map(drop)),
    ("write_all", |io, blocked| blocked.stream.write_all(io, &[0; 100_000])),
    ("accept", |io, blocked| blocked.listener.accept(io).map(drop)),
    ("connect", |io, blocked| TcpStream::connect(io, blocked.full).map(drop)),
    ("readable", |io, blocked| blocked.stream.readable(io)),
    ("writable", |io, blocked| blocked.stream.writable(io)),
    ("listener readable", |io, blocked| blocked.listener.readable(io)),
    ("udp recv_from", |io, blocked| blocked.udp.recv_from(io, &mut [0]).map(drop)),
    ("udp peek", |io, blocked| blocked.udp.peek(io, &mut [0]).map(drop)),
    ("recv_many", |io, blocked| blocked.udp.recv_many(io, &mut [Message::with_room(8)]).map(drop)),
    ("unix read", |io, blocked| blocked.unix.read(io, &mut [0]).map(drop)),
    ("recv_with_fds", |io, blocked| blocked.unix.recv_with_fds(io, &mut [0], 1).map(drop)),
];

/// Channels close when an end is dropped, so they have pairs of their own.
fn blocked_channel_points() -> Vec<(&'static str, BlockedPoint)> {
    vec![
        ("send", |io, _| {
            let (sender, _receiver) = channel(0);
            Ok(sender.send(io, 1)?)
        }),
        ("send_deadline", |io, _| {
            let (sender, _receiver) = channel(0);
            Ok(io.timeout_at(io.now() + LONG, |io| sender.send(io, 1))?)
        }),
        ("reserve", |io, _| {
            let (sender, _receiver) = channel(1);
            sender.try_send(1).expect("room");
            Ok(sender.reserve(io).map(drop)?)
        }),
        ("recv", |io, _| {
            let (_sender, receiver) = channel::<u32>(1);
            Ok(receiver.recv(io).map(drop)?)
        }),
        ("recv_deadline", |io, _| {
            let (_sender, receiver) = channel::<u32>(1);
            Ok(io.timeout_at(io.now() + LONG, |io| receiver.recv(io)).map(drop)?)
        }),
        ("broadcast recv", |io, _| {
            let (_sender, mut receiver) = broadcast::channel::<u32>(1);
            Ok(receiver.recv(io).map(drop)?)
        }),
        ("broadcast recv_deadline", |io, _| {
            let (_sender, mut receiver) = broadcast::channel::<u32>(1);
            Ok(io.timeout_at(io.now() + LONG, |io| receiver.recv(io)).map(drop)?)
        }),
        ("watch changed", |io, _| {
            let (_sender, mut receiver) = watch::channel(1);
            Ok(receiver.changed(io).map(drop)?)
        }),
        ("watch changed_deadline", |io, _| {
            let (_sender, mut receiver) = watch::channel(1);
            Ok(io.timeout_at(io.now() + LONG, |io| receiver.changed(io)).map(drop)?)
        }),
    ]
}

fn each_call_is_canceled_while_it_is_blocked(on: &On) {
    on.on_thread(|io| {
        let blocked = Blocked::new(io);
        let _held = (blocked.mutex.try_lock().expect("free"), blocked.written.try_write().expect("free"));
        for (name, point) in BLOCKED_POINTS.iter().copied().chain(blocked_channel_points()) {
            for round in 0..10 {
                let started = Event::new();
                scope(io, |group| {
                    let member = concurrently(group, |io| {
                        started.set();
                        (point(io, &blocked), io.check_cancel())
                    });
                    started.wait_uncancelable(io);
                    // The request comes before the call blocks, while it does, and long after.
                    io.sleep(Duration::from_micros(round * 40)).expect("nobody cancels this thread");
                    let (first, second) = member.cancel(io);
                    let error = first.err().unwrap_or_else(|| panic!("{name} succeeded"));
                    assert!(Canceled::is_in(&error), "{name}: {error}");
                    second.unwrap_or_else(|_| panic!("{name}: the request was delivered twice"));
                });
            }
        }
    });
}

/// A timeout ends a blocked call, in the calling task and in one that was started within it.
fn each_call_is_timed_out_while_it_is_blocked(on: &On) {
    on.run(|io| {
        let blocked = Blocked::new(io);
        let _held = (blocked.mutex.try_lock().expect("free"), blocked.written.try_write().expect("free"));
        let time = Duration::from_millis(3);
        for (name, point) in BLOCKED_POINTS.iter().copied().chain(blocked_channel_points()) {
            let begin = io.now();
            let error = io.timeout(time, |io| point(io, &blocked)).expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}: {error}");
            assert!(io.now() >= begin + time, "{name}: too early");

            let error = io
                .timeout(time, |io| scope(io, |group| concurrently(group, |io| point(io, &blocked)).join(io)))
                .expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name} in a member: {error}");
        }
    });
}

/// `Blocked` has channel ends whose other ends are dropped: those calls end by themselves.
fn a_closed_channel_blocks_nobody(on: &On) {
    on.run(|io| {
        let blocked = Blocked::new(io);
        blocked.sender.send(io, 1).expect_err("nobody receives");
        blocked.receiver.recv(io).expect_err("nobody sends");
    });
}

/// Uncancelable forms leave the request pending.
fn uncancelable_forms_leave_the_request_pending(on: &On) {
    on.on_thread(|io| {
        let (mutex, semaphore, event) = (Mutex::new(()), Semaphore::new(0), Event::new());
        let (sender, receiver) = channel(0);
        let held = mutex.try_lock().expect("free");
        scope(io, |group| {
            let locker = concurrently(group, |io| (drop(mutex.lock_uncancelable(io)), io.check_cancel()).1);
            let acquirer = concurrently(group, |io| (drop(semaphore.acquire_uncancelable(io)), io.check_cancel()).1);
            let waiter = concurrently(group, |io| (event.wait_uncancelable(io), io.check_cancel()).1);
            let sending = concurrently(group, |io| (sender.send_uncancelable(io, 5), io.check_cancel()));
            locker.request_cancel();
            acquirer.request_cancel();
            waiter.request_cancel();
            sending.request_cancel();
            drop(held);
            semaphore.add_permits(1);
            event.set();
            assert_eq!(receiver.recv_uncancelable(io).expect("sent"), 5);
            for member in [locker, acquirer, waiter] {
                member.join(io).expect_canceled("still pending");
            }
            let (sent, checked) = sending.join(io);
            sent.expect("received");
            checked.expect_canceled("still pending");
        });
        assert!(mutex.try_lock().is_some());
        assert_eq!(semaphore.available(), 1);
    });
}
