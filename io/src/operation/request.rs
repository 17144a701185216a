//! Operations as data: what a program can ask an [`Io`](crate::Io) to do.

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

/// One request, with what it borrows from the caller until it has ended.
///
/// Each variant says what [`Output`](crate::operation::Output) answers it. Counts are bytes. An empty buffer is answered with
/// `Count(0)`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// Does nothing, through the whole machinery. Answered with `Done`.
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
    /// Makes a listener of a socket. Answered with `Done`. From then on it is non-blocking
    /// (`O_NONBLOCK`), so that two acceptors on threads can race for one connection and both stay
    /// cancelable; connections accepted from it are not.
    Listen {
        /// A bound socket.
        socket: &'a Descriptor,
        /// How many connections may wait to be accepted; the kernel caps it.
        backlog: u32,
    },
    /// Takes the next connection, closed on exec. Answered with `Accepted`.
    Accept {
        /// A listener.
        listener: &'a Descriptor,
    },
    /// Connects a socket. Answered with `Done`. After an error it is for closing.
    Connect {
        /// A socket that is not connected yet, or one for messages.
        socket: &'a Descriptor,
        /// The peer.
        address: &'a Address,
    },
    /// Waits until a descriptor is ready, or has an error or an end to tell. Answered with `Done`.
    Ready {
        /// What can be polled.
        descriptor: &'a Descriptor,
        /// For what.
        interest: Interest,
    },
    /// Receives bytes: what is there, at least one. Answered with `Count`, 0 when the peer has finished.
    Receive {
        /// A connected socket.
        socket: &'a Descriptor,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// Leave the bytes in the socket's queue.
        peek: bool,
    },
    /// Receives one message, or what is there of a stream. Answered with `Received`. Also with no room for
    /// a single byte: then the message is gone.
    ReceiveMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// Leave the message in the socket's queue.
        peek: bool,
        /// How many descriptors may come with it.
        descriptors_max: usize,
    },
    /// Receives messages, waiting for the first only. Answered with `Count`, of messages.
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
        /// Wait until all of it is sent, where that costs nothing more. The answer may be short
        /// nevertheless.
        all: bool,
    },
    /// Sends one message, also an empty one, or some bytes of a stream. Answered with `Count`.
    SendMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Sent in order.
        buffers: &'a [IoSlice<'a>],
        /// To whom, where the socket is not connected.
        to: Option<&'a Address>,
        /// Descriptors of which duplicates go with it.
        descriptors: &'a [BorrowedFd<'a>],
    },
    /// Sends messages in their order, waiting for room for the first only. Answered with `Count`, of messages.
    SendMany {
        /// A socket for messages.
        socket: &'a Descriptor,
        /// What, and to whom.
        messages: &'a [OutgoingMessage<'a>],
    },
    /// As `Send` with `all`, without copying the bytes where that is possible. Answered with `Count`.
    ///
    /// The bytes are kept until the kernel has let them go, which may be long after the answer.
    SendZeroCopy {
        /// A connected socket.
        socket: &'a Descriptor,
        /// What to send.
        bytes: SharedBytes,
        /// Where in `bytes` to begin.
        from: usize,
    },
    /// Attempts on a socket what would have to wait otherwise: answered as the operation of that name, or with the error
    /// `EAGAIN`. Never waits, lets nobody else run, and is no cancellation point.
    Attempt(Attempt<'a>),
    /// Shuts one or both directions of a connection down. Answered with `Done`.
    Shutdown {
        /// A connected socket.
        socket: &'a Descriptor,
        /// Which directions.
        how: Shutdown,
    },
    /// Sets a socket option. Answered with `Done`.
    SetOption {
        /// A socket.
        socket: &'a Descriptor,
        /// Which.
        name: OptionName,
        /// Its new value.
        value: OptionValue,
    },
    /// Reads a socket option. Answered with `Option`.
    GetOption {
        /// A socket.
        socket: &'a Descriptor,
        /// Which.
        name: OptionName,
    },
    /// The address a socket is bound to. Answered with `Address`.
    LocalAddress {
        /// A socket.
        socket: &'a Descriptor,
    },
    /// The address a socket is connected to. Answered with `Address`.
    PeerAddress {
        /// A connected socket.
        socket: &'a Descriptor,
    },
    /// Looks a host name up, as the system's configuration says. Answered with `Addresses`.
    Resolve {
        /// A host name or an address.
        host: &'a str,
        /// Goes into the addresses.
        port: u16,
    },
    /// Opens a file. Answered with `Opened`.
    Open {
        /// Where it is. In a directory it is looked for beneath that: a path that leads out of it, also
        /// through a link, is refused with `EXDEV`.
        at: PathAt<'a>,
        /// How.
        options: &'a OpenOptions,
    },
    /// Reads from a file. Answered with `Count`, 0 at the end.
    Read {
        /// A file.
        file: &'a Descriptor,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// What the buffer is a part of, if of a pool: a backend may tell the kernel about it once.
        memory: Option<&'a Arc<PoolMemory>>,
        /// From where, in bytes; `None` from the file's position, which moves.
        offset: Option<u64>,
    },
    /// Writes to a file. Answered with `Count`, short when the disk is full in the middle.
    Write {
        /// A file.
        file: &'a Descriptor,
        /// What to write.
        buffer: &'a [u8],
        /// As in `Read`.
        memory: Option<&'a Arc<PoolMemory>>,
        /// Where to, in bytes; `None` to the file's position, which moves.
        offset: Option<u64>,
    },
    /// Moves bytes between two descriptors, of which one is a pipe, or from a file to a socket, without passing them
    /// through memory. Waits for at least one byte, and for room for it. Answered with `Count`, 0 at the end.
    ///
    /// The pipe's other side is a pipe, a socket or a file on a disk. Anything else, a file that is appended to, and a
    /// file of which nothing is left to be sent, is refused with `EINVAL`, before a byte was moved. A blocking socket is made
    /// non-blocking (`O_NONBLOCK`) for moments: whoever else uses a duplicate of it sees that,
    /// and must not change it meanwhile.
    Splice {
        /// Where the bytes are.
        from: &'a Descriptor,
        /// From where in a file, in bytes; `None` from the file's position, which moves.
        from_offset: Option<u64>,
        /// Where they go; to a file's position, which moves.
        to: &'a Descriptor,
        /// How many at most.
        bytes: usize,
    },
    /// Brings a file's content to the disk. Answered with `Done`.
    Sync {
        /// A file.
        file: &'a Descriptor,
        /// Without the metadata that reading the content does not need.
        data_only: bool,
    },
    /// Moves a file's position. Answered with `Position`.
    Seek {
        /// A file.
        file: &'a Descriptor,
        /// Where to.
        position: SeekFrom,
    },
    /// As `Read`, into several buffers.
    ReadVectored {
        /// A file.
        file: &'a Descriptor,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// As in `Read`.
        offset: Option<u64>,
    },
    /// As `Write`, from several buffers.
    WriteVectored {
        /// A file.
        file: &'a Descriptor,
        /// Written in order.
        buffers: &'a [IoSlice<'a>],
        /// As in `Write`.
        offset: Option<u64>,
    },
    /// What else is asked of a file system. Each says what answers it.
    File(FileOperation<'a>),
    /// Runs a closure that may block its thread, and waits for its end. Answered with `Done`.
    ///
    /// The closure is canceled by nobody, nor is what it calls through an `Io`; as long as it has
    /// not begun, it can be withdrawn.
    Offload {
        /// The closure.
        job: Job<'a>,
    },
    /// Starts a program, as [`process::spawn`](crate::process::spawn) says. Answered with `Spawned`.
    Spawn {
        /// What to start.
        command: &'a mut Command,
    },
    /// An operation that one backend has beside those of the vocabulary, and that nobody else can look into;
    /// its crate makes it and reads what becomes of it. Answered with `Done`; by other backends with an error
    /// of kind [`Unsupported`](std::io::ErrorKind::Unsupported).
    Native {
        /// Of a type of that backend's.
        operation: &'a mut (dyn Any + Send),
    },
    /// Closes a descriptor and reports what went wrong. Answered with `Done`. The descriptor is
    /// gone, also after an error or a cancellation.
    Close {
        /// What to close.
        descriptor: Descriptor,
    },
}

impl Operation<'_> {
    /// Whether it is a cancellation point, before which an `Io` asks for requests: everything but an
    /// [`Attempt`](Operation::Attempt) is.
    #[inline]
    pub fn is_point(&self) -> bool {
        !matches!(self, Operation::Attempt(_))
    }
}

/// What [`Operation::Attempt`] attempts.
#[derive(Debug)]
#[non_exhaustive]
pub enum Attempt<'a> {
    /// As [`Operation::Accept`]; fails with [`io::ErrorKind::Unsupported`](std::io::ErrorKind::Unsupported) where the listener is in blocking mode.
    Accept {
        /// A listener.
        listener: &'a Descriptor,
    },
    /// As [`Operation::Receive`].
    Receive {
        /// A connected socket.
        socket: &'a Descriptor,
        /// Where to put the bytes.
        buffer: &'a mut [u8],
        /// Leave the bytes in the socket's queue.
        peek: bool,
    },
    /// As [`Operation::ReceiveMessage`], of a socket for messages, without descriptors.
    ReceiveMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Filled in order.
        buffers: &'a mut [IoSliceMut<'a>],
        /// Leave the message in the socket's queue.
        peek: bool,
    },
    /// As [`Operation::Send`].
    Send {
        /// A connected socket.
        socket: &'a Descriptor,
        /// What to send.
        buffer: &'a [u8],
    },
    /// As [`Operation::SendMessage`], without descriptors.
    SendMessage {
        /// A socket.
        socket: &'a Descriptor,
        /// Sent in order.
        buffers: &'a [IoSlice<'a>],
        /// To whom, where the socket is not connected.
        to: Option<&'a Address>,
    },
}
