//! The conformance suite: what every `Io` does, written once against `&dyn Io` and run on every
//! backend, from plain threads and from tasks.
//!
//! A backend of one's own proves itself with it: make it known to `support`, and run.

#[path = "../support/mod.rs"]
mod support;

mod inline;
mod joins;
mod limits;
mod locals;
mod options;
mod tasks;

mod batches;
mod completion_queues;
mod group_cancel;
mod groups;
mod selects;
mod try_groups;

mod cancel;
mod other_points;
mod points;
mod timeouts;

mod barrier;
mod broadcast;
mod channels;
mod condvar;
mod locks;
mod mixed;
mod notify;
mod once;
mod queue;
mod reentrant;
mod rwlock;
mod wait_any;
mod wait_any_sources;
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

mod basics;
mod clocks;
mod crowds;
mod natives;

mod processes;
mod signals;
mod stdio;

mod bridge;

mod decorators;
mod faults;
mod races;
mod shutdown;
mod upstream;
