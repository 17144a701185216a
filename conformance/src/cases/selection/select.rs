//! Waiting for several things at once: one is taken, and nothing from the others.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use iolite_io::sync::{
    Event, Mutex, Notify, RecvError, RwLock, Semaphore, SemaphorePermit, SendErrorKind, TryRecvError, broadcast,
    mpmc::channel, oneshot, watch,
};
use iolite_io::{
    Instant, Io, WaitError, no_suspend,
    select::{OneOf2, OneOf3, OneOf6, OneOf8, Selectable},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, concurrently, panic_of, rounds, scope, started, until};

pub(crate) const CASES: &[Case] = cases![
    each_source_is_taken_and_the_others_are_left(When::Before),
    each_source_is_taken_and_the_others_are_left(When::Waiting),
    each_lock_and_end_is_taken_and_the_others_are_left(When::Before),
    each_lock_and_end_is_taken_and_the_others_are_left(When::Waiting),
    the_first_of_those_that_are_there_is_taken,
    a_closed_channel_is_there(When::Before),
    a_closed_channel_is_there(When::Waiting),
    time_is_a_source,
    the_earliest_deadline_is_the_one,
    the_end_of_a_task_is_a_source,
    the_ends_of_many_tasks_come_with_their_index,
    a_task_that_is_waited_for_is_not_canceled_with_the_waiter,
    none_is_never_there,
    it_is_a_cancellation_point_also_when_something_is_there,
    a_timeout_ends_it_and_takes_nothing,
    it_refuses_where_nothing_may_suspend,
    it_has_its_place_in_each_queue,
    what_a_loser_does_not_want_goes_to_the_next,
    a_loser_lets_those_behind_it_in,
    two_that_wait_for_many_things_meet,
    it_does_not_meet_itself,
    of_two_that_come_together_one_is_left,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// A source that is never ready, and shows whether a task waits for it.
struct Probe(Semaphore);

impl Probe {
    fn new() -> Self {
        Self(Semaphore::new(1))
    }

    fn source(&self) -> impl Selectable<Output = SemaphorePermit<'_>> + '_ {
        self.0.on_acquire_many(2)
    }

    /// No task gets ahead of one that waits for two permits.
    fn is_waited_for(&self) -> bool {
        self.0.try_acquire().is_none()
    }
}

/// Runs `wait` in another task, and `act` once that task waits for the probe, which it lists last.
fn while_waiting<T: Send>(io: &dyn Io, wait: impl FnOnce(&dyn Io, &Probe) -> T + Send, act: impl FnOnce()) -> T {
    let probe = Probe::new();
    let value = scope(io, |group| {
        let member = concurrently(group, |io| wait(io, &probe));
        until(io, || probe.is_waited_for());
        act();
        member.join(io)
    });
    assert!(!probe.is_waited_for(), "it has left the queue");
    value
}

/// The time at which a source becomes ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    Waiting,
}

/// Waits with `wait`, and calls `bring` at the right time.
fn at<T: Send>(when: When, io: &dyn Io, wait: impl FnOnce(&dyn Io, &Probe) -> T + Send, bring: impl FnOnce()) -> T {
    match when {
        When::Before => {
            bring();
            wait(io, &Probe::new())
        }
        When::Waiting => while_waiting(io, wait, bring),
    }
}

fn each_source_is_taken_and_the_others_are_left(on: &On, when: When) {
    on.run(|io| (0..7).for_each(|winner| one_of_seven(io, when, winner)));
}

fn one_of_seven(io: &dyn Io, when: When, winner: usize) {
    let (event, notify, permits, mutex) = (Event::new(), Notify::new(), Semaphore::new(0), Mutex::new(0));
    let held = RefCell::new(mutex.try_lock());
    let ((incoming, received), (sent, outgoing)) = (channel(1), channel(1));
    let (news, mut reader) = broadcast::channel(1);
    sent.try_send(1).expect("room");
    let bring = |index| match index {
        0 => event.set(),
        1 => notify.notify_one(),
        2 => incoming.try_send(3).expect("room"),
        3 => assert_eq!(outgoing.try_recv(), Ok(1)),
        4 => permits.add_permits(1),
        5 => drop(held.take()),
        _ => news.send(4).expect("there is a receiver"),
    };
    let mut item = Some(2);
    let wait = |io: &dyn Io, probe: &Probe| {
        let one = io.select((
            event.on_wait(),
            notify.on_wait(),
            received.on_recv(),
            sent.on_send(&mut item),
            permits.on_acquire(),
            mutex.on_lock(),
            reader.on_recv(),
            probe.source(),
        ));
        match one.expect("not canceled") {
            OneOf8::First(()) => 0,
            OneOf8::Second(()) => 1,
            OneOf8::Third(item) => item.expect("open") - 1,
            OneOf8::Fourth(sent) => sent.map(|()| 3).expect("open"),
            OneOf8::Fifth(permit) => permit.count() + 3,
            OneOf8::Sixth(mut value) => {
                *value += 5;
                *value
            }
            OneOf8::Seventh(item) => item.expect("open") + 2,
            OneOf8::Eighth(_) => unreachable!("there never are two"),
        }
    };
    assert_eq!(at(when, io, wait, || bring(winner)), winner);
    (0..7).filter(|loser| *loser != winner).for_each(bring);
    assert!(event.is_set());
    assert_eq!(notify.try_wait(), winner != 1);
    assert_eq!(received.try_recv(), if winner == 2 { Err(TryRecvError::Empty) } else { Ok(3) });
    assert_eq!(outgoing.try_recv(), if winner == 3 { Ok(2) } else { Err(TryRecvError::Empty) });
    assert_eq!(item.is_none(), winner == 3, "what was not sent comes back");
    // The permit that was taken was returned when it was dropped.
    assert_eq!(permits.available(), 1);
    assert_eq!(*mutex.try_lock().expect("nobody has it"), if winner == 5 { 5 } else { 0 });
    let left = reader.try_recv();
    assert!(matches!((winner, left), (6, Err(broadcast::RecvError::Empty)) | (0..6, Ok(4))));
}

fn each_lock_and_end_is_taken_and_the_others_are_left(on: &On, when: When) {
    on.run(|io| (0..5).for_each(|winner| one_of_five(io, when, winner)));
}

fn one_of_five(io: &dyn Io, when: When, winner: usize) {
    let (read, written, end) = (RwLock::new(0), RwLock::new(0), Event::new());
    let (writer, readers) = (RefCell::new(read.try_write()), RefCell::new(written.try_read()));
    let (changes, mut watcher) = watch::channel(0);
    let (answer, answered) = oneshot::channel();
    let answer = RefCell::new(Some(answer));
    scope(io, |group| {
        let mut member = concurrently(group, |io| {
            end.wait_uncancelable(io);
            7
        });
        let bring = |index| match index {
            0 => drop(writer.take()),
            1 => drop(readers.take()),
            2 => drop(changes.send(5)),
            3 => answer.take().expect("once").send(6).expect("there is a receiver"),
            _ => {
                end.set();
                until(io, || group.is_empty());
            }
        };
        let wait = |io: &dyn Io, probe: &Probe| {
            let one = io.select((
                read.on_read(),
                written.on_write(),
                watcher.on_changed(),
                answered.on_recv(),
                member.on_finish(),
                probe.source(),
            ));
            match one.expect("not canceled") {
                OneOf6::First(value) => *value,
                OneOf6::Second(mut value) => {
                    *value += 1;
                    *value
                }
                OneOf6::Third(value) => *value.expect("open") - 3,
                OneOf6::Fourth(item) => item.expect("sent") - 3,
                OneOf6::Fifth(()) => 4,
                OneOf6::Sixth(_) => unreachable!("there never are two"),
            }
        };
        assert_eq!(at(when, io, wait, || bring(winner)), winner);
        (0..5).filter(|loser| *loser != winner).for_each(bring);
        assert_eq!(read.try_write().map(|value| *value), Some(0), "nobody reads");
        assert_eq!(written.try_write().map(|value| *value), Some(usize::from(winner == 1)), "nobody writes");
        assert_eq!(watcher.has_changed(), winner != 2);
        assert_eq!(answered.try_recv(), if winner == 3 { Err(TryRecvError::Closed) } else { Ok(6) });
        assert_eq!(member.join(io), 7, "its result is still there");
    });
}

fn the_first_of_those_that_are_there_is_taken(on: &On) {
    on.run(|io| {
        let ((sender, receiver), (other_sender, other_receiver)) = (channel(4), channel(4));
        let stop = Event::new();
        let past = io.now();
        for item in 0..3 {
            sender.try_send(item).expect("room");
            other_sender.try_send(item).expect("room");
        }
        for item in 0..3 {
            let one = io.select((stop.on_wait(), receiver.on_recv(), other_receiver.on_recv()));
            assert!(matches!(one, Ok(OneOf3::Second(Ok(got))) if got == item));
        }
        let one = io.select((receiver.on_recv(), other_receiver.on_recv(), past));
        assert!(matches!(one, Ok(OneOf3::Second(Ok(0)))));
        let one = io.select((past, other_receiver.on_recv()));
        assert!(matches!(one, Ok(OneOf2::First(()))));
        stop.set();
        let one = io.select((stop.on_wait(), other_receiver.on_recv(), past));
        assert!(matches!(one, Ok(OneOf3::First(()))));
        assert_eq!(other_receiver.len(), 2);
    });
}

fn a_closed_channel_is_there(on: &On, when: When) {
    on.run(|io| {
        let (sender, receiver) = channel::<u32>(0);
        let wait = |io: &dyn Io, probe: &Probe| match io.select((receiver.on_recv(), probe.source())) {
            Ok(OneOf2::First(item)) => item,
            other => panic!("{other:?}"),
        };
        assert!(matches!(at(when, io, wait, || sender.close()), Err(RecvError::Closed)));

        let (sender, receiver) = channel(0);
        let mut item = Some(1);
        let wait = |io: &dyn Io, probe: &Probe| match io.select((sender.on_send(&mut item), probe.source())) {
            Ok(OneOf2::First(sent)) => sent,
            other => panic!("{other:?}"),
        };
        let error = at(when, io, wait, || receiver.close()).expect_err("closed");
        assert!(matches!(error.kind, SendErrorKind::Closed) && error.item == 1);
        assert_eq!(item, None, "it is in the error");
    });
}

fn time_is_a_source(on: &On) {
    on.run(|io| {
        let (_sender, receiver) = channel::<u32>(1);
        let deadline = io.now() + SHORT;
        let one = io.select((receiver.on_recv(), io.now() + LONG, deadline)).expect("not canceled");
        assert!(matches!(one, OneOf3::Third(())) && io.now() >= deadline);

        let mut ticks = io.interval(SHORT);
        let first = ticks.next();
        for number in 0..3 {
            let one = io.select((receiver.on_recv(), ticks.on_tick())).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(tick) if tick == first + number * SHORT && io.now() >= tick));
        }
        let next = ticks.next();
        let one = io.select((io.now(), ticks.on_tick())).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())) && ticks.next() == next, "a tick that lost is not taken");
    });
}

fn the_earliest_deadline_is_the_one(on: &On) {
    on.run(|io| {
        let now = io.now();
        let deadlines = [LONG, SHORT, LONG].map(|duration| now + duration);
        assert_eq!(io.select(deadlines).expect("not canceled"), (1, ()));
        let deadlines = vec![now + LONG, now, now];
        assert_eq!(io.select(deadlines).expect("not canceled"), (1, ()));
    });
}

fn the_end_of_a_task_is_a_source(on: &On) {
    on.run(|io| {
        let end = Arc::new(Event::new());
        let theirs = end.clone();
        let mut task = io.spawn_concurrent(move |io| theirs.wait(io).map(|()| 1)).expect("concurrent");
        for _ in 0..3 {
            let one = io.select((task.on_finish(), io.now())).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())), "it goes on");
            let one = io.select((task.on_finish(), io.now() + SHORT)).expect("not canceled");
            assert!(matches!(one, OneOf2::Second(())), "and is not stopped");
        }
        end.set();
        let one = io.select((task.on_finish(), io.now() + LONG)).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())));
        let one = io.select((task.on_finish(), io.now())).expect("not canceled");
        assert!(matches!(one, OneOf2::First(())), "it stays so");
        assert_eq!(task.join(io).expect("not canceled"), 1);
    });
}

/// Many tasks, in the order in which they end.
fn the_ends_of_many_tasks_come_with_their_index(on: &On) {
    on.run(|io| {
        let gates: [Event; 4] = Default::default();
        scope(io, |group| {
            let mut members: Vec<_> = gates
                .iter()
                .enumerate()
                .map(|(number, gate)| {
                    concurrently(group, move |io| {
                        gate.wait_uncancelable(io);
                        number
                    })
                })
                .collect();
            for number in [2, 0, 3, 1] {
                gates[number].set();
                let ends: Vec<_> = members.iter_mut().map(|member| member.on_finish()).collect();
                let (index, ()) = io.select(ends).expect("not canceled");
                assert_eq!(members.remove(index).join(io), number);
            }
        });
    });
}

fn a_task_that_is_waited_for_is_not_canceled_with_the_waiter(on: &On) {
    on.run(|io| {
        scope(io, |group| {
            let end = Event::new();
            scope(io, |others| {
                let mut member = concurrently(group, |io| io.sleep(LONG));
                let waiter = started(others, io, |io| {
                    let canceled = io.select((member.on_finish(), end.on_wait())).map(drop);
                    (canceled, member)
                });
                let (waited, member) = waiter.cancel(io);
                waited.expect_canceled("the waiter is");
                assert!(!member.is_finished());
                member.cancel(io).expect_canceled("now it is");
            });
        });
    });
}

fn none_is_never_there(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(2);
        sender.try_send(1).expect("room");
        let one = io.select((false.then(|| receiver.on_recv()), receiver.on_recv())).expect("not canceled");
        assert!(matches!(one, OneOf2::Second(Ok(1))));
        let one = io.select((sender.on_send(&mut None), io.now() + SHORT)).expect("not canceled");
        assert!(matches!(one, OneOf2::Second(())), "there is room, and nothing to send");
        scope(io, |group| {
            let waiter = started(group, io, |io| io.select(Vec::<Instant>::new()));
            waiter.cancel(io).map(drop).expect_canceled("nothing else ends it");
        });
    });
}

fn it_is_a_cancellation_point_also_when_something_is_there(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(2);
        sender.try_send(1).expect("room");
        let stopped = Event::new();
        scope(io, |group| {
            let member = started(group, io, |io| {
                stopped.wait_uncancelable(io);
                let mut item = Some(2);
                let first = io.select((receiver.on_recv(), sender.on_send(&mut item))).map(drop);
                (first, item, io.select([receiver.on_recv()]).expect("one request, one error").1)
            });
            member.request_cancel();
            stopped.set();
            let (first, item, second) = member.join(io);
            first.expect_canceled("requested before");
            assert_eq!((item, second.expect("open")), (Some(2), 1), "nothing was taken");
        });
    });
}

fn a_timeout_ends_it_and_takes_nothing(on: &On) {
    on.run(|io| {
        let ((sender, receiver), permits, mutex) = (channel(0), Semaphore::new(1), Mutex::new(()));
        let held = mutex.lock(io).expect("free");
        let mut item = Some(1);
        let waited = io.timeout(SHORT, |io| {
            let sources = (receiver.on_recv(), permits.on_acquire_many(2), mutex.on_lock());
            io.select(sources).map(drop)
        });
        assert!(matches!(waited, Err(WaitError::TimedOut(_))));
        let waited = io.timeout(SHORT, |io| io.select([sender.on_send(&mut item)]).map(drop));
        assert!(matches!(waited, Err(WaitError::TimedOut(_))));
        assert_eq!(item, Some(1));
        assert!(matches!(sender.try_send(2).expect_err("nobody receives").kind, SendErrorKind::Full));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "nobody sends");
        assert!(permits.try_acquire().is_some());
        drop(held);
        assert!(mutex.try_lock().is_some());
    });
}

fn it_refuses_where_nothing_may_suspend(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(1);
        sender.try_send(1).expect("room");
        let text = panic_of(|| no_suspend(|| io.select([receiver.on_recv()]).map(drop)));
        assert!(text.contains("no_suspend"), "{text}");
        assert_eq!(receiver.try_recv(), Ok(1));
    });
}

/// A task that waits for several things is served in its turn, before later tasks.
fn it_has_its_place_in_each_queue(on: &On) {
    on.run(|io| {
        let (permits, order) = (Semaphore::new(0), Mutex::new(Vec::new()));
        let probes = [(); 3].map(|()| Probe::new());
        scope(io, |group| {
            for (number, probe) in probes.iter().enumerate() {
                let (permits, order) = (&permits, &order);
                drop(concurrently(group, move |io| {
                    let one = io.select((permits.on_acquire(), probe.source())).expect("not canceled");
                    let OneOf2::First(permit) = one else { panic!("there never are two") };
                    order.lock_uncancelable(io).push(number);
                    drop(permit);
                }));
                until(io, || probe.is_waited_for());
            }
            permits.add_permits(1);
        });
        assert_eq!(order.into_inner(), [0, 1, 2]);
    });
}

/// A place is skipped if its waiter was served elsewhere.
fn what_a_loser_does_not_want_goes_to_the_next(on: &On) {
    on.run(|io| {
        for round in 0..rounds(300) {
            let ((sender, receiver), stop, probes) = (channel(0), Event::new(), [Probe::new(), Probe::new()]);
            scope(io, |group| {
                let [first, next] = probes.each_ref().map(|probe| {
                    let member = concurrently(group, |io| {
                        let sources = (stop.on_wait(), receiver.on_recv(), probe.source());
                        match io.select(sources).expect("not canceled") {
                            OneOf3::First(()) => None,
                            OneOf3::Second(item) => item.ok(),
                            OneOf3::Third(_) => unreachable!("there never are two"),
                        }
                    });
                    until(io, || probe.is_waited_for());
                    member
                });
                // Both are decided now, and may still be linked where the item is given.
                stop.set();
                let third = concurrently(group, |io| receiver.recv(io));
                sender.send(io, round).expect("the third receives");
                assert_eq!([first.join(io), next.join(io)], [None; 2]);
                assert_eq!(third.join(io).expect("open"), round);
            });
        }
    });
}

/// A waiter that wants many permits leaves, and those behind it that want fewer are admitted.
fn a_loser_lets_those_behind_it_in(on: &On) {
    on.run(|io| {
        let (permits, lock, stop) = (Semaphore::new(1), RwLock::new(()), Event::new());
        let reader = lock.try_read();
        scope(io, |group| {
            let first = started(group, io, |io| io.select((permits.on_acquire_many(2), stop.on_wait())).map(drop));
            let writer = started(group, io, |io| io.select((lock.on_write(), stop.on_wait())).map(drop));
            until(io, || permits.try_acquire().is_none());
            until(io, || lock.try_read().is_none());
            let behind = started(group, io, |io| permits.acquire(io).map(drop));
            let reads = started(group, io, |io| lock.read(io).map(drop));
            stop.set();
            for member in [first, writer, behind, reads] {
                member.join(io).expect("not canceled");
            }
        });
        drop(reader);
        assert!(permits.try_acquire().is_some() && lock.try_write().is_some());
    });
}

fn two_that_wait_for_many_things_meet(on: &On) {
    on.run(|io| {
        for round in 0..rounds(300) {
            let ((left, left_end), (right, right_end)) = (channel(0), channel(0));
            scope(io, |group| {
                // In both orders: each meets the other.
                let sending = concurrently(group, |io| {
                    let (mut one, mut other) = (Some(round), Some(round));
                    let sent = io.select((left.on_send(&mut one), right.on_send(&mut other)));
                    let index = usize::from(matches!(sent.expect("not canceled"), OneOf2::Second(Ok(()))));
                    assert_eq!([one, other].map(|item| item.is_some()), [index == 1, index == 0]);
                    index
                });
                let received = io.select((right_end.on_recv(), left_end.on_recv())).expect("not canceled");
                let index = match received {
                    OneOf2::First(item) => item.map(|item| (1, item)),
                    OneOf2::Second(item) => item.map(|item| (0, item)),
                };
                assert_eq!(index.expect("open"), (sending.join(io), round));
            });
            assert_eq!([left_end.try_recv(), right_end.try_recv()], [Err(TryRecvError::Empty); 2]);
        }
    });
}

fn it_does_not_meet_itself(on: &On) {
    on.run(|io| {
        let (sender, receiver) = channel(0);
        let mut item = Some(1);
        let sources = (sender.on_send(&mut item), receiver.on_recv(), io.now() + SHORT);
        assert!(matches!(io.select(sources), Ok(OneOf3::Third(()))));
        assert_eq!(item, Some(1));
        for gives in [false, true] {
            let item = RefCell::new(Some(1));
            let wait = |io: &dyn Io, probe: &Probe| {
                let mut item = Some(2);
                let sources = (sender.on_send(&mut item), receiver.on_recv(), probe.source());
                match io.select(sources).expect("not canceled") {
                    OneOf3::First(sent) => sent.map(|()| None).expect("open"),
                    OneOf3::Second(got) => Some((got.expect("open"), item)),
                    OneOf3::Third(_) => unreachable!("there never are two"),
                }
            };
            let act = || match gives {
                true => sender.try_send(item.take().expect("once")).expect("it waits"),
                false => assert_eq!(receiver.try_recv(), Ok(2)),
            };
            assert_eq!(while_waiting(io, wait, act), gives.then_some((1, Some(2))));
        }
    });
}

/// Two sources become ready at nearly the same time: one is taken, the other is left.
fn of_two_that_come_together_one_is_left(on: &On) {
    on.on_thread(|io| {
        let ((sender, receiver), permits) = (channel(1), Semaphore::new(0));
        Race::new("an item against a permit", 2_000).run(|start| {
            let received = while_waiting(
                io,
                |io, probe| match io.select((permits.on_acquire(), receiver.on_recv(), probe.source())) {
                    Ok(OneOf3::First(permit)) => {
                        permit.forget();
                        false
                    }
                    Ok(OneOf3::Second(item)) => item.map(|()| true).expect("open"),
                    other => panic!("{other:?}"),
                },
                || start.go(|| sender.try_send(()).expect("room"), || permits.add_permits(1)),
            );
            assert_eq!(receiver.try_recv().is_ok(), !received, "the item");
            let permit = permits.try_acquire();
            assert_eq!(permit.is_some(), received, "the permit");
            permit.into_iter().for_each(SemaphorePermit::forget);
            received
        });
    });
}
