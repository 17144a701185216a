//! The common properties of all sockets: options, readiness, families and kinds.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use iolite_io::net::{
    Address, Domain, Internet, Listener, Socket, SocketOption, SocketType, TcpListener, TcpStream, UdpSocket,
    UnixAddress, UnixDatagram, UnixListener, UnixStream, option,
};
use iolite_io::{Canceled, Io};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, refusing, scope, started, tcp_pair};

pub(crate) const CASES: &[Case] = cases![
    options_are_set_and_read,
    options_of_datagrams_are_set_and_read,
    options_of_ipv6_are_set_and_read,
    options_that_are_told_only,
    a_socket_is_made_step_by_step,
    raw_sockets_see_headers,
    what_a_socket_is_not_it_cannot_do,
    readiness_is_waited_for,
    foreign_modes_do_not_matter,
    sockets_come_from_std_in_either_mode_and_go_back_blocking,
    listeners_come_from_std_in_either_mode_and_go_back_blocking,
];

fn options_are_set_and_read(on: &On) {
    on.run(|io| {
        let (client, _server) = tcp_pair(io);
        client.set_nodelay(io, false).expect("set");
        assert!(!client.nodelay(io).expect("read"));
        let sets = |option: SocketOption<bool>| {
            for on in [true, false] {
                client.set_option(io, option, on).expect("set");
                assert_eq!(client.option(io, option).expect("read"), on, "{option:?}");
            }
        };
        [option::NO_DELAY, option::KEEP_ALIVE, option::CORK, option::REUSE_ADDRESS, option::REUSE_PORT]
            .into_iter()
            .for_each(sets);
        [option::OUT_OF_BAND_INLINE, option::DONT_ROUTE, option::FREE_BIND].into_iter().for_each(sets);
        [option::BIND_ADDRESS_NO_PORT, option::ERROR_QUEUE].into_iter().for_each(sets);
        let sets = |(option, value): (SocketOption<u32>, u32)| {
            client.set_option(io, option, value).expect("set");
            assert_eq!(client.option(io, option).expect("read"), value, "{option:?}");
        };
        [(option::TIME_TO_LIVE, 33), (option::TYPE_OF_SERVICE, 0x10), (option::PRIORITY, 3)].into_iter().for_each(sets);
        [(option::KEEP_ALIVE_RETRIES, 4), (option::CONNECT_RETRIES, 2), (option::NOT_SENT_LOW_WATER, 9_999)]
            .into_iter()
            .for_each(sets);
        let sets = |(option, value): (SocketOption<Duration>, Duration)| {
            client.set_option(io, option, value).expect("set");
            assert_eq!(client.option(io, option).expect("read"), value, "{option:?}");
        };
        [(option::KEEP_ALIVE_TIME, Duration::from_secs(70)), (option::KEEP_ALIVE_INTERVAL, Duration::from_secs(7))]
            .into_iter()
            .for_each(sets);
        [(option::USER_TIMEOUT, Duration::from_millis(1_500))].into_iter().for_each(sets);
        for linger in [Some(Duration::from_secs(3)), None] {
            client.set_linger(io, linger).expect("set");
            assert_eq!(client.option(io, option::LINGER).expect("read"), linger);
        }
        for size in [option::RECEIVE_BUFFER_SIZE, option::SEND_BUFFER_SIZE] {
            client.set_option(io, size, 40_000).expect("set");
            assert!(client.option(io, size).expect("read") >= 40_000, "the kernel doubles it");
        }
        client.set_option(io, option::QUICK_ACK, true).expect("set");
    });
}

fn options_of_datagrams_are_set_and_read(on: &On) {
    on.run(|io| {
        let [near, far] = [(); 2].map(|()| UdpSocket::bind(io, "127.0.0.1:0").expect("bound"));
        let sets = |option: SocketOption<bool>| {
            for on in [true, false] {
                far.set_option(io, option, on).expect("set");
                match far.option(io, option) {
                    Ok(value) => assert_eq!(value, on, "{option:?}"),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(92), "{option:?}: old kernels only take it"),
                }
            }
        };
        [option::COALESCE_RECEIVED, option::ERROR_QUEUE].into_iter().for_each(sets);
        near.set_option(io, option::SEGMENT_SIZE, 4).expect("set");
        assert_eq!(near.option(io, option::SEGMENT_SIZE).expect("read"), 4);
        near.send_to(io, b"onetwothree", far.local_addr(io).expect("address")).expect("sent");
        let mut buffer = [0; 64];
        for part in [&b"onet"[..], b"woth", b"ree"] {
            let (count, _) = far.recv_from(io, &mut buffer).expect("received");
            assert_eq!(&buffer[..count], part, "one call sent three messages");
        }
    });
}

fn options_of_ipv6_are_set_and_read(on: &On) {
    on.run(|io| {
        let Ok(socket) = UdpSocket::bind(io, "[::1]:0") else {
            return on.not_run("no IPv6 on this machine");
        };
        for option in [option::ERROR_QUEUE_V6, option::BIND_ADDRESS_NO_PORT] {
            for on in [true, false] {
                socket.set_option(io, option, on).expect("set");
                assert_eq!(socket.option(io, option).expect("read"), on, "{option:?}");
            }
        }
    });
}

fn options_that_are_told_only(on: &On) {
    on.run(|io| {
        let (client, _server) = tcp_pair(io);
        assert!(client.option(io, option::PENDING_ERROR).expect("read").is_none());
        assert_eq!(client.option(io, option::DOMAIN).expect("read"), Domain::IPV4);
        assert_eq!(client.option(io, option::TYPE).expect("read"), SocketType::STREAM);
        assert_eq!(client.option(io, option::PROTOCOL).expect("read"), 6);
        assert!(!client.option(io, option::LISTENING).expect("read"));
        assert_ne!(client.option(io, option::COOKIE).expect("read"), 0);
        assert!(!client.option(io, option::CONGESTION).expect("read").is_empty());
        assert_eq!(client.option(io, option::DEVICE).expect("read"), "");
        let error = client.set_option(io, option::DOMAIN, Domain::IPV6).expect_err("it cannot be set");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = client.option(io, option::JOIN_MULTICAST).expect_err("it can only be set");
        assert!(error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error().is_some(), "{error}");
        let (near, _far) = UnixStream::pair(io).expect("pair");
        assert_eq!(near.option(io, option::NO_DELAY).expect_err("no TCP").raw_os_error(), Some(95));
    });
}

fn a_socket_is_made_step_by_step(on: &On) {
    on.run(|io| {
        let socket = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
        socket.set_option(io, option::REUSE_PORT, true).expect("set");
        socket.bind(io, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bind");
        socket.listen(io, 8).expect("listens");
        assert!(socket.option(io, option::LISTENING).expect("read"));
        let Address::Internet(address) = socket.local_addr(io).expect("address") else { panic!("no IP address") };
        let listener: TcpListener = socket.into_typed();

        // A client that chooses its own address.
        let client = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
        client.bind(io, SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0))).expect("bind");
        client.connect(io, address).expect("connect");
        let client: TcpStream = client.into_typed();
        let (server, peer) = listener.accept(io).expect("accept");
        assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 9));
        assert_eq!(client.local_addr(io).expect("address"), peer);
        server.write_all(io, b"!").expect("sent");
        client.read_exact(io, &mut [0]).expect("received");
    });
}

fn raw_sockets_see_headers(on: &On) {
    const ICMP: i32 = 1;
    on.run(|io| {
        let socket = match Socket::new(io, Domain::IPV4, SocketType::RAW, ICMP) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return on.not_run("no CAP_NET_RAW");
            }
            Err(error) => panic!("{error}"),
        };
        let to = Address::from(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 7), 0)));
        // An echo request with its checksum.
        let request = [8, 0, 0x2f, 0x6c, 0x12, 0x34, 0xb6, 0x5f];
        socket.send_with(io, &[io::IoSlice::new(&request)], Some(&to), &[]).expect("sent");
        let mut packet = [0; 128];
        loop {
            let received = socket.recv_with(io, &mut [io::IoSliceMut::new(&mut packet)], 0).expect("received");
            assert_eq!(packet[0] >> 4, 4, "a header of IPv4");
            if received.from == Some(to.clone()) && packet[20..received.count].ends_with(&request[4..]) {
                break;
            }
        }
    });
}

fn what_a_socket_is_not_it_cannot_do(on: &On) {
    on.run(|io| {
        let error = Socket::new(io, Domain::from(9_999), SocketType::STREAM, 0).expect_err("no family");
        assert_eq!(error.raw_os_error(), Some(97), "{error}");
        let (near, _far) = UnixStream::pair(io).expect("pair");
        let wrong = near.into_typed::<Internet, Listener>();
        let error = wrong.local_addr(io).expect_err("it is of another family");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        let socket = Socket::new(io, Domain::UNIX, SocketType::STREAM, 0).expect("made");
        socket.bind(io, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect_err("of another family");
        assert_eq!(socket.local_addr(io).expect("address"), UnixAddress::unnamed().into());
        socket.peer_addr(io).expect_err("no peer");
    });
}

fn readiness_is_waited_for(on: &On) {
    on.run(|io| {
        let (near, far) = tcp_pair(io);
        near.writable(io).expect("there is room");
        let error = io.timeout(Duration::from_millis(2), |io| near.readable(io)).expect_err("nothing is there");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        scope(io, |group| {
            let ready = concurrently(group, |io| near.readable(io));
            far.write_all(io, b"x").expect("sent");
            ready.join(io).expect("ready");
            assert!(Canceled::is_in(&concurrently(group, |io| far.readable(io)).cancel(io).expect_err("nothing")));
        });
        near.readable(io).expect("it is still there");
        assert_eq!(near.read(io, &mut [0; 4]).expect("received"), 1);
        far.shutdown(io, Shutdown::Write).expect("finished");
        near.readable(io).expect("the end is there");

        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        scope(io, |group| {
            let ready = concurrently(group, |io| listener.readable(io));
            let _client = TcpStream::connect(io, listener.local_addr(io).expect("address")).expect("connect");
            ready.join(io).expect("ready");
            listener.accept(io).expect("at once");
        });
        let socket = UdpSocket::bind(io, "127.0.0.1:0").expect("bind");
        socket.writable(io).expect("there is room");
    });
}

/// Non-blocking sockets that other code has made wait like all others.
fn foreign_modes_do_not_matter(on: &On) {
    on.run(|io: &dyn Io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
        let address = listener.local_addr(io).expect("address");
        let socket = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
        rustix::io::ioctl_fionbio(&socket, true).expect("set");
        socket.connect(io, address).expect("connect");
        let (far, _) = listener.accept(io).expect("accept");
        scope(io, |group| {
            let received = concurrently(group, |io| socket.recv(io, &mut [0; 4]));
            far.write_all(io, b"x").expect("sent");
            assert_eq!(received.join(io).expect("received"), 1);
        });
        let refused = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
        rustix::io::ioctl_fionbio(&refused, true).expect("set");
        let (_held, address) = refusing(io);
        let error = refused.connect(io, address).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

fn is_blocking(socket: impl AsFd) -> bool {
    !rustix::fs::fcntl_getfl(socket).expect("read").contains(rustix::fs::OFlags::NONBLOCK)
}

/// A call that waits on `near` waits in every mode of the socket, and is canceled; then the bytes that `far` sends
/// arrive.
fn waits<T: Send + Debug>(io: &dyn Io, receive: impl Fn(&dyn Io) -> io::Result<T> + Sync, send: impl FnOnce()) -> T {
    scope(io, |group| {
        let canceled = started(group, io, &receive);
        canceled.request_cancel();
        let error = canceled.join(io).expect_err("nothing comes");
        assert!(Canceled::is_in(&error), "it waits: {error}");
        let receiving = started(group, io, &receive);
        send();
        receiving.join(io).expect("received")
    })
}

fn sockets_come_from_std_in_either_mode_and_go_back_blocking(on: &On) {
    on.run(|io| {
        for nonblocking in [false, true] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
            let far = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            let (near, _) = listener.accept().expect("accepted");
            near.set_nonblocking(nonblocking).expect("set");
            let near = TcpStream::from_std(near);
            let count = waits(io, |io| near.read(io, &mut [0; 4]), || (&far).write_all(b"x").expect("sent"));
            assert_eq!((count, is_blocking(&near)), (1, !nonblocking), "the mode is what it was");
            let near = near.into_std().expect("set");
            assert!(is_blocking(&near));
            (&near).write_all(b"back").expect("sent");
            (&far).read_exact(&mut [0; 4]).expect("received");

            let [near, far] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").expect("bound"));
            near.set_nonblocking(nonblocking).expect("set");
            let near = UdpSocket::from_std(near);
            let to = near.local_addr(io).expect("bound");
            let send = || assert_eq!(far.send_to(b"message", to).expect("sent"), 7);
            assert_eq!(waits(io, |io| near.recv(io, &mut [0; 8]), send), 7);
            let near = near.into_std().expect("set");
            assert!(is_blocking(&near) && near.local_addr().expect("bound") == to);

            let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
            near.set_nonblocking(nonblocking).expect("set");
            let near = UnixStream::from_std(near);
            assert_eq!(waits(io, |io| near.read(io, &mut [0; 4]), || far.write_all(b"x").expect("sent")), 1);
            assert!(is_blocking(near.into_std().expect("set")));

            let (near, far) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
            near.set_nonblocking(nonblocking).expect("set");
            let near = UnixDatagram::from_std(near);
            let send = || assert_eq!(far.send(b"message").expect("sent"), 7);
            assert_eq!(waits(io, |io| near.recv(io, &mut [0; 8]), send), 7);
            assert!(is_blocking(near.into_std().expect("set")));
        }
    });
}

fn listeners_come_from_std_in_either_mode_and_go_back_blocking(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        for (number, nonblocking) in [false, true].into_iter().enumerate() {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
            listener.set_nonblocking(nonblocking).expect("set");
            let address = listener.local_addr().expect("bound");
            let listener = TcpListener::from_std(listener);
            let mut clients = Vec::new();
            let connect = || clients.push(std::net::TcpStream::connect(address).expect("connected"));
            waits(io, |io| listener.accept(io).map(drop), connect);
            let listener = listener.into_std().expect("set");
            assert!(is_blocking(&listener));
            clients.push(std::net::TcpStream::connect(address).expect("connected"));
            listener.accept().expect("accepted");

            let path = folder.path().join(number.to_string());
            let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
            listener.set_nonblocking(nonblocking).expect("set");
            let listener = UnixListener::from_std(listener);
            let mut client = None;
            let connect = || client = Some(std::os::unix::net::UnixStream::connect(&path).expect("connected"));
            waits(io, |io| listener.accept(io).map(drop), connect);
            assert!(client.is_some() && is_blocking(listener.into_std().expect("set")));
        }
        // A listener that was made here is non-blocking, and becomes blocking when std gets it.
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        assert!(is_blocking(listener.into_std().expect("set")));
    });
}
