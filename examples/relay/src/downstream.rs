//! The relay's own side: `/subscribe?cursor=N` and `/metrics`.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use iolite::net::{TcpListener, TcpStream, option};
use iolite::sync::{RecvError, TryRecvError, mpmc::Receiver};
use iolite::{Canceled, ErrorChain, Group, Instant, Io};
use tungstenite::protocol::Role;

use crate::codec::{self, Duplex, End, OutgoingMessage};
use crate::frame;
use crate::http;
use crate::live::{Event, Next};
use crate::relay::Relay;

/// The time in which a client has to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The time in which a subscriber has to accept an event before it is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The number of bytes that the kernel may buffer for a subscriber.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// The number of events that are sent, or read from the database, at once.
const PAGE_EVENTS: usize = 128;
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The time of silence, without even a pong, after which a subscriber is dropped.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The first and the longest pause after a failed accept.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Accepts connections until it is canceled; each is a member of the group.
pub(crate) fn serve<'scope>(
    io: &dyn Io,
    relay: &'scope Relay,
    listener: &TcpListener,
    group: &'scope Group<'scope, '_>,
) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let stream = match listener.accept(io) {
            Ok((stream, _)) => stream,
            Err(error) if Canceled::is_in(&error) => return,
            // No descriptor is free, for instance: the connection waits in the queue.
            Err(error) => {
                relay.console.limited(&relay.limits.accept, || {
                    format!("accepting a subscriber failed: {}", ErrorChain::new(&error))
                });
                if io.sleep(backoff).is_err() {
                    return;
                }
                backoff = BACKOFF_MAX.min(backoff * 2);
                continue;
            }
        };
        backoff = BACKOFF_MIN;
        let conversation = move |io: &dyn Io| {
            if let Err(End::Failed(reason)) = converse(io, relay, &stream) {
                relay.console.limited(&relay.limits.subscriber, || format!("a subscriber left: {reason}"));
            }
        };
        if let Err(error) = group.spawn_concurrent(conversation) {
            // The closure is dropped, which closes the connection.
            relay
                .console
                .limited(&relay.limits.accept, || format!("a subscriber was turned away: {}", ErrorChain::new(&error)));
        }
    }
}

fn converse(io: &dyn Io, relay: &Relay, stream: &TcpStream) -> Result<(), End> {
    let (request, rest) = io.timeout(REQUEST_TIMEOUT, |io| http::read_request(io, stream))?;
    let (status, body) = match (&*request.path, request.upgrade(), request.number("cursor")) {
        ("/subscribe", Some(upgrade), Some(cursor)) => {
            stream.set_option(io, option::SEND_BUFFER_SIZE, SEND_BUFFER_BYTES)?;
            stream.write_all(io, upgrade.as_bytes())?;
            return subscribe(io, relay, stream, rest, cursor);
        }
        ("/subscribe", ..) => ("400 Bad Request", "a websocket, and ?cursor=N if you like\n".into()),
        ("/metrics", ..) => ("200 OK", relay.metrics()),
        _ => ("404 Not Found", "there are /subscribe?cursor=N and /metrics\n".into()),
    };
    Ok(request.respond(io, stream, status, "text/plain; version=0.0.4", body.as_bytes())?)
}

/// There are two tasks again: this one reads and owns the codec, the other one writes.
fn subscribe(io: &dyn Io, relay: &Relay, stream: &TcpStream, rest: Vec<u8>, cursor: u64) -> Result<(), End> {
    let (sender, receiver) = codec::outgoing();
    let heard = AtomicU64::new(io.now().as_nanos());
    io.group(|group| {
        let _following = relay.live.follow(sender.clone());
        let writer = group.spawn_concurrent(|io| {
            let subscriber = Subscriber { relay, stream, heard: &heard, position: cursor, pinged: io.now() };
            let end = subscriber.write(io, &receiver);
            // The reader notices the end.
            let _ = stream.shutdown(io, std::net::Shutdown::Both);
            end
        });
        let writer = writer.map_err(io::Error::from)?;
        let duplex = Duplex { io, stream, outgoing: &sender, heard: &heard };
        let mut socket = codec::websocket(duplex, rest, Role::Server);
        let end: End = loop {
            if let Err(error) = socket.read() {
                break error.into();
            }
        };
        // The writer has to be asked to end, because it may be in a write that the subscriber does not accept. It may
        // know the reason for the end better.
        match (writer.cancel(io), end) {
            (Err(better @ End::Failed(_)), End::Failed(_)) => Err(better),
            (_, end) => Err(end),
        }
    })
}

struct Subscriber<'a> {
    relay: &'a Relay,
    stream: &'a TcpStream,
    heard: &'a AtomicU64,
    /// The last event that was sent.
    position: u64,
    pinged: Instant,
}

impl Subscriber<'_> {
    /// Replays from the database, and then follows live. It always sends the events after `position`, which are
    /// contiguous, so nothing is missing or repeated at the transition.
    fn write(mut self, io: &dyn Io, outgoing: &Receiver<OutgoingMessage>) -> Result<(), End> {
        loop {
            let more = self.send_page(io)?;
            let next = if more {
                outgoing.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvError::TimedOut,
                    TryRecvError::Closed => RecvError::Closed,
                })
            } else {
                io.timeout_at(io.now() + PING_INTERVAL, |io| outgoing.recv(io))
            };
            match next {
                Ok(OutgoingMessage::Frames(frames)) => self.send(io, &frames)?,
                Ok(_) => {}
                Err(RecvError::TimedOut) => self.ping(io)?,
                Err(RecvError::Closed) => return Ok(()),
                Err(RecvError::Canceled(canceled)) => return Err(canceled.into()),
            }
        }
    }

    /// Sends some of the available events. Returns true if there may be more.
    fn send_page(&mut self, io: &dyn Io) -> Result<bool, End> {
        match self.relay.live.after(self.position, PAGE_EVENTS) {
            Next::UpToDate => return Ok(false),
            Next::Events(events) => events.iter().try_for_each(|event| self.send_event(io, event))?,
            Next::Older => {
                let position = self.position;
                let page = self.relay.reader.call(io, |reader| reader.page(position, PAGE_EVENTS));
                let page = page.map_err(io::Error::from)?;
                let page = page.map_err(|error| End::Failed(ErrorChain::new(&*error).to_string()))?;
                page.iter().try_for_each(|event| self.send_event(io, event))?;
            }
        }
        Ok(true)
    }

    fn send_event(&mut self, io: &dyn Io, event: &Event) -> Result<(), End> {
        // The event was checked when it came, so an error here is a bug of the relay.
        let mut commit = frame::decode(&event.frame).map_err(|malformed| End::Failed(malformed.to_string()))?;
        commit.seq = event.position;
        self.send(io, &codec::binary(commit.encode()))?;
        self.position = event.position;
        Ok(())
    }

    fn ping(&mut self, io: &dyn Io) -> Result<(), End> {
        let now = io.now();
        if now.saturating_duration_since(Instant::from_nanos(self.heard.load(Relaxed))) > SILENCE_MAX {
            return Err(End::Failed("it has fallen silent".into()));
        }
        if now - self.pinged >= PING_INTERVAL {
            self.pinged = now;
            self.send(io, &codec::ping())?;
        }
        Ok(())
    }

    fn send(&self, io: &dyn Io, bytes: &[u8]) -> Result<(), End> {
        Ok(io.timeout(WRITE_TIMEOUT, |io| self.stream.write_all(io, bytes))?)
    }
}
