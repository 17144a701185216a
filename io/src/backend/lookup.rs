//! Name lookups on a few threads; a name is looked up only once at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::explained::explained;
use crate::offload::BlockingPool;
use crate::primitive::Lock;
use crate::sync::Event;
use crate::{Io, TimedOut};

/// Looks up host names as the system's configuration says (`/etc/hosts`, DNS), on a small pool of threads.
///
/// A caller that asks for a name that is already being looked up waits for the same answer. A lookup cannot be stopped:
/// if its callers are gone, it goes on and keeps its thread until it ends.
pub struct Lookups {
    pool: BlockingPool,
    timeout: Duration,
    look_up: Arc<LookUp>,
    flights: Flights,
}

/// Looks up the addresses of a host, with any port.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The lookups in progress, by name.
type Flights = Arc<Lock<HashMap<String, Arc<Flight>>>>;

/// One lookup and its waiters.
#[derive(Default)]
struct Flight {
    /// `None` after landing if there was no lookup: its beginner was canceled before the lookup began.
    answer: Lock<Option<Answer>>,
    landed: Event,
}

/// The result of a lookup, in a form that several callers can share.
type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// Ends a flight when it is dropped, with or without an answer.
struct Landing {
    host: String,
    flight: Arc<Flight>,
    flights: Flights,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("pool", &self.pool).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Default for Lookups {
    /// Makes lookups on up to [`LIMIT_DEFAULT`](Self::LIMIT_DEFAULT) threads; each call takes at most
    /// [`TIMEOUT_DEFAULT`](Self::TIMEOUT_DEFAULT).
    fn default() -> Self {
        Self::new(Self::LIMIT_DEFAULT, Self::TIMEOUT_DEFAULT)
    }
}

impl Lookups {
    /// The default maximum number of threads.
    pub const LIMIT_DEFAULT: usize = 4;

    /// The default timeout of a call, which is longer than the system's own timeouts with two servers.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

    /// Makes lookups on up to `limit` threads, but at least one; each call takes at most `timeout`.
    pub fn new(limit: usize, timeout: Duration) -> Self {
        Self::with(limit, timeout, |host| (host, 0).to_socket_addrs().map(Iterator::collect))
    }

    fn with(
        limit: usize,
        timeout: Duration,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let pool = BlockingPool::new("lookup", limit);
        Self { pool, timeout, look_up: Arc::new(look_up), flights: Flights::default() }
    }

    /// Returns the addresses of a host in the order in which to try them.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. The lookup goes on in the background.
    ///
    /// # Errors
    ///
    /// The errors of `getaddrinfo`; [`io::ErrorKind::TimedOut`] after the timeout of the lookup. They name the host.
    pub fn resolve(&self, io: &dyn Io, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = io.timeout(self.timeout, |io| self.wait(io, host)).map_err(|error| {
            if error.get_ref().is_some_and(|source| source.is::<TimedOut>()) {
                let text = format!("the lookup of the name `{host}` has taken {} s", self.timeout.as_secs_f32());
                return io::Error::new(io::ErrorKind::TimedOut, text);
            }
            error
        })?;
        addresses.iter_mut().for_each(|address| address.set_port(port));
        Ok(addresses)
    }

    fn wait(&self, io: &dyn Io, host: &str) -> io::Result<Vec<SocketAddr>> {
        loop {
            let (flight, landing) = self.board(host);
            let is_first = landing.is_some();
            if let Some(landing) = landing {
                self.begin(io, landing)?;
            }
            flight.landed.wait(io)?;
            match flight.answer.lock().clone() {
                Some(Ok(addresses)) => return Ok(addresses),
                Some(Err(error)) => {
                    return Err(explained(error.kind(), format!("cannot look up the name `{host}`"), error));
                }
                None if is_first => return Err(io::Error::other(format!("the lookup of the name `{host}` panicked"))),
                None => {}
            }
        }
    }

    /// Returns the lookup of `host` that is in progress, or a new one, which the caller then has to begin.
    fn board(&self, host: &str) -> (Arc<Flight>, Option<Landing>) {
        match self.flights.lock().entry(host.to_owned()) {
            Entry::Occupied(entry) => (entry.get().clone(), None),
            Entry::Vacant(entry) => {
                let flight = entry.insert(Arc::default()).clone();
                let landing = Landing { host: host.to_owned(), flight: flight.clone(), flights: self.flights.clone() };
                (flight, Some(landing))
            }
        }
    }

    /// Begins a lookup once a thread is free.
    fn begin(&self, io: &dyn Io, landing: Landing) -> io::Result<()> {
        let look_up = self.look_up.clone();
        self.pool.start(io, move || {
            let host = &landing.host;
            let answer = look_up(host).map_err(Arc::new);
            *landing.flight.answer.lock() = Some(answer);
        })
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        // First, so that a later caller starts a new lookup.
        self.flights.lock().remove(&self.host);
        self.flight.landed.set();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::Canceled;
    use crate::offload::Parks;

    const IO: &dyn Io = &Parks;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 0))
    }

    /// Makes lookups that the test counts and answers one by one.
    fn answered(limit: usize, timeout: Duration) -> (Lookups, mpsc::Sender<io::Result<u8>>, Arc<AtomicUsize>) {
        let (answer, answers) = mpsc::channel();
        let answers = Lock::new(answers);
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let lookups = Lookups::with(limit, timeout, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let answer: io::Result<u8> = answers.lock().recv().expect("the test answers");
            answer.map(|last| vec![address(last)])
        });
        (lookups, answer, begun)
    }

    fn until(fact: impl Fn() -> bool) {
        while !fact() {
            thread::yield_now();
        }
    }

    fn waiting(lookups: &Lookups, host: &str) -> usize {
        lookups.flights.lock().get(host).map_or(0, Arc::strong_count)
    }

    #[test]
    fn the_same_name_is_looked_up_once_at_a_time() {
        let (lookups, answer, begun) = answered(4, Duration::from_secs(60));
        thread::scope(|scope| {
            let callers: Vec<_> = (1..=8)
                .map(|port| {
                    scope.spawn({
                        let lookups = &lookups;
                        move || lookups.resolve(IO, "host", port)
                    })
                })
                .collect();
            // The table, the landing, and all callers hold it.
            until(|| waiting(&lookups, "host") == 10);
            answer.send(Ok(7)).unwrap();
            for (caller, port) in callers.into_iter().zip(1..) {
                assert_eq!(caller.join().unwrap().unwrap(), [SocketAddr::new(address(7).ip(), port)]);
            }
        });
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // Answers are not cached.
        answer.send(Ok(8)).unwrap();
        assert_eq!(lookups.resolve(IO, "host", 0).unwrap(), [address(8)]);
    }

    #[test]
    fn errors_go_to_all_and_name_the_host() {
        let (lookups, answer, _) = answered(1, Duration::from_secs(60));
        thread::scope(|scope| {
            let callers = [(); 2].map(|()| scope.spawn(|| lookups.resolve(IO, "host", 1)));
            until(|| waiting(&lookups, "host") == 4);
            answer.send(Err(io::ErrorKind::NetworkDown.into())).unwrap();
            for caller in callers {
                let error = caller.join().unwrap().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NetworkDown);
                assert!(error.to_string().contains("`host`"), "{error}");
            }
        });
    }

    #[test]
    fn a_lookup_that_takes_too_long_is_given_up_and_goes_on() {
        let (lookups, answer, begun) = answered(1, Duration::from_millis(1));
        let error = lookups.resolve(IO, "host", 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("`host`"), "{error}");
        until(|| begun.load(Ordering::SeqCst) == 1);
        answer.send(Ok(1)).unwrap();
        until(|| waiting(&lookups, "host") == 0);
    }

    #[test]
    fn who_waits_goes_on_when_the_first_is_canceled_before_it_began() {
        let (lookups, answer, begun) = answered(1, Duration::from_secs(60));
        thread::scope(|scope| {
            let other = scope.spawn(|| lookups.resolve(IO, "other", 1));
            until(|| begun.load(Ordering::SeqCst) == 1);
            // The only thread is busy.
            let first = scope.spawn(|| {
                IO.timeout(Duration::from_millis(20), |io| match lookups.resolve(io, "host", 1) {
                    Err(error) if Canceled::is_in(&error) => Err::<(), _>(error),
                    other => panic!("{other:?}"),
                })
            });
            until(|| waiting(&lookups, "host") > 0);
            let second = scope.spawn(|| lookups.resolve(IO, "host", 1));
            assert_eq!(first.join().unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
            answer.send(Ok(1)).unwrap();
            answer.send(Ok(2)).unwrap();
            other.join().unwrap().unwrap();
            assert_eq!(second.join().unwrap().unwrap(), [SocketAddr::new(address(2).ip(), 1)]);
        });
    }

    #[test]
    fn the_system_knows_names_and_refuses_others() {
        let lookups = Lookups::default();
        assert!(lookups.resolve(IO, "localhost", 7).unwrap().iter().all(|address| address.port() == 7));
        let error = lookups.resolve(IO, "no such host.invalid", 7).unwrap_err();
        assert!(error.to_string().contains("no such host.invalid"), "{error}");
    }
}
