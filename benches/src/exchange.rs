//! The other sides of `serve` and `proxy`: plain threads that send requests, and the server behind the proxy that
//! answers them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// The size of each thread's stack: it has few frames.
const STACK_BYTES: usize = 64 << 10;
/// The size of a piece in bytes, which costs this side less than the server.
const PIECE_BYTES: usize = 256 << 10;
/// The interval of checks for the first answer.
const LOOK: Duration = Duration::from_millis(1);
/// The size of a request to the proxy in bytes.
pub(crate) const REQUEST_BYTES: usize = 16;

/// The number of requests that were answered, and the time that they took.
#[derive(Debug)]
pub(crate) struct Exchanged<T> {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// The server's own answers at the beginning and at the end of the measured time.
    pub(crate) asked: [T; 2],
}

/// The way in which a client finds the end of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// An answer has this number of bytes.
    Bytes(usize),
    /// The HTTP head of the first answer gives the length, which all later answers share.
    Http,
}

/// Keeps a request under way on each connection for a while, after a warm-up of a tenth of it. The warm-up is longer if
/// nothing was answered until then.
pub(crate) fn load<T>(
    address: SocketAddr,
    connections: u32,
    request: &[u8],
    answer: Answer,
    seconds: f64,
    mut ask: impl FnMut() -> io::Result<T>,
) -> io::Result<Exchanged<T>> {
    let streams = (0..connections).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
    let answered = AtomicU64::new(0);
    let (has_ended, failed) = (AtomicU64::new(0), Mutex::new(None));
    thread::scope(|scope| {
        // The threads end with their connections.
        let end = ShutDown { streams: &streams, has_ended: &has_ended };
        for stream in &streams {
            let (answered, has_ended, failed) = (&answered, &has_ended, &failed);
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || {
                if let Err(error) = exchange(stream, request, answer, answered)
                    && has_ended.load(Relaxed) == 0
                {
                    *failed.lock().expect("nobody panics") = Some(error);
                }
            })?;
        }
        let duration = Duration::from_secs_f64(seconds);
        let check = || failed.lock().expect("nobody panics").take().map_or(Ok(()), Err);
        thread::sleep(duration / 10);
        let (begun, first, before) = (Instant::now(), ask()?, answered.load(Relaxed));
        thread::sleep(duration);
        while answered.load(Relaxed) == before {
            check()?;
            thread::sleep(LOOK);
        }
        let (requests, elapsed) = (answered.load(Relaxed) - before, begun.elapsed());
        let asked = [first, ask()?];
        check()?;
        drop(end);
        Ok(Exchanged { requests, elapsed, asked })
    })
}

struct ShutDown<'a> {
    streams: &'a [TcpStream],
    has_ended: &'a AtomicU64,
}

impl Drop for ShutDown<'_> {
    fn drop(&mut self) {
        self.has_ended.store(1, Relaxed);
        self.streams.iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
    }
}

fn exchange(mut stream: &TcpStream, request: &[u8], answer: Answer, answered: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = match answer {
        Answer::Bytes(bytes) => Some(bytes),
        Answer::Http => None,
    };
    loop {
        stream.write_all(request)?;
        let mut received = 0;
        while length.is_none_or(|length| received < length) {
            // The first answer is read whole, because its head has to be found.
            let place = if length.is_none() { received } else { 0 };
            if place == piece.len() {
                piece.resize(2 * place, 0);
            }
            match stream.read(&mut piece[place..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => received += count,
            }
            if length.is_none() {
                length = http_length(&piece[..received])?;
            }
        }
        if length != Some(received) {
            return Err(io::Error::other(format!("an answer of {received} bytes instead of {length:?}")));
        }
        answered.fetch_add(1, Relaxed);
    }
}

/// Returns the length of an answer with its head, or `None` if the head has not arrived completely.
fn http_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    const LENGTH: &str = "content-length:";
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let body = head.lines().find_map(|line| line.strip_prefix(LENGTH)?.trim().parse::<usize>().ok());
    match body {
        Some(body) if head.starts_with("http/1.1 200 ") => Ok(Some(end + 4 + body)),
        _ => Err(io::Error::other(format!("the answer begins with {head}"))),
    }
}

/// Answers each request on each connection with this number of bytes, until the process ends. Returns the address.
pub(crate) fn answer(bytes: usize) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::Builder::new().spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = move || {
                // An error ends the connection.
                let _ = answer_requests(&stream, bytes);
            };
            if thread::Builder::new().stack_size(STACK_BYTES).spawn(serve).is_err() {
                return;
            }
        }
    })?;
    Ok(address)
}

fn answer_requests(mut stream: &TcpStream, bytes: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut request, answer) = ([0; REQUEST_BYTES], vec![0xA5; bytes]);
    loop {
        stream.read_exact(&mut request)?;
        stream.write_all(&answer)?;
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let address = answer(100_000).unwrap();
        let answer = Answer::Bytes(100_000);
        let exchanged = load(address, 2, &[0; REQUEST_BYTES], answer, 0.02, || Ok(())).unwrap();
        assert!(exchanged.requests > 0);
    }

    #[test]
    fn a_wrong_answer_is_found() {
        let address = answer(100).unwrap();
        let error = load(address, 1, &[0; REQUEST_BYTES], Answer::Bytes(99), 0.02, || Ok(())).unwrap_err();
        assert!(error.to_string().contains("an answer of 100 bytes"), "{error}");
    }

    #[test]
    fn the_head_tells_the_length() {
        assert_eq!(http_length(b"HTTP/1.1 200 OK\r\ncontent-Length: 5\r\n\r\nhe").unwrap(), Some(43));
        assert_eq!(http_length(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert!(http_length(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
