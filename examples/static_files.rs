//! A server of static files: HTTP/1.1 with keep-alive, `HEAD` and ranges. The kernel copies the bodies where that pays.
//!
//! ```text
//! cargo run --example static_files -- docs 127.0.0.1:8080   # the folder, and where to listen
//! ```
//!
//! Clients see only the folder: a path that leads out of it, even through a link, is answered with 404. A folder is
//! answered with its `index.html`.
//!
//! A small file is sent together with the head of its answer, in one write. The kernel sends a larger file from its own
//! memory; with `TCP_CORK` it waits for the file before it sends a head that does not fill a packet.

#![forbid(unsafe_code)]

use std::env;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use iolite::fs::{Dir, File, OpenOptions};
use iolite::net::{TcpListener, TcpStream, option};
use iolite::{Canceled, Config, ErrorChain, Io};
use rustix::fs::OFlags;

/// The time limit for one request of a client, and for receiving one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The maximum size of a file that is sent together with the head of its answer.
const SMALL_BYTES: u64 = 16 << 10;
/// The file that answers a request for a folder.
const INDEX: &str = "index.html";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| ".".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    iolite::main(Config::from_env(), |io| {
        let listener = TcpListener::bind(io, address)?;
        println!("{} serves {folder} on {}", io.backend(), listener.local_addr(io)?);
        serve(io, &listener, &Dir::open(io, &folder)?)
    })
}

fn serve(io: &dyn Io, listener: &TcpListener, folder: &Dir) -> io::Result<()> {
    let mut incoming = listener.incoming(io);
    io.group(|group| {
        loop {
            match incoming.next(io) {
                Ok(stream) => drop(group.spawn_waiting(move |io| {
                    if let Err(error) = converse(io, &stream, folder) {
                        eprintln!("static_files: {}", ErrorChain::new(&error));
                    }
                })?),
                Err(error) if Canceled::is_in(&error) => return Err(error),
                // No descriptor is free, for example. The next connection comes after a pause.
                Err(error) => eprintln!("accept: {}", ErrorChain::new(&error)),
            }
        }
    })
}

/// Answers one request after another, until the client has no more.
fn converse(io: &dyn Io, stream: &TcpStream, folder: &Dir) -> io::Result<()> {
    let mut input = Vec::new();
    while let Some(head) = io.timeout(PATIENCE, |io| next_head(io, stream, &mut input))? {
        let request = Request::parse(&head);
        let keep_alive = request.as_ref().is_ok_and(|request| request.keep_alive);
        io.timeout(PATIENCE, |io| match request.and_then(|request| Found::look(io, folder, &request)) {
            Ok(found) => found.send(io, stream),
            Err(status) => stream.write_all(io, status.answer().as_bytes()),
        })?;
        if !keep_alive {
            break;
        }
    }
    Ok(())
}

/// Takes the next request's head out of `input`, which keeps the bytes after it. Returns `None` when the client has
/// finished.
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

/// The reason why there is no file in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// The path names a folder without a `/` at its end; this is the right path.
    Moved(String),
    BadRequest,
    NotFound,
    NotAllowed,
    /// The request asked for none of the file's bytes; this is their number.
    OutOfRange(u64),
}

impl Status {
    fn answer(&self) -> String {
        let more = match self {
            Self::Moved(place) => format!("Location: {place}\r\n"),
            Self::NotAllowed => "Allow: GET, HEAD\r\n".into(),
            Self::OutOfRange(bytes) => format!("Content-Range: bytes */{bytes}\r\n"),
            Self::BadRequest | Self::NotFound => String::new(),
        };
        format!("HTTP/1.1 {self}\r\n{more}Content-Length: 0\r\n\r\n")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Moved(_) => "301 Moved Permanently",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed",
            Self::OutOfRange(_) => "416 Range Not Satisfiable",
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// The path, relative to the folder.
    path: PathBuf,
    /// The target of the request, without the query.
    target: String,
    /// True if only the head of the answer is requested.
    head_only: bool,
    range: Option<Asked>,
    keep_alive: bool,
}

/// One requested range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// From the first byte to the last one, or to the end.
    From(u64, Option<u64>),
    /// This number of bytes at the end.
    Last(u64),
}

impl Request {
    fn parse(head: &[u8]) -> Result<Self, Status> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).map_err(|_| Status::BadRequest)?;
        let head_only = match request.method {
            Some("GET") => false,
            Some("HEAD") => true,
            _ => return Err(Status::NotAllowed),
        };
        let target = request.path.and_then(|path| path.split('?').next()).unwrap_or_default();
        let path = Path::new(target.strip_prefix('/').ok_or(Status::BadRequest)?);
        // `Dir` refuses paths that lead out. Paths that never name a file are not even looked up.
        if path.components().any(|part| matches!(part, Component::ParentDir | Component::RootDir)) {
            return Err(Status::NotFound);
        }
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        // It is not known here whether the file is still the one that the client means. Sending the whole file is
        // right, too.
        let range = header("range").filter(|_| header("if-range").is_none());
        Ok(Self {
            path: path.to_owned(),
            target: target.to_owned(),
            head_only,
            range: range.and_then(|value| Asked::parse(std::str::from_utf8(value).ok()?)),
            keep_alive: !closes && request.version == Some(1),
        })
    }
}

impl Asked {
    /// Several ranges at once, and all other forms, are ignored, which the standard allows.
    fn parse(value: &str) -> Option<Self> {
        match value.strip_prefix("bytes=")?.split_once('-')? {
            ("", count) => Some(Self::Last(count.parse().ok()?)),
            (first, "") => Some(Self::From(first.parse().ok()?, None)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// Returns the bytes of this range in a file of this size, if any.
    fn within(self, bytes: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first, last) => first..last.map_or(bytes, |last| last.saturating_add(1).min(bytes)),
            Self::Last(count) => bytes.saturating_sub(count)..bytes,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// A file to be sent.
struct Found {
    file: File,
    /// The size of the file in bytes.
    bytes: u64,
    /// The part to send, if not all of it.
    part: Option<Range<u64>>,
    head_only: bool,
}

impl Found {
    fn look(io: &dyn Io, folder: &Dir, request: &Request) -> Result<Self, Status> {
        let file = open(io, folder, &request.path)?;
        let metadata = file.metadata(io).map_err(|_| Status::NotFound)?;
        if !metadata.is_dir() {
            return Self::new(file, metadata, request);
        }
        if !request.target.ends_with('/') {
            return Err(Status::Moved(format!("{}/", request.target)));
        }
        let index = open(io, folder, &request.path.join(INDEX))?;
        let metadata = index.metadata(io).map_err(|_| Status::NotFound)?;
        Self::new(index, metadata, request)
    }

    fn new(file: File, metadata: iolite::fs::Metadata, request: &Request) -> Result<Self, Status> {
        // A pipe or a device has no length and no end.
        if !metadata.is_file() {
            return Err(Status::NotFound);
        }
        let bytes = metadata.len();
        let part = request.range.map(|asked| asked.within(bytes).ok_or(Status::OutOfRange(bytes))).transpose()?;
        Ok(Self { file, bytes, part, head_only: request.head_only })
    }

    fn head(&self, range: &Range<u64>) -> String {
        let bytes = range.end - range.start;
        let (status, part) = match self.part {
            None => ("200 OK", String::new()),
            Some(_) => {
                let (first, last, all) = (range.start, range.end - 1, self.bytes);
                ("206 Partial Content", format!("Content-Range: bytes {first}-{last}/{all}\r\n"))
            }
        };
        format!("HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\n{part}Content-Length: {bytes}\r\n\r\n")
    }

    fn send(&self, io: &dyn Io, stream: &TcpStream) -> io::Result<()> {
        let Range { start, end } = self.part.clone().unwrap_or(0..self.bytes);
        let mut first = self.head(&(start..end)).into_bytes();
        if self.head_only {
            return stream.write_all(io, &first);
        }
        let bytes = end - start;
        if bytes <= SMALL_BYTES {
            let head = first.len();
            first.resize(head + bytes as usize, 0);
            self.file.read_exact_at(io, &mut first[head..], start)?;
            return stream.write_all(io, &first);
        }
        stream.set_option(io, option::CORK, true)?;
        stream.write_all(io, &first)?;
        let sent = stream.send_file(io, &self.file, start..end)?;
        // A client that waits for the rest must not take the next answer for it.
        if sent < bytes {
            return Err(io::Error::other("the file was cut while it was sent"));
        }
        stream.set_option(io, option::CORK, false)
    }
}

/// Opens the file at the path within the folder. A pipe without a writer does not block.
fn open(io: &dyn Io, folder: &Dir, path: &Path) -> Result<File, Status> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    options.open(io, folder.at(path)).map_err(|_| Status::NotFound)
}

#[cfg(test)]
mod test {
    use std::fs;
    use std::io::Read;
    use std::net::Shutdown;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Weak};

    use iolite::{
        BackendChoice,
        backend::Decorator,
        operation::{Operation, Output},
    };

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            iolite::run(Config::new().backend(backend).concurrent_limit(8), one_visit).unwrap().unwrap();
        }
    }

    /// Returns the server's answers to all of these requests over one connection.
    fn visit(io: &dyn Io, folder: &Path, requests: &str) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind(io, "127.0.0.1:0")?;
        let address = listener.local_addr(io)?;
        let folder = Dir::open(io, folder)?;
        io.group(|group| {
            let server = group.spawn_concurrent(|io| serve(io, &listener, &folder))?;
            let client = TcpStream::connect(io, address)?;
            client.write_all(io, requests.as_bytes())?;
            client.shutdown(io, Shutdown::Write)?;
            let mut received = Vec::new();
            client.with(io).read_to_end(&mut received)?;
            let ended = server.cancel(io).expect_err("it serves until it is canceled");
            assert!(Canceled::is_in(&ended), "{ended}");
            Ok(received)
        })
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    /// Requests two files and a missing one over one connection.
    fn one_visit(io: &dyn Io) -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let large: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
        fs::write(folder.path().join("small"), "hello")?;
        fs::write(folder.path().join("large"), &large)?;
        let requests = "GET /small HTTP/1.1\r\n\r\nGET /missing HTTP/1.1\r\n\r\n\
            GET /large?x HTTP/1.1\r\nConnection: close\r\n\r\n";
        let received = visit(io, folder.path(), requests)?;
        let expected =
            [ok(b"hello"), b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), ok(&large)].concat();
        assert!(received == expected);
        Ok(())
    }

    /// Returns the answers as text, including the bodies.
    fn answers(files: impl FnOnce(&Path), requests: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path());
        let config = Config::new().backend(BackendChoice::Threaded).concurrent_limit(8);
        let ask = |io: &dyn Io| {
            let answer = |request: &&str| {
                let (line, more) = request.split_once('\n').unwrap_or((request, ""));
                let request = format!("{line} HTTP/1.1\r\n{more}\r\n");
                Ok(String::from_utf8(visit(io, folder.path(), &request)?).unwrap())
            };
            requests.iter().map(answer).collect::<io::Result<_>>()
        };
        iolite::run(config, ask).unwrap().unwrap()
    }

    #[test]
    fn what_leads_out_of_the_folder_is_not_found() {
        let links = |folder: &Path| {
            fs::create_dir(folder.join("inside")).unwrap();
            fs::write(folder.join("inside/file"), "hello").unwrap();
            symlink("/etc/passwd", folder.join("out")).unwrap();
            symlink("../..", folder.join("up")).unwrap();
            symlink("inside/file", folder.join("link")).unwrap();
        };
        let paths =
            ["GET /out", "GET /up/etc/passwd", "GET /..", "GET /inside/../../b", "GET //etc/passwd", "GET /link"];
        let answers = answers(links, &paths);
        assert!(answers[..5].iter().all(|answer| answer.starts_with("HTTP/1.1 404 ")), "{answers:?}");
        assert!(answers[5].ends_with("\r\n\r\nhello"), "a link within it is none: {answers:?}");
    }

    #[test]
    fn a_folder_is_its_index() {
        let files = |folder: &Path| {
            fs::create_dir(folder.join("docs")).unwrap();
            fs::create_dir(folder.join("empty")).unwrap();
            fs::write(folder.join("docs/index.html"), "the index").unwrap();
            fs::write(folder.join("file"), "hello").unwrap();
        };
        let answers =
            answers(files, &["GET /docs/", "GET /docs?x", "GET /empty/", "GET /", "GET /./file", "GET /./docs/./"]);
        for (answer, begins, ends) in [
            (&answers[0], "HTTP/1.1 200 ", "\r\n\r\nthe index"),
            (&answers[1], "HTTP/1.1 301 Moved Permanently\r\nLocation: /docs/\r\n", "\r\n\r\n"),
            (&answers[2], "HTTP/1.1 404 ", "\r\n\r\n"),
            (&answers[3], "HTTP/1.1 404 ", "\r\n\r\n"),
            (&answers[4], "HTTP/1.1 200 ", "\r\n\r\nhello"),
            (&answers[5], "HTTP/1.1 200 ", "\r\n\r\nthe index"),
        ] {
            assert!(answer.starts_with(begins) && answer.ends_with(ends), "{begins:?}: {answer}");
        }
    }

    #[test]
    fn head_is_the_head_and_a_range_is_a_part() {
        let file = |folder: &Path| fs::write(folder.join("file"), "0123456789").unwrap();
        let asked = |range: &str| format!("GET /file\nRange: {range}\r\n");
        let ranges = ["bytes=2-4", "bytes=7-", "bytes=-3", "bytes=8-99", "bytes=10-", "bytes=-0", "bytes=4-2", "x"];
        let mut requests: Vec<_> = ranges.into_iter().map(asked).collect();
        requests.extend(["HEAD /file".into(), "POST /file".into(), "HEAD /missing".into()]);
        let answers = answers(file, &requests.iter().map(String::as_str).collect::<Vec<_>>());
        let part = |first, last, body: &str| {
            let head = format!("Accept-Ranges: bytes\r\nContent-Range: bytes {first}-{last}/10\r\n");
            format!("HTTP/1.1 206 Partial Content\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let whole = String::from_utf8(ok(b"0123456789")).unwrap();
        let none = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n";
        let expected = [
            part(2, 4, "234"),
            part(7, 9, "789"),
            part(7, 9, "789"),
            part(8, 9, "89"),
            none.into(),
            none.into(),
            whole.clone(),
            whole.clone(),
            whole.strip_suffix("0123456789").unwrap().into(),
            "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\n\r\n".into(),
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
        ];
        assert_eq!(answers, expected);
    }

    /// Counts the send operations.
    struct Counted {
        io: Arc<dyn Io>,
        this: Weak<Self>,
        sends: AtomicUsize,
    }

    impl Decorator for Counted {
        fn inner(&self) -> &dyn Io {
            &*self.io
        }

        fn handle(&self) -> Option<Arc<dyn Io>> {
            self.this.upgrade().map(|this| this as _)
        }

        fn operate(&self, operation: Operation<'_>) -> io::Result<Output> {
            if matches!(operation, Operation::Send { .. } | Operation::Splice { .. }) {
                self.sends.fetch_add(1, Relaxed);
            }
            self.io.operate(operation)
        }
    }

    /// A second write of a small answer would wait until the client acknowledges the first.
    #[test]
    fn a_small_file_is_sent_in_one_piece() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small"), "hello").unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            iolite::run(Config::new().backend(backend), |io| {
                let listener = TcpListener::bind(io, "127.0.0.1:0")?;
                let _client = TcpStream::connect(io, listener.local_addr(io)?)?;
                let (stream, _) = listener.accept(io)?;
                let folder = Dir::open(io, folder.path())?;
                for request in ["GET /small", "HEAD /small", "GET /empty", "GET /missing"] {
                    let counted = Arc::new_cyclic(|this| Counted {
                        io: io.handle().expect("a runtime's Io can be kept"),
                        this: this.clone(),
                        sends: AtomicUsize::new(0),
                    });
                    let request = Request::parse(format!("{request} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
                    match Found::look(&*counted, &folder, &request) {
                        Ok(found) => found.send(&*counted, &stream)?,
                        Err(status) => stream.write_all(&*counted, status.answer().as_bytes())?,
                    }
                    assert_eq!(counted.sends.load(Relaxed), 1, "{request:?} on {backend:?}");
                }
                io::Result::Ok(())
            })
            .unwrap()
            .unwrap();
        }
    }

    #[test]
    fn requests_that_are_none_are_refused() {
        assert_eq!(Request::parse(b"GET a HTTP/1.1\r\n\r\n"), Err(Status::BadRequest));
        assert_eq!(Request::parse(b"GET / HTTP/9.9\r\n\r\n"), Err(Status::BadRequest));
        assert_eq!(Request::parse(b"POST / HTTP/1.1\r\n\r\n"), Err(Status::NotAllowed));
    }
}
