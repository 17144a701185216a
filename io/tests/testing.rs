//! `Failing`, which needs no runtime.

use std::thread;
use std::time::Duration;

use iolite_io::fs::File;
use iolite_io::net::{TcpListener, TcpStream, UdpSocket, resolve};
use iolite_io::sync::mpmc::channel;
use iolite_io::testing::Failing;
use iolite_io::{Io, SpawnErrorKind, WaitError};

#[test]
fn every_operation_fails_with_an_errno() {
    let io: &dyn Io = &Failing;
    let errors = [
        TcpListener::bind(io, "127.0.0.1:0").map(drop),
        TcpStream::connect(io, "127.0.0.1:1").map(drop),
        UdpSocket::bind(io, "127.0.0.1:0").map(drop),
        File::open(io, "/dev/null").map(drop),
        File::from(std::fs::File::open("/dev/null").expect("std can")).read(io, &mut [0; 8]).map(drop),
        resolve(io, "example.com", 80).map(drop),
        io.random(&mut [0; 8]),
    ];
    for (number, result) in errors.into_iter().enumerate() {
        let error = result.expect_err("everything fails");
        assert!(error.raw_os_error().is_some_and(|errno| errno > 0), "{number}: {error:?}");
    }
}

#[test]
fn tasks_run_inline_or_come_back() {
    let io: &dyn Io = &Failing;
    let here = thread::current().id();
    assert!(io.spawn_async(move |io| io.spawn_async(move |_| thread::current().id() == here).join(io)).join(io));
    let error = io.spawn_concurrent(|_| 5).expect_err("no unit is free");
    assert!(matches!(error.kind, SpawnErrorKind::ConcurrencyUnavailable(_)), "{error}");
    assert_eq!((error.closure)(io), 5);
    assert!(io.spawn_waiting(|_| ()).is_err());
    assert!(io.spawn_thread("one", |_| ()).is_err());
    let joined = io.group(|group| Ok::<_, ()>(group.spawn_async(|_| 6).join(io)));
    assert_eq!(joined, Ok(6));
}

#[test]
fn time_passes_and_channels_work() {
    let io: &dyn Io = &Failing;
    let timeout = io.timeout(Duration::from_millis(1), |io| io.sleep(Duration::from_secs(3_600)));
    assert!(matches!(timeout, Err(WaitError::TimedOut(_))));
    let (sender, receiver) = channel(1);
    thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|item| sender.send(io, item).expect("received")));
        assert_eq!((0..100).map(|_| receiver.recv(io).expect("sent")).sum::<i32>(), 4_950);
    });
}
