//! SQLite, in one file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::store::{Audited, Store, StoreResult, Synchronous, audited, cursor, position};
use crate::live::Event;

/// The time for which another process may hold the lock of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        host INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        frame BLOB NOT NULL,
        UNIQUE (host, seq)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS cursors (
        host INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL
    ) STRICT;
";

pub(super) struct Sqlite(Connection);

impl Sqlite {
    pub(super) fn open(path: &Path, synchronous: Synchronous) -> StoreResult<Self> {
        // The location is a path and nothing else: a name that looks like a URI is a path, too.
        let flags = OpenFlags::default() & !OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(
            None,
            "synchronous",
            match synchronous {
                Synchronous::Full => "FULL",
                Synchronous::Normal => "NORMAL",
            },
        )?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    fn execute(&mut self, sql: &str, parameters: impl rusqlite::Params) -> StoreResult<()> {
        self.0.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }
}

impl Store for Sqlite {
    fn begin(&mut self) -> StoreResult<()> {
        self.execute("BEGIN IMMEDIATE", [])
    }

    fn insert(&mut self, position: u64, host: u32, seq: u64, frame: &[u8]) -> StoreResult<()> {
        self.execute(
            "INSERT INTO events (position, host, seq, frame) VALUES (?, ?, ?, ?)",
            params![signed(position)?, host, signed(seq)?, frame],
        )
    }

    fn set_cursor(&mut self, host: u32, seq: u64) -> StoreResult<()> {
        self.execute("INSERT OR REPLACE INTO cursors (host, seq) VALUES (?, ?)", params![host, signed(seq)?])
    }

    fn commit(&mut self) -> StoreResult<()> {
        self.execute("COMMIT", [])
    }

    fn roll_back(&mut self) -> StoreResult<()> {
        self.execute("ROLLBACK", [])
    }

    fn cursors(&mut self) -> StoreResult<Vec<(u32, u64)>> {
        let mut statement = self.0.prepare_cached("SELECT host, seq FROM cursors")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| cursor(row?)).collect()
    }

    fn head(&mut self) -> StoreResult<u64> {
        let mut statement = self.0.prepare_cached("SELECT coalesce(max(position), 0) FROM events")?;
        position(statement.query_row([], |row| row.get(0))?)
    }

    fn page(&mut self, position: u64, count: usize) -> StoreResult<Vec<Event>> {
        let sql = "SELECT position, frame FROM events WHERE position > ? ORDER BY position LIMIT ?";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params![signed(position)?, count as i64], |row| {
            Ok(Event { position: row.get::<_, i64>(0)?.cast_unsigned(), frame: row.get::<_, Vec<u8>>(1)?.into() })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn audit(&mut self) -> StoreResult<Vec<Audited>> {
        let sql = "SELECT host, count(*), min(seq), max(seq) FROM events GROUP BY host ORDER BY host";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
        rows.map(|row| audited(row?)).collect()
    }
}

/// Converts a number to SQLite's form.
fn signed(number: u64) -> StoreResult<i64> {
    Ok(i64::try_from(number)?)
}
