//! Plain threads and blocking calls.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::fs::sendfile;

use crate::job::{Job, Way};
use crate::measure::{Stopwatch, resident_bytes};
use crate::peers::common::{CHUNK, YIELDS, answer_head, asked_for, memory_figures, not_offered};
use crate::peers::names::{self, Call, Names};
use crate::peers::reads::{Files, Reads, page};
use crate::record::Figures;

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        // An error ends its connection, in this program and in those of all peers.
        thread::Builder::new().spawn(move || echo(stream, buffer_bytes))?;
    }
}

pub(super) fn serve_stream(piece_bytes: usize, way: Way, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        thread::Builder::new().spawn(move || pump(stream, piece_bytes, way))?;
    }
}

fn pump(mut stream: TcpStream, piece_bytes: usize, way: Way) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut piece = vec![0; piece_bytes];
    loop {
        match way {
            Way::Send => stream.write_all(&piece)?,
            Way::Receive if stream.read(&mut piece)? == 0 => return Ok(()),
            Way::Receive => {}
        }
    }
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

pub(super) fn serve_files(folder: PathBuf, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        let folder = folder.clone();
        thread::Builder::new().spawn(move || answer_files(stream, &folder))?;
    }
}

fn answer_files(mut stream: TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 1024];
    loop {
        let count = stream.read(&mut request)?;
        if count == 0 {
            return Ok(());
        }
        let file = File::open(folder.join(asked_for(&request[..count])?))?;
        let bytes = file.metadata()?.len();
        stream.write_all(answer_head(bytes).as_bytes())?;
        let mut offset = 0;
        while offset < bytes {
            let rest = (bytes - offset) as usize;
            sendfile(&stream, &file, Some(&mut offset), rest)?;
        }
    }
}

pub(super) fn proxy(origin: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    ready(listener.local_addr()?);
    loop {
        let (client, _) = listener.accept()?;
        thread::Builder::new().spawn(move || pass_on(client, TcpStream::connect(origin)?))?;
    }
}

fn pass_on(client: TcpStream, server: TcpStream) -> io::Result<()> {
    [&client, &server].into_iter().try_for_each(|stream| stream.set_nodelay(true))?;
    thread::scope(|scope| {
        scope.spawn(|| one_way(&server, &client));
        one_way(&client, &server)
    })
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}

pub(super) fn measure(job: Job) -> io::Result<Figures> {
    match job {
        Job::Tasks { batch, seconds } => Ok(tasks(batch, seconds)),
        Job::Yield { seconds } => Ok(yields(seconds)),
        Job::Channel { seconds } => Ok(channel(seconds)),
        Job::Memory { fibers } => memory(fibers),
        Job::Files(files) => self::files(&files),
        Job::Names(names) => self::names(&names),
        Job::Echo { .. }
        | Job::Stream { .. }
        | Job::Serve { .. }
        | Job::Proxy { .. }
        | Job::Timers { .. }
        | Job::Offload { .. } => not_offered(job),
    }
}

fn tasks(batch: u32, seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let mut tasks = Vec::with_capacity(batch as usize);
    while watch.goes_on(batch.into()) {
        tasks.extend((0..batch).map(|number| thread::spawn(move || black_box(number))));
        for task in tasks.drain(..) {
            task.join().expect("it does not panic");
        }
    }
    watch.figures()
}

fn yields(seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    while watch.goes_on(2 * YIELDS) {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..YIELDS).for_each(|_| thread::yield_now()));
            }
        });
    }
    watch.figures()
}

fn channel(seconds: f64) -> Figures {
    let mut watch = Stopwatch::new(seconds);
    let (ping, pings) = sync_channel(1);
    let (pong, pongs) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || pings.into_iter().all(|number: u64| pong.send(number).is_ok()));
        while watch.goes_on(2 * CHUNK) {
            for number in 0..CHUNK {
                ping.send(number).expect("the partner receives");
                assert_eq!(pongs.recv(), Ok(number));
            }
        }
        drop(ping);
    });
    watch.figures()
}

fn memory(fibers: u32) -> io::Result<Figures> {
    let alive = AtomicU32::new(0);
    let (end, ended) = (Mutex::new(false), Condvar::new());
    let before = resident_bytes()?;
    thread::scope(|scope| {
        let wait = || {
            alive.fetch_add(1, Relaxed);
            let end = end.lock().expect("nobody panics");
            drop(ended.wait_while(end, |end| !*end).expect("nobody panics"));
        };
        let started = (0..fibers).try_for_each(|_| thread::Builder::new().spawn_scoped(scope, wait).map(drop));
        while started.is_ok() && alive.load(Relaxed) < fibers {
            thread::sleep(Duration::from_millis(1));
        }
        let with_all = resident_bytes();
        *end.lock().expect("nobody panics") = true;
        ended.notify_all();
        started?;
        Ok(memory_figures(fibers, before, with_all?))
    })
}

fn files(files: &Files) -> io::Result<Figures> {
    let file = files.open()?;
    let reads = Reads::new(files);
    thread::scope(|scope| {
        let tasks: Vec<_> = (0..files.in_flight).map(|_| scope.spawn(|| read(&file, &reads))).collect();
        tasks.into_iter().try_for_each(|task| task.join().expect("it does not panic"))
    })?;
    reads.figures()
}

fn read(file: &File, reads: &Reads) -> io::Result<()> {
    let page = page();
    while let Some(offset) = reads.next() {
        file.read_exact_at(page, offset)?;
        reads.check(offset, page)?;
    }
    Ok(())
}

fn names(names: &Names) -> io::Result<Figures> {
    let mut watch = Stopwatch::new(names.seconds);
    let (file, new_file, tree) = (names.file(), names.new_file(), names.tree());
    while watch.goes_on(names.call.chunk()) {
        if names.call == Call::Walk {
            names::check_walk(walk(&tree)?)?;
            continue;
        }
        for _ in 0..names.call.chunk() {
            match names.call {
                Call::Metadata => names::check(fs::metadata(&file)?.len() == names::CONTENT.len() as u64)?,
                Call::Read => names::check_content(&fs::read(&file)?)?,
                Call::Replace => {
                    fs::write(&new_file, names::CONTENT)?;
                    names::check_content(&fs::read(&new_file)?)?;
                    fs::remove_file(&new_file)?;
                }
                Call::Status => names::check(Command::new(names::PROGRAM).status()?.success())?,
                Call::Walk => unreachable!("a walk is all of a chunk"),
            }
        }
    }
    Ok(names.figures(&watch))
}

fn walk(folder: &Path) -> io::Result<u64> {
    let mut entries = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        entries += 1;
        if entry.metadata()?.is_dir() {
            entries += walk(&entry.path())?;
        }
    }
    Ok(entries)
}
