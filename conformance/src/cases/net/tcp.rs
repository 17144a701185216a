//! TCP on loopback.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::net::{ConnectOptions, ListenOptions, TcpListener, TcpStream, option};
use iolite_io::sync::Event;
use iolite_io::{Canceled, Incomplete, Io, task::Placement};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Random, concurrently, refusing, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    small_pieces_are_delayed_only_where_that_is_asked_for,
    an_echo_server_serves_several_clients,
    addresses_are_told_at_both_ends,
    ipv6_works_where_the_machine_has_it,
    connection_refused_keeps_its_errno,
    an_address_in_use_is_an_error,
    two_listeners_share_a_port_when_both_want_to,
    an_address_is_used_again_at_once,
    reading_returns_what_is_there_and_zero_at_the_end,
    peek_leaves_the_bytes,
    vectored_calls_fill_buffers_in_order,
    vectored_calls_take_any_number_of_buffers,
    read_exact_tells_how_far_it_came,
    a_canceled_read_exact_tells_how_far_it_came,
    a_canceled_write_all_tells_how_far_it_came,
    sixteen_mebibytes_arrive_as_they_were,
    a_stream_reads_and_writes_at_once,
    each_half_is_shut_down_by_itself,
    shutting_down_ends_a_read_that_waits,
    writing_to_who_has_gone_is_an_error,
    a_reset_is_told,
    dropping_and_closing_close,
    a_canceled_close_closes_nevertheless,
    std_streams_become_ours,
    non_blocking_descriptors_block_the_caller_nevertheless,
    each_executor_accepts_at_one_address,
];

fn listener(io: &dyn Io) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
    let address = listener.local_addr(io).expect("address");
    (listener, address)
}

/// An echo server, and several clients.
fn an_echo_server_serves_several_clients(on: &On) {
    fn echo(io: &dyn Io, stream: &TcpStream) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            match stream.read(io, &mut buffer)? {
                0 => return Ok(()),
                count => stream.write_all(io, &buffer[..count])?,
            }
        }
    }
    on.run(|io| {
        let (listener, address) = listener(io);
        scope(io, |group| {
            let server = concurrently(group, |io| {
                io.group(|connections| -> io::Result<()> {
                    loop {
                        let (stream, _) = listener.accept(io)?;
                        drop(connections.spawn_waiting(move |io| echo(io, &stream))?);
                    }
                })
            });
            scope(io, |clients| {
                for number in 0..8_u8 {
                    drop(concurrently(clients, move |io| {
                        let stream = TcpStream::connect(io, address).expect("connect");
                        let mut buffer = [0; 64];
                        for round in 0..20 {
                            stream.write_all(io, &[number ^ round; 64]).expect("sent");
                            stream.read_exact(io, &mut buffer).expect("echoed");
                            assert_eq!(buffer, [number ^ round; 64]);
                        }
                        stream.shutdown(io, Shutdown::Write).expect("shut down");
                        assert_eq!(stream.read(io, &mut buffer).expect("the end"), 0);
                    }));
                }
            });
            assert!(Canceled::is_in(&server.cancel(io).expect_err("canceled")));
        });
    });
}

fn addresses_are_told_at_both_ends(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        assert!(address.ip().is_loopback() && address.port() != 0);
        let client = TcpStream::connect(io, address).expect("connect");
        let (server, peer) = listener.accept(io).expect("accept");
        assert_eq!(client.peer_addr(io).expect("address"), address);
        assert_eq!(server.local_addr(io).expect("address"), address);
        assert_eq!(client.local_addr(io).expect("address"), peer);
        assert_eq!(server.peer_addr(io).expect("address"), peer);
    });
}

fn ipv6_works_where_the_machine_has_it(on: &On) {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return on.not_run("no IPv6 on this machine");
    }
    on.run(|io| {
        let listener = TcpListener::bind(io, "[::1]:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        assert!(address.is_ipv6());
        let client = TcpStream::connect(io, address).expect("connect");
        let (_, peer) = listener.accept(io).expect("accept");
        assert_eq!(client.local_addr(io).expect("address"), peer);
    });
}

fn connection_refused_keeps_its_errno(on: &On) {
    on.run(|io| {
        let (_held, refused) = refusing(io);
        let error = TcpStream::connect(io, refused).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.raw_os_error(), Some(111));
    });
}

fn an_address_in_use_is_an_error(on: &On) {
    on.run(|io| {
        let (_held, address) = listener(io);
        let error = TcpListener::bind(io, address).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

fn two_listeners_share_a_port_when_both_want_to(on: &On) {
    on.run(|io| {
        let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
        let first = TcpListener::bind_with(io, "127.0.0.1:0", &options).expect("bind");
        let address = first.local_addr(io).expect("address");
        let second = TcpListener::bind_with(io, address, &options).expect("shared");
        let met = AtomicBool::new(false);
        scope(io, |group| {
            let accepting = [&first, &second].map(|listener| {
                concurrently(group, |io| {
                    while let Ok((stream, _)) = listener.accept(io) {
                        met.store(true, Ordering::Relaxed);
                        stream.write_all(io, b"!").expect("sent");
                    }
                })
            });
            for _ in 0..16 {
                let stream = TcpStream::connect(io, address).expect("connect");
                stream.read_exact(io, &mut [0]).expect("either of them answers");
            }
            accepting.into_iter().for_each(|member| member.cancel(io));
        });
        assert!(met.into_inner());
    });
}

fn an_address_is_used_again_at_once(on: &On) {
    on.run(|io| {
        let (first, address) = listener(io);
        let client = TcpStream::connect(io, address).expect("connect");
        let (server, _) = first.accept(io).expect("accept");
        // The side that closes first leaves TIME_WAIT behind.
        drop((server, first));
        assert_eq!(client.read(io, &mut [0]).expect("the end"), 0);
        drop(client);
        TcpListener::bind(io, address).expect("reuse_address is the default");
    });
}

fn reading_returns_what_is_there_and_zero_at_the_end(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        let mut buffer = [0; 16];
        assert_eq!(client.peek(io, &mut buffer).expect("there"), 3);
        assert_eq!(client.read(io, &mut []).expect("an empty buffer"), 0);
        assert_eq!(client.read(io, &mut buffer[..2]).expect("there"), 2);
        assert_eq!(client.read(io, &mut buffer[2..]).expect("the rest"), 1);
        assert_eq!(&buffer[..3], b"abc");
        assert_eq!(server.write(io, b"").expect("an empty buffer"), 0);
        drop(server);
        assert_eq!(client.read(io, &mut buffer).expect("the end"), 0);
        assert_eq!(client.read(io, &mut buffer).expect("the end, again"), 0);
    });
}

fn peek_leaves_the_bytes(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        for _ in 0..3 {
            let mut buffer = [0; 2];
            assert_eq!(client.peek(io, &mut buffer).expect("there"), 2);
            assert_eq!(&buffer, b"ab");
        }
        let mut buffer = [0; 3];
        client.read_exact(io, &mut buffer).expect("all of it");
        assert_eq!(&buffer, b"abc");
    });
}

fn vectored_calls_fill_buffers_in_order(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two"), IoSlice::new(b"three")];
        assert_eq!(client.write_vectored(io, &parts).expect("sent"), 11);
        server.peek(io, &mut [0; 11]).expect("there");
        let (mut first, mut second, mut third) = ([0; 4], [0; 5], [0; 10]);
        let mut buffers = [
            IoSliceMut::new(&mut first),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut second),
            IoSliceMut::new(&mut third),
        ];
        assert_eq!(server.read_vectored(io, &mut buffers).expect("received"), 11);
        assert_eq!((&first, &second, &third[..2]), (b"onet", b"wothr", &b"ee"[..]));
        assert_eq!(client.write_vectored(io, &[]).expect("nothing to send"), 0);
        assert_eq!(server.read_vectored(io, &mut []).expect("nowhere to put it"), 0);
    });
}

/// More buffers than one system call accepts.
fn vectored_calls_take_any_number_of_buffers(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        let parts: Vec<_> = bytes.iter().map(|byte| IoSlice::new(std::slice::from_ref(byte))).collect();
        let mut sent = 0;
        while sent < parts.len() {
            sent += client.write_vectored(io, &parts[sent..]).expect("sent");
        }
        let mut received = vec![0; bytes.len()];
        let mut filled = 0;
        while filled < received.len() {
            let mut buffers: Vec<_> = received[filled..].chunks_mut(1).map(IoSliceMut::new).collect();
            filled += server.read_vectored(io, &mut buffers).expect("received");
        }
        assert_eq!(received, bytes);
    });
}

fn read_exact_tells_how_far_it_came(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        server.shutdown(io, Shutdown::Write).expect("shut down");
        let error = client.read_exact(io, &mut [0; 5]).expect_err("too early");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Incomplete::count_of(&error), 3);
        let error = client.read_exact(io, &mut [0; 5]).expect_err("at once");
        assert_eq!((error.kind(), Incomplete::count_of(&error)), (io::ErrorKind::UnexpectedEof, 0));
        client.read_exact(io, &mut []).expect("nothing is wanted");
    });
}

fn a_canceled_read_exact_tells_how_far_it_came(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.write_all(io, b"abc").expect("sent");
        client.peek(io, &mut [0; 3]).expect("they are here");
        let started = Event::new();
        scope(io, |group| {
            let member = concurrently(group, |io| {
                started.set();
                client.read_exact(io, &mut [0; 5])
            });
            started.wait_uncancelable(io);
            let error = member.cancel(io).expect_err("canceled");
            let read = Incomplete::count_of(&error);
            assert!(read == 3 || read == 0, "{read}");
            assert!(Canceled::is_in(&error), "{error}");
            // The bytes that were not read are still there.
            let mut rest = [0; 3];
            client.read_exact(io, &mut rest[read..]).expect("the rest");
        });
    });
}

/// Exactly the bytes that a canceled writer reports have arrived.
fn a_canceled_write_all_tells_how_far_it_came(on: &On) {
    on.run(|io| {
        let bytes: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
        for round in 0..10 {
            let (client, server) = tcp_pair(io);
            scope(io, |group| {
                let writer = concurrently(group, |io| client.write_all(io, &bytes));
                io.sleep(Duration::from_micros(round * 100)).expect("not canceled");
                let error = writer.cancel(io).expect_err("nobody reads that much");
                let count = Incomplete::count_of(&error);
                assert!(Canceled::is_in(&error), "{error}");
                client.shutdown(io, Shutdown::Write).expect("shut down");
                let mut received = Vec::new();
                server.with(io).read_to_end(&mut received).expect("received");
                assert_eq!(received.len(), count, "the count and what arrived");
                assert!(received == bytes[..count], "and the same bytes");
            });
        }
    });
}

fn sixteen_mebibytes_arrive_as_they_were(on: &On) {
    on.run(|io| {
        let mut random = Random::new("16 MiB");
        let bytes: Vec<u8> = (0..2 << 20).flat_map(|_| random.number().to_le_bytes()).collect();
        let (client, server) = tcp_pair(io);
        scope(io, |group| {
            let writer = concurrently(group, |io| client.write_all(io, &bytes));
            let mut received = vec![0; bytes.len()];
            server.read_exact(io, &mut received).expect("received");
            writer.join(io).expect("sent");
            assert!(received == bytes);
        });
    });
}

/// Both directions at once, through the same two handles.
fn a_stream_reads_and_writes_at_once(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let bytes = vec![7; 2 << 20];
        scope(io, |group| {
            for stream in [&client, &server] {
                let bytes = &bytes;
                drop(concurrently(group, move |io| stream.write_all(io, bytes).expect("sent")));
                drop(concurrently(group, move |io| {
                    let mut received = vec![0; bytes.len()];
                    stream.read_exact(io, &mut received).expect("received");
                    assert!(received == *bytes);
                }));
            }
        });
    });
}

fn each_half_is_shut_down_by_itself(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        client.shutdown(io, Shutdown::Write).expect("shut down");
        assert_eq!(server.read(io, &mut [0]).expect("the end"), 0);
        server.write_all(io, b"still").expect("the other half is open");
        client.read_exact(io, &mut [0; 5]).expect("received");
        let error = client.write(io, b"x").expect_err("shut down");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "an error and no signal");
        client.shutdown(io, Shutdown::Read).expect("shut down");
        assert_eq!(client.read(io, &mut [0]).expect("the end"), 0);
        let (client, _server) = tcp_pair(io);
        client.shutdown(io, Shutdown::Both).expect("shut down");
        assert_eq!(client.read(io, &mut [0]).expect("the end"), 0);
        client.write(io, b"x").expect_err("shut down");
    });
}

fn shutting_down_ends_a_read_that_waits(on: &On) {
    on.run(|io| {
        let (client, _server) = tcp_pair(io);
        scope(io, |group| {
            let reader = concurrently(group, |io| client.read(io, &mut [0]));
            client.shutdown(io, Shutdown::Read).expect("shut down");
            assert_eq!(reader.join(io).expect("the end"), 0);
        });
    });
}

fn writing_to_who_has_gone_is_an_error(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        drop(server);
        let error = loop {
            if let Err(error) = client.write(io, &[0; 1000]) {
                break error;
            }
        };
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
    });
}

fn a_reset_is_told(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        server.set_linger(io, Some(Duration::ZERO)).expect("set");
        drop(server);
        let error = client.read(io, &mut [0]).expect_err("reset");
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::ConnectionReset, Some(104)));
    });
}

fn dropping_and_closing_close(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        drop(client);
        assert_eq!(server.read(io, &mut [0]).expect("the end"), 0);
        let (client, server) = tcp_pair(io);
        client.close(io).expect("closed");
        assert_eq!(server.read(io, &mut [0]).expect("the end"), 0);
        let (listener, address) = listener(io);
        listener.close(io).expect("closed");
        TcpStream::connect(io, address).expect_err("nobody listens");
    });
}

fn a_canceled_close_closes_nevertheless(on: &On) {
    on.run(|io| {
        let (client, server) = tcp_pair(io);
        let go = Event::new();
        scope(io, |group| {
            let member = concurrently(group, |io| {
                go.wait_uncancelable(io);
                client.close(io)
            });
            member.request_cancel();
            go.set();
            // Both results are right; the descriptor is closed in any case.
            if let Err(error) = member.join(io) {
                assert!(Canceled::is_in(&error), "{error}");
            }
        });
        assert_eq!(server.read(io, &mut [0]).expect("the end"), 0);
    });
}

/// Descriptors are converted from and to std's types unchanged.
fn std_streams_become_ours(on: &On) {
    on.run(|io| {
        let theirs = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = theirs.local_addr().expect("address");
        let listener = TcpListener::from(theirs);
        let mut plain = std::net::TcpStream::connect(address).expect("connect");
        let (stream, _) = listener.accept(io).expect("accept");
        plain.write_all(b"plain").expect("sent");
        let mut buffer = [0; 5];
        stream.read_exact(io, &mut buffer).expect("received");
        assert_eq!(&buffer, b"plain");
        let ours = TcpStream::from(plain);
        stream.write_all(io, b"ours").expect("sent");
        ours.read_exact(io, &mut buffer[..4]).expect("received");
    });
}

/// A listener and streams that other code made non-blocking work like the others.
fn non_blocking_descriptors_block_the_caller_nevertheless(on: &On) {
    on.run(|io| {
        let theirs = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        theirs.set_nonblocking(true).expect("set");
        let address = theirs.local_addr().expect("address");
        let listener = TcpListener::from(theirs);
        scope(io, |group| {
            let accepting = concurrently(group, |io| listener.accept(io));
            io.yield_now();
            let plain = std::net::TcpStream::connect(address).expect("connect");
            plain.set_nonblocking(true).expect("set");
            let ours = TcpStream::from(plain);
            let (server, _) = accepting.join(io).expect("accepted");
            let reading = concurrently(group, move |io| ours.read(io, &mut [0]));
            io.yield_now();
            server.write_all(io, b"x").expect("sent");
            assert_eq!(reading.join(io).expect("received"), 1);
        });
    });
}

/// An acceptor runs on each executor, and its connections stay there.
fn each_executor_accepts_at_one_address(on: &On) {
    let on = &on.executors(3);
    on.run(|io| {
        let listeners = TcpListener::bind_each(io, "127.0.0.1:0", &ListenOptions::default()).expect("bind");
        assert_eq!(listeners.len(), io.backend().executors);
        let address = listeners[0].local_addr(io).expect("address");
        assert!(listeners.iter().all(|listener| listener.local_addr(io).expect("address") == address));
        let served = Mutex::new(0);
        let serve = |io: &dyn Io, listener: &TcpListener| {
            let acceptor = thread::current().id();
            io.group(|connections| -> io::Result<()> {
                loop {
                    let (stream, _) = listener.accept(io)?;
                    let served = &served;
                    let connection = connections.task().placement(Placement::Here);
                    connection.spawn_waiting(move |io| {
                        assert!(io.backend().executors == 1 || thread::current().id() == acceptor);
                        *served.lock().expect("nobody panics with it") += 1;
                        stream.write_all(io, b"hello").expect("sent");
                    })?;
                }
            })
        };
        scope(io, |group| {
            for (number, listener) in listeners.iter().enumerate() {
                let acceptor = group.task().name("acceptor").placement(Placement::Executor(number));
                let serve = &serve;
                drop(acceptor.spawn_concurrent(move |io| serve(io, listener)).expect("started"));
            }
            for _ in 0..60 {
                let stream = TcpStream::connect(io, address).expect("connect");
                stream.read_exact(io, &mut [0; 5]).expect("greeted");
            }
            group.cancel(io);
        });
        assert_eq!(*served.lock().expect("nobody panicked with it"), 60);
    });
}

/// The option is read back on both sides, also if the kernel accepts ahead.
fn small_pieces_are_delayed_only_where_that_is_asked_for(on: &On) {
    on.run(|io| {
        let check = |listener: &TcpListener, listen: bool, options: &ConnectOptions| {
            let address = listener.local_addr(io).expect("bound");
            let near = TcpStream::connect_with(io, address, options).expect("connected");
            assert_eq!(near.nodelay(io).expect("read"), options.no_delay, "connected");
            let (far, _) = listener.accept(io).expect("accepted");
            assert_eq!(far.nodelay(io).expect("read"), listen, "accepted");
            let _near = TcpStream::connect_with(io, address, options).expect("connected");
            let far = listener.incoming(io).next(io).expect("accepted");
            assert_eq!(far.nodelay(io).expect("read"), listen, "accepted ahead");
        };
        let delays = ConnectOptions { no_delay: false, ..ConnectOptions::default() };
        check(&TcpListener::bind(io, "127.0.0.1:0").expect("bound"), true, &ConnectOptions::default());
        check(&TcpListener::bind(io, "127.0.0.1:0").expect("bound"), true, &delays);
        for listener in TcpListener::bind_each(io, "127.0.0.1:0", &ListenOptions::default()).expect("bound") {
            assert!(listener.option(io, option::NO_DELAY).expect("read"), "each of several");
        }
        let options = ListenOptions { no_delay: false, ..ListenOptions::default() };
        let listener = TcpListener::bind_with(io, "127.0.0.1:0", &options).expect("bound");
        check(&listener, false, &ConnectOptions::default());
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let near = TcpStream::connect(io, listener.local_addr(io).expect("bound")).expect("connected");
        assert!(near.nodelay(io).expect("read"), "of the plain form");
    });
}
