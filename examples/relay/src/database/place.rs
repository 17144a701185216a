//! The place of the store of a run.

use std::path::PathBuf;

use iolite::ErrorChain;

use super::store::{Store, StoreResult, Synchronous};
use super::{postgres, sqlite};

/// The choice of the store, and its durability.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) synchronous: Synchronous,
}

#[derive(Clone, Debug)]
pub(crate) enum Location {
    File(PathBuf),
    Postgres(String),
}

impl Place {
    pub(crate) fn open(&self) -> StoreResult<Box<dyn Store>> {
        match &self.location {
            Location::File(path) => match sqlite::Sqlite::open(path, self.synchronous) {
                Ok(store) => Ok(Box::new(store)),
                Err(error) => Err(format!("the database {}: {}", path.display(), ErrorChain::new(&*error)).into()),
            },
            Location::Postgres(url) => postgres::open(url, self.synchronous),
        }
    }
}
