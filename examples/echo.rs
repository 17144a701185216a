//! An echo server: one task per connection, none of which outlives the listener.
//!
//! ```text
//! cargo run --example echo                            # listens on 127.0.0.1:8080
//! IOLITE_BACKEND=threaded cargo run --example echo -- 127.0.0.1:7000
//! ```
//!
//! When no descriptor is free, it pauses and then goes on accepting: a listener that spins or gives
//! up at `EMFILE` is the usual end of such programs.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use iolite::net::{TcpListener, TcpStream};
use iolite::{Config, Instant, Io};
use rustix::io::Errno;

fn main() -> ExitCode {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    iolite::main(Config::from_env(), |io| {
        let listener = TcpListener::bind(io, address)?;
        println!("{} echoes on {}", io.backend(), listener.local_addr(io)?);
        serve(io, &listener)
    })
}

fn serve(io: &dyn Io, listener: &TcpListener) -> io::Result<()> {
    let mut pause = Pause::default();
    io.group(|group| {
        loop {
            let (stream, peer) = accept(io, listener, &mut pause)?;
            // At the limit: waits for a slot, accepts no more.
            group.spawn_waiting(io, move |io| {
                if let Err(error) = echo(io, &stream) {
                    eprintln!("{peer}: {error}");
                }
            })?;
        }
    })
}

fn echo(io: &dyn Io, stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(io, &mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(io, &buffer[..n])?,
        }
    }
}

/// Accepts the next connection, however often the system has no room for it.
fn accept(io: &dyn Io, listener: &TcpListener, pause: &mut Pause) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept(io) {
            Ok(accepted) => {
                pause.reset();
                return Ok(accepted);
            }
            Err(error) if no_room(&error) => pause.wait(io, &error)?,
            // The peer went away while it was in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

fn no_room(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Pauses that grow from 5 ms to 1 s, told at most once a second.
#[derive(Default)]
struct Pause {
    last: Duration,
    told: Option<Instant>,
}

impl Pause {
    const MIN: Duration = Duration::from_millis(5);
    const MAX: Duration = Duration::from_secs(1);

    fn wait(&mut self, io: &dyn Io, error: &io::Error) -> io::Result<()> {
        self.last = (self.last * 2).clamp(Self::MIN, Self::MAX);
        let now = io.now();
        if self.told.is_none_or(|told| now - told >= Self::MAX) {
            self.told = Some(now);
            eprintln!("accept: {error}; trying again in {:?}", self.last);
        }
        Ok(io.sleep(self.last)?)
    }

    fn reset(&mut self) {
        self.last = Duration::ZERO;
    }
}

#[cfg(test)]
mod test {
    use iolite::{BackendChoice, Canceled};

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            iolite::run(Config::new().backend(backend).concurrent_limit(8), one_echo).unwrap().unwrap();
        }
    }

    fn one_echo(io: &dyn Io) -> io::Result<()> {
        let listener = TcpListener::bind(io, "127.0.0.1:0")?;
        let address = listener.local_addr(io)?;
        io.group(|group| {
            let server = group.spawn_concurrent(|io| serve(io, &listener))?;
            let client = TcpStream::connect(io, address)?;
            let mut answer = [0; 5];
            for word in [b"hello", b"again"] {
                client.write_all(io, word)?;
                client.read_exact(io, &mut answer)?;
                assert_eq!(&answer, word);
            }
            let ended = server.cancel(io).expect_err("it serves until it is canceled");
            assert!(Canceled::is_in(&ended), "{ended}");
            Ok(())
        })
    }

    #[test]
    fn pauses_grow_and_start_over() {
        let error = io::Error::from(Errno::MFILE);
        assert!(no_room(&error));
        iolite::run(Config::new().backend(BackendChoice::Threaded), |io| {
            let mut pause = Pause::default();
            pause.wait(io, &error).unwrap();
            assert_eq!(pause.last, Pause::MIN);
            pause.wait(io, &error).unwrap();
            assert_eq!(pause.last, Pause::MIN * 2);
            pause.reset();
            pause.wait(io, &error).unwrap();
            assert_eq!(pause.last, Pause::MIN);
        })
        .unwrap();
    }
}
