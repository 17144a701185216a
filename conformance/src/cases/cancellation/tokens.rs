//! Cancellation tokens: trees of them, the calls that they cancel, and those that they do not.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use iolite_io::net::TcpListener;
use iolite_io::sync::{Event, Mutex, Semaphore, mpmc::channel};
use iolite_io::{Canceled, CancellationToken, Io, Task, WaitError, select::OneOf2};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Race, concurrently, panic_of, panic_quietly, scope, started, tcp_pair, until};

pub(crate) const CASES: &[Case] = cases![
    a_token_cancels_those_below_it_and_no_others,
    every_point_of_what_it_runs_is_canceled_and_none_after_it,
    every_blocked_call_is_ended,
    tasks_are_bound_for_as_long_as_they_live,
    tasks_that_were_started_elsewhere_are_not_bound,
    a_group_within_it_comes_to_its_end,
    a_shield_holds_it_back_and_timeouts_go_on,
    nested_runs_are_ended_by_either_token,
    it_is_waited_for_in_every_form,
    a_guard_cancels_unless_it_is_disarmed,
    a_deep_tree_is_no_deeper_than_the_stack,
    an_item_is_received_or_still_there,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn a_token_cancels_those_below_it_and_no_others(on: &On) {
    on.run(|_| {
        let root = CancellationToken::new();
        let [left, right] = [(); 2].map(|()| root.child_token());
        let (leaf, same) = (left.child_token(), left.clone());
        left.cancel();
        assert!(left.is_canceled() && same.is_canceled() && leaf.is_canceled());
        assert!(!root.is_canceled() && !right.is_canceled());
        assert!(left.child_token().is_canceled(), "made too late");
        // A token whose parent is dropped is still below the others.
        let orphan = right.child_token().child_token();
        drop(right);
        // A place that was freed is used again.
        drop((0..9).map(|_| root.child_token()).collect::<Vec<_>>());
        let late = root.child_token();
        root.cancel();
        root.cancel();
        assert!(root.is_canceled() && orphan.is_canceled() && late.is_canceled());
        assert!(!CancellationToken::default().is_canceled());
    });
}

fn every_point_of_what_it_runs_is_canceled_and_none_after_it(on: &On) {
    on.run(|io| {
        let token = CancellationToken::new();
        let value = token.run(io, |io| {
            io.check_cancel().expect("not yet");
            token.cancel();
            for _ in 0..3 {
                io.check_cancel().expect_canceled("for good");
                io.recancel(io.sleep(LONG).expect_err("for good"));
                let error = TcpListener::bind(io, "127.0.0.1:0").expect_err("for good");
                assert!(Canceled::is_in(&error), "{error}");
                assert!(error.to_string().contains("token"), "{error}");
            }
            7
        });
        assert_eq!(value, 7);
        io.check_cancel().expect("nothing is left of it");
        // A token that is already canceled still runs its body.
        token.run(io, |io| io.check_cancel().expect_canceled("it is canceled"));
        let panic = panic_of(|| token.run(io, |_| panic_quietly("the body's")));
        assert_eq!(panic, "the body's");
        io.sleep(Duration::ZERO).expect("nothing is left of it");
    });
}

/// Some calls of each kind of wait.
fn every_blocked_call_is_ended(on: &On) {
    type Blocks<'a> = &'a (dyn Fn(&dyn Io) -> io::Result<()> + Sync);
    on.run(|io| {
        let (event, semaphore, mutex) = (Event::new(), Semaphore::new(0), Mutex::new(()));
        let (sender, receiver) = channel::<u32>(0);
        let held = mutex.try_lock();
        let (near, _far) = tcp_pair(io);
        let listener = TcpListener::bind(io, "127.0.0.1:0").expect("bound");
        let blocks: [Blocks<'_>; 10] = [
            &|io| Ok(io.sleep(LONG)?),
            &|io| Ok(event.wait(io)?),
            &|io| Ok(semaphore.acquire(io).map(drop)?),
            &|io| Ok(mutex.lock(io).map(drop)?),
            &|io| Ok(sender.send(io, 1)?),
            &|io| Ok(receiver.recv(io).map(drop)?),
            &|io| Ok(io.select((event.on_wait(), receiver.on_recv())).map(drop)?),
            &|io| near.read_exact(io, &mut [0]),
            &|io| listener.accept(io).map(drop),
            &|io| near.hung_up(io),
        ];
        for (number, block) in blocks.into_iter().enumerate() {
            let token = CancellationToken::new();
            let child = token.child_token();
            scope(io, |group| {
                let task = started(group, io, |io| child.run(io, block));
                // The same on the calling context, whatever kind it is.
                let canceler = concurrently(group, |io| {
                    io.sleep(SHORT).expect("not canceled");
                    token.cancel();
                });
                let error = token.run(io, block).expect_err("it is ended");
                assert!(Canceled::is_in(&error), "{number}: {error}");
                let error = task.join(io).expect_err("it is ended");
                assert!(Canceled::is_in(&error), "{number}: {error}");
                canceler.join(io);
            });
            io.check_cancel().expect("nothing is left of it");
        }
        drop(held);
    });
}

/// In whatever way the tasks were started.
fn tasks_are_bound_for_as_long_as_they_live(on: &On) {
    on.run(|io| {
        for canceled_within in [false, true] {
            let token = CancellationToken::new();
            let sleeps = |io: &dyn Io| io.sleep(LONG).is_err() && io.sleep(LONG).is_err();
            let tasks: [Task<bool>; 4] = token.run(io, |io| {
                let tasks = [
                    io.spawn_async(sleeps),
                    io.spawn_concurrent(sleeps).expect("concurrent"),
                    io.spawn_thread("bound", sleeps).expect("a thread"),
                    // A task of a task.
                    io.spawn_concurrent(move |io| io.spawn_async(sleeps).join(io)).expect("concurrent"),
                ];
                if canceled_within {
                    token.cancel();
                }
                tasks
            });
            let canceler = thread::spawn(move || token.cancel());
            assert!(tasks.into_iter().all(|task| task.join(io)));
            canceler.join().expect("no panic");
        }
    });
}

fn tasks_that_were_started_elsewhere_are_not_bound(on: &On) {
    on.run(|io| {
        let (token, go) = (CancellationToken::new(), Arc::new(Event::new()));
        let waits = |go: &Arc<Event>| {
            let go = go.clone();
            move |io: &dyn Io| go.wait(io).is_ok() && io.check_cancel().is_ok()
        };
        let before = io.spawn_concurrent(waits(&go)).expect("concurrent");
        let shielded = token.run(io, |io| io.shield(|io| io.spawn_concurrent(waits(&go)).expect("concurrent")));
        token.cancel();
        go.set();
        assert!(before.join(io) && shielded.join(io));
    });
}

fn a_group_within_it_comes_to_its_end(on: &On) {
    on.run(|io| {
        let token = CancellationToken::new();
        let waiting = Semaphore::new(0);
        scope(io, |group| {
            let task = started(group, io, |io| {
                token.run(io, |io| {
                    io.group(|group| -> Result<(), Canceled> {
                        for _ in 0..5 {
                            drop(concurrently(group, |io| {
                                waiting.add_permits(1);
                                while io.sleep(LONG).is_ok() {}
                            }));
                        }
                        group.wait(io)
                    })
                })
            });
            until(io, || waiting.available() == 5);
            token.cancel();
            task.join(io).expect_canceled("the wait passes it on, and returns it");
        });
    });
}

fn a_shield_holds_it_back_and_timeouts_go_on(on: &On) {
    on.run(|io| {
        let token = CancellationToken::new();
        token.run(io, |io| {
            token.cancel();
            io.shield(|io| {
                io.sleep(Duration::from_micros(10)).expect("shielded");
                let timed_out = io.timeout(SHORT, |io| io.sleep(LONG));
                assert!(matches!(timed_out, Err(WaitError::TimedOut(_))));
                // A token that is used inside takes effect there.
                token.run(io, |io| io.check_cancel().expect_canceled("its own"));
                io.check_cancel().expect("shielded");
            });
            io.check_cancel().expect_canceled("no longer");
        });
        // A timeout distinguishes its own request from the token's.
        let open = CancellationToken::new();
        let outer = io.timeout(SHORT, |io| open.run(io, |io| io.sleep(LONG)));
        assert!(matches!(outer, Err(WaitError::TimedOut(_))));
        let inner = token.run(io, |io| io.timeout(LONG, |io| io.sleep(LONG)));
        assert!(matches!(inner, Err(WaitError::Canceled(_))));
    });
}

fn nested_runs_are_ended_by_either_token(on: &On) {
    on.run(|io| {
        for outer_ends in [false, true] {
            let [outer, inner] = [(); 2].map(|()| CancellationToken::new());
            outer.run(io, |io| {
                inner.run(io, |io| {
                    if outer_ends {
                        outer.cancel()
                    } else {
                        inner.cancel()
                    }
                    io.check_cancel().expect_canceled("one of them");
                });
                assert_eq!(io.check_cancel().is_err(), outer_ends);
            });
            io.check_cancel().expect("nothing is left of them");
        }
    });
}

fn it_is_waited_for_in_every_form(on: &On) {
    on.run(|io| {
        let token = CancellationToken::new();
        let soon = io.now() + SHORT;
        assert!(matches!(io.timeout_at(soon, |io| token.canceled(io)), Err(WaitError::TimedOut(_))));
        let soon = io.now() + SHORT;
        assert_eq!(io.select((token.on_canceled(), soon)).expect("not canceled"), OneOf2::Second(()));
        scope(io, |group| {
            let waiter = started(group, io, |io| token.canceled(io));
            waiter.request_cancel();
            waiter.join(io).expect_canceled("the waiter, not the token");
            let waiter = started(group, io, |io| token.canceled(io));
            let shielded = started(group, io, |io| token.canceled_uncancelable(io));
            let among = started(group, io, |io| io.select((token.on_canceled(), io.now() + LONG)));
            token.cancel();
            waiter.join(io).expect("not canceled");
            shielded.join(io);
            assert_eq!(among.join(io).expect("not canceled"), OneOf2::First(()));
        });
        token.canceled(io).expect("not canceled");
    });
}

fn a_guard_cancels_unless_it_is_disarmed(on: &On) {
    on.run(|_| {
        let token = CancellationToken::new();
        let kept = token.clone().drop_guard().disarm();
        assert!(!token.is_canceled() && !kept.is_canceled());
        let guard = kept.child_token();
        let watched = guard.clone();
        drop(guard.drop_guard());
        assert!(watched.is_canceled() && !token.is_canceled());
        assert_eq!(
            panic_of(|| {
                let _guard = token.clone().drop_guard();
                panic_quietly("a bug")
            }),
            "a bug"
        );
        assert!(token.is_canceled());
    });
}

fn a_deep_tree_is_no_deeper_than_the_stack(on: &On) {
    on.in_task(|_| {
        for cancels in [false, true] {
            let root = CancellationToken::new();
            let mut leaf = root.clone();
            for _ in 0..100_000 {
                leaf = leaf.child_token();
            }
            if cancels {
                root.cancel();
                assert!(leaf.is_canceled());
            }
            drop(root);
            drop(leaf);
        }
    });
}

fn an_item_is_received_or_still_there(on: &On) {
    on.in_task(|io| {
        let (sender, receiver) = channel(1);
        Race::new("tokens", 2_000).run(|start| {
            let (token, both_went) = (CancellationToken::new(), Event::new());
            scope(io, |group| {
                let member = started(group, io, |io| {
                    let received = token.run(io, |io| receiver.recv(io)).is_ok();
                    both_went.wait_uncancelable(io);
                    received
                });
                start.go(|| sender.try_send(1).expect("room"), || token.cancel());
                both_went.set();
                let received = member.join(io);
                assert_eq!(receiver.try_recv().is_ok(), !received, "exactly one");
                received
            })
        });
    });
}
