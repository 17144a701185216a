//! The operations as methods, so that the compiler names the backends that lack one.

use std::any::Any;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::sync::Arc;

use crate::descriptor::Descriptor;
use crate::net::Address;
use crate::operation::{
    Attempt, FileOperation, Interest, Job, Message, OpenOptions, Operation, OutgoingMessage, Output, PathAt,
    SharedBytes,
};
use crate::pool::PoolMemory;

/// Performs each [`Operation`], by a method of its own.
///
/// [`Operation`] is `#[non_exhaustive]`, so a `match` in the package of a backend needs an arm for all other operations, in
/// which a forgotten one would end. The methods of this trait have no default, so the compiler rejects a backend that
/// lacks one. [`dispatch`] calls the method of an operation; its `match` is exhaustive, since it is in the package of the
/// operations. Only the operations that never block share a method, [`nonblocking`](Self::nonblocking):
/// [`perform_nonblocking`](super::perform_nonblocking) knows all of them.
///
/// A type of each backend implements this; programs do not use it. A new operation is a new method, which is a breaking
/// change for those backends alone.
pub trait Perform {
    /// Performs an operation that never blocks, one of those that
    /// [`perform_nonblocking`](super::perform_nonblocking) performs.
    fn nonblocking(&self, operation: Operation<'_>) -> io::Result<Output>;

    /// Performs [`Operation::Accept`].
    fn accept(&self, listener: &Descriptor) -> io::Result<Output>;

    /// Performs [`Operation::Connect`].
    fn connect(&self, socket: &Descriptor, address: &Address) -> io::Result<Output>;

    /// Performs [`Operation::Ready`].
    fn ready(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<Output>;

    /// Performs [`Operation::Receive`].
    fn receive(&self, socket: &Descriptor, buffer: &mut [u8], peek: bool) -> io::Result<Output>;

    /// Performs [`Operation::ReceiveMessage`].
    fn receive_message(
        &self,
        socket: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        peek: bool,
        descriptors_max: usize,
    ) -> io::Result<Output>;

    /// Performs [`Operation::ReceiveMany`].
    fn receive_many(&self, socket: &Descriptor, messages: &mut [Message]) -> io::Result<Output>;

    /// Performs [`Operation::Send`].
    fn send(&self, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<Output>;

    /// Performs [`Operation::SendMessage`].
    fn send_message(
        &self,
        socket: &Descriptor,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Output>;

    /// Performs [`Operation::SendMany`].
    fn send_many(&self, socket: &Descriptor, messages: &[OutgoingMessage<'_>]) -> io::Result<Output>;

    /// Performs [`Operation::SendZeroCopy`].
    fn send_zero_copy(&self, socket: &Descriptor, bytes: SharedBytes, from: usize) -> io::Result<Output>;

    /// Performs [`Operation::Attempt`].
    fn attempt(&self, attempt: Attempt<'_>) -> io::Result<Output>;

    /// Performs [`Operation::Resolve`].
    fn resolve(&self, host: &str, port: u16) -> io::Result<Output>;

    /// Performs [`Operation::Open`].
    fn open(&self, at: PathAt<'_>, options: &OpenOptions) -> io::Result<Output>;

    /// Performs [`Operation::Read`].
    fn read(
        &self,
        file: &Descriptor,
        buffer: &mut [u8],
        memory: Option<&Arc<PoolMemory>>,
        offset: Option<u64>,
    ) -> io::Result<Output>;

    /// Performs [`Operation::Write`].
    fn write(
        &self,
        file: &Descriptor,
        buffer: &[u8],
        memory: Option<&Arc<PoolMemory>>,
        offset: Option<u64>,
    ) -> io::Result<Output>;

    /// Performs [`Operation::ReadVectored`].
    fn read_vectored(
        &self,
        file: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<Output>;

    /// Performs [`Operation::WriteVectored`].
    fn write_vectored(&self, file: &Descriptor, buffers: &[IoSlice<'_>], offset: Option<u64>) -> io::Result<Output>;

    /// Performs [`Operation::Splice`].
    fn splice(&self, from: &Descriptor, from_offset: Option<u64>, to: &Descriptor, bytes: usize) -> io::Result<Output>;

    /// Performs [`Operation::Sync`].
    fn sync(&self, file: &Descriptor, data_only: bool) -> io::Result<Output>;

    /// Performs [`Operation::File`]; see [`perform_file`](super::perform_file).
    fn file(&self, operation: FileOperation<'_>) -> io::Result<Output>;

    /// Performs [`Operation::Offload`].
    fn offload(&self, job: Job<'_>) -> io::Result<Output>;

    /// Performs [`Operation::Spawn`].
    fn spawn(&self, command: &mut Command) -> io::Result<Output>;

    /// Performs [`Operation::Native`].
    fn native(&self, operation: &mut (dyn Any + Send)) -> io::Result<Output>;

    /// Performs [`Operation::Close`].
    fn close(&self, descriptor: Descriptor) -> io::Result<Output>;
}

/// Performs an operation by the method of `performer` that is for it.
///
/// # Cancellation
///
/// That of the method.
///
/// # Errors
///
/// Those of the method.
#[inline]
pub fn dispatch(performer: &impl Perform, operation: Operation<'_>) -> io::Result<Output> {
    match operation {
        Operation::Accept { listener } => performer.accept(listener),
        Operation::Connect { socket, address } => performer.connect(socket, address),
        Operation::Ready { descriptor, interest } => performer.ready(descriptor, interest),
        Operation::Receive { socket, buffer, peek } => performer.receive(socket, buffer, peek),
        Operation::ReceiveMessage { socket, buffers, peek, descriptors_max } => {
            performer.receive_message(socket, buffers, peek, descriptors_max)
        }
        Operation::ReceiveMany { socket, messages } => performer.receive_many(socket, messages),
        Operation::Send { socket, buffer, all } => performer.send(socket, buffer, all),
        Operation::SendMessage { socket, buffers, to, descriptors } => {
            performer.send_message(socket, buffers, to, descriptors)
        }
        Operation::SendMany { socket, messages } => performer.send_many(socket, messages),
        Operation::SendZeroCopy { socket, bytes, from } => performer.send_zero_copy(socket, bytes, from),
        Operation::Attempt(attempt) => performer.attempt(attempt),
        Operation::Resolve { host, port } => performer.resolve(host, port),
        Operation::Open { at, options } => performer.open(at, options),
        Operation::Read { file, buffer, memory, offset } => performer.read(file, buffer, memory, offset),
        Operation::Write { file, buffer, memory, offset } => performer.write(file, buffer, memory, offset),
        Operation::ReadVectored { file, buffers, offset } => performer.read_vectored(file, buffers, offset),
        Operation::WriteVectored { file, buffers, offset } => performer.write_vectored(file, buffers, offset),
        Operation::Splice { from, from_offset, to, bytes } => performer.splice(from, from_offset, to, bytes),
        Operation::Sync { file, data_only } => performer.sync(file, data_only),
        Operation::File(operation) => performer.file(operation),
        Operation::Offload { job } => performer.offload(job),
        Operation::Spawn { command } => performer.spawn(command),
        Operation::Native { operation } => performer.native(operation),
        Operation::Close { descriptor } => performer.close(descriptor),
        Operation::Nop
        | Operation::Socket { .. }
        | Operation::SocketPair { .. }
        | Operation::Bind { .. }
        | Operation::Listen { .. }
        | Operation::Shutdown { .. }
        | Operation::SetOption { .. }
        | Operation::GetOption { .. }
        | Operation::LocalAddress { .. }
        | Operation::PeerAddress { .. }
        | Operation::Seek { .. } => performer.nonblocking(operation),
    }
}
