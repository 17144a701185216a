//! The helpers of the cases, which tests of a backend can use, too: races with seeds, a watchdog, small helpers.

mod common;
mod folder;
mod race;
mod random;
mod watchdog;

pub use common::{
    ExpectCanceled, again, concurrently, fill, full_listener, own_address, panic_of, panic_quietly, refusing, scope,
    started, tcp_pair, text_of, until,
};
pub use folder::in_folder;
pub use race::{Race, Start, attempt, spin};
pub use random::{Random, rounds};
pub use watchdog::Watchdog;

pub use crate::record::note;
