//! The programs: for each peer what its own documentation would have you write.

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
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::job::{Job, Way};
use crate::measure::Usage;

use crate::peer::Peer;
use crate::record::{Figures, figures};
pub(crate) use foreign::Foreign;

/// How many operations pass between two looks at the clock.
const CHUNK: u64 = 1000;
/// How often each task hands a closure over before all are joined.
const CALLS: u64 = 200;
/// How often each of two tasks yields before both are joined.
const YIELDS: u64 = 5_000;

/// The program of a peer that is not written in Rust, and thus not in this one.
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

/// The name of the file that is asked for.
fn asked_for(request: &[u8]) -> io::Result<&str> {
    let line = std::str::from_utf8(request).ok().and_then(|text| text.split_once("\r\n")).map(|(line, _)| line);
    line.and_then(|line| line.strip_prefix("GET /")?.strip_suffix(" HTTP/1.1"))
        .ok_or_else(|| io::Error::other("a request that is none"))
}

/// Makes the HTTP head of an answer that holds a file of `bytes` bytes.
fn answer_head(bytes: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")
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

fn not_offered(job: Job) -> io::Result<Figures> {
    Err(io::Error::other(format!("this peer has no program for {job:?}")))
}

/// How long the sleepers sleep, from nothing to the longest, in no particular order.
fn sleeps(sleepers: u32, longest_ms: f64) -> impl Iterator<Item = Duration> {
    (0..u64::from(sleepers)).map(move |index| {
        let place = (index * 7_919 % u64::from(sleepers)) as f64 / f64::from(sleepers);
        Duration::from_secs_f64(place * longest_ms / 1000.0)
    })
}

/// How much later than at its end a sleep that began at `begun` returned.
fn late(begun: Instant, sleep: Duration) -> Duration {
    begun.elapsed().saturating_sub(sleep)
}

/// The figures of `timers`, from what the process had used before, and how late each was.
fn timer_figures(before: Usage, late: impl IntoIterator<Item = Duration>) -> io::Result<Figures> {
    let cpu = Usage::of_process()?.since(before);
    let mut late_ns = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    late.into_iter().for_each(|late| late_ns.record(late.as_nanos() as u64).expect("it grows as needed"));
    Ok(figures([
        ("cpu_ms", cpu.total_us() / 1000.0),
        ("late_p50_us", late_ns.value_at_quantile(0.5) as f64 / 1000.0),
        ("late_p99_us", late_ns.value_at_quantile(0.99) as f64 / 1000.0),
    ]))
}

/// The figures of `memory`, from the bytes before and with all tasks.
fn memory_figures(fibers: u32, before: f64, with_all: f64) -> Figures {
    figures([("alive", fibers.into()), ("bytes_per_task", (with_all - before) / f64::from(fibers))])
}

/// The figures of `offload`.
fn offload_figures(in_flight: u32, ns_per_operation: f64) -> Figures {
    figures([("in_flight", in_flight.into()), ("ns_per_operation", ns_per_operation)])
}
