//! Limits, inline overflow, refusals, slots.

mod support;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{Io, SpawnErrorKind};
use iolite_threaded::{Options, Threaded};
use support::threaded;

#[test]
fn limits_are_counted_apart() {
    threaded(1, 4).run(|io| {
        let caller = thread::current().id();
        let stop = Event::new();
        io.group(|group| -> Result<(), iolite_io::Canceled> {
            for _ in 0..4 {
                group.spawn_concurrent(|io| stop.wait(io)).unwrap();
            }
            let on = group.spawn_async(|_| thread::current().id()).join(io);
            assert_ne!(on, caller, "four concurrent tasks leave the async slot alone");
            group.spawn_async(|io| stop.wait(io));
            let on = group.spawn_async(|_| thread::current().id()).join(io);
            assert_eq!(on, caller, "the second async task runs inline");
            assert!(group.spawn_concurrent(|_| ()).is_err());
            stop.set();
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_panic_of_an_inline_task_is_delivered_at_join() {
    threaded(0, 1).run(|io| {
        let task = io.spawn_async(|_| panic!("inline"));
        assert!(task.is_finished());
        let panic = catch_unwind(AssertUnwindSafe(|| task.join(io))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"inline"));
    });
}

#[test]
fn a_refusal_gives_the_closure_back_and_names_the_limit() {
    threaded(0, 1).run(|io| {
        let (stop, stopped) = mpsc::channel::<()>();
        let busy = io.spawn_concurrent(move |_| stopped.recv()).unwrap();
        let precious = String::from("a socket");
        let refused = io.spawn_concurrent(move |_| precious).unwrap_err();
        assert_eq!(refused.to_string(), "no unit of concurrency is free: concurrent_limit = 1 is reached");
        assert!(matches!(refused.kind, SpawnErrorKind::ConcurrencyUnavailable(_)));
        assert_eq!((refused.closure)(io), "a socket");
        stop.send(()).unwrap();
        busy.join(io).unwrap();
    });
}

#[test]
fn a_limit_of_zero_refuses_instead_of_waiting_for_ever() {
    threaded(0, 0).run(|io| {
        assert!(io.spawn_concurrent(|_| ()).is_err());
        assert!(io.spawn_waiting(|_| ()).is_err());
        assert_eq!(io.spawn_async(|_| 1).join(io), 1);
    });
}

#[test]
fn a_slot_is_free_when_join_has_returned() {
    threaded(1, 1).run(|io| {
        for round in 0..10_000 {
            assert_eq!(io.spawn_concurrent(move |_| round).unwrap().join(io), round);
        }
        for _ in 0..1_000 {
            io.group(|group| {
                group.spawn_concurrent(|_| ())?;
                Ok::<_, iolite_io::SpawnError<_>>(())
            })
            .unwrap();
        }
    });
}

#[test]
fn spawn_waiting_gets_the_slots_in_turn() {
    threaded(0, 2).run(|io| {
        let mut sum = 0;
        let tasks: Vec<_> = (0..200).map(|index| io.spawn_waiting(move |_| index).unwrap()).collect();
        for task in tasks {
            sum += task.join(io);
        }
        assert_eq!(sum, 199 * 200 / 2);
    });
}

#[test]
fn spawn_waiting_is_ended_by_a_timeout_and_gives_the_closure_back() {
    threaded(0, 1).run(|io| {
        let (stop, stopped) = mpsc::channel::<()>();
        let busy = io.spawn_concurrent(move |_| stopped.recv()).unwrap();
        let mut back = None;
        let result: Result<(), iolite_io::WaitError> = io.timeout(Duration::from_millis(5), |io| {
            let refused = io.spawn_waiting(|_| "mine").unwrap_err();
            let SpawnErrorKind::Canceled(canceled) = refused.kind else { panic!("{:?}", refused.kind) };
            back = Some((refused.closure)(io));
            Err(canceled)
        });
        assert!(matches!(result, Err(iolite_io::WaitError::TimedOut(_))));
        assert_eq!(back, Some("mine"));
        stop.send(()).unwrap();
        busy.join(io).unwrap();
    });
}

#[test]
fn a_thread_of_its_own_is_named_and_uses_no_slot() {
    threaded(0, 0).run(|io| {
        let name = |_: &dyn Io| thread::current().name().map(str::to_owned);
        assert_eq!(io.spawn_thread("database-1", name).unwrap().join(io).unwrap(), "database-1");
        let long = io.spawn_thread("a very\0long näme indeed", name).unwrap().join(io).unwrap();
        assert_eq!(long, "a verylong näme indeed");
    });
}

#[test]
fn a_task_without_a_slot_may_recurse_40_deep() {
    fn recurse(io: &dyn Io, depth: u32) -> u32 {
        if depth == 0 { 0 } else { io.spawn_async(move |io| recurse(io, depth - 1)).join(io) + 1 }
    }
    threaded(0, 0).run(|io| {
        assert_eq!(recurse(io, 40), 40);
        let panic = catch_unwind(AssertUnwindSafe(|| recurse(io, 41))).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("inline tasks nest deeper than 40"));
        assert_eq!(recurse(io, 1), 1, "all is well afterwards");
    });
}

#[test]
fn a_stack_that_is_too_small_is_an_error_that_names_it() {
    let error = Threaded::new(Options { stack_size: 4096, ..Options::default() }).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "stack_size = 4096 is too small: a thread needs at least 65536 bytes");
    let smallest = Options { stack_size: Options::STACK_SIZE_MIN, ..Options::default() };
    Threaded::new(smallest).unwrap().run(|io| {
        io.spawn_concurrent(|io| io.sleep(Duration::ZERO)).unwrap().join(io).unwrap();
    });
}

#[test]
fn a_refusal_of_the_system_is_told_apart_from_the_limit() {
    // No address space has room for such a stack.
    let options = Options { async_limit: 1, concurrent_limit: 1, stack_size: 1 << 47, ..Options::default() };
    Threaded::new(options).unwrap().run(|io| {
        for _ in 0..2 {
            let refused = io.spawn_concurrent(|_| 7).unwrap_err();
            assert_eq!(
                refused.to_string(),
                "no unit of concurrency is free, though concurrent_limit = 1 is not reached"
            );
            assert!(refused.source().is_some(), "the system says why");
            assert_eq!((refused.closure)(io), 7);
            assert!(io.spawn_thread("own", |_| ()).is_err());
            assert_eq!(io.spawn_async(|_| thread::current().id()).join(io), thread::current().id());
        }
    });
}
