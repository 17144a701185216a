//! A server of static files: HTTP/1.1 with keep-alive, whose bodies the kernel copies where that pays.
//!
//! ```text
//! cargo run --example static_files -- docs 127.0.0.1:8080   # the folder, and where to listen
//! ```
//!
//! The folder is what clients see: of the paths they ask for, those that lead out of it are refused.

#![forbid(unsafe_code)]

use std::env;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use iolite::fs::File;
use iolite::net::{TcpListener, TcpStream};
use iolite::{Config, Io};

/// How long a client may take over one request, and over taking in one answer.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| ".".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    iolite::main(Config::from_env(), |io| {
        let listener = TcpListener::bind(io, address)?;
        println!("{} serves {folder} on {}", io.backend(), listener.local_addr(io)?);
        serve(io, &listener, folder.as_ref())
    })
}

fn serve(io: &dyn Io, listener: &TcpListener, folder: &Path) -> io::Result<()> {
    io.group(|group| {
        loop {
            let (stream, peer) = listener.accept(io)?;
            group.spawn_waiting(io, move |io| {
                if let Err(error) = converse(io, &stream, folder) {
                    eprintln!("{peer}: {error}");
                }
            })?;
        }
    })
}

/// Answers one request after the other, until the client has no more.
fn converse(io: &dyn Io, stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut input = Vec::new();
    while let Some(head) = io.timeout(PATIENCE, |io| next_head(io, stream, &mut input))? {
        let request = Request::parse(&head);
        let keep_alive = request.as_ref().is_ok_and(|request| request.keep_alive);
        io.timeout(PATIENCE, |io| match request.and_then(|request| Found::look(io, folder, request)) {
            Ok(found) => found.send(io, stream),
            Err(status) => send_status(io, stream, status),
        })?;
        if !keep_alive {
            break;
        }
    }
    Ok(())
}

/// Takes the next request's head out of `input` and what follows it; `None` when the client has finished.
fn next_head(io: &dyn Io, stream: &TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    const END: &[u8] = b"\r\n\r\n";
    const HEAD_BYTES_MAX: usize = 8192;
    loop {
        if let Some(end) = input.windows(END.len()).position(|bytes| bytes == END) {
            let rest = input.split_off(end + END.len());
            return Ok(Some(std::mem::replace(input, rest)));
        }
        if input.len() > HEAD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of a request is too long"));
        }
        let mut buffer = [0; 2048];
        match stream.read(io, &mut buffer)? {
            0 if input.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(&buffer[..count]),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    BadRequest,
    NotFound,
    NotAllowed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed",
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// Relative to the folder, and within it.
    path: PathBuf,
    keep_alive: bool,
}

impl Request {
    fn parse(head: &[u8]) -> Result<Self, Status> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).map_err(|_| Status::BadRequest)?;
        if request.method != Some("GET") {
            return Err(Status::NotAllowed);
        }
        let path = request.path.and_then(|path| path.strip_prefix('/')).ok_or(Status::BadRequest)?;
        let path = Path::new(path.split('?').next().unwrap_or_default());
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Status::NotFound);
        }
        let closes = request.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close")
        });
        Ok(Self { path: path.to_owned(), keep_alive: !closes && request.version == Some(1) })
    }
}

/// A file to be sent.
struct Found {
    file: File,
    bytes: u64,
}

impl Found {
    fn look(io: &dyn Io, folder: &Path, request: Request) -> Result<Self, Status> {
        // A folder opens too, and has a length; it cannot be read.
        let file = File::open(io, folder.join(request.path)).map_err(|_| Status::NotFound)?;
        let bytes = file.len(io).map_err(|_| Status::NotFound)?;
        file.read_at(io, &mut [0], 0).map_err(|_| Status::NotFound)?;
        Ok(Self { file, bytes })
    }

    fn send(&self, io: &dyn Io, stream: &TcpStream) -> io::Result<()> {
        stream.write_all(io, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", self.bytes).as_bytes())?;
        let sent = stream.send_file(io, &self.file, 0..self.bytes)?;
        // Whoever waits for the rest must not take the next answer for it.
        if sent < self.bytes { Err(io::Error::other("the file was cut while it was sent")) } else { Ok(()) }
    }
}

fn send_status(io: &dyn Io, stream: &TcpStream, status: Status) -> io::Result<()> {
    stream.write_all(io, format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
}

#[cfg(test)]
mod test {
    use std::fs;
    use std::io::Read;
    use std::net::Shutdown;

    use iolite::{BackendChoice, Canceled};

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            iolite::run(Config::new().backend(backend).concurrent_limit(8), one_visit).unwrap().unwrap();
        }
    }

    /// Two files and a missing one over one connection.
    fn one_visit(io: &dyn Io) -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let large: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
        fs::write(folder.path().join("small"), "hello")?;
        fs::write(folder.path().join("large"), &large)?;
        let listener = TcpListener::bind(io, "127.0.0.1:0")?;
        let address = listener.local_addr(io)?;
        io.group(|group| {
            let server = group.spawn_concurrent(|io| serve(io, &listener, folder.path()))?;
            let client = TcpStream::connect(io, address)?;
            client.write_all(io, b"GET /small HTTP/1.1\r\n\r\nGET /missing HTTP/1.1\r\n\r\n")?;
            client.write_all(io, b"GET /large?x HTTP/1.1\r\nConnection: close\r\n\r\n")?;
            let mut received = Vec::new();
            client.with(io).read_to_end(&mut received)?;
            client.shutdown(io, Shutdown::Write)?;
            let expected = [
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".as_slice(),
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n",
                &large,
            ];
            assert!(received == expected.concat());
            let ended = server.cancel(io).expect_err("it serves until it is canceled");
            assert!(Canceled::is_in(&ended), "{ended}");
            Ok(())
        })
    }

    #[test]
    fn paths_stay_in_the_folder() {
        let parse = |path: &str| Request::parse(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
        assert_eq!(parse("/a/b?c=/../d").unwrap().path, Path::new("a/b"));
        for path in ["/..", "/a/../../b", "//etc/passwd", "/./a"] {
            assert_eq!(parse(path), Err(Status::NotFound), "{path}");
        }
        assert_eq!(parse("a"), Err(Status::BadRequest));
        assert_eq!(Request::parse(b"POST / HTTP/1.1\r\n\r\n"), Err(Status::NotAllowed));
    }
}
