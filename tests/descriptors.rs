//! Running out of descriptors is an error from which programs recover, and no descriptor is lost. The test has a
//! process of its own, because the number of descriptors belongs to the process.

mod support;

use std::fs::File as StdFile;
use std::io::{self, Read};
use std::net;
use std::process::ExitCode;
use std::process::{Command, Stdio};
use std::time::Duration;

use iolite::evented::{self, Evented};
use iolite::fs::{self, File};
use iolite::net::{
    ConnectOptions, Domain, ListenOptions, Socket, SocketType, TcpListener, TcpStream, UdpSocket, UnixStream,
};
use iolite::signal::{self, Signal, Signals};
use iolite::sync::Event;
use iolite::time::Clock;
use iolite::{
    Canceled, Io, copy, process,
    select::{OneOf2, OneOf3},
    stdio,
};
use iolite_conformance::tools::{
    Random, Watchdog, concurrently, full_listener, note, refusing, rounds, scope, spin, started, tcp_pair, until,
};
use iolite_conformance::{Case, On, cases, run_one_by_one, whole};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::process::{Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, setrlimit, waitid};

const CASES: &[Case] = cases![
    no_descriptor_is_an_error_that_passes,
    accepting_without_descriptors_waits_for_somebody,
    a_bare_loop_around_accept_does_not_spin_without_descriptors,
    a_program_without_descriptors_is_not_left_behind,
    signals_and_timers_without_descriptors_are_errors,
    copies_need_no_descriptors,
    canceled_copies_lose_none,
    incoming_connections_survive_a_lack_of_descriptors,
    files_without_descriptors,
    canceled_calls_on_files_lose_none,
    canceled_incoming_connections_lose_none,
    dropped_incoming_connections_lose_none,
    canceled_connects_lose_none,
    races_of_addresses_lose_none,
    canceled_accepts_lose_none,
    canceled_passing_of_descriptors_loses_none,
    canceled_opens_lose_none,
    timed_out_connects_lose_none,
    runtimes_that_come_and_go_lose_none,
    refused_tasks_lose_none,
    there_is_room_for_many,
    waits_for_signals_and_programs_need_no_descriptor,
    canceled_waits_for_signals_and_programs_lose_none,
];
const WHOLE: &[Case] = whole![evented_without_descriptors_says_why];

fn main() -> ExitCode {
    run_one_by_one(support::subjects(), &[CASES, WHOLE])
}

const EMFILE: i32 = 24;

/// Limits the number of descriptors that the process may have, until it is dropped.
struct Limited {
    before: Rlimit,
}

impl Limited {
    fn to(limit: u64) -> Self {
        let before = getrlimit(Resource::Nofile);
        let limit = before.maximum.map_or(limit, |maximum| maximum.min(limit));
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: before.maximum }).expect("lowered");
        Self { before }
    }

    /// Takes every descriptor up to the limit.
    fn exhausted(self) -> Exhausted {
        Exhausted { held: std::iter::from_fn(|| StdFile::open("/dev/null").ok()).collect(), _limited: self }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).expect("as it was");
    }
}

/// Holds every descriptor that the process may have, until it is dropped.
struct Exhausted {
    held: Vec<StdFile>,
    _limited: Limited,
}

impl Exhausted {
    fn new() -> Self {
        Limited::to(256).exhausted()
    }

    /// Leaves this number of descriptors free.
    fn but(free: usize) -> Self {
        let mut exhausted = Self::new();
        exhausted.held.truncate(exhausted.held.len() - free);
        exhausted
    }
}

/// A large limit from the beginning, so that no call has to wait until the kernel enlarges its table.
fn there_is_room_for_many(on: &On) {
    on.run(|io| {
        let status = fs::read_to_string(io, "/proc/self/status").expect("read");
        let room = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("the size of the table");
        let may_have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(room.trim().parse::<u64>().expect("a number") >= may_have.min(16_384), "{room} of {may_have}");
    });
}

fn no_descriptor_is_an_error_that_passes(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        // After this, the descriptors that a backend opens on first use are open.
        let stream = TcpStream::connect(io, address).expect("connect");
        let (accepted, _) = listener.accept(io).expect("accept");
        let waiting = net::TcpStream::connect(address).expect("connect");

        let exhausted = Exhausted::new();
        for _ in 0..20 {
            let errors = [
                listener.accept(io).map(drop),
                TcpStream::connect(io, address).map(drop),
                TcpListener::bind(io, "127.0.0.1:0").map(drop),
                File::open(io, "/dev/null").map(drop),
            ];
            for (number, result) in errors.into_iter().enumerate() {
                let error = result.expect_err("no descriptor is left");
                assert_eq!(error.raw_os_error(), Some(EMFILE), "{number}: {error}");
            }
        }
        // Open descriptors still work.
        stream.write_all(io, b"x").expect("sent");
        assert_eq!(accepted.read(io, &mut [0; 4]).expect("received"), 1);
        drop(exhausted);

        let (_, peer) = listener.accept(io).expect("the connection waited");
        assert_eq!(peer, waiting.local_addr().expect("address"));
    });
}

/// A connection that does not exist needs no number.
fn accepting_without_descriptors_waits_for_somebody(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let mut incoming = listener.incoming(io);
        // After this, the descriptors that a backend opens on first use are open.
        io.timeout(Duration::from_millis(1), |io| listener.accept(io)).map(drop).expect_err("nobody is there");
        let client = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
        // The limit is high enough for a backend that accepts ahead when there are many connections.
        let exhausted = Limited::to(4200).exhausted();
        let accept = |io: &dyn Io| listener.accept(io).map(drop);
        let waited = io.timeout(Duration::from_millis(2), accept).expect_err("nobody is there");
        assert_eq!(waited.kind(), io::ErrorKind::TimedOut, "{waited}");
        let waited =
            io.timeout(Duration::from_millis(2), |io| incoming.next(io)).map(drop).expect_err("nobody is there");
        assert_eq!(waited.kind(), io::ErrorKind::TimedOut, "{waited}");
        scope(io, |group| {
            let waits = started(group, io, accept);
            client.connect(io, address).expect("connect");
            assert_eq!(waits.join(io).expect_err("somebody is there").raw_os_error(), Some(EMFILE));
        });
        assert_eq!(incoming.next(io).map(drop).expect_err("somebody is there").raw_os_error(), Some(EMFILE));
        drop(exhausted);
        incoming.next(io).expect("the connection waited");
    });
}

/// However many descriptors are left: the program runs, or an error says why not, and neither a program nor a
/// descriptor stays behind.
fn a_program_without_descriptors_is_not_left_behind(on: &On) {
    on.run(|io| {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = || process::spawn(io, &mut command)?.wait_with_output(io);
        // After this, everything that is opened once is open.
        run().expect("enough are left");
        let before = open_descriptors();
        let mut ran = 0;
        for free in 0..20 {
            let exhausted = Exhausted::but(free);
            match run() {
                Ok(_) => ran += 1,
                Err(error) => assert_eq!(errno(&error), Some(EMFILE), "{free} left: {error}"),
            }
            drop(exhausted);
            until(io, || !has_children());
            until(io, || open_descriptors() == before);
        }
        assert!((1..20).contains(&ran), "{ran} of 20 ran");
        // Starting it needs no descriptor, but waiting for it does.
        let exhausted = Exhausted::new();
        let error = process::spawn(io, Command::new("sleep").arg("infinity")).expect_err("it cannot be waited for");
        assert_eq!(errno(&error), Some(EMFILE), "{error}");
        assert!(!has_children());
        drop(exhausted);
    });
}

/// Returns the system's error of an error or of its source.
fn errno(error: &io::Error) -> Option<i32> {
    let source = || error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error();
    error.raw_os_error().or_else(source)
}

/// Returns true if a program that this process has started runs, or has ended and was not waited for.
fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(Errno::CHILD))
}

fn signals_and_timers_without_descriptors_are_errors(on: &On) {
    on.run(|io| {
        let exhausted = Exhausted::new();
        let errors = [
            Signals::new([Signal::USER1]).map(drop),
            signal::ctrl_c(io),
            io.sleep_until_time(Clock::Boot, Duration::MAX),
            stdio::pipe().map(drop),
        ];
        for (number, result) in errors.into_iter().enumerate() {
            assert_eq!(result.expect_err("no descriptor is left").raw_os_error(), Some(EMFILE), "{number}");
        }
        drop(exhausted);
    });
}

/// Large copies use a pipe if one can be made; otherwise they use memory.
fn copies_need_no_descriptors(on: &On) {
    let content = large_content();
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let (_folder, file) = large_file(&content);
        let file = File::from(file);
        let before = open_descriptors();
        let exhausted = Exhausted::new();
        scope(io, |group| {
            let sent = concurrently(group, |io| {
                let count = near.send_file(io, &file, 0..content.len() as u64)?;
                near.shutdown(io, net::Shutdown::Write).map(|()| count)
            });
            let mut received = Vec::new();
            far.with(io).read_to_end(&mut received).expect("received");
            assert_eq!(sent.join(io).expect("sent"), content.len() as u64);
            assert!(received == content);
        });
        drop(exhausted);
        assert_eq!(open_descriptors(), before);
    });
}

fn large_content() -> Vec<u8> {
    (0..=250).cycle().take(4 << 20).collect()
}

fn large_file(content: &[u8]) -> (tempfile::TempDir, StdFile) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, content).expect("written");
    (folder, StdFile::open(path).expect("opened"))
}

fn canceled_copies_lose_none(on: &On) {
    let (_folder, file) = large_file(&large_content());
    loses_none(on, "copy", |io, random| {
        let file = File::from(file.try_clone().expect("a duplicate"));
        let (near, far) = tcp_pair(io);
        scope(io, |group| {
            drop(concurrently(group, |io| copy(io, &far, &File::create(io, "/dev/null").expect("opened"))));
            let _ = cancel_soon(io, random, |io| near.send_file(io, &file, 0..4 << 20));
            near.shutdown(io, net::Shutdown::Write).expect("finished");
        });
    });
}

/// Connections keep coming, even without a descriptor: the error is returned, the next call pauses, and no waiting
/// connection is lost.
/// Counts the calls that fail while a connection is in the queue and nobody frees a descriptor.
fn a_bare_loop_around_accept_does_not_spin_without_descriptors(on: &On) {
    const PAUSE: Duration = Duration::from_millis(10);
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let _warm = (net::TcpStream::connect(address).expect("connect"), listener.accept(io).expect("accept"));
        let waiting = net::TcpStream::connect(address).expect("in the queue");

        let exhausted = Exhausted::new();
        let begin = std::time::Instant::now();
        let mut calls = 0_u128;
        let error = io
            .timeout(10 * PAUSE, |io| -> io::Result<()> {
                loop {
                    match listener.accept(io) {
                        Err(error) if Canceled::is_in(&error) => return Err(error),
                        result => assert_eq!(result.expect_err("no descriptor is left").raw_os_error(), Some(EMFILE)),
                    }
                    calls += 1;
                }
            })
            .expect_err("nobody makes room");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "the pause is a cancellation point");
        let most = begin.elapsed().as_millis() / PAUSE.as_millis();
        assert!(calls <= most, "{calls} calls in {most} pauses");
        drop(exhausted);

        let (_, peer) = listener.accept(io).expect("the connection waited");
        assert_eq!(peer, waiting.local_addr().expect("address"));
    });
}

fn incoming_connections_survive_a_lack_of_descriptors(on: &On) {
    on.in_task(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let mut incoming = listener.incoming(io);
        // Operations in flight in the kernel keep the limit with which they began, so the limit comes first. With a
        // lower limit, nothing would be in flight.
        let limited = Limited::to(4096);
        let warm = net::TcpStream::connect(address).expect("connect");
        drop(incoming.next(io).expect("a connection"));
        let mut clients: Vec<_> = (0..5).map(|_| socket()).collect();

        let exhausted = limited.exhausted();
        clients.iter_mut().for_each(|client| rustix::net::connect(&*client, &address).expect("in the queue"));
        let begin = std::time::Instant::now();
        for _ in 0..5 {
            let error = incoming.next(io).expect_err("no descriptor is left");
            assert_eq!(error.raw_os_error(), Some(EMFILE), "{error}");
        }
        assert!(begin.elapsed() >= Duration::from_millis(5 + 10 + 20 + 40), "it does not spin");
        drop(exhausted);

        for client in &clients {
            let stream = incoming.next(io).expect("it waited");
            let expected = net::SocketAddr::try_from(rustix::net::getsockname(client).expect("name")).expect("TCP");
            assert_eq!(stream.peer_addr(io).expect("address"), expected);
        }
        drop(warm);
    });
}

/// Calls that need descriptors of their own fail with the right error and leave no file behind; calls that need none
/// work.
fn files_without_descriptors(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("a/b")).expect("made");
        std::fs::write(folder.path().join("a/b/file"), "content").expect("written");
        let dir = fs::Dir::open(io, folder.path()).expect("opened");
        let file = File::open(io, dir.at("a/b/file")).expect("opened");
        let new = fs::AtomicFile::create(io, dir.at("new")).expect("made");
        // After this, the threads of the pools exist.
        file.try_lock_shared(io).expect("free");
        let before = open_descriptors();

        let exhausted = Exhausted::new();
        let errors = [
            fs::read(io, dir.at("a/b/file")).map(drop),
            fs::write(io, dir.at("other"), "x"),
            fs::write_atomic(io, dir.at("other"), "x"),
            fs::copy(io, dir.at("a/b/file"), dir.at("other")).map(drop),
            fs::temp_file(io, folder.path()).map(drop),
            fs::read_dir(io, folder.path()).map(drop),
            fs::remove_dir_all(io, dir.at("a")),
            fs::metadata(io, dir.at("a")).map(drop),
            fs::rename(io, dir.at("a/b/file"), dir.at("file")),
            fs::Dir::open(io, dir.at("a")).map(drop),
            file.try_clone().map(drop),
        ];
        for (number, result) in errors.into_iter().enumerate() {
            let error = result.expect_err("no descriptor is left");
            assert_eq!(error.raw_os_error(), Some(EMFILE), "{number}: {error}");
        }
        assert_eq!(file.len(io).expect("told"), 7);
        file.lock(io).expect("nobody else has one");
        fs::create_dir(io, dir.at("made")).expect("made");
        fs::rename_noreplace(io, dir.at("made"), dir.at("b")).expect("renamed");
        fs::remove_dir(io, dir.at("b")).expect("removed");
        assert_eq!(io.offload(|| 1).expect("run"), 1);
        new.file().write_all(io, b"new").expect("written");
        new.commit(io).expect("it has all that it needs");
        drop(exhausted);

        assert_eq!(open_descriptors(), before - 2, "the new file and its folder are closed");
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).expect("opened").map(|entry| entry.expect("read").file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "new"]);
    });
}

fn canceled_calls_on_files_lose_none(on: &On) {
    loses_none(on, "files", |io, random| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("a/b/c")).expect("made");
        std::fs::write(folder.path().join("a/b/file"), "content").expect("written");
        let dir = fs::Dir::open(io, folder.path()).expect("opened");
        let _ = cancel_soon(io, random, |io| {
            fs::copy(io, dir.at("a/b/file"), dir.at("a/copy"))?;
            fs::write_atomic(io, dir.at("a/copy"), "new")?;
            fs::temp_file(io, dir.at("a"))?.write_all(io, b"x")?;
            fs::read_dir(io, dir.at("a/b"))?.try_for_each(|entry| entry.map(drop))?;
            fs::remove_dir_all(io, dir.at("a"))
        });
    });
}

fn socket() -> OwnedFd {
    rustix::net::socket(AddressFamily::INET, rustix::net::SocketType::STREAM, None).expect("a descriptor")
}

fn canceled_incoming_connections_lose_none(on: &On) {
    loses_none(on, "incoming", |io, random| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let clients = [(); 3].map(|()| net::TcpStream::connect(address).expect("connect"));
        let mut incoming = listener.incoming(io);
        let mut accepted: Vec<_> = cancel_soon(io, random, |io| incoming.next(io)).into_iter().collect();
        accepted.extend(incoming.stop(io).into_iter().map(|stream| stream.expect("a connection")));
        while accepted.len() < clients.len() {
            accepted.push(listener.accept(io).expect("it still waits").0);
        }
        for (stream, client) in accepted.iter().zip(&clients) {
            assert_eq!(stream.peer_addr(io).expect("address"), client.local_addr().expect("address"));
        }
    });
}

/// A connection that is accepted after nobody wants it any more is closed.
fn dropped_incoming_connections_lose_none(on: &On) {
    let mut random = Random::new("dropped");
    let mut life = |rounds: usize| {
        on.on_thread(|io| {
            for _ in 0..rounds {
                let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
                let address = listener.local_addr(io).expect("address");
                let mut incoming = listener.incoming(io);
                let client = net::TcpStream::connect(address).expect("connect");
                drop(cancel_soon(io, &mut random, |io| incoming.next(io)));
                let late = net::TcpStream::connect(address).expect("connect");
                drop(incoming);
                drop((client, late));
            }
        });
    };
    life(10);
    let before = open_descriptors();
    life(rounds(500));
    assert_eq!(open_descriptors(), before);
}

/// A backend that cannot be made is an error with its cause and not a panic, and leaves nothing behind.
fn evented_without_descriptors_says_why() {
    let _watchdog = Watchdog::start();
    drop(support::evented().start());
    let before = open_descriptors();
    let exhausted = Exhausted::new();
    let error = Evented::new(evented::Options::default()).expect_err("no descriptor is left");
    drop(exhausted);
    assert!(error.to_string().len() > 10, "{error}");
    note(format_args!("{error}"));
    assert_eq!(open_descriptors(), before);
}

/// Returns the number of descriptors that the process has open.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

/// Runs `round` many times with a warm runtime, and compares the descriptors before and after. It is for a test that is
/// [`alone`] before it opens anything.
fn loses_none(on: &On, name: &str, round: impl Fn(&dyn Io, &mut Random)) {
    let mut random = Random::new(name);
    on.on_thread(|io| {
        round(io, &mut random);
        let before = open_descriptors();
        for _ in 0..rounds(500) {
            round(io, &mut random);
        }
        assert_eq!(open_descriptors(), before, "{name}");
    });
}

/// Cancels a member after a random time; the member may have succeeded by then.
fn cancel_soon<T: Send>(
    io: &dyn Io,
    random: &mut Random,
    body: impl FnOnce(&dyn Io) -> io::Result<T> + Send,
) -> Option<T> {
    let started = Event::new();
    scope(io, |group| {
        let member = concurrently(group, |io| {
            started.set();
            body(io)
        });
        started.wait_uncancelable(io);
        spin(Duration::from_nanos(random.below(60_000)));
        match member.cancel(io) {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(Canceled::is_in(&error), "{error}");
                None
            }
        }
    })
}

fn canceled_connects_lose_none(on: &On) {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    loses_none(on, "connect", |io, random| {
        let connected = cancel_soon(io, random, |io| TcpStream::connect(io, address));
        listener.set_nonblocking(true).expect("set");
        // The canceled connections may have reached the backlog.
        while listener.accept().is_ok() {}
        drop(connected);
    });
}

/// The losers of a race between addresses are closed, and if the race is canceled, all connections are.
fn races_of_addresses_lose_none(on: &On) {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("set");
    let good = listener.local_addr().expect("address");
    let options = ConnectOptions { attempt_delay: Duration::ZERO, ..ConnectOptions::default() };
    let other = on.start();
    let (_full, silent, _waiting) = full_listener(other.io());
    let (_held, refused) = refusing(other.io());
    loses_none(on, "race", |io, random| {
        let addresses = [silent, refused, good, good, silent];
        let connected = cancel_soon(io, random, |io| TcpStream::connect_with(io, &addresses[..], &options));
        // All connections except the winner have been closed.
        let winner = connected.as_ref().map(|stream| stream.local_addr(io).expect("address"));
        while let Ok((mut stream, peer)) = listener.accept() {
            stream.set_nonblocking(false).expect("set");
            if Some(peer) != winner {
                assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "{peer} is open");
            }
        }
    });
    other.shutdown();
}

fn canceled_accepts_lose_none(on: &On) {
    loses_none(on, "accept", |io, random| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let client = net::TcpStream::connect(address).expect("connect");
        let accepted = cancel_soon(io, random, |io| listener.accept(io));
        // No side loses it: it was accepted, or is still to be accepted.
        let (_, peer) = accepted.unwrap_or_else(|| listener.accept(io).expect("it still waits"));
        assert_eq!(peer, client.local_addr().expect("address"));
    });
}

/// Whether or not the message was received, its descriptors belong to the receiver or are closed.
fn canceled_passing_of_descriptors_loses_none(on: &On) {
    loses_none(on, "descriptors", |io, random| {
        let (near, far) = UnixStream::pair(io).expect("pair");
        let (reader, writer) = io::pipe().expect("a pipe");
        // Two are sent, but there is room for one.
        let received = scope(io, |group| {
            let sent = concurrently(group, |io| {
                spin(Duration::from_nanos(30_000));
                near.send_with_fds(io, b"x", &[writer.as_fd(), reader.as_fd()])
            });
            let received = cancel_soon(io, random, |io| far.recv_with_fds(io, &mut [0; 4], 1));
            sent.join(io).expect("sent");
            received.unwrap_or_else(|| far.recv_with_fds(io, &mut [0; 4], 1).expect("it is still there"))
        });
        assert_eq!((received.descriptors.len(), received.descriptors_truncated), (1, true));
        // Descriptors that nobody receives are closed with the socket. Those that are received without being asked for
        // are closed at once.
        near.send_with_fds(io, b"xy", &[writer.as_fd()]).expect("sent");
        assert_eq!(far.read(io, &mut [0]).expect("received"), 1);
        near.send_with_fds(io, b"x", &[writer.as_fd()]).expect("sent");
    });
}

fn canceled_opens_lose_none(on: &On) {
    loses_none(on, "open", |io, random| {
        drop(cancel_soon(io, random, |io| File::open(io, "/dev/null")));
        drop(cancel_soon(io, random, |io| TcpListener::bind(io, "127.0.0.1:0")));
        drop(cancel_soon(io, random, UnixStream::pair));
        drop(cancel_soon(io, random, |io| UdpSocket::bind(io, "127.0.0.1:0")));
    });
}

fn timed_out_connects_lose_none(on: &On) {
    on.on_thread(|io| {
        // A full backlog accepts no more connections.
        let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
        let listener = TcpListener::bind_with(io, "127.0.0.1:0", &options).expect("bind");
        let address = listener.local_addr(io).expect("address");
        let connect = |time| io.timeout(Duration::from_millis(time), |io| TcpStream::connect(io, address));
        let _waiting: Vec<_> = std::iter::from_fn(|| connect(50).ok()).collect();
        let before = open_descriptors();
        for _ in 0..30 {
            assert_eq!(connect(1).expect_err("full").kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(open_descriptors(), before);
    });
}

fn runtimes_that_come_and_go_lose_none(on: &On) {
    let _watchdog = Watchdog::start();
    let life = || {
        let runtime = on.start();
        let (client, server) = tcp_pair(runtime.io());
        let reader = runtime.io().spawn_concurrent(move |io| client.read(io, &mut [0]).map(drop));
        reader.expect("concurrent").detach();
        runtime.shutdown();
        drop(server);
    };
    life();
    let before = open_descriptors();
    (0..50).for_each(|_| life());
    assert_eq!(open_descriptors(), before);
}

/// A closure that is dropped without running, or returned, drops its sockets with it.
fn refused_tasks_lose_none(on: &On) {
    on.concurrent_limit(1).on_thread(|io| {
        let go = Event::new();
        scope(io, |group| {
            let holder = concurrently(group, |io| go.wait_uncancelable(io));
            let round = || {
                let (client, server) = tcp_pair(io);
                let error = io.spawn_concurrent(move |io| client.read(io, &mut [0]).map(drop)).expect_err("full");
                drop(error.closure);
                assert_eq!(server.read(io, &mut [0]).expect("the end"), 0);
            };
            round();
            let before = open_descriptors();
            (0..50).for_each(|_| round());
            assert_eq!(open_descriptors(), before);
            go.set();
            holder.join(io);
        });
    });
}

fn waits_for_signals_and_programs_need_no_descriptor(on: &On) {
    on.run(|io| {
        let mut watcher = Signals::new([Signal::CHILD]).expect("watched");
        let mut child = process::spawn(io, Command::new("cat").stdin(Stdio::piped())).expect("spawned");
        let exhausted = Exhausted::new();
        let one = io.select((child.on_wait(), watcher.on_next(), io.now() + Duration::from_millis(1)));
        assert!(matches!(one, Ok(OneOf3::Third(()))));
        drop(child.stdin.take());
        let status = io.select([child.on_wait()]).expect("not canceled").1;
        assert!(status.expect("ended").success());
        assert_eq!(io.select([watcher.on_next()]).expect("not canceled").1.expect("seen"), Signal::CHILD);
        drop(exhausted);
    });
}

fn canceled_waits_for_signals_and_programs_lose_none(on: &On) {
    loses_none(on, "canceled waits for signals and programs", |io, random| {
        let mut watcher = Signals::new([Signal::USER2]).expect("watched");
        let mut child = process::spawn(io, &mut Command::new("true")).expect("spawned");
        let ended = cancel_soon(io, random, |io| match io.select((watcher.on_next(), child.on_wait()))? {
            OneOf2::First(signal) => signal.map(drop),
            OneOf2::Second(status) => status.map(drop),
        });
        let id = child.id();
        drop(child);
        let is_there = || std::path::Path::new(&format!("/proc/{id}")).exists();
        assert!(ended.is_none() || !is_there(), "it was waited for");
        until(io, || !is_there());
    });
}
