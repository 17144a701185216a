//! Completion queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use iolite_io::sync::Event;
use iolite_io::{
    Canceled, Io, SpawnErrorKind, WaitError,
    completion::{Completion, CompletionKind, CompletionQueue},
};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, concurrently, panic_of, panic_quietly, rounds, scope};

pub(crate) const CASES: &[Case] = cases![
    ends_come_with_their_tags,
    an_operation_owns_its_buffer_and_gives_it_back,
    timers_fire_at_their_times_until_they_are_canceled,
    a_timer_that_is_set_meanwhile_is_not_overslept,
    a_canceled_operation_still_comes_out,
    a_canceled_wait_takes_nothing,
    a_timeout_around_a_submit_does_not_reach_the_operation,
    a_refused_operation_comes_back,
    a_panic_comes_out_where_its_end_would,
    closing_waits_and_dropping_does_not,
    a_ledger,
];

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn queue<T: Send + 'static, R: Send + 'static>(io: &dyn Io) -> CompletionQueue<T, R> {
    CompletionQueue::new(io.handle().expect("a backend has one"))
}

fn ends_come_with_their_tags(on: &On) {
    on.run(|io| {
        let queue = queue(io);
        let mut ids: Vec<_> = (0..10).map(|tag| queue.submit(tag, move |_| tag * tag).expect("concurrent")).collect();
        let mut ended = Vec::new();
        while !queue.is_empty() {
            let Completion { id, tag, kind } = queue.wait(io).expect("nobody stops it");
            assert_eq!(kind, CompletionKind::Operation(tag * tag));
            ended.push(id);
        }
        ended.sort_unstable();
        ids.sort_unstable();
        assert_eq!(ended, ids);
        assert!(queue.poll().is_none());
    });
}

fn an_operation_owns_its_buffer_and_gives_it_back(on: &On) {
    on.run(|io| {
        let (near, far) = crate::tools::tcp_pair(io);
        let near = Arc::new(near);
        let queue = queue(io);
        let theirs = near.clone();
        let receive = move |io: &dyn Io| {
            let mut buffer = vec![0; 64];
            let count = theirs.read(io, &mut buffer);
            count.map(|count| {
                buffer.truncate(count);
                buffer
            })
        };
        let id = queue.submit("receive", receive).expect("concurrent");
        assert!(matches!(queue.wait_timeout(io, SHORT), Err(WaitError::TimedOut(_))), "nothing comes");
        far.write_all(io, b"hello").expect("write");
        let completion = queue.wait(io).expect("nobody stops it");
        assert_eq!((completion.id, completion.tag), (id, "receive"));
        assert!(matches!(completion.kind, CompletionKind::Operation(Ok(bytes)) if bytes == b"hello"));
    });
}

fn timers_fire_at_their_times_until_they_are_canceled(on: &On) {
    on.run(|io| {
        let queue = queue::<u32, ()>(io);
        let begun = io.now();
        let slow = queue.timer_every(Duration::from_millis(15), 15);
        let fast = queue.timer_every(Duration::from_millis(5), 5);
        let once = queue.timer(Duration::from_millis(12), 12);
        // Nobody asks in the meantime, and no completion is lost.
        io.sleep(Duration::from_millis(20)).expect("nobody stops it");
        let mut fired = [0; 16];
        while fired[5] < 8 || fired[15] < 2 {
            let completion = queue.wait(io).expect("nobody stops it");
            assert_eq!(completion.kind, CompletionKind::Timer);
            assert!([(slow, 15), (fast, 5), (once, 12)].contains(&(completion.id, completion.tag)), "{completion:?}");
            let count = &mut fired[completion.tag as usize];
            *count += 1;
            assert!(io.now() >= begun + Duration::from_millis(u64::from(completion.tag * *count)), "too early");
        }
        assert_eq!(fired[12], 1);
        assert!(!queue.cancel(once), "it has fired");
        assert!(queue.cancel(slow));
        assert!(!queue.cancel(slow), "nothing is left of it");
        while queue.poll().is_some() {}
        assert_eq!(queue.wait(io).expect("nobody stops it").id, fast);
        queue.cancel_all();
        while queue.poll().is_some() {}
        assert!(queue.is_empty());
        assert!(matches!(queue.wait_timeout(io, SHORT), Err(WaitError::TimedOut(_))));
    });
}

fn a_timer_that_is_set_meanwhile_is_not_overslept(on: &On) {
    on.run(|io| {
        let queue = Arc::new(queue::<u32, u32>(io));
        queue.timer(LONG, 0);
        scope(io, |group| {
            let waiter = concurrently(group, |io| queue.wait(io).expect("nobody stops it").tag);
            let other = queue.clone();
            thread::spawn(move || other.timer(SHORT, 1)).join().expect("it sets a timer");
            assert_eq!(waiter.join(io), 1);
            let waiter = concurrently(group, |io| queue.wait(io).expect("nobody stops it").tag);
            queue.submit(2, |_| 2).expect("concurrent");
            assert_eq!(waiter.join(io), 2);
        });
    });
}

fn a_canceled_operation_still_comes_out(on: &On) {
    on.run(|io| {
        let queue = queue(io);
        let ids = [1, 2, 3].map(|tag| queue.submit(tag, |io| io.sleep(LONG)).expect("concurrent"));
        assert!(queue.cancel(ids[1]));
        queue.cancel(ids[1]);
        let completion = queue.wait(io).expect("nobody stops it");
        assert_eq!(completion.tag, 2);
        let CompletionKind::Operation(Err(Canceled { .. })) = completion.kind else { panic!("{completion:?}") };
        assert!(!queue.cancel(ids[1]), "it has ended");
        queue.cancel_all();
        let mut tags = [(); 2].map(|()| queue.wait(io).expect("nobody stops it").tag);
        tags.sort_unstable();
        assert_eq!(tags, [1, 3]);
        assert!(queue.is_empty());
    });
}

fn a_canceled_wait_takes_nothing(on: &On) {
    on.run(|io| {
        let queue = queue::<u32, ()>(io);
        scope(io, |group| {
            let waiter = concurrently(group, |io| queue.wait(io).map(drop));
            waiter.cancel(io).expect_canceled("nothing happens");
            queue.submit(1, |_| ()).expect("concurrent");
            // It is a cancellation point even if there is a completion.
            let stopped = concurrently(group, |io| {
                while io.check_cancel().is_ok() {
                    io.yield_now();
                }
                assert_eq!(queue.wait(io).expect("delivered once").tag, 1);
            });
            stopped.cancel(io);
        });
    });
}

fn a_timeout_around_a_submit_does_not_reach_the_operation(on: &On) {
    on.run(|io| {
        let queue = queue(io);
        let go = Arc::new(Event::new());
        let theirs = go.clone();
        let timed_out = io.timeout(SHORT, |io| {
            queue.submit(1, move |io| theirs.wait(io)).expect("concurrent");
            io.sleep(LONG)
        });
        timed_out.expect_err("it is over");
        go.set();
        let completion = queue.wait(io).expect("nobody stops it");
        assert!(matches!(completion.kind, CompletionKind::Operation(Ok(()))));
    });
}

fn a_refused_operation_comes_back(on: &On) {
    let on = &on.concurrent_limit(0);
    on.on_thread(|io| {
        let queue = queue(io);
        let refused = queue.submit((), |_| 7).expect_err("no unit of concurrency");
        assert!(matches!(refused.kind, SpawnErrorKind::ConcurrencyUnavailable(_)));
        assert_eq!((refused.closure)(io), 7);
        assert!(queue.is_empty());
        queue.timer(SHORT, ());
        assert_eq!(queue.wait(io).expect("timers need no unit").kind, CompletionKind::Timer);
    });
}

fn a_panic_comes_out_where_its_end_would(on: &On) {
    on.run(|io| {
        let queue = queue::<u32, ()>(io);
        queue.submit(1, |_| panic_quietly("an operation's")).expect("concurrent");
        assert_eq!(panic_of(|| queue.wait(io)), "an operation's");
        queue.submit(2, |_| ()).expect("the others are not stopped");
        assert_eq!(queue.wait(io).expect("nobody stops it").tag, 2);
    });
}

fn closing_waits_and_dropping_does_not(on: &On) {
    on.run(|io| {
        let ended = Arc::new(AtomicUsize::new(0));
        for close in [true, false] {
            let queue = queue::<u32, ()>(io);
            for tag in 0..3 {
                let ended = ended.clone();
                let operation = move |io: &dyn Io| {
                    while io.sleep(LONG).is_ok() {}
                    ended.fetch_add(1, Ordering::Relaxed);
                };
                queue.submit(tag, operation).expect("concurrent");
            }
            if close {
                queue.close(io);
                assert_eq!(ended.load(Ordering::Relaxed), 3);
            }
        }
    });
}

/// Each completion comes out once, no matter who submits and who waits.
fn a_ledger(on: &On) {
    const EACH: usize = 20;
    on.run(|io| {
        for _ in 0..rounds(20) {
            let queue = queue::<usize, usize>(io);
            let mut seen = [0; 3 * EACH];
            scope(io, |group| {
                let submit = |first| {
                    let queue = &queue;
                    concurrently(group, move |_| {
                        for tag in first..first + EACH {
                            let id = queue.submit(tag, move |_| tag).expect("concurrent");
                            if tag % 3 == 0 {
                                queue.cancel(id);
                            }
                        }
                    })
                };
                let submitters: Vec<_> = (0..3).map(|number| submit(number * EACH)).collect();
                let waiters: Vec<_> = (0..2)
                    .map(|_| {
                        concurrently(group, |io| {
                            let mut tags = Vec::new();
                            while let Ok(completion) = queue.wait(io) {
                                assert_eq!(completion.kind, CompletionKind::Operation(completion.tag));
                                tags.push(completion.tag);
                            }
                            tags
                        })
                    })
                    .collect();
                submitters.into_iter().for_each(|submitter| submitter.join(io));
                while !queue.is_empty() {
                    io.yield_now();
                }
                for tag in waiters.into_iter().flat_map(|waiter| waiter.cancel(io)) {
                    seen[tag] += 1;
                }
            });
            assert_eq!(seen, [1; 3 * EACH]);
        }
    });
}
