//! An echo server: one task per connection, none of which outlives the listener.
//!
//! ```text
//! cargo run --example echo                            # listens on 127.0.0.1:8080
//! IOLITE_BACKEND=threaded cargo run --example echo -- 127.0.0.1:7000
//! ```
//!
//! If no descriptor is free, the server continues to accept: `incoming` pauses first. A listener that spins or gives up
//! at `EMFILE` is the usual end of such programs.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::process::ExitCode;

use iolite::net::{TcpListener, TcpStream};
use iolite::{Canceled, Config, ErrorChain, Io};

fn main() -> ExitCode {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    iolite::main(Config::from_env(), |io| {
        let listener = TcpListener::bind(io, address)?;
        println!("{} echoes on {}", io.backend(), listener.local_addr(io)?);
        serve(io, &listener)
    })
}

fn serve(io: &dyn Io, listener: &TcpListener) -> io::Result<()> {
    let mut incoming = listener.incoming(io);
    io.group(|group| {
        // A panic of a handler is reported, and the other handlers continue.
        group.contain_panics();
        loop {
            match incoming.next(io) {
                // At the limit, this waits for a slot.
                Ok(stream) => drop(group.spawn_waiting(move |io| {
                    if let Err(error) = echo(io, &stream) {
                        eprintln!("echo: {}", ErrorChain::new(&error));
                    }
                })?),
                Err(error) if Canceled::is_in(&error) => return Err(error),
                // No descriptor is free, or a peer went away while it was in the queue. The next connection comes after
                // a pause.
                Err(error) => eprintln!("accept: {}", ErrorChain::new(&error)),
            }
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

#[cfg(test)]
mod test {
    use iolite::BackendChoice;

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
}
