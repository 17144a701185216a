//! Where the store of a run is.

use std::path::PathBuf;

use iolite::ErrorChain;

use super::store::{Store, StoreResult, Synchronous};
use super::{postgres, sqlite};

/// Which store, and how careful it is.
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
