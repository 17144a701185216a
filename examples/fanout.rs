//! Fan-out: every subscriber gets the bytes that publishers send. There is one copy in memory, however many read it.
//!
//! ```text
//! cargo run --example fanout                          # publish on 127.0.0.1:7001, subscribe on :7002
//! nc 127.0.0.1 7002 &
//! nc 127.0.0.1 7001 < /usr/share/dict/words
//! ```
//!
//! The bytes of publishers land in buffers of one pool, and idle publishers hold no buffer. A buffer goes to all
//! subscribers without a copy, and returns to the pool when the last kernel has released it. So the pool limits the
//! memory: if subscribers read slowly, publishers are read slowly. A subscriber that falls far behind is dropped.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use iolite::net::{BufferPool, Incoming, PooledBuffer, TcpListener, TcpStream};
use iolite::sync::{
    Mutex,
    mpmc::{Receiver, Sender, channel},
};
use iolite::{Canceled, Config, ErrorChain, Group, Io};

/// The number of buffers, and the bytes in each.
const BUFFERS: usize = 256;
const BUFFER_BYTES: usize = 16 << 10;

/// The maximum number of buffers on their way to one subscriber.
const BACKLOG: usize = 32;

/// The maximum time that a subscriber may keep a buffer without reading it.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut addresses = env::args().skip(1);
    let publish = addresses.next().unwrap_or_else(|| "127.0.0.1:7001".into());
    let subscribe = addresses.next().unwrap_or_else(|| "127.0.0.1:7002".into());
    iolite::main(Config::from_env(), |io| {
        let publish = TcpListener::bind(io, publish)?;
        let subscribe = TcpListener::bind(io, subscribe)?;
        println!("{} publishes on {}", io.backend(), publish.local_addr(io)?);
        println!("and is subscribed to on {}", subscribe.local_addr(io)?);
        serve(io, &publish, &subscribe)
    })
}

type Bytes = Arc<PooledBuffer>;

/// The subscribers that read.
type Subscribers = Mutex<Vec<Sender<Bytes>>>;

fn serve(io: &dyn Io, publish: &TcpListener, subscribe: &TcpListener) -> io::Result<()> {
    let pool = BufferPool::new(BUFFERS, BUFFER_BYTES);
    let subscribers = Subscribers::default();
    let (pool, subscribers) = (&pool, &subscribers);
    io.group(|group| {
        drop(group.spawn_concurrent(move |io| accept_subscribers(io, group, subscribe.incoming(io), subscribers))?);
        let mut publishers = publish.incoming(io);
        loop {
            let Some(stream) = next(io, &mut publishers)? else { continue };
            drop(group.spawn_waiting(move |io| {
                if let Err(error) = publish_from(io, &stream, pool, subscribers) {
                    eprintln!("publisher: {}", ErrorChain::new(&error));
                }
            })?);
        }
    })
}

/// Returns the next connection, or `None` if none could be accepted this time.
fn next(io: &dyn Io, incoming: &mut Incoming<'_>) -> io::Result<Option<TcpStream>> {
    match incoming.next(io) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if Canceled::is_in(&error) => Err(error),
        Err(error) => {
            eprintln!("accept: {}", ErrorChain::new(&error));
            Ok(None)
        }
    }
}

fn accept_subscribers<'scope>(
    io: &dyn Io,
    group: &'scope Group<'scope, '_>,
    mut incoming: Incoming<'_>,
    subscribers: &Subscribers,
) -> io::Result<()> {
    loop {
        let Some(stream) = next(io, &mut incoming)? else { continue };
        let (sender, receiver) = channel(BACKLOG);
        subscribers.lock(io)?.push(sender);
        drop(group.spawn_waiting(move |io| {
            if let Err(error) = send_to(io, &stream, &receiver) {
                eprintln!("subscriber: {}", ErrorChain::new(&error));
            }
        })?);
    }
}

/// Passes on the bytes that one publisher sends.
fn publish_from(io: &dyn Io, stream: &TcpStream, pool: &BufferPool, subscribers: &Subscribers) -> io::Result<()> {
    let mut incoming = stream.incoming(io, pool);
    while let Some(buffer) = incoming.next(io)? {
        let bytes = Arc::new(buffer);
        // Subscribers that are gone or have fallen behind get nothing more.
        subscribers.lock(io)?.retain(|subscriber| subscriber.try_send(bytes.clone()).is_ok());
    }
    Ok(())
}

fn send_to(io: &dyn Io, stream: &TcpStream, receiver: &Receiver<Bytes>) -> io::Result<()> {
    while let Ok(bytes) = receiver.recv(io) {
        io.timeout(PATIENCE, |io| stream.send_zero_copy(io, bytes))?;
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use iolite::BackendChoice;
    use iolite::sync::Event;

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let config = Config::new().backend(backend).concurrent_limit(16);
            iolite::run(config, two_subscribers).unwrap().unwrap();
        }
    }

    /// Publishes until both subscribers have got something, then sends a last word, which both have to get.
    fn two_subscribers(io: &dyn Io) -> io::Result<()> {
        let publish = TcpListener::bind(io, "127.0.0.1:0")?;
        let subscribe = TcpListener::bind(io, "127.0.0.1:0")?;
        io.group(|group| {
            let server = group.spawn_concurrent(|io| serve(io, &publish, &subscribe))?;
            let heard = [Event::new(), Event::new()];
            io.group(|group| {
                for heard in &heard {
                    let stream = TcpStream::connect(io, subscribe.local_addr(io)?)?;
                    group.spawn_concurrent(move |io| listen(io, &stream, heard))?;
                }
                let publisher = TcpStream::connect(io, publish.local_addr(io)?)?;
                while !heard.iter().all(Event::is_set) {
                    publisher.write_all(io, b".")?;
                    io.sleep(Duration::from_millis(1))?;
                }
                publisher.write_all(io, b"!")
            })?;
            let ended = server.cancel(io).expect_err("it serves until it is canceled");
            assert!(Canceled::is_in(&ended), "{ended}");
            Ok(())
        })
    }

    fn listen(io: &dyn Io, stream: &TcpStream, heard: &Event) {
        let mut byte = [0];
        while byte != *b"!" {
            stream.read_exact(io, &mut byte).expect("all that is published");
            heard.set();
        }
    }
}
