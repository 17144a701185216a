//! The small part of HTTP that the relay needs: heads of requests and responses, websocket upgrades, one `GET`.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Status};
use iolite::net::{TcpListener, TcpStream};
use iolite::{ErrorChain, Io};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

/// The maximum size of a head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The maximum number of headers.
const HEADERS_MAX: usize = 48;
/// The number of bytes that are read at once: heads are short, and the bytes after a head are passed on.
const READ_BYTES: usize = 512;
/// The maximum size of a body.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Listens on an address; an error names the address.
pub(crate) fn listen(io: &dyn Io, address: SocketAddr) -> io::Result<TcpListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("listening on {address}: {}", ErrorChain::new(&error)));
    TcpListener::bind(io, address).map_err(named)
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Headers,
}

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Headers,
}

#[derive(Debug, PartialEq, Eq)]
struct Headers(Vec<(String, String)>);

/// The reason why a head is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    Syntax(httparse::Error),
    TooLong,
}

impl fmt::Display for BadHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(_) => f.write_str("not HTTP"),
            Self::TooLong => write!(f, "an HTTP head of more than {HEAD_BYTES_MAX} bytes"),
        }
    }
}

impl Error for BadHead {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Syntax(error) => Some(error),
            Self::TooLong => None,
        }
    }
}

impl From<BadHead> for io::Error {
    fn from(error: BadHead) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// The head of a message, from its first line to the empty line.
pub(crate) trait Head: Sized {
    /// Returns the head at the beginning of `bytes` and its length, or `None` if it is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadHead>;
}

impl Head for Request {
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadHead> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let Status::Complete(length) = request.parse(bytes).map_err(BadHead::Syntax)? else { return Ok(None) };
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: request.method.unwrap_or_default().into(),
            path: path.into(),
            query: query.into(),
            headers: Headers::new(request.headers),
        };
        Ok(Some((request, length)))
    }
}

impl Head for Response {
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadHead> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let Status::Complete(length) = response.parse(bytes).map_err(BadHead::Syntax)? else { return Ok(None) };
        let headers = Headers::new(response.headers);
        Ok(Some((Response { status: response.code.unwrap_or_default(), headers }, length)))
    }
}

/// A head that arrives in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Incoming(Vec<u8>);

impl Incoming {
    /// Takes the next piece; returns the head, once it is complete, and the bytes after it.
    pub(crate) fn feed<H: Head>(&mut self, piece: &[u8]) -> Result<Option<(H, Vec<u8>)>, BadHead> {
        self.0.extend_from_slice(piece);
        // The limit applies to the head alone: bytes that arrived with its last piece do not count.
        match H::parse(&self.0[..self.0.len().min(HEAD_BYTES_MAX)])? {
            Some((head, length)) => Ok(Some((head, self.0.split_off(length)))),
            None if self.0.len() >= HEAD_BYTES_MAX => Err(BadHead::TooLong),
            None => Ok(None),
        }
    }
}

/// Reads the request at the beginning of a connection and the bytes that came with it. If the bytes are not a valid
/// request, this sends the answer and returns an error.
///
/// # Cancellation
///
/// A cancellation point.
pub(crate) fn read_request(io: &dyn Io, stream: &TcpStream) -> io::Result<(Request, Vec<u8>)> {
    let result = read_head(io, stream);
    let bad = result.as_ref().err().and_then(|error| error.get_ref()?.downcast_ref::<BadHead>());
    if let Some(bad) = bad {
        let status = match bad {
            BadHead::Syntax(_) => "400 Bad Request",
            BadHead::TooLong => "431 Request Header Fields Too Large",
        };
        write_response(io, stream, status, "text/plain", format!("{bad}\n").as_bytes(), true)?;
    }
    result
}

/// Reads a head and the bytes that came with it.
///
/// # Cancellation
///
/// A cancellation point.
pub(crate) fn read_head<H: Head>(io: &dyn Io, stream: &TcpStream) -> io::Result<(H, Vec<u8>)> {
    let mut incoming = Incoming::default();
    let mut piece = [0; READ_BYTES];
    loop {
        let count = stream.read(io, &mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(complete) = incoming.feed(&piece[..count])? {
            return Ok(complete);
        }
    }
}

/// Makes a websocket from a new connection, as its client. Returns the bytes that came after the handshake.
///
/// It does not use tungstenite's own handshake, which takes a response in many small segments for an attack.
///
/// # Cancellation
///
/// A cancellation point.
pub(crate) fn connect_websocket(
    io: &dyn Io,
    stream: &TcpStream,
    address: SocketAddr,
    target: &str,
) -> io::Result<Vec<u8>> {
    let key = generate_key();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(io, request.as_bytes())?;
    let (response, rest) = read_head::<Response>(io, stream)?;
    if response.status != 101 {
        return Err(io::Error::other(format!("the upgrade of {target} was answered with {}", response.status)));
    }
    if response.headers.get("sec-websocket-accept") != Some(&derive_accept_key(key.as_bytes())) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to the upgrade is not for its key"));
    }
    Ok(rest)
}

/// Fetches the body of `target`.
///
/// # Cancellation
///
/// A cancellation point.
pub(crate) fn get(io: &dyn Io, address: SocketAddr, target: &str) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(io, address)?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(io, request.as_bytes())?;
    let (response, mut body) = read_head::<Response>(io, &stream)?;
    let length = response.headers.get("content-length").and_then(|length| length.parse::<usize>().ok());
    let Some(length) = length.filter(|&length| response.status == 200 && length <= BODY_BYTES_MAX) else {
        return Err(io::Error::other(format!("{target} was answered with {}", response.status)));
    };
    let here = body.len().min(length);
    body.resize(length, 0);
    stream.read_exact(io, &mut body[here..])?;
    Ok(body)
}

fn write_response(
    io: &dyn Io,
    stream: &TcpStream,
    status: &str,
    kind: &str,
    body: &[u8],
    with_body: bool,
) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let body = if with_body { body } else { &[] };
    stream.write_all(io, &[head.as_bytes(), body].concat())
}

impl Request {
    /// Answers the request; the connection then ends. `HEAD` gets no body, and methods other than `GET` and `HEAD` get
    /// 405.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    pub(crate) fn respond(
        &self,
        io: &dyn Io,
        stream: &TcpStream,
        status: &str,
        kind: &str,
        body: &[u8],
    ) -> io::Result<()> {
        match &*self.method {
            "GET" => write_response(io, stream, status, kind, body, true),
            "HEAD" => write_response(io, stream, status, kind, body, false),
            _ => write_response(io, stream, "405 Method Not Allowed", "text/plain", b"GET and HEAD\n", true),
        }
    }

    /// Returns the response that turns the connection into a websocket, if the request asks for one.
    pub(crate) fn upgrade(&self) -> Option<String> {
        let has = |name, word: &str| {
            self.headers
                .get(name)
                .is_some_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
        };
        if self.method != "GET" || !has("connection", "upgrade") || !has("upgrade", "websocket") {
            return None;
        }
        let accept = derive_accept_key(self.headers.get("sec-websocket-key")?.as_bytes());
        Some(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
    }

    /// Returns the number under `name` in the query, or 0 if it is missing. Returns `None` if it is not a number that a
    /// database can have.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let value = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map_or(Some(0), |value| value.parse().ok().filter(|&number| number <= i64::MAX as u64))
    }
}

impl Headers {
    fn new(headers: &[httparse::Header<'_>]) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self(headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod test {
    use super::{BadHead, HEAD_BYTES_MAX, Head, Incoming, Request, Response};

    type Outcome<H> = Result<Option<(H, Vec<u8>)>, BadHead>;

    /// Feeds the pieces until there is an outcome; the bytes after the head include the pieces that were not fed any
    /// more.
    fn feed<H: Head>(pieces: &[&[u8]]) -> Outcome<H> {
        let mut incoming = Incoming::default();
        for (index, piece) in pieces.iter().enumerate() {
            if let Some((head, mut rest)) = incoming.feed(piece)? {
                rest.extend(pieces[index + 1..].concat());
                return Ok(Some((head, rest)));
            }
        }
        Ok(None)
    }

    fn same_at_every_split<H: Head + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Outcome<H> {
        let whole = feed::<H>(&[bytes]);
        for split in 0..=bytes.len() {
            assert_eq!(feed::<H>(&[&bytes[..split], &bytes[split..]]), whole, "split at {split}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(feed::<H>(&single), whole, "byte by byte");
        whole
    }

    #[test]
    fn requests_are_the_same_at_every_split() {
        let bytes = b"GET /subscribe?cursor=17&x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x00rest\r\n\r\n";
        let (request, rest) = same_at_every_split::<Request>(bytes).unwrap().unwrap();
        assert_eq!(rest, b"\x81\x00rest\r\n\r\n");
        assert_eq!((&*request.path, request.number("cursor"), request.number("y")), ("/subscribe", Some(17), Some(0)));
        assert!(request.upgrade().unwrap().contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn responses_are_the_same_at_every_split() {
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n\x82\x01a";
        let (response, rest) = same_at_every_split::<Response>(bytes).unwrap().unwrap();
        assert_eq!(
            (response.status, response.headers.get("sec-websocket-accept"), &*rest),
            (101, Some("x"), &b"\x82\x01a"[..])
        );
    }

    #[test]
    fn faults_are_the_same_at_every_split() {
        assert!(matches!(same_at_every_split::<Request>(b"GET / HTTP/9.9\r\n\r\n"), Err(BadHead::Syntax(_))));
        assert!(matches!(same_at_every_split::<Request>(b"G\x00T / HTTP/1.1\r\n\r\n"), Err(BadHead::Syntax(_))));
        assert!(matches!(same_at_every_split::<Response>(b"HTTP/1.1 abc\r\n\r\n"), Err(BadHead::Syntax(_))));
        assert_eq!(same_at_every_split::<Request>(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(64));
        assert!(matches!(same_at_every_split::<Request>(many.as_bytes()), Err(BadHead::Syntax(_))));
    }

    #[test]
    fn the_limit_is_the_same_however_the_head_arrives() {
        let head = |padding: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(padding));
        let longest = head(HEAD_BYTES_MAX - head(0).len());
        for step in [1, 7, 4096, HEAD_BYTES_MAX + 100] {
            let fits: Vec<_> = longest.as_bytes().chunks(step).collect();
            assert!(feed::<Request>(&fits).unwrap().is_some());
            let longer = head(HEAD_BYTES_MAX - head(0).len() + 1);
            let too_long: Vec<_> = longer.as_bytes().chunks(step).collect();
            assert_eq!(feed::<Request>(&too_long), Err(BadHead::TooLong));
        }
    }
}
