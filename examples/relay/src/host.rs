//! One host, as its tasks and the database see it, and its events on their way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use iolite::{Canceled, Io};

/// How long to wait between looks at whether the database is done with a host's events.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

/// What the tasks of a host and the database share about it.
#[derive(Debug)]
pub(crate) struct Host {
    /// From 1.
    pub(crate) number: u32,
    /// The last event that is committed. Written by the database's worker.
    pub(crate) committed: AtomicU64,
    /// How many [`Offer`]s of its events there are. Read by the reading task; SeqCst, so that who
    /// sees that one is gone sees what became of it in `committed` and `rewind`.
    offers: AtomicU64,
    /// An event was given up: the reader has to start again from `committed`.
    pub(crate) rewind: AtomicBool,
    /// When bytes last arrived.
    pub(crate) heard: AtomicU64,
    /// It was connected once in this run.
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

    /// Waits until the database has committed or given up all that it was handed, so that the last
    /// stored cursor is the place to go on from: nothing is offered twice.
    pub(crate) fn settle(&self, io: &dyn Io) -> Result<u64, Canceled> {
        while self.offers.load(SeqCst) > 0 {
            io.sleep(SETTLE_INTERVAL)?;
        }
        self.rewind.store(false, SeqCst);
        Ok(self.committed.load(SeqCst))
    }
}

/// An event on its way to the database. Dropped before it is stored, for whatever reason (no room,
/// a failed transaction, a panic), it makes its host's reader start again from the last cursor.
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

    /// The event is committed, or was before.
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
