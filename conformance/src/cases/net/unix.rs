//! Unix sockets.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use iolite_io::net::{
    BufferPool, Domain, Message, OutgoingMessage, Socket, SocketType, UnixAddress, UnixDatagram, UnixListener,
    UnixStream, option,
};
use iolite_io::{Canceled, Io};
use rustix::net::SendFlags;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Race, concurrently, scope};

pub(crate) const CASES: &[Case] = cases![
    streams_are_accepted_by_path_and_by_name,
    errors_are_the_systems,
    unix_streams_are_streams,
    connections_keep_coming,
    datagrams_arrive_whole_and_in_order,
    a_full_queue_makes_the_sender_wait(true),
    a_full_queue_makes_the_sender_wait(false),
    waits_for_room_end,
    a_canceled_send_of_many_counts_what_it_sent,
    descriptors_are_passed,
    descriptors_beyond_those_asked_for_are_told(0),
    descriptors_beyond_those_asked_for_are_told(1),
    descriptors_beyond_those_asked_for_are_told(2),
    the_peer_is_known,
    sequenced_packets,
];

/// Returns a name that no other test has.
fn fresh_name() -> UnixAddress {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    UnixAddress::abstract_name(format!("iolite-{}-{number}", std::process::id())).expect("a short name")
}

fn streams_are_accepted_by_path_and_by_name(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = UnixAddress::path(folder.path().join("socket")).expect("a path");
        for address in [path, fresh_name()] {
            let listener = UnixListener::bind(io, &address).expect("bind");
            assert_eq!(listener.local_addr(io).expect("address"), address);
            let near = UnixStream::connect(io, &address).expect("connect");
            let (far, peer) = listener.accept(io).expect("accept");
            assert!(peer.is_unnamed());
            assert_eq!(near.peer_addr(io).expect("address"), address);
            assert!(near.local_addr(io).expect("address").is_unnamed());
            near.write_all(io, b"hello").expect("sent");
            let mut buffer = [0; 5];
            far.read_exact(io, &mut buffer).expect("received");
            assert_eq!(&buffer, b"hello");
            near.shutdown(io, Shutdown::Write).expect("finished");
            assert_eq!(far.read(io, &mut buffer).expect("the end"), 0);
            let error = UnixListener::bind(io, &address).expect_err("in use");
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
    });
}

fn errors_are_the_systems(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        assert_eq!(UnixStream::connect(io, &path).expect_err("nothing").kind(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(io, &path).expect("bind"));
        // The path still exists.
        assert_eq!(UnixStream::connect(io, &path).expect_err("nobody").kind(), io::ErrorKind::ConnectionRefused);
        for bad in ["", "nul\0", &"long".repeat(30)] {
            assert_eq!(UnixStream::connect(io, bad).expect_err("no path").kind(), io::ErrorKind::InvalidInput);
        }
    });
}

/// All streams share their code, so this only checks that their calls exist.
fn unix_streams_are_streams(on: &On) {
    on.run(|io| {
        let (near, far) = UnixStream::pair(io).expect("pair");
        near.write_vectored(io, &[IoSlice::new(b"two"), IoSlice::new(b"parts")]).expect("sent");
        assert_eq!(far.peek(io, &mut [0; 2]).expect("peeked"), 2);
        let (mut one, mut other) = ([0; 4], [0; 4]);
        far.read_vectored(io, &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)]).expect("received");
        assert_eq!((&one, &other), (b"twop", b"arts"));
        far.with(io).write_all(b"std").expect("sent");
        let pool = BufferPool::new(2, 16);
        let mut incoming = near.incoming(io, &pool);
        assert_eq!(&*incoming.next(io).expect("received").expect("not the end"), b"std");
        drop(far);
        assert!(incoming.next(io).expect("the end").is_none());
        assert!(near.write(io, b"x").is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe));
    });
}

fn connections_keep_coming(on: &On) {
    on.in_task(|io| {
        let address = fresh_name();
        let listener = UnixListener::bind(io, &address).expect("bind");
        let mut incoming = listener.incoming(io);
        for number in 0..5 {
            let near = UnixStream::connect(io, &address).expect("connect");
            near.write_all(io, &[number]).expect("sent");
            let mut byte = [0];
            incoming.next(io).expect("a connection").read_exact(io, &mut byte).expect("received");
            assert_eq!(byte, [number]);
        }
    });
}

fn datagrams_arrive_whole_and_in_order(on: &On) {
    on.run(|io| {
        let address = fresh_name();
        let far = UnixDatagram::bind(io, &address).expect("bind");
        let nameless = UnixDatagram::unbound(io).expect("made");
        let named = UnixDatagram::bind(io, UnixAddress::unnamed()).expect("the system chooses a name");
        let name = named.local_addr(io).expect("address");
        assert!(name.as_abstract_name().is_some());
        nameless.send_to(io, b"who", &address).expect("sent");
        named.send_to(io, b"", &address).expect("sent");
        let mut buffer = [0; 8];
        let (count, from) = far.recv_from(io, &mut buffer).expect("received");
        assert!(from.is_unnamed() && &buffer[..count] == b"who");
        assert_eq!(far.recv_from(io, &mut buffer).expect("received"), (0, name.clone()));
        far.connect(io, &name).expect("connect");
        far.send(io, b"you").expect("sent");
        assert_eq!(named.recv_from(io, &mut buffer).expect("received"), (3, address));

        let (one, other) = UnixDatagram::pair(io).expect("pair");
        let outgoing = [&b"a"[..], b"bb"].map(|bytes| OutgoingMessage { bytes, to: None });
        assert_eq!(one.send_many(io, &outgoing).expect("sent"), 2);
        let mut messages = [Message::with_room(1), Message::with_room(4)];
        assert_eq!(other.recv_many(io, &mut messages).expect("received"), 2);
        assert_eq!((messages[0].bytes(), messages[1].bytes()), (&b"a"[..], &b"bb"[..]));
    });
}

/// If the receiver is slow, the sender waits, connected or not, and nothing is lost.
fn a_full_queue_makes_the_sender_wait(on: &On, connected: bool) {
    const COUNT: u32 = 3_000;
    on.run(|io| {
        let address = fresh_name();
        let far = UnixDatagram::bind(io, &address).expect("bind");
        scope(io, |group| {
            let sender = concurrently(group, |io| -> io::Result<()> {
                let near = UnixDatagram::unbound(io)?;
                if connected {
                    near.connect(io, &address)?;
                }
                for number in 0..COUNT {
                    let bytes = number.to_ne_bytes();
                    if connected {
                        near.send(io, &bytes)?
                    } else {
                        near.send_to(io, &bytes, &address)?
                    };
                }
                Ok(())
            });
            let mut buffer = [0; 4];
            for number in 0..COUNT {
                assert_eq!(far.recv(io, &mut buffer).expect("received"), 4);
                assert_eq!(u32::from_ne_bytes(buffer), number);
            }
            sender.join(io).expect("sent");
        });
    });
}

/// A message without room in a queue waits, and can be canceled and timed out there.
fn waits_for_room_end(on: &On) {
    on.run(|io| {
        let (stream_name, datagram_name) = (fresh_name(), fresh_name());
        let socket = Socket::new(io, Domain::UNIX, SocketType::STREAM, 0).expect("made");
        socket.bind(io, stream_name.clone()).expect("bind");
        socket.listen(io, 0).expect("listens");
        let _waiting = UnixStream::connect(io, &stream_name).expect("there is room for one");
        let _receiver = UnixDatagram::bind(io, &datagram_name).expect("bind");
        let sender = UnixDatagram::unbound(io).expect("made");
        let connect = |io: &dyn Io| UnixStream::connect(io, &stream_name).map(drop);
        let fill = |io: &dyn Io| -> io::Result<()> {
            loop {
                sender.send_to(io, b"x", &datagram_name)?;
            }
        };
        let waits: [&(dyn Fn(&dyn Io) -> io::Result<()> + Sync); 2] = [&connect, &fill];
        for wait in waits {
            let error = io.timeout(Duration::from_millis(5), wait).expect_err("there is no room");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            scope(io, |group| {
                let error = concurrently(group, wait).cancel(io).expect_err("there is no room");
                assert!(Canceled::is_in(&error), "{error}");
            });
        }
        scope(io, |group| {
            let connected = concurrently(group, connect);
            let listener = socket.into_typed::<iolite_io::net::Unix, iolite_io::net::Listener>();
            listener.accept(io).expect("accepted");
            connected.join(io).expect("there is room again");
        });
    });
}

/// Some of many messages get room while their sender is canceled: each number is received once, in order.
fn a_canceled_send_of_many_counts_what_it_sent(on: &On) {
    on.on_thread(|io| {
        let (near, far) = UnixDatagram::pair(io).expect("pair");
        near.set_option(io, option::SEND_BUFFER_SIZE, 8 << 10).expect("set");
        let mut messages: Vec<_> = (0..16).map(|_| Message::with_room(8)).collect();
        let (mut sent, mut received) = (0_u32, 0_u32);
        let mut receive_until = |end| {
            while received < end {
                let count = far.recv_many(io, &mut messages).expect("they are there");
                for message in &messages[..count] {
                    assert_eq!(message.bytes(), received.to_ne_bytes(), "number {received}");
                    received += 1;
                }
            }
        };
        Race::new("send_many", 1_000).run(|start| {
            while rustix::net::send(&near, &sent.to_ne_bytes(), SendFlags::DONTWAIT).is_ok() {
                sent += 1;
            }
            let numbers: Vec<_> = (sent..sent + 64).map(u32::to_ne_bytes).collect();
            let outgoing: Vec<_> = numbers.iter().map(|bytes| OutgoingMessage { bytes, to: None }).collect();
            let result = scope(io, |group| {
                let member = concurrently(group, |io| near.send_many(io, &outgoing));
                start.go(|| receive_until(sent), || member.request_cancel());
                member.join(io)
            });
            match &result {
                Ok(count) => sent += u32::try_from(*count).expect("few"),
                Err(error) => assert!(Canceled::is_in(error), "{error}"),
            }
            receive_until(sent);
            result.is_ok()
        });
    });
}

fn descriptors_are_passed(on: &On) {
    on.run(|io| {
        let (near, far) = UnixStream::pair(io).expect("pair");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"content").expect("written");
        let (reader, _writer) = io::pipe().expect("a pipe");
        assert_eq!(near.send_with_fds(io, b"two", &[file.as_fd(), reader.as_fd()]).expect("sent"), 3);
        let mut buffer = [0; 8];
        let received = far.recv_with_fds(io, &mut buffer, 4).expect("received");
        assert_eq!((received.count, received.descriptors.len(), received.descriptors_truncated), (3, 2, false));
        let mut descriptors = received.descriptors.into_iter();
        let first = descriptors.next().expect("two");
        let flags = rustix::io::fcntl_getfd(&first).expect("flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let mut same = File::from(OwnedFd::from(first));
        same.rewind().expect("rewound");
        let mut content = String::new();
        same.read_to_string(&mut content).expect("read");
        assert_eq!(content, "content");

        near.send_with_fds(io, b"none", &[]).expect("sent");
        let received = far.recv_with_fds(io, &mut buffer, 4).expect("received");
        assert!(received.descriptors.is_empty() && !received.descriptors_truncated);
        let many = vec![reader.as_fd(); 254];
        assert_eq!(near.send_with_fds(io, b"!", &many).expect_err("too many").kind(), io::ErrorKind::InvalidInput);
        near.send_with_fds(io, b"!", &many[..253]).expect("just not too many");
        assert_eq!(far.recv_with_fds(io, &mut buffer, 1_000).expect("received").descriptors.len(), 253);
    });
}

fn descriptors_beyond_those_asked_for_are_told(on: &On, descriptors_max: usize) {
    on.run(|io| {
        let (near, far) = UnixDatagram::pair(io).expect("pair");
        let (reader, writer) = io::pipe().expect("a pipe");
        let three = [reader.as_fd(), writer.as_fd(), writer.as_fd()];
        near.send_with_fds(io, b"three", &three).expect("sent");
        drop(writer);
        let received = far.recv_with_fds(io, &mut [0; 8], descriptors_max).expect("received");
        assert!(received.descriptors_truncated);
        assert_eq!(received.descriptors.len(), descriptors_max);
        drop(received);
        // Nobody has the writer any more.
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]).expect("the end"), 0);
        near.send_with_fds(io, b"plain", &[reader.as_fd()]).expect("sent");
        assert_eq!(far.recv(io, &mut [0; 8]).expect("the descriptor is closed"), 5);
    });
}

fn the_peer_is_known(on: &On) {
    on.run(|io| {
        let (near, _far) = UnixStream::pair(io).expect("pair");
        let credentials = near.peer_credentials(io).expect("read");
        assert_eq!(credentials.process, std::process::id());
        assert_eq!(credentials.user, rustix::process::geteuid().as_raw());
        assert_eq!(credentials.group, rustix::process::getegid().as_raw());
    });
}

/// Messages over a connection, with the generic socket type.
fn sequenced_packets(on: &On) {
    on.run(|io| {
        let (near, far) = Socket::pair(io, Domain::UNIX, SocketType::SEQUENCED_PACKETS, 0).expect("pair");
        near.send(io, b"one").expect("sent");
        let (reader, _writer) = io::pipe().expect("a pipe");
        near.send_with(io, &[IoSlice::new(b"t"), IoSlice::new(b"wo")], None, &[reader.as_fd()]).expect("sent");
        let mut buffer = [0; 16];
        assert_eq!(far.recv(io, &mut buffer).expect("the first alone"), 3);
        let received = far.recv_with(io, &mut [IoSliceMut::new(&mut buffer[..2])], 1).expect("the second");
        assert_eq!((received.count, received.truncated, received.descriptors.len()), (2, true, 1));
        near.shutdown(io, Shutdown::Write).expect("finished");
        assert_eq!(far.recv(io, &mut buffer).expect("the end"), 0);

        let address = fresh_name();
        let listener = Socket::new(io, Domain::UNIX, SocketType::SEQUENCED_PACKETS, 0).expect("made");
        listener.bind(io, address.clone()).expect("bind");
        listener.listen(io, 4).expect("listens");
        let near = Socket::new(io, Domain::UNIX, SocketType::SEQUENCED_PACKETS, 0).expect("made");
        near.connect(io, address.clone()).expect("connect");
        let (far, _) = listener.accept(io).expect("accept");
        assert_eq!(far.local_addr(io).expect("address"), address.into());
        near.send(io, b"packet").expect("sent");
        assert_eq!(far.recv(io, &mut buffer).expect("received"), 6);
    });
}
