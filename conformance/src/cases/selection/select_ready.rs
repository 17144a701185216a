//! Sockets among several things to wait for: readiness is reported, and nothing is received, sent or accepted.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::net::{Domain, Socket, SocketType, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, option};
use iolite_io::sync::{Event, Semaphore};
use iolite_io::{
    Io,
    select::{OneOf2, OneOf3, Selectable},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, scope, started, tcp_pair, until};

pub(crate) const CASES: &[Case] = cases![
    a_socket_with_something_to_receive_is_there,
    what_is_there_to_receive_is_left_by_a_wait_that_it_loses,
    a_socket_with_room_is_there,
    a_listener_with_a_connection_is_there,
    a_datagram_socket_with_a_message_is_there,
    many_may_wait_for_one_socket,
    a_peer_that_hangs_up_is_told_before_all_is_read,
    an_error_that_is_to_be_told_is_no_hang_up,
    a_canceled_wait_for_a_socket_leaves_nothing_behind,
    a_connection_is_accepted_by_a_wait,
    a_connection_is_left_by_a_wait_that_it_loses,
    each_connection_goes_to_one_of_many_who_wait,
    no_connection_is_lost_to_a_cancellation,
    what_does_not_listen_is_an_error_at_once,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// Waits for `source` in another task, which has begun to wait when `act` is called.
fn while_waiting<S: Selectable<Output = io::Result<()>>>(
    io: &dyn Io,
    source: impl FnOnce() -> S + Send,
    act: impl FnOnce(),
) {
    let waits = Semaphore::new(1);
    scope(io, |group| {
        let member = concurrently(group, |io| match io.select((source(), waits.on_acquire_many(2))) {
            Ok(OneOf2::First(ready)) => ready.expect("watched"),
            other => panic!("{other:?}"),
        });
        // No task gets ahead of one that waits for two permits.
        until(io, || waits.try_acquire().is_none());
        act();
        member.join(io);
    });
}

fn is_there(io: &dyn Io, source: impl Selectable<Output = io::Result<()>>) -> bool {
    match io.select((source, io.now() + SHORT)).expect("not canceled") {
        OneOf2::First(ready) => ready.map(|()| true).expect("watched"),
        OneOf2::Second(()) => false,
    }
}

fn a_socket_with_something_to_receive_is_there(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        assert!(!is_there(io, near.on_readable()));
        for _ in 0..3 {
            while_waiting(io, || near.on_readable(), || far.write_all(io, b"some").expect("sent"));
            assert!(is_there(io, near.on_readable()), "it still is");
            let mut bytes = [0; 4];
            near.read_exact(io, &mut bytes).expect("they are there");
            assert_eq!(&bytes, b"some");
            assert!(!is_there(io, near.on_readable()), "all was read");
        }
        while_waiting(io, || near.on_readable(), || drop(far));
        assert_eq!(near.read(io, &mut [0]).expect("the end"), 0);
    });
}

fn what_is_there_to_receive_is_left_by_a_wait_that_it_loses(on: &On) {
    on.run(|io| {
        let ((near, far), stop) = (tcp_pair(io), Event::new());
        far.write_all(io, b"some").expect("sent");
        near.readable(io).expect("they arrive");
        stop.set();
        let one = io.select((stop.on_wait(), near.on_readable())).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())), "{one:?}");
        let mut bytes = [0; 4];
        near.read_exact(io, &mut bytes).expect("nothing was read");
        assert_eq!(&bytes, b"some");
    });
}

fn a_socket_with_room_is_there(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let bytes = vec![7; 1 << 16];
        let mut sent = 0;
        while is_there(io, near.on_writable()) {
            sent += near.write(io, &bytes).expect("there is room");
        }
        let drain = |io: &dyn Io, mut left: usize| {
            let mut buffer = vec![0; 1 << 16];
            while left > 0 {
                left -= far.read(io, &mut buffer).expect("they are there");
            }
        };
        while_waiting(io, || near.on_writable(), || drain(io, sent));
        let one = io.select((near.on_readable(), near.on_writable(), io.now() + LONG));
        assert!(matches!(one, Ok(OneOf3::Second(Ok(())))), "{one:?}");
    });
}

fn a_listener_with_a_connection_is_there(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let address = listener.local_addr(io).expect("bound");
        assert!(!is_there(io, listener.on_readable()));
        let mut client = None;
        while_waiting(
            io,
            || listener.on_readable(),
            || client = Some(TcpStream::connect(io, address).expect("connected")),
        );
        listener.accept(io).expect("it was not accepted before");
        assert!(client.is_some() && !is_there(io, listener.on_readable()));
    });
}

fn a_datagram_socket_with_a_message_is_there(on: &On) {
    on.run(|io| {
        let socket = UdpSocket::bind(io, "127.0.0.1:0").expect("bound");
        socket.connect(io, socket.local_addr(io).expect("bound")).expect("connected to itself");
        while_waiting(io, || socket.on_readable(), || _ = socket.send(io, b"message").expect("sent"));
        assert_eq!(socket.recv(io, &mut [0; 16]).expect("it is there"), 7);
        assert!(!is_there(io, socket.on_readable()));
    });
}

/// Each waits on its own, in any context, for the same thing or for another one.
fn many_may_wait_for_one_socket(on: &On) {
    on.concurrent_limit(64).run(|io| {
        let (near, far) = tcp_pair(io);
        let waits = Semaphore::new(0);
        for _ in 0..3 {
            scope(io, |group| {
                for _ in 0..16 {
                    drop(concurrently(group, |io| {
                        waits.add_permits(1);
                        let one = io.select((near.on_readable(), io.now() + LONG)).expect("not canceled");
                        assert!(matches!(one, OneOf2::First(Ok(()))), "{one:?}");
                    }));
                }
                (0..16).for_each(|_| waits.acquire_uncancelable(io).forget());
                far.write_all(io, b"x").expect("sent");
            });
            assert_eq!(near.read(io, &mut [0]).expect("it is there"), 1);
        }
        let both = io.select((near.on_readable(), near.on_writable())).expect("not canceled");
        assert!(matches!(both, OneOf2::Second(Ok(()))), "{both:?}");
    });
}

fn a_peer_that_hangs_up_is_told_before_all_is_read(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        far.write_all(io, b"last words").expect("sent");
        near.readable(io).expect("they arrive");
        assert!(!is_there(io, near.on_hung_up()), "it has something to say, and may say more");
        scope(io, |group| {
            let canceled = started(group, io, |io| near.hung_up(io));
            canceled.request_cancel();
            assert!(iolite_io::Canceled::from_error(canceled.join(io).expect_err("asked to stop")).is_ok());
            let alone = started(group, io, |io| near.hung_up(io));
            while_waiting(io, || near.on_hung_up(), || far.shutdown(io, Shutdown::Write).expect("shut down"));
            alone.join(io).expect("told");
        });
        near.hung_up(io).expect("it stays so");
        let mut words = Vec::new();
        near.read_to_end(io, &mut words).expect("nothing was read before");
        assert_eq!(words, b"last words");
    });
}

fn an_error_that_is_to_be_told_is_no_hang_up(on: &On) {
    /// `SOF_TIMESTAMPING_TX_SOFTWARE`, `_SOFTWARE`, `_OPT_ID`: the time at which bytes were sent is put into the error
    /// queue.
    const TIMES: u32 = 1 << 1 | 1 << 4 | 1 << 7;
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        near.set_option(io, option::TIMESTAMPS, TIMES).expect("set");
        near.write_all(io, b"first words").expect("sent");
        // The error queue has an entry.
        until(io, || {
            let mut entry = [PollFd::new(&near, PollFlags::empty())];
            poll(&mut entry, Some(&Timespec::default())).expect("polled") > 0
        });
        assert!(!is_there(io, near.on_hung_up()), "the connection lives");
        scope(io, |group| {
            let canceled = started(group, io, |io| near.hung_up(io));
            canceled.request_cancel();
            assert!(iolite_io::Canceled::from_error(canceled.join(io).expect_err("it goes on")).is_ok());
            let timed = io.timeout(SHORT, |io| near.hung_up(io)).expect_err("it goes on");
            assert_eq!(timed.kind(), io::ErrorKind::TimedOut, "{timed}");
            let alone = started(group, io, |io| near.hung_up(io));
            while_waiting(io, || near.on_hung_up(), || far.shutdown(io, Shutdown::Write).expect("shut down"));
            alone.join(io).expect("told");
        });
    });
}

fn a_canceled_wait_for_a_socket_leaves_nothing_behind(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        scope(io, |group| {
            for _ in 0..10 {
                let member = started(group, io, |io| io.select((near.on_readable(), near.on_hung_up())).map(drop));
                member.request_cancel();
                member.join(io).expect_canceled("it is asked to stop");
            }
        });
        far.write_all(io, b"x").expect("sent");
        assert_eq!(near.read(io, &mut [0]).expect("it is there"), 1);
        near.close(io).expect("closed");
        assert_eq!(far.read(io, &mut [0]).expect("no duplicate is left"), 0);
    });
}

/// A TCP or Unix listener, made here or a blocking one made by other code.
fn a_connection_is_accepted_by_a_wait(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(io, &path).expect("bound");
        let accept = || unix.on_accept().map(|accepted| accepted.map(drop));
        assert!(!is_there(io, accept()));
        let mut client = None;
        while_waiting(io, accept, || client = Some(UnixStream::connect(io, &path).expect("connected")));
        assert!(client.is_some() && !is_there(io, accept()), "it was accepted");

        let own = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let foreign = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        for listener in [own, TcpListener::from_std(foreign)] {
            let address = listener.local_addr(io).expect("bound");
            let accept = || listener.on_accept().map(|accepted| accepted.map(drop));
            assert!(!is_there(io, accept()));
            let mut client = None;
            while_waiting(io, accept, || client = Some(TcpStream::connect(io, address).expect("connected")));
            assert!(client.is_some() && !is_there(io, accept()), "it was accepted");
            let client = TcpStream::connect(io, address).expect("connected");
            match io.select((listener.on_accept(), io.now() + LONG)).expect("not canceled") {
                OneOf2::First(accepted) => {
                    let (stream, peer) = accepted.expect("accepted");
                    assert_eq!(peer, client.local_addr(io).expect("bound"));
                    stream.write_all(io, b"x").expect("sent");
                    client.read_exact(io, &mut [0]).expect("received");
                    let flags = rustix::io::fcntl_getfd(stream.as_fd()).expect("read");
                    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
                }
                OneOf2::Second(()) => panic!("it was there"),
            }
        }
    });
}

fn a_connection_is_left_by_a_wait_that_it_loses(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let _client = TcpStream::connect(io, listener.local_addr(io).expect("bound")).expect("connected");
        let stop = Event::new();
        stop.set();
        for _ in 0..3 {
            let one = io.select((stop.on_wait(), listener.on_accept())).expect("not canceled");
            assert!(matches!(one, OneOf2::First(())));
        }
        listener.accept(io).expect("nobody has taken it");
    });
}

fn each_connection_goes_to_one_of_many_who_wait(on: &On) {
    on.run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let address = listener.local_addr(io).expect("bound");
        let (stop, accepted) = (Event::new(), AtomicUsize::new(0));
        scope(io, |group| {
            for _ in 0..4 {
                drop(started(group, io, |io| {
                    while let Ok(OneOf2::Second(connection)) = io.select((stop.on_wait(), listener.on_accept())) {
                        connection.expect("accepted");
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                }));
            }
            let canceled = started(group, io, |io| io.select(listener.on_accept()).map(drop));
            canceled.request_cancel();
            // The canceled one may also take a connection that comes before the request.
            let taken = usize::from(canceled.join(io).is_ok());
            assert_eq!(taken, 0, "nobody has come");
            let clients: Vec<_> = (0..30).map(|_| TcpStream::connect(io, address).expect("connected")).collect();
            until(io, || accepted.load(Ordering::SeqCst) == clients.len());
            stop.set();
        });
        assert_eq!(accepted.load(Ordering::SeqCst), 30);
    });
}

fn no_connection_is_lost_to_a_cancellation(on: &On) {
    on.in_task(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let address = listener.local_addr(io).expect("bound");
        Race::new("accepting", 1_000).run(|start| {
            let mut client = None;
            let accept = |io: &dyn Io| io.select(listener.on_accept())?.map(drop);
            let connect = || client = Some(TcpStream::connect(io, address).expect("connected"));
            let accepted = attempt(io, start, accept, connect).is_some();
            if !accepted {
                listener.accept(io).expect("nobody has taken it");
            }
            assert!(client.is_some() && !is_ready(&listener), "there was one");
            accepted
        });
    });
}

fn is_ready(listener: &TcpListener) -> bool {
    let mut entry = [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut entry, Some(&rustix::event::Timespec::default())).expect("polled") > 0
}

fn what_does_not_listen_is_an_error_at_once(on: &On) {
    on.run(|io| {
        let socket = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
        let socket: TcpListener = socket.into_typed();
        match io.select((socket.on_accept(), io.now() + LONG)).expect("not canceled") {
            OneOf2::First(accepted) => {
                assert_eq!(accepted.map(drop).expect_err("it does not listen").kind(), io::ErrorKind::InvalidInput);
            }
            OneOf2::Second(()) => panic!("it waited"),
        }
    });
}
