//! What to do about a descriptor that is said to be ready and has nothing.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net;

use super::quick::take_socket_error;
use crate::descriptor::Descriptor;
use crate::operation::Interest;

/// Decides what follows an attempt that would block: for backends that try, wait for the descriptor and try again.
///
/// A descriptor can be said to be ready for good although an attempt would block: a datagram socket that was shut
/// down for reading has no message, and one with an error that nobody takes out of its error queue has none either.
/// Who waits for it once more spins. So after two fruitless rounds only what *changes* is waited for, and what
/// nothing can come from any more is over.
///
/// The caller looks for a request in every round: a wait that ends at once would hide it for ever.
#[derive(Debug)]
pub struct Rounds<'a> {
    from: Option<&'a Descriptor>,
    to: Option<&'a Descriptor>,
    state: State,
}

/// What comes next, after an attempt would block.
#[derive(Clone, Copy, Debug)]
pub enum Round<'r> {
    /// Wait until this descriptor is ready in that way, and attempt again.
    Wait(&'r Descriptor, Interest),
    /// Attempt again.
    Again,
    /// Attempt again a little later: nothing can wait for what is missing.
    Later,
    /// Nothing will come: the attempt is made as one that finds the end.
    Over,
}

#[derive(Debug)]
enum State {
    /// It was said to be ready so many times in a row, and was not.
    Fruitless(u32),
    /// The last attempt was made when nothing could follow what was there.
    Ended,
    /// Becomes readable when something has changed.
    Changes(Descriptor),
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What says that nothing follows what is there.
const END: PollFlags = PollFlags::RDHUP.union(PollFlags::HUP);

impl<'a> Rounds<'a> {
    /// Attempts to get something out of `descriptor`, or into it.
    pub fn new(descriptor: &'a Descriptor, interest: Interest) -> Self {
        match interest {
            Interest::Readable | Interest::HungUp => Self::of(Some(descriptor), None),
            Interest::Writable => Self::of(None, Some(descriptor)),
        }
    }

    /// Attempts to move something.
    pub fn between(from: &'a Descriptor, to: &'a Descriptor) -> Self {
        Self::of(Some(from), Some(to))
    }

    fn of(from: Option<&'a Descriptor>, to: Option<&'a Descriptor>) -> Self {
        Self { from, to, state: State::Fruitless(0) }
    }

    /// What follows an attempt that would block, for a descriptor that was not ready in the way of `interest`.
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
                    // Somebody else was faster.
                    return Ok(Round::Wait(descriptor, interest));
                }
                if interest == Interest::Readable && told.intersects(END) {
                    self.state = State::Ended;
                } else if times == 1 {
                    self.state = State::Fruitless(2);
                } else if told.contains(PollFlags::OUT) {
                    // There is room, and the kernel lacks memory just now, which changes without a word.
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

    /// Becomes readable when something comes, or there is new room, or a new error. What is there already has been
    /// taken out.
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

/// Whether a descriptor is said to be ready in that way at this moment. An error that is to be told is something to read
/// and to write; it is no end of the connection.
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

/// The attempt of who waits for a descriptor to be ready and cannot do with less: `WouldBlock` while it is not.
///
/// # Errors
///
/// The errors of `poll`.
pub fn expect_ready(descriptor: &Descriptor, interest: Interest) -> io::Result<()> {
    if is_ready(descriptor, interest)? { Ok(()) } else { Err(Errno::AGAIN.into()) }
}

/// Ends a connect that goes on by itself, once the socket is said to be writable, or to have an error.
///
/// # Errors
///
/// What it has failed with; of kind [`WouldBlock`](io::ErrorKind::WouldBlock) when it still goes on.
pub fn finish_connect(socket: &Descriptor) -> io::Result<()> {
    take_socket_error(socket)?;
    match net::getpeername(socket) {
        // Neither failed nor connected.
        Err(Errno::NOTCONN) => Err(Errno::AGAIN.into()),
        result => Ok(result.map(drop)?),
    }
}

/// What is said of a descriptor at this moment.
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

    /// Of what stays ready without anything to be had, a change is waited for. Here it is a message that nobody takes.
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
