//! Websockets over streams. tungstenite needs one owner for reading and sending, but the relay uses two tasks.
//!
//! So the reader owns the codec, over a [`Duplex`]. Its reads come from the stream. Its writes (answers to pings, the
//! closing handshake) go frame by frame through a bounded channel to the one task that writes. Where one task does
//! both, [`Patient`] gives each read a deadline.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use iolite::net::TcpStream;
use iolite::sync::mpmc::{Receiver, Sender, channel};
use iolite::{Canceled, ErrorChain, Instant, Io};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, WebSocket};

/// The size of the codec's read buffer: there are thousands of them.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// The maximum size of a message; a longer one ends the connection.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The number of frames that may wait for the writing task; beyond it, the reader waits too.
const OUTGOING_CAPACITY: usize = 4;

/// A message to the writing task of a connection.
#[derive(Debug)]
pub(crate) enum OutgoingMessage {
    /// The task writes to this stream from now on.
    Connected(Arc<TcpStream>),
    /// Whole encoded frames of the codec.
    Frames(Vec<u8>),
    /// There is something new to send.
    Wake,
    /// The task has no stream any more.
    Disconnected,
}

pub(crate) fn outgoing() -> (Sender<OutgoingMessage>, Receiver<OutgoingMessage>) {
    channel(OUTGOING_CAPACITY)
}

/// Makes the codec of one side of a connection, which begins with the bytes `rest`.
pub(crate) fn websocket<S: Read + Write>(stream: S, rest: Vec<u8>, role: Role) -> WebSocket<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocket::from_partially_read(stream, rest, role, Some(config))
}

/// A stream that is read from directly, and written to through the channel.
#[derive(Debug)]
pub(crate) struct Duplex<'a> {
    pub(crate) io: &'a dyn Io,
    pub(crate) stream: &'a TcpStream,
    pub(crate) outgoing: &'a Sender<OutgoingMessage>,
    /// The time at which bytes last arrived, in nanoseconds of the monotonic clock. The writing task ends a connection
    /// that has fallen silent.
    pub(crate) heard: &'a AtomicU64,
}

impl Read for Duplex<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.with(self.io).read(buffer)?;
        self.heard.store(self.io.now().as_nanos(), Ordering::Relaxed);
        Ok(count)
    }
}

impl Write for Duplex<'_> {
    /// Accepts all bytes, because the codec writes whole frames.
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.outgoing.send(self.io, OutgoingMessage::Frames(frames.to_vec()))?;
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads until a deadline and then returns `WouldBlock`, after which the codec can be asked again. Completion wins, so
/// a deadline loses no byte.
#[derive(Debug)]
pub(crate) struct Patient<'a> {
    pub(crate) io: &'a dyn Io,
    pub(crate) stream: &'a TcpStream,
    pub(crate) deadline: Cell<Instant>,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.timeout_at(self.deadline.get(), |io| self.stream.with(io).read(buffer)).map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut { io::ErrorKind::WouldBlock.into() } else { error }
        })
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.with(self.io).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reason why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The task was asked to stop, and ends.
    Canceled,
    /// Any other error, which is no reason to stop the task.
    Failed(String),
}

impl From<Canceled> for End {
    fn from(_: Canceled) -> Self {
        Self::Canceled
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match Canceled::from_error(error) {
            Ok(canceled) => canceled.into(),
            Err(error) => Self::Failed(ErrorChain::new(&error).to_string()),
        }
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            error => Self::Failed(ErrorChain::new(&error).to_string()),
        }
    }
}

/// Returns an encoded binary message of a server.
pub(crate) fn binary(payload: Vec<u8>) -> Vec<u8> {
    encoded(Frame::message(payload, OpCode::Data(Data::Binary), true))
}

/// Returns an encoded text message of a client.
pub(crate) fn text_masked(io: &dyn Io, text: String) -> io::Result<Vec<u8>> {
    masked(io, Frame::message(text.into_bytes(), OpCode::Data(Data::Text), true))
}

/// Returns an encoded ping of a server.
pub(crate) fn ping() -> Vec<u8> {
    encoded(Frame::ping(&b""[..]))
}

/// Returns an encoded ping of a client.
pub(crate) fn ping_masked(io: &dyn Io) -> io::Result<Vec<u8>> {
    masked(io, Frame::ping(&b""[..]))
}

fn masked(io: &dyn Io, mut frame: Frame) -> io::Result<Vec<u8>> {
    let mut mask = [0; 4];
    io.random(&mut mask)?;
    frame.header_mut().mask = Some(mask);
    Ok(encoded(frame))
}

fn encoded(frame: Frame) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("a vector takes every byte");
    bytes
}

#[cfg(test)]
mod test {
    use std::io::{self, Read, Write};

    use tungstenite::protocol::Role;
    use tungstenite::{Error, Message};

    use super::{binary, ping, websocket};

    /// A stream that arrives in the given pieces, with a `WouldBlock` between them; it stores the written bytes.
    struct Pieces<'a> {
        pieces: Vec<&'a [u8]>,
        blocked: bool,
        written: Vec<u8>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.blocked = !self.blocked;
            if self.blocked {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let Some(piece) = self.pieces.first_mut() else { return Ok(0) };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            *piece = &piece[count..];
            if piece.is_empty() {
                self.pieces.remove(0);
            }
            Ok(count)
        }
    }

    impl Write for Pieces<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns everything that a client reads from the pieces, the first of which came with the handshake: the
    /// messages, the error at the end, and the number of bytes that it answered.
    fn messages(rest: &[u8], pieces: Vec<&[u8]>) -> (Vec<Message>, String, usize) {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let stream = Pieces { pieces, blocked: false, written: Vec::new() };
        let mut socket = websocket(stream, rest.to_vec(), Role::Client);
        let mut messages = Vec::new();
        loop {
            match socket.read() {
                Ok(message) => messages.push(message),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return (messages, error.to_string(), socket.get_ref().written.len()),
            }
        }
    }

    #[test]
    fn messages_are_the_same_at_every_split() {
        let payloads = [vec![1], vec![2; 130], vec![], vec![3; 300]];
        let mut bytes: Vec<u8> = payloads.iter().flat_map(|payload| binary(payload.clone())).collect();
        bytes.extend(ping());
        bytes.extend(binary(vec![4; 125]));
        let whole = messages(&[], vec![&bytes]);
        assert_eq!(whole.0.len(), 6);
        assert_eq!(whole.0[1].clone().into_data(), payloads[1]);
        assert_eq!(whole.2, 6, "one masked pong");
        for split in 0..=bytes.len() {
            assert_eq!(messages(&[], vec![&bytes[..split], &bytes[split..]]), whole, "split at {split}");
            assert_eq!(messages(&bytes[..split], vec![&bytes[split..]]), whole, "handshake up to {split}");
        }
        assert_eq!(messages(&[], bytes.chunks(1).collect()), whole, "byte by byte");
    }
}
