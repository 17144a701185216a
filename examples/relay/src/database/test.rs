use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use tempfile::TempDir;

use super::store::{Store, StoreResult};
use super::{Audited, Database, Location, Place, Synchronous, Transaction};
use crate::console::Console;
use crate::counts::Counts;
use crate::host::{Host, Offer};
use crate::live::{Event, Live, Next};

struct Fixture {
    directory: TempDir,
    hosts: Arc<[Host]>,
    counts: Arc<Counts>,
    live: Arc<Live>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            hosts: (1..=3).map(|number| Host::new(number, 0)).collect(),
            counts: Arc::new(Counts::new(Arc::new(Console::new()))),
            live: Arc::default(),
        }
    }

    fn place(&self) -> Place {
        let location = Location::File(self.directory.path().join("relay.db"));
        Place { location, synchronous: Synchronous::Full }
    }

    fn open(&self) -> Database {
        Database::open(&self.place(), &self.hosts, &self.counts, &self.live).unwrap()
    }

    fn offer(&self, host: u32, seq: u64) -> Offer {
        Offer::new(&self.hosts, &self.hosts[host as usize - 1], seq, &[host as u8, seq as u8])
    }

    /// Runs one run of jobs.
    fn run(&self, database: &mut Database, events: &[(u32, u64)]) {
        for &(host, seq) in events {
            database.store(self.offer(host, seq));
        }
        database.end_run();
    }

    fn committed(&self) -> Vec<u64> {
        self.hosts.iter().map(|host| host.committed.load(SeqCst)).collect()
    }

    fn rewound(&self) -> Vec<bool> {
        self.hosts.iter().map(|host| host.rewind.swap(false, SeqCst)).collect()
    }

    fn live_frames(&self) -> Vec<Vec<u8>> {
        match self.live.after(0, 100) {
            Next::Events(events) => events.iter().map(|event| event.frame.to_vec()).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn events_are_there_after_their_run_and_in_the_next_process() {
    let fixture = Fixture::new();
    let mut database = fixture.open();
    database.store(fixture.offer(1, 1));
    database.store(fixture.offer(2, 1));
    assert_eq!(fixture.committed(), [0, 0, 0], "nothing is acknowledged before it is committed");
    assert!(matches!(fixture.live.after(0, 1), Next::UpToDate), "nor sent on");
    database.end_run();
    fixture.run(&mut database, &[(1, 2)]);
    assert_eq!((fixture.committed(), fixture.live_frames()), (vec![2, 1, 0], vec![vec![1, 1], vec![2, 1], vec![1, 2]]));
    assert_eq!(fixture.rewound(), [false; 3]);
    drop(database);

    let next = Fixture { directory: fixture.directory, ..Fixture::new() };
    let mut database = next.open();
    assert_eq!(next.committed(), [2, 1, 0]);
    next.run(&mut database, &[(1, 3)]);
    let page = database.store.page(1, 10).unwrap();
    assert_eq!(page.iter().map(|event| (event.position, event.frame[1])).collect::<Vec<_>>(), [(2, 1), (3, 2), (4, 3)]);
    let audited = |host, rows| Audited { host, rows, seq_min: 1, seq_max: rows };
    assert_eq!(database.store.audit().unwrap(), [audited(1, 3), audited(2, 1)]);
}

#[test]
fn gaps_and_duplicates_are_refused() {
    let fixture = Fixture::new();
    let mut database = fixture.open();
    fixture.run(&mut database, &[(1, 1), (1, 3), (2, 1)]);
    assert_eq!((fixture.committed(), fixture.rewound()), (vec![1, 1, 0], vec![true, false, false]));
    assert_eq!(fixture.counts.duplicates.load(SeqCst), 0);
    fixture.run(&mut database, &[(1, 2), (1, 3), (1, 3)]);
    assert_eq!((fixture.committed(), fixture.counts.duplicates.load(SeqCst)), (vec![3, 1, 0], 1));
    assert_eq!(fixture.live_frames().len(), 4);
}

#[test]
fn a_state_that_is_dropped_in_a_transaction_rewinds_its_hosts() {
    let fixture = Fixture::new();
    let mut database = fixture.open();
    fixture.run(&mut database, &[(1, 1)]);
    database.store(fixture.offer(1, 2));
    drop(database);
    assert_eq!((fixture.committed(), fixture.rewound()), (vec![1, 0, 0], vec![true, false, false]));
    let mut database = fixture.open();
    fixture.run(&mut database, &[(1, 2)]);
    assert_eq!((fixture.committed(), fixture.rewound()), (vec![2, 0, 0], vec![false; 3]));
}

#[test]
fn a_failed_transaction_stores_nothing_and_is_made_up_for() {
    for fault in [Fault::Begin, Fault::Insert, Fault::SetCursor, Fault::Commit] {
        let fixture = Fixture::new();
        let mut database = fixture.open();
        fixture.run(&mut database, &[(1, 1), (2, 1)]);
        let whole = std::mem::replace(&mut database.store, fixture.place().open().unwrap());
        database.store = Box::new(Faulty { store: whole, fault: Some(fault) });

        fixture.run(&mut database, &[(1, 2), (2, 2), (1, 3)]);
        assert_eq!(fixture.committed(), [1, 1, 0], "{fault:?}");
        assert_eq!(fixture.rewound(), [true, true, false], "{fault:?}");
        assert!(matches!(database.transaction, Transaction::None), "{fault:?}");
        assert_eq!(fixture.counts.transactions_failed.load(SeqCst), 1);

        // A reader that has not noticed yet continues where it was: that would be a gap.
        fixture.run(&mut database, &[(1, 4)]);
        assert_eq!((fixture.committed(), fixture.rewound()), (vec![1, 1, 0], vec![true, false, false]));

        fixture.run(&mut database, &[(1, 2), (1, 3), (2, 2)]);
        assert_eq!((fixture.committed(), fixture.rewound()), (vec![3, 2, 0], vec![false; 3]), "{fault:?}");
        let page = database.store.page(0, 10).unwrap();
        let positions: Vec<_> = page.iter().map(|event| event.position).collect();
        assert_eq!(positions, [1, 2, 3, 4, 5], "{fault:?}");
    }
}

#[test]
fn a_database_that_stores_nothing_more_is_told_until_it_does() {
    let fixture = Fixture::new();
    let mut database = fixture.open();
    let whole = std::mem::replace(&mut database.store, fixture.place().open().unwrap());
    database.store = Box::new(Faulty { store: whole, fault: Some(Fault::Commit) });
    assert_eq!(fixture.counts.failure(), None);
    fixture.run(&mut database, &[(1, 1)]);
    assert_eq!(fixture.counts.failure().as_deref(), Some("the disk is full"));
    fixture.run(&mut database, &[(1, 1)]);
    assert_eq!(fixture.counts.failure(), None);
}

#[test]
fn numbers_that_no_relay_has_stored_are_an_error_and_no_panic() {
    for (host, seq) in [(1, -1), (1, i64::MIN), (1, i64::MAX), (0, 1), (-1, 1), (1 << 32, 1)] {
        let fixture = Fixture::new();
        drop(fixture.open());
        let Location::File(path) = fixture.place().location else { unreachable!() };
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute("INSERT INTO cursors VALUES (?, ?)", [host, seq]).unwrap();
        let opened = Database::open(&fixture.place(), &fixture.hosts, &fixture.counts, &fixture.live);
        let error = opened.err().expect("none of a relay").to_string();
        assert!(error.contains(&format!("{seq} as the cursor of host {host}")), "{error}");
    }
    for position in [i64::MIN, i64::MAX] {
        let fixture = Fixture::new();
        drop(fixture.open());
        let Location::File(path) = fixture.place().location else { unreachable!() };
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute("INSERT INTO events VALUES (?, 1, 1, x'00')", [position]).unwrap();
        let opened = Database::open(&fixture.place(), &fixture.hosts, &fixture.counts, &fixture.live);
        assert!(opened.err().expect("none of a relay").to_string().contains("position"));
    }
}

#[test]
fn an_error_names_the_file_and_what_looks_like_a_uri_is_one() {
    let folder = TempDir::new().unwrap();
    let location = Location::File(folder.path().join("no/such/folder"));
    let error = Place { location, synchronous: Synchronous::Full }.open().err().expect("there is no folder");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
    let path = folder.path().join("file:x?mode=memory");
    drop(Place { location: Location::File(path.clone()), synchronous: Synchronous::Full }.open().unwrap());
    assert!(path.exists());
}

#[test]
fn a_commit_whose_answer_is_lost_is_found() {
    let fixture = Fixture::new();
    let mut database = fixture.open();
    fixture.run(&mut database, &[(1, 1), (2, 1)]);
    let whole = std::mem::replace(&mut database.store, fixture.place().open().unwrap());
    database.store = Box::new(Faulty { store: whole, fault: Some(Fault::Answer) });

    fixture.run(&mut database, &[(1, 2), (2, 2), (1, 3)]);
    assert_eq!((fixture.committed(), fixture.rewound()), (vec![3, 2, 0], vec![true, true, false]));
    assert_eq!(fixture.counts.stored.load(SeqCst), 5);
    assert!(matches!(fixture.live.after(4, 1), Next::Older), "followers read it from the database");

    // A reader that heard only of the failure offers them again.
    fixture.run(&mut database, &[(1, 3), (1, 4)]);
    assert_eq!((fixture.committed(), fixture.counts.stored.load(SeqCst)), (vec![4, 2, 0], 6));
    assert_eq!((fixture.counts.replayed.load(SeqCst), fixture.counts.duplicates.load(SeqCst)), (1, 0));
    assert!(matches!(fixture.live.after(5, 1), Next::Events(_)));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Begin,
    Insert,
    SetCursor,
    Commit,
    /// The commit succeeds but reports a failure.
    Answer,
}

/// A store in which something fails once.
struct Faulty {
    store: Box<dyn Store>,
    fault: Option<Fault>,
}

impl Faulty {
    fn at(&mut self, point: Fault) -> StoreResult<()> {
        if self.fault == Some(point) {
            self.fault = None;
            return Err("the disk is full".into());
        }
        Ok(())
    }
}

impl Store for Faulty {
    fn begin(&mut self) -> StoreResult<()> {
        self.at(Fault::Begin)?;
        self.store.begin()
    }

    fn insert(&mut self, position: u64, host: u32, seq: u64, frame: &[u8]) -> StoreResult<()> {
        self.at(Fault::Insert)?;
        self.store.insert(position, host, seq, frame)
    }

    fn set_cursor(&mut self, host: u32, seq: u64) -> StoreResult<()> {
        self.at(Fault::SetCursor)?;
        self.store.set_cursor(host, seq)
    }

    fn commit(&mut self) -> StoreResult<()> {
        self.at(Fault::Commit)?;
        self.store.commit()?;
        self.at(Fault::Answer)
    }

    fn roll_back(&mut self) -> StoreResult<()> {
        self.store.roll_back()
    }

    fn cursors(&mut self) -> StoreResult<Vec<(u32, u64)>> {
        self.store.cursors()
    }

    fn head(&mut self) -> StoreResult<u64> {
        self.store.head()
    }

    fn page(&mut self, position: u64, count: usize) -> StoreResult<Vec<Event>> {
        self.store.page(position, count)
    }

    fn audit(&mut self) -> StoreResult<Vec<Audited>> {
        self.store.audit()
    }
}
