//! Channels on one backend: order, capacity, closing, and a ledger of every item.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iolite_io::sync::{
    Event, RecvError, SendError, SendErrorKind, TryRecvError,
    mpmc::{Receiver, Sender, channel, unbounded},
    oneshot,
};
use iolite_io::{Io, WaitError, select::OneOf2};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Random, concurrently, note, rounds, scope, started};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

pub(crate) const CASES: &[Case] = cases![
    items_arrive_in_order_at_every_capacity(0),
    items_arrive_in_order_at_every_capacity(1),
    items_arrive_in_order_at_every_capacity(2),
    items_arrive_in_order_at_every_capacity(3),
    items_arrive_in_order_at_every_capacity(5),
    items_arrive_in_order_at_every_capacity(64),
    try_forms_tell_full_empty_and_closed,
    capacity_zero_is_a_rendezvous,
    a_rendezvous_hands_over_to_a_waiting_receiver,
    closing_drains_first,
    the_last_sender_closes_it,
    the_last_receiver_closes_it_and_gives_items_back_to_who_waits,
    a_canceled_send_comes_back_with_its_item,
    a_waiting_senders_item_moves_up,
    no_item_is_lost_or_doubled_under_cancellation(0),
    no_item_is_lost_or_doubled_under_cancellation(1),
    no_item_is_lost_or_doubled_under_cancellation(4),
    an_unbounded_channel_always_has_room,
    a_oneshot_hands_over_one_item,
    a_receive_may_be_timed_out_around,
    many_senders_and_receivers_share_a_channel,
    an_item_goes_around_a_ring_of_tasks,
    a_timeout_around_a_send_gives_the_item_back,
    a_sender_is_told_that_nobody_will_receive,
];

fn items_arrive_in_order_at_every_capacity(on: &On, capacity: usize) {
    on.run(|io| {
        let (sender, receiver) = channel(capacity);
        scope(io, |group| {
            drop(concurrently(group, move |io| {
                (0..300).for_each(|item| sender.send(io, item).expect("somebody receives"));
            }));
            let items: Vec<_> = std::iter::from_fn(|| receiver.recv(io).ok()).collect();
            assert_eq!(items, (0..300).collect::<Vec<_>>());
        });
    });
}

fn try_forms_tell_full_empty_and_closed(on: &On) {
    on.run(|_| {
        let (sender, receiver) = channel(2);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.try_send(1).expect("room");
        sender.try_send(2).expect("room");
        let error = sender.try_send(3).expect_err("full");
        assert!(matches!(error.kind, SendErrorKind::Full) && error.item == 3);
        assert_eq!((sender.len(), receiver.len(), receiver.is_empty()), (2, 2, false));
        sender.close();
        assert!(sender.is_closed());
        let error = sender.try_send(3).expect_err("closed");
        assert!(matches!(error.kind, SendErrorKind::Closed) && error.item == 3);
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

fn capacity_zero_is_a_rendezvous(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(0);
        assert!(matches!(sender.try_send(1).expect_err("nobody waits").kind, SendErrorKind::Full));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let received = AtomicUsize::new(0);
        scope(io, |group| {
            let sending = concurrently(group, |io| {
                sender.send(io, 1).expect("received");
                // The receiver has received the item by now.
                received.load(Ordering::SeqCst)
            });
            // There is no item until the sender waits.
            let item = loop {
                match receiver.try_recv() {
                    Ok(item) => break item,
                    Err(_) => io.yield_now(),
                }
            };
            received.store(item, Ordering::SeqCst);
            sending.join(io);
        });
    });
}

fn a_rendezvous_hands_over_to_a_waiting_receiver(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(0);
        scope(io, |group| {
            let receiving = concurrently(group, |io| receiver.recv(io));
            let mut item = 4;
            while let Err(error) = sender.try_send(item) {
                item = error.item;
                io.yield_now();
            }
            assert_eq!(receiving.join(io).expect("handed over"), 4);
        });
    });
}

fn closing_drains_first(on: &On) {
    on.run(|io| {
        for by_receiver in [false, true] {
            let (sender, receiver) = channel(4);
            (0..3).for_each(|item| sender.try_send(item).expect("room"));
            if by_receiver {
                receiver.close()
            } else {
                sender.close()
            }
            assert!(matches!(sender.send(io, 9).expect_err("closed, even with room").kind, SendErrorKind::Closed));
            assert_eq!([(); 3].map(|()| receiver.recv(io).expect("drained first")), [0, 1, 2]);
            assert!(matches!(receiver.recv(io), Err(RecvError::Closed)));
            assert!(matches!(receiver.recv(io), Err(RecvError::Closed)), "and stays so");
        }
    });
}

fn the_last_sender_closes_it(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(2);
        let second = sender.clone();
        drop(sender);
        second.try_send(1).expect("open: there is one more");
        scope(io, |group| {
            let receiving = concurrently(group, |io| (receiver.recv(io), receiver.recv(io)));
            drop(second);
            let (first, then) = receiving.join(io);
            assert_eq!(first.expect("drained first"), 1);
            assert!(matches!(then, Err(RecvError::Closed)));
        });
    });
}

fn the_last_receiver_closes_it_and_gives_items_back_to_who_waits(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        let in_it = Arc::new(());
        sender.try_send(in_it.clone()).expect("room");
        scope(io, |group| {
            let waiting = Arc::new(());
            let theirs = waiting.clone();
            let sending = concurrently(group, move |io| sender.send(io, theirs));
            drop(receiver);
            let error = sending.join(io).expect_err("nobody receives");
            assert!(matches!(error.kind, SendErrorKind::Closed));
            assert!(Arc::ptr_eq(&error.item, &waiting));
        });
        assert_eq!(Arc::strong_count(&in_it), 1, "what was in it is dropped");
    });
}

fn a_canceled_send_comes_back_with_its_item(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        sender.try_send(0).expect("room");
        scope(io, |group| {
            let sending = concurrently(group, |io| sender.send(io, 1));
            let error = sending.cancel(io).expect_err("canceled");
            assert!(matches!(error.kind, SendErrorKind::Canceled(_)) && error.item == 1);
        });
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(0), Err(TryRecvError::Empty)));
    });
}

fn a_waiting_senders_item_moves_up(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        sender.try_send(0).expect("room");
        scope(io, |group| {
            let sending = concurrently(group, |io| sender.send(io, 1));
            assert_eq!(receiver.recv(io).expect("there"), 0);
            assert_eq!(receiver.recv(io).expect("it moved up or was sent"), 1);
            sending.join(io).expect("sent");
        });
    });
}

/// Senders and receivers are canceled and time out at random. Each item is received once, or is returned to its sender,
/// or is in the channel.
fn no_item_is_lost_or_doubled_under_cancellation(on: &On, capacity: usize) {
    on.on_thread(|io| {
        let mut random = Random::new("ledger of a channel");
        let (sent, returned, received) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let tally = AtomicUsize::new(0);
        for _ in 0..rounds(150) {
            let (sender, receiver) = channel(capacity);
            let (sender, receiver) = (&sender, &receiver);
            let (sent, returned, received, tally) = (&sent, &returned, &received, &tally);
            let began = Event::new();
            scope(io, |group| {
                let senders: Vec<_> = (0..3)
                    .map(|number| {
                        let (mut random, began) = (random.clone(), &began);
                        (0..number).for_each(|_| _ = random.number());
                        concurrently(group, move |io| {
                            for _ in 0..8 {
                                began.set();
                                let item = random.number() as usize >> 8;
                                let result = match random.below(3) {
                                    0 => io.timeout_at(io.now() + Duration::from_micros(random.below(50)), |io| {
                                        sender.send(io, item)
                                    }),
                                    _ => sender.send(io, item),
                                };
                                match result {
                                    Ok(()) => {
                                        sent.fetch_add(1, Ordering::Relaxed);
                                        tally.fetch_add(item, Ordering::Relaxed);
                                    }
                                    Err(error) => {
                                        assert_eq!(error.item, item, "its own item comes back");
                                        returned.fetch_add(1, Ordering::Relaxed);
                                    }
                                }
                            }
                        })
                    })
                    .collect();
                let receivers: Vec<_> = (0..2)
                    .map(|number| {
                        let mut random = random.clone();
                        (0..10 + number).for_each(|_| _ = random.number());
                        concurrently(group, move |io| {
                            loop {
                                let result = match random.below(3) {
                                    0 => io.timeout_at(io.now() + Duration::from_micros(random.below(50)), |io| {
                                        receiver.recv(io)
                                    }),
                                    _ => receiver.recv(io),
                                };
                                match result {
                                    Ok(item) => {
                                        received.fetch_add(1, Ordering::Relaxed);
                                        tally.fetch_sub(item, Ordering::Relaxed);
                                    }
                                    Err(RecvError::Closed) => return,
                                    Err(RecvError::Canceled(_) | RecvError::TimedOut) => {}
                                }
                            }
                        })
                    })
                    .collect();
                began.wait_uncancelable(io);
                for _ in 0..6 {
                    (0..random.below(4)).for_each(|_| io.yield_now());
                    let (senders_index, receivers_index) = (random.below(3) as usize, random.below(2) as usize);
                    senders[senders_index].request_cancel();
                    receivers[receivers_index].request_cancel();
                }
                senders.into_iter().for_each(|member| member.join(io));
                sender.close();
            });
        }
        let counts = [sent, returned, received].map(AtomicUsize::into_inner);
        note(format_args!("sent, returned, received: {counts:?}"));
        assert_eq!(counts[0], counts[2], "as many received as sent");
        assert_eq!(tally.into_inner(), 0, "and the same ones");
        assert!(counts[0] > 0 && counts[1] > 0, "both happen");
    });
}

fn an_unbounded_channel_always_has_room(on: &On) {
    on.run(|io| {
        let (sender, receiver) = unbounded();
        (0..10_000).for_each(|item| sender.try_send(item).expect("room"));
        sender.send(io, 10_000).expect("room");
        drop(sender);
        assert!(std::iter::from_fn(|| receiver.recv(io).ok()).eq(0..=10_000));
    });
}

fn a_oneshot_hands_over_one_item(on: &On) {
    on.run(|io| {
        let (sender, receiver) = oneshot::channel();
        scope(io, |group| {
            let receiving = concurrently(group, |io| (receiver.recv(io).ok(), receiver.recv(io)));
            assert!(!sender.is_closed());
            sender.send(5).expect("somebody receives");
            let (item, then) = receiving.join(io);
            assert_eq!(item, Some(5));
            assert!(matches!(then, Err(RecvError::Closed)), "there is but one");
        });
        let (sender, receiver) = oneshot::channel::<u32>();
        drop(sender);
        assert!(matches!(receiver.recv(io), Err(RecvError::Closed)), "it never comes");
        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert!(sender.is_closed());
        let error = sender.send(5).expect_err("nobody receives");
        assert!(matches!(error, SendError { item: 5, kind: SendErrorKind::Closed }), "{error}");
    });
}

/// Errors of receiving pass through a timeout unchanged.
fn a_receive_may_be_timed_out_around(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel::<u32>(0);
        let result = io.timeout(Duration::from_millis(1), |io| receiver.recv(io));
        assert!(matches!(result, Err(RecvError::TimedOut)));
        drop(sender);
        let result = io.timeout(Duration::from_secs(3600), |io| receiver.recv(io));
        assert!(matches!(result, Err(RecvError::Closed)));
    });
}

fn many_senders_and_receivers_share_a_channel(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(3);
        let sum = AtomicUsize::new(0);
        let sum = &sum;
        scope(io, |group| {
            for _ in 0..4 {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                drop(concurrently(group, move |io| {
                    (1..=100).for_each(|item| sender.send(io, item).expect("somebody receives"));
                }));
                drop(concurrently(group, move |io| {
                    while let Ok(item) = receiver.recv(io) {
                        sum.fetch_add(item, Ordering::Relaxed);
                    }
                }));
            }
            drop((sender, receiver));
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4 * 5050);
    });
}

/// A ring of tasks, each of which passes its item on.
fn an_item_goes_around_a_ring_of_tasks(on: &On) {
    fn relay(io: &dyn Io, from: &iolite_io::sync::mpmc::Receiver<u32>, to: &iolite_io::sync::mpmc::Sender<u32>) {
        while let Ok(item) = from.recv(io) {
            if item == 0 || to.send(io, item - 1).is_err() {
                to.close();
                return;
            }
        }
        to.close();
    }
    on.run(|io| {
        let links: Vec<_> = (0..5).map(|_| channel(1)).collect();
        links[0].0.try_send(500).expect("room");
        scope(io, |group| {
            for number in 0..5 {
                let (from, to) = (&links[number].1, &links[(number + 1) % 5].0);
                drop(concurrently(group, move |io| relay(io, from, to)));
            }
        });
    });
}

/// A send that a timeout ends returns its item, as after a deadline or a cancellation.
fn a_timeout_around_a_send_gives_the_item_back(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(0);
        let error = io.timeout(SHORT, |io| sender.send(io, String::from("mine"))).expect_err("nobody receives");
        assert!(matches!(error.kind, SendErrorKind::TimedOut), "{error}");
        let outer = io.timeout(SHORT, |io| io.timeout(LONG, |io| sender.send(io, error.item)));
        let error = outer.expect_err("nobody receives");
        assert!(matches!(error.kind, SendErrorKind::TimedOut), "{error}");
        receiver.close();
        let error = io.timeout(SHORT, |io| sender.send(io, error.item)).expect_err("closed");
        assert!(matches!(error.kind, SendErrorKind::Closed), "no request of the timeout's: {error}");
        assert_eq!(error.item, "mine");
    });
}

fn a_sender_is_told_that_nobody_will_receive(on: &On) {
    on.run(|io| {
        // The channel closes because the last receiver is dropped, or closes it, or because a sender does.
        let closes: [fn(Receiver<u32>, &Sender<u32>); 3] =
            [|receiver, _| drop(receiver), |receiver, _| receiver.close(), |_receiver, sender| sender.close()];
        for close in closes {
            let (sender, receiver) = channel(1);
            sender.send(io, 1).expect("room");
            let soon = io.now() + SHORT;
            assert!(matches!(io.timeout_at(soon, |io| sender.closed(io)), Err(WaitError::TimedOut(_))), "it is open");
            scope(io, |group| {
                let canceled = started(group, io, |io| sender.closed(io));
                canceled.request_cancel();
                canceled.join(io).expect_canceled("it is asked to stop");
                let alone = started(group, io, |io| sender.closed(io));
                let among = started(group, io, |io| io.select((sender.on_closed(), io.now() + LONG)));
                let more = receiver.clone();
                drop(receiver);
                assert!(!alone.is_finished() && !among.is_finished(), "somebody receives yet");
                close(more, &sender);
                alone.join(io).expect("not canceled");
                assert_eq!(among.join(io).expect("not canceled"), OneOf2::First(()));
            });
            sender.closed_uncancelable(io);
            assert_eq!(io.select((sender.on_closed(), io.now() + LONG)).expect("not canceled"), OneOf2::First(()));
        }
        let (asker, answer) = oneshot::channel::<u32>();
        drop(answer);
        asker.closed(io).expect("not canceled");
        io.select(asker.on_closed()).expect("not canceled");
        assert_eq!(asker.send(1).expect_err("nobody receives").item, 1);
    });
}
