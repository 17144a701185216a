//! Connections, bytes, messages and the descriptors that travel with them.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::fs::File;
use iolite_io::net::{
    BufferPool, ConnectOptions, Domain, Message, OutgoingMessage, Socket, SocketType, TcpListener, TcpStream,
    UdpSocket, UnixAddress, UnixDatagram, UnixStream, option,
};
use iolite_io::sync::Event;
use iolite_io::{Incomplete, Io};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

use super::ends::By;
use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Race, Random, concurrently, own_address, rounds, scope, spin, until};

pub(crate) const CASES: &[Case] = cases![
    a_connection_is_made_or_closed(By::Request, 1),
    a_connection_is_made_or_closed(By::Request, 3),
    a_connection_is_made_or_closed(By::Timeout, 1),
    a_connection_is_made_or_closed(By::Timeout, 3),
    a_connection_that_waits_for_room_is_made_or_closed(By::Request),
    a_connection_that_waits_for_room_is_made_or_closed(By::Timeout),
    a_byte_is_taken_or_still_there(By::Request, Look::Read),
    a_byte_is_taken_or_still_there(By::Request, Look::ReadExact),
    a_byte_is_taken_or_still_there(By::Request, Look::ReadVectored),
    a_byte_is_taken_or_still_there(By::Request, Look::Peek),
    a_byte_is_taken_or_still_there(By::Request, Look::Readable),
    a_byte_is_taken_or_still_there(By::Timeout, Look::Read),
    a_byte_is_taken_or_still_there(By::Timeout, Look::ReadExact),
    a_byte_is_taken_or_still_there(By::Timeout, Look::ReadVectored),
    a_byte_is_taken_or_still_there(By::Timeout, Look::Peek),
    a_byte_is_taken_or_still_there(By::Timeout, Look::Readable),
    bytes_that_come_are_handed_out_or_kept(By::Request, false),
    bytes_that_come_are_handed_out_or_kept(By::Request, true),
    bytes_that_come_are_handed_out_or_kept(By::Timeout, false),
    bytes_that_come_are_handed_out_or_kept(By::Timeout, true),
    a_socket_is_writable_or_still_full(By::Request),
    a_socket_is_writable_or_still_full(By::Timeout),
    bytes_of_a_large_send_are_counted(By::Request, Large::All),
    bytes_of_a_large_send_are_counted(By::Request, Large::Vectored),
    bytes_of_a_large_send_are_counted(By::Request, Large::ZeroCopy),
    bytes_of_a_large_send_are_counted(By::Request, Large::File),
    bytes_of_a_large_send_are_counted(By::Timeout, Large::All),
    bytes_of_a_large_send_are_counted(By::Timeout, Large::Vectored),
    bytes_of_a_large_send_are_counted(By::Timeout, Large::ZeroCopy),
    bytes_of_a_large_send_are_counted(By::Timeout, Large::File),
    messages_are_sent_or_not(By::Request, 1),
    messages_are_sent_or_not(By::Request, 3),
    messages_are_sent_or_not(By::Timeout, 1),
    messages_are_sent_or_not(By::Timeout, 3),
    a_udp_message_is_sent_or_not(By::Request),
    a_udp_message_is_sent_or_not(By::Timeout),
    messages_are_received_or_still_there(By::Request),
    messages_are_received_or_still_there(By::Timeout),
    a_descriptor_is_received_or_still_comes(By::Request),
    a_descriptor_is_received_or_still_comes(By::Timeout),
    a_listener_is_closed_or_accepts,
    a_stop_loses_no_connection,
];

/// Returns a connection whose other end is std's and does not use the tested `Io`.
fn half(io: &dyn Io) -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let ours = TcpStream::connect(io, listener.local_addr().expect("address")).expect("connect");
    let (theirs, _) = listener.accept().expect("accept");
    theirs.set_nodelay(true).expect("set");
    (ours, theirs)
}

/// Waits until the other end is closed. A lost descriptor would keep it open.
fn assert_closed(mut stream: impl Read) {
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0, "who gave up has sent nothing"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
}

/// Connects to one address, or to several at once, of which one wins: all other connections are closed.
fn a_connection_is_made_or_closed(on: &On, by: By, addresses: usize) {
    on.on_thread(|io| {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let addresses = vec![listener.local_addr().expect("address"); addresses];
        let options = ConnectOptions { attempt_delay: Duration::ZERO, ..ConnectOptions::default() };
        listener.set_nonblocking(true).expect("set");
        Race::new("connect", 200).run(|start| {
            let connect = |io: &dyn Io| TcpStream::connect_with(io, &addresses[..], &options);
            let ours = by.ends_begun(io, start, connect);
            let mut missing = ours.as_ref().map(|ours| ours.local_addr(io).expect("address"));
            // The kernel may pass a connection to the listener after it was reported.
            until(io, || {
                while let Ok((theirs, peer)) = listener.accept() {
                    match missing {
                        Some(address) if address == peer => missing = None,
                        _ => assert_closed(theirs),
                    }
                }
                missing.is_none()
            });
            ours.is_some()
        });
    });
}

/// The queue of the listener is full until a connection is accepted from it.
fn a_connection_that_waits_for_room_is_made_or_closed(on: &On, by: By) {
    on.on_thread(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = Socket::new(io, Domain::UNIX, SocketType::STREAM, 0).expect("made");
        listener.bind(io, UnixAddress::path(&path).expect("a path")).expect("bind");
        // One connection may wait.
        listener.listen(io, 0).expect("listen");
        let accept = || accept_with(listener.as_fd(), SocketFlags::CLOEXEC).map(unix::net::UnixStream::from);
        Race::new("connect when there is room", 300).run(|start| {
            let first = unix::net::UnixStream::connect(&path).expect("the queue is empty");
            let connect = |io: &dyn Io| UnixStream::connect(io, &path);
            let ours = by.ends(io, start, connect, || drop(accept().expect("the first")));
            drop(first);
            match accept() {
                Ok(mut theirs) if ours.is_some() => {
                    ours.as_ref().expect("connected").write_all(io, b"x").expect("sent");
                    assert_eq!(theirs.read(&mut [0; 2]).expect("received"), 1);
                }
                Ok(theirs) => assert_closed(theirs),
                Err(_) => assert!(ours.is_none(), "nobody is connected"),
            }
            accept().expect_err("nobody else");
            ours.is_some()
        });
    });
}

/// The way of checking for bytes.
#[derive(Clone, Copy, Debug)]
enum Look {
    Read,
    ReadExact,
    ReadVectored,
    Peek,
    Readable,
}

impl Look {
    /// Returns the number of bytes that it took.
    fn at(self, io: &dyn Io, stream: &TcpStream) -> io::Result<usize> {
        let (mut one, mut other) = ([0], [0; 3]);
        match self {
            Self::Read => stream.read(io, &mut other),
            Self::ReadExact => stream.read_exact(io, &mut one).map(|()| 1),
            Self::ReadVectored => {
                stream.read_vectored(io, &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)])
            }
            Self::Peek => stream.peek(io, &mut other).map(|count| {
                assert_eq!((count, other[0]), (1, b'x'));
                0
            }),
            Self::Readable => stream.readable(io).map(|()| 0),
        }
    }
}

fn a_byte_is_taken_or_still_there(on: &On, by: By, look: Look) {
    on.on_thread(|io| {
        let (ours, mut theirs) = half(io);
        Race::new("look for a byte", 300).run(|start| {
            let send = || theirs.write_all(b"x").expect("sent");
            let taken = by.ends(io, start, |io| look.at(io, &ours), send);
            if taken != Some(1) {
                assert_eq!(ours.read(io, &mut [0; 2]).expect("it is still there"), 1);
            }
            taken.is_some()
        });
        theirs.shutdown(Shutdown::Write).expect("finished");
        assert_eq!(ours.read(io, &mut [0]).expect("the end"), 0, "nothing is there twice");
    });
}

/// If the kernel fills the buffers, it may have filled one by the time of the request.
fn bytes_that_come_are_handed_out_or_kept(on: &On, by: By, anew: bool) {
    on.on_thread(|io| {
        let (ours, mut theirs) = half(io);
        let pool = BufferPool::new(4, 64);
        let mut incoming = ours.incoming(io, &pool);
        let mut next = 0_u32;
        Race::new("bytes that come", 300).run(|start| {
            next += 1;
            // The operation is armed anew in each round, or left armed by the task of the previous round.
            if anew {
                assert!(std::mem::replace(&mut incoming, ours.incoming(io, &pool)).stop(io).is_empty());
            }
            let send = || theirs.write_all(&next.to_le_bytes()).expect("sent");
            let came = by.ends(io, start, |io| incoming.next(io), send).map(|bytes| bytes.expect("not the end"));
            let won = came.is_some();
            let bytes = came.unwrap_or_else(|| incoming.next(io).expect("they are there").expect("not the end"));
            assert_eq!(*bytes, next.to_le_bytes());
            won
        });
        drop(theirs);
        assert!(incoming.next(io).expect("the end").is_none());
        assert!(pool.try_take().is_some(), "the buffers came back");
    });
}

fn a_socket_is_writable_or_still_full(on: &On, by: By) {
    on.on_thread(|io| {
        let (near, far) = unix::net::UnixStream::pair().expect("pair");
        let near = UnixStream::from(near);
        let push = || send(near.as_fd(), &[0; 4096], SendFlags::DONTWAIT);
        let pull = || std::iter::from_fn(|| recv(&far, &mut [0; 1 << 16], RecvFlags::DONTWAIT).ok()).map(|(_, n)| n);
        Race::new("writable", 300).run(|start| {
            let sent: usize = std::iter::from_fn(|| push().ok()).sum();
            let mut arrived = 0;
            let writable = by.ends(io, start, |io| near.writable(io), || arrived = pull().sum()).is_some();
            if writable {
                assert_eq!(push().expect("there is room"), 4096);
                arrived -= 4096;
            }
            assert_eq!(arrived + pull().sum::<usize>(), sent);
            writable
        });
    });
}

/// The number of bytes that are sent.
#[derive(Clone, Copy, Debug)]
enum Large {
    All,
    Vectored,
    ZeroCopy,
    File,
}

/// The maximum. The smaller ones have room at once, the larger ones wait for the reader.
const LARGE: usize = 256 << 10;

impl Large {
    /// Sends, and returns the number of bytes, also for a call that was ended.
    fn send(self, io: &dyn Io, to: &TcpStream, bytes: &Arc<Vec<u8>>, file: &File) -> (usize, io::Result<()>) {
        let all = bytes.len();
        let result = match self {
            Self::All => to.write_all(io, bytes),
            Self::ZeroCopy => to.send_zero_copy(io, bytes.clone()),
            Self::File => to.send_file(io, file, 0..all as u64).map(drop),
            Self::Vectored => {
                let (one, other) = bytes.split_at(all / 3);
                return match to.write_vectored(io, &[IoSlice::new(one), IoSlice::new(other)]) {
                    Ok(count) => (count, Ok(())),
                    Err(error) => (0, Err(error)),
                };
            }
        };
        match result {
            Ok(()) => (all, Ok(())),
            Err(error) => (Incomplete::count_of(&error), Err(error)),
        }
    }
}

/// While the peer reads all the time, a call that was ended in the middle reports the number of bytes that arrive.
fn bytes_of_a_large_send_are_counted(on: &On, by: By, large: Large) {
    on.on_thread(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("file"), vec![7; LARGE]).expect("written");
        let file = File::open(io, folder.path().join("file")).expect("open");
        let (ours, theirs) = half(io);
        // Acknowledgements may be up to 40 ms late, so there has to be room for most bytes.
        ours.set_option(io, option::SEND_BUFFER_SIZE, 64 << 10).expect("set");
        let arrived = AtomicU64::new(0);
        thread::scope(|threads| {
            threads.spawn(|| count_all(theirs, &arrived));
            // It is closed, also by a panic, before the reader is joined.
            let ours = ours;
            let (mut ledger, mut random) = (0, Random::new("sizes"));
            Race::new("large send", 100).run(|start| {
                let bytes = Arc::new(vec![7; LARGE >> random.below(19)]);
                let mut count = 0;
                let send = |io: &dyn Io| {
                    let (sent, result) = large.send(io, &ours, &bytes, &file);
                    count = sent;
                    result
                };
                let sent = by.ends_begun(io, start, send).is_some();
                ledger += count as u64;
                until(io, || {
                    let arrived = arrived.load(Ordering::Acquire);
                    assert!(arrived <= ledger, "{arrived} bytes arrived of {ledger}");
                    arrived == ledger
                });
                // The bytes are released in time.
                until(io, || Arc::strong_count(&bytes) == 1);
                sent
            });
            drop(ours);
        });
    });
}

fn count_all(mut stream: net::TcpStream, arrived: &AtomicU64) {
    let (mut buffer, sent) = ([0; 16 << 10], [7; 16 << 10]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        // It is read in one call: the reader has to keep up, also without optimization.
        assert!(buffer[..count] == sent[..count], "bytes that nobody sent");
        arrived.fetch_add(count as u64, Ordering::Release);
    }
}

/// One message, or three in one call, which may have sent some of them.
fn messages_are_sent_or_not(on: &On, by: By, count: usize) {
    on.on_thread(|io| {
        let (near, far) = unix::net::UnixDatagram::pair().expect("pair");
        let near = UnixDatagram::from(near);
        near.set_option(io, option::SEND_BUFFER_SIZE, 4 << 10).expect("set");
        let take = || {
            let mut message = [0; 4];
            recv(&far, &mut message, RecvFlags::DONTWAIT).ok().map(|_| u32::from_le_bytes(message))
        };
        let mut next = 0;
        Race::new("send messages", 300).run(|start| {
            next += 3;
            let fill = || send(near.as_fd(), &0_u32.to_le_bytes(), SendFlags::DONTWAIT).ok();
            let filled = std::iter::from_fn(fill).count();
            let numbers = [next, next + 1, next + 2].map(u32::to_le_bytes);
            let messages = &numbers.each_ref().map(|bytes| OutgoingMessage { bytes, to: None })[..count];
            let call = |io: &dyn Io| match messages {
                [one] => near.send(io, one.bytes).map(|_| 1),
                many => near.send_many(io, many),
            };
            let mut there = Vec::new();
            // All messages are read: the kernel calls a socket writable only when a good part of its buffer is free.
            let sent = by.ends(io, start, call, || there.extend(std::iter::from_fn(take)));
            there.extend(std::iter::from_fn(take));
            let expected = (0..filled).map(|_| 0).chain((0..sent.unwrap_or(0) as u32).map(|index| next + index));
            assert_eq!(there, expected.collect::<Vec<_>>());
            sent.is_some()
        });
    });
}

fn a_udp_message_is_sent_or_not(on: &On, by: By) {
    on.on_thread(|io| {
        let near = UdpSocket::bind(io, "127.0.0.1:0").expect("bind");
        let far = net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = far.local_addr().expect("address");
        let mut next = 0_u32;
        Race::new("send a message by UDP", 300).run(|start| {
            next += 1;
            let sent = by.ends_begun(io, start, |io| near.send_to(io, &next.to_le_bytes(), address)).is_some();
            if sent {
                let mut message = [0; 4];
                far.recv(&mut message).expect("received");
                // A message that was sent although the call reported nothing would be here now.
                assert_eq!(u32::from_le_bytes(message), next);
            }
            sent
        });
        far.set_nonblocking(true).expect("set");
        far.recv(&mut [0]).expect_err("nothing arrived that was not reported");
    });
}

fn messages_are_received_or_still_there(on: &On, by: By) {
    on.on_thread(|io| {
        let (near, far) = unix::net::UnixDatagram::pair().expect("pair");
        let far = UnixDatagram::from(far);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("a number"));
        let take = || {
            let mut message = [0; 4];
            recv(far.as_fd(), &mut message, RecvFlags::DONTWAIT).ok().map(|_| number(&message))
        };
        let mut next = 0_u32;
        Race::new("receive messages", 300).run(|start| {
            next += 2;
            let mut messages = [(); 3].map(|()| Message::with_room(4));
            let send = || [next, next + 1].iter().for_each(|next| _ = near.send(&next.to_le_bytes()).expect("sent"));
            let count = by.ends(io, start, |io| far.recv_many(io, &mut messages), send);
            let received = messages[..count.unwrap_or(0)].iter().map(|message| number(message.bytes()));
            let all: Vec<_> = received.chain(std::iter::from_fn(take)).collect();
            assert_eq!(all, [next, next + 1], "each once, in order");
            count.is_some()
        });
    });
}

/// The end of a pipe is passed: while anybody has it, the pipe's other end shows that.
fn a_descriptor_is_received_or_still_comes(on: &On, by: By) {
    on.on_thread(|io| {
        let (near, far) = UnixStream::pair(io).expect("pair");
        Race::new("receive a descriptor", 300).run(|start| {
            let (reader, writer) = io::pipe().expect("a pipe");
            let send = || {
                near.send_with_fds(io, b"x", &[writer.as_fd()]).expect("sent");
                drop(writer);
            };
            let receive = |io: &dyn Io| far.recv_with_fds(io, &mut [0; 2], 2);
            let received = by.ends(io, start, receive, send);
            let won = received.is_some();
            let received = received.unwrap_or_else(|| receive(io).expect("it still comes"));
            let [writer] = <[_; 1]>::try_from(received.descriptors).expect("one came");
            let mut writer = io::PipeWriter::from(OwnedFd::from(writer));
            writer.write_all(b"it is this one").expect("written");
            drop(writer);
            assert_eq!(io::read_to_string(reader).expect("nobody else has it"), "it is this one");
            won
        });
    });
}

/// A listener is shut down while a client connects: each of the two gets a connection, or an error.
fn a_listener_is_closed_or_accepts(on: &On) {
    on.on_thread(|io| {
        // Others may use the port from the shutdown on.
        let own = own_address();
        Race::new("close against accept", 300).run(|start| {
            let listener = TcpListener::bind(io, own).expect("bind");
            let address = listener.local_addr(io).expect("address");
            let waits = Event::new();
            let (accepted, client) = scope(io, |group| {
                let accepting = concurrently(group, |io| {
                    waits.set();
                    listener.accept(io)
                });
                waits.wait_uncancelable(io);
                let mut client = None;
                start.go(
                    || client = net::TcpStream::connect(address).ok(),
                    || rustix::net::shutdown(listener.as_fd(), rustix::net::Shutdown::Both).expect("shut down"),
                );
                (accepting.join(io), client)
            });
            let won = accepted.is_ok();
            match (accepted, client) {
                (Ok((stream, peer)), Some(client)) => {
                    assert_eq!(client.local_addr().expect("address"), peer);
                    drop(stream);
                    assert_closed(client);
                }
                (Ok(_), None) => panic!("the client knows of no connection"),
                (Err(error), client) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
                    client.into_iter().for_each(assert_closed);
                }
            }
            won
        });
    });
}

/// The stop of an [`Incoming`](iolite_io::net::Incoming) races clients: each client is returned or still waits.
fn a_stop_loses_no_connection(on: &On) {
    on.on_thread(|io| {
        let mut random = Random::new("stop against connections");
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let connect = || net::TcpStream::connect(address).expect("connect");
        // The numbers returned by the stop, and accepted after it.
        let mut counts = [0; 2];
        for round in 0..rounds(200) {
            if round % 1_000 == 0 {
                crate::tools::Watchdog::beat_here();
            }
            let (armed, stop) = (Event::new(), Event::new());
            let delay = Duration::from_nanos(random.below(60_000));
            scope(io, |group| {
                let first = connect();
                let stopping = concurrently(group, |io| {
                    let mut incoming = listener.incoming(io);
                    incoming.next(io).expect("the first");
                    armed.set();
                    stop.wait_uncancelable(io);
                    spin(delay);
                    incoming.stop(io)
                });
                armed.wait_uncancelable(io);
                stop.set();
                let clients = [connect(), connect()];
                let mut ours = Vec::new();
                for stream in stopping.join(io) {
                    counts[0] += 1;
                    ours.push(stream.expect("no error").peer_addr(io).expect("address"));
                }
                while ours.len() < clients.len() {
                    counts[1] += 1;
                    ours.push(listener.accept(io).expect("it still waits").1);
                }
                let theirs = clients.map(|client| client.local_addr().expect("address"));
                assert_eq!(ours, theirs, "each once, in order");
                drop(first);
            });
        }
        println!("{} handed out by the stop, {} accepted after it", counts[0], counts[1]);
    });
}
