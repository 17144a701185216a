//! glommio on io_uring, with its pool for blocking calls.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use glommio::io::{BufferedFile, DmaFile};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::peers::local::{self, Runtime};
use crate::peers::reads::{Files, Mode, PAGE_BYTES, Reads};
use crate::record::Figures;

pub(super) struct Glommio;

impl Runtime for Glommio {
    fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        LocalExecutorBuilder::new(Placement::Unbound).make()?.run(program)
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        glommio::spawn_local(task)
    }

    async fn sleep(duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
        glommio::executor().spawn_blocking(call)
    }
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    Glommio::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        ready(listener.local_addr()?);
        loop {
            let stream = listener.accept().await?;
            glommio::spawn_local(echo(stream, buffer_bytes)).detach();
        }
    })
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

pub(super) fn files(files: Files) -> io::Result<Figures> {
    match files.mode {
        Mode::Direct => {
            local::files::<Glommio, _, _>(files, async |files| Ok(DmaFile::open(&files.path).await?), read_direct)
        }
        Mode::Hot => {
            local::files::<Glommio, _, _>(files, async |files| Ok(BufferedFile::open(&files.path).await?), read_hot)
        }
    }
}

async fn read_direct(file: Rc<DmaFile>, reads: Rc<Reads>) -> io::Result<()> {
    while let Some(offset) = reads.next() {
        reads.check(offset, &file.read_at_aligned(offset, PAGE_BYTES).await?)?;
    }
    Ok(())
}

async fn read_hot(file: Rc<BufferedFile>, reads: Rc<Reads>) -> io::Result<()> {
    while let Some(offset) = reads.next() {
        reads.check(offset, &file.read_at(offset, PAGE_BYTES).await?)?;
    }
    Ok(())
}
