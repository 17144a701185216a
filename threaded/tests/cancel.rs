//! Cancellation of calls that block.

mod support;

use std::fs::File as StdFile;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::fs::File;
use iolite_io::net::{ListenOptions, TcpListener, TcpStream};
use iolite_io::sync::{Mutex, mpmc::channel};
use iolite_io::{Canceled, Io};
use support::{cancel_when_asleep, connection, threaded};

fn assert_canceled<T: std::fmt::Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    assert!(Canceled::is_in(&error), "{error}");
}

#[test]
fn a_receive() {
    threaded(0, 1).run(|io| {
        let (near, _far) = connection(io);
        assert_canceled(cancel_when_asleep(io, move |io| near.read(io, &mut [0; 8])));
    });
}

#[test]
fn an_accept() {
    threaded(0, 1).run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        assert_canceled(cancel_when_asleep(io, move |io| listener.accept(io)));
    });
}

#[test]
fn an_accept_on_a_blocking_listener_of_std() {
    threaded(0, 1).run(|io| {
        let listener = TcpListener::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        assert_canceled(cancel_when_asleep(io, move |io| listener.accept(io)));
    });
}

/// A listener that no longer answers, and the connection that fills its queue.
fn full_listener(io: &dyn Io) -> (TcpListener, TcpStream) {
    let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
    let listener = TcpListener::bind_with(io, "127.0.0.1:0", &options).unwrap();
    let filler = TcpStream::connect(io, listener.local_addr(io).unwrap()).unwrap();
    (listener, filler)
}

#[test]
fn a_connect() {
    threaded(0, 1).run(|io| {
        let (listener, _filler) = full_listener(io);
        let address = listener.local_addr(io).unwrap();
        assert_canceled(cancel_when_asleep(io, move |io| TcpStream::connect(io, address)));
        let late = io.timeout(Duration::from_millis(5), |io| TcpStream::connect(io, address));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_send_that_made_progress_reports_it_and_keeps_the_request() {
    threaded(0, 1).run(|io| {
        let (near, _far) = connection(io);
        let (count, after, again) = cancel_when_asleep(io, move |io| {
            let error = near.write_all(io, &vec![7; 64 << 20]).unwrap_err();
            (iolite_io::Incomplete::count_of(&error), Canceled::from_error(error), io.check_cancel())
        });
        assert!(count > 0);
        assert!(after.is_ok(), "write_all meets the request at its next point");
        assert!(again.is_ok(), "and then it has been delivered");
    });
}

#[test]
fn a_read_from_a_pipe() {
    threaded(0, 1).run(|io| {
        let (reader, _writer) = io::pipe().unwrap();
        let file = File::from(StdFile::from(OwnedFd::from(reader)));
        assert_canceled(cancel_when_asleep(io, move |io| file.read(io, &mut [0; 8])));
    });
}

#[test]
fn a_write_to_a_full_pipe() {
    threaded(0, 1).run(|io| {
        let (_reader, writer) = io::pipe().unwrap();
        let file = File::from(StdFile::from(OwnedFd::from(writer)));
        let error = cancel_when_asleep(io, move |io| file.write_all(io, &vec![0; 1 << 20])).unwrap_err();
        assert!(iolite_io::Incomplete::count_of(&error) >= 4096);
        assert!(Canceled::is_in(&error), "{error}");
    });
}

#[test]
fn a_sleep_a_lock_and_a_channel() {
    threaded(0, 1).run(|io| {
        let _: Canceled = cancel_when_asleep(io, |io| io.sleep(Duration::from_secs(3600))).unwrap_err();
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.try_lock().unwrap();
        let theirs = mutex.clone();
        let _: Canceled = cancel_when_asleep(io, move |io| theirs.lock(io).map(drop)).unwrap_err();
        drop(held);
        assert!(mutex.try_lock().is_some(), "a canceled wait leaves the lock as it was");
        let (_sender, receiver) = channel::<u8>(1);
        cancel_when_asleep(io, move |io| receiver.recv(io).map(drop)).unwrap_err();
    });
}

#[test]
fn a_request_is_delivered_once() {
    threaded(0, 1).run(|io| {
        let (near, far) = connection(io);
        let (first, second) = cancel_when_asleep(io, move |io| {
            let first = near.read(io, &mut [0; 8]);
            (first, near.write(io, b"bye"))
        });
        assert_canceled(first);
        assert_eq!(second.unwrap(), 3);
        assert_eq!(far.read(io, &mut [0; 8]).unwrap(), 3);
    });
}

#[test]
fn a_timeout_ends_a_receive_and_leaves_the_stream_whole() {
    threaded(0, 1).run(|io| {
        let (near, far) = connection(io);
        let result = io.timeout(Duration::from_millis(5), |io| near.read(io, &mut [0; 8]));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        far.write_all(io, b"x").unwrap();
        assert_eq!(near.read(io, &mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn a_lookup_is_left_behind() {
    threaded(0, 1).run(|io| {
        let result = io.timeout(Duration::ZERO, |io| iolite_io::net::resolve(io, "localhost", 80));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!iolite_io::net::resolve(io, "localhost", 80).unwrap().is_empty());
    });
}

/// Every operation is a cancellation point, even if nothing has to be waited for.
#[test]
fn points_that_would_not_block_deliver_too() {
    threaded(0, 1).run(|io| {
        let (near, mut far) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (TcpStream::from(near), listener.accept().unwrap().0)
        };
        far.write_all(b"ready").unwrap();
        let (start, started) = std::sync::mpsc::channel::<()>();
        let task = io
            .spawn_concurrent(move |io| {
                started.recv().unwrap();
                (near.read(io, &mut [0; 8]), near.read(io, &mut [0; 8]))
            })
            .unwrap();
        task.request_cancel();
        start.send(()).unwrap();
        let (first, second) = task.join(io);
        assert_canceled(first);
        assert_eq!(second.unwrap(), 5);
    });
}
