//! Following a host: the task that reads from it and the task that writes to it.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use iolite::net::TcpStream;
use iolite::sync::{
    RecvError,
    mpmc::{Receiver, Sender},
};
use iolite::{Canceled, Instant, Io};
use tungstenite::Message;
use tungstenite::protocol::Role;

use crate::codec::{self, Duplex, End, OutgoingMessage};
use crate::frame;
use crate::host::{Host, Offer};
use crate::http;
use crate::relay::Relay;

/// The time limit for connecting and the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The first pause before connecting again; it doubles up to the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The interval at which the writing task acknowledges new commits.
const TICK: Duration = Duration::from_secs(1);
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The time of silence, without even a pong, after which a connection is dropped.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The time in which a peer has to accept a few bytes before it is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the reading task: it connects, reads, and connects again after a pause, until it is canceled.
pub(crate) fn read(io: &dyn Io, relay: &Relay, host: &Host, outgoing: Sender<OutgoingMessage>) {
    let mut backoff = BACKOFF_MIN;
    while let Err(Restart { reason, fruitful }) = read_connections(io, relay, host, &outgoing) {
        relay.console.limited(&relay.limits.connection, || format!("{host}: {reason}; connecting again"));
        if fruitful {
            backoff = BACKOFF_MIN;
        }
        if pause(io, backoff).is_err() {
            return;
        }
        backoff = BACKOFF_MAX.min(backoff * 2);
    }
}

/// A connection ended, and another one is needed after a pause.
struct Restart {
    reason: String,
    /// True if events of the connection are stored.
    fruitful: bool,
}

/// Returns `Ok` when the task is canceled.
fn read_connections(
    io: &dyn Io,
    relay: &Relay,
    host: &Host,
    outgoing: &Sender<OutgoingMessage>,
) -> Result<(), Restart> {
    let before = host.committed.load(SeqCst);
    match (Connection { io, relay, host, received: 0 }).run(outgoing) {
        End::Canceled => Ok(()),
        End::Failed(reason) => Err(Restart { reason, fruitful: host.committed.load(SeqCst) > before }),
    }
}

struct Connection<'a> {
    io: &'a dyn Io,
    relay: &'a Relay,
    host: &'a Host,
    /// The last event that arrived.
    received: u64,
}

impl Connection<'_> {
    fn run(&mut self, outgoing: &Sender<OutgoingMessage>) -> End {
        let (stream, rest) = match self.connect() {
            Ok(connected) => connected,
            Err(end) => return end,
        };
        self.host.connected.store(true, Relaxed);
        self.relay.counts.online.fetch_add(1, Relaxed);
        let Err(end) = self.converse(stream, rest, outgoing);
        self.relay.counts.online.fetch_sub(1, Relaxed);
        self.relay.counts.disconnects.fetch_add(1, Relaxed);
        // This ignores requests: the writer answers soon, and must not keep the stream.
        let _ = outgoing.send_uncancelable(self.io, OutgoingMessage::Disconnected);
        end
    }

    fn connect(&mut self) -> Result<(Arc<TcpStream>, Vec<u8>), End> {
        self.received = self.host.settle(self.io)?;
        let address = self.relay.upstreams;
        let target = format!("/hosts/{}/subscribe?cursor={}", self.host.number, self.received);
        let connected = self.io.timeout(CONNECT_TIMEOUT, |io| {
            let stream = TcpStream::connect(io, address)?;
            let rest = http::connect_websocket(io, &stream, address, &target)?;
            io::Result::Ok((Arc::new(stream), rest))
        })?;
        Ok(connected)
    }

    fn converse(
        &mut self,
        stream: Arc<TcpStream>,
        rest: Vec<u8>,
        outgoing: &Sender<OutgoingMessage>,
    ) -> Result<std::convert::Infallible, End> {
        let (io, host) = (self.io, self.host);
        host.heard.store(io.now().as_nanos(), Relaxed);
        outgoing.send(io, OutgoingMessage::Connected(stream.clone())).map_err(io::Error::from)?;
        let duplex = Duplex { io, stream: &stream, outgoing, heard: &host.heard };
        let mut socket = codec::websocket(duplex, rest, Role::Client);
        loop {
            if let Message::Binary(bytes) = socket.read()? {
                self.event(&bytes)?;
            }
            if host.rewind.load(SeqCst) {
                return Err(End::Failed("the database gave events up".into()));
            }
        }
    }

    /// Checks a frame and hands it to the database.
    fn event(&mut self, bytes: &[u8]) -> Result<(), End> {
        let (relay, host) = (self.relay, self.host);
        let seq = match frame::decode(bytes) {
            Ok(commit) => commit.seq,
            Err(malformed) => {
                relay.counts.malformed.fetch_add(1, Relaxed);
                relay.console.limited(&relay.limits.malformed, || format!("{host}: a malformed frame: {malformed}"));
                return Ok(());
            }
        };
        if seq <= self.received {
            relay.counts.replayed.fetch_add(1, Relaxed);
            return Ok(());
        }
        if seq > self.received + 1 {
            return Err(End::Failed(format!("event {} is missing before {seq}", self.received + 1)));
        }
        // The offer copies the frame, so that the codec can use its read buffer again.
        let offer = Offer::new(&relay.hosts, host, seq, bytes);
        let posted = relay.database.post_keyed(self.io, host.number, move |database| database.store(offer));
        posted.map_err(|error| io::Error::from(error.kind))?;
        self.received = seq;
        relay.counts.received.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// Waits for a random time between half of `backoff` and all of it, so that hosts do not reconnect in step.
fn pause(io: &dyn Io, backoff: Duration) -> Result<(), Canceled> {
    let mut random = [0; 4];
    // Without randomness they reconnect in step, which is harmless.
    let _ = io.random(&mut random);
    let jitter = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    io.sleep(backoff.mul_f64(0.5 + jitter / 2.0))
}

/// Runs the writing task: it writes the frames of the codec, acknowledges committed events, pings, and ends connections
/// that have fallen silent. It ends with the reading task, or when it is canceled.
pub(crate) fn write(io: &dyn Io, relay: &Relay, host: &Host, outgoing: Receiver<OutgoingMessage>) {
    let mut writer = Writer { io, relay, host, stream: None, acknowledged: 0, pinged: io.now() };
    // The hosts tick at different times.
    let mut tick = io.now() + TICK.mul_f64(f64::from(host.number % 64) / 64.0);
    loop {
        let done = match io.timeout_at(tick, |io| outgoing.recv(io)) {
            Ok(OutgoingMessage::Connected(stream)) => {
                writer.stream = Some(stream);
                writer.acknowledged = 0;
                writer.pinged = io.now();
                Ok(())
            }
            Ok(OutgoingMessage::Frames(frames)) => writer.send(&frames),
            Ok(OutgoingMessage::Wake) => Ok(()),
            Ok(OutgoingMessage::Disconnected) => {
                writer.stream = None;
                Ok(())
            }
            Err(RecvError::TimedOut) => {
                tick = io.now() + TICK;
                writer.tick()
            }
            Err(RecvError::Canceled(_) | RecvError::Closed) => return,
        };
        match done {
            Ok(()) => {}
            Err(End::Canceled) => return,
            Err(End::Failed(_)) => writer.give_up(),
        }
    }
}

struct Writer<'a> {
    io: &'a dyn Io,
    relay: &'a Relay,
    host: &'a Host,
    stream: Option<Arc<TcpStream>>,
    acknowledged: u64,
    pinged: Instant,
}

impl Writer<'_> {
    fn tick(&mut self) -> Result<(), End> {
        if self.stream.is_none() {
            return Ok(());
        }
        let now = self.io.now();
        if now.saturating_duration_since(Instant::from_nanos(self.host.heard.load(Relaxed))) > SILENCE_MAX {
            return Err(End::Failed("it has fallen silent".into()));
        }
        let committed = self.host.committed.load(SeqCst);
        if committed > self.acknowledged {
            self.send(&codec::text_masked(self.io, format!("{{\"ack\":{committed}}}"))?)?;
            self.acknowledged = committed;
            self.relay.counts.acknowledgements.fetch_add(1, Relaxed);
        }
        if now - self.pinged > PING_INTERVAL {
            self.send(&codec::ping_masked(self.io)?)?;
            self.pinged = now;
        }
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> Result<(), End> {
        match &self.stream {
            Some(stream) => Ok(self.io.timeout(WRITE_TIMEOUT, |io| stream.write_all(io, bytes))?),
            None => Ok(()),
        }
    }

    /// Ends the connection, so that the reader notices the end.
    fn give_up(&mut self) {
        if let Some(stream) = self.stream.take() {
            // The connection may be gone already.
            let _ = stream.shutdown(self.io, Shutdown::Both);
        }
    }
}
