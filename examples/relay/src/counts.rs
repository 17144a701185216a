//! The counters of a run.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iolite::ErrorChain;

use crate::console::{Console, Limit};

/// The counters of one run. They are independent of each other, so their updates are relaxed.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Connections that are up.
    pub(crate) online: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    /// Events that came in order and were handed to the database.
    pub(crate) received: AtomicU64,
    /// Events that a reconnected upstream repeated and that were dropped before the database.
    pub(crate) replayed: AtomicU64,
    /// Events that are committed.
    pub(crate) stored: AtomicU64,
    /// Events that were offered to the database although it had them.
    pub(crate) duplicates: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) acknowledgements: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) transactions_failed: AtomicU64,
    /// The error of the last transaction, if it failed.
    failure: Mutex<Option<String>>,
    console: Arc<Console>,
    failures: Limit,
}

impl Counts {
    pub(crate) fn new(console: Arc<Console>) -> Self {
        Self {
            online: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            received: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            acknowledgements: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            transactions_failed: AtomicU64::new(0),
            failure: Mutex::default(),
            console,
            failures: Limit::default(),
        }
    }

    /// Notes that a transaction failed.
    pub(crate) fn fail(&self, error: &dyn Error) {
        self.transactions_failed.fetch_add(1, Relaxed);
        let failure = ErrorChain::new(error).to_string();
        self.console.limited(&self.failures, || format!("the database failed: {failure}"));
        *self.lock() = Some(failure);
    }

    /// Notes that a transaction has succeeded.
    pub(crate) fn succeed(&self) {
        self.transactions.fetch_add(1, Relaxed);
        *self.lock() = None;
    }

    /// Returns the error of the last transaction if it failed; events that were handed over since are not stored.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
