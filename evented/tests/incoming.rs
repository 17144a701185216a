//! Incoming connections, pooled buffers and sends without a copy, as far as only this backend can show them: the kernel
//! works ahead, within bounds, and nothing is left at the end.

mod support;

use iolite_conformance::{Case, On, cases, whole};
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iolite_conformance::tools::{fill, note};
use iolite_evented::{Evented, Options};
use iolite_io::net::{BufferPool, Incoming, TcpListener, TcpStream, option};
use iolite_io::sync::Event;
use iolite_io::{Io, error::ShutDown, fiber_local, task::Placement};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CASES: &[Case] = cases![the_kernel_accepts_ahead_and_within_a_bound];
const WHOLE: &[Case] = whole![
    a_flood_is_handed_out_whole,
    the_kernel_receives_ahead_but_leaves_a_buffer,
    pools_come_and_go,
    the_memory_of_a_pool_that_is_gone_is_freed,
    what_another_executor_keeps_at_hand_is_called_in,
    a_forgotten_receive_ends_with_its_runtime,
    a_shutdown_ends_waits_elsewhere,
    bytes_are_let_go_when_the_peer_has_them,
    a_destructor_of_sent_bytes_runs_on_a_fiber,
    a_destructor_of_sent_bytes_may_drop_many_that_are_armed,
    what_the_kernel_holds_at_the_end_is_never_freed,
];

fn main() -> ExitCode {
    support::run(&[CASES, WHOLE])
}

/// Runs `body` on a fiber of a runtime with one executor, and then ends the runtime.
fn on_a_fiber<T: Send>(body: impl FnOnce(&dyn Io) -> T + Send) -> T {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let io = evented.io();
    let Ok(value) = io.group(|group| Ok::<T, Infallible>(group.spawn_concurrent(body).unwrap().join(io)));
    evented.shutdown();
    value
}

/// Returns a connection; its far end is one of std.
fn half(io: &dyn Io) -> (TcpStream, net::TcpStream) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
    let far = net::TcpStream::connect(listener.local_addr(io).unwrap()).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (listener.accept(io).unwrap().0, far)
}

/// Counts how often it is dropped.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Between two calls of `next`, the kernel accepts connections as they come, and stops at the bound.
fn the_kernel_accepts_ahead_and_within_a_bound(on: &On) {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    if limit.is_some_and(|limit| limit < 8192) {
        return on.not_run("fewer than 8,192 descriptors");
    }
    on_a_fiber(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let address = listener.local_addr(io).unwrap();
        let mut incoming = listener.incoming(io);
        let mut clients = vec![net::TcpStream::connect(address).unwrap()];
        drop(incoming.next(io).unwrap());
        // They come one by one, each with a turn of the executor: the kernel stops at 64 and a few on their way.
        for _ in 0..300 {
            clients.push(net::TcpStream::connect(address).unwrap());
            io.sleep(Duration::from_micros(100)).unwrap();
        }
        let ahead = incoming.stop(io).into_iter().map(Result::unwrap).count();
        assert!((60..=80).contains(&ahead), "{ahead} connections were accepted ahead");
        for _ in ahead..300 {
            listener.accept(io).unwrap();
        }
    });
}

/// The kernel continues after it was stopped because of too many connections.
fn a_flood_is_handed_out_whole() {
    on_a_fiber(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let address = listener.local_addr(io).unwrap();
        let mut incoming = listener.incoming(io);
        for _ in 0..3 {
            let clients: Vec<_> = (0..500).map(|_| net::TcpStream::connect(address).unwrap()).collect();
            for client in &clients {
                let stream = incoming.next(io).unwrap();
                assert_eq!(stream.peer_addr(io).unwrap(), client.local_addr().unwrap());
            }
        }
    });
}

/// The kernel fills buffers while nobody asks for bytes; one of the buffers is never given to it.
fn the_kernel_receives_ahead_but_leaves_a_buffer() {
    on_a_fiber(|io| {
        let pool = BufferPool::new(4, 8);
        let (near, mut far) = half(io);
        let mut incoming = near.incoming(io, &pool);
        far.write_all(b"1").unwrap();
        assert_eq!(&*incoming.next(io).unwrap().unwrap(), b"1");
        far.write_all(&[2; 80]).unwrap();
        io.sleep(Duration::from_millis(20)).unwrap();
        assert!(pool.try_take().is_some(), "one is left");
        let ahead: Vec<_> = incoming.stop(io).into_iter().map(Result::unwrap).collect();
        assert!(!ahead.is_empty() && ahead.len() <= 3, "{} buffers were filled ahead", ahead.len());
        assert!(ahead.iter().all(|buffer| **buffer == [2; 8]));
    });
}

/// Pools come and go, and the rings release the buffers that they hold of them.
fn pools_come_and_go() {
    on_a_fiber(|io| {
        for round in 0..2_000_u32 {
            let pool = BufferPool::new(3, 16);
            let (near, mut far) = half(io);
            let mut incoming = near.incoming(io, &pool);
            far.write_all(&round.to_ne_bytes()).unwrap();
            assert_eq!(*incoming.next(io).unwrap().unwrap(), round.to_ne_bytes());
        }
    });
}

/// While the runtime continues.
fn the_memory_of_a_pool_that_is_gone_is_freed() {
    const BYTES: u64 = 64 << 20;
    on_a_fiber(|io| {
        let (near, mut far) = half(io);
        let pool = BufferPool::new(64, BYTES as usize / 64);
        let all: Vec<_> = (0..64).map(|_| pool.take(io).unwrap()).collect();
        all.into_iter().for_each(|mut buffer| buffer.storage_mut().fill(1));
        let mut incoming = near.incoming(io, &pool);
        far.write_all(b"1").unwrap();
        assert_eq!(&*incoming.next(io).unwrap().unwrap(), b"1");
        assert!(incoming.stop(io).is_empty());
        let with_pool = resident();
        drop(pool);
        while resident() + BYTES / 2 > with_pool {
            io.sleep(Duration::from_millis(1)).unwrap();
        }
    });
}

/// An idle connection there withholds no buffers: neither from a task that takes one, nor from one that receives.
fn what_another_executor_keeps_at_hand_is_called_in() {
    let evented = Evented::new(Options { executors: 2, ..Options::default() }).unwrap();
    let io = evented.io();
    let (pool, armed) = (BufferPool::new(8, 16), Event::new());
    let (idle, mut far) = half(io);
    let connections: Vec<_> = (0..8).map(|_| half(io)).collect();
    let scope: Result<(), Infallible> = io.group(|group| {
        let (pool, armed, idle) = (&pool, &armed, &idle);
        let there = group.task().placement(Placement::Executor(0)).spawn_concurrent(move |io| {
            let mut incoming = idle.incoming(io, pool);
            drop(incoming.next(io).unwrap());
            armed.set();
            incoming.next(io).map(drop)
        });
        far.write_all(b"1").unwrap();
        armed.wait(io).unwrap();
        let here = group.task().placement(Placement::Executor(1)).spawn_concurrent(|io| {
            drop((0..8).map(|_| pool.take(io).unwrap()).collect::<Vec<_>>());
            let mut kept = Vec::new();
            for (near, far) in &connections {
                let (mut incoming, mut far) = (near.incoming(io, pool), far);
                far.write_all(b"1").unwrap();
                kept.push(incoming.next(io).unwrap().unwrap());
            }
        });
        here.unwrap().join(io);
        there.unwrap().cancel(io).unwrap_err();
        Ok(())
    });
    let Ok(()) = scope;
    evented.shutdown();
}

/// Returns the process' resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kilobytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A receive in flight that is forgotten, and that outlives its pool: the end of the runtime waits for the kernel.
fn a_forgotten_receive_ends_with_its_runtime() {
    for _ in 0..50 {
        let far = on_a_fiber(|io| {
            let pool = BufferPool::new(4, 16);
            let (near, mut far) = half(io);
            let mut incoming = near.incoming(io, &pool);
            far.write_all(b"x").unwrap();
            drop(incoming.next(io).unwrap());
            std::mem::forget(incoming);
            far
        });
        drop(far);
    }
}

/// A plain thread waits for an operation in flight on an executor; the wait ends with the runtime.
fn a_shutdown_ends_waits_elsewhere() {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let (handle, io) = (evented.handle(), evented.io());
    let (near, _far) = half(io);
    let pool = BufferPool::new(4, 16);
    let Ok(mut bytes) = io.group(|group| {
        let (near, pool) = (&near, &pool);
        let member = group.spawn_concurrent(move |io| {
            let mut bytes = near.incoming(io, pool);
            io.timeout(Duration::from_millis(1), |io| bytes.next(io)).map(drop).unwrap_err();
            bytes
        });
        Ok::<_, Infallible>(member.unwrap().join(io))
    });
    std::thread::scope(|threads| {
        let waiter = threads.spawn(|| bytes.next(&*handle).map(drop));
        evented.shutdown();
        let error = waiter.join().unwrap().unwrap_err();
        assert!(error.get_ref().is_some_and(|source| source.is::<ShutDown>()), "{error}");
    });
}

/// The bytes are released when the peer has received them, and not before the kernel says so.
fn bytes_are_let_go_when_the_peer_has_them() {
    let drops = Arc::new(AtomicUsize::new(0));
    on_a_fiber(|io| {
        let (near, mut far) = half(io);
        let bytes = Arc::new(Counted(vec![5; 64 << 10], drops.clone()));
        near.send_zero_copy(io, bytes).unwrap();
        let mut received = vec![0; 64 << 10];
        far.read_exact(&mut received).unwrap();
        assert!(received.iter().all(|byte| *byte == 5));
        while drops.load(Ordering::SeqCst) == 0 {
            io.sleep(Duration::from_millis(1)).unwrap();
        }
    });
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

/// A destructor of bytes that are released after their call may do what any destructor may do: it waits for another
/// fiber, has values of its task's own, and panics.
fn a_destructor_of_sent_bytes_runs_on_a_fiber() {
    struct Bad(Vec<u8>, Arc<Dropped>, Arc<dyn Io>);
    struct Dropped {
        begun: AtomicUsize,
        ended: AtomicUsize,
        go_on: Event,
    }
    struct PanicsToo;
    impl Drop for PanicsToo {
        fn drop(&mut self) {
            resume_unwind(Box::new("the destructor of a panic"));
        }
    }
    fiber_local! {
        static OWN: PanicsToo = PanicsToo;
    }
    impl AsRef<[u8]> for Bad {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            self.1.begun.fetch_add(1, Ordering::SeqCst);
            OWN.with(|_| ());
            self.1.go_on.wait_uncancelable(&*self.2);
            self.1.ended.fetch_add(1, Ordering::SeqCst);
            resume_unwind(Box::new(PanicsToo));
        }
    }
    let dropped = || Dropped { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0), go_on: Event::new() };
    for in_time in [true, false] {
        let dropped = Arc::new(dropped());
        on_a_fiber(|io| {
            let (near, mut far) = half(io);
            let bad = Bad(vec![7; 20_000], dropped.clone(), io.handle().unwrap());
            let unread = send_to_who_does_not_read(io, &near, &mut far, Arc::new(bad));
            assert_eq!(dropped.begun.load(Ordering::SeqCst), 0, "the kernel has them");
            far.read_exact(&mut vec![0; unread]).unwrap();
            while dropped.begun.load(Ordering::SeqCst) == 0 {
                io.sleep(Duration::from_millis(1)).unwrap();
            }
            assert_eq!(dropped.ended.load(Ordering::SeqCst), 0, "it waits for this fiber, beside it");
            dropped.go_on.set();
            while in_time && dropped.ended.load(Ordering::SeqCst) == 0 {
                io.sleep(Duration::from_millis(1)).unwrap();
            }
        });
        assert_eq!(dropped.ended.load(Ordering::SeqCst), 1, "the runtime's end waits for it");
    }
}

/// Sends bytes without a copy to a peer that does not read, so the kernel keeps them after the call has returned.
/// Returns how many bytes the peer has to read until the kernel releases them.
fn send_to_who_does_not_read<T: AsRef<[u8]> + Send + Sync + 'static>(
    io: &dyn Io,
    near: &TcpStream,
    far: &mut net::TcpStream,
    bytes: Arc<T>,
) -> usize {
    // The peer's window is full, and some of the following bytes stay with the sender.
    let unread = (*bytes).as_ref().len() + fill(io, near);
    let mut read = vec![0; 600_000];
    far.read_exact(&mut read).unwrap();
    near.send_zero_copy(io, bytes).unwrap();
    unread - read.len()
}

/// A destructor queues more cancellations than the submission queue holds, and no completion that arrives in the
/// meantime is lost.
fn a_destructor_of_sent_bytes_may_drop_many_that_are_armed() {
    const ARMED: usize = 600;
    struct Owner(Vec<u8>, #[expect(dead_code, reason = "dropped with it")] Mutex<Vec<Incoming<'static>>>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    on_a_fiber(|io| {
        let listener: &'static TcpListener = Box::leak(Box::new(TcpListener::bind(io, "127.0.0.1:0").unwrap()));
        let armed = |_| {
            let mut incoming = listener.incoming(io);
            io.timeout(Duration::from_micros(10), |io| incoming.next(io)).unwrap_err();
            incoming
        };
        let armed = (0..ARMED).map(armed).collect();
        let (near, mut far) = half(io);
        let owner = Arc::new(Owner(vec![7; 20_000], Mutex::new(armed)));
        let weak = Arc::downgrade(&owner);
        let unread = send_to_who_does_not_read(io, &near, &mut far, owner);
        assert_eq!(weak.strong_count(), 1, "the kernel has them");
        far.read_exact(&mut vec![0; unread]).unwrap();
        while weak.strong_count() > 0 {
            io.sleep(Duration::from_millis(1)).unwrap();
        }
        // Each operation of this fiber still completes.
        for _ in 0..10 {
            io.sleep(Duration::from_micros(10)).unwrap();
            assert!(near.peer_addr(io).is_ok());
        }
    });
}

/// A peer that never reads delays no shutdown. The bytes that were sent to it stay unchanged, and are never freed.
fn what_the_kernel_holds_at_the_end_is_never_freed() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut far, window) = on_a_fiber(|io| {
        let (near, far) = half(io);
        near.set_option(io, option::SEND_BUFFER_SIZE, 4 << 20).unwrap();
        let mut window = 0;
        // Until the peer's window is full, with more bytes in the queue behind it.
        while io
            .timeout(Duration::from_millis(50), |io| {
                near.send_zero_copy(io, Arc::new(Counted(vec![6; 256 << 10], drops.clone())))
            })
            .is_ok()
        {
            window += 256 << 10;
        }
        (far, window)
    });
    let sent = drops.load(Ordering::SeqCst);
    let mut received = vec![0; window];
    far.read_exact(&mut received).unwrap();
    assert!(received.iter().all(|byte| *byte == 6), "the peer gets what was sent");
    assert_eq!(drops.load(Ordering::SeqCst), sent, "nobody is left to be told");
    note(format_args!("{sent} of {} sends were let go before the end", window / (256 << 10) + 1));
    assert!(sent < window / (256 << 10) + 1, "the kernel held nothing, so this showed nothing");
}
