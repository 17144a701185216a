//! Tests of the whole crate, in folders by subject.

use std::io::{Read, Write};
use std::time::Duration;

use iolite_io::Canceled;
use iolite_io::net::{TcpListener, TcpStream};

use crate::{Options, Threaded};

pub(crate) fn threaded(async_limit: usize, concurrent_limit: usize) -> Threaded {
    Threaded::new(Options { async_limit, concurrent_limit, ..Options::default() }).unwrap()
}

#[test]
fn backend_tells_the_limits() {
    let pool = threaded(1, 1024);
    assert_eq!(pool.io().backend().to_string(), "threaded(async_limit 1, concurrent_limit 1024, stack 1 MiB)");
}

#[test]
fn an_echo_server_answers_and_is_canceled() {
    threaded(1, 8).run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let address = listener.local_addr(io).unwrap();
        let server = io
            .spawn_concurrent(move |io| {
                io.group(|group| -> std::io::Result<()> {
                    loop {
                        let (stream, _) = listener.accept(io)?;
                        group.spawn_waiting(move |io| {
                            let mut buffer = [0; 1024];
                            // The task ends with the connection, or with the server.
                            while let Ok(count @ 1..) = stream.read(io, &mut buffer) {
                                stream.write_all(io, &buffer[..count]).unwrap();
                            }
                        })?;
                    }
                })
            })
            .unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        let stream = TcpStream::connect(io, address).unwrap();
        stream.write_all(io, b"again").unwrap();
        stream.read_exact(io, &mut answer).unwrap();
        assert_eq!(&answer, b"again");
        drop((client, stream));
        let error = server.cancel(io).unwrap_err();
        assert!(Canceled::is_in(&error), "{error}");
        io.sleep(Duration::from_millis(1)).unwrap();
    });
}

#[test]
fn there_are_never_more_workers_than_slots() {
    let pool = threaded(1, 3);
    let io = pool.io();
    for _ in 0..2_000 {
        let tasks: Vec<_> = (0..3).map(|_| io.spawn_concurrent(|_| ()).unwrap()).collect();
        let other = io.spawn_async(|_| ());
        tasks.into_iter().for_each(|task| task.join(io));
        other.join(io);
        assert!(pool.runtime.pool.threads() <= 4);
    }
}

#[test]
fn idle_workers_retire_and_new_ones_take_their_place() {
    let options = Options { idle_timeout: Duration::from_millis(1), ..Options::default() };
    let pool = Threaded::new(options).unwrap();
    let io = pool.io();
    for _ in 0..3 {
        let tasks: Vec<_> = (0..8).map(|index| io.spawn_concurrent(move |_| index).unwrap()).collect();
        assert_eq!(tasks.into_iter().map(|task| task.join(io)).sum::<i32>(), 28);
        while pool.runtime.pool.threads() > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn idle_workers_do_not_hold_up_the_shutdown() {
    let options = Options { idle_timeout: Duration::from_secs(3600), ..Options::default() };
    let pool = Threaded::new(options).unwrap();
    pool.io().spawn_concurrent(|_| ()).unwrap().join(pool.io());
    assert_eq!(pool.runtime.pool.threads(), 1);
    pool.shutdown();
}
