//! smol with an executor of one thread, and the pool of `blocking` behind `unblock`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Task, Timer};

use crate::peers::local::Runtime;

pub(super) struct Smol;

thread_local! {
    /// It lives as long as the process, because a task must not outlive its executor's thread.
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
}

fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> Task<T> {
    EXECUTOR.with(|executor| executor.spawn(task))
}

impl Runtime for Smol {
    fn block_on<T>(program: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        smol::block_on(EXECUTOR.with(|executor| *executor).run(program))
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        spawn(task)
    }

    async fn sleep(duration: Duration) {
        Timer::after(duration).await;
    }

    fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
        smol::unblock(call)
    }
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    Smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ready(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            spawn(echo(stream, buffer_bytes)).detach();
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
