//! iolite: the same programs run on both backends, by configuration.

use std::hint::black_box;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use iolite::bridge::Bridge;
use iolite::fs::{self, BufferPool, File, OpenOptions};
use iolite::net::{TcpListener, TcpStream};
use iolite::sync::{self, Event};
use iolite::{BackendChoice, Config, Io, copy, process};

use crate::job::{Job, Way};
use crate::measure::{Stopwatch, Usage, resident_bytes};
use crate::peers::common::not_offered;
use crate::peers::common::{
    CALLS, CHUNK, YIELDS, answer_head, asked_for, late, memory_figures, offload_figures, sleeps, timer_figures,
};
use crate::peers::names::{self, Call, Names};
use crate::peers::reads::{Files, PAGE_BYTES, Reads};
use crate::record::Figures;

/// The number of connections that a server accepts at once.
const CONNECTIONS_MAX: usize = 30_000;
/// The number of buffers that those connections share that receive into a pool. The kernel takes them in turn, so there
/// should be few more than are filled at once.
const BUFFERS: usize = 512;
/// The number of `spawn_async` tasks that have a worker of `threaded` at once. With the default on one core, all of
/// them would run inline, and nothing would be handed over.
const WORKERS: usize = 64;

pub(super) struct Backend {
    choice: BackendChoice,
    executors: usize,
}

pub(super) const EVENTED: Backend = Backend { choice: BackendChoice::Evented, executors: 1 };
pub(super) const EVENTED_2: Backend = Backend { choice: BackendChoice::Evented, executors: 2 };
pub(super) const THREADED: Backend = Backend { choice: BackendChoice::Threaded, executors: 0 };

impl Backend {
    pub(super) fn serve(&self, buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.accept(ready, |io, stream| echo(io, &stream, buffer_bytes))
    }

    /// Serves like `serve`, but the kernel accepts connections and receives bytes by itself, and an idle connection
    /// holds no buffer.
    pub(super) fn serve_multishot(&self, buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        let pool = BufferPool::new(BUFFERS, buffer_bytes);
        self.run(CONNECTIONS_MAX, |io| {
            let listener = TcpListener::bind(io, "127.0.0.1:0")?;
            ready(listener.local_addr(io)?);
            let mut incoming = listener.incoming(io);
            io.group(|group| {
                loop {
                    let (stream, pool) = (incoming.next(io)?, &pool);
                    group.spawn_waiting(move |io| echo_incoming(io, &stream, pool))?;
                }
            })
        })
    }

    pub(super) fn serve_stream(&self, piece_bytes: usize, way: Way, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.accept(ready, |io, stream| pump(io, &stream, piece_bytes, way))
    }

    pub(super) fn serve_files(&self, folder: &Path, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.accept(ready, |io, stream| answer_files(io, &stream, folder))
    }

    pub(super) fn proxy(&self, origin: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
        self.accept(ready, |io, client| pass_on(io, &client, origin))
    }

    /// Accepts connections on a port of its own, which it passes to `ready`, and serves each in a task.
    fn accept(
        &self,
        ready: impl FnOnce(SocketAddr),
        serve: impl Fn(&dyn Io, TcpStream) -> io::Result<()> + Sync,
    ) -> io::Result<()> {
        self.run(CONNECTIONS_MAX, |io| {
            let listener = TcpListener::bind(io, "127.0.0.1:0")?;
            ready(listener.local_addr(io)?);
            let serve = &serve;
            io.group(|group| {
                loop {
                    let (stream, _) = listener.accept(io)?;
                    group.spawn_waiting(move |io| serve(io, stream))?;
                }
            })
        })
    }

    pub(super) fn measure(&self, job: Job) -> io::Result<Figures> {
        match job {
            Job::Tasks { batch, seconds } => self.run(1, |io| Ok(tasks(io, batch, seconds))),
            Job::Yield { seconds } => self.run(2, |io| yields(io, seconds)),
            Job::Channel { seconds } => self.run(1, |io| channel(io, seconds)),
            Job::Timers { sleepers, longest_ms } => self.run(sleepers as usize, |io| timers(io, sleepers, longest_ms)),
            Job::Memory { fibers } => self.run(fibers as usize, |io| memory(io, fibers)),
            Job::Offload { in_flight, seconds } => self.run(in_flight as usize, |io| offload(io, in_flight, seconds)),
            Job::Files(files) => self.run(files.in_flight as usize, |io| self::files(io, &files)),
            Job::Names(names) => {
                self.run(1, |io| io.group(|group| group.spawn_concurrent(|io| self::names(io, &names))?.join(io)))
            }
            Job::Echo { .. } | Job::Stream { .. } | Job::Serve { .. } | Job::Proxy { .. } => not_offered(job),
        }
    }

    fn run<T>(&self, concurrent_limit: usize, program: impl FnOnce(&dyn Io) -> io::Result<T>) -> io::Result<T> {
        let config = Config::new().backend(self.choice).concurrent_limit(concurrent_limit);
        let config = match self.choice {
            BackendChoice::Evented => config.executors(self.executors),
            _ => config.async_limit(WORKERS),
        };
        iolite::run(config, program)?
    }
}

fn echo(io: &dyn Io, stream: &TcpStream, buffer_bytes: usize) -> io::Result<()> {
    stream.set_nodelay(io, true)?;
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(io, &mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(io, &buffer[..n])?,
        }
    }
}

fn pump(io: &dyn Io, stream: &TcpStream, piece_bytes: usize, way: Way) -> io::Result<()> {
    stream.set_nodelay(io, true)?;
    let mut piece = vec![0; piece_bytes];
    loop {
        match way {
            Way::Send => stream.write_all(io, &piece)?,
            Way::Receive if stream.read(io, &mut piece)? == 0 => return Ok(()),
            Way::Receive => {}
        }
    }
}

fn answer_files(io: &dyn Io, stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut request = [0; 1024];
    loop {
        let count = stream.read(io, &mut request)?;
        if count == 0 {
            return Ok(());
        }
        let file = File::open(io, folder.join(asked_for(&request[..count])?))?;
        let bytes = file.len(io)?;
        stream.write_all(io, answer_head(bytes).as_bytes())?;
        stream.send_file(io, &file, 0..bytes)?;
    }
}

fn pass_on(io: &dyn Io, client: &TcpStream, origin: SocketAddr) -> io::Result<()> {
    let server = &TcpStream::connect(io, origin)?;
    io.group(|group| {
        group.spawn_concurrent(|io| one_way(io, server, client))?;
        one_way(io, client, server)
    })
}

fn one_way(io: &dyn Io, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    copy(io, from, to)?;
    to.shutdown(io, Shutdown::Write)
}

fn echo_incoming(io: &dyn Io, stream: &TcpStream, pool: &BufferPool) -> io::Result<()> {
    stream.set_nodelay(io, true)?;
    let mut incoming = stream.incoming(io, pool);
    while let Some(bytes) = incoming.next(io)? {
        stream.write_all(io, &bytes)?;
    }
    Ok(())
}

fn tasks(io: &dyn Io, batch: u32, seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let mut tasks = Vec::with_capacity(batch as usize);
    let turns = CHUNK.div_ceil(batch.into());
    while watch.goes_on(turns * u64::from(batch)) {
        for _ in 0..turns {
            tasks.extend((0..batch).map(|number| io.spawn_async(move |_| black_box(number))));
            for task in tasks.drain(..) {
                task.join(io);
            }
        }
    }
    watch.figures()
}

fn yields(io: &dyn Io, seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(2 * YIELDS) {
        io.group(|group| {
            for _ in 0..2 {
                group.spawn_waiting(|io| (0..YIELDS).for_each(|_| io.yield_now()))?;
            }
            io::Result::Ok(())
        })?;
    }
    Ok(watch.figures())
}

fn channel(io: &dyn Io, seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    let (ping, pings) = sync::mpmc::channel::<u64>(1);
    let (pong, pongs) = sync::mpmc::channel(1);
    io.group(|group| {
        group.spawn_concurrent(move |io| {
            while let Ok(number) = pings.recv(io) {
                pong.send(io, number).expect("the other receives");
            }
        })?;
        while watch.goes_on(2 * CHUNK) {
            for number in 0..CHUNK {
                ping.send(io, number).map_err(io::Error::other)?;
                assert_eq!(pongs.recv(io).ok(), Some(number));
            }
        }
        drop(ping);
        io::Result::Ok(())
    })?;
    Ok(watch.figures())
}

fn timers(io: &dyn Io, sleepers: u32, longest_ms: f64) -> io::Result<Figures> {
    let before = Usage::of_process()?;
    let all = io.group(|group| {
        let tasks = sleeps(sleepers, longest_ms)
            .map(|duration| {
                Ok(group.spawn_concurrent(move |io| {
                    let begun = Instant::now();
                    io.sleep(duration).map(|()| late(begun, duration))
                })?)
            })
            .collect::<io::Result<Vec<_>>>()?;
        tasks.into_iter().map(|task| Ok(task.join(io)?)).collect::<io::Result<Vec<_>>>()
    })?;
    timer_figures(before, all)
}

fn memory(io: &dyn Io, fibers: u32) -> io::Result<Figures> {
    let alive = AtomicU32::new(0);
    let end = Event::new();
    let before = resident_bytes()?;
    io.group(|group| {
        for _ in 0..fibers {
            group.spawn_concurrent(|io| {
                alive.fetch_add(1, Relaxed);
                end.wait(io)
            })?;
        }
        while alive.load(Relaxed) < fibers {
            io.sleep(Duration::from_millis(1))?;
        }
        let with_all = resident_bytes()?;
        end.set();
        Ok(memory_figures(fibers, before, with_all))
    })
}

fn offload(io: &dyn Io, in_flight: u32, seconds: f64) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(seconds);
    let bridge = Bridge::builder("offload").start(io)?;
    while watch.goes_on(u64::from(in_flight) * CALLS) {
        io.group(|group| {
            let call = |io: &dyn Io| {
                for number in 0..CALLS {
                    let back = bridge.call(io, |()| black_box(number)).map_err(io::Error::other)?;
                    assert_eq!(back, number);
                }
                io::Result::Ok(())
            };
            let tasks = (0..in_flight).map(|_| Ok(group.spawn_waiting(call)?)).collect::<io::Result<Vec<_>>>()?;
            tasks.into_iter().try_for_each(|task| task.join(io))
        })?;
    }
    bridge.close(io);
    Ok(offload_figures(in_flight, watch.ns_per_operation()))
}

fn files(io: &dyn Io, files: &Files) -> io::Result<Figures> {
    let file = OpenOptions::new().read(true).custom_flags(files.custom_flags()).open(io, &files.path)?;
    let reads = Reads::new(files);
    let pool = BufferPool::new(files.in_flight as usize, PAGE_BYTES);
    io.group(|group| {
        let task = |io: &dyn Io| read(io, &file, &pool, &reads);
        let tasks = (0..files.in_flight).map(|_| Ok(group.spawn_concurrent(task)?)).collect::<io::Result<Vec<_>>>()?;
        tasks.into_iter().try_for_each(|task| task.join(io))
    })?;
    reads.figures()
}

fn read(io: &dyn Io, file: &File, pool: &BufferPool, reads: &Reads) -> io::Result<()> {
    let mut page = pool.take(io)?;
    while let Some(offset) = reads.next() {
        file.read_pooled_at(io, &mut page, offset)?;
        reads.check(offset, &page)?;
    }
    Ok(())
}

fn names(io: &dyn Io, names: &Names) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(names.seconds);
    let (file, new_file, tree) = (names.file(), names.new_file(), names.tree());
    while watch.goes_on(names.call.chunk()) {
        if names.call == Call::Walk {
            names::check_walk(walk(io, &tree)?)?;
            continue;
        }
        for _ in 0..names.call.chunk() {
            match names.call {
                Call::Metadata => names::check(fs::metadata(io, &file)?.len() == names::CONTENT.len() as u64)?,
                Call::Read => names::check_content(&fs::read(io, &file)?)?,
                Call::Replace => {
                    fs::write(io, &new_file, names::CONTENT)?;
                    names::check_content(&fs::read(io, &new_file)?)?;
                    fs::remove_file(io, &new_file)?;
                }
                Call::Status => {
                    names::check(process::status(io, &mut Command::new(names::PROGRAM))?.success())?;
                }
                Call::Walk => unreachable!("a walk is all of a chunk"),
            }
        }
    }
    Ok(names.figures(&watch))
}

fn walk(io: &dyn Io, folder: &Path) -> io::Result<u64> {
    let mut entries = 0;
    for entry in fs::read_dir(io, folder)? {
        let entry = entry?;
        entries += 1;
        if entry.metadata(io)?.is_dir() {
            entries += walk(io, &entry.path())?;
        }
    }
    Ok(entries)
}
