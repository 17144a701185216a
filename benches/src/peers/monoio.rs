//! monoio on io_uring; channels and semaphores of `local-sync`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use local_sync::mpsc::bounded;
use local_sync::semaphore::Semaphore;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::sleep;
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::job::Job;
use crate::measure::{Stopwatch, Usage, resident_bytes};
use crate::peers::{CHUNK, YIELDS, late, memory_figures, not_offered, sleeps, timer_figures};
use crate::record::Figures;

fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    RuntimeBuilder::<IoUringDriver>::new().enable_timer().build()?.block_on(program)
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        ready(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream, buffer_bytes));
        }
    })
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let (read, full) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, sent) = stream.write_all(full).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}

pub(super) fn measure(job: Job) -> io::Result<Figures> {
    block_on(async {
        match job {
            Job::Tasks { batch, seconds } => Ok(tasks(batch, seconds).await),
            Job::Yield { seconds } => Ok(yields(seconds).await),
            Job::Channel { seconds } => Ok(channel(seconds).await),
            Job::Timers { sleepers, longest_ms } => timers(sleepers, longest_ms).await,
            Job::Memory { fibers } => memory(fibers).await,
            Job::Echo { .. } | Job::Offload { .. } => not_offered(job),
        }
    })
}

async fn tasks(batch: u32, seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let mut tasks = Vec::with_capacity(batch as usize);
    let turns = CHUNK.div_ceil(batch.into());
    while watch.goes_on(turns * u64::from(batch)) {
        for _ in 0..turns {
            tasks.extend((0..batch).map(|number| monoio::spawn(async move { black_box(number) })));
            for task in tasks.drain(..) {
                task.await;
            }
        }
    }
    watch.figures()
}

/// Gives way once; monoio has no call for it.
async fn yield_now() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn yields(seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(2 * YIELDS) {
        let two = [(); 2].map(|()| {
            monoio::spawn(async {
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

async fn channel(seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let (ping, mut pings) = bounded::channel::<u64>(1);
    let (pong, mut pongs) = bounded::channel(1);
    let partner = monoio::spawn(async move {
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

async fn timers(sleepers: u32, longest_ms: f64) -> io::Result<Figures> {
    let before = Usage::of_process()?;
    let tasks: Vec<_> = sleeps(sleepers, longest_ms)
        .map(|duration| {
            monoio::spawn(async move {
                let begun = Instant::now();
                sleep(duration).await;
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

async fn memory(fibers: u32) -> io::Result<Figures> {
    let alive = Rc::new(Cell::new(0));
    let end = Rc::new(Semaphore::new(0));
    let before = resident_bytes()?;
    for _ in 0..fibers {
        let (alive, end) = (alive.clone(), end.clone());
        monoio::spawn(async move {
            alive.set(alive.get() + 1);
            drop(end.acquire().await);
            alive.set(alive.get() - 1);
        });
    }
    // The future of `block_on` is woken by tasks and timers, not by itself: it cannot yield.
    while alive.get() < fibers {
        sleep(Duration::from_millis(1)).await;
    }
    let with_all = resident_bytes()?;
    end.close();
    while alive.get() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(memory_figures(fibers, before, with_all))
}
