#![doc = include_str!("opcodes.md")]

// The operations of the vocabulary: one file each, with how it fills an entry and how it reads the completion.

mod accept;
mod close;
mod connect;
mod files;
mod message;
mod multishot;
mod offload;
mod open;
mod perform;
mod poll;
mod read;
mod receive;
mod send;
mod spawn;
mod splice;
mod sync;
mod typed;
mod write;

use std::io;
use std::time::Duration;

use iolite_io::backend::{Context, perform_attempt, perform_nonblocking};
use iolite_io::net::Address;
use iolite_io::{
    error::ShutDown,
    operation::{Operation, Output},
};

use crate::shared::Shared;
pub(crate) use multishot::RingMultishot;
use perform::Performer;
pub use typed::*;

/// The most bytes that one read or write moves: what the kernel moves at most.
const COUNT_MAX: usize = 0x7fff_f000;

/// How soon to look again for what nothing can wait for: room in the queue of a Unix socket that the own one is not
/// connected to.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The most buffers the kernel takes in one call (UIO_MAXIOV).
const BUFFERS_MAX: usize = 1024;

/// Performs an operation for the calling context, which has passed its cancellation point.
pub(crate) fn operate(shared: &Shared, context: &Context, operation: Operation<'_>) -> io::Result<Output> {
    let performer = Performer::new(shared, context);
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
        Operation::Resolve { host, port } => shared.names().resolve(shared, host, port).map(Output::Addresses),
        Operation::Open { at, options } => open::perform(&performer, at, options),
        Operation::Read { file, buffer, memory, offset } => read::perform(&performer, file, buffer, memory, offset),
        Operation::Write { file, buffer, memory, offset } => write::perform(&performer, file, buffer, memory, offset),
        Operation::ReadVectored { file, buffers, offset } => read::perform_vectored(&performer, file, buffers, offset),
        Operation::WriteVectored { file, buffers, offset } => {
            write::perform_vectored(&performer, file, buffers, offset)
        }
        Operation::Sync { file, data_only } => sync::perform(&performer, file, data_only),
        Operation::Spawn { command } => spawn::perform(shared, command),
        Operation::Close { descriptor } => close::perform(&performer, descriptor),
        // What needs no ring, or not always, ends with the runtime nevertheless, as it does on every backend.
        _ if shared.is_closed() => Err(ShutDown.into()),
        Operation::Attempt(attempt) => perform_attempt(attempt),
        Operation::Connect { socket, address: address @ Address::Unix(_) } => {
            connect::perform_unix(&performer, socket, address)
        }
        Operation::ReceiveMany { socket, messages } => message::receive_many(&performer, socket, messages),
        Operation::SendMany { socket, messages } => message::send_many(&performer, socket, messages),
        Operation::File(operation) => files::perform(shared, context, &performer, operation),
        Operation::Offload { job } => offload::perform(shared, context, job),
        Operation::Native { operation } => typed::perform_native(shared, &performer, operation),
        Operation::Splice { from, from_offset, to, bytes } => splice::perform(&performer, from, from_offset, to, bytes),
        other => perform_nonblocking(other).unwrap_or_else(|operation| {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("the evented backend cannot perform {operation:?}")))
        }),
    }
}
