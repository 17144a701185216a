//! The cases: the behaviour of every `Io`, from plain threads and from tasks.

mod inline;
mod joins;
mod limits;
mod locals;
mod options;
mod tasks;
mod user_code;

mod batches;
mod completion_queues;
mod failures;
mod group_cancel;
mod groups;
mod join_sets;
mod try_groups;

mod cancel;
mod other_points;
mod points;
mod timeouts;
mod tokens;

mod attempts;
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
mod select;
mod select_races;
mod select_ready;
mod select_shapes;
mod select_sources;
mod select_told;
mod watch;

mod atomic_files;
mod connect;
mod copies;
mod dirs;
mod file_locks;
mod file_points;
mod files;
mod incoming;
mod metadata;
mod offload;
mod resolve;
mod sockets;
mod streams;
mod tcp;
mod udp;
mod unix;
mod unready;

mod basics;
mod clocks;
mod crowds;
mod natives;
mod turns;

mod processes;
mod signals;
mod stdio;

mod bridge;

mod decorators;
mod ends;
mod faults;
mod races;
mod races_of_files;
mod races_of_sockets;
mod races_of_waits;
mod shutdown;
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;

use crate::FileTarget;
use crate::case::Case;

/// All lists. A list that is missing here is dead code.
pub(crate) const LISTS: &[&[Case]] = &[
    inline::CASES,
    joins::CASES,
    limits::CASES,
    locals::CASES,
    options::CASES,
    tasks::CASES,
    user_code::CASES,
    batches::CASES,
    completion_queues::CASES,
    failures::CASES,
    group_cancel::CASES,
    groups::CASES,
    join_sets::CASES,
    try_groups::CASES,
    cancel::CASES,
    other_points::CASES,
    points::CASES,
    timeouts::CASES,
    tokens::CASES,
    attempts::CASES,
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
    select::CASES,
    select_races::CASES,
    select_ready::CASES,
    select_shapes::CASES,
    select_races::PAIRS,
    select_sources::CASES,
    select_sources::PAIRS,
    select_told::CASES,
    select_told::PAIRS,
    watch::CASES,
    atomic_files::CASES,
    connect::CASES,
    copies::CASES,
    dirs::CASES,
    file_locks::CASES,
    file_points::CASES,
    files::CASES,
    files::PAIRS,
    incoming::CASES,
    incoming::PAIRS,
    metadata::CASES,
    offload::CASES,
    resolve::CASES,
    sockets::CASES,
    streams::CASES,
    tcp::CASES,
    udp::CASES,
    unix::CASES,
    unready::CASES,
    basics::CASES,
    clocks::CASES,
    crowds::CASES,
    turns::CASES,
    natives::CASES,
    processes::CASES,
    processes::PAIRS,
    signals::CASES,
    signals::PAIRS,
    stdio::CASES,
    bridge::CASES,
    decorators::CASES,
    faults::CASES,
    races::CASES,
    races_of_files::CASES,
    races_of_sockets::CASES,
    races_of_waits::CASES,
    races::PAIRS,
    shutdown::CASES,
    upstream::CASES,
];

/// Runs the program of a case, and no cases, if this process is another one that a case has started.
pub(crate) fn other_process(subjects: &[Arc<dyn FileTarget>]) -> Option<ExitCode> {
    stdio::other_process(subjects)
}
