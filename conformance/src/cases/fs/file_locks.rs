//! Advisory locks of files.

use std::fs as std_fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use iolite_io::fs::{File, FileOperation, OpenOptions, TryLockError};
use iolite_io::{
    Canceled, Io,
    backend::Decorator,
    operation::{Operation, Output},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, in_folder, scope, started};

pub(crate) const CASES: &[Case] = cases![
    locks_conflict_as_stds_do,
    a_duplicate_has_the_same_lock_and_the_last_one_lets_go,
    a_second_locker_waits,
    a_waiting_locker_is_canceled,
    the_only_lock_is_exclusive,
    what_fails_elsewhere_says_nothing_about_a_lock,
];

fn opened(io: &dyn Io, folder: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).open(io, folder.join("file")).expect("open")
}

fn would_block(result: Result<(), TryLockError>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}

fn locks_conflict_as_stds_do(on: &On) {
    in_folder(on, |io, folder| {
        let (one, other) = (opened(io, folder), opened(io, folder));
        let stds = std_fs::File::open(folder.join("file")).expect("opened");
        one.lock_shared(io).expect("free");
        other.try_lock_shared(io).expect("shared");
        assert!(would_block(other.try_lock(io)), "one has it too");
        other.unlock(io).expect("let go");
        assert!(matches!(stds.try_lock(), Err(TryLockError::WouldBlock)), "std's see ours");
        one.lock(io).expect("nobody else has one");
        assert!(would_block(other.try_lock(io)));
        assert!(would_block(other.try_lock_shared(io)));
        one.unlock(io).expect("let go");
        stds.lock_shared().expect("free");
        assert!(would_block(one.try_lock(io)), "ours see std's");
        one.try_lock_shared(io).expect("shared");
        drop(stds);
        one.lock(io).expect("nobody else has one");
    });
}

fn a_duplicate_has_the_same_lock_and_the_last_one_lets_go(on: &On) {
    in_folder(on, |io, folder| {
        let (one, other) = (opened(io, folder), opened(io, folder));
        let duplicate = one.try_clone().expect("a descriptor is free");
        one.lock(io).expect("free");
        duplicate.try_lock(io).expect("it has it");
        drop(one);
        assert!(would_block(other.try_lock(io)));
        duplicate.close(io).expect("closed");
        other.try_lock(io).expect("free");
    });
}

fn a_second_locker_waits(on: &On) {
    in_folder(on, |io, folder| {
        let (one, other) = (opened(io, folder), opened(io, folder));
        one.lock(io).expect("free");
        let released = AtomicU32::new(0);
        scope(io, |group| {
            let member = started(group, io, |io| {
                other.lock(io).expect("in the end");
                released.load(Ordering::SeqCst)
            });
            assert!(would_block(opened(io, folder).try_lock(io)));
            released.store(1, Ordering::SeqCst);
            one.unlock(io).expect("let go");
            assert_eq!(member.join(io), 1);
        });
    });
}

/// A canceled waiter has no lock, even if it had begun to wait, and the locks of others are unchanged.
fn a_waiting_locker_is_canceled(on: &On) {
    in_folder(on, |io, folder| {
        let (one, other) = (opened(io, folder), opened(io, folder));
        one.lock(io).expect("free");
        scope(io, |group| {
            for round in 0..20 {
                let member = if round % 2 == 0 {
                    started(group, io, |io| other.lock(io))
                } else {
                    concurrently(group, |io| other.lock_shared(io))
                };
                (0..round).for_each(|_| io.yield_now());
                assert!(Canceled::is_in(&member.cancel(io).expect_err("canceled")));
            }
        });
        let timed = io.timeout(Duration::from_millis(5), |io| other.lock(io));
        assert_eq!(timed.expect_err("held").kind(), std::io::ErrorKind::TimedOut);
        assert!(would_block(other.try_lock(io)), "it has none");
        one.unlock(io).expect("let go");
        opened(io, folder).try_lock(io).expect("nobody else has one");
    });
}

/// Four tasks have a file each, and only one of them is inside at any time.
fn the_only_lock_is_exclusive(on: &On) {
    in_folder(on, |io, folder| {
        let (inside, turns) = (AtomicU32::new(0), AtomicU32::new(0));
        scope(io, |group| {
            for _ in 0..4 {
                let (inside, turns) = (&inside, &turns);
                drop(concurrently(group, move |io| {
                    let file = opened(io, folder);
                    for _ in 0..10 {
                        file.lock(io).expect("in the end");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        io.yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        turns.fetch_add(1, Ordering::Relaxed);
                        file.unlock(io).expect("let go");
                    }
                }));
            }
        });
        assert_eq!(turns.into_inner(), 40);
    });
}

/// An `Io` without a thread for locks.
struct Busy<'a>(&'a dyn Io);

impl Decorator for Busy<'_> {
    fn inner(&self) -> &dyn Io {
        self.0
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
        match operation {
            Operation::File(FileOperation::Lock { .. }) => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "no thread is free"))
            }
            operation => self.0.operate(operation),
        }
    }
}

fn what_fails_elsewhere_says_nothing_about_a_lock(on: &On) {
    in_folder(on, |io, folder| {
        let file = opened(io, folder);
        for result in [file.try_lock(&Busy(io)), file.try_lock_shared(&Busy(io))] {
            match result {
                Err(TryLockError::Error(error)) => assert_eq!(error.to_string(), "no thread is free"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(file.lock(&Busy(io)).expect_err("it does not wait").kind(), io::ErrorKind::WouldBlock);
        file.try_lock(io).expect("nobody has one");
    });
}
