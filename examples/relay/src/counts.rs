//! What a run counts.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iolite::ErrorChain;

use crate::console::{Console, Limit};

/// Counters of one run. Each stands for itself, so their updates are relaxed.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Connections that are up.
    pub(crate) online: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    /// Events that came in order and were handed to the database.
    pub(crate) received: AtomicU64,
    /// Events that a reconnected upstream told again and that were dropped before the database.
    pub(crate) replayed: AtomicU64,
    /// Events that are committed.
    pub(crate) stored: AtomicU64,
    /// Events that the database was offered although it had them.
    pub(crate) duplicates: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) acknowledgements: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) transactions_failed: AtomicU64,
    /// Why the last transaction failed, if it did.
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

    /// A transaction failed.
    pub(crate) fn fail(&self, error: &dyn Error) {
        self.transactions_failed.fetch_add(1, Relaxed);
        let failure = ErrorChain::new(error).to_string();
        self.console.limited(&self.failures, || format!("the database failed: {failure}"));
        *self.lock() = Some(failure);
    }

    /// A transaction has succeeded.
    pub(crate) fn succeed(&self) {
        self.transactions.fetch_add(1, Relaxed);
        *self.lock() = None;
    }

    /// Why the last transaction failed, and what was handed over since is not stored; `None` if it did not.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
