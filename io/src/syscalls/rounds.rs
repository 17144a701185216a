//! Handling of descriptors that are reported as ready and have nothing.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net;

use super::quick::take_socket_error;
use crate::descriptor::Descriptor;
use crate::operation::Interest;

/// Decides what follows an attempt that would block. For backends that try, wait for the descriptor and try again.
///
/// A descriptor can be reported as ready for ever although an attempt would block: a datagram socket that was shut down
/// for reading has no message, and neither has a socket with an error that nobody takes out of its error queue. Waiting
/// for it again would spin. So after two fruitless rounds the caller only waits for *changes*, and a descriptor from
/// which nothing can come any more is over.
///
/// The caller checks for a request in every round, because a wait that ends at once would hide it for ever.
#[derive(Debug)]
pub struct Rounds<'a> {
    from: Option<&'a Descriptor>,
    to: Option<&'a Descriptor>,
    state: State,
}

/// The next step after an attempt that would block.
#[derive(Clone, Copy, Debug)]
pub enum Round<'r> {
    /// Wait until this descriptor is ready for this interest, and try again.
    Wait(&'r Descriptor, Interest),
    /// Try again.
    Again,
    /// Try again a little later: there is no way to wait for what is missing.
    Later,
    /// Nothing will come: treat the attempt as one that finds the end.
    Over,
}

#[derive(Debug)]
enum State {
    /// The number of times in a row that it was reported as ready and was not.
    Fruitless(u32),
    /// The last attempt was made when nothing could follow the available data.
    Ended,
    /// A descriptor that becomes readable when something has changed.
    Changes(Descriptor),
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The events that say that nothing follows the available data.
const END: PollFlags = PollFlags::RDHUP.union(PollFlags::HUP);

impl<'a> Rounds<'a> {
    /// Makes rounds of attempts to read from `descriptor`, or to write to it.
    pub fn new(descriptor: &'a Descriptor, interest: Interest) -> Self {
        match interest {
            Interest::Readable | Interest::HungUp => Self::of(Some(descriptor), None),
            Interest::Writable => Self::of(None, Some(descriptor)),
        }
    }

    /// Makes rounds of attempts to move bytes from one descriptor to another.
    pub fn between(from: &'a Descriptor, to: &'a Descriptor) -> Self {
        Self::of(Some(from), Some(to))
    }

    fn of(from: Option<&'a Descriptor>, to: Option<&'a Descriptor>) -> Self {
        Self { from, to, state: State::Fruitless(0) }
    }

    /// Returns the next step after an attempt that would block because a descriptor was not ready for `interest`.
    ///
    /// # Errors
    ///
    /// The errors of `poll` and `epoll`.
    pub fn next(&mut self, interest: Interest) -> io::Result<Round<'_>> {
        let Some(descriptor) = self.side(interest) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a descriptor cannot be waited for in this way"));
        };
        match self.state {
            State::Ended => return Ok(Round::Over),
            State::Fruitless(0) => {
                self.state = State::Fruitless(1);
                return Ok(Round::Wait(descriptor, interest));
            }
            State::Fruitless(times) => {
                let told = look(descriptor, interest)?;
                if told.is_empty() {
                    // Another reader or writer was faster.
                    return Ok(Round::Wait(descriptor, interest));
                }
                if interest == Interest::Readable && told.intersects(END) {
                    self.state = State::Ended;
                } else if times == 1 {
                    self.state = State::Fruitless(2);
                } else if told.contains(PollFlags::OUT) {
                    // There is room, but the kernel lacks memory at the moment, and it reports no change of that.
                    return Ok(Round::Later);
                } else if let Ok(changes) = self.changes() {
                    self.state = State::Changes(changes);
                } else {
                    return Ok(Round::Later);
                }
                return Ok(Round::Again);
            }
            State::Changes(_) => {}
        }
        let State::Changes(changes) = &self.state else { unreachable!("the others have returned") };
        let told = take_changes(changes)?;
        if told.is_empty() {
            let State::Changes(changes) = &self.state else { unreachable!("as it was") };
            return Ok(Round::Wait(changes, Interest::Readable));
        }
        if interest == Interest::Readable && told.intersects(EventFlags::RDHUP | EventFlags::HUP) {
            self.state = State::Ended;
        }
        Ok(Round::Again)
    }

    fn side(&self, interest: Interest) -> Option<&'a Descriptor> {
        match interest {
            Interest::Readable | Interest::HungUp => self.from,
            Interest::Writable => self.to,
        }
    }

    /// Returns a descriptor that becomes readable when data arrives, or there is new room or a new error. Events that
    /// are pending already have been taken out.
    fn changes(&self) -> io::Result<Descriptor> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (side, flags) in [(self.from, EventFlags::IN | EventFlags::RDHUP), (self.to, EventFlags::OUT)] {
            if let Some(descriptor) = side {
                epoll::add(&set, descriptor, EventData::new_u64(0), flags | EventFlags::ET)?;
            }
        }
        let set = set.into();
        take_changes(&set)?;
        Ok(set)
    }
}

/// Returns true if a descriptor is ready for `interest` at this moment. A pending error counts as readable and
/// writable, but not as the end of the connection.
///
/// # Errors
///
/// The errors of `poll`.
pub fn is_ready(descriptor: &Descriptor, interest: Interest) -> io::Result<bool> {
    let told = look(descriptor, interest)?;
    Ok(match interest {
        Interest::Readable | Interest::Writable => !told.is_empty(),
        Interest::HungUp => told.intersects(END),
    })
}

/// Attempts to find a descriptor ready, for a caller that waits for that. Fails with `WouldBlock` while it is not.
///
/// # Errors
///
/// The errors of `poll`.
pub fn expect_ready(descriptor: &Descriptor, interest: Interest) -> io::Result<()> {
    if is_ready(descriptor, interest)? { Ok(()) } else { Err(Errno::AGAIN.into()) }
}

/// Ends a connect that goes on in the kernel, once the socket is reported as writable or as having an error.
///
/// # Errors
///
/// Returns the error of the connect, or [`WouldBlock`](io::ErrorKind::WouldBlock) if it still goes on.
pub fn finish_connect(socket: &Descriptor) -> io::Result<()> {
    take_socket_error(socket)?;
    match net::getpeername(socket) {
        // It has neither failed nor connected.
        Err(Errno::NOTCONN) => Err(Errno::AGAIN.into()),
        result => Ok(result.map(drop)?),
    }
}

/// Returns what the kernel reports about a descriptor at this moment.
fn look(descriptor: &Descriptor, interest: Interest) -> io::Result<PollFlags> {
    let flags = match interest {
        Interest::Readable => PollFlags::IN | PollFlags::RDHUP,
        Interest::Writable => PollFlags::OUT,
        Interest::HungUp => PollFlags::RDHUP,
    };
    let mut entries = [PollFd::new(descriptor, flags)];
    retry_on_intr(|| poll(&mut entries, Some(&AT_ONCE)))?;
    Ok(entries[0].revents())
}

/// Takes out what has changed; nothing, if nothing has.
fn take_changes(set: &Descriptor) -> io::Result<EventFlags> {
    let mut events: Vec<epoll::Event> = Vec::with_capacity(2);
    retry_on_intr(|| epoll::wait(set, spare_capacity(&mut events), Some(&AT_ONCE)))?;
    Ok(events.iter().fold(EventFlags::empty(), |all, event| all | event.flags))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::{Shutdown, shutdown};

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (index, socket) in sockets.iter().enumerate() {
            socket.connect(sockets[1 - index].local_addr().unwrap()).unwrap();
        }
        let [near, far] = sockets;
        (near, far)
    }

    fn descriptor(socket: &UdpSocket) -> Descriptor {
        OwnedFd::from(socket.try_clone().unwrap()).into()
    }

    fn waits_for(round: &Round<'_>, descriptor: &Descriptor) -> bool {
        matches!(round, Round::Wait(waited, Interest::Readable) if std::ptr::eq(*waited, descriptor))
    }

    #[test]
    fn what_was_taken_by_others_is_waited_for_again() {
        let (near, _far) = pair();
        let near = descriptor(&near);
        let mut rounds = Rounds::new(&near, Interest::Readable);
        for _ in 0..4 {
            assert!(waits_for(&rounds.next(Interest::Readable).unwrap(), &near));
        }
    }

    #[test]
    fn what_was_shut_down_is_over_after_one_more_attempt() {
        let (near, _far) = pair();
        shutdown(&near, Shutdown::Read).unwrap();
        let near = descriptor(&near);
        let mut rounds = Rounds::new(&near, Interest::Readable);
        assert!(waits_for(&rounds.next(Interest::Readable).unwrap(), &near));
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Again));
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Over));
    }

    /// A descriptor that stays ready without data is waited for by its changes. Here that is a message that nobody
    /// takes.
    #[test]
    fn what_stays_ready_is_waited_for_by_its_changes() {
        let (near, far) = pair();
        far.send(b"1").unwrap();
        let near_descriptor = descriptor(&near);
        let mut rounds = Rounds::new(&near_descriptor, Interest::Readable);
        assert!(waits_for(&rounds.next(Interest::Readable).unwrap(), &near_descriptor));
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Again));
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Again));
        let ready = |rounds: &mut Rounds<'_>| match rounds.next(Interest::Readable).unwrap() {
            Round::Wait(changes, interest) => !look(changes, interest).unwrap().is_empty(),
            round => panic!("{round:?}"),
        };
        assert!(!ready(&mut rounds), "nothing has changed");
        far.send(b"2").unwrap();
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Again));
        assert!(!ready(&mut rounds));
        shutdown(&near, Shutdown::Read).unwrap();
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Again));
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Over));
    }

    #[test]
    fn what_has_room_is_attempted_again_later() {
        let (near, _peer) = UnixStream::pair().unwrap();
        let near = Descriptor::from(OwnedFd::from(near));
        let mut rounds = Rounds::new(&near, Interest::Writable);
        assert!(matches!(rounds.next(Interest::Writable).unwrap(), Round::Wait(_, Interest::Writable)));
        assert!(matches!(rounds.next(Interest::Writable).unwrap(), Round::Again));
        for _ in 0..3 {
            assert!(matches!(rounds.next(Interest::Writable).unwrap(), Round::Later));
        }
    }

    #[test]
    fn between_two_either_may_change() {
        let [(from, mut from_peer), (to, _to_peer)] = [(); 2].map(|()| UnixStream::pair().unwrap());
        from_peer.write_all(b"1").unwrap();
        let [from, to] = [from, to].map(|socket| Descriptor::from(OwnedFd::from(socket)));
        let mut rounds = Rounds::between(&from, &to);
        for _ in 0..3 {
            rounds.next(Interest::Readable).unwrap();
        }
        let Round::Wait(changes, interest) = rounds.next(Interest::Readable).unwrap() else { panic!() };
        assert!(look(changes, interest).unwrap().is_empty());
        from_peer.write_all(b"2").unwrap();
        assert!(matches!(rounds.next(Interest::Readable).unwrap(), Round::Again));
    }
}
