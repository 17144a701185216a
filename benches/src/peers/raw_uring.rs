//! A bare ring: one receive, send or read under way per connection or place, and one `enter` per turn.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use crate::peers::reads::{Files, Reads, page};
use crate::raw::{Buffer, Completion, Ring};
use crate::record::Figures;

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    serve_on(Ring::new()?, buffer_bytes, ready)
}

pub(super) fn serve_poll_first(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mut ring = Ring::new()?;
    ring.poll_first();
    serve_on(ring, buffer_bytes, ready)
}

fn serve_on(mut ring: Ring, buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Indexed by the index of the connection's buffer.
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut free: Vec<Buffer> = Vec::new();
    ring.accept(&listener)?;
    ready(listener.local_addr()?);
    let mut completions = Vec::new();
    loop {
        ring.wait(&mut completions)?;
        for completion in completions.drain(..) {
            match completion {
                Completion::Accepted(accepted) => {
                    let connection = accepted?;
                    rustix::net::sockopt::set_tcp_nodelay(&connection, true)?;
                    let buffer = free.pop().unwrap_or_else(|| ring.buffer(buffer_bytes));
                    ring.receive(&connection, buffer, false)?;
                    connections.resize_with(connections.len().max(buffer.index() + 1), || None);
                    connections[buffer.index()] = Some(connection);
                    ring.accept(&listener)?;
                }
                Completion::Received(buffer, Ok(bytes)) if bytes > 0 => {
                    let connection = connections[buffer.index()].as_ref().expect("it is open");
                    ring.send(connection, buffer, bytes)?;
                }
                Completion::Sent(buffer, Ok(_)) => {
                    let connection = connections[buffer.index()].as_ref().expect("it is open");
                    ring.receive(connection, buffer, false)?;
                }
                Completion::Received(buffer, _) | Completion::Sent(buffer, Err(_)) => {
                    connections[buffer.index()] = None;
                    free.push(buffer);
                }
                Completion::Read(..) => unreachable!("no file is read"),
            }
        }
    }
}

pub(super) fn files(files: &Files) -> io::Result<Figures> {
    let file = files.open()?;
    let reads = Reads::new(files);
    let mut ring = Ring::new()?;
    let buffers: Vec<_> = (0..files.in_flight).map(|_| ring.buffer_of(page())).collect();
    ring.register()?;
    // Indexed by the index of the buffer: the offset of its page.
    let mut offsets = Vec::new();
    for buffer in buffers {
        let offset = reads.next().ok_or_else(|| io::Error::other("the reads ended before they began"))?;
        offsets.push(offset);
        ring.read(&file, buffer, offset)?;
    }
    let mut completions = Vec::new();
    loop {
        ring.wait(&mut completions)?;
        for completion in completions.drain(..) {
            let Completion::Read(buffer, read) = completion else { unreachable!("only files are read") };
            let bytes = read?;
            reads.check(offsets[buffer.index()], &ring.memory(buffer)[..bytes])?;
            let Some(offset) = reads.next() else { return reads.figures() };
            offsets[buffer.index()] = offset;
            ring.read(&file, buffer, offset)?;
        }
    }
}
