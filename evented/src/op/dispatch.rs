//! The file that performs each operation of the vocabulary.

use std::any::Any;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::sync::Arc;

use iolite_io::backend::{Context, Interest, Perform, PoolMemory, dispatch, perform_attempt, perform_nonblocking};
use iolite_io::fs::{FileOperation, OpenOptions, PathAt};
use iolite_io::net::{Address, Message, OutgoingMessage};
use iolite_io::operation::{Attempt, Descriptor, Job, Operation, Output, SharedBytes};

use super::perform::Performer;
use super::{
    accept, close, connect, files, message, offload, open, poll, read, receive, send, spawn, splice, sync, typed, write,
};
use crate::runtime::Runtime;

/// Performs an operation for the calling context, which has passed its cancellation point.
pub(crate) fn operate(runtime: &Runtime, context: &Context, operation: Operation<'_>) -> io::Result<Output> {
    dispatch(&Dispatch { runtime, context, performer: Performer::new(runtime, context) }, operation)
}

/// The ring and the pools of a runtime, for one operation of one context.
///
/// Every operation fails once the runtime has ended, as it does on every backend. The ring refuses an entry then; what needs
/// no ring, or does not always need one, asks first ([`check_open`](Performer::check_open)).
struct Dispatch<'a> {
    runtime: &'a Runtime,
    context: &'a Context,
    performer: Performer<'a>,
}

impl Perform for Dispatch<'_> {
    fn nonblocking(&self, operation: Operation<'_>) -> io::Result<Output> {
        self.performer.check_open()?;
        perform_nonblocking(operation).unwrap_or_else(|operation| {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("the evented backend cannot perform {operation:?}")))
        })
    }

    fn accept(&self, listener: &Descriptor) -> io::Result<Output> {
        accept::perform(&self.performer, listener)
    }

    fn connect(&self, socket: &Descriptor, address: &Address) -> io::Result<Output> {
        if let Address::Internet(_) = address {
            return connect::perform(&self.performer, socket, address);
        }
        self.performer.check_open()?;
        connect::perform_unix(&self.performer, socket, address)
    }

    fn ready(&self, descriptor: &Descriptor, interest: Interest) -> io::Result<Output> {
        poll::perform(&self.performer, descriptor, interest)
    }

    fn receive(&self, socket: &Descriptor, buffer: &mut [u8], peek: bool) -> io::Result<Output> {
        receive::perform(&self.performer, socket, buffer, peek)
    }

    fn receive_message(
        &self,
        socket: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        peek: bool,
        descriptors_max: usize,
    ) -> io::Result<Output> {
        message::receive(&self.performer, socket, buffers, peek, descriptors_max)
    }

    fn receive_many(&self, socket: &Descriptor, messages: &mut [Message]) -> io::Result<Output> {
        self.performer.check_open()?;
        message::receive_many(&self.performer, socket, messages)
    }

    fn send(&self, socket: &Descriptor, buffer: &[u8], all: bool) -> io::Result<Output> {
        send::perform(&self.performer, socket, buffer, all)
    }

    fn send_message(
        &self,
        socket: &Descriptor,
        buffers: &[IoSlice<'_>],
        to: Option<&Address>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Output> {
        message::send(&self.performer, socket, buffers, to, descriptors)
    }

    fn send_many(&self, socket: &Descriptor, messages: &[OutgoingMessage<'_>]) -> io::Result<Output> {
        self.performer.check_open()?;
        message::send_many(&self.performer, socket, messages)
    }

    fn send_zero_copy(&self, socket: &Descriptor, bytes: SharedBytes, from: usize) -> io::Result<Output> {
        send::perform_zero_copy(&self.performer, socket, &bytes, from)
    }

    fn attempt(&self, attempt: Attempt<'_>) -> io::Result<Output> {
        self.performer.check_open()?;
        perform_attempt(attempt)
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Output> {
        self.runtime.names().resolve(self.runtime, host, port).map(Output::Addresses)
    }

    fn open(&self, at: PathAt<'_>, options: &OpenOptions) -> io::Result<Output> {
        open::perform(&self.performer, at, options)
    }

    fn read(
        &self,
        file: &Descriptor,
        buffer: &mut [u8],
        memory: Option<&Arc<PoolMemory>>,
        offset: Option<u64>,
    ) -> io::Result<Output> {
        read::perform(&self.performer, file, buffer, memory, offset)
    }

    fn write(
        &self,
        file: &Descriptor,
        buffer: &[u8],
        memory: Option<&Arc<PoolMemory>>,
        offset: Option<u64>,
    ) -> io::Result<Output> {
        write::perform(&self.performer, file, buffer, memory, offset)
    }

    fn read_vectored(
        &self,
        file: &Descriptor,
        buffers: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<Output> {
        read::perform_vectored(&self.performer, file, buffers, offset)
    }

    fn write_vectored(&self, file: &Descriptor, buffers: &[IoSlice<'_>], offset: Option<u64>) -> io::Result<Output> {
        write::perform_vectored(&self.performer, file, buffers, offset)
    }

    fn splice(&self, from: &Descriptor, from_offset: Option<u64>, to: &Descriptor, bytes: usize) -> io::Result<Output> {
        self.performer.check_open()?;
        splice::perform(&self.performer, from, from_offset, to, bytes)
    }

    fn sync(&self, file: &Descriptor, data_only: bool) -> io::Result<Output> {
        sync::perform(&self.performer, file, data_only)
    }

    fn file(&self, operation: FileOperation<'_>) -> io::Result<Output> {
        self.performer.check_open()?;
        files::perform(self.runtime, self.context, &self.performer, operation)
    }

    fn offload(&self, job: Job<'_>) -> io::Result<Output> {
        self.performer.check_open()?;
        offload::perform(self.runtime, self.context, job)
    }

    fn spawn(&self, command: &mut Command) -> io::Result<Output> {
        spawn::perform(self.runtime, command)
    }

    fn native(&self, operation: &mut (dyn Any + Send)) -> io::Result<Output> {
        self.performer.check_open()?;
        typed::perform_native(self.runtime, &self.performer, operation)
    }

    fn close(&self, descriptor: Descriptor) -> io::Result<Output> {
        close::perform(&self.performer, descriptor)
    }
}
