//! Descriptors that are always reported as ready, although nothing is available: a call on them ends, or waits without
//! trying again and again, and a request reaches it.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use iolite_io::net::{Message, UdpSocket, UnixDatagram, UnixListener, option};
use iolite_io::time::Clock;
use iolite_io::{Canceled, Io};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{own_address, scope, started};

pub(crate) const CASES: &[Case] = cases![
    a_datagram_socket_that_was_shut_down_tells_its_end(Mode::Blocking),
    a_datagram_socket_that_was_shut_down_tells_its_end(Mode::NonBlocking),
    a_shutdown_ends_a_receive_that_waits(Mode::Blocking),
    a_shutdown_ends_a_receive_that_waits(Mode::NonBlocking),
    what_came_before_a_shutdown_is_received,
    a_unix_datagram_socket_that_was_shut_down_tells_its_end(Mode::Blocking),
    a_unix_datagram_socket_that_was_shut_down_tells_its_end(Mode::NonBlocking),
    a_request_reaches_a_receive_beside_an_unread_error(Mode::Blocking),
    a_request_reaches_a_receive_beside_an_unread_error(Mode::NonBlocking),
    a_wait_beside_an_unread_error_uses_no_processor(Mode::Blocking),
    a_wait_beside_an_unread_error_uses_no_processor(Mode::NonBlocking),
    a_message_comes_beside_an_unread_error(Mode::Blocking),
    a_message_comes_beside_an_unread_error(Mode::NonBlocking),
    a_shutdown_ends_a_receive_beside_an_unread_error(Mode::Blocking),
    a_shutdown_ends_a_receive_beside_an_unread_error(Mode::NonBlocking),
    a_unix_listener_that_was_shut_down_accepts_nobody,
];

/// The mode of the socket in the kernel.
#[derive(Clone, Copy)]
enum Mode {
    Blocking,
    NonBlocking,
}

impl Mode {
    fn set(self, socket: impl AsFd) {
        let flags = fcntl_getfl(&socket).expect("flags");
        let flags = match self {
            Self::Blocking => flags - OFlags::NONBLOCK,
            Self::NonBlocking => flags | OFlags::NONBLOCK,
        };
        fcntl_setfl(&socket, flags).expect("set");
    }
}

/// A call that receives something and returns the amount: bytes or messages.
type Receive = fn(&dyn Io, &UdpSocket) -> io::Result<usize>;

const RECEIVES: [Receive; 3] = [receive, receive_many, peek];

fn receive(io: &dyn Io, socket: &UdpSocket) -> io::Result<usize> {
    socket.recv(io, &mut [0; 16])
}

fn receive_many(io: &dyn Io, socket: &UdpSocket) -> io::Result<usize> {
    socket.recv_many(io, &mut [Message::with_room(16), Message::with_room(16)])
}

fn peek(io: &dyn Io, socket: &UdpSocket) -> io::Result<usize> {
    socket.peek(io, &mut [0; 16])
}

/// Returns two sockets that are connected to each other, with the second one's address.
fn pair(io: &dyn Io, mode: Mode) -> (UdpSocket, UdpSocket, SocketAddr) {
    let [near, far] = [(); 2].map(|()| UdpSocket::bind(io, own_address()).expect("bind"));
    let [near_address, far_address] = [&near, &far].map(|socket| socket.local_addr(io).expect("address"));
    near.connect(io, far_address).expect("connect");
    far.connect(io, near_address).expect("connect");
    mode.set(near.as_fd());
    (near, far, far_address)
}

/// Returns a socket whose peer did not exist when it sent: the error was reported, and stays in the error queue.
fn beside_an_unread_error(io: &dyn Io, mode: Mode) -> (UdpSocket, SocketAddr) {
    let (near, far, far_address) = pair(io, mode);
    near.set_option(io, option::ERROR_QUEUE, true).expect("set");
    drop(far);
    near.send(io, b"nobody").expect("sent");
    let told = near.recv(io, &mut [0; 16]).expect_err("nobody is there");
    assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused, "{told}");
    (near, far_address)
}

fn a_datagram_socket_that_was_shut_down_tells_its_end(on: &On, mode: Mode) {
    on.run(|io| {
        let (near, _far, _) = pair(io, mode);
        near.shutdown(io, Shutdown::Read).expect("shut down");
        for receive in RECEIVES {
            assert_eq!(receive(io, &near).expect("the end"), 0);
        }
    });
}

fn a_shutdown_ends_a_receive_that_waits(on: &On, mode: Mode) {
    on.run(|io| {
        for receive in RECEIVES {
            let (near, _far, _) = pair(io, mode);
            scope(io, |group| {
                let waits = started(group, io, |io| receive(io, &near));
                io.sleep(Duration::from_millis(1)).expect("nobody cancels this");
                near.shutdown(io, Shutdown::Read).expect("shut down");
                assert_eq!(waits.join(io).expect("the end"), 0);
            });
        }
    });
}

fn what_came_before_a_shutdown_is_received(on: &On) {
    on.run(|io| {
        for mode in [Mode::Blocking, Mode::NonBlocking] {
            let (near, far, _) = pair(io, mode);
            far.send(io, b"one").expect("sent");
            far.send(io, b"two").expect("sent");
            near.shutdown(io, Shutdown::Read).expect("shut down");
            assert_eq!(receive(io, &near).expect("the first"), 3);
            assert_eq!(receive_many(io, &near).expect("the second"), 1);
            assert_eq!(receive(io, &near).expect("the end"), 0);
        }
    });
}

fn a_unix_datagram_socket_that_was_shut_down_tells_its_end(on: &On, mode: Mode) {
    on.run(|io| {
        let (near, _far) = UnixDatagram::pair(io).expect("a pair");
        mode.set(near.as_fd());
        near.shutdown(io, Shutdown::Read).expect("shut down");
        assert_eq!(near.recv(io, &mut [0; 16]).expect("the end"), 0);
        assert_eq!(near.recv_many(io, &mut [Message::with_room(16)]).expect("the end"), 0);
    });
}

fn a_request_reaches_a_receive_beside_an_unread_error(on: &On, mode: Mode) {
    on.run(|io| {
        let (near, _) = beside_an_unread_error(io, mode);
        for receive in RECEIVES {
            let timed_out = io.timeout(Duration::from_millis(2), |io| receive(io, &near)).expect_err("nothing comes");
            assert_eq!(timed_out.kind(), io::ErrorKind::TimedOut, "{timed_out}");
            scope(io, |group| {
                let waits = started(group, io, |io| receive(io, &near));
                io.sleep(Duration::from_millis(1)).expect("nobody cancels this");
                let canceled = waits.cancel(io).expect_err("nothing comes");
                assert!(Canceled::is_in(&canceled), "{canceled}");
            });
        }
    });
}

/// The case measures processor time, of which a busy machine only gives less.
fn a_wait_beside_an_unread_error_uses_no_processor(on: &On, mode: Mode) {
    const WAIT: Duration = Duration::from_millis(50);
    on.executors(1).run(|io| {
        let (near, _) = beside_an_unread_error(io, mode);
        for receive in RECEIVES {
            let before = io.time(Clock::ThreadCpu);
            let timed_out = io.timeout(WAIT, |io| receive(io, &near)).expect_err("nothing comes");
            assert_eq!(timed_out.kind(), io::ErrorKind::TimedOut, "{timed_out}");
            let used = io.time(Clock::ThreadCpu) - before;
            assert!(used < WAIT / 4, "{used:?} to wait for {WAIT:?}");
        }
    });
}

fn a_message_comes_beside_an_unread_error(on: &On, mode: Mode) {
    on.run(|io| {
        for receive in [receive as Receive, receive_many] {
            let (near, far_address) = beside_an_unread_error(io, mode);
            let near_address = near.local_addr(io).expect("address");
            scope(io, |group| {
                let waits = started(group, io, |io| receive(io, &near));
                io.sleep(Duration::from_millis(1)).expect("nobody cancels this");
                let far = UdpSocket::bind(io, far_address).expect("bind");
                far.send_to(io, b"m", near_address).expect("sent");
                assert_eq!(waits.join(io).expect("the message"), 1);
            });
        }
    });
}

fn a_shutdown_ends_a_receive_beside_an_unread_error(on: &On, mode: Mode) {
    on.run(|io| {
        for receive in RECEIVES {
            let (near, _) = beside_an_unread_error(io, mode);
            scope(io, |group| {
                let waits = started(group, io, |io| receive(io, &near));
                io.sleep(Duration::from_millis(1)).expect("nobody cancels this");
                near.shutdown(io, Shutdown::Read).expect("shut down");
                assert_eq!(waits.join(io).expect("the end"), 0);
            });
        }
    });
}

fn a_unix_listener_that_was_shut_down_accepts_nobody(on: &On) {
    on.run(|io| {
        let folder = tempfile::tempdir().expect("a folder");
        for mode in [Mode::Blocking, Mode::NonBlocking] {
            let path = folder.path().join(match mode {
                Mode::Blocking => "blocking",
                Mode::NonBlocking => "non-blocking",
            });
            let listener = UnixListener::bind(io, path).expect("bind");
            mode.set(listener.as_fd());
            scope(io, |group| {
                let waits = started(group, io, |io| listener.accept(io).map(drop));
                io.sleep(Duration::from_millis(1)).expect("nobody cancels this");
                listener.shutdown(io, Shutdown::Both).expect("shut down");
                for over in [waits.join(io), listener.accept(io).map(drop)] {
                    assert_eq!(Errno::from_io_error(&over.expect_err("nobody comes")), Some(Errno::INVAL));
                }
            });
        }
    });
}
