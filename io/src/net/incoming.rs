//! What keeps coming in: connections, and bytes into pooled buffers.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::socket::{Family, Internet, Listener, Stream, TypedSocket};
use crate::io::Multishot;
use crate::operation::Source;
use crate::pool::{BufferPool, PooledBuffer};
use crate::{Instant, Io};

/// The connections to a listener, as they come; made by [`TcpListener::incoming`](super::TcpListener::incoming).
///
/// Where the `Io` can, the kernel accepts by itself from the first [`next`](Self::next) on, also
/// while nobody asks; some connections may then wait here. Dropping this closes those; [`stop`](Self::stop)
/// hands them out. A connection that comes after the drop is left to the next call of `accept`, on whatever thread this
/// is dropped.
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

    /// Waits for the next connection. For whose it is, ask [`peer_addr`](TypedSocket::peer_addr).
    ///
    /// # Cancellation
    ///
    /// A cancellation point; no connection is lost by it.
    ///
    /// # Errors
    ///
    /// Those of `accept`; the listener goes on after each. When the system has no room for another
    /// connection (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`) the next call pauses before it tries again,
    /// for 5 ms and then twice as long each time, up to 1 s: a loop that goes on after errors does
    /// not spin.
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

    /// Accepts no more, and returns the connections that were accepted and not handed out, the
    /// oldest first, with the errors between them.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; it waits for nobody but the kernel.
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

/// Whether the system has no room for another connection, for now.
pub(super) fn has_no_room(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// When to try again after there was no room.
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

/// The bytes of a connection, as they come, in buffers of a pool; made by [`TcpStream::incoming`](super::TcpStream::incoming).
///
/// A connection that is idle holds no buffer. Where the `Io` can, the kernel fills buffers by itself
/// from the first [`next`](Self::next) on, also while nobody asks; some bytes may then wait here.
/// Dropping this drops those; [`stop`](Self::stop) hands them out. Bytes that come after the drop are left to the next
/// read, on whatever thread this is dropped. While it lives, read through it alone.
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

    /// Waits for the next bytes, at least one; `None` says that the peer has finished. When bytes
    /// are there and every buffer of the pool is taken, it waits for one to come back.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; no byte is lost by it.
    ///
    /// # Errors
    ///
    /// Those of `recv`, behind the bytes that came before.
    pub fn next(&mut self, io: &dyn Io) -> io::Result<Option<PooledBuffer>> {
        let source = Source::Bytes { socket: self.stream.descriptor(), pool: &self.pool };
        match self.multishot.as_mut().and_then(|multishot| multishot.next(io, source)) {
            Some(arrival) => arrival?.bytes(),
            None => self.receive(io),
        }
    }

    /// Receives no more, and returns the buffers that were filled and not handed out, the oldest
    /// first, with the error behind them. The stream can then be read as any other.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; it waits for nobody but the kernel.
    pub fn stop(self, io: &dyn Io) -> Vec<io::Result<PooledBuffer>> {
        let left = self.multishot.map_or_else(Vec::new, |multishot| multishot.stop(io));
        left.into_iter().filter_map(|arrival| arrival.and_then(|arrival| arrival.bytes()).transpose()).collect()
    }

    fn receive(&self, io: &dyn Io) -> io::Result<Option<PooledBuffer>> {
        // First waits without a buffer.
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
