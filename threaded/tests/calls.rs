//! The conditions that a blocking system call waits for, and the events that end it.

mod support;

use std::fs;
use std::io::{self, Write};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use iolite_io::fs::OpenOptions;
use iolite_io::net::{TcpListener, UdpSocket};
use iolite_io::{Canceled, Io};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::{cancel_when_asleep, connection, this_thread, threaded, wait_until_asleep};

/// Opens a terminal: the user's side, and the path that the program opens.
fn terminal() -> (fs::File, String) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let path = ptsname(&user, Vec::new()).unwrap().into_string().unwrap();
    (fs::File::from(user), path)
}

/// Returns the signals that the mask in a `status` of `/proc` blocks.
fn blocked(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

const SIGURG: u64 = 1 << (23 - 1);

#[test]
fn the_reader_of_a_terminal_that_gets_nothing_is_canceled_and_timed_out() {
    let (mut user, path) = terminal();
    threaded(0, 2).run(|io| {
        let ours = OpenOptions::new().read(true).open(io, &path).unwrap();
        let late = io.timeout(Duration::from_millis(5), |io| ours.read(io, &mut [0; 8]));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let theirs = OpenOptions::new().read(true).open(io, &path).unwrap();
        let (tell, told) = mpsc::channel();
        let faster = io.spawn_concurrent(move |io| {
            tell.send(this_thread()).unwrap();
            theirs.read(io, &mut [0; 8])
        });
        wait_until_asleep(&told.recv().unwrap());
        let result = cancel_when_asleep(io, move |io| ours.read(io, &mut [0; 8]));
        assert!(Canceled::is_in(&result.unwrap_err()));
        user.write_all(b"line\n").unwrap();
        assert_eq!(faster.unwrap().join(io).unwrap(), 5);
    });
}

#[test]
fn opening_a_fifo_without_another_end_is_canceled_and_timed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    threaded(0, 1).run(|io| {
        let open = move |io: &dyn Io| OpenOptions::new().read(true).open(io, &path);
        let late = io.timeout(Duration::from_millis(5), &open);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(Canceled::is_in(&cancel_when_asleep(io, open).unwrap_err()));
    });
}

/// Two acceptors are told that a connection has arrived.
#[test]
fn an_acceptor_on_a_blocking_listener_that_gets_nobody_is_timed_out() {
    threaded(0, 1).run(|io| {
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        let theirs = plain.try_clone().unwrap();
        let ours = TcpListener::from(plain);
        // Another thread also accepts: now and then after this one was told of a connection, and before it accepts.
        let taker = thread::spawn(move || (0..200).for_each(|_| drop(theirs.accept().unwrap())));
        for _ in 0..200 {
            let _client = std::net::TcpStream::connect(address).unwrap();
            match io.timeout(Duration::from_millis(2), |io| ours.accept(io)) {
                // The connection was meant for the other one.
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
            }
        }
        // Makes up for the connections that this listener has accepted.
        while !taker.is_finished() {
            let _ = std::net::TcpStream::connect(address);
        }
        taker.join().unwrap();
    });
}

#[test]
fn a_receive_ends_when_the_socket_is_shut_down_for_reading() {
    threaded(0, 1).run(|io| {
        let ours = UdpSocket::bind(io, "127.0.0.1:0").unwrap();
        ours.connect(io, "127.0.0.1:9").unwrap();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let asleep = scope.spawn(|| {
                tell.send(this_thread()).unwrap();
                ours.recv(io, &mut [0; 8])
            });
            wait_until_asleep(&told.recv().unwrap());
            ours.shutdown(io, std::net::Shutdown::Read).unwrap();
            assert_eq!(asleep.join().unwrap().unwrap(), 0);
        });
        assert_eq!(ours.recv(io, &mut [0; 8]).unwrap(), 0);
    });
}

/// No signal of ours interrupts the code on a worker, and the programs that it starts inherit its mask.
#[test]
fn no_thread_and_no_program_has_the_signal_blocked() {
    threaded(0, 1).run(|io| {
        let (near, _far) = connection(io);
        let (own, program) = cancel_when_asleep(io, move |io| {
            assert!(Canceled::is_in(&near.read(io, &mut [0; 8]).unwrap_err()));
            let program = Command::new("cat").arg("/proc/self/status").output().unwrap();
            (fs::read_to_string("/proc/thread-self/status").unwrap(), String::from_utf8(program.stdout).unwrap())
        });
        assert_eq!(blocked(&own) & SIGURG, 0);
        assert_eq!(blocked(&program) & SIGURG, 0);
    });
}
