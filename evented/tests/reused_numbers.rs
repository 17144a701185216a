//! A descriptor's number is looked up by nobody who does not borrow the descriptor. A process of its own:
//! numbers belong to the process.

use std::io::Write;
use std::net;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use iolite_evented::{Evented, Options};
use iolite_io::Io;
use iolite_io::net::{BufferPool, TcpListener, TcpStream};

/// A call that ends at once leaves nothing behind that would look at its descriptor's number later,
/// when it is another socket's.
#[test]
fn a_number_is_not_looked_up_after_the_call() {
    let evented = Evented::new(Options { executors: 1, ..Options::default() }).unwrap();
    let task = evented.io().spawn_concurrent(|io| {
        let pool = BufferPool::new(4, 16);
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let (keep, mut far) = half(io, &listener);
        let other = net::TcpStream::from(keep.as_fd().try_clone_to_owned().unwrap());
        far.write_all(b"mine").unwrap();
        other.set_nonblocking(true).unwrap();
        let mut reused = 0;
        for nanos in (0..20_000).step_by(10) {
            let (near, _far) = half(io, &listener);
            let number = near.as_fd().as_raw_fd();
            let mut incoming = near.incoming(io, &pool);
            io.timeout(Duration::from_nanos(nanos), |io| incoming.next(io)).unwrap_err();
            drop(incoming);
            drop(near);
            // The lowest number that is free.
            let clone = other.try_clone().unwrap();
            reused += u32::from(clone.as_raw_fd() == number);
            io.sleep(Duration::from_micros(10)).unwrap();
            assert_eq!(clone.peek(&mut [0; 8]).unwrap(), 4);
        }
        println!("the number was another's in {reused} of 2,000 rounds");
        assert!(reused > 1_000);
    });
    task.unwrap().join(evented.io());
}

/// A connection, its far end std's.
fn half(io: &dyn Io, listener: &TcpListener) -> (TcpStream, net::TcpStream) {
    let far = net::TcpStream::connect(listener.local_addr(io).unwrap()).unwrap();
    (listener.accept(io).unwrap().0, far)
}
