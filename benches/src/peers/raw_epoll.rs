//! A bare epoll loop: level-triggered, a read and a write per event, one buffer for all.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 1024;

struct Connection {
    stream: TcpStream,
    /// The bytes for which the socket had no room. While there are any, nothing is read.
    unsent: Vec<u8>,
}

pub(super) fn serve(buffer_bytes: usize, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    ready(listener.local_addr()?);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; buffer_bytes];
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            waited => waited?,
        };
        for event in &events {
            if event.data.u64() == LISTENER {
                accept(&epoll, &listener, &mut connections, &mut free)?;
                continue;
            }
            let index = event.data.u64() as usize;
            let Some(connection) = &mut connections[index] else { continue };
            match connection.turn(&epoll, event.data, &mut buffer) {
                Ok(true) => {}
                // Closing also removes it from the epoll.
                Ok(false) | Err(_) => {
                    connections[index] = None;
                    free.push(index);
                }
            }
        }
    }
}

fn accept(
    epoll: &OwnedFd,
    listener: &TcpListener,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let index = free.pop().unwrap_or(connections.len());
        connections.resize_with(connections.len().max(index + 1), || None);
        epoll::add(epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        connections[index] = Some(Connection { stream, unsent: Vec::new() });
    }
}

impl Connection {
    /// Reads and writes once. Returns false if the peer is gone.
    fn turn(&mut self, epoll: &OwnedFd, data: EventData, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.unsent.is_empty() {
            let sent = write(&self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                epoll::modify(epoll, &self.stream, data, EventFlags::IN)?;
            }
            return Ok(true);
        }
        let bytes = match (&self.stream).read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            read => read?,
        };
        let sent = write(&self.stream, &buffer[..bytes])?;
        if sent < bytes {
            self.unsent.extend_from_slice(&buffer[sent..bytes]);
            epoll::modify(epoll, &self.stream, data, EventFlags::OUT)?;
        }
        Ok(bytes > 0)
    }
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
