//! tokio-uring: a runtime of tokio on the current thread, whose sockets and files go through a ring.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::File;
use tokio_uring::net::{TcpListener, TcpStream};

use crate::peers::local::{self, Runtime};
use crate::peers::reads::{Files, PAGE_BYTES, Reads};
use crate::record::Figures;

pub(super) struct TokioUring;

impl Runtime for TokioUring {
    fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio_uring::start(program)
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = tokio_uring::spawn(task);
        async { task.await.expect("it does not panic") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }

    async fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(call).await.expect("it does not panic")
    }
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    TokioUring::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
        ready(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio_uring::spawn(echo(stream, buffer_bytes));
        }
    })
}

async fn echo(stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let (read, full) = stream.read(buffer).await;
        let bytes = read?;
        if bytes == 0 {
            return Ok(());
        }
        let (written, sent) = stream.write_all(full.slice(..bytes)).await;
        written?;
        buffer = sent.into_inner();
    }
}

pub(super) fn files(files: Files) -> io::Result<Figures> {
    local::files::<TokioUring, _, _>(files, async |files| Ok(File::from_std(files.open()?)), read)
}

async fn read(file: Rc<File>, reads: Rc<Reads>) -> io::Result<()> {
    // It takes only vectors, which are not aligned; two pages of memory contain an aligned one.
    let buffer = vec![0; 2 * PAGE_BYTES];
    let start = buffer.as_ptr().align_offset(PAGE_BYTES);
    let mut page = buffer.slice(start..start + PAGE_BYTES);
    while let Some(offset) = reads.next() {
        let (read, back) = file.read_exact_at(page, offset).await;
        read?;
        reads.check(offset, &back)?;
        page = back;
    }
    Ok(())
}
