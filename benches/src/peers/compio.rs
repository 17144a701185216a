//! compio on io_uring, with its pool for blocking calls.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use compio::BufResult;
use compio::fs::{File, OpenOptions};
use compio::io::{AsyncRead, AsyncReadAtExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime;

use crate::peers::local::{self, Runtime};
use crate::peers::reads::{Files, Reads, page};
use crate::record::Figures;

pub(super) struct Compio;

impl Runtime for Compio {
    fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        runtime::Runtime::new()?.block_on(program)
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = runtime::spawn(task);
        async { task.await.expect("it does not panic") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        runtime::time::sleep(duration)
    }

    async fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        runtime::spawn_blocking(call).await.expect("it does not panic")
    }
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    Compio::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ready(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            runtime::spawn(echo(stream, buffer_bytes)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let BufResult(read, full) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let BufResult(written, sent) = stream.write_all(full).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}

pub(super) fn files(files: Files) -> io::Result<Figures> {
    let open =
        async |files: &Files| OpenOptions::new().read(true).custom_flags(files.custom_flags()).open(&files.path).await;
    local::files::<Compio, _, _>(files, open, read)
}

async fn read(file: Rc<File>, reads: Rc<Reads>) -> io::Result<()> {
    let mut page = page();
    while let Some(offset) = reads.next() {
        let BufResult(read, back) = file.read_exact_at(page, offset).await;
        read?;
        reads.check(offset, back)?;
        page = back;
    }
    Ok(())
}
