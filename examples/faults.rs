//! Tests a protocol against many kinds of faults. Records go to a server that stores each of them once, with a thousand
//! seeds of `Faulty`, and a ledger is checked at the end of each.
//!
//! The client numbers its records. The server says at first which record it expects, and again after each record that
//! it has stored. If anything fails, the client connects again and continues from there.
//!
//! ```text
//! cargo run --example faults             # a thousand seeds
//! cargo run --example faults -- 42       # the one that failed, again
//! ```

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iolite::net::{TcpListener, TcpStream, option};
use iolite::testing::{Faults, Faulty};
use iolite::{Config, Io};

const RECORDS: u32 = 30;

fn main() -> ExitCode {
    let seeds = match env::args().nth(1) {
        None => 0..1_000,
        Some(seed) => {
            let seed = seed.parse().expect("a seed is a number");
            seed..seed + 1
        }
    };
    iolite::main(Config::from_env(), |io| {
        let faults = try_seeds(io, seeds)?;
        println!("{faults} things went wrong, and each record was stored once, on {}", io.backend());
        io::Result::Ok(())
    })
}

/// Sends all records with each seed. Returns the number of faults.
///
/// # Panics
///
/// If a record was lost or stored twice; the message names the seed.
fn try_seeds(io: &dyn Io, seeds: Range<u64>) -> io::Result<usize> {
    let faults =
        Faults::new().errors(0.02).short_counts(0.3).delays(0.02, Duration::from_micros(100)).cancellations(0.02);
    let mut count = 0;
    for seed in seeds {
        let faulty = Faulty::new(io.handle().expect("a runtime's Io can be kept"), seed, faults.clone());
        let stored = deliver(io, &*faulty)?;
        assert!(stored.iter().copied().eq(0..RECORDS), "seed {seed}: {stored:?}");
        let injected = faulty.injected();
        count += injected.errors + injected.short_counts + injected.delays + injected.cancellations;
    }
    Ok(count)
}

/// Returns the records that the server has stored when the client has sent all of them. Both work through `faulty`;
/// `io` only connects the two.
fn deliver(io: &dyn Io, faulty: &dyn Io) -> io::Result<Vec<u32>> {
    let listener = TcpListener::bind(io, "127.0.0.1:0")?;
    let address = listener.local_addr(io)?;
    let finished = AtomicBool::new(false);
    io.group(|group| {
        let server = group.spawn_concurrent(|_| serve(faulty, &listener, &finished))?;
        group.spawn_concurrent(|_| send_all(faulty, address))?.join(io);
        finished.store(true, Ordering::Relaxed);
        // The server may be waiting for a connection.
        drop(TcpStream::connect(io, address)?);
        Ok(server.join(io))
    })
}

/// Stores the records of one connection after another, until the client has finished.
fn serve(io: &dyn Io, listener: &TcpListener, finished: &AtomicBool) -> Vec<u32> {
    let mut stored = Vec::new();
    while !finished.load(Ordering::Relaxed) {
        // Any error is ignored, even a request to stop: the client comes again.
        let _ = listener.accept(io).and_then(|(stream, _)| store(io, &stream, &mut stored));
    }
    stored
}

/// Announces the expected record and receives it, until the client hangs up.
fn store(io: &dyn Io, stream: &TcpStream, stored: &mut Vec<u32>) -> io::Result<()> {
    // If a message is sent in parts, the second part must not wait until the first one is acknowledged.
    stream.set_option(io, option::NO_DELAY, true)?;
    loop {
        stream.write_all(io, &(stored.len() as u32).to_be_bytes())?;
        stored.push(read_number(io, stream)?);
    }
}

/// Sends the records, over as many connections as needed.
fn send_all(io: &dyn Io, address: SocketAddr) {
    while TcpStream::connect(io, address).and_then(|stream| send(io, &stream)).is_err() {}
}

/// Sends each record that the server expects.
fn send(io: &dyn Io, stream: &TcpStream) -> io::Result<()> {
    stream.set_option(io, option::NO_DELAY, true)?;
    loop {
        match read_number(io, stream)? {
            RECORDS => return Ok(()),
            next => stream.write_all(io, &next.to_be_bytes())?,
        }
    }
}

fn read_number(io: &dyn Io, stream: &TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(io, &mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod test {
    use iolite::BackendChoice;

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let faults = iolite::run(Config::new().backend(backend), |io| try_seeds(io, 0..200)).unwrap().unwrap();
            assert!(faults > 2_000, "{faults}");
        }
    }
}
