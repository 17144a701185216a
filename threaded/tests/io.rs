//! Sockets, files, pipes and names: each operation does what its documentation says.

mod support;

use std::fs::File as StdFile;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::net::Shutdown;
use std::os::fd::OwnedFd;

use iolite_io::fs::{File, OpenOptions};
use iolite_io::net::{TcpListener, TcpStream, resolve};
use support::{connection, threaded};

#[test]
fn streams_carry_bytes_both_ways() {
    threaded(0, 2).run(|io| {
        let (near, far) = connection(io);
        let sent: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
        let mut received = vec![0; sent.len()];
        io.group(|group| {
            let writer = group.spawn_concurrent(|io| near.write_all(io, &sent)).unwrap();
            far.read_exact(io, &mut received)?;
            writer.join(io)
        })
        .unwrap();
        assert!(sent == received);
        near.shutdown(io, Shutdown::Write).unwrap();
        assert_eq!(far.read(io, &mut received).unwrap(), 0);
        assert_eq!(far.read(io, &mut []).unwrap(), 0);
        drop(near);
        // The first write after the peer is gone is answered by a reset.
        let error = loop {
            if let Err(error) = far.write_all(io, &[0; 1024]) {
                break error;
            }
        };
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
    });
}

#[test]
fn vectored_calls_use_all_buffers_and_peek_leaves_the_bytes() {
    threaded(0, 1).run(|io| {
        let (near, far) = connection(io);
        let buffers = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(near.write_vectored(io, &buffers).unwrap(), 7);
        let many = vec![IoSlice::new(b"x"); 2000];
        assert_eq!(near.write_vectored(io, &many).unwrap(), 1024);
        let mut peeked = [0; 3];
        assert_eq!(far.peek(io, &mut peeked).unwrap(), 3);
        let (mut first, mut second) = ([0; 3], [0; 4]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(far.read_vectored(io, &mut buffers).unwrap(), 7);
        assert_eq!((&first, &second, first == peeked), (b"one", b" two", true));
    });
}

#[test]
fn a_refused_connection_keeps_its_errno() {
    threaded(0, 1).run(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let address = listener.local_addr(io).unwrap();
        drop(listener);
        let error = TcpStream::connect(io, address).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::CONNREFUSED.raw_os_error()));
    });
}

#[test]
fn connected_and_accepted_sockets_are_blocking_and_closed_on_exec() {
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};
    threaded(0, 1).run(|io| {
        let (near, far) = connection(io);
        for stream in [&near, &far] {
            assert!(!fcntl_getfl(stream).unwrap().contains(OFlags::NONBLOCK));
            assert!(fcntl_getfd(stream).unwrap().contains(FdFlags::CLOEXEC));
        }
    });
}

#[test]
fn sockets_of_std_work_in_either_mode() {
    threaded(0, 1).run(|io| {
        for nonblocking in [false, true] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(nonblocking).unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_nonblocking(nonblocking).unwrap();
            let client = TcpStream::from(client);
            let (server, _) = TcpListener::from(listener).accept(io).unwrap();
            let task = io.spawn_concurrent(move |io| client.read(io, &mut [0; 8])).unwrap();
            server.write_all(io, b"std").unwrap();
            assert_eq!(task.join(io).unwrap(), 3);
        }
    });
}

#[test]
fn files_are_read_and_written_at_positions_and_in_a_stream() {
    let path = std::env::temp_dir().join(format!("iolite-threaded-{}", std::process::id()));
    threaded(0, 1).run(|io| {
        let mut exclusive = OpenOptions::new();
        exclusive.read(true).write(true).create_new(true).mode(0o600);
        let file = exclusive.open(io, &path).unwrap();
        assert_eq!(exclusive.open(io, &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.write_all(io, b"hello world").unwrap();
        file.write_all_at(io, b"W", 6).unwrap();
        let mut part = [0; 5];
        file.read_exact_at(io, &mut part, 6).unwrap();
        assert_eq!(&part, b"World");
        assert_eq!(file.read_at(io, &mut part, 100).unwrap(), 0);
        assert_eq!(file.seek(io, SeekFrom::Start(0)).unwrap(), 0);
        let mut all = Vec::new();
        file.read_to_end(io, &mut all).unwrap();
        assert_eq!(all, b"hello World");
        file.set_len(io, 3).unwrap();
        assert_eq!(file.len(io).unwrap(), 3);
        file.sync_data(io).unwrap();
        file.sync_all(io).unwrap();
        file.close(io).unwrap();
        assert_eq!(File::open(io, path.join("below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    });
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn pipes_carry_more_than_they_hold() {
    threaded(0, 2).run(|io| {
        let (reader, writer) = io::pipe().unwrap();
        let reader = File::from(StdFile::from(OwnedFd::from(reader)));
        let writer = File::from(StdFile::from(OwnedFd::from(writer)));
        let task = io.spawn_concurrent(move |io| writer.write_all(io, &vec![5; 300_000])).unwrap();
        let mut all = Vec::new();
        assert_eq!(reader.read_to_end(io, &mut all).unwrap(), 300_000);
        task.join(io).unwrap();
        assert_eq!(reader.read(io, &mut []).unwrap(), 0);
        assert!(reader.read_at(io, &mut [0], 0).is_err(), "a pipe has no positions");
    });
}

#[test]
fn names_are_looked_up_and_named_in_errors() {
    threaded(0, 1).run(|io| {
        assert!(resolve(io, "localhost", 80).unwrap().iter().all(|address| address.ip().is_loopback()));
        let error = TcpStream::connect(io, "no such host.invalid:80").unwrap_err();
        assert!(error.to_string().contains("no such host.invalid"), "{error}");
    });
}

#[test]
fn randomness_varies() {
    threaded(0, 1).run(|io| {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        io.random(&mut first).unwrap();
        io.random(&mut second).unwrap();
        assert_ne!(first, second);
    });
}
