//! UDP on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use iolite_io::Io;
use iolite_io::net::{Message, OutgoingMessage, UdpSocket, option};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{Race, concurrently, own_address, scope};

pub(crate) const CASES: &[Case] = cases![
    messages_go_to_and_fro,
    messages_are_whole_empty_or_cut,
    a_peeked_message_stays,
    a_connected_socket_talks_to_one_peer_only,
    receiving_waits_for_a_message,
    many_messages_go_in_one_call,
    many_messages_wait_for_the_first_only,
    a_canceled_receive_loses_no_message,
    a_group_is_heard_while_one_is_in_it,
    broadcast_has_to_be_allowed,
    ipv6_messages_tell_their_sender,
];

fn socket(io: &dyn Io) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(io, "127.0.0.1:0").expect("bind");
    let address = socket.local_addr(io).expect("address");
    (socket, address)
}

fn messages_go_to_and_fro(on: &On) {
    on.run(|io| {
        let ((near, near_address), (far, far_address)) = (socket(io), socket(io));
        assert_eq!(near.send_to(io, b"question", far_address).expect("sent"), 8);
        let mut buffer = [0; 16];
        assert_eq!(far.recv_from(io, &mut buffer).expect("received"), (8, near_address));
        assert_eq!(&buffer[..8], b"question");
        far.send_to(io, b"answer", near_address.to_string().as_str()).expect("sent");
        assert_eq!(near.recv(io, &mut buffer).expect("received"), 6);
    });
}

fn messages_are_whole_empty_or_cut(on: &On) {
    on.run(|io| {
        let ((near, _), (far, address)) = (socket(io), socket(io));
        for bytes in [&b""[..], b"1", b"22", b"4444"] {
            assert_eq!(near.send_to(io, bytes, address).expect("sent"), bytes.len());
        }
        let mut buffer = [0; 3];
        assert_eq!(far.recv(io, &mut buffer).expect("the empty one"), 0);
        assert_eq!(far.recv(io, &mut []).expect("the first, without room for it"), 0);
        assert_eq!(far.recv(io, &mut buffer).expect("the second, alone"), 2);
        assert_eq!(far.recv(io, &mut buffer).expect("the third, cut"), 3);
        let error = near.send_to(io, &vec![0; 100_000], address).expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(90), "{error}");
    });
}

fn a_peeked_message_stays(on: &On) {
    on.run(|io| {
        let ((near, near_address), (far, address)) = (socket(io), socket(io));
        near.send_to(io, b"look", address).expect("sent");
        let mut buffer = [0; 8];
        assert_eq!(far.peek_from(io, &mut buffer).expect("peeked"), (4, near_address));
        assert_eq!(far.peek(io, &mut buffer).expect("peeked"), 4);
        assert_eq!(far.recv(io, &mut buffer).expect("received"), 4);
    });
}

fn a_connected_socket_talks_to_one_peer_only(on: &On) {
    on.run(|io| {
        let ((near, near_address), (stranger, _)) = (socket(io), socket(io));
        let far = UdpSocket::bind(io, own_address()).expect("bind");
        let address = far.local_addr(io).expect("address");
        near.send(io, b"to whom?").expect_err("not connected");
        near.connect(io, address).expect("connect");
        assert_eq!(near.peer_addr(io).expect("address"), address);
        stranger.send_to(io, b"hello", near_address).expect("sent");
        near.send(io, b"ping").expect("sent");
        let (_, from) = far.recv_from(io, &mut [0; 8]).expect("received");
        far.send_to(io, b"pong", from).expect("sent");
        assert_eq!(near.recv(io, &mut [0; 8]).expect("received"), 4, "not the stranger's");

        drop(far);
        near.send(io, b"gone").expect("sent");
        let error = near.recv(io, &mut [0; 8]).expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

fn receiving_waits_for_a_message(on: &On) {
    on.run(|io| {
        let ((near, _), (far, address)) = (socket(io), socket(io));
        scope(io, |group| {
            let received = concurrently(group, |io| far.recv(io, &mut [0; 8]));
            near.send_to(io, b"late", address).expect("sent");
            assert_eq!(received.join(io).expect("received"), 4);
        });
        let error = io.timeout(Duration::from_millis(2), |io| far.recv(io, &mut [0; 8])).expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}

fn many_messages_go_in_one_call(on: &On) {
    on.run(|io| {
        let ((near, near_address), (far, address)) = (socket(io), socket(io));
        let bytes: Vec<Vec<u8>> = (0..40).map(|number| vec![number; usize::from(number)]).collect();
        let outgoing: Vec<_> = bytes.iter().map(|bytes| OutgoingMessage { bytes, to: Some(address.into()) }).collect();
        let mut sent = 0;
        while sent < outgoing.len() {
            sent += near.send_many(io, &outgoing[sent..]).expect("sent");
        }
        let mut messages: Vec<_> = (0..64).map(|_| Message::with_room(32)).collect();
        let mut received = 0;
        while received < bytes.len() {
            let count = far.recv_many(io, &mut messages).expect("received");
            assert!(count > 0);
            for message in &messages[..count] {
                let expected = &bytes[received][..received.min(32)];
                assert_eq!((message.bytes(), message.is_truncated()), (expected, received > 32));
                assert_eq!(message.from(), Some(&near_address.into()));
                received += 1;
            }
        }
        assert_eq!(far.recv_many(io, &mut []).expect("nothing asked for"), 0);
        assert_eq!(near.send_many(io, &[]).expect("nothing to send"), 0);
    });
}

fn many_messages_wait_for_the_first_only(on: &On) {
    on.run(|io| {
        let ((near, _), (far, address)) = (socket(io), socket(io));
        scope(io, |group| {
            let received = concurrently(group, |io| {
                let mut messages = [Message::with_room(8), Message::with_room(8)];
                far.recv_many(io, &mut messages).map(|count| (count, messages[0].bytes().to_vec()))
            });
            near.send_to(io, b"one", address).expect("sent");
            assert_eq!(received.join(io).expect("received"), (1, b"one".to_vec()));
        });
        near.connect(io, address).expect("connect");
        let outgoing = [b"a", b"b"].map(|bytes| OutgoingMessage { bytes, to: None });
        assert_eq!(near.send_many(io, &outgoing).expect("sent"), 2);
    });
}

/// Either the canceled receive or the next one gets the message.
fn a_canceled_receive_loses_no_message(on: &On) {
    on.on_thread(|io| {
        let ((near, _), (far, address)) = (socket(io), socket(io));
        let mut number = 0_u32;
        Race::new("recv_from", 2_000).run(|start| {
            number += 1;
            let receive = |io: &dyn Io| {
                let mut buffer = [0; 4];
                far.recv_from(io, &mut buffer).map(|_| u32::from_ne_bytes(buffer))
            };
            let received = scope(io, |group| {
                let member = concurrently(group, receive);
                start.go(
                    || _ = near.send_to(io, &number.to_ne_bytes(), address).expect("sent"),
                    || member.request_cancel(),
                );
                member.join(io)
            });
            let won = received.is_ok();
            assert_eq!(received.or_else(|_| receive(io)).expect("received"), number);
            won
        });
    });
}

fn a_group_is_heard_while_one_is_in_it(on: &On) {
    on.run(|io| {
        let group = Ipv4Addr::new(239, 255, 71, 3);
        let (hearer, address) = {
            let socket = UdpSocket::bind(io, (Ipv4Addr::UNSPECIFIED, 0)).expect("bind");
            let port = socket.local_addr(io).expect("address").port();
            (socket, SocketAddr::from((group, port)))
        };
        let (speaker, _) = socket(io);
        speaker.set_option(io, option::MULTICAST_INTERFACE, Ipv4Addr::LOCALHOST).expect("set");
        speaker.set_option(io, option::MULTICAST_LOOP, true).expect("set");
        hearer.set_option(io, option::JOIN_MULTICAST, (group, Ipv4Addr::LOCALHOST)).expect("joined");
        speaker.send_to(io, b"all", address).expect("sent");
        assert_eq!(hearer.recv(io, &mut [0; 8]).expect("heard"), 3);
        hearer.set_option(io, option::LEAVE_MULTICAST, (group, Ipv4Addr::LOCALHOST)).expect("left");
        let error = hearer.set_option(io, option::LEAVE_MULTICAST, (group, Ipv4Addr::LOCALHOST)).expect_err("left");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

fn broadcast_has_to_be_allowed(on: &On) {
    on.run(|io| {
        let (near, _) = socket(io);
        let error = near.send_to(io, b"all", "127.255.255.255:9").expect_err("not allowed");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        near.set_broadcast(io, true).expect("set");
        assert!(near.option(io, option::BROADCAST).expect("read"));
        near.send_to(io, b"all", "127.255.255.255:9").expect("allowed");
    });
}

fn ipv6_messages_tell_their_sender(on: &On) {
    on.run(|io| {
        let Ok(near) = UdpSocket::bind(io, "[::1]:0") else {
            return on.not_run("no IPv6 on this machine");
        };
        let far = UdpSocket::bind(io, "[::1]:0").expect("bind");
        near.send_to(io, b"six", far.local_addr(io).expect("address")).expect("sent");
        let (count, from) = far.recv_from(io, &mut [0; 8]).expect("received");
        assert_eq!((count, from), (3, near.local_addr(io).expect("address")));
        far.set_option(io, option::JOIN_MULTICAST_V6, ("ff01::1234".parse().expect("a group"), 1)).expect("joined");
        far.set_option(io, option::LEAVE_MULTICAST_V6, ("ff01::1234".parse().expect("a group"), 1)).expect("left");
    });
}
