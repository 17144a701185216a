//! Slots of a channel that are reserved for later items.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use iolite_io::sync::{
    Event, Semaphore, SendErrorKind, TryRecvError,
    mpmc::{Sender, channel, unbounded},
};
use iolite_io::{
    Io,
    select::{OneOf2, OneOf3},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, panic_of, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    a_permit_keeps_its_slot,
    a_slot_that_is_given_back_goes_to_the_longest_waiting,
    an_item_passes_those_who_wait_for_a_slot,
    a_closed_channel_has_no_slots,
    a_wait_that_came_to_something_else_keeps_no_slot,
    one_who_waits_for_a_slot_and_with_an_item,
    every_item_arrives_once_and_no_more_than_there_is_room_for,
    a_slot_is_kept_or_still_free,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn is_full(sender: &Sender<u32>) -> bool {
    matches!(sender.try_reserve(), Err(SendErrorKind::Full))
}

fn a_permit_keeps_its_slot(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(2);
        let permit = sender.reserve(io).expect("room");
        sender.try_send(1).expect("room");
        assert!(matches!(sender.try_send(2).expect_err("it is kept").kind, SendErrorKind::Full));
        assert!(is_full(&sender));
        let soon = io.now() + SHORT;
        assert!(matches!(io.timeout_at(soon, |io| sender.reserve(io)), Err(SendErrorKind::TimedOut)));
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Err(TryRecvError::Empty)));
        permit.send(3).expect("open");
        let other = sender.reserve_uncancelable(io).expect("room");
        assert!(is_full(&sender));
        assert_eq!(receiver.try_recv(), Ok(3));
        drop(other);
        (4..6).for_each(|item| sender.try_send(item).expect("both slots are free"));
        // An unbounded channel always has a slot; a channel without slots never has one.
        drop((0..9).map(|_| unbounded::<u32>().0.reserve(io).map(drop)).collect::<Result<Vec<_>, _>>().expect("room"));
        assert!(panic_of(|| drop(channel::<u32>(0).0.reserve(io))).contains("rendezvous"));
    });
}

/// The waiters wait with an item or for a slot.
fn a_slot_that_is_given_back_goes_to_the_longest_waiting(on: &On) {
    on.run(|io| {
        for first_sends in [false, true] {
            let (sender, receiver) = channel(1);
            let permit = sender.reserve(io).expect("room");
            let probes = [(); 3].map(|()| Semaphore::new(1));
            let (sender, probes, done) = (&sender, &probes, &Event::new());
            // Each lists its probe last, and no task gets ahead of one that waits for two permits.
            let waits = |number: usize| until(io, || probes[number].try_acquire().is_none());
            let send = |io: &dyn Io, number: usize| {
                let mut item = Some(1);
                match io.select((sender.on_send(&mut item), probes[number].on_acquire_many(2))) {
                    Ok(OneOf2::First(sent)) => sent.expect("open"),
                    other => panic!("{other:?}"),
                }
            };
            let reserve = |io: &dyn Io, number: usize| match io
                .select((sender.on_reserve(), probes[number].on_acquire_many(2)))
            {
                Ok(OneOf2::First(permit)) => {
                    done.wait_uncancelable(io);
                    permit.expect("open").send(2).expect("open");
                }
                other => panic!("{other:?}"),
            };
            scope(io, |group| {
                let canceled =
                    concurrently(group, |io| io.select((sender.on_reserve(), probes[0].on_acquire_many(2))).map(drop));
                waits(0);
                let act = |sends: bool, number: usize| {
                    move |io: &dyn Io| if sends { send(io, number) } else { reserve(io, number) }
                };
                let first = concurrently(group, act(first_sends, 1));
                waits(1);
                let second = concurrently(group, act(!first_sends, 2));
                waits(2);
                canceled.request_cancel();
                canceled.join(io).expect_canceled("asked to stop");
                drop(permit);
                if first_sends {
                    assert_eq!(receiver.recv(io).expect("sent"), 1);
                    done.set();
                    assert_eq!(receiver.recv(io).expect("sent"), 2);
                } else {
                    assert!(receiver.is_empty(), "the slot is kept");
                    done.set();
                    let both = [receiver.recv(io).expect("sent"), receiver.recv(io).expect("sent")];
                    // An item may overtake a slot that is reserved for a later item.
                    assert!(both == [2, 1] || both == [1, 2], "{both:?}");
                }
                first.join(io);
                second.join(io);
            });
            assert!(!is_full(sender));
        }
    });
}

/// Lets started tasks wait, which is the case to be tested; the result does not depend on it.
fn until_waiting(io: &dyn Io) {
    io.sleep(SHORT).expect("not canceled");
}

fn an_item_passes_those_who_wait_for_a_slot(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        let permit = sender.reserve(io).expect("room");
        scope(io, |group| {
            let reserving = started(group, io, |io| sender.reserve(io).map(|permit| permit.send(3)));
            until_waiting(io);
            let sending = started(group, io, |io| sender.send(io, 1));
            until_waiting(io);
            // It takes nobody's slot, and the permit's owner may wait for the result.
            assert_eq!(receiver.recv(io).expect("handed over"), 1);
            sending.join(io).expect("received");
            let receiving = started(group, io, |io| receiver.recv(io));
            permit.send(2).expect("open");
            assert_eq!(receiving.join(io).expect("sent"), 2);
            assert_eq!(receiver.recv(io).expect("sent"), 3);
            reserving.join(io).expect("open").expect("open");
        });
    });
}

fn a_closed_channel_has_no_slots(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        let permit = sender.reserve(io).expect("room");
        scope(io, |group| {
            let waiting = started(group, io, |io| sender.reserve(io).map(drop));
            let among = started(group, io, |io| match io.select((sender.on_reserve(), io.now() + LONG)) {
                Ok(OneOf2::First(reserved)) => reserved.map(drop),
                other => panic!("{other:?}"),
            });
            until_waiting(io);
            drop(receiver);
            assert!(matches!(waiting.join(io), Err(SendErrorKind::Closed)));
            assert!(matches!(among.join(io), Err(SendErrorKind::Closed)));
        });
        let error = permit.send(7).expect_err("nobody receives");
        assert!(error.item == 7 && matches!(error.kind, SendErrorKind::Closed), "{error}");
        assert!(matches!(sender.try_reserve(), Err(SendErrorKind::Closed)));
        assert!(matches!(sender.reserve(io), Err(SendErrorKind::Closed)));
        let OneOf2::First(Err(SendErrorKind::Closed)) =
            io.select((sender.on_reserve(), io.now() + LONG)).expect("not canceled")
        else {
            panic!("it is closed")
        };
    });
}

fn a_wait_that_came_to_something_else_keeps_no_slot(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        let event = Event::new();
        event.set();
        let one = io.select((event.on_wait(), sender.on_reserve())).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())));
        sender.try_send(1).expect("nobody has kept it");
        // The same for a caller that has waited.
        event.reset();
        scope(io, |group| {
            let waiting = started(group, io, |io| {
                matches!(io.select((event.on_wait(), sender.on_reserve())), Ok(OneOf2::First(())))
            });
            let canceled = started(group, io, |io| io.select(sender.on_reserve()).map(drop));
            until_waiting(io);
            event.set();
            assert!(waiting.join(io), "the event");
            canceled.request_cancel();
            canceled.join(io).expect_canceled("asked to stop");
            let waiting = started(group, io, |io| match io.select((sender.on_reserve(), io.now() + LONG)) {
                Ok(OneOf2::First(permit)) => permit.expect("open").send(2).expect("open"),
                other => panic!("{other:?}"),
            });
            until_waiting(io);
            assert_eq!(receiver.recv(io).expect("sent"), 1);
            waiting.join(io);
        });
        assert_eq!(receiver.try_recv(), Ok(2));
        assert!(!is_full(&sender));
    });
}

/// In both cases, the other place of the same waiter blocks nobody.
fn one_who_waits_for_a_slot_and_with_an_item(on: &On) {
    on.run(|io| {
        for slot_comes in [false, true] {
            let (sender, receiver) = channel(1);
            let permit = sender.reserve(io).expect("room");
            let mut item = Some(1);
            scope(io, |group| {
                let both = started(group, io, |io| {
                    match io.select((sender.on_reserve(), sender.on_send(&mut item), io.now() + LONG)) {
                        Ok(OneOf3::First(permit)) => {
                            permit.expect("open").send(2).expect("open");
                            true
                        }
                        Ok(OneOf3::Second(sent)) => {
                            sent.expect("open");
                            false
                        }
                        other => panic!("{other:?}"),
                    }
                });
                until_waiting(io);
                if slot_comes {
                    drop(permit);
                    assert!(both.join(io), "a slot came");
                    assert_eq!(receiver.recv(io).expect("sent"), 2);
                } else {
                    assert_eq!(receiver.recv(io).expect("handed over"), 1);
                    assert!(!both.join(io), "the item went");
                    drop(permit);
                }
            });
            assert_eq!(item.is_some(), slot_comes);
            assert!(!is_full(&sender));
        }
    });
}

fn every_item_arrives_once_and_no_more_than_there_is_room_for(on: &On) {
    on.run(|io| {
        for capacity in [1, 3] {
            let (sender, receiver) = channel::<u64>(capacity);
            let (sum, count) = (AtomicU64::new(0), rounds(300) as u64);
            let sum = &sum;
            scope(io, |group| {
                for number in 0..4_u64 {
                    let sender = sender.clone();
                    drop(concurrently(group, move |io| {
                        for item in 1..=count {
                            match (number + item) % 4 {
                                0 => sender.send(io, item).expect("open"),
                                1 => drop(sender.reserve(io).expect("open")),
                                _ => {}
                            }
                            if (number + item) % 4 != 0 {
                                sender.reserve(io).expect("open").send(item).expect("open");
                            }
                        }
                    }));
                    let receiver = receiver.clone();
                    drop(concurrently(group, move |io| {
                        while let Ok(item) = receiver.recv(io) {
                            assert!(receiver.len() <= capacity, "more than there is room for");
                            sum.fetch_add(item, Ordering::Relaxed);
                        }
                    }));
                }
                drop((sender, receiver));
            });
            assert_eq!(sum.load(Ordering::Relaxed), 4 * count * (count + 1) / 2);
        }
    });
}

/// A request arrives when the slot becomes free.
fn a_slot_is_kept_or_still_free(on: &On) {
    on.in_task(|io| {
        let (sender, receiver) = channel(1);
        let sender = &sender;
        Race::new("permits", 2_000).run(|start| {
            sender.try_send(1).expect("room");
            let reserve = |io: &dyn Io| -> io::Result<()> {
                sender.reserve(io)?.send(2)?;
                Ok(())
            };
            let reserved = attempt(io, start, reserve, || assert_eq!(receiver.try_recv(), Ok(1))).is_some();
            if reserved {
                assert_eq!(receiver.try_recv(), Ok(2));
            }
            until(io, || !is_full(sender));
            reserved
        });
    });
}
