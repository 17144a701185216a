//! Calls on sockets that do not wait, but fail where others would wait.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use iolite_io::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use iolite_io::{
    Io, no_suspend,
    operation::{Interest, Operation},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Watchdog, concurrently, fill, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    try_accept_takes_only_who_waits,
    try_accept_refuses_a_listener_in_blocking_mode_and_leaves_it_so,
    try_read_takes_only_what_is_there,
    try_write_takes_only_what_there_is_room_for,
    what_was_attempted_in_vain_is_waited_for_and_attempted_again,
    try_recv_and_try_send_do_not_wait,
    an_attempt_is_no_cancellation_point,
    an_attempt_says_shut_down_afterwards,
];

fn would_block<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Waits until the sent bytes have arrived at the socket.
fn arrived(io: &dyn Io, socket: &impl AsRef<iolite_io::operation::Descriptor>) {
    let ready = Operation::Ready { descriptor: socket.as_ref(), interest: Interest::Readable };
    io.operate(ready).expect("ready");
}

fn try_accept_takes_only_who_waits(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        assert!(would_block(listener.try_accept(io)), "nobody waits");
        let client = TcpStream::connect(io, listener.local_addr(io).expect("address")).expect("connect");
        arrived(io, &listener);
        let (server, peer) = listener.try_accept(io).expect("one waits");
        assert_eq!(peer, client.local_addr(io).expect("address"));
        assert!(would_block(listener.try_accept(io)), "one has waited");
        server.write_all(io, b"x").expect("sent");
        assert_eq!(client.read(io, &mut [0; 4]).expect("received"), 1);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(io, &path).expect("bind");
        assert!(would_block(listener.try_accept(io)), "nobody waits");
        let _client = UnixStream::connect(io, &path).expect("connect");
        listener.try_accept(io).expect("one waits");
        assert!(would_block(listener.try_accept(io)), "one has waited");
    });
}

fn try_accept_refuses_a_listener_in_blocking_mode_and_leaves_it_so(on: &On) {
    on.run(|io| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let shared = listener.try_clone().expect("a duplicate");
        let listener = TcpListener::from_std(listener);
        let error = listener.try_accept(io).expect_err("in blocking mode");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let mode = rustix::fs::fcntl_getfl(shared.as_fd()).expect("told");
        assert!(!mode.contains(rustix::fs::OFlags::NONBLOCK), "others have it too");
        shared.set_nonblocking(true).expect("set");
        assert!(would_block(listener.try_accept(io)));
    });
}

fn try_read_takes_only_what_is_there(on: &On) {
    on.run(|io| {
        let streams = |near: &TcpStream, far: &TcpStream| {
            let mut buffer = [0; 8];
            assert!(would_block(near.try_read(io, &mut buffer)), "nothing is there");
            assert_eq!(near.try_read(io, &mut []).expect("asks for nothing"), 0);
            far.write_all(io, b"hello").expect("sent");
            arrived(io, near);
            assert_eq!(near.try_read(io, &mut buffer[..2]).expect("received"), 2);
            assert_eq!(near.try_read(io, &mut buffer[2..]).expect("received"), 3);
            assert_eq!(&buffer[..5], b"hello");
            assert!(would_block(near.try_read(io, &mut buffer)), "all is read");
            far.shutdown(io, std::net::Shutdown::Write).expect("shut down");
            arrived(io, near);
            assert_eq!(near.try_read(io, &mut buffer).expect("the end"), 0);
        };
        let (near, far) = tcp_pair(io);
        streams(&near, &far);
        let (near, far) = UnixStream::pair(io).expect("a pair");
        streams(&near.into_typed(), &far.into_typed());
    });
}

fn try_write_takes_only_what_there_is_room_for(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        assert_eq!(near.try_write(io, b"hello").expect("room"), 5);
        assert_eq!(near.try_write(io, b"").expect("asks for nothing"), 0);
        let more = fill(io, &near);
        assert!(would_block(near.try_write(io, &vec![0; 1 << 20])), "no room");
        let mut buffer = vec![0; 1 << 20];
        let mut rest = 5 + more;
        while rest > 0 {
            rest -= far.read(io, &mut buffer).expect("received");
        }
        near.writable(io).expect("room");
        assert_eq!(near.try_write(io, b"x").expect("room"), 1);
        drop(far);
        near.readable(io).expect("the end");
        let error = (0..1_000).find_map(|_| {
            io.sleep(Duration::from_millis(1)).expect("not canceled");
            near.try_write(io, b"x").err()
        });
        let kind = error.expect("the peer is gone").kind();
        assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{kind}");
    });
}

fn what_was_attempted_in_vain_is_waited_for_and_attempted_again(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        scope(io, |group| {
            let sum = concurrently(group, |io| {
                let (mut sum, mut buffer) = (0, [0; 16]);
                loop {
                    match near.try_read(io, &mut buffer) {
                        Ok(0) => return sum,
                        Ok(count) => sum += count,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => near.readable(io).expect("ready"),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            for _ in 0..100 {
                far.write_all(io, b"twelve bytes").expect("sent");
                io.yield_now();
            }
            far.shutdown(io, std::net::Shutdown::Write).expect("shut down");
            assert_eq!(sum.join(io), 1_200);
        });
        // A call that waits still works after a failed attempt.
        far.try_read(io, &mut [0; 4]).expect_err("nothing is there");
        near.write_all(io, b"x").expect("sent");
        assert_eq!(far.read(io, &mut [0; 4]).expect("received"), 1);
    });
}

fn try_recv_and_try_send_do_not_wait(on: &On) {
    on.run(|io| {
        let mut buffer = [0; 16];
        let [near, far] = [(); 2].map(|()| UdpSocket::bind(io, "127.0.0.1:0").expect("bound"));
        let (from, to) = (near.local_addr(io).expect("address"), far.local_addr(io).expect("address"));
        assert!(would_block(far.try_recv(io, &mut buffer)) && would_block(far.try_recv_from(io, &mut buffer)));
        assert_eq!(near.try_send_to(io, b"hello", to).expect("room"), 5);
        arrived(io, &far);
        assert_eq!(far.try_recv_from(io, &mut buffer).expect("received"), (5, from));
        near.connect(io, to).expect("connected");
        assert_eq!(near.try_send(io, b"").expect("room"), 0);
        assert_eq!(near.try_send(io, b"again").expect("room"), 5);
        arrived(io, &far);
        assert_eq!(far.try_recv(io, &mut buffer).expect("an empty one"), 0);
        arrived(io, &far);
        assert_eq!(far.try_recv(io, &mut buffer[..2]).expect("what fits"), 2);
        assert!(would_block(far.try_recv(io, &mut buffer)), "the rest is gone");

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let far = UnixDatagram::bind(io, &path).expect("bound");
        let near = UnixDatagram::unbound(io).expect("made");
        let mut sent = 0;
        while !would_block(near.try_send_to(io, b"hello", &path)) {
            sent += 1;
            assert!(sent < 1_000_000, "the queue has no end");
        }
        for _ in 0..sent {
            let (count, from) = far.try_recv_from(io, &mut buffer).expect("received");
            assert!(count == 5 && from.as_path().is_none());
        }
        assert!(would_block(far.try_recv(io, &mut buffer)), "all were received");
        near.connect(io, &path).expect("connected");
        assert_eq!(near.try_send(io, b"hello").expect("room"), 5);
        assert_eq!(far.try_recv(io, &mut buffer).expect("received"), 5);
    });
}

fn an_attempt_is_no_cancellation_point(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let task = io.spawn_concurrent(move |io| {
            io.sleep(Duration::from_secs(3600)).expect_canceled("torn down");
            // From now on, all other calls return the request.
            assert!(would_block(listener.try_accept(io)) && would_block(near.try_read(io, &mut [0; 4])));
            no_suspend(|| assert_eq!(near.try_write(io, b"goodbye").expect("room"), 7));
            io.check_cancel().expect_canceled("torn down");
        });
        task.expect("concurrent").abort(io);
        let mut buffer = [0; 16];
        assert_eq!(far.read(io, &mut buffer).expect("received"), 7);
        assert_eq!(far.read(io, &mut buffer).expect("the end"), 0);
    });
}

fn an_attempt_says_shut_down_afterwards(on: &On) {
    let _watchdog = Watchdog::start();
    let runtime = on.start();
    let io = runtime.handle();
    let listener = TcpListener::bind(&*io, "127.0.0.1:0").expect("bind");
    let (near, _far) = tcp_pair(&*io);
    let socket = UdpSocket::bind(&*io, "127.0.0.1:0").expect("bound");
    runtime.shutdown();
    let says_so = |error: io::Error| {
        assert!(
            error.get_ref().is_some_and(|source| source.is::<iolite_io::error::ShutDown>()),
            "not ShutDown: {error}"
        );
    };
    says_so(listener.try_accept(&*io).expect_err("shut down"));
    says_so(near.try_read(&*io, &mut [0; 4]).expect_err("shut down"));
    says_so(near.try_write(&*io, b"x").expect_err("shut down"));
    says_so(socket.try_recv(&*io, &mut [0; 4]).expect_err("shut down"));
    says_so(socket.try_recv_from(&*io, &mut [0; 4]).expect_err("shut down"));
    says_so(socket.try_send(&*io, b"x").expect_err("shut down"));
}
