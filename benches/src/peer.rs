//! The peers, and the questions for which each of them has a program.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// A loop on the `io-uring` crate, without a runtime: the limit.
    RawUring,
    /// The same loop, whose receives wait for their turn even if the bytes have arrived: the limit of fairness.
    RawUringPollFirst,
    /// A loop on epoll, without a runtime: the limit of readiness.
    RawEpoll,
    /// iolite on fibers, with one executor.
    IoliteEvented,
    /// iolite on fibers, with two executors on two cores.
    #[value(name = "iolite-evented-2")]
    #[serde(rename = "iolite-evented-2")]
    IoliteEvented2,
    /// iolite on fibers, which receive into buffers of a pool as bytes arrive.
    IoliteEventedMultishot,
    /// iolite on threads.
    IoliteThreaded,
    /// tokio on the current thread.
    Tokio,
    /// tokio with two workers on two cores.
    #[value(name = "tokio-2")]
    #[serde(rename = "tokio-2")]
    Tokio2,
    /// monoio on io_uring.
    Monoio,
    /// compio on io_uring.
    Compio,
    /// glommio on io_uring.
    Glommio,
    /// may, coroutines with stacks on epoll.
    May,
    /// smol with an executor of one thread.
    Smol,
    /// tokio-uring.
    TokioUring,
    /// Threads of the standard library.
    Threads,
    /// Go's goroutines.
    Go,
    /// Zig's `std.Io.Threaded`.
    Zig,
    /// nginx, the server of files.
    Nginx,
    /// haproxy, the proxy.
    Haproxy,
}

use Peer::{
    Compio, Glommio, Go, Haproxy, IoliteEvented, IoliteEvented2, IoliteEventedMultishot, IoliteThreaded, May, Monoio,
    Nginx, RawEpoll, RawUring, RawUringPollFirst, Smol, Threads, Tokio, Tokio2, TokioUring, Zig,
};

/// The peers with an echo server.
pub(crate) const ECHO: &[Peer] = &[
    RawUring,
    RawUringPollFirst,
    RawEpoll,
    IoliteEvented,
    IoliteEvented2,
    IoliteEventedMultishot,
    IoliteThreaded,
    Tokio,
    Tokio2,
    Monoio,
    Compio,
    Glommio,
    May,
    Smol,
    TokioUring,
    Threads,
    Go,
    Zig,
];
/// The peers that stream.
pub(crate) const STREAM: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio, Threads];
/// The peers with tasks, yields and channels.
pub(crate) const TASKS: &[Peer] =
    &[IoliteEvented, IoliteThreaded, Tokio, Tokio2, Monoio, Compio, Glommio, May, Smol, Threads, Go, Zig];
/// The peers that can have 100,000 tasks at once.
pub(crate) const MANY: &[Peer] = &[IoliteEvented, Tokio, Monoio, Compio, Glommio, Smol, Go];
/// The peers with a pool of blocking threads.
pub(crate) const OFFLOAD: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio, Monoio, Compio, Glommio, Smol];
/// The peers that read files.
pub(crate) const FILES: &[Peer] =
    &[RawUring, IoliteEvented, IoliteThreaded, Tokio, Monoio, Compio, Glommio, TokioUring, Threads];

/// The peers that serve files.
pub(crate) const SERVE: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio, Threads, Nginx];
/// The peers that are proxies.
pub(crate) const PROXY: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio, Threads, Haproxy];
/// The peers that perform other file operations than reads.
pub(crate) const NAMES: &[Peer] = &[IoliteEvented, IoliteThreaded, Tokio, Threads];

impl Peer {
    /// Returns the number of cores that the peer's process may use.
    pub(crate) fn cores(self) -> usize {
        match self {
            IoliteEvented2 | Tokio2 => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no peer is hidden");
        f.write_str(value.get_name())
    }
}
