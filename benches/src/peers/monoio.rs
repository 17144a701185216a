//! monoio on io_uring, with its pool for blocking calls.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use monoio::blocking::{DefaultThreadPool, spawn_blocking};
use monoio::fs::File;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::peers::local::{self, Runtime};
use crate::peers::reads::{Files, Reads, page};
use crate::record::Figures;

/// monoio has no default for this.
const BLOCKING_THREADS: usize = 4;

pub(super) struct Monoio;

impl Runtime for Monoio {
    fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        RuntimeBuilder::<IoUringDriver>::new()
            .attach_thread_pool(Box::new(DefaultThreadPool::new(BLOCKING_THREADS)))
            .enable_timer()
            .build()?
            .block_on(program)
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        monoio::spawn(task)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(duration)
    }

    async fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        spawn_blocking(call).await.expect("the pool takes it")
    }
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    Monoio::block_on(async {
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

pub(super) fn files(files: Files) -> io::Result<Figures> {
    local::files::<Monoio, _, _>(files, async |files| File::from_std(files.open()?), read)
}

async fn read(file: Rc<File>, reads: Rc<Reads>) -> io::Result<()> {
    let mut page = page();
    while let Some(offset) = reads.next() {
        let (read, back) = file.read_exact_at(page, offset).await;
        read?;
        reads.check(offset, back)?;
        page = back;
    }
    Ok(())
}
