//! Connecting to one of several addresses: the fastest wins, and no other connection stays.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use iolite_io::net::{ConnectError, ConnectOptions, TcpListener, TcpStream, option};
use iolite_io::{Canceled, Io};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, full_listener, refusing, scope};

pub(crate) const CASES: &[Case] = cases![
    an_address_that_is_silent_is_overtaken,
    after_a_failure_the_next_begins_at_once,
    who_answers_wins_though_others_began_first,
    an_error_names_all_that_was_tried,
    a_race_is_canceled_and_timed_out,
    without_concurrency_addresses_are_tried_in_turn,
    a_connection_comes_from_where_it_is_told_to,
    a_port_that_the_system_chooses_is_shared_by_connections_to_different_peers,
];

const NEVER: Duration = Duration::from_secs(3600);

fn listener(io: &dyn Io) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
    let address = listener.local_addr(io).expect("address");
    (listener, address)
}

fn after(attempt_delay: Duration) -> ConnectOptions {
    ConnectOptions { attempt_delay, ..ConnectOptions::default() }
}

fn an_address_that_is_silent_is_overtaken(on: &On) {
    on.run(|io| {
        let (_full, silent, _waiting) = full_listener(io);
        let (_listener, good) = listener(io);
        let delay = Duration::from_millis(5);
        let begin = io.now();
        let stream =
            TcpStream::connect_with(io, &[silent, silent, good][..], &after(delay)).expect("the third answers");
        assert_eq!(stream.peer_addr(io).expect("address"), good);
        assert!(io.now() >= begin + 2 * delay, "the first ones had their time");
    });
}

/// Otherwise the test would take an hour.
fn after_a_failure_the_next_begins_at_once(on: &On) {
    on.run(|io| {
        let (_held, refused) = refusing(io);
        let (_listener, good) = listener(io);
        let addresses = [refused, refused, good];
        let stream = TcpStream::connect_with(io, &addresses[..], &after(NEVER)).expect("the third answers");
        assert_eq!(stream.peer_addr(io).expect("address"), good);
    });
}

fn who_answers_wins_though_others_began_first(on: &On) {
    on.run(|io| {
        let (full, slow, waiting) = full_listener(io);
        let (_held, refused) = refusing(io);
        scope(io, |group| {
            let addresses = [slow, refused];
            let connecting =
                concurrently(group, move |io| TcpStream::connect_with(io, &addresses[..], &after(Duration::ZERO)));
            // The kernel accepts the connection when there is room again.
            let accepted: Vec<_> = (0..waiting.len()).map(|_| full.accept(io).expect("they wait")).collect();
            let stream = connecting.join(io).expect("the first answers at last");
            assert_eq!(stream.peer_addr(io).expect("address"), slow);
            drop(accepted);
        });
    });
}

fn an_error_names_all_that_was_tried(on: &On) {
    on.run(|io| {
        let ((_one, first), (_other, second)) = (refusing(io), refusing(io));
        let error = TcpStream::connect(io, &[first, second][..]).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.contains(&first.to_string()) && text.contains(&second.to_string()), "{text}");
        let failed: &ConnectError = error.get_ref().and_then(|error| error.downcast_ref()).expect("several were tried");
        assert!(failed.attempts.iter().all(|(_, error)| error.raw_os_error() == Some(111)));
        assert_eq!(failed.attempts.len(), 2);
        let error = TcpStream::connect(io, &[][..]).expect_err("none is there");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

fn a_race_is_canceled_and_timed_out(on: &On) {
    on.run(|io| {
        let (_full, silent, _waiting) = full_listener(io);
        for delay in [Duration::ZERO, NEVER] {
            let connect = move |io: &dyn Io| TcpStream::connect_with(io, &[silent; 3][..], &after(delay));
            let error = io.timeout(Duration::from_millis(5), connect).expect_err("nobody answers");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            io.check_cancel().expect("delivered once");
            for round in 0..10 {
                scope(io, |group| {
                    let member = concurrently(group, |io| (connect(io), io.check_cancel()));
                    io.sleep(Duration::from_micros(round * 50)).expect("nobody cancels this");
                    let (result, second) = member.cancel(io);
                    assert!(Canceled::is_in(&result.expect_err("nobody answers")));
                    second.expect("delivered once");
                });
            }
        }
    });
}

/// Without a second task for the race, addresses are tried in turn.
fn without_concurrency_addresses_are_tried_in_turn(on: &On) {
    on.concurrent_limit(0).on_thread(|io| {
        let (_held, refused) = refusing(io);
        let (_listener, good) = listener(io);
        let stream = TcpStream::connect_with(io, &[refused, good, refused][..], &after(NEVER)).expect("one answers");
        assert_eq!(stream.peer_addr(io).expect("address"), good);
        let (_full, silent, _waiting) = full_listener(io);
        let connect = |io: &dyn Io| TcpStream::connect_with(io, &[silent, good][..], &after(Duration::ZERO));
        let error = io.timeout(Duration::from_millis(5), connect).expect_err("the first is silent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        io.check_cancel().expect("delivered once");
    });
}

fn a_connection_comes_from_where_it_is_told_to(on: &On) {
    on.run(|io| {
        let (listener, good) = listener(io);
        let local = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 5), 0));
        let options = ConnectOptions { local: Some(local), ..ConnectOptions::default() };
        let stream = TcpStream::connect_with(io, good, &options).expect("connect");
        let (_, peer) = listener.accept(io).expect("accept");
        assert_eq!(peer.ip(), local.ip());
        assert_eq!(stream.local_addr(io).expect("address"), peer);
        let elsewhere = ConnectOptions { local: Some(SocketAddr::from(([192, 0, 2, 1], 0))), ..options };
        let error = TcpStream::connect_with(io, good, &elsewhere).expect_err("not this machine's");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

/// Otherwise each connection would take a port from all others with the same local address, and there are only 28,000.
/// The case checks the option that the kernel was given, because the port that it chooses shows nothing.
fn a_port_that_the_system_chooses_is_shared_by_connections_to_different_peers(on: &On) {
    on.run(|io| {
        for host in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let Ok(listener) = TcpListener::bind(io, (host, 0)) else {
                return on.not_run("no IPv6 on this machine");
            };
            let good = listener.local_addr(io).expect("address");
            let options = ConnectOptions { local: Some(SocketAddr::new(good.ip(), 0)), ..ConnectOptions::default() };
            let stream = TcpStream::connect_with(io, good, &options).expect("connect");
            assert!(stream.option(io, option::BIND_ADDRESS_NO_PORT).expect("read"), "{host}");
            assert_ne!(stream.local_addr(io).expect("address").port(), 0);
        }
    });
}
