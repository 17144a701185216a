//! Helpers that the tests of this crate share.
#![allow(dead_code)]

use std::fs;
use std::sync::mpsc;
use std::thread;

use iolite_io::Io;
use iolite_io::net::{TcpListener, TcpStream};
use iolite_threaded::{Options, Threaded};

pub(crate) fn threaded(async_limit: usize, concurrent_limit: usize) -> Threaded {
    Threaded::new(Options { async_limit, concurrent_limit, ..Options::default() }).unwrap()
}

/// Returns the two ends of a connection.
pub(crate) fn connection(io: &dyn Io) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
    let client = TcpStream::connect(io, listener.local_addr(io).unwrap()).unwrap();
    let (server, _) = listener.accept(io).unwrap();
    (client, server)
}

/// Runs `call` as a task, cancels it when its thread is asleep, and returns its result.
pub(crate) fn cancel_when_asleep<T: Send + 'static>(
    io: &dyn Io,
    call: impl FnOnce(&dyn Io) -> T + Send + 'static,
) -> T {
    let (tell, thread) = mpsc::channel();
    let task = io
        .spawn_concurrent(move |io| {
            tell.send(this_thread()).unwrap();
            call(io)
        })
        .unwrap();
    let thread = thread.recv().unwrap();
    wait_until_asleep(&thread);
    task.cancel(io)
}

/// Returns the path of the calling thread in `/proc`, for [`wait_until_asleep`].
pub(crate) fn this_thread() -> String {
    fs::read_link("/proc/thread-self").unwrap().to_str().unwrap().to_owned()
}

/// Waits until the system reports that the thread sleeps.
pub(crate) fn wait_until_asleep(thread: &str) {
    loop {
        let stat = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap();
        if stat.rsplit_once(')').unwrap().1.trim_start().starts_with('S') {
            return;
        }
        thread::yield_now();
    }
}
