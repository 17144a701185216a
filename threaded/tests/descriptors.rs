//! Running out of descriptors, and leaving none open. The limit belongs to the process, so these tests have a process
//! of their own.

mod support;

use std::fs;
use std::io;
use std::time::Duration;

use iolite_io::fs::File;
use iolite_io::net::{ListenOptions, TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::threaded;

fn open_count() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn accept_tells_that_there_are_none_and_goes_on_later() {
    threaded(0, 1).run(|io| {
        // Nothing stays open when a connect is canceled or refused.
        let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
        let full = TcpListener::bind_with(io, "127.0.0.1:0", &options).unwrap();
        let address = full.local_addr(io).unwrap();
        let _filler = TcpStream::connect(io, address).unwrap();
        let before = open_count();
        for _ in 0..10 {
            io.timeout(Duration::from_millis(1), |io| TcpStream::connect(io, address)).unwrap_err();
        }
        drop(full);
        let refused = TcpStream::connect(io, address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(refused.raw_os_error().is_some());
        assert_eq!(open_count(), before - 1);

        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let client = TcpStream::connect(io, listener.local_addr(io).unwrap()).unwrap();
        let limit = getrlimit(Resource::Nofile);
        let low = Rlimit { current: Some(open_count() as u64 + 8), maximum: limit.maximum };
        setrlimit(Resource::Nofile, low).unwrap();
        let all_others: Vec<_> = (0..64).map_while(|_| fs::File::open("/dev/null").ok()).collect();
        assert!(all_others.len() < 64);
        let error = listener.accept(io).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        let error = File::open(io, "/dev/null").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        setrlimit(Resource::Nofile, limit).unwrap();
        let (_, peer) = listener.accept(io).unwrap();
        assert_eq!(peer, client.local_addr(io).unwrap());
    });
}
