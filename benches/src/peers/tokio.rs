//! tokio, on the current thread or with two workers.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::sleep;

use crate::job::{Job, Way};
use crate::measure::{Stopwatch, Usage, resident_bytes};
use crate::peers::common::{
    CALLS, CHUNK, YIELDS, answer_head, asked_for, late, memory_figures, not_offered, offload_figures, sleeps,
    timer_figures,
};
use crate::peers::names::{self, Call, Names};
use crate::peers::reads::{Files, Reads, page};
use crate::record::Figures;

pub(super) struct Tokio {
    /// The number of threads that run tasks; `None` means only the current thread.
    workers: Option<usize>,
}

pub(super) const CURRENT_THREAD: Tokio = Tokio { workers: None };
pub(super) const TWO_WORKERS: Tokio = Tokio { workers: Some(2) };

impl Tokio {
    pub(super) fn serve(&self, buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.runtime()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ready(listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(echo(stream, buffer_bytes));
            }
        })
    }

    pub(super) fn serve_stream(&self, piece_bytes: usize, way: Way, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.runtime()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ready(listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(pump(stream, piece_bytes, way));
            }
        })
    }

    pub(super) fn serve_files(&self, folder: PathBuf, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.runtime()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ready(listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(answer_files(stream, folder.clone()));
            }
        })
    }

    pub(super) fn proxy(&self, origin: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.runtime()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ready(listener.local_addr()?);
            loop {
                let (client, _) = listener.accept().await?;
                tokio::spawn(pass_on(client, origin));
            }
        })
    }

    pub(super) fn measure(&self, job: Job) -> io::Result<Figures> {
        // The job runs in a task, because no worker runs the future of `block_on`.
        self.runtime()?.block_on(async { tokio::spawn(answer(job)).await? })
    }

    fn runtime(&self) -> io::Result<Runtime> {
        match self.workers {
            None => Builder::new_current_thread().enable_all().build(),
            Some(workers) => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
        }
    }
}

async fn pump(mut stream: TcpStream, piece_bytes: usize, way: Way) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut piece = vec![0; piece_bytes];
    loop {
        match way {
            Way::Send => stream.write_all(&piece).await?,
            Way::Receive if stream.read(&mut piece).await? == 0 => return Ok(()),
            Way::Receive => {}
        }
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

async fn answer_files(mut stream: TcpStream, folder: PathBuf) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 1024];
    loop {
        let count = stream.read(&mut request).await?;
        if count == 0 {
            return Ok(());
        }
        let mut file = fs::File::open(folder.join(asked_for(&request[..count])?)).await?;
        let bytes = file.metadata().await?.len();
        stream.write_all(answer_head(bytes).as_bytes()).await?;
        tokio::io::copy(&mut file, &mut stream).await?;
    }
}

async fn pass_on(mut client: TcpStream, origin: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(origin).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn answer(job: Job) -> io::Result<Figures> {
    match job {
        Job::Tasks { batch, seconds } => tasks(batch, seconds).await,
        Job::Yield { seconds } => yields(seconds).await,
        Job::Channel { seconds } => channel(seconds).await,
        Job::Timers { sleepers, longest_ms } => timers(sleepers, longest_ms).await,
        Job::Memory { fibers } => memory(fibers).await,
        Job::Offload { in_flight, seconds } => offload(in_flight, seconds).await,
        Job::Files(files) => self::files(files).await,
        Job::Names(names) => self::names(&names).await,
        Job::Echo { .. } | Job::Stream { .. } | Job::Serve { .. } | Job::Proxy { .. } => not_offered(job),
    }
}

async fn tasks(batch: u32, seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    let mut tasks = Vec::with_capacity(batch as usize);
    let turns = CHUNK.div_ceil(batch.into());
    while watch.goes_on(turns * u64::from(batch)) {
        for _ in 0..turns {
            tasks.extend((0..batch).map(|number| tokio::spawn(async move { black_box(number) })));
            for task in tasks.drain(..) {
                task.await?;
            }
        }
    }
    Ok(watch.figures())
}

async fn yields(seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(2 * YIELDS) {
        let two = [(); 2].map(|()| {
            tokio::spawn(async {
                for _ in 0..YIELDS {
                    yield_now().await;
                }
            })
        });
        for task in two {
            task.await?;
        }
    }
    Ok(watch.figures())
}

async fn channel(seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    let (ping, mut pings) = mpsc::channel::<u64>(1);
    let (pong, mut pongs) = mpsc::channel(1);
    let partner = tokio::spawn(async move {
        while let Some(number) = pings.recv().await {
            pong.send(number).await.expect("the other receives");
        }
    });
    while watch.goes_on(2 * CHUNK) {
        for number in 0..CHUNK {
            ping.send(number).await.map_err(io::Error::other)?;
            assert_eq!(pongs.recv().await, Some(number));
        }
    }
    drop(ping);
    partner.await?;
    Ok(watch.figures())
}

async fn timers(sleepers: u32, longest_ms: f64) -> io::Result<Figures> {
    let before = Usage::of_process()?;
    let tasks: Vec<_> = sleeps(sleepers, longest_ms)
        .map(|duration| {
            tokio::spawn(async move {
                let begun = Instant::now();
                sleep(duration).await;
                late(begun, duration)
            })
        })
        .collect();
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        all.push(task.await?);
    }
    timer_figures(before, all)
}

async fn memory(fibers: u32) -> io::Result<Figures> {
    let alive = Arc::new(AtomicU32::new(0));
    let end = Arc::new(Semaphore::new(0));
    let before = resident_bytes()?;
    for _ in 0..fibers {
        let (alive, end) = (alive.clone(), end.clone());
        tokio::spawn(async move {
            alive.fetch_add(1, Relaxed);
            drop(end.acquire().await);
            alive.fetch_sub(1, Relaxed);
        });
    }
    while alive.load(Relaxed) < fibers {
        yield_now().await;
    }
    let with_all = resident_bytes()?;
    end.close();
    while alive.load(Relaxed) > 0 {
        yield_now().await;
    }
    Ok(memory_figures(fibers, before, with_all))
}

async fn offload(in_flight: u32, seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(u64::from(in_flight) * CALLS) {
        let tasks: Vec<_> = (0..in_flight)
            .map(|_| {
                tokio::spawn(async {
                    for number in 0..CALLS {
                        assert_eq!(spawn_blocking(move || black_box(number)).await?, number);
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
    }
    Ok(offload_figures(in_flight, watch.ns_per_operation()))
}

async fn files(files: Files) -> io::Result<Figures> {
    let file = Arc::new(files.open()?);
    let reads = Arc::new(Reads::new(&files));
    let tasks: Vec<_> = (0..files.in_flight).map(|_| tokio::spawn(read(file.clone(), reads.clone()))).collect();
    for task in tasks {
        task.await??;
    }
    reads.figures()
}

/// tokio has no read at an offset: such reads go to its pool for blocking calls, as those of `tokio::fs` do.
async fn read(file: Arc<File>, reads: Arc<Reads>) -> io::Result<()> {
    let mut page = page();
    while let Some(offset) = reads.next() {
        let file = file.clone();
        page = spawn_blocking(move || file.read_exact_at(page, offset).map(|()| page)).await??;
        reads.check(offset, page)?;
    }
    Ok(())
}

async fn names(names: &Names) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(names.seconds);
    let (file, new_file) = (names.file(), names.new_file());
    while watch.goes_on(names.call.chunk()) {
        if names.call == Call::Walk {
            names::check_walk(walk(names.tree()).await?)?;
            continue;
        }
        for _ in 0..names.call.chunk() {
            match names.call {
                Call::Metadata => names::check(fs::metadata(&file).await?.len() == names::CONTENT.len() as u64)?,
                Call::Read => names::check_content(&fs::read(&file).await?)?,
                Call::Replace => {
                    fs::write(&new_file, names::CONTENT).await?;
                    names::check_content(&fs::read(&new_file).await?)?;
                    fs::remove_file(&new_file).await?;
                }
                Call::Status => names::check(Command::new(names::PROGRAM).status().await?.success())?,
                Call::Walk => unreachable!("a walk is all of a chunk"),
            }
        }
    }
    Ok(names.figures(&watch))
}

async fn walk(tree: PathBuf) -> io::Result<u64> {
    let (mut entries, mut folders) = (0, vec![tree]);
    while let Some(folder) = folders.pop() {
        let mut listed = fs::read_dir(folder).await?;
        while let Some(entry) = listed.next_entry().await? {
            entries += 1;
            if entry.metadata().await?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(entries)
}
