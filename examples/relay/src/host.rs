//! One host, as its tasks and the database see it, and its events on their way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use iolite::{Canceled, Io};

/// The interval of checks whether the database is done with a host's events.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

/// The state of a host that its tasks and the database share.
#[derive(Debug)]
pub(crate) struct Host {
    /// The number of the host, from 1.
    pub(crate) number: u32,
    /// The last event that is committed. The database's worker writes it.
    pub(crate) committed: AtomicU64,
    /// The number of [`Offer`]s of its events. The reading task reads it. SeqCst, so that a thread that sees the end of
    /// an offer also sees its outcome in `committed` and `rewind`.
    offers: AtomicU64,
    /// Set if an event was given up: the reader has to start again from `committed`.
    pub(crate) rewind: AtomicBool,
    /// The time at which bytes last arrived.
    pub(crate) heard: AtomicU64,
    /// Set once the host was connected in this run.
    pub(crate) connected: AtomicBool,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host-{}", self.number)
    }
}

impl Host {
    pub(crate) fn new(number: u32, committed: u64) -> Self {
        Self {
            number,
            committed: AtomicU64::new(committed),
            offers: AtomicU64::new(0),
            rewind: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        }
    }

    /// Waits until the database has committed or given up all events that it was handed. Then the last stored cursor is
    /// the place to continue from, and nothing is offered twice.
    pub(crate) fn settle(&self, io: &dyn Io) -> Result<u64, Canceled> {
        while self.offers.load(SeqCst) > 0 {
            io.sleep(SETTLE_INTERVAL)?;
        }
        self.rewind.store(false, SeqCst);
        Ok(self.committed.load(SeqCst))
    }
}

/// An event on its way to the database. If it is dropped before it is stored, for any reason (no room, a failed
/// transaction, a panic), it makes its host's reader start again from the last cursor.
#[derive(Debug)]
pub(crate) struct Offer {
    hosts: Arc<[Host]>,
    host: u32,
    stored: bool,
    pub(crate) seq: u64,
    pub(crate) frame: Box<[u8]>,
}

impl Offer {
    pub(crate) fn new(hosts: &Arc<[Host]>, host: &Host, seq: u64, frame: &[u8]) -> Self {
        host.offers.fetch_add(1, SeqCst);
        Self { hosts: hosts.clone(), host: host.number, stored: false, seq, frame: frame.into() }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.hosts[self.host as usize - 1]
    }

    /// Notes that the event is committed, now or earlier.
    pub(crate) fn stored(mut self) {
        self.host().committed.fetch_max(self.seq, SeqCst);
        self.stored = true;
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.stored {
            self.host().rewind.store(true, SeqCst);
        }
        self.host().offers.fetch_sub(1, SeqCst);
    }
}
