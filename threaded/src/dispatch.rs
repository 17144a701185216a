//! The calls that perform each operation of the vocabulary.

use std::any::Any;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::sync::Arc;

use iolite_io::Io;
use iolite_io::backend::{
    self, Context, Interest, Lookups, Perform, PoolMemory, dispatch, perform_attempt, perform_file, perform_nonblocking,
};
use iolite_io::fs::{FileOperation, OpenOptions, PathAt};
use iolite_io::net::{Address, Message, OutgoingMessage};
use iolite_io::operation::{Attempt, Descriptor, Job, Operation, Output, SharedBytes};

use crate::operate::Caller;

/// Performs an operation for the calling context, which has passed its cancellation point. The context is a thread, unless
/// the operation [needs none](needs_thread).
pub(crate) fn operate(
    io: &dyn Io,
    lookups: &Lookups,
    context: &Context,
    operation: Operation<'_>,
) -> io::Result<Output> {
    dispatch(&Dispatch { io, lookups, caller: Caller::new(io, context) }, operation)
}

/// Returns true if performing the operation may block the calling thread.
pub(crate) fn needs_thread(operation: &Operation<'_>) -> bool {
    !matches!(operation, Operation::Attempt(_) | Operation::Resolve { .. })
}

/// A runtime and the calling context, for one operation.
struct Dispatch<'a> {
    io: &'a dyn Io,
    lookups: &'a Lookups,
    caller: Caller<'a>,
}

impl Perform for Dispatch<'_> {
    fn nonblocking(&self, operation: Operation<'_>) -> io::Result<Output> {
        perform_nonblocking(operation).unwrap_or_else(|operation| unsupported(&operation))
    }

    fn accept(&self, listener: &Descriptor) -> io::Result<Output> {
        self.caller.accept(listener)
    }

    fn connect(&self, socket: &Descriptor, address: &Address) -> io::Result<Output> {
        self.caller.connect(socket, address).map(|()| Output::Done)
    }

    fn ready(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<Output> {
        self.caller.ready(descriptor, interest).map(|()| Output::Done)
    }

    fn receive(&self, socket: &Descriptor, buffer: &mut [u8], peek: bool) -> io::Result<Output> {
        self.caller.receive(socket, buffer, peek).map(Output::Count)
    }

    fn receive_message(
        &self,
        socket: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        peek: bool,
        descriptors_max: usize,
    ) -> io::Result<Output> {
        self.caller.receive_message(socket, buffers, peek, descriptors_max).map(Output::Received)
    }

    fn receive_many(&self, socket: &Descriptor, messages: &mut [Message]) -> io::Result<Output> {
        self.caller.receive_many(socket, messages).map(Output::Count)
    }

    fn send(&self, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<Output> {
        self.caller.send(socket, buffer, all).map(Output::Count)
    }

    fn send_message(
        &self,
        socket: &Descriptor,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Output> {
        self.caller.send_message(socket, buffers, to, descriptors).map(Output::Count)
    }

    fn send_many(&self, socket: &Descriptor, messages: &[OutgoingMessage<'_>]) -> io::Result<Output> {
        self.caller.send_many(socket, messages).map(Output::Count)
    }

    fn send_zero_copy(&self, socket: &Descriptor, bytes: SharedBytes, from: usize) -> io::Result<Output> {
        self.caller.send(socket, bytes.rest(from), true).map(Output::Count)
    }

    fn attempt(&self, attempt: Attempt<'_>) -> io::Result<Output> {
        perform_attempt(attempt)
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Output> {
        self.lookups.resolve(self.io, host, port).map(Output::Addresses)
    }

    fn open(&self, at: PathAt<'_>, options: &OpenOptions) -> io::Result<Output> {
        self.caller.open(at, options).map(Output::Opened)
    }

    fn read(
        &self,
        file: &Descriptor,
        buffer: &mut [u8],
        _: Option<&Arc<PoolMemory>>,
        offset: Option<u64>,
    ) -> io::Result<Output> {
        self.caller.read(file, buffer, offset).map(Output::Count)
    }

    fn write(
        &self,
        file: &Descriptor,
        buffer: &[u8],
        _: Option<&Arc<PoolMemory>>,
        offset: Option<u64>,
    ) -> io::Result<Output> {
        self.caller.write(file, buffer, offset).map(Output::Count)
    }

    fn read_vectored(
        &self,
        file: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<Output> {
        self.caller.read_vectored(file, buffers, offset).map(Output::Count)
    }

    fn write_vectored(&self, file: &Descriptor, buffers: &[IoSlice<'_>], offset: Option<u64>) -> io::Result<Output> {
        self.caller.write_vectored(file, buffers, offset).map(Output::Count)
    }

    fn splice(&self, from: &Descriptor, from_offset: Option<u64>, to: &Descriptor, bytes: usize) -> io::Result<Output> {
        self.caller.splice(from, from_offset, to, bytes).map(Output::Count)
    }

    fn sync(&self, file: &Descriptor, data_only: bool) -> io::Result<Output> {
        self.caller.sync(file, data_only).map(|()| Output::Done)
    }

    fn file(&self, operation: FileOperation<'_>) -> io::Result<Output> {
        perform_file(operation)
    }

    fn offload(&self, job: Job<'_>) -> io::Result<Output> {
        self.io.shield(|_| job.run());
        Ok(Output::Done)
    }

    fn spawn(&self, command: &mut Command) -> io::Result<Output> {
        Ok(Output::Spawned(backend::spawn_program(self.io, command)?.into()))
    }

    fn native(&self, operation: &mut (dyn Any + Send)) -> io::Result<Output> {
        unsupported(&Operation::Native { operation })
    }

    fn close(&self, descriptor: Descriptor) -> io::Result<Output> {
        backend::close(descriptor).map(|()| Output::Done)
    }
}

fn unsupported(_: &Operation<'_>) -> io::Result<Output> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "the threaded backend cannot perform this operation"))
}
