//! Broadcasts: every receiver gets everything, or is told what it missed.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use iolite_io::sync::broadcast;
use iolite_io::{Io, WaitError, select::OneOf2};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, rounds, scope, started};

pub(crate) const CASES: &[Case] = cases![
    everybody_gets_everything_or_a_count_of_it(1),
    everybody_gets_everything_or_a_count_of_it(3),
    everybody_gets_everything_or_a_count_of_it(1_000_000),
    a_slow_receiver_is_told_what_it_missed,
    a_broadcast_without_receivers_comes_back,
    an_item_that_all_receivers_have_taken_is_kept_no_longer,
    items_may_use_the_channel,
    an_item_is_received_or_still_there,
    a_sender_is_told_that_nobody_receives,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// Receives until the end, and checks the order. Returns how many items came and how many were missed.
fn drain(io: &dyn Io, receiver: &mut broadcast::Receiver<u64>) -> (u64, u64) {
    let (mut received, mut missed) = (0, 0);
    loop {
        match receiver.recv(io) {
            Ok(item) => {
                assert_eq!(item, received + missed, "in order, and the missed ones are counted");
                received += 1;
            }
            Err(broadcast::RecvError::Lagged(count)) => missed += count,
            Err(broadcast::RecvError::Closed) => return (received, missed),
            Err(error) => panic!("{error}"),
        }
    }
}

fn everybody_gets_everything_or_a_count_of_it(on: &On, capacity: usize) {
    on.run(|io| {
        let (sender, receiver) = broadcast::channel(capacity);
        let count = rounds(500) as u64;
        thread::scope(|threads| {
            let mut on_thread = receiver.clone();
            let on_thread = threads.spawn(move || drain(io, &mut on_thread));
            scope(io, |group| {
                let receivers = [(); 3].map(|()| {
                    let mut receiver = receiver.clone();
                    concurrently(group, move |io| drain(io, &mut receiver))
                });
                drop(receiver);
                for item in 0..count {
                    sender.send(item).expect("somebody receives");
                    if item % 5 == 0 {
                        io.yield_now();
                    }
                }
                drop(sender);
                let all = receivers.map(|receiver| receiver.join(io));
                for (received, missed) in all.into_iter().chain([on_thread.join().expect("no panic")]) {
                    assert_eq!(received + missed, count);
                    assert!(missed == 0 || capacity < 1_000, "all are kept");
                }
            });
        });
    });
}

fn a_slow_receiver_is_told_what_it_missed(on: &On) {
    on.run(|io| {
        let (sender, mut slow) = broadcast::channel(2);
        (0..5).for_each(|item| sender.send(item).expect("somebody receives"));
        let mut late = sender.subscribe();
        assert_eq!((slow.len(), late.is_empty(), sender.receiver_count()), (5, true, 2));
        assert!(matches!(slow.recv(io), Err(broadcast::RecvError::Lagged(3))));
        assert_eq!(slow.recv(io).expect("kept"), 3);
        let mut clone = slow.clone();
        assert_eq!(slow.recv_uncancelable(io).expect("kept"), 4);
        assert!(matches!(slow.try_recv(), Err(broadcast::RecvError::Empty)));
        assert_eq!(clone.try_recv().expect("it begins where the other was"), 4);
        sender.send(5).expect("somebody receives");
        assert_eq!(late.recv(io).expect("since it subscribed"), 5);
        let soon = io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon, |io| late.recv(io)), Err(broadcast::RecvError::TimedOut)));
        let result = io.timeout(Duration::from_millis(1), |io| late.recv(io));
        assert!(matches!(result, Err(broadcast::RecvError::TimedOut)));
        drop(sender);
        assert_eq!(slow.recv(io).expect("drained first"), 5);
        assert!(matches!(slow.recv(io), Err(broadcast::RecvError::Closed)));
        assert!(matches!(slow.try_recv(), Err(broadcast::RecvError::Closed)));
    });
}

fn an_item_that_all_receivers_have_taken_is_kept_no_longer(on: &On) {
    on.run(|io| {
        let item = Arc::new(());
        let uses = || Arc::strong_count(&item) - 1;
        let (sender, mut one) = broadcast::channel(8);
        let mut other = one.clone();
        sender.send(item.clone()).expect("two receive");
        sender.send(item.clone()).expect("two receive");
        // It gets only later items.
        let mut late = sender.subscribe();
        drop(one.recv(io).expect("there are two"));
        assert_eq!(uses(), 2, "one receiver has not taken the first");
        drop(other.recv(io).expect("there are two"));
        assert_eq!(uses(), 1, "both have taken the first");
        // It begins at the position of the other one.
        let mut clone = other.clone();
        drop(one.recv(io).expect("there is one more"));
        drop(other.recv(io).expect("there is one more"));
        assert_eq!(uses(), 1, "the clone has not taken the second");
        drop(clone.try_recv().expect("there is one"));
        assert_eq!(uses(), 0, "all have taken both");
        assert!(matches!(late.try_recv(), Err(broadcast::RecvError::Empty)));
        for _ in 0..8 {
            sender.send(item.clone()).expect("four receive");
        }
        drop((one, other, clone));
        assert_eq!(uses(), 8, "one receiver has taken none");
        drop(late);
        assert_eq!(uses(), 0, "nobody receives");
    });
}

fn a_broadcast_without_receivers_comes_back(on: &On) {
    on.run(|_| {
        let (sender, receiver) = broadcast::channel(4);
        let item = Arc::new(());
        sender.send(item.clone()).expect("somebody receives");
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1, "what nobody will receive is dropped");
        let back = sender.send(item.clone()).expect_err("nobody receives");
        assert!(Arc::ptr_eq(&back.item, &item));
        let mut receiver = sender.clone().subscribe();
        sender.send(item.clone()).expect("somebody receives");
        drop(sender);
        assert!(Arc::ptr_eq(&receiver.try_recv().expect("sent"), &item));
    });
}

/// Items may hold ends of their own channel: they are cloned and dropped outside of the lock.
fn items_may_use_the_channel(on: &On) {
    #[derive(Debug)]
    struct Echo(iolite_io::sync::broadcast::Sender<Option<Box<Echo>>>);
    impl Clone for Echo {
        fn clone(&self) -> Self {
            assert!(self.0.receiver_count() > 0);
            Self(self.0.clone())
        }
    }
    on.run(|_| {
        let (sender, receiver) = broadcast::channel(1);
        let mut receivers = [receiver.clone(), receiver];
        sender.send(Some(Box::new(Echo(sender.clone())))).expect("somebody receives");
        receivers.iter_mut().for_each(|receiver| drop(receiver.try_recv().expect("there")));
        sender.send(None).expect("somebody receives");
        sender.send(Some(Box::new(Echo(sender.clone())))).expect("somebody receives");
    });
}

fn an_item_is_received_or_still_there(on: &On) {
    on.on_thread(|io| {
        let (sender, mut receiver) = broadcast::channel(4);
        let mut next = 0;
        Race::new("receive a broadcast", 1_000).run(|start| {
            next += 1;
            let receive = |io: &dyn Io| receiver.recv(io).map_err(io::Error::from);
            let received = attempt(io, start, receive, || sender.send(next).expect("it receives"));
            assert_eq!(received.or_else(|| receiver.try_recv().ok()), Some(next));
            assert!(matches!(receiver.try_recv(), Err(broadcast::RecvError::Empty)), "once");
            received.is_some()
        });
    });
}

fn a_sender_is_told_that_nobody_receives(on: &On) {
    on.run(|io| {
        let (sender, receiver) = broadcast::channel::<u32>(1);
        let more = receiver.clone();
        let soon = io.now() + SHORT;
        assert!(matches!(io.timeout_at(soon, |io| sender.closed(io)), Err(WaitError::TimedOut(_))), "two receive");
        scope(io, |group| {
            let canceled = started(group, io, |io| sender.closed(io));
            canceled.request_cancel();
            canceled.join(io).expect_canceled("it is asked to stop");
            let alone = started(group, io, |io| sender.closed(io));
            let shielded = started(group, io, |io| sender.closed_uncancelable(io));
            let among = started(group, io, |io| io.select((sender.on_closed(), io.now() + LONG)));
            drop(receiver);
            let later = sender.subscribe();
            drop(more);
            assert!(!alone.is_finished() && !among.is_finished() && !sender.is_closed(), "one receives yet");
            drop(later);
            alone.join(io).expect("not canceled");
            shielded.join(io);
            assert_eq!(among.join(io).expect("not canceled"), OneOf2::First(()));
        });
        assert!(sender.is_closed() && sender.receiver_count() == 0);
        sender.closed(io).expect("not canceled");
        let again = sender.subscribe();
        let soon = io.now() + SHORT;
        let open = io.select((sender.on_closed(), soon)).expect("not canceled");
        assert_eq!(open, OneOf2::Second(()), "it has a receiver again");
        drop(again);
        assert_eq!(io.select((sender.on_closed(), io.now() + LONG)).expect("not canceled"), OneOf2::First(()));
    });
}
