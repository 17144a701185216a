//! The interface of a store of events, and the meaning of its rows.

use std::error::Error;

use clap::ValueEnum;

use crate::live::Event;

pub(crate) type StoreResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A store of events, ordered by their position, with a cursor per host.
///
/// It is a trait because the second store is compiled only on demand.
pub(crate) trait Store {
    fn begin(&mut self) -> StoreResult<()>;

    /// Fails if the host's event with this number exists already.
    fn insert(&mut self, position: u64, host: u32, seq: u64, frame: &[u8]) -> StoreResult<()>;

    fn set_cursor(&mut self, host: u32, seq: u64) -> StoreResult<()>;

    fn commit(&mut self) -> StoreResult<()>;

    fn roll_back(&mut self) -> StoreResult<()>;

    /// Returns the last stored number of each host.
    fn cursors(&mut self) -> StoreResult<Vec<(u32, u64)>>;

    /// Returns the last position, or 0 if there is no event.
    fn head(&mut self) -> StoreResult<u64>;

    /// Returns the committed events after `position`, at most `count`.
    fn page(&mut self, position: u64, count: usize) -> StoreResult<Vec<Event>>;

    /// Returns the runs of events per host, counted anew from the rows.
    fn audit(&mut self) -> StoreResult<Vec<Audited>>;
}

/// A summary of the rows of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audited {
    pub(crate) host: u32,
    pub(crate) rows: u64,
    pub(crate) seq_min: u64,
    pub(crate) seq_max: u64,
}

/// The durability of acknowledged events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Synchronous {
    /// Acknowledged events are on disk: neither a kill nor a power cut loses them.
    Full,
    /// A kill of the process loses nothing, but a power cut may lose acknowledged events: with SQLite, those committed
    /// since the last checkpoint, about 4 MiB (1,000 pages) and the last transaction; with PostgreSQL, those of the
    /// last 0.6 seconds.
    Normal,
}

/// Converts a cursor from a store: a host, whose numbers begin at 1, and the number of its last event. Other values
/// were not stored by this program.
pub(super) fn cursor((host, seq): (i64, i64)) -> StoreResult<(u32, u64)> {
    let ours = u32::try_from(host).ok().filter(|&host| host > 0).zip(number(seq));
    ours.ok_or_else(|| format!("the database has {seq} as the cursor of host {host}, which is none of a relay").into())
}

pub(super) fn position(position: i64) -> StoreResult<u64> {
    let ours = number(position);
    ours.ok_or_else(|| {
        format!("the database has {position} as the position of an event, which is none of a relay").into()
    })
}

/// Converts an audited row: a host, the number of its rows, and the smallest and the greatest event number.
pub(super) fn audited(row: [i64; 4]) -> StoreResult<Audited> {
    let [host, rows, seq_min, seq_max] = row.map(number);
    let host = host.and_then(|host| u32::try_from(host).ok());
    let ours = host.zip(rows).zip(seq_min.zip(seq_max));
    let ours = ours.map(|((host, rows), (seq_min, seq_max))| Audited { host, rows, seq_min, seq_max });
    ours.ok_or_else(|| {
        format!("the database has events of host {}, from {} to {}, which are none of a relay", row[0], row[2], row[3])
            .into()
    })
}

/// Converts a number that is so far below the maximum that it can be counted up from safely.
fn number(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|&number| number < 1 << 62)
}
