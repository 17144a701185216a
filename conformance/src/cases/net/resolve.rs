//! Names and addresses: those that are looked up, those that are not, and the resolver that does it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex};

use iolite_io::net::{Resolver, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, resolve, with_resolver};
use iolite_io::sync::Event;
use iolite_io::{Canceled, Io};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{concurrently, refusing, scope};

pub(crate) const CASES: &[Case] = cases![
    connect_looks_names_up,
    names_and_bad_addresses,
    names_that_cannot_be_are_refused,
    scopes_are_numbers_or_names_of_interfaces,
    many_ask_for_the_same_name,
    a_resolver_of_ones_own_is_asked_for_names_only,
    tasks_keep_the_resolver,
    a_lookup_is_canceled,
    an_error_names_every_address_of_a_name,
];

fn listener(io: &dyn Io) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
    let address = listener.local_addr(io).expect("address");
    (listener, address)
}

fn connect_looks_names_up(on: &On) {
    on.run(|io| {
        let (listener, address) = listener(io);
        let client = TcpStream::connect(io, ("localhost", address.port())).expect("connect");
        listener.accept(io).expect("accept");
        assert!(client.peer_addr(io).expect("address").ip().is_loopback());
        let text = format!("localhost:{}", address.port());
        TcpStream::connect(io, text.as_str()).expect("connect");
        TcpStream::connect(io, text).expect("connect");
    });
}

fn names_and_bad_addresses(on: &On) {
    on.run(|io| {
        let addresses = resolve(io, "localhost", 80).expect("localhost");
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{addresses:?}");
        assert_eq!(resolve(io, "127.0.0.1", 5).expect("a literal"), ["127.0.0.1:5".parse().expect("an address")]);
        assert_eq!(resolve(io, "[::1]", 5).expect("a literal"), ["[::1]:5".parse().expect("an address")]);
        for bad in ["nothing", "host:port", ":80", "host:70000", "127.0.0.1"] {
            let error = bad.to_socket_addrs(io).expect_err(bad);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}: {error}");
            assert!(error.to_string().contains(bad), "it names what is bad: {error}");
        }
        let error = resolve(io, "no such host", 80).expect_err("not a name");
        assert!(error.to_string().contains("no such host"), "{error}");
    });
}

fn names_that_cannot_be_are_refused(on: &On) {
    on.run(|io| {
        for bad in ["", "two words", "-a", "a..b", "300.1.1.1", "bücher.example", &"long".repeat(20), "[::1", "::g:80"]
        {
            let error = resolve(io, bad, 80).expect_err(bad);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}: {error}");
            assert!(error.to_string().contains(bad), "it names what is bad: {error}");
        }
        let error = "::1:80".to_socket_addrs(io).expect_err("ambiguous");
        assert!(error.to_string().contains("brackets"), "{error}");
    });
}

fn scopes_are_numbers_or_names_of_interfaces(on: &On) {
    on.run(|io| {
        let scoped = |scope| SocketAddr::from(SocketAddrV6::new("fe80::7".parse().expect("an address"), 80, 0, scope));
        assert_eq!(resolve(io, "fe80::7%3", 80).expect("a number"), [scoped(3)]);
        assert_eq!("[fe80::7%3]:80".to_socket_addrs(io).expect("a number"), [scoped(3)]);
        assert_eq!(resolve(io, "fe80::7%lo", 80).expect("loopback is the first"), [scoped(1)]);
        let error = resolve(io, "fe80::7%nowhere", 80).expect_err("no interface");
        assert!(error.to_string().contains("nowhere"), "{error}");
    });
}

fn many_ask_for_the_same_name(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            // A name that the system knows, other than `localhost`.
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name").trim().to_owned();
            let members: Vec<_> = (1..=20)
                .map(|port| {
                    let name = name.clone();
                    concurrently(group, move |io| resolve(io, &name, port).map(|addresses| (port, addresses)))
                })
                .collect();
            for member in members {
                // Not every machine knows its own name; then it returns an error.
                match member.join(io) {
                    Ok((port, addresses)) => assert!(addresses.iter().all(|address| address.port() == port)),
                    Err(error) => assert!(error.to_string().contains(&name), "{error}"),
                }
            }
        });
    });
}

/// A resolver that knows one name, and never answers for `silent`.
struct Known {
    addresses: Vec<IpAddr>,
    asked: Mutex<Vec<String>>,
}

impl Known {
    fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Arc<Self> {
        Arc::new(Self { addresses: addresses.into_iter().collect(), asked: Mutex::default() })
    }
}

impl Resolver for Known {
    fn resolve(&self, io: &dyn Io, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().expect("nobody panics with it").push(host.to_owned());
        match host {
            "known.example" => Ok(self.addresses.iter().map(|&address| (address, port).into()).collect()),
            "silent.example" => Ok(Event::new().wait(io).map(|()| Vec::new())?),
            _ => Ok(Vec::new()),
        }
    }
}

fn with_known(on: &On, case: impl Fn(&dyn Io, &Known) + Sync) {
    let both = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    let runtime = on.start();
    let known = Known::new(both);
    let io = with_resolver(runtime.handle(), known.clone());
    case(&*io, &known);
    scope(&*io, |group| concurrently(group, |io| case(io, &known)).join(&*io));
    runtime.shutdown();
}

fn a_resolver_of_ones_own_is_asked_for_names_only(on: &On) {
    with_known(on, |io, known| {
        known.asked.lock().expect("nobody panics with it").clear();
        let (_listener, address) = listener(io);
        // Nobody listens on ::1.
        let stream = TcpStream::connect(io, ("known.example", address.port())).expect("connect");
        assert_eq!(stream.peer_addr(io).expect("address"), address);
        resolve(io, "localhost", 1).expect("known without asking");
        resolve(io, "127.0.0.1", 1).expect("known without asking");
        resolve(io, "::1", 1).expect("known without asking");
        UdpSocket::bind(io, "known.example:0").expect("bind");
        let error = resolve(io, "other.example", 1).expect_err("not known");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("other.example"), "{error}");
        assert_eq!(*known.asked.lock().expect("nobody panics"), ["known.example", "known.example", "other.example"]);
    });
}

fn tasks_keep_the_resolver(on: &On) {
    with_known(on, |io, _| {
        let task = io.spawn_concurrent(|io| resolve(io, "known.example", 7).map(|addresses| addresses.len()));
        assert_eq!(task.expect("concurrent").join(io).expect("known"), 2);
    });
}

fn a_lookup_is_canceled(on: &On) {
    with_known(on, |io, _| {
        scope(io, |group| {
            let member = concurrently(group, |io| TcpStream::connect(io, "silent.example:1").map(drop));
            assert!(Canceled::is_in(&member.cancel(io).expect_err("nobody answers")));
        });
    });
}

fn an_error_names_every_address_of_a_name(on: &On) {
    with_known(on, |io, _| {
        let (_held, refused) = refusing(io);
        let text = TcpStream::connect(io, ("known.example", refused.port())).expect_err("nobody").to_string();
        assert!(text.contains("127.0.0.1") && text.contains("[::1]"), "{text}");
    });
}
