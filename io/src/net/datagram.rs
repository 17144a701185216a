//! Messages, of UDP and of Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};

use super::socket::{Datagram, Family, TypedSocket, of_family};
use crate::Io;
use crate::operation::{Address, Attempt, Message, Operation, OutgoingMessage, Received};

impl<F: Family> TypedSocket<F, Datagram> {
    /// Sends one message to whom the socket is connected; how many bytes it has.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was sent is reported nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `send`; a message is sent whole or not at all.
    pub fn send(&self, io: &dyn Io, bytes: &[u8]) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(bytes)], None, &[])
    }

    /// Receives one message; what does not fit into `buffer` is gone. From any sender, unless the
    /// socket is connected. 0 where the socket was shut down for reading and no message is left.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was received is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recv`.
    pub fn recv(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_one(io, buffer, false)?.count)
    }

    /// As [`send`](Self::send), if it need not wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no room; those of `send`.
    pub fn try_send(&self, io: &dyn Io, bytes: &[u8]) -> io::Result<usize> {
        self.try_send_one(io, bytes, None)
    }

    /// As [`recv`](Self::recv), if it need not wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no message; those of `recv`.
    pub fn try_recv(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.try_receive_one(io, buffer)?.count)
    }

    /// As [`recv_from`](Self::recv_from), if it need not wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no message; those of `recvfrom`.
    pub fn try_recv_from(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<(usize, F::Address)> {
        sender::<F>(self.try_receive_one(io, buffer)?)
    }

    /// As [`recv`](Self::recv), with who sent it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was received is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recvfrom`.
    pub fn recv_from(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<(usize, F::Address)> {
        sender::<F>(self.receive_one(io, buffer, false)?)
    }

    /// As [`recv`](Self::recv), but leaves the message to be received again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `recv`.
    pub fn peek(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_one(io, buffer, true)?.count)
    }

    /// As [`recv_from`](Self::recv_from), but leaves the message to be received again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `recvfrom`.
    pub fn peek_from(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<(usize, F::Address)> {
        sender::<F>(self.receive_one(io, buffer, true)?)
    }

    /// Waits for a message and receives as many as are there, one into each of `messages`, with few system
    /// calls; how many it was, which is 0 only where `messages` is empty, or the socket was shut down for reading.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; messages that were received are returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `recvmmsg`; after the first message the next call returns them.
    pub fn recv_many(&self, io: &dyn Io, messages: &mut [Message]) -> io::Result<usize> {
        let available = messages.len();
        io.operate(Operation::ReceiveMany { socket: self.descriptor(), messages })?.count(available)
    }

    /// Sends messages in their order, with few system calls, as many as there is room for; how many it
    /// was, which is 0 only where `messages` is empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; messages that were sent are reported nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `sendmmsg`, when the first message fails: what fails later is reported to whom sends it again.
    pub fn send_many(&self, io: &dyn Io, messages: &[OutgoingMessage<'_>]) -> io::Result<usize> {
        io.operate(Operation::SendMany { socket: self.descriptor(), messages })?.count(messages.len())
    }

    pub(super) fn send_one_to(&self, io: &dyn Io, bytes: &[u8], to: &Address) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(bytes)], Some(to), &[])
    }

    pub(super) fn try_send_one(&self, io: &dyn Io, bytes: &[u8], to: Option<&Address>) -> io::Result<usize> {
        let attempt = Attempt::SendMessage { socket: self.descriptor(), buffers: &[IoSlice::new(bytes)], to };
        io.operate(Operation::Attempt(attempt))?.count(bytes.len())
    }

    fn try_receive_one(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<Received> {
        let available = buffer.len();
        let mut buffers = [IoSliceMut::new(buffer)];
        let attempt = Attempt::ReceiveMessage { socket: self.descriptor(), buffers: &mut buffers, peek: false };
        io.operate(Operation::Attempt(attempt))?.received(available)
    }

    fn receive_one(&self, io: &dyn Io, buffer: &mut [u8], peek: bool) -> io::Result<Received> {
        self.receive_message(io, &mut [IoSliceMut::new(buffer)], peek, 0)
    }
}

fn sender<F: Family>(received: Received) -> io::Result<(usize, F::Address)> {
    let from = received.from.or_else(F::nobody).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
    Ok((received.count, of_family::<F>(from)?))
}
