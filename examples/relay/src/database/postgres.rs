//! PostgreSQL.

use postgres::{Client, NoTls};

use super::store::{Audited, Store, StoreResult, Synchronous, audited, cursor, position};
use crate::live::Event;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position BIGINT PRIMARY KEY,
        host BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        frame BYTEA NOT NULL,
        UNIQUE (host, seq)
    );
    CREATE TABLE IF NOT EXISTS cursors (
        host BIGINT PRIMARY KEY,
        seq BIGINT NOT NULL
    );
";

const INSERT: &str = "INSERT INTO events (position, host, seq, frame) VALUES ($1, $2, $3, $4)";
const SET_CURSOR: &str =
    "INSERT INTO cursors (host, seq) VALUES ($1, $2) ON CONFLICT (host) DO UPDATE SET seq = excluded.seq";

struct Postgres {
    client: Client,
    insert: postgres::Statement,
    set_cursor: postgres::Statement,
}

pub(super) fn open(url: &str, synchronous: Synchronous) -> StoreResult<Box<dyn Store>> {
    let mut client = Client::connect(url, NoTls)?;
    client.batch_execute("SET client_min_messages TO warning")?;
    client.batch_execute(match synchronous {
        Synchronous::Full => "SET synchronous_commit TO on",
        Synchronous::Normal => "SET synchronous_commit TO off",
    })?;
    client.batch_execute(SCHEMA)?;
    let insert = client.prepare(INSERT)?;
    let set_cursor = client.prepare(SET_CURSOR)?;
    Ok(Box::new(Postgres { client, insert, set_cursor }))
}

impl Store for Postgres {
    fn begin(&mut self) -> StoreResult<()> {
        Ok(self.client.batch_execute("BEGIN")?)
    }

    fn insert(&mut self, position: u64, host: u32, seq: u64, frame: &[u8]) -> StoreResult<()> {
        let (position, host, seq) = (i64::try_from(position)?, i64::from(host), i64::try_from(seq)?);
        self.client.execute(&self.insert, &[&position, &host, &seq, &frame])?;
        Ok(())
    }

    fn set_cursor(&mut self, host: u32, seq: u64) -> StoreResult<()> {
        self.client.execute(&self.set_cursor, &[&i64::from(host), &i64::try_from(seq)?])?;
        Ok(())
    }

    fn commit(&mut self) -> StoreResult<()> {
        Ok(self.client.batch_execute("COMMIT")?)
    }

    fn roll_back(&mut self) -> StoreResult<()> {
        Ok(self.client.batch_execute("ROLLBACK")?)
    }

    fn cursors(&mut self) -> StoreResult<Vec<(u32, u64)>> {
        let rows = self.client.query("SELECT host, seq FROM cursors", &[])?;
        rows.iter().map(|row| cursor((row.get(0), row.get(1)))).collect()
    }

    fn head(&mut self) -> StoreResult<u64> {
        let row = self.client.query_one("SELECT coalesce(max(position), 0) FROM events", &[])?;
        position(row.get(0))
    }

    fn page(&mut self, position: u64, count: usize) -> StoreResult<Vec<Event>> {
        let sql = "SELECT position, frame FROM events WHERE position > $1 ORDER BY position LIMIT $2";
        let rows = self.client.query(sql, &[&i64::try_from(position)?, &i64::try_from(count)?])?;
        Ok(rows
            .iter()
            .map(|row| Event { position: row.get::<_, i64>(0).cast_unsigned(), frame: row.get::<_, Vec<u8>>(1).into() })
            .collect())
    }

    fn audit(&mut self) -> StoreResult<Vec<Audited>> {
        let sql = "SELECT host, count(*), min(seq), max(seq) FROM events GROUP BY host ORDER BY host";
        let rows = self.client.query(sql, &[])?;
        rows.iter().map(|row| audited([row.get(0), row.get(1), row.get(2), row.get(3)])).collect()
    }
}
