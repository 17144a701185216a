//! A TCP proxy: it passes the bytes of each side on to the other, inside the kernel where that pays.
//!
//! ```text
//! cargo run --example proxy -- 127.0.0.1:8080 example.org:80   # where to listen, and whom to call
//! ```
//!
//! Each direction ends by itself, as in TCP: when one side has finished, the other one is told, and may continue to
//! send. An error in one direction ends both.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::net::Shutdown;
use std::process::ExitCode;

use iolite::net::{TcpListener, TcpStream};
use iolite::{Canceled, Config, ErrorChain, Io, copy};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let upstream = arguments.next().unwrap_or_else(|| "127.0.0.1:80".into());
    iolite::main(Config::from_env(), |io| {
        let listener = TcpListener::bind(io, address)?;
        println!("{} listens on {} for {upstream}", io.backend(), listener.local_addr(io)?);
        serve(io, &listener, &upstream)
    })
}

fn serve(io: &dyn Io, listener: &TcpListener, upstream: &str) -> io::Result<()> {
    let mut incoming = listener.incoming(io);
    io.group(|group| {
        loop {
            match incoming.next(io) {
                Ok(client) => drop(group.spawn_waiting(move |io| match pass_on(io, &client, upstream) {
                    Ok((up, down)) => println!("{up} bytes up, {down} down"),
                    Err(error) => eprintln!("proxy: {}", ErrorChain::new(&error)),
                })?),
                Err(error) if Canceled::is_in(&error) => return Err(error),
                // No descriptor is free, for example. The next connection comes after a pause.
                Err(error) => eprintln!("accept: {}", ErrorChain::new(&error)),
            }
        }
    })
}

/// Connects the client with the upstream. Returns the numbers of bytes that went up and down.
fn pass_on(io: &dyn Io, client: &TcpStream, upstream: &str) -> io::Result<(u64, u64)> {
    let upstream = &TcpStream::connect(io, upstream)?;
    io.group(|group| {
        let up = group.spawn_concurrent(move |io| one_way(io, client, upstream))?;
        let down = one_way(io, upstream, client);
        Ok((up.join(io)?, down?))
    })
}

fn one_way(io: &dyn Io, from: &TcpStream, to: &TcpStream) -> io::Result<u64> {
    let result = copy(io, from, to).and_then(|count| {
        to.shutdown(io, Shutdown::Write)?;
        Ok(count)
    });
    if result.is_err() {
        // Otherwise the other direction would wait for a side that is never told.
        io.shield(|io| [from, to].map(|stream| stream.shutdown(io, Shutdown::Both).ok()));
    }
    result
}

#[cfg(test)]
mod test {
    use std::io::Read;
    use std::time::Duration;

    use iolite::BackendChoice;

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let config = Config::new().backend(backend).concurrent_limit(16);
            iolite::run(config, |io| {
                one_visit(io, conversation)?;
                one_visit(io, lost_client)
            })
            .unwrap()
            .unwrap();
        }
    }

    /// Runs a client's visit to an upstream through the proxy.
    fn one_visit(io: &dyn Io, visit: fn(&dyn Io, TcpStream, TcpStream) -> io::Result<()>) -> io::Result<()> {
        let (upstream, listener) = (TcpListener::bind(io, "127.0.0.1:0")?, TcpListener::bind(io, "127.0.0.1:0")?);
        let (target, address) = (upstream.local_addr(io)?.to_string(), listener.local_addr(io)?);
        io.group(|group| {
            let proxy = group.spawn_concurrent(|io| serve(io, &listener, &target))?;
            let client = TcpStream::connect(io, address)?;
            visit(io, client, upstream.accept(io)?.0)?;
            let ended = proxy.cancel(io).expect_err("it serves until it is canceled");
            assert!(Canceled::is_in(&ended), "{ended}");
            Ok(())
        })
    }

    /// The upstream answers when the client has finished, so the proxy has to pass on the end.
    fn conversation(io: &dyn Io, client: TcpStream, upstream: TcpStream) -> io::Result<()> {
        let question: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
        let answer: Vec<u8> = question.iter().rev().copied().collect();
        io.group(|group| {
            let asked = group.spawn_concurrent(|io| {
                client.write_all(io, &question)?;
                client.shutdown(io, Shutdown::Write)?;
                let mut received = Vec::new();
                client.with(io).read_to_end(&mut received).map(|_| received)
            })?;
            let mut received = Vec::new();
            upstream.with(io).read_to_end(&mut received)?;
            assert!(received == question);
            upstream.write_all(io, &answer)?;
            upstream.shutdown(io, Shutdown::Write)?;
            assert!(asked.join(io)? == answer);
            Ok(())
        })
    }

    /// A connection that breaks on one side also breaks on the other.
    fn lost_client(io: &dyn Io, client: TcpStream, upstream: TcpStream) -> io::Result<()> {
        client.set_linger(io, Some(Duration::ZERO))?;
        client.close(io)?;
        assert_eq!(upstream.read(io, &mut [0])?, 0);
        Ok(())
    }
}
