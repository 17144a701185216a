//! Watched values: the last value is always seen.

use std::io;
use std::thread;
use std::time::Duration;

use iolite_io::sync::{RecvError, watch};
use iolite_io::{Io, WaitError, select::OneOf2};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, attempt, concurrently, rounds, scope, started};

pub(crate) const CASES: &[Case] = cases![
    everybody_sees_the_last_value,
    what_counts_as_seen,
    a_change_is_seen_or_still_to_be_seen,
    a_sender_is_told_that_nobody_receives,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn everybody_sees_the_last_value(on: &On) {
    on.run(|io| {
        let (sender, receiver) = watch::channel(0_usize);
        let count = rounds(500);
        let see = |io: &dyn Io| {
            let mut receiver = receiver.clone();
            let mut seen = 0;
            while let Ok(value) = receiver.changed(io) {
                assert!(*value > seen, "a later one each time");
                seen = *value;
            }
            seen
        };
        let see = &see;
        thread::scope(|threads| {
            let on_thread = threads.spawn(move || see(io));
            scope(io, |group| {
                let members = [(); 3].map(|()| concurrently(group, see));
                for value in 1..=count {
                    assert_eq!(*sender.send(value), value - 1, "the one before comes back");
                    if value % 7 == 0 {
                        io.yield_now();
                    }
                }
                drop(sender);
                members.into_iter().for_each(|member| assert_eq!(member.join(io), count));
            });
            assert_eq!(on_thread.join().expect("no panic"), count);
        });
    });
}

fn what_counts_as_seen(on: &On) {
    on.run(|io| {
        let (sender, mut receiver) = watch::channel("first");
        assert!(!receiver.has_changed());
        let soon = || io.now() + Duration::from_millis(1);
        assert!(matches!(io.timeout_at(soon(), |io| receiver.changed(io)), Err(RecvError::TimedOut)));
        sender.send("second");
        sender.send("third");
        assert_eq!((*receiver.get(), *sender.get(), receiver.has_changed()), ("third", "third", true));
        let mut clone = receiver.clone();
        assert_eq!(*receiver.changed(io).expect("changed"), "third");
        assert!(!receiver.has_changed() && clone.has_changed());
        assert_eq!(*clone.changed_uncancelable(io).expect("changed"), "third");
        let mut late = sender.clone().subscribe();
        assert!(!late.has_changed());
        sender.send("last");
        drop(sender);
        assert_eq!(*late.changed(io).expect("seen before it is closed"), "last");
        assert!(matches!(late.changed(io), Err(RecvError::Closed)));
        assert_eq!(*late.get(), "last");
    });
}

fn a_change_is_seen_or_still_to_be_seen(on: &On) {
    on.on_thread(|io| {
        let (sender, mut receiver) = watch::channel(0);
        let mut next = 0;
        Race::new("watch", 1_000).run(|start| {
            next += 1;
            let change = |io: &dyn Io| receiver.changed(io).map_err(io::Error::from);
            let seen =
                attempt(io, start, change, || drop(sender.send(next))).map(|value| assert_eq!(*value, next)).is_some();
            assert_eq!(receiver.has_changed(), !seen);
            if !seen {
                assert_eq!(*receiver.changed(io).expect("still to be seen"), next);
            }
            seen
        });
    });
}

fn a_sender_is_told_that_nobody_receives(on: &On) {
    on.run(|io| {
        let (sender, receiver) = watch::channel(0);
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
