//! Messages of UDP and Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};

use super::socket::{Datagram, Family, TypedSocket, of_family};
use crate::Io;
use crate::operation::{Address, Attempt, Message, Operation, OutgoingMessage, Received};

impl<F: Family> TypedSocket<F, Datagram> {
    /// Sends one message to the peer to which the socket is connected, and returns the number of its bytes.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was sent is still reported.
    ///
    /// # Errors
    ///
    /// The errors of `send`; a message is sent whole or not at all.
    pub fn send(&self, io: &dyn Io, bytes: &[u8]) -> io::Result<usize> {
        self.send_message(io, &[IoSlice::new(bytes)], None, &[])
    }

    /// Receives one message and returns the number of its bytes. The part of a message that does not fit into `buffer`
    /// is lost. Unless the socket is connected, the message may come from any sender. Returns 0 if the socket was shut
    /// down for reading and no message is left.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was received is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recv`.
    pub fn recv(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_one(io, buffer, false)?.count)
    }

    /// Sends one message like [`send`](Self::send), but returns an error instead of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no room; the errors of `send`.
    pub fn try_send(&self, io: &dyn Io, bytes: &[u8]) -> io::Result<usize> {
        self.try_send_one(io, bytes, None)
    }

    /// Receives one message like [`recv`](Self::recv), but returns an error instead of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no message; the errors of `recv`.
    pub fn try_recv(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.try_receive_one(io, buffer)?.count)
    }

    /// Receives one message and its sender like [`recv_from`](Self::recv_from), but returns an error instead of
    /// waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no message; the errors of `recvfrom`.
    pub fn try_recv_from(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<(usize, F::Address)> {
        sender::<F>(self.try_receive_one(io, buffer)?)
    }

    /// Receives one message like [`recv`](Self::recv), and returns the number of its bytes and its sender.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a message that was received is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recvfrom`.
    pub fn recv_from(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<(usize, F::Address)> {
        sender::<F>(self.receive_one(io, buffer, false)?)
    }

    /// Receives one message like [`recv`](Self::recv), but leaves it in the queue to be received again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `recv`.
    pub fn peek(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_one(io, buffer, true)?.count)
    }

    /// Receives one message and its sender like [`recv_from`](Self::recv_from), but leaves it in the queue to be
    /// received again.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// The errors of `recvfrom`.
    pub fn peek_from(&self, io: &dyn Io, buffer: &mut [u8]) -> io::Result<(usize, F::Address)> {
        sender::<F>(self.receive_one(io, buffer, true)?)
    }

    /// Waits for a message and receives as many as are available, one into each of `messages`, with few system calls.
    /// Returns the number of messages, which is 0 only if `messages` is empty or the socket was shut down for reading.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; messages that were received are still returned.
    ///
    /// # Errors
    ///
    /// The errors of `recvmmsg`. If an error occurs after the first message, the next call returns it.
    pub fn recv_many(&self, io: &dyn Io, messages: &mut [Message]) -> io::Result<usize> {
        let available = messages.len();
        io.operate(Operation::ReceiveMany { socket: self.descriptor(), messages })?.count(available)
    }

    /// Sends messages in order, with few system calls, as many as there is room for. Returns the number of messages,
    /// which is 0 only if `messages` is empty.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; messages that were sent are still reported.
    ///
    /// # Errors
    ///
    /// The errors of `sendmmsg`, if the first message fails. If a later one fails, the error is returned when that
    /// message is sent again.
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
