//! `spawn_async` runs the task on top of the caller if no unit of concurrency is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::Io;
use iolite_io::sync::Event;

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, panic_quietly, scope};

pub(crate) const CASES: &[Case] = cases![
    an_inline_task_has_ended_when_spawn_async_returns,
    the_panic_of_an_inline_task_waits_for_the_join,
    the_panic_of_an_inline_member_waits_for_the_join,
    an_inline_child_gets_a_copy_of_a_pending_request,
    a_request_reaches_the_inline_child_that_blocks,
    an_inline_child_cannot_be_canceled_through_a_shielded_caller,
    recancel_in_an_inline_child_stays_there,
    the_timeout_of_a_caller_passes_to_its_inline_child,
    inline_recursion_is_allowed_to_a_depth,
    inline_recursion_past_the_limit_panics_clearly,
    recursion_through_groups_past_the_limit_panics_clearly,
];

const LONG: Duration = Duration::from_secs(3600);

fn an_inline_task_has_ended_when_spawn_async_returns(on: &On) {
    on.async_limit(0).run(|io| {
        let ran = Arc::new(AtomicBool::new(false));
        let theirs = ran.clone();
        let task = io.spawn_async(move |io| {
            io.sleep(Duration::from_millis(1)).expect("not canceled");
            theirs.store(true, Ordering::Relaxed);
            thread::current().id()
        });
        assert!(task.is_finished() && ran.load(Ordering::Relaxed));
        assert_eq!(task.join(io), thread::current().id());
    });
}

fn the_panic_of_an_inline_task_waits_for_the_join(on: &On) {
    on.async_limit(0).run(|io| {
        let task = io.spawn_async(|_| panic_quietly("deliberate"));
        assert_eq!(panic_of(|| task.join(io)), "deliberate");
    });
}

fn the_panic_of_an_inline_member_waits_for_the_join(on: &On) {
    on.async_limit(0).run(|io| {
        scope(io, |group| {
            let member = group.spawn_async(|_| panic_quietly("deliberate"));
            assert_eq!(panic_of(|| member.join(io)), "deliberate");
        });
    });
}

/// In Zig, the child takes the request that was meant for its caller.
fn an_inline_child_gets_a_copy_of_a_pending_request(on: &On) {
    on.async_limit(0).on_thread(|io| {
        let go = Event::new();
        let go = &go;
        scope(io, |group| {
            let parent = concurrently(group, |io| {
                go.wait_uncancelable(io);
                let child = io.spawn_async(|io| (io.check_cancel(), io.check_cancel()));
                let (first, second) = child.join(io);
                first.expect_canceled("a copy of the caller's request");
                second.expect("delivered once");
                (io.check_cancel(), io.check_cancel())
            });
            parent.request_cancel();
            go.set();
            let (first, second) = parent.join(io);
            first.expect_canceled("the caller has its own");
            second.expect("delivered once");
        });
    });
}

fn a_request_reaches_the_inline_child_that_blocks(on: &On) {
    on.async_limit(0).on_thread(|io| {
        let started = Event::new();
        let started = &started;
        scope(io, |group| {
            let parent = concurrently(group, |io| {
                scope(io, |inner| {
                    // Two levels deep, so that it is passed on.
                    let child = inner.spawn_async(|io| {
                        scope(io, |innermost| {
                            let grandchild = innermost.spawn_async(|io| {
                                started.set();
                                io.sleep(LONG)
                            });
                            grandchild.join(io).expect_canceled("a copy of a copy");
                        });
                        io.check_cancel()
                    });
                    child.join(io).expect_canceled("a copy");
                });
                io.check_cancel()
            });
            started.wait_uncancelable(io);
            parent.cancel(io).expect_canceled("its own");
        });
    });
}

fn an_inline_child_cannot_be_canceled_through_a_shielded_caller(on: &On) {
    on.async_limit(0).on_thread(|io| {
        let go = Event::new();
        let go = &go;
        scope(io, |group| {
            let parent = concurrently(group, |io| {
                go.wait_uncancelable(io);
                io.shield(|io| {
                    io.spawn_async(|io| io.check_cancel()).join(io).expect("the caller holds it back");
                });
                io.check_cancel()
            });
            parent.request_cancel();
            go.set();
            parent.join(io).expect_canceled("right after the protection");
        });
    });
}

/// Putting back a request inside the child re-arms the child, not its caller.
fn recancel_in_an_inline_child_stays_there(on: &On) {
    on.async_limit(0).on_thread(|io| {
        let go = Event::new();
        let go = &go;
        scope(io, |group| {
            let parent = concurrently(group, |io| {
                go.wait_uncancelable(io);
                let child = io.spawn_async(|io| {
                    io.recancel(io.check_cancel().expect_err("a copy"));
                    io.check_cancel().expect_err("again")
                });
                drop(child.join(io));
                io.check_cancel().expect_canceled("its own");
                io.check_cancel()
            });
            parent.request_cancel();
            go.set();
            parent.join(io).expect("its own was delivered, the child's was the child's");
        });
    });
}

fn the_timeout_of_a_caller_passes_to_its_inline_child(on: &On) {
    on.async_limit(0).run(|io| {
        let result = io.timeout(Duration::from_millis(5), |io| io.spawn_async(|io| io.sleep(LONG)).join(io));
        assert!(matches!(result, Err(iolite_io::WaitError::TimedOut(_))), "{result:?}");
    });
}

fn recurse(io: &dyn Io, depth: u32) -> u32 {
    if depth == 0 { 0 } else { 1 + io.spawn_async(move |io| recurse(io, depth - 1)).join(io) }
}

fn inline_recursion_is_allowed_to_a_depth(on: &On) {
    on.async_limit(0).run(|io| assert_eq!(recurse(io, 25), 25));
}

fn inline_recursion_past_the_limit_panics_clearly(on: &On) {
    on.async_limit(0).run(|io| {
        let text = panic_of(|| recurse(io, 100_000));
        assert!(text.contains("inline tasks nest deeper than 40") && text.contains("async_limit"), "{text}");
        // The unwound recursion is over: the next one has its full depth.
        assert_eq!(recurse(io, 25), 25);
    });
}

fn recurse_in_groups(io: &dyn Io, depth: u32) -> u32 {
    scope(io, |group| {
        group.spawn_async(|io| if depth == 0 { 0 } else { 1 + recurse_in_groups(io, depth - 1) }).join(io)
    })
}

fn recursion_through_groups_past_the_limit_panics_clearly(on: &On) {
    on.async_limit(0).run(|io| {
        let text = panic_of(|| recurse_in_groups(io, 100_000));
        assert!(text.contains("inline tasks nest deeper than 40"), "{text}");
    });
}
