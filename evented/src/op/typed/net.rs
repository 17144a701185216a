//! Operations on sockets.
#![allow(unsafe_code)]

use std::io::{IoSlice, IoSliceMut};
use std::net;
use std::os::fd::{BorrowedFd, OwnedFd};

use io_uring::opcode;
use iolite_io::backend::{AddressBuffer, kernel_address};
use iolite_io::net::Address;
use rustix::net::SocketAddrAny;

use header::Header;

use super::{count, descriptor, done, fd, length, operation};
use crate::op::BUFFERS_MAX;

operation! {
    /// Makes a socket, closed on exec. Linux 5.19.
    Socket {
        /// `AF_*`.
        domain: i32,
        /// `SOCK_*`.
        kind: i32,
        /// The protocol's number; 0 for the usual one.
        protocol: i32,
    } -> OwnedFd;
    code: opcode::Socket;
    entry: |socket, _frame| opcode::Socket::new(socket.domain, socket.kind | libc::SOCK_CLOEXEC, socket.protocol);
    // SAFETY: it makes a descriptor.
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
    /// Makes a listener of a socket. Linux 6.11.
    Listen<'a> {
        /// A bound socket.
        socket: BorrowedFd<'a>,
        /// How many connections may wait to be accepted.
        backlog: i32,
    } -> ();
    code: opcode::Listen;
    entry: |listen, _frame| opcode::Listen::new(fd(listen.socket), listen.backlog);
    answer: |_listen, _frame, answer| done(answer);
}

operation! {
    /// Takes the next connection, closed on exec, with its peer's address if it has one. Linux 5.5.
    Accept<'a> {
        /// A listener.
        listener: BorrowedFd<'a>,
        /// `SOCK_NONBLOCK`.
        flags: i32,
    } -> (OwnedFd, Option<Address>);
    code: opcode::Accept;
    frame: AddressBuffer;
    entry: |accept, peer| opcode::Accept::new(fd(accept.listener), peer.address(), peer.length())
        .flags(accept.flags | libc::SOCK_CLOEXEC);
    answer: |_accept, peer, answer| {
        // SAFETY: it makes a descriptor.
        let socket = unsafe { descriptor(answer) }?;
        Ok((socket, peer.get()?))
    };
}

operation! {
    /// Connects a socket. Linux 5.5.
    Connect<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The peer.
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
    /// Shuts one or both directions of a connection down. Linux 5.11.
    Shutdown<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// Which directions.
        how: net::Shutdown,
    } -> ();
    code: opcode::Shutdown;
    entry: |shutdown, _frame| opcode::Shutdown::new(fd(shutdown.socket), match shutdown.how {
        net::Shutdown::Read => libc::SHUT_RD,
        net::Shutdown::Write => libc::SHUT_WR,
        net::Shutdown::Both => libc::SHUT_RDWR,
    });
    answer: |_shutdown, _frame, answer| done(answer);
}

/// Flags of a send: no signal, and nothing that the kernel would read after the completion.
fn send_flags(flags: i32) -> i32 {
    flags & !libc::MSG_ZEROCOPY | libc::MSG_NOSIGNAL
}

operation! {
    /// Sends bytes; to an address since Linux 6.0. Linux 5.6.
    Send<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// The bytes.
        buffer: &'a [u8],
        /// To whom, where the socket is not connected.
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
    /// Receives bytes; 0 at the end. Linux 5.6.
    Recv<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// `MSG_*`. With `MSG_TRUNC` the count may be larger than the buffer.
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
    /// It does not wait for room (`EAGAIN`): kernels up to 6.18 at least would send a message without its
    /// bytes on a Unix socket then. A [`PollAdd`](super::PollAdd) waits. Descriptors are sent by
    /// [`Operation::SendMessage`](iolite_io::Operation::SendMessage).
    SendMsg<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// Sent in order, 1,024 at most.
        buffers: &'a [IoSlice<'a>],
        /// To whom, where the socket is not connected.
        to: Option<&'a Address>,
        /// `MSG_*`, without `MSG_ZEROCOPY`.
        flags: i32,
    } -> usize;
    code: opcode::SendMsg;
    frame: Header;
    entry: |send, room| {
        room.to = send.to.map(kernel_address);
        if let Some(to) = &room.to {
            room.header.msg_name = to.as_ptr().cast_mut().cast();
            room.header.msg_namelen = to.addr_len();
        }
        // An `iovec` in memory, by std's promise; the kernel only reads it.
        room.header.msg_iov = send.buffers.as_ptr().cast_mut().cast();
        room.header.msg_iovlen = send.buffers.len().min(BUFFERS_MAX) as _;
        let flags = send_flags(send.flags) | libc::MSG_DONTWAIT;
        opcode::SendMsg::new(fd(send.socket), &room.header).flags(flags as u32)
    };
    answer: |_send, _room, answer| count(answer);
}

mod header {
    use iolite_io::backend::AddressBuffer;
    use rustix::net::SocketAddrAny;

    /// A message's header, with the addresses to which it points.
    pub struct Header {
        pub(super) header: libc::msghdr,
        pub(super) to: Option<SocketAddrAny>,
        pub(super) from: AddressBuffer,
    }

    impl Default for Header {
        fn default() -> Self {
            // SAFETY: all-zero is a header: numbers, and pointers that are null.
            Self { header: unsafe { std::mem::zeroed() }, to: None, from: AddressBuffer::new() }
        }
    }
}

/// What came with the bytes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// How many bytes.
    pub count: usize,
    /// Who sent it, if that has an address.
    pub from: Option<Address>,
    /// What the kernel says of it: `MSG_TRUNC`, `MSG_CTRUNC`, `MSG_EOR`.
    pub flags: i32,
}

operation! {
    /// Receives one message. Linux 5.3.
    ///
    /// Descriptors that came with it are closed; [`Operation::ReceiveMessage`](iolite_io::Operation::ReceiveMessage)
    /// takes them.
    RecvMsg<'a> {
        /// The socket.
        socket: BorrowedFd<'a>,
        /// Filled in order, 1,024 at most.
        buffers: &'a mut [IoSliceMut<'a>],
        /// `MSG_*`.
        flags: i32,
    } -> Envelope;
    code: opcode::RecvMsg;
    frame: Header;
    entry: |receive, room| {
        room.header.msg_name = room.from.address().cast();
        room.header.msg_namelen = AddressBuffer::BYTES;
        // An `iovec` in memory, by std's promise.
        room.header.msg_iov = receive.buffers.as_mut_ptr().cast();
        room.header.msg_iovlen = receive.buffers.len().min(BUFFERS_MAX) as _;
        opcode::RecvMsg::new(fd(receive.socket), &mut room.header).flags(receive.flags as u32)
    };
    answer: |_receive, room, answer| {
        let count = count(answer)?;
        let Header { header, mut from, .. } = room;
        from.set_length(header.msg_namelen);
        Ok(Envelope { count, from: from.get()?, flags: header.msg_flags })
    };
}
