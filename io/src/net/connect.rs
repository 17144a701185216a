//! Connecting to the fastest of several addresses ("Happy Eyeballs", RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::host::ConnectError;
use super::socket::{Internet, Stream, TypedSocket};
use crate::operation::socket_option as option;
use crate::operation::{Address, Domain, SocketType};
use crate::sync::{
    RecvError,
    mpmc::{Receiver, Sender, channel},
};
use crate::{Canceled, Group, Instant, Io, SpawnErrorKind};

type TcpStream = TypedSocket<Internet, Stream>;

/// Options for connecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The time to wait for one address before the next is tried in parallel. If an attempt fails, the next begins at
    /// once.
    pub attempt_delay: Duration,
    /// The local address. With port 0 the system chooses one, which connections to other peers may share. Attempts to
    /// addresses of the other family fail.
    pub local: Option<SocketAddr>,
    /// `TCP_NODELAY`: written bytes are sent at once, even if the peer has not acknowledged earlier ones.
    pub no_delay: bool,
}

impl Default for ConnectOptions {
    /// 250 ms between attempts, any local address, no delay.
    fn default() -> Self {
        Self { attempt_delay: Duration::from_millis(250), local: None, no_delay: true }
    }
}

/// The address of an attempt and its result.
type Outcome = (SocketAddr, io::Result<TcpStream>);

/// Connects to the first of `addresses` that answers.
pub(super) fn connect(io: &dyn Io, addresses: Vec<SocketAddr>, options: &ConnectOptions) -> io::Result<TcpStream> {
    match addresses[..] {
        [] => return Err(ConnectError::error(Vec::new())),
        [address] => return attempt(io, address, options),
        _ => {}
    }
    let addresses = interleaved(addresses);
    // The channel has room for all outcomes, so that no attempt waits to report its own.
    let (sender, receiver) = channel(addresses.len());
    let result = io.group(|group| {
        let race = Race { io, group, options, sender, receiver: &receiver, under_way: 0, failed: Vec::new() };
        race.run(addresses)
    });
    match result.map_err(Canceled::from_error) {
        Ok(stream) => Ok(stream),
        Err(Err(error)) => Err(error),
        // An attempt may have succeeded before the request arrived.
        Err(Ok(canceled)) => {
            match std::iter::from_fn(|| receiver.try_recv().ok()).find_map(|(_, result)| result.ok()) {
                Some(stream) => {
                    io.recancel(canceled);
                    Ok(stream)
                }
                None => Err(canceled.into()),
            }
        }
    }
}

struct Race<'a, 'scope, 'env> {
    io: &'a dyn Io,
    group: &'scope Group<'scope, 'env>,
    options: &'env ConnectOptions,
    sender: Sender<Outcome>,
    receiver: &'a Receiver<Outcome>,
    /// The number of attempts that have begun and not reported an outcome.
    under_way: usize,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Race<'_, '_, '_> {
    /// Begins one attempt after the other until one succeeds. The others are then canceled, and closed if they succeed
    /// nevertheless.
    fn run(mut self, addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
        let mut rest = addresses.into_iter();
        loop {
            if let Some(address) = rest.next() {
                self.begin(address)?;
            }
            let next = (rest.len() > 0).then(|| self.io.now() + self.options.attempt_delay);
            if let Some(stream) = self.wait(next)? {
                self.group.cancel(self.io);
                return Ok(stream);
            }
            if rest.len() == 0 && self.under_way == 0 {
                self.io.check_cancel()?;
                return Err(ConnectError::error(self.failed));
            }
        }
    }

    /// Begins an attempt beside the caller. If no task can run beside it, makes the attempt at once.
    fn begin(&mut self, address: SocketAddr) -> io::Result<()> {
        let (sender, options) = (self.sender.clone(), self.options);
        let member = self.group.spawn_concurrent(move |io| {
            // There is room for all outcomes.
            let _ = sender.try_send((address, attempt(io, address, options)));
        });
        if let Err(refused) = member {
            if !matches!(refused.kind, SpawnErrorKind::ConcurrencyUnavailable(_)) {
                return Err(refused.into());
            }
            match attempt(self.io, address, options) {
                Err(error) if Canceled::is_in(&error) => return Err(error),
                result => _ = self.sender.try_send((address, result)),
            }
        }
        self.under_way += 1;
        Ok(())
    }

    /// Waits for an attempt to end, until it is time for the `next` one. Returns the connection if the attempt
    /// succeeded.
    fn wait(&mut self, next: Option<Instant>) -> io::Result<Option<TcpStream>> {
        let outcome = match next {
            Some(next) => self.io.timeout_at(next, |io| self.receiver.recv(io)),
            None => self.receiver.recv(self.io),
        };
        match outcome {
            Ok((address, result)) => {
                self.under_way -= 1;
                Ok(result.map_err(|error| self.failed.push((address, error))).ok())
            }
            Err(RecvError::TimedOut) => Ok(None),
            Err(RecvError::Canceled(canceled)) => Err(canceled.into()),
            Err(RecvError::Closed) => unreachable!("a sender is at hand"),
        }
    }
}

fn attempt(io: &dyn Io, address: SocketAddr, options: &ConnectOptions) -> io::Result<TcpStream> {
    let address = Address::Internet(address);
    let socket = TcpStream::open(io, Domain::of(&address), SocketType::STREAM, 0)?;
    if options.no_delay {
        socket.set_option(io, option::NO_DELAY, true)?;
    }
    if let Some(local) = options.local {
        if local.port() == 0 {
            leave_port_open(io, &socket)?;
        }
        socket.bind_to(io, &Address::Internet(local))?;
    }
    socket.connect_to(io, &address)?;
    Ok(socket)
}

/// Makes the system choose the port at `connect`, among those that are free towards that peer. A `bind` would take a
/// port that no connection to any peer uses.
fn leave_port_open(io: &dyn Io, socket: &TcpStream) -> io::Result<()> {
    match socket.set_option(io, option::BIND_ADDRESS_NO_PORT, true) {
        Err(error) if Canceled::is_in(&error) => Err(error),
        // On a system without that option fewer ports are available, but connecting works.
        _ => Ok(()),
    }
}

/// Alternates between the families, beginning with that of the first address.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let turns = std::iter::from_fn(|| Some([first.next(), second.next()]).filter(|turn| *turn != [None, None]));
    turns.flatten().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = of(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let turns = of(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleaved(mixed), turns);
        let mixed = of(&["1.0.0.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(interleaved(mixed.clone()), mixed);
        assert_eq!(interleaved(Vec::new()), []);
    }
}
