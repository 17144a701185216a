//! Maps each operation to the file that performs it.

use std::io;

use iolite_io::backend::{Context, perform_attempt, perform_nonblocking};
use iolite_io::net::Address;
use iolite_io::{
    error::ShutDown,
    operation::{Operation, Output},
};

use super::perform::Performer;
use super::{
    accept, close, connect, files, message, offload, open, poll, read, receive, send, spawn, splice, sync, typed, write,
};
use crate::runtime::Runtime;

/// Performs an operation for the calling context, which has passed its cancellation point.
pub(crate) fn operate(runtime: &Runtime, context: &Context, operation: Operation<'_>) -> io::Result<Output> {
    let performer = Performer::new(runtime, context);
    match operation {
        Operation::Accept { listener } => accept::perform(&performer, listener),
        Operation::Connect { socket, address: address @ Address::Internet(_) } => {
            connect::perform(&performer, socket, address)
        }
        Operation::Receive { socket, buffer, peek } => receive::perform(&performer, socket, buffer, peek),
        Operation::ReceiveMessage { socket, buffers, peek, descriptors_max } => {
            message::receive(&performer, socket, buffers, peek, descriptors_max)
        }
        Operation::Send { socket, buffer, all } => send::perform(&performer, socket, buffer, all),
        Operation::SendMessage { socket, buffers, to, descriptors } => {
            message::send(&performer, socket, buffers, to, descriptors)
        }
        Operation::SendZeroCopy { socket, bytes, from } => send::perform_zero_copy(&performer, socket, &bytes, from),
        Operation::Ready { descriptor, interest } => poll::perform(&performer, descriptor, interest),
        Operation::Resolve { host, port } => runtime.names().resolve(runtime, host, port).map(Output::Addresses),
        Operation::Open { at, options } => open::perform(&performer, at, options),
        Operation::Read { file, buffer, memory, offset } => read::perform(&performer, file, buffer, memory, offset),
        Operation::Write { file, buffer, memory, offset } => write::perform(&performer, file, buffer, memory, offset),
        Operation::ReadVectored { file, buffers, offset } => read::perform_vectored(&performer, file, buffers, offset),
        Operation::WriteVectored { file, buffers, offset } => {
            write::perform_vectored(&performer, file, buffers, offset)
        }
        Operation::Sync { file, data_only } => sync::perform(&performer, file, data_only),
        Operation::Spawn { command } => spawn::perform(runtime, command),
        Operation::Close { descriptor } => close::perform(&performer, descriptor),
        // Operations that do not, or not always, need a ring also fail once the runtime has ended, as they do on every
        // backend.
        _ if runtime.is_closed() => Err(ShutDown.into()),
        Operation::Attempt(attempt) => perform_attempt(attempt),
        Operation::Connect { socket, address: address @ Address::Unix(_) } => {
            connect::perform_unix(&performer, socket, address)
        }
        Operation::ReceiveMany { socket, messages } => message::receive_many(&performer, socket, messages),
        Operation::SendMany { socket, messages } => message::send_many(&performer, socket, messages),
        Operation::File(operation) => files::perform(runtime, context, &performer, operation),
        Operation::Offload { job } => offload::perform(runtime, context, job),
        Operation::Native { operation } => typed::perform_native(runtime, &performer, operation),
        Operation::Splice { from, from_offset, to, bytes } => splice::perform(&performer, from, from_offset, to, bytes),
        other => perform_nonblocking(other).unwrap_or_else(|operation| {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("the evented backend cannot perform {operation:?}")))
        }),
    }
}
