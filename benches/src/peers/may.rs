//! may: stackful coroutines on one worker, which itself waits for the readiness of sockets.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use may::coroutine::{self, JoinHandle};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::{SyncFlag, mpsc};

use crate::job::Job;
use crate::measure::{Stopwatch, resident_bytes};
use crate::peers::common::{CHUNK, YIELDS, memory_figures, not_offered};
use crate::record::Figures;

/// Runs a program in a coroutine, where its calls suspend.
fn run<T: Send + 'static>(program: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    may::config().set_workers(1).set_worker_pin(false);
    join(go!(program))?
}

fn join<T>(task: JoinHandle<T>) -> io::Result<T> {
    task.join().map_err(|_| io::Error::other("a coroutine panicked"))
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    ready(listener.local_addr()?);
    run(move || {
        loop {
            let (stream, _) = listener.accept()?;
            go!(move || echo(stream, buffer_bytes));
        }
    })
}

fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

pub(super) fn measure(job: Job) -> io::Result<Figures> {
    run(move || match job {
        Job::Tasks { batch, seconds } => tasks(batch, seconds),
        Job::Yield { seconds } => yields(seconds),
        Job::Channel { seconds } => channel(seconds),
        Job::Memory { fibers } => memory(fibers),
        Job::Echo { .. }
        | Job::Stream { .. }
        | Job::Serve { .. }
        | Job::Proxy { .. }
        | Job::Timers { .. }
        | Job::Offload { .. }
        | Job::Files(_)
        | Job::Names(_) => not_offered(job),
    })
}

fn tasks(batch: u32, seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    let mut tasks = Vec::with_capacity(batch as usize);
    let turns = CHUNK.div_ceil(batch.into());
    while watch.goes_on(turns * u64::from(batch)) {
        for _ in 0..turns {
            tasks.extend((0..batch).map(|number| go!(move || black_box(number))));
            tasks.drain(..).try_for_each(|task| join(task).map(drop))?;
        }
    }
    Ok(watch.figures())
}

fn yields(seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(2 * YIELDS) {
        let two = [(); 2].map(|()| go!(|| (0..YIELDS).for_each(|_| coroutine::yield_now())));
        two.into_iter().try_for_each(join)?;
    }
    Ok(watch.figures())
}

/// The channels are unbounded, because may has no others.
fn channel(seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    let (ping, pings) = mpsc::channel::<u64>();
    let (pong, pongs) = mpsc::channel();
    let partner = go!(move || pings.into_iter().all(|number| pong.send(number).is_ok()));
    while watch.goes_on(2 * CHUNK) {
        for number in 0..CHUNK {
            ping.send(number).map_err(io::Error::other)?;
            assert_eq!(pongs.recv(), Ok(number));
        }
    }
    drop(ping);
    join(partner)?;
    Ok(watch.figures())
}

fn memory(fibers: u32) -> io::Result<Figures> {
    static ALIVE: AtomicU32 = AtomicU32::new(0);
    let end = std::sync::Arc::new(SyncFlag::new());
    let before = resident_bytes()?;
    let start = |_| {
        let end = end.clone();
        go!(move || {
            ALIVE.fetch_add(1, Relaxed);
            end.wait();
        })
    };
    let tasks: Vec<_> = (0..fibers).map(start).collect();
    while ALIVE.load(Relaxed) < fibers {
        coroutine::sleep(Duration::from_millis(1));
    }
    let with_all = resident_bytes()?;
    end.fire();
    tasks.into_iter().try_for_each(join)?;
    Ok(memory_figures(fibers, before, with_all))
}
