//! The programs of the peers, each written as the peer's own documentation recommends.

mod common;
mod compio;
mod foreign;
mod glommio;
pub(crate) mod installed;
mod iolite;
mod local;
mod may;
mod monoio;
pub(crate) mod names;
mod raw_epoll;
mod raw_uring;
pub(crate) mod reads;
mod smol;
mod threads;
mod tokio;
mod tokio_uring;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::job::{Job, Way};
use crate::peer::Peer;
use crate::record::Figures;
use common::not_offered;
pub(crate) use foreign::Foreign;

/// Returns the program of a peer that is not written in Rust, and is therefore not part of this one.
pub(crate) fn foreign(peer: Peer) -> Option<&'static Foreign> {
    match peer {
        Peer::Go => Some(&foreign::GO),
        Peer::Zig => Some(&foreign::ZIG),
        _ => None,
    }
}

/// Serves echoes on loopback until the process is ended.
pub(crate) fn serve(peer: Peer, buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    match peer {
        Peer::RawUring => raw_uring::serve(buffer_bytes, ready),
        Peer::RawUringPollFirst => raw_uring::serve_poll_first(buffer_bytes, ready),
        Peer::RawEpoll => raw_epoll::serve(buffer_bytes, ready),
        Peer::IoliteEvented => iolite::EVENTED.serve(buffer_bytes, ready),
        Peer::IoliteEvented2 => iolite::EVENTED_2.serve(buffer_bytes, ready),
        Peer::IoliteEventedMultishot => iolite::EVENTED.serve_multishot(buffer_bytes, ready),
        Peer::IoliteThreaded => iolite::THREADED.serve(buffer_bytes, ready),
        Peer::Tokio => tokio::CURRENT_THREAD.serve(buffer_bytes, ready),
        Peer::Tokio2 => tokio::TWO_WORKERS.serve(buffer_bytes, ready),
        Peer::Monoio => monoio::serve(buffer_bytes, ready),
        Peer::Compio => compio::serve(buffer_bytes, ready),
        Peer::Glommio => glommio::serve(buffer_bytes, ready),
        Peer::May => may::serve(buffer_bytes, ready),
        Peer::Smol => smol::serve(buffer_bytes, ready),
        Peer::TokioUring => tokio_uring::serve(buffer_bytes, ready),
        Peer::Threads => threads::serve(buffer_bytes, ready),
        Peer::Go | Peer::Zig | Peer::Nginx | Peer::Haproxy => unreachable!("its own program serves"),
    }
}

/// Receives on loopback, or sends, until the process is ended.
pub(crate) fn serve_stream(peer: Peer, piece_bytes: usize, way: Way, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    match peer {
        Peer::IoliteEvented => iolite::EVENTED.serve_stream(piece_bytes, way, ready),
        Peer::IoliteThreaded => iolite::THREADED.serve_stream(piece_bytes, way, ready),
        Peer::Tokio => tokio::CURRENT_THREAD.serve_stream(piece_bytes, way, ready),
        Peer::Threads => threads::serve_stream(piece_bytes, way, ready),
        _ => not_offered(Job::Stream { piece_bytes, way }).map(drop),
    }
}

/// Serves the files of a folder on loopback until the process is ended.
pub(crate) fn serve_files(peer: Peer, folder: PathBuf, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    match peer {
        Peer::IoliteEvented => iolite::EVENTED.serve_files(&folder, ready),
        Peer::IoliteThreaded => iolite::THREADED.serve_files(&folder, ready),
        Peer::Tokio => tokio::CURRENT_THREAD.serve_files(folder, ready),
        Peer::Threads => threads::serve_files(folder, ready),
        _ => not_offered(Job::Serve { folder }).map(drop),
    }
}

/// Passes connections on from loopback to `origin` until the process is ended.
pub(crate) fn proxy(peer: Peer, origin: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    match peer {
        Peer::IoliteEvented => iolite::EVENTED.proxy(origin, ready),
        Peer::IoliteThreaded => iolite::THREADED.proxy(origin, ready),
        Peer::Tokio => tokio::CURRENT_THREAD.proxy(origin, ready),
        Peer::Threads => threads::proxy(origin, ready),
        _ => not_offered(Job::Proxy { origin }).map(drop),
    }
}

/// Runs any other job.
pub(crate) fn measure(peer: Peer, job: Job) -> io::Result<Figures> {
    match (peer, job) {
        (Peer::RawUring, Job::Files(files)) => raw_uring::files(&files),
        (Peer::Monoio, Job::Files(files)) => monoio::files(files),
        (Peer::Compio, Job::Files(files)) => compio::files(files),
        (Peer::Glommio, Job::Files(files)) => glommio::files(files),
        (Peer::TokioUring, Job::Files(files)) => tokio_uring::files(files),
        (Peer::IoliteEvented, job) => iolite::EVENTED.measure(job),
        (Peer::IoliteEvented2, job) => iolite::EVENTED_2.measure(job),
        (Peer::IoliteThreaded, job) => iolite::THREADED.measure(job),
        (Peer::Tokio, job) => tokio::CURRENT_THREAD.measure(job),
        (Peer::Tokio2, job) => tokio::TWO_WORKERS.measure(job),
        (Peer::Monoio, job) => local::measure::<monoio::Monoio>(job),
        (Peer::Compio, job) => local::measure::<compio::Compio>(job),
        (Peer::Glommio, job) => local::measure::<glommio::Glommio>(job),
        (Peer::Smol, job) => local::measure::<smol::Smol>(job),
        (Peer::TokioUring, job) => local::measure::<tokio_uring::TokioUring>(job),
        (Peer::May, job) => may::measure(job),
        (Peer::Threads, job) => threads::measure(job),
        (Peer::RawUring | Peer::RawUringPollFirst | Peer::RawEpoll | Peer::IoliteEventedMultishot, job) => {
            not_offered(job)
        }
        (Peer::Nginx | Peer::Haproxy, job) => not_offered(job),
        (Peer::Go | Peer::Zig, _) => unreachable!("its own program measures"),
    }
}
