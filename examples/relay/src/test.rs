//! Tests of the whole relay in one process, on threads and on the backend that `auto` chooses here.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use iolite::net::{TcpListener, TcpStream, option};
use iolite::{BackendChoice, Config, Io};
use rstest::rstest;
use tempfile::TempDir;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::codec;
use crate::console::Console;
use crate::database::{Audited, Location, Place, Synchronous};
use crate::emitter;
use crate::frame::{self, Commit};
use crate::http;
use crate::relay::Relay;
use crate::run::lost;
use crate::settings::{Settings, UpstreamsChoice};
use crate::stop::Stop;
use crate::upstreams::{self, Upstreams};
use crate::{downstream, frame::Noise};

const HOSTS: u32 = 12;
const EMITTER: emitter::Settings = emitter::Settings { rate: 200.0, faults: true };

fn run(choice: BackendChoice, program: impl FnOnce(&dyn Io) -> io::Result<()>) {
    let config = Config::new().backend(choice).concurrent_limit(256);
    iolite::run(config, |io| io.timeout(Duration::from_secs(60), program)).unwrap().unwrap();
}

fn settings(directory: &TempDir, upstreams: SocketAddr) -> Settings {
    let location = Location::File(directory.path().join("relay.db"));
    Settings {
        hosts: Some(HOSTS),
        duration: None,
        // The speed of the disk must not matter in these tests.
        place: Place { location, synchronous: Synchronous::Normal },
        upstreams: UpstreamsChoice::At(upstreams),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        console: Arc::new(Console::new()),
        stop: Stop::default(),
    }
}

/// Runs a relay against `upstreams` while `body` runs with the relay's own address. Then it drains the relay and
/// returns the audit.
fn with_relay(
    io: &dyn Io,
    settings: &Settings,
    upstreams: SocketAddr,
    body: impl FnOnce(&Relay, SocketAddr) -> io::Result<()>,
) -> io::Result<(Relay, Vec<Audited>)> {
    let relay = Relay::open(io, settings, "test", HOSTS, upstreams)?;
    let listener = TcpListener::bind(io, settings.listen)?;
    let address = listener.local_addr(io)?;
    io.group(|group| {
        group.spawn_concurrent(|io| downstream::serve(io, &relay, &listener, group))?;
        assert_eq!(relay.take_hosts(group), Vec::<String>::new());
        // A subscriber that never accepts anything must not delay the end.
        let _stalled = stalled_subscriber(io, address)?;
        body(&relay, address)?;
        let asked = io.now();
        group.cancel(io);
        relay.database.close(io);
        assert!(io.now() - asked < Duration::from_secs(5), "it takes {:?} to end", io.now() - asked);
        io::Result::Ok(())
    })?;
    let audit = relay.reader.call(io, |reader| reader.audit())?.map_err(io::Error::other)?;
    relay.reader.close(io);
    Ok((relay, audit))
}

/// Follows the relay from `cursor` on, and passes the events on until `count` have arrived.
fn subscribe(
    io: &dyn Io,
    address: SocketAddr,
    cursor: u64,
    count: u64,
    mut event: impl FnMut(&Commit<'_>),
) -> io::Result<()> {
    let stream = TcpStream::connect(io, address)?;
    let rest = http::connect_websocket(io, &stream, address, &format!("/subscribe?cursor={cursor}"))?;
    let mut socket: WebSocket<_> = codec::websocket(stream.with(io), rest, Role::Client);
    let mut position = cursor;
    while position < cursor + count {
        if let Message::Binary(bytes) = socket.read().map_err(io::Error::other)? {
            let commit = frame::decode(&bytes).expect("the relay sends what it checked");
            position += 1;
            assert_eq!(commit.seq, position, "without gap or repetition");
            event(&commit);
        }
    }
    Ok(())
}

fn stalled_subscriber(io: &dyn Io, address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(io, address)?;
    stream.set_option(io, option::RECEIVE_BUFFER_SIZE, 4096)?;
    http::connect_websocket(io, &stream, address, "/subscribe?cursor=0")?;
    Ok(stream)
}

fn with_upstreams(io: &dyn Io, body: impl FnOnce(&Upstreams, SocketAddr) -> io::Result<()>) -> io::Result<()> {
    let upstreams = Upstreams::new(HOSTS, EMITTER);
    let listener = TcpListener::bind(io, "127.0.0.1:0")?;
    let address = listener.local_addr(io)?;
    io.group(|group| {
        group.spawn_concurrent(|io| upstreams::accept(io, &upstreams, &listener, group))?;
        body(&upstreams, address)?;
        group.cancel(io);
        Ok(())
    })
}

#[rstest]
#[case(BackendChoice::Threaded)]
#[case(BackendChoice::Auto)]
fn nothing_is_lost_or_doubled_between_hosts_database_and_subscribers(#[case] choice: BackendChoice) {
    let directory = TempDir::new().unwrap();
    run(choice, |io| {
        with_upstreams(io, |upstreams, address| {
            let settings = settings(&directory, address);
            // The relay runs twice on one file, as after a kill.
            for _ in 0..2 {
                let (relay, audit) = with_relay(io, &settings, address, |relay, own| {
                    let before = relay.live.head();
                    let mut repositories: HashSet<String> = HashSet::new();
                    // It starts at the beginning: the first events are replayed, the last ones are live.
                    subscribe(io, own, 0, before + 3000, |commit| {
                        repositories.insert(commit.repo.into());
                    })?;
                    assert!(repositories.len() > HOSTS as usize, "many repositories");
                    // The cursor is in the future: nothing comes before that event exists.
                    subscribe(io, own, before + 4000, 500, |_| ())?;
                    let metrics = String::from_utf8(http::get(io, own, "/metrics")?).unwrap();
                    assert!(metrics.contains(&format!("relay_hosts{{backend=\"test\"}} {HOSTS}")), "{metrics}");
                    assert!(relay.counts.stored.load(Relaxed) >= 4500);
                    Ok(())
                })?;
                assert_eq!(lost(&relay.hosts, &upstreams.report(), &audit), 0);
                assert_eq!(relay.counts.duplicates.load(Relaxed), 0);
                assert!(audit.iter().all(|host| host.seq_min == 1 && host.rows == host.seq_max), "{audit:?}");
                assert_eq!(relay.counts.received.load(Relaxed), relay.counts.stored.load(Relaxed));
            }
            Ok(())
        })
    });
}

#[rstest]
#[case(BackendChoice::Threaded)]
#[case(BackendChoice::Auto)]
fn a_handshake_in_segments_of_any_size_is_a_handshake(#[case] choice: BackendChoice) {
    run(choice, |io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0")?;
        let (listener, address) = (&listener, listener.local_addr(io)?);
        io.group(|group| {
            for sizes in [1, 2, 3, 100] {
                let server = group.spawn_concurrent(move |io| {
                    let (stream, _) = listener.accept(io)?;
                    let (request, _) = http::read_head::<http::Request>(io, &stream)?;
                    let response = [request.upgrade().unwrap().as_bytes(), &codec::binary(vec![7; 200])].concat();
                    let mut noise = Noise(sizes);
                    let mut rest = &response[..];
                    while !rest.is_empty() {
                        let (piece, after) = rest.split_at(rest.len().min(1 + (noise.next() % sizes) as usize));
                        stream.write_all(io, piece)?;
                        io.yield_now();
                        rest = after;
                    }
                    io::Result::Ok(stream)
                })?;
                let stream = TcpStream::connect(io, address)?;
                let rest = http::connect_websocket(io, &stream, address, "/")?;
                let mut socket = codec::websocket(stream.with(io), rest, Role::Client);
                let message = socket.read().map_err(io::Error::other)?;
                assert_eq!(message.into_data(), vec![7; 200]);
                server.join(io)?;
            }
            Ok(())
        })
    });
}

/// Returns the answer to the bytes, on a connection of their own.
fn answer(io: &dyn Io, address: SocketAddr, request: &str) -> io::Result<String> {
    let stream = TcpStream::connect(io, address)?;
    stream.write_all(io, request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(io, &mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

#[rstest]
#[case(BackendChoice::Threaded)]
#[case(BackendChoice::Auto)]
fn what_is_no_request_gets_400_and_head_no_body(#[case] choice: BackendChoice) {
    let directory = TempDir::new().unwrap();
    run(choice, |io| {
        with_upstreams(io, |_, upstreams| {
            with_relay(io, &settings(&directory, upstreams), upstreams, |_, own| {
                for address in [own, upstreams] {
                    for request in ["no HTTP\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
                        let answer = answer(io, address, request)?;
                        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
                    }
                    let post = answer(io, address, "POST /metrics HTTP/1.1\r\n\r\n")?;
                    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
                }
                let cursor = answer(io, own, "GET /subscribe?cursor=18446744073709551615 HTTP/1.1\r\n\r\n")?;
                assert!(cursor.starts_with("HTTP/1.1 400 "), "{cursor}");
                for path in ["/metrics", "/nowhere"] {
                    let [get, head] =
                        ["GET", "HEAD"].map(|method| answer(io, own, &format!("{method} {path} HTTP/1.1\r\n\r\n")));
                    let (get, head) = (get?, head?);
                    let length = |answer: &str| answer.contains("Content-Length: ");
                    assert!(length(&get) && length(&head) && !get.ends_with("\r\n\r\n"), "{get}");
                    assert!(head.ends_with("\r\n\r\n") && head.lines().next() == get.lines().next(), "{head}");
                }
                Ok(())
            })?;
            Ok(())
        })
    });
}

#[test]
fn an_address_in_use_is_named() {
    let directory = TempDir::new().unwrap();
    run(BackendChoice::Threaded, |io| {
        let taken = TcpListener::bind(io, "127.0.0.1:0")?;
        let address = taken.local_addr(io)?;
        let mut settings = settings(&directory, address);
        settings.listen = address;
        settings.hosts = Some(1);
        let error = crate::run::run(io, &settings).expect_err("it is in use");
        assert!(error.to_string().contains(&format!("listening on {address}")), "{error}");
        Ok(())
    });
}
