//! Attempts on sockets that never wait, whatever the mode of the socket, and that need no ring.

use std::io;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, acceptfrom_with, recv, send};

use super::attempt::note_ready;
use super::message::{SocketWait, receive_message, send_message};
use crate::descriptor::{Descriptor, Ready};
use crate::operation::address::address_from_kernel;
use crate::operation::{Address, Attempt, Output, UnixAddress};

/// Performs [`Operation::Attempt`](crate::operation::Operation::Attempt).
///
/// # Errors
///
/// `EAGAIN` if it would have to wait; otherwise the errors of the operation of that name.
pub fn perform_attempt(attempt: Attempt<'_>) -> io::Result<Output> {
    match attempt {
        // Every process that has the listener shares its mode, so a listener in blocking mode is refused.
        Attempt::Accept { listener } if !fcntl_getfl(listener)?.contains(OFlags::NONBLOCK) => {
            let cause = "the listener is in blocking mode, in which accepting may wait: set it to non-blocking before";
            Err(io::Error::new(io::ErrorKind::Unsupported, cause))
        }
        Attempt::Accept { listener } => accept(listener),
        // The same results as those of the operations.
        Attempt::Receive { buffer: [], .. } | Attempt::Send { buffer: [], .. } => Ok(Output::Count(0)),
        Attempt::Receive { socket, buffer, peek } => {
            let mut flags = SocketWait::Refused.receive_flags();
            flags.set(RecvFlags::PEEK, peek);
            let room = buffer.len();
            let received = recv(socket, buffer, flags).map(|(count, _)| count);
            noted(socket, Ready::ToReceive, room, received)
        }
        Attempt::Send { socket, buffer } => {
            let sent = send(socket, buffer, SocketWait::Refused.send_flags());
            noted(socket, Ready::ToSend, buffer.len(), sent)
        }
        Attempt::ReceiveMessage { socket, buffers, peek } => {
            receive_message(socket, buffers, peek, 0, SocketWait::Refused).map(Output::Received)
        }
        Attempt::SendMessage { socket, buffers, to } => {
            Ok(Output::Count(send_message(socket, buffers, to, &[], SocketWait::Refused)?))
        }
    }
}

/// Accepts a connection. `accept` has no flag that keeps a call from waiting: the mode of the listener decides.
///
/// # Errors
///
/// The errors of `accept4`.
pub fn accept(listener: &Descriptor) -> io::Result<Output> {
    let (connection, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC)?;
    let peer = peer.map(address_from_kernel).transpose()?;
    Ok(Output::Accepted(connection.into(), peer.unwrap_or(Address::Unix(UnixAddress::unnamed()))))
}

/// Returns true if the process or the system has no free descriptor.
pub fn lacks_descriptor(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Returns the result, after recording what it says about the next call.
fn noted(socket: &Descriptor, ready: Ready, room: usize, result: rustix::io::Result<usize>) -> io::Result<Output> {
    match result {
        Ok(count) => note_ready(socket, ready, count == room),
        Err(Errno::AGAIN) => note_ready(socket, ready, false),
        Err(_) => {}
    }
    Ok(Output::Count(result?))
}
