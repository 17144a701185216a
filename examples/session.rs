//! A chat room. Each session is one loop that waits for all events that can happen to it, the most important ones
//! first.
//!
//! ```text
//! cargo run --example session                         # on 127.0.0.1:7003
//! nc 127.0.0.1 7003                                   # twice; a line goes to all, /close ends it
//! ```

#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use std::time::Duration;

use iolite::net::{TcpListener, TcpStream};
use iolite::sync::{Event, broadcast};
use iolite::{Canceled, Config, ErrorChain, Group, Io, select};

/// The number of lines that a session may be behind.
const BACKLOG: usize = 32;

/// The interval at which a session checks that its client is still there.
const PING: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    iolite::main(Config::from_env(), |io| {
        let listener = TcpListener::bind(io, "127.0.0.1:7003")?;
        println!("{} chats on {}", io.backend(), listener.local_addr(io)?);
        serve(io, &listener)
    })
}

/// The state that the sessions share.
struct Room {
    lines: broadcast::Sender<String>,
    closing: Event,
}

/// Serves until somebody closes the room.
fn serve(io: &dyn Io, listener: &TcpListener) -> io::Result<()> {
    let (lines, _) = broadcast::channel(BACKLOG);
    let room = Room { lines, closing: Event::new() };
    io.group(|group| {
        let mut accepting = group.spawn_concurrent(|io| accept(io, group, listener, &room))?;
        let _ = io.select((room.closing.on_wait(), accepting.on_finish()))?;
        accepting.cancel(io).or_else(unless_canceled)
    })
}

fn accept<'scope>(
    io: &dyn Io,
    group: &'scope Group<'scope, '_>,
    listener: &TcpListener,
    room: &'scope Room,
) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept(io)?;
        let lines = room.lines.subscribe();
        drop(group.spawn_waiting(move |io| {
            if let Err(error) = session(io, &stream, room, lines) {
                eprintln!("{peer}: {}", ErrorChain::new(&error));
            }
        })?);
    }
}

fn session(io: &dyn Io, stream: &TcpStream, room: &Room, mut lines: broadcast::Receiver<String>) -> io::Result<()> {
    let mut pings = io.interval(PING);
    io.group(|group| {
        let mut hearing = group.spawn_concurrent(|io| hear(io, stream, room))?;
        loop {
            select!(io, {
                () = room.closing.on_wait() => {
                    stream.write_all(io, b"bye\n")?;
                    return hearing.cancel(io).or_else(unless_canceled);
                }
                () = hearing.on_finish() => return hearing.join(io),
                line = lines.on_recv() => match line {
                    Err(broadcast::RecvError::Lagged(count)) => {
                        stream.write_all(io, format!("({count} lines missed)\n").as_bytes())?;
                    }
                    line => stream.write_all(io, line?.as_bytes())?,
                },
                _ = pings.on_tick() => stream.write_all(io, b"\n")?,
            })?;
        }
    })
}

/// Passes on what the client says, until it hangs up.
fn hear(io: &dyn Io, stream: &TcpStream, room: &Room) -> io::Result<()> {
    for line in BufReader::new(stream.with(io)).lines() {
        match line? {
            line if line == "/close" => room.closing.set(),
            // It is no error if nobody else is there.
            line => drop(room.lines.send(line + "\n")),
        }
    }
    Ok(())
}

/// Treats a cancellation as success: a task that was asked to end has ended well.
fn unless_canceled(error: io::Error) -> io::Result<()> {
    Canceled::from_error(error).map(drop)
}

#[cfg(test)]
mod test {
    use iolite::BackendChoice;

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let config = Config::new().backend(backend).concurrent_limit(16);
            iolite::run(config, two_clients).unwrap().unwrap();
        }
    }

    fn two_clients(io: &dyn Io) -> io::Result<()> {
        let listener = TcpListener::bind(io, "127.0.0.1:0")?;
        let address = listener.local_addr(io)?;
        io.group(|group| {
            let server = group.spawn_concurrent(|io| serve(io, &listener))?;
            let clients = [TcpStream::connect(io, address)?, TcpStream::connect(io, address)?];
            let [mut one, mut other] = clients.each_ref().map(|client| BufReader::new(client.with(io)).lines());
            let next = |lines: &mut dyn Iterator<Item = io::Result<String>>| lines.next().expect("a line");
            for lines in [&mut one, &mut other] {
                assert_eq!(next(lines)?, "", "the first ping: it hears what is said from now on");
            }
            clients[0].write_all(io, b"hello\n")?;
            assert_eq!((next(&mut one)?, next(&mut other)?), ("hello".into(), "hello".into()));
            clients[1].write_all(io, b"/close\n")?;
            assert_eq!((next(&mut one)?, next(&mut other)?), ("bye".into(), "bye".into()));
            assert!(one.next().is_none() && other.next().is_none(), "the server hangs up");
            server.join(io)
        })
    }
}
