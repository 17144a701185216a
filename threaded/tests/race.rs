//! A cancellation races the completion of a blocking call: no byte is lost or received twice, no request is lost, and
//! foreign code notices nothing. `IOLITE_TEST_ROUNDS` is the number of rounds.

mod support;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use iolite_conformance::tools::{Race, attempt};
use iolite_io::Io;
use iolite_io::fs::File;
use iolite_io::net::TcpStream;
use rustix::event::Timespec;
use rustix::thread::nanosleep;
use support::threaded;

/// Sleeps like C code that does not expect to be interrupted.
fn sleep_as_others_do() {
    let slept = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 1_000 });
    assert!(matches!(slept, rustix::thread::NanosleepRelativeResult::Ok), "{slept:?}");
}

/// Each byte that `send` sends is received by the call, or remains for `left_over`.
fn race(
    name: &'static str,
    receive: impl Fn(&dyn Io, &mut [u8]) -> io::Result<usize> + Sync,
    ends: (impl Write, impl Read),
) {
    let (mut send, mut left_over) = ends;
    let receive = &receive;
    let mut round: u32 = 0;
    threaded(0, 1).run(|io| {
        Race::new(name, 3_000).run(|start| {
            round += 1;
            let byte = (round % 251) as u8;
            let call = move |io: &dyn Io| {
                let mut buffer = [0; 8];
                let result = receive(io, &mut buffer);
                sleep_as_others_do();
                result.map(|count| (count, buffer[0]))
            };
            let received = attempt(io, start, call, || send.write_all(&[byte]).expect("sent"));
            match received {
                Some(received) => assert_eq!(received, (1, byte), "round {round}"),
                None => {
                    let mut first = [0];
                    left_over.read_exact(&mut first).expect("it is there still");
                    assert_eq!(first, [byte], "round {round}");
                }
            }
            received.is_some()
        });
    });
}

#[test]
fn cancel_against_receive() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_nodelay(true).unwrap();
    let left_over = listener.accept().unwrap().0;
    let near = TcpStream::from(left_over.try_clone().unwrap());
    race("cancel against receive", |io, buffer| near.read(io, buffer), (far, left_over));
}

#[test]
fn cancel_against_read_from_a_pipe() {
    let (reader, writer) = io::pipe().unwrap();
    let file = File::from(std::fs::File::from(OwnedFd::from(reader.try_clone().unwrap())));
    race("cancel against a pipe", |io, buffer| file.read(io, buffer), (writer, reader));
}

/// The thread that the task runs on belongs to no pool.
#[test]
fn cancel_against_receive_in_a_task_on_a_plain_thread() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut left_over = near.try_clone().unwrap();
    let near = Arc::new(iolite_io::net::UnixStream::from(near));
    threaded(0, 1).run(|io| {
        let mut round: u32 = 0;
        Race::new("cancel on a plain thread", 1_000).run(|start| {
            round += 1;
            let byte = (round % 251) as u8;
            // It fails at the deadline, which is also a request.
            let wait = Duration::from_micros(200);
            let received = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(start.completion_delay(wait));
                    far.write_all(&[byte]).expect("sent");
                });
                let mut buffer = [0; 8];
                let result = io.timeout(wait, |io| near.read(io, &mut buffer));
                sleep_as_others_do();
                result.map(|count| (count, buffer[0])).map_err(|error| error.kind())
            });
            match received {
                Ok(received) => assert_eq!(received, (1, byte), "round {round}"),
                Err(kind) => {
                    assert_eq!(kind, io::ErrorKind::TimedOut);
                    let mut first = [0];
                    left_over.read_exact(&mut first).expect("it is there still");
                    assert_eq!(first, [byte], "round {round}");
                }
            }
            received.is_ok()
        });
    });
}
