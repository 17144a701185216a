//! The firehose of one host, and the faults in it.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use iolite::net::TcpStream;
use iolite::{Instant, Io};
use serde::Deserialize;
use tungstenite::protocol::Role;
use tungstenite::{Error, Message};

use crate::codec::{self, End, Patient};
use crate::frame::{self, Noise};
use crate::report::HostReport;

/// The time in which a relay has to accept a frame before it is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The average number of frames between two faults of each kind.
const FRAMES_PER_DROP: u64 = 600;
const FRAMES_PER_PAUSE: u64 = 300;
const FRAMES_PER_CUT: u64 = 60;
const FRAMES_PER_MALFORMED: u64 = 1500;
/// The longest pause.
const PAUSE_MAX_MILLIS: u64 = 1500;
/// The longest piece of a frame that is cut.
const PIECE_BYTES_MAX: u64 = 40;

/// The settings that all hosts share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Events per second.
    pub(crate) rate: f64,
    pub(crate) faults: bool,
}

/// A host.
#[derive(Debug)]
pub(crate) struct Emitter {
    number: u32,
    settings: Settings,
    start: OnceLock<Start>,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// The start of a host's clock: the arrival of the first relay. The event after that relay's cursor is the first new
/// one. From then on, events happen at the set rate, whether a relay is connected or not.
#[derive(Clone, Copy, Debug)]
struct Start {
    cursor: u64,
    at: Instant,
}

/// `{"ack": 17}`: the relay has stored all events up to 17.
#[derive(Debug, Deserialize)]
struct Acknowledgement {
    ack: u64,
}

impl Emitter {
    pub(crate) fn new(number: u32, settings: Settings) -> Self {
        let (sent, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { number, settings, start: OnceLock::new(), sent, acknowledged }
    }

    /// Returns the events that the host has sent and that were acknowledged, if a relay ever came.
    pub(crate) fn report(&self) -> Option<HostReport> {
        self.start.get()?;
        let (sent, acknowledged) = (self.sent.load(Relaxed), self.acknowledged.load(Relaxed));
        Some(HostReport { host: self.number, sent, acknowledged })
    }

    /// Emits the events after `cursor`: past events at once, and new ones when they happen.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    pub(crate) fn emit(&self, io: &dyn Io, stream: &TcpStream, rest: Vec<u8>, cursor: u64) -> Result<(), End> {
        // The hosts do not tick in step.
        let phase = Duration::from_secs_f64(f64::from(self.number % 97) / 97.0 / self.settings.rate);
        let start = *self.start.get_or_init(|| Start { cursor, at: io.now() + phase });
        let mut seed = [0; 8];
        io.random(&mut seed)?;
        let mut dice = Noise(u64::from_le_bytes(seed));
        let patient = Patient { io, stream, deadline: Cell::new(io.now()) };
        let mut socket = codec::websocket(patient, rest, Role::Server);
        let mut next = cursor + 1;
        loop {
            let due = start.due(next, self.settings.rate);
            if due <= io.now() {
                if !self.send(io, stream, next, &mut dice)? {
                    return Ok(());
                }
                self.sent.fetch_max(next, Relaxed);
                next += 1;
                continue;
            }
            // Until then the host listens.
            socket.get_ref().deadline.set(due);
            match socket.read() {
                Ok(Message::Text(text)) => self.acknowledge(&text),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn acknowledge(&self, text: &str) {
        if let Ok(Acknowledgement { ack }) = serde_json::from_str(text) {
            self.acknowledged.fetch_max(ack, Relaxed);
        }
    }

    /// Sends an event, perhaps with a fault. Returns false at the end of the connection.
    fn send(&self, io: &dyn Io, stream: &TcpStream, seq: u64, dice: &mut Noise) -> Result<bool, End> {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let payload = frame::emitted(self.number, seq, &time);
        let whole = |io: &dyn Io, bytes: &[u8]| io.timeout(WRITE_TIMEOUT, |io| stream.write_all(io, bytes));
        if !self.settings.faults {
            whole(io, &codec::binary(payload))?;
            return Ok(true);
        }
        if dice.one_in(FRAMES_PER_PAUSE) {
            io.sleep(Duration::from_millis(dice.next() % PAUSE_MAX_MILLIS))?;
        }
        if dice.one_in(FRAMES_PER_MALFORMED) {
            // This is sent in addition, so no event is lost.
            whole(io, &codec::binary(payload[..payload.len() / 2].to_vec()))?;
        }
        let bytes = codec::binary(payload);
        if dice.one_in(FRAMES_PER_DROP) {
            // The connection ends in the middle of a frame, in half of the cases with a reset.
            whole(io, &bytes[..dice.next() as usize % bytes.len()])?;
            if dice.one_in(2) {
                stream.set_linger(io, Some(Duration::ZERO))?;
            }
            return Ok(false);
        }
        if dice.one_in(FRAMES_PER_CUT) {
            self.send_cut(io, &bytes, dice, whole)?;
        } else {
            whole(io, &bytes)?;
        }
        Ok(true)
    }

    /// Sends a frame in pieces; each is a segment of its own.
    fn send_cut(
        &self,
        io: &dyn Io,
        bytes: &[u8],
        dice: &mut Noise,
        send: impl Fn(&dyn Io, &[u8]) -> io::Result<()>,
    ) -> Result<(), End> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = rest.len().min(1 + (dice.next() % PIECE_BYTES_MAX) as usize);
            let (piece, after) = rest.split_at(count);
            send(io, piece)?;
            rest = after;
            io.yield_now();
        }
        Ok(())
    }
}

impl Start {
    /// Returns the time at which event `seq` happens, or happened.
    fn due(&self, seq: u64, rate: f64) -> Instant {
        match seq.saturating_sub(self.cursor + 1) {
            // This includes events before the beginning.
            0 => self.at,
            later => self.at + Duration::try_from_secs_f64(later as f64 / rate).unwrap_or(Duration::MAX),
        }
    }
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use iolite::Instant;

    use super::Start;

    #[test]
    fn events_happen_at_the_rate_from_the_first_cursor_on() {
        let at = Instant::from_nanos(1_000_000_000);
        let start = Start { cursor: 100, at };
        assert_eq!(start.due(1, 4.0), at);
        assert_eq!(start.due(101, 4.0), at);
        assert_eq!(start.due(102, 4.0), at + Duration::from_millis(250));
        assert_eq!(start.due(141, 4.0), at + Duration::from_secs(10));
    }
}
