//! Nested sources, tuples, `Vec`s, arrays and maps of them; and several sources of one lock.

use std::cell::Cell;
use std::time::Duration;

use iolite_io::sync::{Event, Notify, RecvError, RwLock, Semaphore, TryRecvError, mpmc::channel};
use iolite_io::{
    Instant, Io,
    select::{OneOf2, OneOf3, OneOf4, Selectable},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, scope, until};

pub(crate) const CASES: &[Case] = cases![
    a_vec_within_a_tuple_says_which_it_was,
    tuples_within_a_vec_say_which_it_was,
    what_loses_within_another_keeps_its_item,
    the_first_of_those_that_are_there_is_taken_across_all,
    those_that_are_never_there_leave_no_gap,
    a_mapped_source_is_mapped_when_it_wins,
    one_source_alone_is_waited_for,
    a_canceled_wait_within_another_takes_nothing,
    who_waits_to_write_or_to_read_reads_when_it_can,
    the_number_of_permits_that_is_there_is_taken,
    nobody_gets_ahead_of_who_waits_for_one_of_two_numbers,
    a_number_that_loses_lets_those_behind_it_in,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

fn item<T>(received: Result<T, RecvError>) -> T {
    received.expect("the channel is open")
}

/// Calls `act` once the member that runs `wait` waits for all of its sources, and returns its result.
///
/// The list of sources ends with `waits`, for more permits than there are: no task gets ahead of one that waits for two
/// permits.
fn while_waiting<T: Send>(io: &dyn Io, wait: impl FnOnce(&dyn Io, &Semaphore) -> T + Send, act: impl FnOnce()) -> T {
    let waits = Semaphore::new(1);
    scope(io, |group| {
        let member = concurrently(group, |io| wait(io, &waits));
        until(io, || waits.try_acquire().is_none());
        act();
        member.join(io)
    })
}

fn a_vec_within_a_tuple_says_which_it_was(on: &On) {
    on.run(|io| {
        let stop = Event::new();
        let channels: Vec<_> = (0..5).map(|_| channel(1)).collect();
        let receivers = || channels.iter().map(|(_, receiver)| receiver.on_recv().map(item)).collect::<Vec<_>>();
        for (index, (sender, _)) in channels.iter().enumerate() {
            sender.send(io, index).expect("open");
            let one = io.select((stop.on_wait(), receivers())).expect("not canceled");
            assert_eq!(one, OneOf2::Second((index, index)), "it was there before");
            let one = while_waiting(
                io,
                |io, waits| io.select((stop.on_wait(), receivers(), waits.on_acquire_many(2).map(drop))),
                || sender.try_send(10 + index).expect("room"),
            );
            match one.expect("not canceled") {
                OneOf3::Second(taken) => assert_eq!(taken, (index, 10 + index), "it came meanwhile"),
                other => panic!("{other:?}"),
            }
        }
        stop.set();
        let one = io.select((receivers(), stop.on_wait())).expect("not canceled");
        assert_eq!(one, OneOf2::Second(()), "behind the arms of a Vec");
    });
}

fn tuples_within_a_vec_say_which_it_was(on: &On) {
    on.run(|io| {
        let workers: Vec<_> = (0..4).map(|_| (Event::new(), channel(1))).collect();
        let sources = || {
            workers.iter().map(|(ended, (_, items))| (ended.on_wait(), items.on_recv().map(item))).collect::<Vec<_>>()
        };
        let (_, (sender, _)) = &workers[2];
        let one = while_waiting(
            io,
            |io, waits| io.select((sources(), waits.on_acquire_many(2).map(drop))),
            || sender.try_send("item").expect("room"),
        );
        let one = match one.expect("not canceled") {
            OneOf2::First(one) => one,
            other => panic!("{other:?}"),
        };
        assert_eq!(one, (2, OneOf2::Second("item")));
        workers[3].0.set();
        let one = io.select([(sources(), io.now() + LONG)]).expect("not canceled");
        assert_eq!(one, (0, OneOf2::First((3, OneOf2::First(())))));
    });
}

fn what_loses_within_another_keeps_its_item(on: &On) {
    on.run(|io| {
        let channels: [_; 3] = [1, 2, 3].map(channel);
        for (number, (sender, _)) in channels.iter().enumerate() {
            sender.send(io, number).expect("room");
        }
        let receivers: Vec<_> = channels[1..].iter().map(|(_, receiver)| receiver.on_recv().map(item)).collect();
        let one = io.select((channels[0].1.on_recv().map(item), receivers)).expect("not canceled");
        assert_eq!(one, OneOf2::First(0));
        assert_eq!([&channels[1], &channels[2]].map(|(_, receiver)| receiver.try_recv()), [Ok(1), Ok(2)]);

        // There is room that is not used, so the items stay where they are.
        let (mut first, mut second) = (Some(10), Some(20));
        let stop = Event::new();
        stop.set();
        let sending = vec![channels[1].0.on_send(&mut first), channels[2].0.on_send(&mut second)];
        let one = io.select((stop.on_wait(), sending)).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())), "{one:?}");
        assert_eq!((first, second), (Some(10), Some(20)));
    });
}

fn the_first_of_those_that_are_there_is_taken_across_all(on: &On) {
    on.run(|io| {
        let notified: [_; 4] = [(); 4].map(|()| Notify::new());
        notified.iter().for_each(Notify::notify_one);
        let [a, b, c, d] = &notified;
        let take = || {
            let passed = io.now() + LONG;
            match io.select((vec![a.on_wait(), b.on_wait()], [(c.on_wait(), passed)], d.on_wait())) {
                Ok(OneOf3::First((index, ()))) => index,
                Ok(OneOf3::Second((0, OneOf2::First(())))) => 2,
                Ok(OneOf3::Third(())) => 3,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([take(), take(), take(), take()], [0, 1, 2, 3]);
        assert!(notified.iter().all(|notify| !notify.try_wait()), "each was taken once");
    });
}

fn those_that_are_never_there_leave_no_gap(on: &On) {
    on.run(|io| {
        let (event, never) = (Event::new(), Event::new());
        event.set();
        let nothing: Vec<Instant> = Vec::new();
        let some = [None, Some(never.on_wait()), None, Some(event.on_wait())];
        let one = io.select((nothing.clone(), some, nothing)).expect("not canceled");
        assert_eq!(one, OneOf3::Second((3, ())));
        let one = io.select(([None::<Instant>; 2], Some(io.now() + SHORT))).expect("not canceled");
        assert_eq!(one, OneOf2::Second(()));
    });
}

fn a_mapped_source_is_mapped_when_it_wins(on: &On) {
    on.run(|io| {
        let mapped = Cell::new(0);
        let count = |number| {
            mapped.set(mapped.get() + 1);
            number
        };
        let ((sender, receiver), event) = (channel(1), Event::new());
        let text = |item: Result<u32, RecvError>| item.map_or("closed".to_owned(), |item| count(item).to_string());
        event.set();
        let one = io.select((event.on_wait(), receiver.on_recv().map(text))).expect("not canceled");
        assert_eq!((one, mapped.get()), (OneOf2::First(()), 0), "it lost");
        sender.send(io, 7).expect("room");
        let one = io.select((receiver.on_recv().map(text), event.on_wait())).expect("not canceled");
        assert_eq!((one, mapped.get()), (OneOf2::First("7".to_owned()), 1));
    });
}

fn one_source_alone_is_waited_for(on: &On) {
    on.run(|io| {
        let ((sender, receiver), event) = (channel(1), Event::new());
        sender.send(io, 1).expect("room");
        assert_eq!(io.select(receiver.on_recv().map(item)).expect("not canceled"), 1);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        io.select(io.now() + SHORT).expect("not canceled");
        scope(io, |group| {
            let member = concurrently(group, |io| io.select(event.on_wait()));
            event.set();
            member.join(io).expect("not canceled");
        });
    });
}

fn a_canceled_wait_within_another_takes_nothing(on: &On) {
    on.run(|io| {
        let channels: [_; 2] = [(); 2].map(|()| channel::<u32>(1));
        let receivers = || channels.iter().map(|(_, receiver)| receiver.on_recv().map(item)).collect::<Vec<_>>();
        let waits = Semaphore::new(1);
        scope(io, |group| {
            let member = concurrently(group, |io| {
                io.select((receivers(), waits.on_acquire_many(2))).map(drop).expect_canceled("it is asked to stop");
            });
            until(io, || waits.try_acquire().is_none());
            member.request_cancel();
            member.join(io);
        });
        channels.iter().for_each(|(sender, _)| sender.try_send(1).expect("nobody waits any more, and there is room"));
        assert!(waits.try_acquire().is_some(), "its place was given up");
        channels.iter().for_each(|(_, receiver)| assert_eq!(receiver.try_recv(), Ok(1)));
    });
}

/// A writer downgrades to a reader: a task that waits to write has to wait on, but may read.
fn who_waits_to_write_or_to_read_reads_when_it_can(on: &On) {
    on.run(|io| {
        let lock = RwLock::new(1);
        for _ in 0..3 {
            let writer = lock.try_write().expect("free");
            let mut reader = None;
            let one = while_waiting(
                io,
                |io, waits| {
                    let sources =
                        (lock.on_write(), lock.on_read(), waits.on_acquire_many(2).map(drop), io.now() + LONG);
                    match io.select(sources).expect("not canceled") {
                        OneOf4::First(_) => "writes",
                        OneOf4::Second(_) => "reads",
                        OneOf4::Third(()) | OneOf4::Fourth(()) => "neither",
                    }
                },
                || reader = Some(writer.downgrade()),
            );
            assert_eq!(one, "reads");
            drop(reader);
            assert!(lock.try_write().is_some(), "nothing is left of the other way in");
        }
    });
}

fn the_number_of_permits_that_is_there_is_taken(on: &On) {
    on.run(|io| {
        let permits = Semaphore::new(0);
        // The number of permits that come, the numbers that are wanted first and second, and the number that is taken.
        for (come, wanted, taken) in [(1, [2, 1], 1), (2, [2, 1], 2), (2, [1, 2], 1), (2, [3, 2], 2), (3, [5, 1], 1)] {
            let count = while_waiting(
                io,
                |io, waits| {
                    let numbers = wanted.map(|number| permits.on_acquire_many(number));
                    match io.select((numbers, waits.on_acquire_many(2).map(drop))).expect("not canceled") {
                        OneOf2::First((_, permit)) => {
                            let count = permit.count();
                            permit.forget();
                            count
                        }
                        OneOf2::Second(()) => 0,
                    }
                },
                || permits.add_permits(come),
            );
            assert_eq!(count, taken, "of {come}, {wanted:?} are wanted");
            permits.try_acquire_many(come - taken).expect("the others are there, and nobody waits").forget();
        }
    });
}

fn nobody_gets_ahead_of_who_waits_for_one_of_two_numbers(on: &On) {
    on.run(|io| {
        let (permits, waits, behind) = (Semaphore::new(0), Semaphore::new(1), Semaphore::new(1));
        scope(io, |group| {
            let first = concurrently(group, |io| {
                let numbers = [3, 2].map(|number| permits.on_acquire_many(number));
                match io.select((numbers, waits.on_acquire_many(2).map(drop))).expect("not canceled") {
                    OneOf2::First((index, permit)) => {
                        permit.forget();
                        index
                    }
                    OneOf2::Second(()) => unreachable!("there is one"),
                }
            });
            until(io, || waits.try_acquire().is_none());
            let second = concurrently(group, |io| {
                match io.select((permits.on_acquire(), behind.on_acquire_many(2).map(drop))).expect("not canceled") {
                    OneOf2::First(permit) => permit.forget(),
                    OneOf2::Second(()) => unreachable!("there is one"),
                }
            });
            until(io, || behind.try_acquire().is_none());
            permits.add_permits(1);
            assert!(permits.try_acquire().is_none(), "it is for those who wait");
            assert!(!first.is_finished() && !second.is_finished(), "two are too many, and it is not the second's turn");
            permits.add_permits(1);
            assert_eq!(first.join(io), 1, "two are there");
            assert!(!second.is_finished(), "none is left");
            permits.add_permits(1);
            second.join(io);
        });
        assert_eq!(permits.available(), 0);
    });
}

/// The wait is given up, and its permits go to the next task, whichever of the two ways was the first.
fn a_number_that_loses_lets_those_behind_it_in(on: &On) {
    on.run(|io| {
        let (permits, stop) = (Semaphore::new(1), Event::new());
        let (waits, behind) = (Semaphore::new(1), Semaphore::new(1));
        scope(io, |group| {
            let first = concurrently(group, |io| {
                let numbers = [3, 2].map(|number| permits.on_acquire_many(number).map(drop));
                io.select((numbers, stop.on_wait(), waits.on_acquire_many(2).map(drop))).expect("not canceled")
            });
            until(io, || waits.try_acquire().is_none());
            let second = concurrently(group, |io| {
                io.select((permits.on_acquire().map(drop), behind.on_acquire_many(2).map(drop))).expect("not canceled")
            });
            until(io, || behind.try_acquire().is_none());
            assert!(!second.is_finished());
            stop.set();
            assert_eq!(first.join(io), OneOf3::Second(()));
            assert_eq!(second.join(io), OneOf2::First(()));
        });
        assert_eq!(permits.available(), 1);
    });
}
