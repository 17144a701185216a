//! The cancellation points that are in neither `points` nor `file_points`: calls that consist of others, and those on
//! things that are not sockets, files or locks.

use std::convert::Infallible;
use std::io::{self, IoSlice, IoSliceMut};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use iolite_bridge::Bridge;
use iolite_io::fs::{self, AtomicFile, File, Map, MapAccess, OpenOptions};
use iolite_io::net::{
    BufferPool, ConnectOptions, ListenOptions, Socket, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream,
};
use iolite_io::signal::{Signal, Signals};
use iolite_io::sync::{LazyLock, Once, OnceLock};
use iolite_io::time::Clock;
use iolite_io::{Io, completion::CompletionQueue, copy, copy_at_most, operation::Operation, process, stdio};

use super::points::delivers_a_request_once;
use crate::On;
use crate::case::{Case, cases};
use crate::tools::tcp_pair;

pub(crate) const CASES: &[Case] =
    cases![each_of_the_other_calls_delivers_a_pending_request_once, each_of_the_other_calls_is_timed_out,];

const LONG: Duration = Duration::from_secs(3600);

/// Things on which no call has to wait.
struct Ready {
    bridge: Bridge<()>,
    handle: Arc<dyn Io>,
    folder: tempfile::TempDir,
    file: File,
    stream: TcpStream,
    unix: UnixStream,
    pipe: (stdio::InputStream, stdio::OutputStream),
    /// The peers that the others need to be ready.
    _peers: (TcpStream, UnixStream),
}

impl Ready {
    fn new(io: &dyn Io) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = OpenOptions::new().read(true).write(true).create(true).open(io, folder.path().join("file"));
        let file = file.expect("opened");
        file.write_all_at(io, &[7; 8192], 0).expect("written");
        let (stream, peer) = tcp_pair(io);
        peer.write_all(io, b"some bytes").expect("sent");
        stream.peek(io, &mut [0]).expect("they arrive");
        let (unix, unix_peer) = UnixStream::pair(io).expect("a pair");
        unix_peer.write_all(io, b"some bytes").expect("sent");
        let pipe = stdio::pipe().expect("a pipe");
        pipe.1.write_all(io, b"some bytes").expect("written");
        Self {
            bridge: Bridge::builder("points").start(io).expect("started"),
            handle: io.handle().expect("a runtime's"),
            folder,
            file,
            stream,
            unix,
            pipe,
            _peers: (peer, unix_peer),
        }
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

type Point = fn(&dyn Io, &Ready) -> io::Result<()>;

/// Returns a program that ends by itself.
fn program() -> Command {
    let mut program = Command::new("true");
    program.stdin(Stdio::null());
    program
}

fn listening(io: &dyn Io) -> (TcpListener, TcpStream) {
    // This part is not tested here.
    io.shield(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(io, listener.local_addr(io).expect("bound")).expect("connected");
        client.write_all(io, b"some bytes").expect("sent");
        (listener, client)
    })
}

const POINTS: &[(&str, Point)] = &[
    ("write_all of nothing", |io, ready| ready.stream.write_all(io, &[])),
    ("read_exact of nothing", |io, ready| ready.stream.read_exact(io, &mut [])),
    ("file write_all of nothing", |io, ready| ready.file.write_all(io, &[])),
    ("file read_exact of nothing", |io, ready| ready.file.read_exact(io, &mut [])),
    ("write_all_at of nothing", |io, ready| ready.file.write_all_at(io, &[], 0)),
    ("read_exact_at of nothing", |io, ready| ready.file.read_exact_at(io, &mut [], 0)),
    ("pipe write_all of nothing", |io, ready| ready.pipe.1.write_all(io, &[])),
    ("pipe read_exact of nothing", |io, ready| ready.pipe.0.read_exact(io, &mut [])),
    ("send_file of nothing", |io, ready| ready.stream.send_file(io, &ready.file, 0..0).map(drop)),
    ("send_zero_copy of nothing", |io, ready| ready.stream.send_zero_copy(io, Arc::new([]))),
    ("copy_at_most of nothing", |io, ready| copy_at_most(io, &ready.stream, &ready.unix, 0).map(drop)),
    ("create_dir_all of nothing", |io, _| fs::create_dir_all(io, "")),
    ("tick", |io, _| Ok(io.interval(LONG).tick(io).map(drop)?)),
    ("sleep_until_time", |io, _| io.sleep_until_time(Clock::Real, Duration::ZERO)),
    ("select", |io, _| Ok(io.select((io.now(), io.now())).map(drop)?)),
    ("select of an array", |io, _| Ok(io.select([io.now()]).map(drop)?)),
    ("select next", |io, _| {
        let Ok(next) = io.join_set(|set| {
            set.spawn_async(|_| ());
            Ok::<_, Infallible>(set.next(io).map(drop))
        });
        Ok(next?)
    }),
    ("select next_many", |io, _| {
        let Ok(many) = io.join_set(|set| {
            set.spawn_async(|_| ());
            Ok::<_, Infallible>(set.next_many(io, 1).map(drop))
        });
        Ok(many?)
    }),
    ("batch wait", |io, _| {
        let Ok(awaited) = io.batch(|batch| {
            batch.add(0, Operation::Nop);
            Ok::<_, Infallible>(batch.wait(io))
        });
        Ok(awaited?)
    }),
    ("batch wait_concurrent", |io, _| {
        let Ok(awaited) = io.batch(|batch| {
            batch.add(0, Operation::Nop);
            Ok::<_, Infallible>(batch.wait_concurrent(io))
        });
        awaited
    }),
    ("completion queue wait", |io, ready| {
        let queue = CompletionQueue::<(), ()>::new(ready.handle.clone());
        queue.timer(Duration::ZERO, ());
        Ok(queue.wait(io).map(drop)?)
    }),
    ("completion queue wait_timeout", |io, ready| {
        let queue = CompletionQueue::<(), ()>::new(ready.handle.clone());
        queue.timer(Duration::ZERO, ());
        Ok(queue.wait_timeout(io, LONG).map(drop)?)
    }),
    ("once", |io, _| Ok(Once::new().call_once(io, || ())?)),
    ("cell wait", |io, _| Ok(OnceLock::from(1).wait(io).map(drop)?)),
    ("cell get_or_try_init", |io, _| OnceLock::new().get_or_try_init(io, || io::Result::Ok(1)).map(drop)),
    ("lazy", |io, _| LazyLock::<_>::new(|_: &dyn Io| io::Result::Ok(1)).force(io).map(drop)),
    ("pool take", |io, _| Ok(BufferPool::new(1, 8).take(io).map(drop)?)),
    ("connect_with", |io, _| {
        let (listener, _client) = listening(io);
        let address = io.shield(|io| listener.local_addr(io))?;
        TcpStream::connect_with(io, address, &ConnectOptions::default()).map(drop)
    }),
    ("bind_with", |io, _| TcpListener::bind_with(io, "127.0.0.1:0", &ListenOptions::default()).map(drop)),
    ("bind_each", |io, _| TcpListener::bind_each(io, "127.0.0.1:0", &ListenOptions::default()).map(drop)),
    ("incoming", |io, _| listening(io).0.incoming(io).next(io).map(drop)),
    ("incoming bytes", |io, _| {
        let (listener, _client) = listening(io);
        let (stream, _) = io.shield(|io| listener.accept(io))?;
        stream.incoming(io, &BufferPool::new(4, 64)).next(io).map(drop)
    }),
    ("set_nodelay", |io, ready| ready.stream.set_nodelay(io, true)),
    ("nodelay", |io, ready| ready.stream.nodelay(io).map(drop)),
    ("set_linger", |io, ready| ready.stream.set_linger(io, None)),
    ("set_broadcast", |io, _| {
        let socket = io.shield(|io| UdpSocket::bind(io, "127.0.0.1:0"))?;
        socket.set_broadcast(io, true)
    }),
    ("unbound", |io, _| UnixDatagram::unbound(io).map(drop)),
    ("unix connect", |io, _| {
        // A new address each time: a program that is being started elsewhere keeps the last listener for a moment.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("iolite point {} {}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let name = iolite_io::net::UnixAddress::abstract_name(name)?;
        let listener = io.shield(|io| iolite_io::net::UnixListener::bind(io, &name))?;
        let connected = UnixStream::connect(io, &name).map(drop);
        drop(listener);
        connected
    }),
    ("socket pair", |io, _| Socket::pair(io, 1.into(), 1.into(), 0).map(drop)),
    ("socket bind", |io, _| {
        let socket = io.shield(|io| Socket::new(io, 2.into(), 1.into(), 0))?;
        socket.bind(io, std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
    }),
    ("listen", |io, _| {
        let socket = io.shield(|io| Socket::new(io, 2.into(), 1.into(), 0))?;
        socket.listen(io, 1)
    }),
    ("send_with", |io, _| {
        let (one, _other) = io.shield(|io| Socket::pair(io, 1.into(), 1.into(), 0))?;
        one.send_with(io, &[IoSlice::new(b"x")], None, &[]).map(drop)
    }),
    ("recv_with", |io, _| {
        let (one, other) = io.shield(|io| Socket::pair(io, 1.into(), 1.into(), 0))?;
        io.shield(|io| other.send(io, b"x"))?;
        one.recv_with(io, &mut [IoSliceMut::new(&mut [0])], 0).map(drop)
    }),
    ("send_file", |io, ready| ready.stream.send_file(io, &ready.file, 0..4).map(drop)),
    ("send_zero_copy", |io, ready| ready.stream.send_zero_copy(io, Arc::new(*b"bytes"))),
    ("copy", |io, ready| {
        let null = io.shield(|io| OpenOptions::new().read(true).write(true).open(io, "/dev/null"))?;
        copy(io, &null, &ready.stream).map(drop)
    }),
    ("copy_at_most", |io, ready| copy_at_most(io, &ready.stream, &ready.unix, 1).map(drop)),
    ("stream read_to_end", |io, _| {
        let (near, far) = io.shield(tcp_pair);
        drop(far);
        near.read_to_end(io, &mut Vec::new()).map(drop)
    }),
    ("pipe read", |io, ready| ready.pipe.0.read(io, &mut [0]).map(drop)),
    ("pipe read_exact", |io, ready| ready.pipe.0.read_exact(io, &mut [0])),
    ("pipe read_to_end", |io, _| {
        let (input, output) = stdio::pipe()?;
        drop(output);
        input.read_to_end(io, &mut Vec::new()).map(drop)
    }),
    ("pipe write", |io, ready| ready.pipe.1.write(io, b"x").map(drop)),
    ("pipe write_all", |io, ready| ready.pipe.1.write_all(io, b"x")),
    ("read_exact_at", |io, ready| ready.file.read_exact_at(io, &mut [0; 4], 0)),
    ("write_all_at", |io, ready| ready.file.write_all_at(io, b"x", 0)),
    ("read_pooled_at", |io, ready| {
        let mut buffer = BufferPool::new(1, 4096).try_take().expect("one");
        ready.file.read_pooled_at(io, &mut buffer, 0).map(drop)
    }),
    ("write_pooled_at", |io, ready| {
        let mut buffer = BufferPool::new(1, 4096).try_take().expect("one");
        buffer.set_len(4096);
        ready.file.write_pooled_at(io, &buffer, 0).map(drop)
    }),
    ("map flush", |io, ready| io.shield(|io| Map::new(io, &ready.file, MapAccess::ReadWrite))?.flush(io)),
    ("commit", |io, ready| io.shield(|io| AtomicFile::create(io, ready.place("atomic")))?.commit(io)),
    ("commit_new", |io, ready| {
        let _ = std::fs::remove_file(ready.place("new"));
        io.shield(|io| AtomicFile::create(io, ready.place("new")))?.commit_new(io)
    }),
    ("access", |io, ready| fs::access(io, ready.place("file"), fs::Access::READ_OK)),
    ("file hard_link", |io, ready| ready.file.hard_link(io, ready.place("second name"))),
    ("canonicalize in a directory", |io, ready| {
        let dir = io.shield(|io| fs::Dir::open(io, ready.folder.path()))?;
        fs::canonicalize(io, dir.at("file")).map(drop)
    }),
    ("entry file_type", |io, ready| entry(io, ready)?.file_type(io).map(drop)),
    ("entry metadata", |io, ready| entry(io, ready)?.metadata(io).map(drop)),
    ("spawn", |io, _| process::spawn(io, &mut program()).map(drop)),
    ("status", |io, _| process::status(io, &mut program()).map(drop)),
    ("output", |io, _| process::output(io, &mut program()).map(drop)),
    ("wait", |io, _| io.shield(|io| process::spawn(io, &mut program()))?.wait(io).map(drop)),
    ("wait_with_output", |io, _| {
        io.shield(|io| process::spawn(io, program().stdout(Stdio::piped())))?.wait_with_output(io).map(drop)
    }),
    ("signals next", |io, _| {
        let mut signals = Signals::new([Signal::WINDOW_CHANGE])?;
        // The signal goes to this thread, and its handler has run when this returns.
        signal_hook::low_level::raise(Signal::WINDOW_CHANGE.as_raw())?;
        signals.next(io).map(drop)
    }),
    ("bridge call", |io, ready| Ok(ready.bridge.call(io, |()| ())?)),
    ("bridge call_keyed", |io, ready| Ok(ready.bridge.call_keyed(io, 1, |()| ())?)),
    ("bridge post", |io, ready| Ok(ready.bridge.post(io, |()| ())?)),
    ("bridge post_keyed", |io, ready| Ok(ready.bridge.post_keyed(io, 1, |()| ())?)),
];

fn entry(io: &dyn Io, ready: &Ready) -> io::Result<fs::DirEntry> {
    io.shield(|io| fs::read_dir(io, ready.folder.path())?.next().expect("there is a file"))
}

fn each_of_the_other_calls_delivers_a_pending_request_once(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            delivers_a_request_once(io, name, &Ready::new(io), *point);
        }
    });
}

/// On a plain thread, which only a timeout can cancel.
fn each_of_the_other_calls_is_timed_out(on: &On) {
    on.on_thread(|io| {
        for (name, point) in POINTS {
            let ready = Ready::new(io);
            let error = io.timeout(Duration::ZERO, |io| point(io, &ready)).err();
            let error = error.unwrap_or_else(|| panic!("{name} is no cancellation point"));
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name}: {error}");
            point(io, &ready).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}
