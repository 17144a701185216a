//! Operations, waits and hand-overs allocate nothing once they are warm. The test has a process of its own, because the
//! allocator belongs to the process.

mod support;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use iolite::fs::OpenOptions;
use iolite::net::{Message, OutgoingMessage, UdpSocket};
use iolite::sync::{Barrier, Condvar, Event, Mutex, Notify, RwLock, Semaphore, mpmc::channel};
use iolite::{Canceled, Io};
use iolite_conformance::tools::{Watchdog, concurrently, note, scope, tcp_pair};
use iolite_conformance::{Case, On, cases, run_one_by_one};

const CASES: &[Case] = cases![what_is_warm_allocates_nothing];

fn main() -> ExitCode {
    // The allocations of one case would be counted for the other.
    run_one_by_one(support::subjects(), &[CASES])
}

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The number of times that each operation is repeated while it is counted.
const ROUNDS: usize = 500;

/// Repeats the operation until it is warm, and then counts its allocations in all threads of the process.
fn count(what: &'static str, mut run: impl FnMut() -> io::Result<()>) -> (&'static str, u64) {
    (0..ROUNDS).for_each(|_| run().expect(what));
    let before = dhat::HeapStats::get().total_blocks;
    (0..ROUNDS).for_each(|_| run().expect(what));
    (what, dhat::HeapStats::get().total_blocks - before)
}

/// Operations in which the caller waits for the kernel, or for nobody.
fn operations(io: &dyn Io) -> Vec<(&'static str, u64)> {
    let (near, far) = tcp_pair(io);
    let udp = UdpSocket::bind(io, "127.0.0.1:0").expect("bound");
    udp.connect(io, udp.local_addr(io).expect("bound")).expect("connected");
    let mut options = OpenOptions::new();
    let path = tempfile::NamedTempFile::new().expect("a file");
    let file = options.read(true).write(true).open(io, path.path()).expect("opened");
    let mut buffer = [0; 64];
    let mut messages = [Message::with_room(64), Message::with_room(64)];
    // The first wait makes the waker of a context.
    io.timeout(Duration::from_millis(1), |io| near.readable(io)).expect_err("nothing comes");
    let mut ticks = io.interval(Duration::from_micros(50));
    vec![
        count("write and read", || {
            far.write_all(io, b"hello")?;
            near.read_exact(io, &mut buffer[..5])
        }),
        count("write_vectored and read_vectored", || {
            far.write_vectored(io, &[io::IoSlice::new(b"hel"), io::IoSlice::new(b"lo")])?;
            near.read_vectored(io, &mut [io::IoSliceMut::new(&mut buffer)]).map(drop)
        }),
        count("send and recv", || {
            udp.send(io, b"hello")?;
            udp.recv(io, &mut buffer).map(drop)
        }),
        count("send_many and recv_many", || {
            udp.send_many(io, &[OutgoingMessage { bytes: b"hello", to: None }])?;
            udp.recv_many(io, &mut messages).map(drop)
        }),
        count("write_at and read_at", || {
            file.write_at(io, b"hello", 0)?;
            file.read_at(io, &mut buffer, 0).map(drop)
        }),
        count("writable", || near.writable(io)),
        count("sleep", || Ok(io.sleep(Duration::from_micros(20))?)),
        count("tick", || Ok(ticks.tick(io).map(drop)?)),
        count("yield_now", || {
            io.yield_now();
            Ok(())
        }),
        count("timeout", || Ok(io.timeout(Duration::from_secs(60), |io| io.sleep(Duration::from_nanos(1)))?)),
        count("protect", || Ok(io.shield(|io| io.check_cancel())?)),
    ]
}

/// Hand-overs between two tasks: each round goes back and forth.
fn hand_overs(io: &dyn Io) -> Vec<(&'static str, u64)> {
    let (near, far) = tcp_pair(io);
    let ((to, theirs), (back, ours)) = (channel(0), channel(1));
    // Space is allocated when an item is first stored, which never happens if the receiver is in time.
    back.try_send(0).expect("room");
    ours.try_recv().expect("an item");
    let (ask, answer) = (Semaphore::new(0), Semaphore::new(0));
    let (called, came) = (Notify::new(), Notify::new());
    let (first, second) = (Event::new(), Event::new());
    let (turn, changed) = (Mutex::new(false), Condvar::new());
    let (meeting, shared, counted) = (Barrier::new(2), RwLock::new(0), Event::new());
    let many = 2 * ROUNDS;
    scope(io, |group| {
        let other = concurrently(group, |io| -> io::Result<()> {
            let mut buffer = [0; 5];
            for _ in 0..many {
                far.read_exact(io, &mut buffer)?;
                far.write_all(io, &buffer)?;
            }
            for _ in 0..many {
                back.send(io, theirs.recv(io)?)?;
            }
            for _ in 0..many {
                ask.acquire(io)?.forget();
                answer.add_permits(1);
            }
            for _ in 0..many {
                called.wait(io)?;
                came.notify_one();
            }
            for _ in 0..many {
                first.wait(io)?;
                first.reset();
                second.set();
            }
            for _ in 0..many {
                pass(io, &turn, &changed, true)?;
            }
            for _ in 0..many {
                meeting.wait(io)?;
            }
            for _ in 0..many {
                *shared.write(io)? += 1;
            }
            // The resources that the end of a task frees may need space in a pool, which is not counted.
            Ok(counted.wait(io)?)
        });
        let counts = vec![
            count("echo between tasks", || {
                near.write_all(io, b"hello")?;
                near.read_exact(io, &mut [0; 5])
            }),
            count("a rendezvous and back", || {
                to.send(io, 1)?;
                Ok(ours.recv(io).map(drop)?)
            }),
            count("permits", || {
                ask.add_permits(1);
                answer.acquire(io)?.forget();
                Ok(())
            }),
            count("notifications", || {
                called.notify_one();
                Ok(came.wait(io)?)
            }),
            count("events", || {
                first.set();
                second.wait(io)?;
                second.reset();
                Ok(())
            }),
            count("a condition", || Ok(pass(io, &turn, &changed, false)?)),
            count("a barrier", || Ok(meeting.wait(io).map(drop)?)),
            count("a read-write lock", || Ok(shared.read(io).map(drop)?)),
        ];
        counted.set();
        other.join(io).expect("not canceled");
        counts
    })
}

/// Waits for its turn, and passes the turn on.
fn pass(io: &dyn Io, turn: &Mutex<bool>, changed: &Condvar, mine: bool) -> Result<(), Canceled> {
    let mut turn = turn.lock(io)?;
    while *turn != mine {
        changed.wait(io, &mut turn)?;
    }
    *turn = !mine;
    changed.notify_one();
    Ok(())
}

fn check(on: &On) {
    let _watchdog = Watchdog::start();
    let runtime = on.start();
    let mut counts = operations(runtime.io());
    counts.extend(scope(runtime.io(), |group| concurrently(group, operations).join(runtime.io())));
    counts.extend(scope(runtime.io(), |group| concurrently(group, hand_overs).join(runtime.io())));
    runtime.shutdown();
    for (what, blocks) in &counts {
        note(format_args!("{}: {what}: {blocks} blocks in {ROUNDS} rounds", on.name()));
    }
    counts.retain(|(_, blocks)| *blocks > 0);
    assert!(counts.is_empty(), "{}: {counts:?}", on.name());
}

fn what_is_warm_allocates_nothing(on: &On) {
    let _profiler = dhat::Profiler::builder().testing().build();
    let boxes = count("boxes", || {
        drop(std::hint::black_box(Box::new(1)));
        Ok(())
    });
    // It is a lower bound: threads of the process outside of the case may allocate in the meantime.
    assert!(boxes.1 >= ROUNDS as u64, "of {ROUNDS} boxes {} are counted", boxes.1);
    if !on.tasks_are_threads() {
        check(&on.executors(1));
    }
    check(on);
}
