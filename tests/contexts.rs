//! Mixed contexts: {fiber of one runtime, fiber of another, pool worker, plain thread} do everything through one
//! explicit `Io`, each together with each of the others.
//!
//! Each combination works, or returns an error that names both sides; none hangs. `IOLITE_TEST_ROUNDS=10000` is the
//! long run.

mod support;

use std::io;
use std::net::Shutdown;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite::sync::{Event, Mutex, mpmc::channel};
use iolite::{Canceled, Io, Task, WaitError};
use iolite_conformance::tools::{Watchdog, concurrently, note, rounds, scope, tcp_pair};
use iolite_conformance::{Case, On, Running, run_cases, whole};

use support::{evented, threaded};

const WHOLE: &[Case] = whole![
    each_pair_of_places_works_together(mutex, threaded()),
    each_pair_of_places_works_together(mutex, evented()),
    each_pair_of_places_works_together(channels, threaded()),
    each_pair_of_places_works_together(channels, evented()),
    each_pair_of_places_works_together(join, threaded()),
    each_pair_of_places_works_together(join, evented()),
    each_pair_of_places_works_together(cancel, threaded()),
    each_pair_of_places_works_together(cancel, evented()),
    each_pair_of_places_works_together(sleep, threaded()),
    each_pair_of_places_works_together(sleep, evented()),
    each_pair_of_places_works_together(socket, threaded()),
    each_pair_of_places_works_together(socket, evented()),
];

fn main() -> ExitCode {
    run_cases(support::subjects(), &[WHOLE])
}

const HOUR: Duration = Duration::from_secs(3600);

/// The place where code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FiberOfOne,
    FiberOfAnother,
    PoolWorker,
    PlainThread,
}

const PLACES: [Place; 4] = [Place::FiberOfOne, Place::FiberOfAnother, Place::PoolWorker, Place::PlainThread];

/// Everything that runs in this process.
struct House {
    one: Running,
    another: Running,
    pool: Running,
}

impl House {
    fn new() -> Self {
        Self { one: evented().start(), another: evented().start(), pool: threaded().start() }
    }

    /// Returns the explicit `Io` of a combination.
    fn io(&self, on: &On) -> &dyn Io {
        if on.tasks_are_threads() { self.pool.io() } else { self.one.io() }
    }

    /// Runs `f` in the place, from a plain thread, and waits for it.
    fn run<T: Send>(&self, place: Place, f: impl FnOnce() -> T + Send) -> T {
        let runtime = match place {
            Place::PlainThread => return f(),
            Place::FiberOfOne => &self.one,
            Place::FiberOfAnother => &self.another,
            Place::PoolWorker => &self.pool,
        };
        scope(runtime.io(), |group| concurrently(group, |_| f()).join(runtime.io()))
    }

    /// Runs `first` and `second` side by side, each in its place.
    fn both<A: Send, B: Send>(
        &self,
        places: (Place, Place),
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        thread::scope(|threads| {
            let second = threads.spawn(|| self.run(places.1, second));
            let first = self.run(places.0, first);
            (first, second.join().expect("no panic in the second place"))
        })
    }
}

/// Two places do something together, `rounds` times. Returns how often it was done.
type Subject = fn(&House, &dyn Io, (Place, Place), usize) -> io::Result<usize>;

fn each_pair_of_places_works_together(subject: Subject, on: On) {
    let watchdog = Watchdog::start();
    let house = House::new();
    let io = house.io(&on);
    let rounds = rounds(200);
    let mut named_errors = 0;
    for first in PLACES {
        for second in PLACES {
            match subject(&house, io, (first, second), rounds) {
                Ok(done) => note(format_args!("{first:?} and {second:?}: {done} rounds")),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("threaded") && text.contains("evented"), "{first:?}, {second:?}: {text}");
                    note(format_args!("{first:?} and {second:?}: {text}"));
                    named_errors += 1;
                }
            }
            watchdog.beat();
        }
    }
    note(format_args!("{} pairs through {}, {named_errors} named errors", PLACES.len().pow(2), io.backend()));
}

fn mutex(house: &House, io: &dyn Io, places: (Place, Place), rounds: usize) -> io::Result<usize> {
    let counter = Mutex::new(0);
    let count = || {
        for round in 0..rounds {
            let mut counter = counter.lock(io)?;
            let before = *counter;
            if round % 8 == 0 {
                io.yield_now();
            }
            *counter = before + 1;
        }
        Ok(())
    };
    let (first, second): (io::Result<()>, io::Result<()>) = house.both(places, count, count);
    first.and(second)?;
    assert_eq!(*counter.lock(io)?, 2 * rounds, "no update is lost");
    Ok(counter.into_inner())
}

fn channels(house: &House, io: &dyn Io, places: (Place, Place), rounds: usize) -> io::Result<usize> {
    let mut done = 0;
    for capacity in [0, 1] {
        let ((there, arrives), (back, returns)) = (channel(capacity), channel(capacity));
        let ping = move || {
            for item in 0..rounds {
                there.send(io, item)?;
                assert_eq!(returns.recv(io)?, item + 1);
            }
            Ok(rounds)
        };
        let pong = move || {
            while let Ok(item) = arrives.recv(io) {
                back.send(io, item + 1_usize)?;
            }
            Ok(())
        };
        let (first, second): (io::Result<usize>, io::Result<()>) = house.both(places, ping, pong);
        second?;
        done += first?;
    }
    Ok(done)
}

/// One place starts a task, and the other joins it.
fn join(house: &House, io: &dyn Io, places: (Place, Place), rounds: usize) -> io::Result<usize> {
    let (sender, receiver) = channel::<Task<usize>>(4);
    let start = move || {
        for round in 0..rounds {
            sender.send(io, io.spawn_concurrent(move |_| round)?)?;
            assert_eq!(io.spawn_async(move |_| round).join(io), round);
        }
        Ok(())
    };
    let joined = AtomicUsize::new(0);
    let join = || {
        while let Ok(task) = receiver.recv(io) {
            assert_eq!(task.join(io), joined.fetch_add(1, Ordering::Relaxed));
        }
    };
    let (first, ()): (io::Result<()>, ()) = house.both(places, start, join);
    first?;
    assert_eq!(joined.load(Ordering::Relaxed), rounds);
    Ok(rounds)
}

/// One place starts a sleep, a wait or a read, and the other cancels it.
fn cancel(house: &House, io: &dyn Io, places: (Place, Place), rounds: usize) -> io::Result<usize> {
    let (sender, receiver) = channel::<Task<bool>>(4);
    let (client, _server) = tcp_pair(io);
    let client = Arc::new(client);
    let start = move || {
        for round in 0..rounds {
            let client = client.clone();
            let task = match round % 3 {
                0 => io.spawn_concurrent(|io| io.sleep(HOUR).is_err())?,
                1 => io.spawn_concurrent(|io| Event::new().wait(io).is_err())?,
                _ => io.spawn_concurrent(move |io| {
                    client.read(io, &mut [0]).is_err_and(|error| Canceled::is_in(&error))
                })?,
            };
            sender.send(io, task)?;
        }
        Ok(())
    };
    let canceled = AtomicUsize::new(0);
    let cancel = || {
        while let Ok(task) = receiver.recv(io) {
            assert!(task.cancel(io), "it ends by the cancellation and by nothing else");
            canceled.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (first, ()): (io::Result<()>, ()) = house.both(places, start, cancel);
    first?;
    assert_eq!(canceled.load(Ordering::Relaxed), rounds);
    Ok(rounds)
}

fn sleep(house: &House, io: &dyn Io, places: (Place, Place), rounds: usize) -> io::Result<usize> {
    let time = Duration::from_micros(20);
    let sleep = || {
        for round in 0..rounds {
            let begin = io.now();
            io.sleep(time)?;
            assert!(io.now() - begin >= time, "too early");
            if round % 16 == 0 {
                let result = io.timeout(time, |io| io.sleep(HOUR));
                assert!(matches!(result, Err(WaitError::TimedOut(_))), "{result:?}");
            }
        }
        Ok(())
    };
    let (first, second): (io::Result<()>, io::Result<()>) = house.both(places, sleep, sleep);
    first.and(second)?;
    Ok(2 * rounds)
}

fn socket(house: &House, io: &dyn Io, places: (Place, Place), rounds: usize) -> io::Result<usize> {
    let (client, server) = tcp_pair(io);
    let ping = || {
        let mut buffer = [0; 8];
        for round in 0..rounds {
            let bytes = round.to_le_bytes();
            client.write_all(io, &bytes)?;
            client.read_exact(io, &mut buffer)?;
            assert_eq!(buffer, bytes);
        }
        client.shutdown(io, Shutdown::Write)
    };
    let echo = || {
        let mut buffer = [0; 64];
        loop {
            match server.read(io, &mut buffer)? {
                0 => return Ok(()),
                count => server.write_all(io, &buffer[..count])?,
            }
        }
    };
    let (first, second): (io::Result<()>, io::Result<()>) = house.both(places, ping, echo);
    first.and(second)?;
    Ok(rounds)
}
