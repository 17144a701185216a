//! Small helpers that many cases need.

use std::any::Any;
use std::convert::Infallible;
use std::env;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::net::{Address, Domain, ListenOptions, Socket, SocketType, TcpListener, TcpStream};
use iolite_io::sync::Event;
use iolite_io::{Canceled, Group, Io, ScopedTask};
use rustix::io::Errno;
use rustix::net::SendFlags;

/// Runs a group whose body does not fail.
pub fn scope<'env, T>(io: &'env (dyn Io + 'env), body: impl for<'scope> FnOnce(&'scope Group<'scope, 'env>) -> T) -> T {
    let Ok(value) = io.group(|group| Ok::<T, Infallible>(body(group)));
    value
}

/// Starts a member beside the caller.
pub fn concurrently<'scope, F, T>(group: &'scope Group<'scope, '_>, closure: F) -> ScopedTask<'scope, T>
where
    F: FnOnce(&dyn Io) -> T + Send + 'scope,
    T: Send + 'scope,
{
    group.spawn_concurrent(closure).expect("a unit of concurrency is free")
}

/// Starts a member beside the caller and returns once the member runs and is about to call its closure.
pub fn started<'scope, F, T>(group: &'scope Group<'scope, '_>, io: &dyn Io, closure: F) -> ScopedTask<'scope, T>
where
    F: FnOnce(&dyn Io) -> T + Send + 'scope,
    T: Send + 'scope,
{
    let began = Arc::new(Event::new());
    let theirs = began.clone();
    let member = concurrently(group, move |io| {
        theirs.set();
        closure(io)
    });
    began.wait_uncancelable(io);
    member
}

/// Yields until `fact` returns true; another context has to bring that about.
pub fn until(io: &dyn Io, mut fact: impl FnMut() -> bool) {
    while !fact() {
        io.yield_now();
    }
}

/// Panics without output on stderr.
pub fn panic_quietly(text: &str) -> ! {
    resume_unwind(Box::new(text.to_owned()))
}

/// Returns the text with which `f` panics; fails the test if it does not.
#[track_caller]
pub fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(panic) => text_of(&*panic),
    }
}

/// Returns the text of a caught panic.
pub fn text_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "a panic without a text".to_owned(),
    }
}

/// For results that a case expects to be a cancellation.
pub trait ExpectCanceled {
    /// Takes the request as delivered; panics if there is none.
    fn expect_canceled(self, why: &str);
}

impl<T: Debug> ExpectCanceled for Result<T, Canceled> {
    #[track_caller]
    fn expect_canceled(self, why: &str) {
        let Canceled { .. } = self.expect_err(why);
    }
}

/// Returns the two ends of a connection on loopback.
pub fn tcp_pair(io: &dyn Io) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bind");
    // The kernel completes the connection from its backlog, so one task can do both.
    let client = TcpStream::connect(io, listener.local_addr(io).expect("local_addr")).expect("connect");
    let (server, _) = listener.accept(io).expect("accept");
    (client, server)
}

/// Writes until the system accepts nothing more, and has not for a while. Returns the number of bytes that it accepted.
///
/// The timeout of a call proves nothing: on a busy machine, the time may be over before the system was asked. So the
/// system is asked in a way that cannot wait, and again after the bytes on their way to the peer have arrived there.
pub fn fill(io: &dyn Io, stream: &TcpStream) -> usize {
    let chunk = vec![1; 1 << 20];
    let (mut taken, mut was_full) = (0, false);
    loop {
        match rustix::net::send(stream, &chunk, SendFlags::DONTWAIT) {
            Ok(count) => (taken, was_full) = (taken + count, false),
            Err(Errno::AGAIN) if was_full => return taken,
            Err(Errno::AGAIN) => {
                io.sleep(Duration::from_millis(5)).expect("not canceled");
                was_full = true;
            }
            Err(error) => panic!("the connection is broken: {error}"),
        }
    }
}

/// Returns a listener whose backlog is full, so that connecting to it waits.
pub fn full_listener(io: &dyn Io) -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
    let listener = TcpListener::bind_with(io, "127.0.0.1:0", &options).expect("bind");
    let address = listener.local_addr(io).expect("address");
    // There is room for these, however long they take.
    let mut waiting: Vec<_> = (0..2).map(|_| TcpStream::connect(io, address).expect("room for two")).collect();
    while let Ok(stream) = io.timeout(Duration::from_millis(50), |io| TcpStream::connect(io, address)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "a backlog of 1 takes {} connections", waiting.len());
    }
    (listener, address, waiting)
}

/// Returns an address on loopback, with any port, that no other case uses. Otherwise a case that runs beside this one
/// could be given the port of a socket that this case has closed.
pub fn own_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = process::id().wrapping_mul(4096).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    // From 127.0.1.0 to 127.255.255.253: neither 127.0.0.1, which all other cases use, nor a broadcast address.
    let host = 0x7f00_0100 + number % 0x00ff_fefe;
    (Ipv4Addr::from(host), 0).into()
}

/// Returns an address on which nobody listens. A socket that is bound and does not listen holds it.
pub fn refusing(io: &dyn Io) -> (Socket, SocketAddr) {
    let socket = Socket::new(io, Domain::IPV4, SocketType::STREAM, 0).expect("made");
    socket.bind(io, SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
    let address = socket.local_addr(io).expect("address");
    let Address::Internet(address) = address else { panic!("{address} is no IP address") };
    (socket, address)
}

/// Returns the command that runs the calling case again, alone, in a process of its own. It must be called on the
/// thread of the case. A variable of the environment has to tell the other process its role.
#[must_use]
pub fn again() -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    let case = thread::current().name().expect("a case's thread is named after it").to_owned();
    command.args(["--exact", &case, "--nocapture", "--test-threads=1"]);
    command
}
