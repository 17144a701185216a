//! The load: a bare ring that keeps one request under way on each connection and checks every echo.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::measure::Usage;
use crate::raw::{Buffer, Completion, Ring};

/// The result of the generator.
#[derive(Debug)]
pub(crate) struct Load<T> {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// The server's own answers at the beginning and at the end of the measured time.
    pub(crate) asked: [T; 2],
    /// The CPU time of the generator itself in the meantime.
    pub(crate) generator: Usage,
    pub(crate) latency_ns: Histogram<u64>,
    /// The smallest number of requests of a connection, divided by the mean.
    pub(crate) fairness: f64,
}

/// A connection and the request under way on it.
struct Connection {
    stream: OwnedFd,
    outgoing: Buffer,
    incoming: Buffer,
    /// The number of operations of a request, send and receive, that have not ended.
    pending: u32,
    sent_at: Instant,
    /// The number of the request, which is part of the request.
    number: u64,
    /// The number of requests that ended within the measured time.
    counted: u64,
}

/// Loads the server at `address` for a while, after a warm-up of a tenth of it. The warm-up is longer if nothing came
/// back until then, because a time without a request has no figures. Calls `ask` at the beginning and at the end of the
/// measured time.
pub(crate) fn load<T>(
    address: SocketAddr,
    connections: u32,
    bytes: usize,
    seconds: f64,
    mut ask: impl FnMut() -> io::Result<T>,
) -> io::Result<Load<T>> {
    let mut ring = Ring::new()?;
    let mut all = connect(&mut ring, address, connections, bytes)?;
    let mut latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;

    let duration = Duration::from_secs_f64(seconds);
    let warm = Instant::now() + duration / 10;
    let mut begun: Option<(Instant, T, Usage)> = None;
    for connection in &mut all {
        request(&mut ring, connection)?;
    }
    let mut completions = Vec::new();
    let (begun, first, generator) = loop {
        ring.wait(&mut completions)?;
        for completion in completions.drain(..) {
            let connection = &mut all[ended(&completion, bytes)?];
            connection.pending -= 1;
            if connection.pending > 0 {
                continue;
            }
            check(&mut ring, connection)?;
            if begun.is_some() {
                latency_ns.saturating_record(connection.sent_at.elapsed().as_nanos() as u64);
                connection.counted += 1;
            }
            request(&mut ring, connection)?;
        }
        let now = Instant::now();
        match begun.take() {
            None if now >= warm => begun = Some((Instant::now(), ask()?, Usage::of_thread()?)),
            Some(begun) if now - begun.0 >= duration && !latency_ns.is_empty() => break begun,
            unchanged => begun = unchanged,
        }
    };
    let elapsed = begun.elapsed();
    let requests = all.iter().map(|connection| connection.counted).sum();
    let smallest = all.iter().map(|connection| connection.counted).min().unwrap_or(0);
    Ok(Load {
        requests,
        elapsed,
        asked: [first, ask()?],
        generator: Usage::of_thread()?.since(generator),
        latency_ns,
        fairness: smallest as f64 * f64::from(connections) / (requests as f64).max(1.0),
    })
}

fn connect(ring: &mut Ring, address: SocketAddr, connections: u32, bytes: usize) -> io::Result<Vec<Connection>> {
    (0..connections)
        .map(|index| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            // In this order, the number of a buffer tells its connection: see `ended`.
            let (outgoing, incoming) = (ring.buffer(bytes), ring.buffer(bytes));
            for (place, byte) in ring.memory(outgoing).iter_mut().enumerate() {
                *byte = (place as u32 ^ index) as u8;
            }
            let sent_at = Instant::now();
            Ok(Connection { stream: stream.into(), outgoing, incoming, pending: 0, sent_at, number: 0, counted: 0 })
        })
        .collect()
}

/// Queues a request and the receive of its echo.
fn request(ring: &mut Ring, connection: &mut Connection) -> io::Result<()> {
    connection.number += 1;
    let number = connection.number.to_le_bytes();
    let outgoing = ring.memory(connection.outgoing);
    let bytes = outgoing.len();
    let numbered = bytes.min(number.len());
    outgoing[..numbered].copy_from_slice(&number[..numbered]);
    connection.pending = 2;
    connection.sent_at = Instant::now();
    ring.send(&connection.stream, connection.outgoing, bytes)?;
    ring.receive(&connection.stream, connection.incoming, true)
}

/// Returns the connection whose operation has ended with all of its bytes.
fn ended(completion: &Completion, bytes: usize) -> io::Result<usize> {
    match completion {
        Completion::Received(buffer, Ok(count)) | Completion::Sent(buffer, Ok(count)) if *count == bytes => {
            Ok(buffer.index() / 2)
        }
        other => Err(io::Error::other(format!("the server does not echo: {other:?} instead of {bytes} bytes"))),
    }
}

fn check(ring: &mut Ring, connection: &Connection) -> io::Result<()> {
    if ring.same(connection.outgoing, connection.incoming) {
        return Ok(());
    }
    Err(io::Error::other(format!("request {} came back as something else", connection.number)))
}

#[cfg(test)]
mod test {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::OnceLock;
    use std::thread;

    use super::*;

    /// Loads a server that changes each echo with `change`, with one request at a time.
    fn load_one(change: impl Fn(&mut [u8; 64]) + Send + 'static) -> io::Result<Load<()>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 64];
            while stream.read_exact(&mut buffer).is_ok() {
                change(&mut buffer);
                if stream.write_all(&buffer).is_err() {
                    break;
                }
            }
        });
        let load = load(address, 1, 64, 0.02, || Ok(()));
        server.join().unwrap();
        load
    }

    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn echoes_are_counted() {
        let load = load_one(|_| {}).unwrap();
        assert!(load.requests > 0);
        assert_eq!(load.latency_ns.len(), load.requests);
        assert_eq!(load.fairness, 1.0);
    }

    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn an_old_echo_is_found() {
        let first = OnceLock::new();
        let error = load_one(move |echo| *echo = *first.get_or_init(|| *echo)).unwrap_err();
        assert!(error.to_string().contains("request 2 came back as something else"), "{error}");
    }

    #[test]
    #[ignore = "needs io_uring; `--include-ignored` runs it"]
    fn a_wrong_echo_is_found() {
        let error = load_one(|echo| echo[63] ^= 1).unwrap_err();
        assert!(error.to_string().contains("request 1 came back as something else"), "{error}");
    }
}
