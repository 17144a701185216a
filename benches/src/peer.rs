//! The peers, and which of them have a program for which question.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// A loop on the `io-uring` crate, without a runtime: the limit.
    RawUring,
    /// A loop on epoll, without a runtime: the limit of readiness.
    RawEpoll,
    /// iolite on fibers, with one executor.
    IoliteEvented,
    /// iolite on threads.
    IoliteThreaded,
    /// tokio on the current thread.
    Tokio,
    /// monoio on io_uring.
    Monoio,
    /// Threads of the standard library.
    Threads,
}

use Peer::{IoliteEvented, IoliteThreaded, Monoio, RawEpoll, RawUring, Threads, Tokio};

/// Those with an echo server.
pub(crate) const ECHO: &[Peer] = &[RawUring, RawEpoll, IoliteEvented, IoliteThreaded, Tokio, Monoio, Threads];
/// Those with tasks, yields and channels.
pub(crate) const TASKS: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio, Monoio, Threads];
/// Those that can have 100,000 tasks at once.
pub(crate) const MANY: &[Peer] = &[IoliteEvented, Tokio, Monoio];
/// Those with a pool of blocking threads.
pub(crate) const OFFLOAD: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio];

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no peer is hidden");
        f.write_str(value.get_name())
    }
}
