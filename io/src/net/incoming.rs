//! Streams of incoming connections, and of incoming bytes in pooled buffers.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::socket::{Family, Internet, Listener, Stream, TypedSocket};
use crate::io::Multishot;
use crate::operation::Source;
use crate::pool::{BufferPool, PooledBuffer};
use crate::{Instant, Io};

/// The connections to a listener as they arrive; from [`TcpListener::incoming`](super::TcpListener::incoming).
///
/// If the `Io` supports it, the kernel accepts connections on its own from the first [`next`](Self::next) on, even
/// while no call waits; some connections may then be stored here. Dropping this value closes those connections;
/// [`stop`](Self::stop) returns them. A connection that arrives after the drop is left to the next call of `accept`, on
/// whatever thread the drop happens.
#[derive(Debug)]
pub struct Incoming<'a, F: Family = Internet> {
    listener: &'a TypedSocket<F, Listener>,
    multishot: Option<Box<dyn Multishot>>,
    pause: Pause,
}

impl<'a, F: Family> Incoming<'a, F> {
    pub(super) fn new(io: &dyn Io, listener: &'a TypedSocket<F, Listener>) -> Self {
        Self { listener, multishot: io.multishot(), pause: Pause::default() }
    }

    /// Waits for the next connection. [`peer_addr`](TypedSocket::peer_addr) returns the address of the peer.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; no connection is lost.
    ///
    /// # Errors
    ///
    /// The errors of `accept`; the listener goes on after each. When the system has no room for another connection
    /// (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), the next call pauses before it tries again, for 5 ms and then twice
    /// as long each time, up to 1 s, so that a loop that goes on after errors does not spin.
    pub fn next(&mut self, io: &dyn Io) -> io::Result<TypedSocket<F, Stream>> {
        self.pause.wait(io)?;
        let result = self.accept(io);
        match &result {
            Ok(_) => self.pause = Pause::default(),
            Err(error) if has_no_room(error) => self.pause.grow(io),
            Err(_) => {}
        }
        result
    }

    /// Stops accepting, and returns the connections that were accepted and not handed out, oldest first, with the
    /// errors between them.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; it waits only for the kernel.
    pub fn stop(self, io: &dyn Io) -> Vec<io::Result<TypedSocket<F, Stream>>> {
        let left = self.multishot.map_or_else(Vec::new, |multishot| multishot.stop(io));
        left.into_iter().map(|arrival| arrival?.connection().map(TypedSocket::from)).collect()
    }

    fn accept(&mut self, io: &dyn Io) -> io::Result<TypedSocket<F, Stream>> {
        let source = Source::Connections { listener: self.listener.descriptor() };
        match self.multishot.as_mut().and_then(|multishot| multishot.next(io, source)) {
            Some(arrival) => arrival?.connection().map(TypedSocket::from),
            None => self.listener.accept_any(io).map(|(descriptor, _)| TypedSocket::from(descriptor)),
        }
    }
}

/// Returns true if the system has no room for another connection now.
pub(super) fn has_no_room(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// The time of the next attempt after there was no room.
#[derive(Debug, Default)]
struct Pause {
    last: Duration,
    until: Option<Instant>,
}

impl Pause {
    const MIN: Duration = Duration::from_millis(5);
    const MAX: Duration = Duration::from_secs(1);

    fn grow(&mut self, io: &dyn Io) {
        self.last = (self.last * 2).clamp(Self::MIN, Self::MAX);
        self.until = Some(io.now() + self.last);
    }

    fn wait(&mut self, io: &dyn Io) -> io::Result<()> {
        if let Some(until) = self.until {
            io.sleep_until(until)?;
            self.until = None;
        }
        Ok(())
    }
}

/// The bytes of a connection as they arrive, in buffers of a pool; from
/// [`TcpStream::incoming`](super::TcpStream::incoming).
///
/// An idle connection holds no buffer. If the `Io` supports it, the kernel fills buffers on its own from the first
/// [`next`](Self::next) on, even while no call waits; some bytes may then be stored here. Dropping this value drops
/// those bytes; [`stop`](Self::stop) returns them. Bytes that arrive after the drop are left to the next read, on
/// whatever thread the drop happens. While this value exists, read from the stream through it alone.
#[derive(Debug)]
pub struct IncomingBytes<'a, F: Family = Internet> {
    stream: &'a TypedSocket<F, Stream>,
    pool: BufferPool,
    multishot: Option<Box<dyn Multishot>>,
}

impl<'a, F: Family> IncomingBytes<'a, F> {
    pub(super) fn new(io: &dyn Io, stream: &'a TypedSocket<F, Stream>, pool: &BufferPool) -> Self {
        Self { stream, pool: pool.clone(), multishot: io.multishot() }
    }

    /// Waits for the next bytes, at least one. Returns `None` if the peer has finished. If bytes have arrived but every
    /// buffer of the pool is taken, waits for a buffer.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; no byte is lost.
    ///
    /// # Errors
    ///
    /// The errors of `recv`, after the bytes that came before.
    pub fn next(&mut self, io: &dyn Io) -> io::Result<Option<PooledBuffer>> {
        let source = Source::Bytes { socket: self.stream.descriptor(), pool: &self.pool };
        match self.multishot.as_mut().and_then(|multishot| multishot.next(io, source)) {
            Some(arrival) => arrival?.bytes(),
            None => self.receive(io),
        }
    }

    /// Stops receiving, and returns the buffers that were filled and not handed out, oldest first, followed by the
    /// error if there was one. The stream can then be read like any other.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; it waits only for the kernel.
    pub fn stop(self, io: &dyn Io) -> Vec<io::Result<PooledBuffer>> {
        let left = self.multishot.map_or_else(Vec::new, |multishot| multishot.stop(io));
        left.into_iter().filter_map(|arrival| arrival.and_then(|arrival| arrival.bytes()).transpose()).collect()
    }

    fn receive(&self, io: &dyn Io) -> io::Result<Option<PooledBuffer>> {
        // Waits without a buffer first.
        if self.stream.peek(io, &mut [0])? == 0 {
            return Ok(None);
        }
        let mut buffer = self.pool.take(io)?;
        let count = self.stream.read(io, buffer.storage_mut())?;
        buffer.set_len(count);
        Ok((count > 0).then_some(buffer))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn no_room_is_what_passes() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(has_no_room(&errno.into()));
        }
        assert!(!has_no_room(&Errno::CONNABORTED.into()));
    }
}
