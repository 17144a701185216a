//! The database: the work of a bridge's worker on events, with one of two stores.

mod place;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(not(feature = "postgres"))]
#[path = "no_postgres.rs"]
mod postgres;
mod reader;
mod sqlite;
mod store;

pub(crate) use place::{Location, Place};
pub(crate) use reader::Reader;
pub(crate) use store::{Audited, Synchronous};

use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use store::{Store, StoreResult};

use crate::counts::Counts;
use crate::host::{Host, Offer};
use crate::live::{Event, Live};

/// The state of the one worker that writes: it stores the events of each run of jobs in a transaction.
///
/// It alone decides what is stored: for each host, only the event that follows the last one. So a cursor never passes a
/// gap, and no event is stored twice.
pub(crate) struct Database {
    place: Place,
    store: Box<dyn Store>,
    hosts: Arc<[Host]>,
    counts: Arc<Counts>,
    live: Arc<Live>,
    /// For each host, the last event that is stored or part of the transaction.
    last: Vec<u64>,
    /// For each host, the last event that is stored although its commit seemed to fail. Such events may come again from
    /// readers that heard only of the failure.
    in_doubt: Vec<u64>,
    /// The position of the last event that is stored or part of the transaction.
    position: u64,
    transaction: Transaction,
}

enum Transaction {
    None,
    Open(Vec<(u64, Offer)>),
    /// Nothing of the transaction will be stored, and `last` and `position` have to be read again.
    Failed,
}

impl Database {
    /// Opens the store and gives the hosts their cursors.
    pub(crate) fn open(
        place: &Place,
        hosts: &Arc<[Host]>,
        counts: &Arc<Counts>,
        live: &Arc<Live>,
    ) -> StoreResult<Self> {
        let mut database = Self {
            place: place.clone(),
            store: place.open()?,
            hosts: hosts.clone(),
            counts: counts.clone(),
            live: live.clone(),
            last: Vec::new(),
            in_doubt: vec![0; hosts.len()],
            position: 0,
            transaction: Transaction::None,
        };
        database.reload()?;
        for (host, &last) in database.hosts.iter().zip(&database.last) {
            host.committed.store(last, SeqCst);
        }
        database.live.start_at(database.position);
        Ok(database)
    }

    /// Makes the event part of the run's transaction. An event that is refused is dropped, which makes its host's
    /// reader start again from the last cursor.
    pub(crate) fn store(&mut self, offer: Offer) {
        if let Err(error) = self.try_store(offer) {
            self.fail(&*error);
        }
    }

    /// Commits the run's transaction, and only then lets the events be acknowledged and sent on.
    pub(crate) fn end_run(&mut self) {
        match mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::None => {}
            Transaction::Open(stored) => match self.commit(&stored) {
                Ok(()) => self.publish(stored),
                Err(error) => {
                    self.fail(&*error);
                    self.recover();
                }
            },
            Transaction::Failed => self.recover(),
        }
    }

    fn try_store(&mut self, offer: Offer) -> StoreResult<()> {
        let (number, seq) = (offer.host().number, offer.seq);
        let index = number as usize - 1;
        match &mut self.transaction {
            Transaction::Failed => return Ok(()),
            Transaction::None => {
                self.store.begin()?;
                self.transaction = Transaction::Open(Vec::new());
            }
            Transaction::Open(_) => {}
        }
        if seq <= self.last[index] {
            let count = if seq <= self.in_doubt[index] { &self.counts.replayed } else { &self.counts.duplicates };
            count.fetch_add(1, Relaxed);
            return Ok(());
        }
        if seq > self.last[index] + 1 {
            return Ok(());
        }
        self.store.insert(self.position + 1, number, seq, &offer.frame)?;
        self.position += 1;
        self.last[index] = seq;
        if let Transaction::Open(stored) = &mut self.transaction {
            stored.push((self.position, offer));
        }
        Ok(())
    }

    fn commit(&mut self, stored: &[(u64, Offer)]) -> StoreResult<()> {
        let mut hosts: Vec<u32> = stored.iter().map(|(_, offer)| offer.host().number).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            self.store.set_cursor(host, self.last[host as usize - 1])?;
        }
        self.store.commit()
    }

    fn publish(&self, stored: Vec<(u64, Offer)>) {
        self.counts.stored.fetch_add(stored.len() as u64, Relaxed);
        self.counts.succeed();
        let events = stored.into_iter().map(|(position, mut offer)| {
            let event = Event { position, frame: mem::take(&mut offer.frame) };
            offer.stored();
            event
        });
        self.live.publish(events);
    }

    fn fail(&mut self, error: &dyn Error) {
        self.counts.fail(error);
        self.transaction = Transaction::Failed;
    }

    /// Leaves a failed transaction. Events are refused until that succeeds.
    fn recover(&mut self) {
        self.transaction = Transaction::None;
        // This fails if the store has rolled back by itself, or is gone.
        let _ = self.store.roll_back();
        let recovered = self.reload().or_else(|_| {
            self.store = self.place.open()?;
            self.reload()
        });
        match recovered {
            Ok(()) => self.resolve_doubt(),
            Err(error) => self.fail(&*error),
        }
    }

    /// Resolves a commit whose answer was lost, because it may have succeeded: then the stored events are announced
    /// now.
    fn resolve_doubt(&mut self) {
        for (index, host) in self.hosts.iter().enumerate() {
            // The number can become smaller if a store with less durability has lost events that it had committed.
            if host.committed.swap(self.last[index], SeqCst) < self.last[index] {
                self.in_doubt[index] = self.last[index];
            }
        }
        self.counts.stored.fetch_add(self.position.saturating_sub(self.live.head()), Relaxed);
        self.live.start_at(self.position);
    }

    fn reload(&mut self) -> StoreResult<()> {
        self.last = vec![0; self.hosts.len()];
        for (host, seq) in self.store.cursors()? {
            // The file of an earlier run may contain more hosts.
            if let Some(last) = self.last.get_mut(host as usize - 1) {
                *last = seq;
            }
        }
        self.position = self.store.head()?;
        Ok(())
    }
}

#[cfg(test)]
mod test;
