//! Connections and bytes as they arrive: each exactly once, in order, whatever is canceled.

use std::io::{self, Read, Write};
use std::net;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iolite_io::net::{BufferPool, Incoming, IncomingBytes, PooledBuffer, TcpListener, TcpStream};
use iolite_io::sync::Event;
use iolite_io::{Canceled, Incomplete, Io, no_suspend};

use crate::On;
use crate::case::{Case, cases, pairs};
use crate::tools::{Race, Random, concurrently, note, rounds, scope, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    connections_come_in_order,
    a_connection_that_comes_later_is_waited_for,
    stopping_hands_out_what_was_accepted,
    dropping_closes_what_was_accepted,
    what_comes_after_a_drop_elsewhere_is_left,
    a_connection_is_handed_out_or_still_comes,
    bytes_come_in_order_and_then_the_end,
    an_idle_connection_holds_no_buffer,
    bytes_wait_for_a_buffer,
    idle_connections_starve_nobody,
    takers_get_all_buffers_that_nobody_uses,
    stopping_hands_out_what_was_received,
    an_error_comes_behind_the_bytes,
    no_byte_is_lost_under_cancellation,
    a_canceled_call_leaves_the_rest_as_it_was,
    a_pending_request_comes_first,
    zero_copy_sends_arrive_whole,
    zero_copy_sends_give_buffers_back,
    a_canceled_zero_copy_send_tells_the_truth,
    what_is_in_flight_does_not_hold_a_shutdown_up,
];

pub(crate) const PAIRS: &[Case] = pairs![it_moves_between_contexts];

fn listener(io: &dyn Io) -> (TcpListener, net::SocketAddr) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
    let address = listener.local_addr(io).expect("address");
    (listener, address)
}

fn connect(address: net::SocketAddr) -> net::TcpStream {
    net::TcpStream::connect(address).expect("connect")
}

/// Returns a connection whose other end is std's and does not use the tested `Io`.
fn half(io: &dyn Io) -> (TcpStream, net::TcpStream) {
    let (listener, address) = listener(io);
    let theirs = connect(address);
    theirs.set_nodelay(true).expect("set");
    (listener.accept(io).expect("accept").0, theirs)
}

/// Waits for something that should be available at once, with a time limit, so that a loss is not a hang.
fn soon<T>(io: &dyn Io, f: impl FnOnce(&dyn Io) -> io::Result<T>) -> io::Result<T> {
    io.timeout(Duration::from_secs(20), f)
}

fn peer(io: &dyn Io, stream: &TcpStream) -> net::SocketAddr {
    stream.peer_addr(io).expect("address")
}

/// Reads everything until the peer has finished.
fn read_all(io: &dyn Io, incoming: &mut IncomingBytes<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = incoming.next(io).expect("received") {
        assert!(!bytes.is_empty(), "no bytes are the end, and nothing else");
        all.extend_from_slice(&bytes);
    }
    all
}

fn connections_come_in_order(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        let mut incoming = listener.incoming(io);
        for _ in 0..3 {
            let clients: Vec<_> = (0..50).map(|_| connect(address)).collect();
            for client in &clients {
                let stream = soon(io, |io| incoming.next(io)).expect("a connection");
                assert_eq!(peer(io, &stream), client.local_addr().expect("address"));
            }
        }
    });
}

fn a_connection_that_comes_later_is_waited_for(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        let waits = Event::new();
        scope(io, |group| {
            let server = concurrently(group, |io| {
                let mut incoming = listener.incoming(io);
                waits.set();
                (0..2).map(|_| peer(io, &incoming.next(io).expect("a connection"))).collect::<Vec<_>>()
            });
            waits.wait(io).expect("it waits");
            let clients = [connect(address), connect(address)];
            let expected = clients.map(|client| client.local_addr().expect("address"));
            assert_eq!(server.join(io), expected);
        });
    });
}

/// The listener still works, and so does every connection that was not taken.
fn stopping_hands_out_what_was_accepted(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        let mut incoming = listener.incoming(io);
        let clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
        let mut accepted = vec![soon(io, |io| incoming.next(io)).expect("a connection")];
        accepted.extend(incoming.stop(io).into_iter().map(|stream| stream.expect("a connection")));
        while accepted.len() < clients.len() {
            accepted.push(soon(io, |io| listener.accept(io)).expect("it still waits").0);
        }
        for (stream, client) in accepted.iter().zip(&clients) {
            assert_eq!(peer(io, stream), client.local_addr().expect("address"));
        }
    });
}

/// Accepted connections are closed, the others wait: no client hangs.
fn dropping_closes_what_was_accepted(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        let mut incoming = listener.incoming(io);
        let clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
        drop(soon(io, |io| incoming.next(io)).expect("a connection"));
        drop(incoming);
        drop(listener);
        for mut client in clients {
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
            // This is the end, or a reset if the connection was still in the queue.
            match client.read(&mut [0]) {
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
            }
        }
    });
}

/// This holds whatever the dropping thread may do, and whatever the first thread is busy with.
fn what_comes_after_a_drop_elsewhere_is_left(on: &On) {
    on.run(|io| {
        for round in 0..rounds(24) {
            let pool = BufferPool::new(4, 16);
            let (stream, mut theirs) = half(io);
            let mut incoming = stream.incoming(io, &pool);
            theirs.write_all(b"before").expect("sent");
            drop(soon(io, |io| incoming.next(io)).expect("received").expect("not the end"));
            elsewhere(io, round, || drop(incoming), || theirs.write_all(b"after").expect("sent"));
            let mut bytes = [0; 5];
            soon(io, |io| stream.read_exact(io, &mut bytes)).expect("what was sent after the drop");
            assert_eq!(&bytes, b"after");

            let (listener, address) = listener(io);
            let mut incoming = listener.incoming(io);
            let _first = connect(address);
            drop(soon(io, |io| incoming.next(io)).expect("a connection"));
            let mut client = None;
            elsewhere(io, round, || drop(incoming), || client = Some(connect(address)));
            let accepted = soon(io, |io| listener.accept(io)).expect("the connection that came after the drop").0;
            let client = client.expect("connected");
            assert_eq!(peer(io, &accepted), client.local_addr().expect("address"));
        }
    });
}

/// Calls `discard` and then `send` on another thread than the caller's, in one of several situations.
fn elsewhere(io: &dyn Io, round: usize, discard: impl FnOnce() + Send, send: impl FnOnce() + Send) {
    /// Runs its closure when it is dropped.
    struct OnDrop<F: FnOnce()>(Option<F>);

    impl<F: FnOnce()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            if let Some(f) = self.0.take() {
                f();
            }
        }
    }

    match round % 4 {
        // The caller's thread continues, and may sleep.
        0 => io
            .offload(|| {
                discard();
                send();
            })
            .expect("there is a thread"),
        // The caller's thread, which may be an executor's, waits for the other one.
        1 => std::thread::scope(|threads| {
            threads.spawn(|| {
                discard();
                send();
            });
        }),
        2 => std::thread::scope(|threads| {
            threads.spawn(|| {
                no_suspend(discard);
                send();
            });
        }),
        _ => std::thread::scope(|threads| {
            threads.spawn(|| {
                let unwinds = AssertUnwindSafe(|| {
                    let _dropped = OnDrop(Some(discard));
                    resume_unwind(Box::new(()));
                });
                catch_unwind(unwinds).expect_err("it panics");
                send();
            });
        }),
    }
}

fn a_connection_is_handed_out_or_still_comes(on: &On) {
    on.on_thread(|io| {
        let (listener, address) = listener(io);
        scope(io, |group| {
            let member = concurrently(group, |io| {
                let mut incoming = listener.incoming(io);
                Race::new("incoming connection", 1_000).run(|start| {
                    let (connected, mut client) = (Event::new(), None);
                    let accepted = canceled_race(
                        io,
                        start,
                        &connected,
                        || client = Some(connect(address)),
                        |io| incoming.next(io),
                    );
                    let won = accepted.is_some();
                    let stream = accepted.unwrap_or_else(|| soon(io, |io| incoming.next(io)).expect("it still comes"));
                    assert_eq!(peer(io, &stream), client.expect("connected").local_addr().expect("address"));
                    won
                });
            });
            member.join(io);
        });
    });
}

/// Lets a plain thread complete what `attempt` waits for, at about the time when a timeout ends it. Returns the result
/// of `attempt`, or nothing if the timeout came first.
fn canceled_race<T>(
    io: &dyn Io,
    start: crate::tools::Start,
    completed: &Event,
    complete: impl FnOnce() + Send,
    attempt: impl FnOnce(&dyn Io) -> io::Result<T>,
) -> Option<T> {
    const BASE: Duration = Duration::from_micros(300);
    std::thread::scope(|threads| {
        let begin = std::time::Instant::now();
        let delay = start.completion_delay(BASE);
        threads.spawn(move || {
            while begin.elapsed() < delay {
                std::thread::yield_now();
            }
            complete();
            completed.set();
        });
        let result = io.timeout(BASE, attempt);
        completed.wait_uncancelable(io);
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                None
            }
        }
    })
}

fn bytes_come_in_order_and_then_the_end(on: &On) {
    on.run(|io| {
        let pool = BufferPool::new(8, 1024);
        let (stream, mut theirs) = half(io);
        let sent: Vec<u8> = (0..200_000_u32).map(|number| number as u8 ^ (number >> 8) as u8).collect();
        let expected = sent.clone();
        std::thread::scope(|threads| {
            threads.spawn(move || theirs.write_all(&sent).expect("sent"));
            let mut incoming = stream.incoming(io, &pool);
            assert!(soon(io, |io| Ok(read_all(io, &mut incoming))).expect("in time") == expected);
            assert!(incoming.next(io).expect("the end").is_none(), "the end stays");
        });
    });
}

fn an_idle_connection_holds_no_buffer(on: &On) {
    // On a thread, because the case reads the answers with a call that blocks.
    on.on_thread(|io| {
        let pool = BufferPool::new(2, 64);
        let mut connections: Vec<_> = (0..20).map(|_| half(io)).collect();
        scope(io, |group| {
            for (number, (stream, _)) in connections.iter().enumerate() {
                let pool = &pool;
                drop(concurrently(group, move |io| {
                    let mut incoming = stream.incoming(io, pool);
                    while let Some(bytes) = incoming.next(io).expect("received") {
                        stream.write_all(io, &[bytes[0], number as u8]).expect("answered");
                    }
                }));
            }
            // All of them wait; each is answered, in any order.
            for round in 0..3_u8 {
                for (number, (_, theirs)) in connections.iter().enumerate().rev() {
                    let mut theirs = theirs;
                    theirs.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
                    theirs.write_all(&[round]).expect("sent");
                    let mut answer = [0; 2];
                    theirs.read_exact(&mut answer).expect("answered");
                    assert_eq!(answer, [round, number as u8]);
                }
            }
            connections.iter().for_each(|(_, theirs)| theirs.shutdown(net::Shutdown::Write).expect("shut down"));
        });
        connections.clear();
        assert!(pool.try_take().is_some(), "the buffers came back");
    });
}

/// If no buffer is free, bytes wait in the socket, and none are lost.
fn bytes_wait_for_a_buffer(on: &On) {
    on.run(|io| {
        let pool = BufferPool::new(3, 16);
        let (stream, mut theirs) = half(io);
        let mut incoming = stream.incoming(io, &pool);
        theirs.write_all(&[7; 1000]).expect("sent");
        theirs.shutdown(net::Shutdown::Write).expect("shut down");
        let mut kept: Vec<PooledBuffer> = Vec::new();
        let mut count = 0;
        while count < 1000 {
            if kept.len() == 3 {
                let error =
                    io.timeout(Duration::from_millis(1), |io| incoming.next(io)).expect_err("no buffer is free");
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                kept.clear();
            }
            let bytes = soon(io, |io| incoming.next(io)).expect("received").expect("not the end");
            count += bytes.len();
            kept.push(bytes);
        }
        assert_eq!(count, 1000);
        drop(kept);
        assert!(soon(io, |io| incoming.next(io)).expect("received").is_none());
    });
}

/// A waiter for a buffer is served although idle connections are ready to receive into the same pool.
fn idle_connections_starve_nobody(on: &On) {
    on.run(|io| {
        let pool = BufferPool::new(2, 16);
        let connections: Vec<_> = (0..4).map(|_| half(io)).collect();
        let mut waiting: Vec<_> = connections.iter().map(|(stream, _)| stream.incoming(io, &pool)).collect();
        for incoming in &mut waiting {
            let error = io.timeout(Duration::from_millis(1), |io| incoming.next(io)).expect_err("idle");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        }
        for _ in 0..3 {
            drop(soon(io, |io| Ok(pool.take(io)?)).expect("a buffer circulates"));
        }
    });
}

/// Buffers that the backend keeps at hand return to waiting tasks, even while connections continue to receive.
fn takers_get_all_buffers_that_nobody_uses(on: &On) {
    on.run(|io| {
        for count in [2, 8, 64] {
            let pool = BufferPool::new(count, 16);
            let take_all = || {
                let taken = (0..count).map(|_| soon(io, |io| Ok(pool.take(io)?)));
                taken.collect::<io::Result<Vec<_>>>().expect("a buffer that nobody uses")
            };
            let (stream, mut theirs) = half(io);
            let mut incoming = stream.incoming(io, &pool);
            for round in 0..3_u8 {
                theirs.write_all(&[round]).expect("sent");
                assert_eq!(&*soon(io, |io| incoming.next(io)).expect("received").expect("not the end"), [round]);
                let error = io.timeout(Duration::from_millis(1), |io| incoming.next(io)).expect_err("it waits");
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                drop(take_all());
            }
            // Bytes that arrive in the meantime are received when there is a buffer again.
            let all = take_all();
            theirs.write_all(b"later").expect("sent");
            let error = io.timeout(Duration::from_millis(1), |io| incoming.next(io)).expect_err("no buffer is free");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            drop(all);
            assert_eq!(&*soon(io, |io| incoming.next(io)).expect("received").expect("not the end"), b"later");
            assert!(incoming.stop(io).is_empty(), "nothing else was sent");
            drop(take_all());
        }
    });
}

/// Bytes that had arrived are returned, and the rest is read as usual: nothing in between is lost.
fn stopping_hands_out_what_was_received(on: &On) {
    on.run(|io| {
        let mut random = Random::new("stop");
        for _ in 0..rounds(20) {
            let pool = BufferPool::new(64, 32);
            let (stream, mut theirs) = half(io);
            let sent: Vec<u8> = (0..4_000 + random.below(4_000)).map(|_| random.number() as u8).collect();
            let mut incoming = stream.incoming(io, &pool);
            theirs.write_all(&sent).expect("sent");
            theirs.shutdown(net::Shutdown::Write).expect("shut down");
            let mut all = Vec::new();
            for _ in 0..random.below(20) {
                all.extend_from_slice(&incoming.next(io).expect("received").expect("not the end"));
            }
            for bytes in incoming.stop(io) {
                all.extend_from_slice(&bytes.expect("received"));
            }
            let mut buffer = [0; 1024];
            loop {
                match soon(io, |io| stream.read(io, &mut buffer)).expect("received") {
                    0 => break,
                    count => all.extend_from_slice(&buffer[..count]),
                }
            }
            assert!(all == sent, "{} of {} bytes, or not in order", all.len(), sent.len());
        }
    });
}

fn an_error_comes_behind_the_bytes(on: &On) {
    on.run(|io| {
        let pool = BufferPool::new(4, 64);
        let (stream, mut theirs) = half(io);
        let mut incoming = stream.incoming(io, &pool);
        theirs.write_all(b"last words").expect("sent");
        let bytes = soon(io, |io| incoming.next(io)).expect("received").expect("not the end");
        assert_eq!(&*bytes, b"last words");
        // It is closed with bytes that it has not read, which causes a reset.
        stream.write_all(io, b"never read").expect("sent");
        theirs.peek(&mut [0]).expect("it is there");
        drop(theirs);
        let error = soon(io, |io| incoming.next(io)).expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    });
}

/// Each byte exactly once and in order, while timeouts and requests end calls at random moments.
fn no_byte_is_lost_under_cancellation(on: &On) {
    on.on_thread(|io| {
        let mut random = Random::new("bytes");
        let pool = BufferPool::new(4, 128);
        let (stream, mut theirs) = half(io);
        let total = 64 * rounds(2_000);
        let mut pauses = random.clone();
        let done = AtomicBool::new(false);
        let (mut given, mut ended) = (0, 0);
        std::thread::scope(|threads| {
            threads.spawn(move || {
                for begin in (0..total).step_by(64) {
                    let chunk: Vec<u8> = (begin..begin + 64).map(|number| number as u8 ^ (number >> 8) as u8).collect();
                    theirs.write_all(&chunk).expect("sent");
                    if pauses.below(4) == 0 {
                        std::thread::sleep(Duration::from_micros(pauses.below(200)));
                    }
                }
            });
            scope(io, |group| {
                let (done, given, ended, stream, pool) = (&done, &mut given, &mut ended, &stream, &pool);
                let reader = concurrently(group, move |io| {
                    let mut incoming = stream.incoming(io, pool);
                    let mut position = 0;
                    while position < total {
                        let time = Duration::from_micros(random.below(100));
                        match io.timeout(time, |io| incoming.next(io)) {
                            Ok(bytes) => {
                                let bytes = bytes.expect("not the end");
                                for byte in &*bytes {
                                    assert_eq!(*byte, position as u8 ^ (position >> 8) as u8, "at {position}");
                                    position += 1;
                                }
                                *given += 1;
                            }
                            Err(error) => {
                                assert!(error.kind() == io::ErrorKind::TimedOut || Canceled::is_in(&error), "{error}");
                                *ended += 1;
                            }
                        }
                    }
                    done.store(true, Ordering::Relaxed);
                    loop {
                        match soon(io, |io| incoming.next(io)) {
                            Ok(bytes) => break assert!(bytes.is_none(), "more than was sent"),
                            Err(error) => assert!(Canceled::is_in(&error), "{error}"),
                        }
                    }
                });
                while !done.load(Ordering::Relaxed) {
                    reader.request_cancel();
                    std::thread::sleep(Duration::from_micros(300));
                }
                reader.join(io);
            });
        });
        note(format_args!("{given} calls brought bytes, {ended} were ended"));
        assert!(given > 0 && ended > 0, "no race: {given} calls brought bytes, {ended} were ended");
    });
}

fn a_canceled_call_leaves_the_rest_as_it_was(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        let pool = BufferPool::new(2, 16);
        let (stream, mut theirs) = half(io);
        let (at_points, go) = (Event::new(), Event::new());
        scope(io, |group| {
            let (at_points, go, listener, stream, pool) = (&at_points, &go, &listener, &stream, &pool);
            let member = concurrently(group, move |io| {
                let mut connections = listener.incoming(io);
                let bytes = stream.incoming(io, pool);
                at_points.set();
                go.wait_uncancelable(io);
                Canceled::from_error(connections.next(io).expect_err("requested")).map(drop).expect("canceled");
                io.check_cancel().expect("delivered once");
                let client = connect(address);
                let accepted = soon(io, |io| connections.next(io)).expect("a connection");
                assert_eq!(peer(io, &accepted), client.local_addr().expect("address"));
                bytes
            });
            at_points.wait(io).expect("there");
            member.request_cancel();
            go.set();
            let mut bytes = member.join(io);
            // The operation begins in one context and continues in another.
            theirs.write_all(b"x").expect("sent");
            assert_eq!(&*soon(io, |io| bytes.next(io)).expect("received").expect("not the end"), b"x");
        });
    });
}

/// It is a cancellation point even if there is something to return.
fn a_pending_request_comes_first(on: &On) {
    on.in_task(|io| {
        let pool = BufferPool::new(4, 16);
        let (stream, mut theirs) = half(io);
        let mut incoming = stream.incoming(io, &pool);
        theirs.write_all(b"ab").expect("sent");
        drop(soon(io, |io| incoming.next(io)).expect("received"));
        theirs.write_all(b"c").expect("sent");
        // It may have arrived by then; it must not be returned in either case.
        io.sleep(Duration::from_millis(5)).expect("slept");
        let result = io.timeout(Duration::ZERO, |io| incoming.next(io));
        assert_eq!(result.expect_err("the time is over").kind(), io::ErrorKind::TimedOut);
        assert_eq!(&*soon(io, |io| incoming.next(io)).expect("received").expect("not the end"), b"c");
    });
}

/// It is made on a fiber and used in a task of another runtime: the bytes arrive there.
fn it_moves_between_contexts(one: &On, other: &On) {
    one.on_thread(|io| {
        let other = other.start();
        let pool = BufferPool::new(4, 16);
        let (stream, mut theirs) = half(io);
        let (listener, address) = listener(io);
        let (mut bytes, mut connections) = scope(io, |group| {
            let (stream, pool, listener) = (&stream, &pool, &listener);
            let member = concurrently(group, move |io| {
                let (mut bytes, mut connections) = (stream.incoming(io, pool), listener.incoming(io));
                for _ in 0..2 {
                    let time = Duration::from_millis(1);
                    io.timeout(time, |io| bytes.next(io)).map(drop).expect_err("nothing yet");
                    io.timeout(time, |io| connections.next(io)).map(drop).expect_err("nothing yet");
                }
                (bytes, connections)
            });
            member.join(io)
        });
        scope(other.io(), |group| {
            let (bytes, connections) = (&mut bytes, &mut connections);
            let member = concurrently(group, |_| use_them(io, &stream, bytes, connections));
            for round in 0..20_u8 {
                theirs.write_all(&[round]).expect("sent");
                assert_eq!(theirs.read(&mut [0]).expect("answered"), 1);
                drop(connect(address));
            }
            member.join(other.io());
        });
        other.shutdown();

        fn use_them(io: &dyn Io, stream: &TcpStream, bytes: &mut IncomingBytes<'_>, connections: &mut Incoming<'_>) {
            for round in 0..20_u8 {
                let received = soon(io, |io| bytes.next(io)).expect("received").expect("not the end");
                assert_eq!(&*received, [round]);
                stream.write_all(io, b"y").expect("answered");
                soon(io, |io| connections.next(io)).map(drop).expect("a connection");
            }
        }
    });
}

fn zero_copy_sends_arrive_whole(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        let bytes: Arc<Vec<u8>> = Arc::new((0..300_000_u32).map(|number| (number * 7) as u8).collect());
        scope(io, |group| {
            let reader = concurrently(group, |io| {
                let mut received = vec![0; 2 * bytes.len()];
                far.read_exact(io, &mut received).expect("received");
                received
            });
            near.send_zero_copy(io, bytes.clone()).expect("sent");
            near.send_zero_copy(io, bytes.clone()).expect("sent");
            let received = reader.join(io);
            assert!(received[..bytes.len()] == bytes[..] && received[bytes.len()..] == bytes[..]);
        });
        near.send_zero_copy(io, Arc::new([])).expect("nothing to send");
        far.shutdown(io, net::Shutdown::Both).expect("shut down");
        drop(far);
        let gone = (0..1_000).find_map(|_| near.send_zero_copy(io, bytes.clone()).err()).expect("nobody is there");
        assert!(matches!(gone.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{gone}");
    });
}

/// A buffer belongs to the pool again when the kernel has released it.
fn zero_copy_sends_give_buffers_back(on: &On) {
    on.run(|io| {
        let pool = BufferPool::new(2, 4096);
        let (near, far) = tcp_pair(io);
        scope(io, |group| {
            let reader = concurrently(group, |io| {
                let mut buffer = [0; 4096];
                for round in 0..50_u8 {
                    far.read_exact(io, &mut buffer).expect("received");
                    assert_eq!(buffer, [round; 4096]);
                }
            });
            for round in 0..50_u8 {
                let mut buffer = soon(io, |io| Ok(pool.take(io)?)).expect("one comes back");
                buffer.storage_mut().fill(round);
                buffer.set_len(4096);
                near.send_zero_copy(io, Arc::new(buffer)).expect("sent");
            }
            reader.join(io);
        });
    });
}

/// The error of a canceled send contains the number of bytes that the peer gets.
fn a_canceled_zero_copy_send_tells_the_truth(on: &On) {
    // On a thread, because the case looks at the other end with a call that blocks.
    on.on_thread(|io| {
        let (near, mut theirs) = half(io);
        let bytes = Arc::new(vec![3_u8; 32 << 20]);
        let error = scope(io, |group| {
            let sender = concurrently(group, |io| near.send_zero_copy(io, bytes.clone()));
            theirs.peek(&mut [0]).expect("it has begun");
            sender.cancel(io).expect_err("nobody reads")
        });
        assert!(Canceled::is_in(&error), "{error}");
        let sent = Incomplete::count_of(&error);
        drop(near);
        theirs.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).expect("received");
        assert_eq!(received.len(), sent);
    });
}

fn what_is_in_flight_does_not_hold_a_shutdown_up(on: &On) {
    on.main(|io| {
        let (listener, _) = listener(io);
        let pool = BufferPool::new(4, 16);
        let (stream, theirs) = half(io);
        // They are forgotten, so that nobody asks for the end of their operations in flight.
        let time = Duration::from_millis(1);
        let mut connections = listener.incoming(io);
        io.timeout(time, |io| connections.next(io)).map(drop).expect_err("nothing");
        std::mem::forget(connections);
        let mut bytes = stream.incoming(io, &pool);
        io.timeout(time, |io| bytes.next(io)).map(drop).expect_err("nothing");
        std::mem::forget(bytes);
        drop(theirs);
    });
}
