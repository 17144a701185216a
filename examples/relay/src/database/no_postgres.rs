//! Takes the place of PostgreSQL if the program was built without it.

use super::store::{Store, StoreResult, Synchronous};

pub(super) fn open(_: &str, _: Synchronous) -> StoreResult<Box<dyn Store>> {
    Err("PostgreSQL is behind a feature: cargo run --example relay --features postgres".into())
}
