//! Locks and channels.

mod barrier;
mod broadcast;
mod channels;
mod condvar;
mod futex;
mod locks;
mod mixed;
mod notify;
mod once;
mod permits;
mod queue;
mod reentrant;
mod rwlock;
mod watch;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] = &[
    barrier::CASES,
    broadcast::CASES,
    channels::CASES,
    condvar::CASES,
    futex::CASES,
    futex::PAIRS,
    locks::CASES,
    mixed::PAIRS,
    notify::CASES,
    once::CASES,
    permits::CASES,
    queue::CASES,
    reentrant::CASES,
    rwlock::CASES,
    watch::CASES,
];
