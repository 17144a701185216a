//! The other side of `stream`: plain threads that send while the server receives, and the other way round, as fast as
//! they can.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::Way;

/// The size of a piece in bytes, which costs this side less than the server.
const PIECE_BYTES: usize = 256 << 10;
/// The interval of checks for the first byte.
const LOOK: Duration = Duration::from_millis(1);

/// The number of bytes that were moved, and the time and CPU time that they took.
#[derive(Debug)]
pub(crate) struct Streamed<T> {
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// The server's own answers at the beginning and at the end of the measured time.
    pub(crate) asked: [T; 2],
}

/// Keeps all connections to the server at `address` busy for a while, after a warm-up of a tenth of it. The warm-up is
/// longer if nothing was moved until then.
pub(crate) fn load<T>(
    address: SocketAddr,
    connections: u32,
    way: Way,
    seconds: f64,
    mut ask: impl FnMut() -> io::Result<T>,
) -> io::Result<Streamed<T>> {
    let streams = (0..connections).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
    let moved = AtomicU64::new(0);
    thread::scope(|scope| {
        // The threads end with their connections.
        let _end = ShutDown(&streams);
        for stream in &streams {
            let moved = &moved;
            thread::Builder::new().spawn_scoped(scope, move || pump(stream, way, moved))?;
        }
        let duration = Duration::from_secs_f64(seconds);
        thread::sleep(duration / 10);
        let (begun, first, before) = (Instant::now(), ask()?, moved.load(Relaxed));
        thread::sleep(duration);
        while moved.load(Relaxed) == before {
            thread::sleep(LOOK);
        }
        let (bytes, elapsed) = (moved.load(Relaxed) - before, begun.elapsed());
        Ok(Streamed { bytes, elapsed, asked: [first, ask()?] })
    })
}

struct ShutDown<'a>(&'a [TcpStream]);

impl Drop for ShutDown<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
    }
}

/// Does the opposite of the server, until the connection ends.
fn pump(mut stream: &TcpStream, way: Way, moved: &AtomicU64) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match way {
            Way::Receive => stream.write(&piece),
            Way::Send => stream.read(&mut piece),
        };
        match count {
            Ok(0) | Err(_) => return,
            Ok(count) => _ = moved.fetch_add(count as u64, Relaxed),
        }
    }
}
