//! Only calls that borrow a descriptor look up its number. The test has a process of its own, because numbers belong to
//! the process.

mod support;

use iolite_conformance::{Case, whole};
use std::io::{Read, Write};
use std::mem;
use std::net;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use iolite_conformance::tools::note;
use iolite_evented::{Evented, Options};
use iolite_io::backend::Multishot;
use iolite_io::net::{BufferPool, TcpListener, TcpStream};
use iolite_io::{Instant, Io, backend::Decorator};

const CASES: &[Case] =
    whole![a_number_is_not_looked_up_after_the_call, a_number_is_not_looked_up_after_a_call_that_unwinds,];

fn main() -> ExitCode {
    support::run_one_by_one(&[CASES])
}

/// A call that ends at once leaves nothing behind that would look up its descriptor's number later, when the number
/// belongs to another socket.
fn a_number_is_not_looked_up_after_the_call() {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let task = evented.io().spawn_concurrent(|io| {
        let pool = BufferPool::new(4, 16);
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let (keep, mut far) = half(io, &listener);
        let other = net::TcpStream::from(keep.as_fd().try_clone_to_owned().unwrap());
        far.write_all(b"mine").unwrap();
        other.set_nonblocking(true).unwrap();
        let mut reused = 0;
        for nanos in (0..20_000).step_by(10) {
            let (near, _far) = half(io, &listener);
            let number = near.as_fd().as_raw_fd();
            let mut incoming = near.incoming(io, &pool);
            io.timeout(Duration::from_nanos(nanos), |io| incoming.next(io)).unwrap_err();
            drop(incoming);
            drop(near);
            // This is the lowest number that is free.
            let clone = other.try_clone().unwrap();
            reused += u32::from(clone.as_raw_fd() == number);
            io.sleep(Duration::from_micros(10)).unwrap();
            assert_eq!(clone.peek(&mut [0; 8]).unwrap(), 4);
        }
        note(format_args!("the number was another's in {reused} of 2,000 rounds"));
        assert!(reused > 1_000);
    });
    task.unwrap().join(evented.io());
}

/// An `Io` whose clock panics, once.
struct Clock {
    io: Arc<dyn Io>,
    asked: AtomicU32,
    panics_at: u32,
}

impl Decorator for Clock {
    fn inner(&self) -> &dyn Io {
        &*self.io
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        None
    }

    fn multishot(&self) -> Option<Box<dyn Multishot>> {
        self.inner().multishot()
    }

    fn now(&self) -> Instant {
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == self.panics_at {
            resume_unwind(Box::new("the clock stopped"));
        }
        self.inner().now()
    }
}

/// The same holds for a call that unwinds: a clock panics between the queueing of an entry and its submission.
fn a_number_is_not_looked_up_after_a_call_that_unwinds() {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let handle = evented.handle();
    let task = evented.io().spawn_concurrent(move |io| {
        let (mut unwound, mut reused) = (0, 0);
        for (panics_at, leaked) in (1..=4).flat_map(|panics_at| [(panics_at, true), (panics_at, false)]) {
            let pool = BufferPool::new(4, 64);
            let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
            let (near, _far) = half(io, &listener);
            let number = near.as_fd().as_raw_fd();
            let clock = Clock { io: handle.clone(), asked: AtomicU32::new(0), panics_at };
            let clock: &dyn Io = &clock;
            let mut incoming = near.incoming(clock, &pool);
            let next =
                AssertUnwindSafe(|| clock.timeout(Duration::from_millis(1), |io| incoming.next(io)).map(drop).is_err());
            unwound += u32::from(catch_unwind(next).is_err());
            if leaked {
                mem::forget(incoming)
            } else {
                drop(incoming)
            }
            drop(near);
            let (mut victim, mut peer) = UnixStream::pair().unwrap();
            if peer.as_raw_fd() == number {
                mem::swap(&mut victim, &mut peer);
            }
            reused += u32::from(victim.as_raw_fd() == number);
            peer.write_all(b"for the victim alone").unwrap();
            // This is a turn of the executor, which submits all queued entries.
            io.sleep(Duration::from_micros(10)).unwrap();
            victim.set_nonblocking(true).unwrap();
            let mut buffer = [0; 64];
            let count = victim.read(&mut buffer).expect("nobody else has read it");
            assert_eq!(&buffer[..count], b"for the victim alone");
        }
        assert!(unwound >= 4 && reused >= 6, "{unwound} calls unwound, {reused} numbers were used again");
    });
    task.unwrap().join(evented.io());
}

/// Returns a connection; its far end is one of std.
fn half(io: &dyn Io, listener: &TcpListener) -> (TcpStream, net::TcpStream) {
    let far = net::TcpStream::connect(listener.local_addr(io).unwrap()).unwrap();
    (listener.accept(io).unwrap().0, far)
}
