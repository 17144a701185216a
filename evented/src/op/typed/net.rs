//! Operations on sockets.
#![allow(unsafe_code)]

use std::io::{IoSlice, IoSliceMut};
use std::net;
use std::os::fd::{BorrowedFd, OwnedFd};

use io_uring::opcode;
use iolite_io::backend::{AddressBuffer, kernel_address};
use iolite_io::net::{Address, Received};
use rustix::net::SocketAddrAny;

use super::{count, descriptor, done, fd, length, operation};
use crate::op::message::SEND_FLAGS;
use crate::sys;
use crate::sys::message::Header;

operation! {
    /// Makes a socket, closed on exec. Linux 5.19.
    Socket {
        /// `AF_*`.
        domain: i32,
        /// `SOCK_*`.
        kind: i32,
        /// The number of the protocol; 0 for the usual one.
        protocol: i32,
    } -> OwnedFd;
    code: opcode::Socket;
    entry: |socket, _frame| opcode::Socket::new(socket.domain, socket.kind | sys::SOCK_CLOEXEC, socket.protocol);
    // SAFETY: this operation makes a descriptor.
    answer: |_socket, _frame, answer| unsafe { descriptor(answer) };
}

operation! {
    /// Binds a socket to an address. Linux 6.11.
    Bind<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The address.
        address: &'a Address,
    } -> ();
    code: opcode::Bind;
    frame: Option<SocketAddrAny>;
    entry: |bind, room| {
        let address = room.insert(kernel_address(bind.address));
        opcode::Bind::new(fd(bind.socket), address.as_ptr().cast(), address.addr_len())
    };
    answer: |_bind, _room, answer| done(answer);
}

operation! {
    /// Turns a socket into a listener. Linux 6.11.
    Listen<'a> {
        /// A bound socket.
        socket: BorrowedFd<'a>,
        /// The number of connections that may wait to be accepted.
        backlog: i32,
    } -> ();
    code: opcode::Listen;
    entry: |listen, _frame| opcode::Listen::new(fd(listen.socket), listen.backlog);
    answer: |_listen, _frame, answer| done(answer);
}

operation! {
    /// Accepts the next connection, closed on exec, and returns it with its peer's address if it has one. Linux 5.5.
    Accept<'a> {
        /// A listener.
        listener: BorrowedFd<'a>,
        /// `SOCK_NONBLOCK`.
        flags: i32,
    } -> (OwnedFd, Option<Address>);
    code: opcode::Accept;
    frame: AddressBuffer;
    entry: |accept, peer| opcode::Accept::new(fd(accept.listener), peer.address(), peer.length())
        .flags(accept.flags | sys::SOCK_CLOEXEC);
    answer: |_accept, peer, answer| {
        // SAFETY: this operation makes a descriptor.
        let socket = unsafe { descriptor(answer) }?;
        Ok((socket, peer.get()?))
    };
}

operation! {
    /// Connects a socket. Linux 5.5.
    Connect<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The address of the peer.
        address: &'a Address,
    } -> ();
    code: opcode::Connect;
    frame: Option<SocketAddrAny>;
    entry: |connect, room| {
        let address = room.insert(kernel_address(connect.address));
        opcode::Connect::new(fd(connect.socket), address.as_ptr().cast(), address.addr_len())
    };
    answer: |_connect, _room, answer| done(answer);
}

operation! {
    /// Shuts down one or both directions of a connection. Linux 5.11.
    Shutdown<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The directions to shut down.
        how: net::Shutdown,
    } -> ();
    code: opcode::Shutdown;
    entry: |shutdown, _frame| opcode::Shutdown::new(fd(shutdown.socket), match shutdown.how {
        net::Shutdown::Read => sys::SHUT_RD,
        net::Shutdown::Write => sys::SHUT_WR,
        net::Shutdown::Both => sys::SHUT_RDWR,
    });
    answer: |_shutdown, _frame, answer| done(answer);
}

/// Adds the flags of a send: no signal, and no bytes that the kernel would still read after the completion.
fn send_flags(flags: i32) -> i32 {
    flags & !sys::MSG_ZEROCOPY | sys::MSG_NOSIGNAL
}

operation! {
    /// Sends bytes (since Linux 5.6); to an address since Linux 6.0.
    Send<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The bytes.
        buffer: &'a [u8],
        /// The destination, if the socket is not connected.
        to: Option<&'a Address>,
        /// `MSG_*`, without `MSG_ZEROCOPY`.
        flags: i32,
    } -> usize;
    code: opcode::Send;
    frame: Option<SocketAddrAny>;
    entry: |send, room| {
        *room = send.to.map(kernel_address);
        let entry = opcode::Send::new(fd(send.socket), send.buffer.as_ptr(), length(send.buffer.len()))
            .flags(send_flags(send.flags));
        match room {
            Some(to) => entry.dest_addr(to.as_ptr().cast()).dest_addr_len(to.addr_len()),
            None => entry,
        }
    };
    answer: |_send, _room, answer| count(answer);
}

operation! {
    /// Receives bytes; returns their number, which is 0 at the end. Linux 5.6.
    Recv<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The buffer for the bytes.
        buffer: &'a mut [u8],
        /// `MSG_*`. With `MSG_TRUNC` the number of bytes may exceed the size of the buffer.
        flags: i32,
    } -> usize;
    code: opcode::Recv;
    entry: |receive, _frame| opcode::Recv::new(
        fd(receive.socket), receive.buffer.as_mut_ptr(), length(receive.buffer.len()),
    ).flags(receive.flags);
    answer: |_receive, _frame, answer| count(answer);
}

operation! {
    /// Sends one message. Linux 5.3.
    ///
    /// It does not wait for room, but fails with `EAGAIN`: on a Unix socket, kernels up to at least 6.18 would
    /// otherwise send a message without its bytes. A [`PollAdd`](super::PollAdd) waits for room.
    SendMsg<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The buffers, at most 1,024, sent in order.
        buffers: &'a [IoSlice<'a>],
        /// The destination, if the socket is not connected.
        to: Option<&'a Address>,
        /// Descriptors, at most 253, whose duplicates are sent with the message.
        descriptors: &'a [BorrowedFd<'a>],
        /// `MSG_*`, without `MSG_ZEROCOPY`.
        flags: i32,
    } -> usize;
    code: opcode::SendMsg;
    frame: Header;
    entry: |send, room| {
        let header = room.for_sending(send.buffers, send.to, send.descriptors);
        opcode::SendMsg::new(fd(send.socket), header).flags((send_flags(send.flags) | SEND_FLAGS) as u32)
    };
    answer: |_send, _room, answer| count(answer);
}

/// Asks for control data in the form of 32-bit programs, which this code does not read.
const MSG_CMSG_COMPAT: i32 = 1 << 31;

operation! {
    /// Receives one message. Linux 5.3.
    RecvMsg<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The buffers, at most 1,024, filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// The maximum number of descriptors that may come with the message, at most 253.
        descriptors_max: usize,
        /// `MSG_*`.
        flags: i32,
    } -> Received;
    code: opcode::RecvMsg;
    frame: Header;
    entry: |receive, room| {
        let header = room.for_receiving(receive.buffers, receive.descriptors_max);
        let flags = receive.flags & !MSG_CMSG_COMPAT | sys::MSG_CMSG_CLOEXEC;
        opcode::RecvMsg::new(fd(receive.socket), header).flags(flags as u32)
    };
    answer: |receive, room, answer| {
        let count = count(answer)?;
        // SAFETY: the kernel has filled it.
        unsafe { room.received(count, receive.descriptors_max) }
    };
}
