//! Reading in parallel with the writing.

use super::place::Place;
use super::store::{Audited, Store, StoreResult};
use crate::live::Event;

/// The state of the worker that reads. It opens its store again after that has failed.
pub(crate) struct Reader {
    place: Place,
    store: Box<dyn Store>,
}

impl Reader {
    pub(crate) fn open(place: &Place) -> StoreResult<Self> {
        Ok(Self { place: place.clone(), store: place.open()? })
    }

    /// Returns events as [`Store::page`] does.
    pub(crate) fn page(&mut self, position: u64, count: usize) -> StoreResult<Vec<Event>> {
        self.read(|store| store.page(position, count))
    }

    /// Audits as [`Store::audit`] does.
    pub(crate) fn audit(&mut self) -> StoreResult<Vec<Audited>> {
        self.read(|store| store.audit())
    }

    fn read<T>(&mut self, read: impl Fn(&mut dyn Store) -> StoreResult<T>) -> StoreResult<T> {
        read(&mut *self.store).or_else(|_| {
            self.store = self.place.open()?;
            read(&mut *self.store)
        })
    }
}
