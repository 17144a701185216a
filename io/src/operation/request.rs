//! The operations: what a program can ask an [`Io`](crate::Io) to do.

use std::any::Any;
use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::sync::Arc;

use super::address::Address;
use super::at::PathAt;
use super::file::FileOperation;
use super::interest::Interest;
use super::job::Job;
use super::message::{Message, OutgoingMessage};
use super::open_options::OpenOptions;
use super::shared_bytes::SharedBytes;
use super::socket::{Domain, SocketType};
use super::socket_option::{OptionName, OptionValue};
use crate::descriptor::Descriptor;
use crate::pool::PoolMemory;

/// A request to an [`Io`](crate::Io), with what it borrows from the caller until it has ended.
///
/// Each variant says with which [`Output`](crate::operation::Output) it is answered. Counts are bytes unless the variant says
/// otherwise. The answer for an empty buffer is `Count(0)`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// Does nothing, but takes the way of every operation. Answered with `Done`.
    Nop,
    /// Makes a socket, closed on exec. Answered with `Opened`.
    Socket {
        /// The family.
        domain: Domain,
        /// What it carries.
        kind: SocketType,
        /// The protocol's number; 0 for the usual one of the kind.
        protocol: i32,
    },
    /// Makes two sockets that are connected to each other, closed on exec. Answered with `OpenedPair`.
    SocketPair {
        /// The family.
        domain: Domain,
        /// What they carry.
        kind: SocketType,
        /// The protocol's number; 0 for the usual one of the kind.
        protocol: i32,
    },
    /// Binds a socket to an address. Answered with `Done`.
    Bind {
        /// A socket.
        socket: &'a Descriptor,
        /// Port 0 and the unnamed Unix address let the system choose.
        address: &'a Address,
    },
    /// Makes a socket listen. Answered with `Done`. From then on the socket is non-blocking
    /// (`O_NONBLOCK`), so that two acceptors on threads can race for one connection and both stay
    /// cancelable; connections accepted from it are not non-blocking.
    Listen {
        /// A bound socket.
        socket: &'a Descriptor,
        /// The number of connections that may wait to be accepted; the kernel caps it.
        backlog: u32,
    },
    /// Takes the next connection, closed on exec. Answered with `Accepted`.
    Accept {
        /// A listener.
        listener: &'a Descriptor,
    },
    /// Connects a socket. Answered with `Done`. After an error the socket can only be closed.
    Connect {
        /// A socket that is not connected yet, or one for messages.
        socket: &'a Descriptor,
        /// The peer.
        address: &'a Address,
    },
    /// Waits until a descriptor is ready, or has an error or an end to report. Answered with `Done`.
    Ready {
        /// A descriptor that can be polled.
        descriptor: &'a Descriptor,
        /// What to wait for.
        interest: Interest,
    },
    /// Receives the bytes that have arrived, and waits for at least one. Answered with `Count`, which is 0 when the peer has
    /// finished.
    Receive {
        /// A connected socket.
        socket: &'a Descriptor,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// Leave the bytes in the socket's queue.
        peek: bool,
    },
    /// Receives one message, or the bytes of a stream that have arrived. Answered with `Received`. It receives a message even
    /// if there is no room for a single byte: then the message is lost.
    ReceiveMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// Leave the message in the socket's queue.
        peek: bool,
        /// The number of descriptors that may come with it.
        descriptors_max: usize,
    },
    /// Receives messages, and waits for the first one only. Answered with `Count`, of messages.
    ReceiveMany {
        /// A socket for messages.
        socket: &'a Descriptor,
        /// Filled in order.
        messages: &'a mut [Message],
    },
    /// Sends bytes. Answered with `Count`, short when the peer reads slowly.
    Send {
        /// A connected socket.
        socket: &'a Descriptor,
        /// What to send.
        buffer: &'a [u8],
        /// Wait until all of it is sent, if that costs nothing more. The count may be short
        /// nevertheless.
        all: bool,
    },
    /// Sends one message, also an empty one, or some bytes of a stream. Answered with `Count`.
    SendMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Sent in order.
        buffers: &'a [IoSlice<'a>],
        /// The receiver, if the socket is not connected.
        to: Option<&'a Address>,
        /// Descriptors of which duplicates go with it.
        descriptors: &'a [BorrowedFd<'a>],
    },
    /// Sends messages in their order, and waits for room for the first one only. Answered with `Count`, of messages.
    SendMany {
        /// A socket for messages.
        socket: &'a Descriptor,
        /// The messages, with their receivers.
        messages: &'a [OutgoingMessage<'a>],
    },
    /// Sends bytes as `Send` with `all` does, without copying them if that is possible. Answered with `Count`.
    ///
    /// The bytes are kept until the kernel has released them, which may be long after the answer.
    SendZeroCopy {
        /// A connected socket.
        socket: &'a Descriptor,
        /// What to send.
        bytes: SharedBytes,
        /// The position in `bytes` at which to begin.
        from: usize,
    },
    /// Attempts an operation on a socket that might have to wait: answered as the operation of that name, or with the error
    /// `EAGAIN` if it would wait. Never waits, lets no other task run, and is not a cancellation point.
    Attempt(Attempt<'a>),
    /// Shuts one or both directions of a connection down. Answered with `Done`.
    Shutdown {
        /// A connected socket.
        socket: &'a Descriptor,
        /// The directions.
        how: Shutdown,
    },
    /// Sets a socket option. Answered with `Done`.
    SetOption {
        /// A socket.
        socket: &'a Descriptor,
        /// The option.
        name: OptionName,
        /// Its new value.
        value: OptionValue,
    },
    /// Reads a socket option. Answered with `Option`.
    GetOption {
        /// A socket.
        socket: &'a Descriptor,
        /// The option.
        name: OptionName,
    },
    /// Returns the address that a socket is bound to. Answered with `Address`.
    LocalAddress {
        /// A socket.
        socket: &'a Descriptor,
    },
    /// Returns the address that a socket is connected to. Answered with `Address`.
    PeerAddress {
        /// A connected socket.
        socket: &'a Descriptor,
    },
    /// Looks up a host name, as the system is configured. Answered with `Addresses`.
    Resolve {
        /// A host name or an address.
        host: &'a str,
        /// The port of the addresses in the answer.
        port: u16,
    },
    /// Opens a file. Answered with `Opened`.
    Open {
        /// The file's place. A path in a directory stays beneath it: a path that leads out of the directory, also
        /// through a link, is refused with `EXDEV`.
        at: PathAt<'a>,
        /// How to open it.
        options: &'a OpenOptions,
    },
    /// Reads from a file. Answered with `Count`, which is 0 at the end.
    Read {
        /// A file.
        file: &'a Descriptor,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// The memory of the pool that the buffer is from, if it is from one: a backend may register it with the kernel once.
        memory: Option<&'a Arc<PoolMemory>>,
        /// Where to begin, in bytes; `None` reads at the file's position, which moves.
        offset: Option<u64>,
    },
    /// Writes to a file. Answered with `Count`, which is short if the disk fills up on the way.
    Write {
        /// A file.
        file: &'a Descriptor,
        /// What to write.
        buffer: &'a [u8],
        /// As in `Read`.
        memory: Option<&'a Arc<PoolMemory>>,
        /// Where to begin, in bytes; `None` writes at the file's position, which moves.
        offset: Option<u64>,
    },
    /// Moves bytes between two descriptors, of which one is a pipe, or from a file to a socket, without copying them
    /// through memory. Waits for at least one byte, and for room for it. Answered with `Count`, which is 0 at the end.
    ///
    /// The other descriptor is a pipe, a socket or a file on a disk. Anything else, a file in append mode, and a
    /// file of which nothing is left to be sent, is refused with `EINVAL`, before a byte is moved. A blocking socket is made
    /// non-blocking (`O_NONBLOCK`) for moments: other users of a duplicate of it see that,
    /// and must not change the mode during the operation.
    Splice {
        /// The descriptor that the bytes come from.
        from: &'a Descriptor,
        /// Where to begin in a file, in bytes; `None` reads at the file's position, which moves.
        from_offset: Option<u64>,
        /// The descriptor that the bytes go to; a file is written at its position, which moves.
        to: &'a Descriptor,
        /// The largest number of bytes to move.
        bytes: usize,
    },
    /// Writes a file's content through to the disk. Answered with `Done`.
    Sync {
        /// A file.
        file: &'a Descriptor,
        /// Leave out the metadata that is not needed to read the content.
        data_only: bool,
    },
    /// Moves a file's position. Answered with `Position`.
    Seek {
        /// A file.
        file: &'a Descriptor,
        /// The new position.
        position: SeekFrom,
    },
    /// Reads as `Read` does, into several buffers.
    ReadVectored {
        /// A file.
        file: &'a Descriptor,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// As in `Read`.
        offset: Option<u64>,
    },
    /// Writes as `Write` does, from several buffers.
    WriteVectored {
        /// A file.
        file: &'a Descriptor,
        /// Written in order.
        buffers: &'a [IoSlice<'a>],
        /// As in `Write`.
        offset: Option<u64>,
    },
    /// Performs one of the other operations on a file system. Each says with what it is answered.
    File(FileOperation<'a>),
    /// Runs a closure that may block its thread, and waits for its end. Answered with `Done`.
    ///
    /// No request cancels the closure, or the calls that it makes through an `Io`; until it has
    /// begun, it can be withdrawn.
    Offload {
        /// The closure.
        job: Job<'a>,
    },
    /// Starts a program, as [`process::spawn`](crate::process::spawn) says. Answered with `Spawned`.
    Spawn {
        /// The program.
        command: &'a mut Command,
    },
    /// Performs an operation that one backend has beside those of the vocabulary, and that is opaque to all others:
    /// the backend's crate makes it and reads its outcome. Answered with `Done`; by other backends with an error
    /// of kind [`Unsupported`](std::io::ErrorKind::Unsupported).
    Native {
        /// A value of a type of that backend.
        operation: &'a mut (dyn Any + Send),
    },
    /// Closes a descriptor and reports an error of that. Answered with `Done`. The descriptor is
    /// closed in any case, also after an error or a cancellation.
    Close {
        /// The descriptor.
        descriptor: Descriptor,
    },
}

impl Operation<'_> {
    /// Returns true if the operation is a cancellation point, before which an `Io` looks for requests: every operation but an
    /// [`Attempt`](Operation::Attempt) is one.
    #[inline]
    pub fn is_point(&self) -> bool {
        !matches!(self, Operation::Attempt(_))
    }
}

/// An operation that [`Operation::Attempt`] attempts.
#[derive(Debug)]
#[non_exhaustive]
pub enum Attempt<'a> {
    /// Attempts [`Operation::Accept`]. Fails with [`io::ErrorKind::Unsupported`](std::io::ErrorKind::Unsupported) if the
    /// listener is in blocking mode.
    Accept {
        /// A listener.
        listener: &'a Descriptor,
    },
    /// Attempts [`Operation::Receive`].
    Receive {
        /// A connected socket.
        socket: &'a Descriptor,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// Leave the bytes in the socket's queue.
        peek: bool,
    },
    /// Attempts [`Operation::ReceiveMessage`] of a socket for messages, without descriptors.
    ReceiveMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// Leave the message in the socket's queue.
        peek: bool,
    },
    /// Attempts [`Operation::Send`].
    Send {
        /// A connected socket.
        socket: &'a Descriptor,
        /// What to send.
        buffer: &'a [u8],
    },
    /// Attempts [`Operation::SendMessage`], without descriptors.
    SendMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Sent in order.
        buffers: &'a [IoSlice<'a>],
        /// The receiver, if the socket is not connected.
        to: Option<&'a Address>,
    },
}
