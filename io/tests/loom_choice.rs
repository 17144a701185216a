//! Models of waits in several queues: loom runs `waiting/choice.rs`, `waiting/wait_queue.rs` and `list.rs` themselves
//! through every interleaving, around rendezvous channels as in `sync/channel.rs`. A missed hand-over shows as a
//! deadlock; a lost or duplicated item shows in the count at the end.
#![allow(unsafe_code)]

#[path = "../src/waiting/choice.rs"]
#[allow(dead_code, unreachable_pub)]
mod choice;
#[path = "../src/list.rs"]
#[allow(dead_code)]
mod list;
#[path = "support/loom_primitive.rs"]
mod primitive;
#[path = "../src/waiting/wait_queue.rs"]
#[allow(dead_code)]
mod wait_queue;

mod context {
    use loom::sync::Notify;

    /// The unparker of a waiter in the model; leaked, as wake blocks are.
    #[derive(Clone, Copy)]
    pub(crate) struct Unparker(&'static Notify);

    impl std::fmt::Debug for Unparker {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Unparker")
        }
    }

    impl Unparker {
        pub(crate) fn new() -> Self {
            Self(Box::leak(Box::new(Notify::new())))
        }

        pub(crate) fn unpark(self) {
            self.0.notify();
        }

        pub(crate) fn park(self) {
            self.0.wait();
        }
    }
}

use std::sync::Arc;

use choice::Choice;
use context::Unparker;
use loom::thread;
use primitive::{Lock, explore};
use wait_queue::{Place, Served, WaitQueue};

/// A rendezvous channel.
struct Channel(Lock<Queues>);

struct Queues {
    sending: WaitQueue<u32>,
    receiving: WaitQueue<u32>,
}

type Channels = Arc<[Channel; 2]>;

fn channels() -> Channels {
    let channel = || Channel(Lock::new(Queues { sending: WaitQueue::new(), receiving: WaitQueue::new() }));
    Arc::new([channel(), channel()])
}

/// One of the things that a waiter can wait for.
#[derive(Clone, Copy)]
enum Wish {
    Send(usize, u32),
    Receive(usize),
}

impl Wish {
    fn channel(self) -> usize {
        match self {
            Wish::Send(channel, _) | Wish::Receive(channel) => channel,
        }
    }

    fn queue(self, queues: &mut Queues) -> &mut WaitQueue<u32> {
        match self {
            Wish::Send(..) => &mut queues.sending,
            Wish::Receive(_) => &mut queues.receiving,
        }
    }

    /// Meets a waiting thread. Returns the item that was passed, and the waiter to wake.
    fn attempt(self, queues: &mut Queues, comer: Option<&Choice>) -> Option<(u32, Served)> {
        match self {
            Wish::Send(_, item) => queues.receiving.give(item, comer).ok().map(|served| (item, served)),
            Wish::Receive(_) => queues.sending.take(comer),
        }
    }
}

/// Meets a thread that already waits, or none.
fn try_one(channels: &Channels, wish: Wish) -> Option<u32> {
    let (item, served) = wish.attempt(&mut channels[wish.channel()].0.lock(), None)?;
    served.wake();
    Some(item)
}

/// Waits for one of the wishes, as `select` does. Returns which one, and the item that was passed. An impatient caller
/// gives up instead of waiting.
fn select(channels: &Channels, wishes: &[Wish], impatient: bool) -> Option<(usize, u32)> {
    let unparker = Unparker::new();
    let choice = Choice::new(unparker);
    let mut places = Vec::new();
    let mut taken = None;
    for wish in wishes {
        let brings = if let Wish::Send(_, item) = wish { Some(*item) } else { None };
        // It is in a box, so that it does not move when the next one is added.
        places.push(Box::new(Place::new(unparker, Some(&choice), brings)));
        let mut queues = channels[wish.channel()].0.lock();
        if let Some((item, served)) = wish.attempt(&mut queues, Some(&choice)) {
            taken = Some((places.len() - 1, item));
            drop(queues);
            served.wake();
            break;
        }
        // SAFETY: it leaves below, before it and the choice are dropped.
        unsafe { places.last().unwrap().enter(wish.queue(&mut queues)) };
    }
    if !impatient || taken.is_some() || !choice.decide() {
        while !choice.is_decided() {
            unparker.park();
        }
    }
    for (index, (wish, place)) in wishes.iter().zip(places).enumerate() {
        // SAFETY: if it is in any queue, it is in this one.
        unsafe { place.leave(wish.queue(&mut channels[wish.channel()].0.lock())) };
        if place.is_served() {
            assert_eq!(taken, None, "one choice, one wish");
            let item = if let Wish::Send(_, item) = wish { Some(*item) } else { place.into_value() };
            taken = Some((index, item.expect("given")));
        }
    }
    taken
}

/// Each finds the other while the other can already be found.
#[test]
fn two_that_wait_for_many_things_meet() {
    explore(2, || {
        let channels = channels();
        let theirs = channels.clone();
        let sender = thread::spawn(move || select(&theirs, &[Wish::Send(0, 7), Wish::Send(1, 8)], false));
        let received = select(&channels, &[Wish::Receive(1), Wish::Receive(0)], false).expect("patient");
        let sent = sender.join().unwrap().expect("patient");
        assert_eq!((1 - received.0, received.1), sent);
        assert_eq!(received.1, 7 + sent.0 as u32);
    });
}

/// The same, with each of them on both sides.
#[test]
fn who_both_sends_and_receives_meets_the_other_and_not_itself() {
    explore(2, || {
        let channels = channels();
        let theirs = channels.clone();
        let other = thread::spawn(move || select(&theirs, &[Wish::Receive(0), Wish::Send(0, 1)], false));
        let ours = select(&channels, &[Wish::Receive(0), Wish::Send(0, 2)], false).expect("patient");
        let other = other.join().unwrap().expect("patient");
        assert_eq!(ours.0, 1 - other.0, "one has sent, one has received");
        assert_eq!((ours.1, other.1), if ours.0 == 0 { (1, 1) } else { (2, 2) });
    });
}

/// Two threads bring an item each to one that waits for both and gives up.
#[test]
fn who_gives_up_has_taken_one_item_or_none() {
    explore(2, || {
        let channels = channels();
        let givers: Vec<_> = (0..2)
            .map(|channel| {
                let channels = channels.clone();
                thread::spawn(move || try_one(&channels, Wish::Send(channel, channel as u32)).is_some())
            })
            .collect();
        let taken = select(&channels, &[Wish::Receive(0), Wish::Receive(1)], true);
        let given: Vec<_> = givers.into_iter().map(|giver| giver.join().unwrap()).collect();
        let expected = taken.map_or([false; 2], |(index, item)| {
            assert_eq!(index, item as usize);
            [index == 0, index == 1]
        });
        assert_eq!(given, expected);
    });
}

/// Three threads may meet in several ways, and two of them give up: every item that was sent was received.
#[test]
fn every_item_that_was_sent_was_received() {
    explore(2, || {
        let channels = channels();
        let wishes = [[Wish::Send(0, 1), Wish::Send(1, 2)], [Wish::Receive(1), Wish::Send(0, 3)]];
        let others: Vec<_> = wishes
            .into_iter()
            .map(|wishes| {
                let channels = channels.clone();
                thread::spawn(move || select(&channels, &wishes, true).map(|(index, item)| (wishes[index], item)))
            })
            .collect();
        let wishes = [Wish::Receive(0), Wish::Receive(1)];
        let mut all = vec![select(&channels, &wishes, true).map(|(index, item)| (wishes[index], item))];
        all.extend(others.into_iter().map(|other| other.join().unwrap()));
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for (wish, item) in all.into_iter().flatten() {
            match wish {
                Wish::Send(channel, _) => sent.push((channel, item)),
                Wish::Receive(channel) => received.push((channel, item)),
            }
        }
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(sent, received);
    });
}

/// Waits for one thing, without a choice.
fn wait_one(channels: &Channels, wish: Wish) -> u32 {
    let unparker = Unparker::new();
    let brings = if let Wish::Send(_, item) = wish { Some(item) } else { None };
    let place = Place::new(unparker, None, brings);
    let mut queues = channels[wish.channel()].0.lock();
    if let Some((item, served)) = wish.attempt(&mut queues, None) {
        drop(queues);
        served.wake();
        return item;
    }
    // SAFETY: it is served before this returns.
    unsafe { place.enter(wish.queue(&mut queues)) };
    drop(queues);
    while !place.is_served() {
        unparker.park();
    }
    if let Wish::Send(_, item) = wish { item } else { place.into_value().expect("given") }
}

/// A waiter that gives up is still in the queue, before one that does not, when an item comes.
#[test]
fn who_was_decided_elsewhere_is_passed_over() {
    explore(2, || {
        let channels = channels();
        let (fickle, patient) = (channels.clone(), channels.clone());
        let fickle = thread::spawn(move || select(&fickle, &[Wish::Receive(1), Wish::Receive(0)], true));
        let patient = thread::spawn(move || wait_one(&patient, Wish::Receive(0)));
        wait_one(&channels, Wish::Send(0, 1));
        if fickle.join().unwrap().is_some() {
            wait_one(&channels, Wish::Send(0, 1));
        }
        assert_eq!(patient.join().unwrap(), 1);
    });
}

/// Models that fail with weaker orderings of the queue. A waiter may be woken by anything, so it does not park here,
/// but polls.
mod orders {
    use super::*;

    #[test]
    fn who_sees_that_it_was_served_has_its_place_and_its_item() {
        explore(3, || {
            let channels = channels();
            let place = Place::new(Unparker::new(), None, None);
            // SAFETY: it is served before this returns.
            unsafe { place.enter(&mut channels[0].0.lock().receiving) };
            let giver = {
                let channels = channels.clone();
                thread::spawn(move || assert_eq!(try_one(&channels, Wish::Send(0, 7)), Some(7)))
            };
            while !place.is_served() {
                thread::yield_now();
            }
            assert_eq!(place.into_value(), Some(7));
            giver.join().unwrap();
        });
    }
}

/// Two threads wait for one thing each, and one of them meets a thread that waits for both.
#[test]
fn who_waits_for_many_things_meets_one_who_waits_for_one() {
    explore(2, || {
        let channels = channels();
        let receivers = [0, 1].map(|channel| {
            let channels = channels.clone();
            thread::spawn(move || wait_one(&channels, Wish::Receive(channel)))
        });
        let (index, item) = select(&channels, &[Wish::Send(0, 0), Wish::Send(1, 1)], false).expect("patient");
        assert_eq!(index, item as usize);
        wait_one(&channels, Wish::Send(1 - index, 1 - item));
        assert_eq!(receivers.map(|receiver| receiver.join().unwrap()), [0, 1]);
    });
}
