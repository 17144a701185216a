//! The programs of runtimes whose tasks stay on one thread, written once. Their channels and semaphores are those of
//! `local-sync`, which work on any of them. Tasks yield with `futures-lite`, because only glommio has a call for that,
//! which does the same.

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use local_sync::mpsc::bounded;
use local_sync::semaphore::Semaphore;
use smol::future::yield_now;

use crate::job::Job;
use crate::measure::{Stopwatch, Usage, resident_bytes};
use crate::peers::common::{
    CALLS, CHUNK, YIELDS, late, memory_figures, not_offered, offload_figures, sleeps, timer_figures,
};
use crate::peers::reads::{Files, Reads};
use crate::record::Figures;

/// A runtime of one thread.
pub(super) trait Runtime: 'static {
    /// Runs a program on the calling thread.
    fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T>;

    /// Starts a task, which runs even if nobody waits for the returned future.
    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T>;

    /// Sleeps.
    fn sleep(duration: Duration) -> impl Future<Output = ()>;

    /// Runs a closure on a blocking thread.
    fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T>;
}

/// Runs any job but `echo` and `files`.
pub(super) fn measure<R: Runtime>(job: Job) -> io::Result<Figures> {
    // The job runs in a task, because on some runtimes waking the future of `block_on` costs more.
    R::block_on(async { R::spawn(answer::<R>(job)).await })
}

async fn answer<R: Runtime>(job: Job) -> io::Result<Figures> {
    match job {
        Job::Tasks { batch, seconds } => Ok(tasks::<R>(batch, seconds).await),
        Job::Yield { seconds } => Ok(yields::<R>(seconds).await),
        Job::Channel { seconds } => Ok(channel::<R>(seconds).await),
        Job::Timers { sleepers, longest_ms } => timers::<R>(sleepers, longest_ms).await,
        Job::Memory { fibers } => memory::<R>(fibers).await,
        Job::Offload { in_flight, seconds } => Ok(offload::<R>(in_flight, seconds).await),
        Job::Echo { .. }
        | Job::Stream { .. }
        | Job::Files(_)
        | Job::Names(_)
        | Job::Serve { .. }
        | Job::Proxy { .. } => not_offered(job),
    }
}

async fn tasks<R: Runtime>(batch: u32, seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let mut tasks = Vec::with_capacity(batch as usize);
    let turns = CHUNK.div_ceil(batch.into());
    while watch.goes_on(turns * u64::from(batch)) {
        for _ in 0..turns {
            tasks.extend((0..batch).map(|number| R::spawn(async move { black_box(number) })));
            for task in tasks.drain(..) {
                task.await;
            }
        }
    }
    watch.figures()
}

async fn yields<R: Runtime>(seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(2 * YIELDS) {
        let two = [(); 2].map(|()| {
            R::spawn(async {
                for _ in 0..YIELDS {
                    yield_now().await;
                }
            })
        });
        for task in two {
            task.await;
        }
    }
    watch.figures()
}

async fn channel<R: Runtime>(seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let (ping, mut pings) = bounded::channel::<u64>(1);
    let (pong, mut pongs) = bounded::channel(1);
    let partner = R::spawn(async move {
        while let Some(number) = pings.recv().await {
            pong.send(number).await.expect("the other receives");
        }
    });
    while watch.goes_on(2 * CHUNK) {
        for number in 0..CHUNK {
            ping.send(number).await.expect("the partner receives");
            assert_eq!(pongs.recv().await, Some(number));
        }
    }
    drop(ping);
    partner.await;
    watch.figures()
}

async fn timers<R: Runtime>(sleepers: u32, longest_ms: f64) -> io::Result<Figures> {
    let before = Usage::of_process()?;
    let tasks: Vec<_> = sleeps(sleepers, longest_ms)
        .map(|duration| {
            R::spawn(async move {
                let begun = Instant::now();
                R::sleep(duration).await;
                late(begun, duration)
            })
        })
        .collect();
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        all.push(task.await);
    }
    timer_figures(before, all)
}

async fn memory<R: Runtime>(fibers: u32) -> io::Result<Figures> {
    let alive = Rc::new(Cell::new(0));
    let end = Rc::new(Semaphore::new(0));
    let mut tasks = Vec::with_capacity(fibers as usize);
    let before = resident_bytes()?;
    for _ in 0..fibers {
        let (alive, end) = (alive.clone(), end.clone());
        tasks.push(R::spawn(async move {
            alive.set(alive.get() + 1);
            drop(end.acquire().await);
        }));
    }
    // This does not use `yield_now`: monoio queues a task that wakes itself before all others.
    while alive.get() < fibers {
        R::sleep(Duration::from_millis(1)).await;
    }
    let with_all = resident_bytes()?;
    end.close();
    for task in tasks {
        task.await;
    }
    Ok(memory_figures(fibers, before, with_all))
}

async fn offload<R: Runtime>(in_flight: u32, seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(u64::from(in_flight) * CALLS) {
        let call = || {
            R::spawn(async {
                for number in 0..CALLS {
                    assert_eq!(R::offload(move || black_box(number)).await, number);
                }
            })
        };
        let tasks: Vec<_> = (0..in_flight).map(|_| call()).collect();
        for task in tasks {
            task.await;
        }
    }
    offload_figures(in_flight, watch.ns_per_operation())
}

/// Runs the job `files`: opens the file, and starts as many `reader` tasks as there are reads in flight.
pub(super) fn files<R: Runtime, T: 'static, F: Future<Output = io::Result<()>> + 'static>(
    files: Files,
    open: impl AsyncFnOnce(&Files) -> io::Result<T>,
    reader: impl Fn(Rc<T>, Rc<Reads>) -> F,
) -> io::Result<Figures> {
    R::block_on(async {
        let file = Rc::new(open(&files).await?);
        let reads = Rc::new(Reads::new(&files));
        let tasks: Vec<_> = (0..files.in_flight).map(|_| R::spawn(reader(file.clone(), reads.clone()))).collect();
        for task in tasks {
            task.await?;
        }
        reads.figures()
    })
}
