//! The guarantees of a bridge to jobs, callers and hooks.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use iolite_bridge::{Bridge, CallError, PostErrorKind};
use iolite_io::{Io, TimedOut};
use iolite_threaded::{Options, Threaded};
use support::Threads;

/// A job that occupies its worker until it is released.
struct Blocker {
    running: Receiver<()>,
    go: Sender<()>,
}

impl Blocker {
    fn post<S: 'static>(bridge: &Bridge<S>, io: &dyn Io) -> Self {
        let (begun, running) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let job = move |_: &mut S| {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        };
        bridge.post(io, job).unwrap();
        let blocker = Self { running, go };
        blocker.running.recv().unwrap();
        blocker
    }

    fn release(self) {
        self.go.send(()).unwrap();
    }
}

fn one_worker(io: &dyn Io) -> Bridge<Vec<u32>> {
    Bridge::builder("test").workers(1).queue_capacity(2).state(|| Ok::<_, String>(Vec::new())).start(io).unwrap()
}

#[test]
fn call_returns_the_result_and_may_borrow() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = one_worker(io);
    let text = String::from("borrowed");
    let mut written = 0;
    let length = bridge
        .call(io, |state| {
            state.push(1);
            written = 7;
            text.len() + state.len()
        })
        .unwrap();
    assert_eq!((length, written), (9, 7));
    bridge.close(io);
}

#[test]
fn workers_are_named_and_each_has_its_own_state() {
    let io = &*Threads::new() as &dyn Io;
    let made = Arc::new(Mutex::new(HashSet::new()));
    let names = made.clone();
    let make = move || {
        let name = thread::current().name().unwrap_or_default().to_owned();
        names.lock().unwrap().insert(name.clone());
        Ok::<_, String>(name)
    };
    let bridge = Bridge::builder("pool").workers(3).state(make).start(io).unwrap();
    let expected = ["pool-0", "pool-1", "pool-2"].map(String::from);
    assert_eq!(*made.lock().unwrap(), HashSet::from(expected));
    for key in 0..20 {
        let of_key = |name: &mut String| (name.clone(), thread::current().name().map(str::to_owned));
        let (state, thread) = bridge.call_keyed(io, key, of_key).unwrap();
        assert_eq!(Some(state.clone()), thread);
        assert_eq!(bridge.call_keyed(io, key, of_key).unwrap().0, state, "the same key, the same worker");
    }
    bridge.close(io);
}

#[test]
fn jobs_of_one_key_run_in_order() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Bridge::builder("order").workers(3).queue_capacity(4).start(io).unwrap();
    let seen = Arc::new(Mutex::new(vec![Vec::new(); 5]));
    for number in 0..500 {
        for key in 0..5 {
            let seen = seen.clone();
            bridge.post_keyed(io, key, move |()| seen.lock().unwrap()[key].push(number)).unwrap();
        }
    }
    bridge.close(io);
    for of_key in &*seen.lock().unwrap() {
        assert!(of_key.iter().copied().eq(0..500));
    }
}

#[test]
fn an_unkeyed_job_does_not_wait_behind_a_slow_one() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Bridge::builder("idle").workers(2).start(io).unwrap();
    let blocker = Blocker::post(&bridge, io);
    for _ in 0..100 {
        bridge.call(io, |()| ()).unwrap();
    }
    blocker.release();
    bridge.close(io);
}

#[test]
fn a_full_queue_refuses_try_post_and_lets_post_wait() {
    let threads = Threads::new();
    let io = &*threads as &dyn Io;
    let bridge = one_worker(io);
    let blocker = Blocker::post(&bridge, io);
    bridge.try_post(|state| state.push(1)).unwrap();
    bridge.try_post(|state| state.push(2)).unwrap();
    let refused = bridge.try_post(|state| state.push(3)).unwrap_err();
    assert!(matches!(refused.kind, PostErrorKind::Full));
    // Another queue has its own room.
    bridge.try_post_keyed("key", |state| state.push(4)).unwrap();
    let timed_out = io.timeout(Duration::from_millis(5), |io| bridge.post(io, |_| {})).unwrap_err();
    assert!(matches!(timed_out.kind, PostErrorKind::TimedOut(TimedOut)), "{timed_out:?}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| bridge.post(io, refused.closure));
        while bridge.metrics().waits < 2 {
            thread::yield_now();
        }
        blocker.release();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(bridge.metrics().waits, 2);
    let mut state = bridge.call(io, |state| state.clone()).unwrap();
    bridge.close(io);
    state.sort_unstable();
    assert_eq!(state, [1, 2, 3, 4]);
    let metrics = bridge.metrics();
    assert_eq!((metrics.accepted, metrics.ran, metrics.depth), (6, 6, 0));
}

#[test]
fn a_canceled_call_never_runs() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Arc::new(one_worker(io));
    let blocker = Blocker::post(&bridge, io);
    let ran = Arc::new(AtomicBool::new(false));
    let caller = {
        let (bridge, ran) = (bridge.clone(), ran.clone());
        let call = move |io: &dyn Io| bridge.call(io, |_| ran.store(true, Ordering::Relaxed));
        io.spawn_concurrent(call).unwrap()
    };
    while bridge.metrics().depth < 1 {
        thread::yield_now();
    }
    assert!(matches!(caller.cancel(io), Err(CallError::Canceled(_))));
    assert_eq!(bridge.metrics().depth, 1, "a canceled job counts until a worker has passed it");
    blocker.release();
    bridge.close(io);
    assert!(!ran.load(Ordering::Relaxed));
    let metrics = bridge.metrics();
    assert_eq!((metrics.accepted, metrics.ran, metrics.canceled), (2, 1, 1));
}

#[test]
fn a_running_call_is_waited_for_and_the_request_stays_pending() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Arc::new(one_worker(io));
    let (begun, running) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let caller = {
        let bridge = bridge.clone();
        io.spawn_concurrent(move |io: &dyn Io| {
            let result = bridge.call(io, move |_| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                5
            });
            (result.unwrap(), io.check_cancel().is_err(), io.check_cancel().is_err())
        })
        .unwrap()
    };
    running.recv().unwrap();
    caller.request_cancel();
    go.send(()).unwrap();
    assert_eq!(caller.join(io), (5, true, false));
    bridge.close(io);
}

#[test]
fn a_call_in_a_timeout_times_out_while_it_is_queued() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = one_worker(io);
    let blocker = Blocker::post(&bridge, io);
    let result = io.timeout(Duration::from_millis(5), |io| bridge.call(io, |_| ()));
    assert!(matches!(result, Err(CallError::TimedOut(TimedOut))), "{result:?}");
    blocker.release();
    bridge.close(io);
}

#[test]
fn workers_are_not_bound_by_the_timeout_around_their_start() {
    let io = &*Threads::new() as &dyn Io;
    let started = io.timeout(Duration::from_millis(50), |io| Bridge::builder("late").workers(1).start(io)).unwrap();
    io.sleep(Duration::from_millis(60)).unwrap();
    started.call(io, |()| ()).unwrap();
    started.close(io);
}

#[test]
fn a_panic_is_told_to_the_caller_and_the_state_is_made_anew() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = one_worker(io);
    bridge.call(io, |state| state.push(1)).unwrap();
    let result: Result<(), _> = bridge.call(io, |_| panic!("job {}", 7));
    assert!(matches!(&result, Err(CallError::Panicked(message)) if message == "job 7"), "{result:?}");
    assert_eq!(bridge.call(io, |state| state.len()).unwrap(), 0);
    bridge.close(io);
    let metrics = bridge.metrics();
    assert_eq!((metrics.panicked, metrics.ran, metrics.states), (1, 2, 2));
}

#[test]
fn a_panic_of_a_posted_job_is_reported() {
    let io = &*Threads::new() as &dyn Io;
    let reports = Arc::new(Mutex::new(Vec::new()));
    let report = {
        let reports = reports.clone();
        Arc::new(move |line: &str| reports.lock().unwrap().push(line.to_owned()))
    };
    let bridge = Bridge::builder("loud").workers(1).report(report).start(io).unwrap();
    bridge.post(io, |()| panic!("posted")).unwrap();
    bridge.close(io);
    assert_eq!(*reports.lock().unwrap(), ["bridge loud: worker 0: a posted job panicked: posted"]);
}

#[test]
fn a_report_that_panics_harms_nobody() {
    let io = &*Threads::new() as &dyn Io;
    let told = Arc::new(AtomicBool::new(false));
    let report = {
        let told = told.clone();
        Arc::new(move |_: &str| {
            told.store(true, Ordering::Relaxed);
            panic!("out of the report")
        })
    };
    let bridge = Bridge::builder("loud").workers(1).report(report).start(io).unwrap();
    bridge.post(io, |()| panic!("posted")).unwrap();
    assert_eq!(bridge.call(io, |()| 7).unwrap(), 7);
    assert!(told.load(Ordering::Relaxed));
    bridge.close(io);
}

#[test]
fn a_state_that_cannot_be_made_fails_the_start_and_later_the_calls() {
    let io = &*Threads::new() as &dyn Io;
    let error = Bridge::builder("broken").workers(2).state(|| Err::<(), _>("no such file")).start(io).unwrap_err();
    assert!(error.to_string().contains("bridge broken: worker 0 has no state: no such file"), "{error}");

    let works = Arc::new(AtomicBool::new(true));
    let make = {
        let works = works.clone();
        move || if works.load(Ordering::Relaxed) { Ok(()) } else { Err("down") }
    };
    let bridge = Bridge::builder("later").workers(1).state(make).start(io).unwrap();
    works.store(false, Ordering::Relaxed);
    assert!(matches!(bridge.call(io, |()| panic!("lost")), Err::<(), _>(CallError::Panicked(_))));
    let result = bridge.call(io, |()| ());
    assert!(matches!(&result, Err(CallError::State(message)) if message == "down"), "{result:?}");
    works.store(true, Ordering::Relaxed);
    // Until the back-off is over, calls are refused at once.
    while let Err(error) = bridge.call(io, |()| ()) {
        assert!(matches!(error, CallError::State(_)));
    }
    bridge.close(io);
}

/// Otherwise the worker would unwind and its callers would wait for ever, so the process would end.
#[test]
fn an_error_of_a_state_may_panic_when_it_is_told() {
    #[derive(Debug)]
    struct Mute;

    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words for it")
        }
    }

    impl std::error::Error for Mute {}

    let io = &*Threads::new() as &dyn Io;
    let error = Bridge::builder("broken").workers(1).state(|| Err::<(), _>(Mute)).start(io).unwrap_err();
    assert!(error.to_string().contains("making it panicked: no words for it"), "{error}");
}

#[test]
fn a_key_may_panic() {
    struct Key;

    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {
            std::panic::resume_unwind(Box::new(()));
        }
    }

    let io = &*Threads::new() as &dyn Io;
    let bridge = one_worker(io);
    // More often than the queue has room.
    for _ in 0..4 {
        let call = std::panic::AssertUnwindSafe(|| bridge.call_keyed(io, Key, |_| ()));
        assert!(std::panic::catch_unwind(call).is_err());
    }
    assert_eq!(bridge.call_keyed(io, 1, |state| state.len()).unwrap(), 0);
    bridge.close(io);
}

#[test]
fn a_run_is_framed_by_its_hooks_and_bounded() {
    let io = &*Threads::new() as &dyn Io;
    let log = Arc::new(Mutex::new(Vec::new()));
    let (before, after) = (log.clone(), log.clone());
    let bridge = Bridge::builder("runs")
        .workers(1)
        .run_max(3)
        .before_run(move |()| before.lock().unwrap().push("begin"))
        .after_run(move |()| after.lock().unwrap().push("commit"))
        .start(io)
        .unwrap();
    let blocker = Blocker::post(&bridge, io);
    for _ in 0..4 {
        let log = log.clone();
        bridge.post(io, move |()| log.lock().unwrap().push("job")).unwrap();
    }
    blocker.release();
    bridge.close(io);
    let expected = ["begin", "job", "job", "commit", "begin", "job", "job", "commit"];
    assert_eq!(*log.lock().unwrap(), expected, "the blocker is the first job of the first run");
    assert_eq!(bridge.metrics().runs, 2);
}

#[test]
fn a_job_that_calls_its_own_bridge_is_told_so() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Arc::new(one_worker(io));
    let own = bridge.clone();
    let result = bridge.call(io, |_| own.call(io, |_| ())).unwrap();
    assert!(matches!(result, Err(CallError::WouldDeadlock)));
    let kinds = bridge.call(io, |_| [0; 3].map(|_| own.post(io, |_| {}).map_err(|error| error.kind))).unwrap();
    assert!(matches!(kinds, [Ok(()), Ok(()), Err(PostErrorKind::WouldDeadlock)]), "{kinds:?}");
    let result = bridge.call(io, |_| own.close(io));
    assert!(matches!(&result, Err(CallError::Panicked(message)) if message.contains("request_close")), "{result:?}");
    bridge.close(io);
}

#[test]
fn close_runs_what_was_accepted_and_refuses_the_rest() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Bridge::builder("drain").workers(2).start(io).unwrap();
    let blocker = Blocker::post(&bridge, io);
    let ran = Arc::new(AtomicUsize::new(0));
    for key in 0..100 {
        let ran = ran.clone();
        bridge.post_keyed(io, key, move |()| _ = ran.fetch_add(1, Ordering::Relaxed)).unwrap();
    }
    bridge.request_close();
    assert!(matches!(bridge.post(io, |()| {}).unwrap_err().kind, PostErrorKind::Closed));
    assert!(matches!(bridge.try_post(|()| {}).unwrap_err().kind, PostErrorKind::Closed));
    assert!(matches!(bridge.call(io, |()| ()), Err(CallError::Closed)));
    thread::scope(|scope| {
        scope.spawn(|| bridge.close(io));
        blocker.release();
        bridge.close(io);
    });
    assert_eq!(ran.load(Ordering::Relaxed), 100);
}

#[test]
fn callers_that_wait_for_room_are_refused_at_the_close() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = one_worker(io);
    let blocker = Blocker::post(&bridge, io);
    bridge.try_post(|_| {}).unwrap();
    bridge.try_post(|_| {}).unwrap();
    thread::scope(|scope| {
        let waiting = [(); 4].map(|()| scope.spawn(|| bridge.post(io, |_| {}).map_err(|error| error.kind)));
        while bridge.metrics().waits < 4 {
            thread::yield_now();
        }
        bridge.request_close();
        blocker.release();
        for waiting in waiting {
            assert!(matches!(waiting.join().unwrap(), Err(PostErrorKind::Closed)));
        }
    });
    bridge.close(io);
    assert_eq!(bridge.metrics().accepted, 3);
}

#[test]
fn dropping_the_bridge_runs_what_was_accepted() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = one_worker(io);
    let (sender, receiver) = mpsc::channel();
    let blocker = Blocker::post(&bridge, io);
    bridge.post(io, move |_| sender.send(3).unwrap()).unwrap();
    drop(bridge);
    blocker.release();
    assert_eq!(receiver.recv(), Ok(3));
}

#[test]
fn a_runtime_that_shuts_down_closes_the_bridge_and_jobs_still_run() {
    let threads = Threads::new();
    let io = &*threads as &dyn Io;
    let bridge = one_worker(io);
    let ran = Arc::new(AtomicBool::new(false));
    let blocker = Blocker::post(&bridge, io);
    let runs = ran.clone();
    bridge.post(io, move |_| runs.store(true, Ordering::Relaxed)).unwrap();
    threads.tear_down();
    blocker.release();
    bridge.close(io);
    assert!(ran.load(Ordering::Relaxed));

    let idle = one_worker(io);
    threads.tear_down();
    while idle.call(io, |_| ()).is_ok() {}
    idle.close(io);
}

#[test]
fn impossible_numbers_are_named() {
    let io = &*Threads::new() as &dyn Io;
    let error = Bridge::builder("odd").workers(0).start(io).unwrap_err();
    assert_eq!(error.to_string(), "bridge odd: workers = 0 is not between 1 and 64");
    assert!(Bridge::builder("odd").queue_capacity(0).start(io).is_err());
    assert!(Bridge::builder("odd").run_max(0).start(io).is_err());
}

#[test]
fn a_bridge_left_open_does_not_hold_up_the_shutdown_of_threaded() {
    let threaded = Threaded::new(Options::default()).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let bridge = threaded.run(|io| {
        let bridge = Bridge::builder("open").workers(2).start(io).unwrap();
        for key in 0..50 {
            let ran = ran.clone();
            bridge.post_keyed(io, key, move |()| _ = ran.fetch_add(1, Ordering::Relaxed)).unwrap();
        }
        bridge
    });
    assert_eq!(ran.load(Ordering::Relaxed), 50);
    assert!(matches!(bridge.try_post(|()| {}).unwrap_err().kind, PostErrorKind::Closed));
    assert_eq!(bridge.metrics().depth, 0);
}

/// The result of a commit of the runs of [`transactions`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Commit {
    Works,
    Fails,
    Panics,
}

#[derive(Debug, Default)]
struct Transactions {
    pending: Vec<u32>,
    durable: Vec<u32>,
}

/// A bridge with one worker. Its commits do what the channel says, or else succeed.
fn transactions(io: &dyn Io, commits: mpsc::Receiver<Commit>) -> Bridge<Transactions> {
    let commits = Mutex::new(commits);
    let builder = Bridge::builder("transactions").workers(1).state(|| Ok::<_, String>(Transactions::default()));
    let builder = builder.after_run(move |state| match commits.lock().unwrap().try_recv().unwrap_or(Commit::Works) {
        Commit::Works => {
            let Transactions { pending, durable } = state;
            durable.append(pending);
            Ok(())
        }
        Commit::Fails => {
            state.pending.clear();
            Err("the disk is full")
        }
        Commit::Panics => std::panic::resume_unwind(Box::new("a bug")),
    });
    builder.start(io).unwrap()
}

#[test]
fn a_committed_call_returns_after_the_commit_of_its_run() {
    let io = &*Threads::new() as &dyn Io;
    let (tell, commits) = mpsc::channel();
    let bridge = transactions(io, commits);
    for number in 0..200 {
        bridge.call_committed(io, |state| state.pending.push(number)).unwrap();
        // It is durable now, for every caller that looks.
        bridge.call_keyed_committed(io, "any", |state| assert!(state.durable.contains(&number))).unwrap();
    }
    tell.send(Commit::Fails).unwrap();
    match bridge.call_committed(io, |state| state.pending.push(1_000)) {
        Err(CallError::NotCommitted(reason)) => assert_eq!(reason, "after_run failed: the disk is full"),
        other => panic!("{other:?}"),
    }
    // The state is still the same one, and the hook has rolled it back.
    assert_eq!(bridge.call(io, |state| (state.pending.len(), state.durable.len())).unwrap(), (0, 200));
    tell.send(Commit::Panics).unwrap();
    match bridge.call_committed(io, |state| state.pending.push(1_001)) {
        Err(CallError::NotCommitted(reason)) => assert_eq!(reason, "after_run panicked: a bug"),
        other => panic!("{other:?}"),
    }
    bridge.close(io);
}

/// All calls of one run get the same answer. A caller drops the value that is based on data that was not committed.
#[test]
fn the_callers_of_one_run_share_its_commit() {
    let threads = Threads::new();
    let io = &*threads as &dyn Io;
    for commit in [Some(Commit::Works), Some(Commit::Fails), None] {
        let (tell, commits) = mpsc::channel();
        let bridge = transactions(io, commits);
        let blocker = Blocker::post(&bridge, io);
        if let Some(commit) = commit {
            tell.send(commit).unwrap();
        }
        let alive = Arc::new(());
        thread::scope(|scope| {
            let callers: Vec<_> = (0..5)
                .map(|number| {
                    let (bridge, alive) = (&bridge, alive.clone());
                    scope.spawn(move || {
                        bridge.call_committed(io, |state| {
                            state.pending.push(number);
                            alive
                        })
                    })
                })
                .collect();
            // Behind them, in the same run.
            while bridge.metrics().depth < 5 {
                thread::yield_now();
            }
            if commit.is_none() {
                bridge.post(io, |_| std::panic::resume_unwind(Box::new("a bug"))).unwrap();
            }
            blocker.release();
            for caller in callers {
                let result = caller.join().unwrap();
                match (commit, result) {
                    (Some(Commit::Works), Ok(value)) => assert!(Arc::ptr_eq(&value, &alive)),
                    (Some(Commit::Fails), Err(CallError::NotCommitted(reason))) => assert!(reason.contains("disk")),
                    (None, Err(CallError::NotCommitted(reason))) => assert!(reason.contains("panicked"), "{reason}"),
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(Arc::strong_count(&alive), 1);
        bridge.close(io);
    }
}

/// A request withdraws a queued job. If the job already runs, the call waits for the commit, and the request stays
/// pending.
#[test]
fn a_committed_call_is_canceled_in_the_queue_and_not_later() {
    let io = &*Threads::new() as &dyn Io;
    let (go, may_commit) = mpsc::channel::<()>();
    let may_commit = Mutex::new(may_commit);
    let bridge = Bridge::builder("commits").workers(1).after_run(move |()| may_commit.lock().unwrap().recv());
    let bridge = Arc::new(bridge.start(io).unwrap());
    let (theirs, began) = (bridge.clone(), Arc::new(AtomicBool::new(false)));
    let begins = began.clone();
    let running = io
        .spawn_concurrent(move |io| {
            let result = theirs.call_committed(io, |()| begins.store(true, Ordering::SeqCst));
            (result.is_ok(), io.check_cancel().is_err())
        })
        .unwrap();
    while !began.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    let theirs = bridge.clone();
    let queued = io.spawn_concurrent(move |io| theirs.call_committed(io, |()| ())).unwrap();
    while bridge.metrics().depth < 1 {
        thread::yield_now();
    }
    running.request_cancel();
    assert!(matches!(queued.cancel(io), Err(CallError::Canceled(_))));
    go.send(()).unwrap();
    assert_eq!(running.join(io), (true, true), "committed, and the request is still there");
    drop(go);
    bridge.close(io);
}

#[test]
fn a_run_whose_begin_fails_refuses_its_jobs() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Bridge::builder("begin").workers(1).before_run(|()| Err::<(), _>("locked")).start(io).unwrap();
    match bridge.call_committed(io, |()| ()) {
        Err(CallError::State(reason)) => assert_eq!(reason, "before_run failed: locked"),
        other => panic!("{other:?}"),
    }
    bridge.close(io);
}

#[test]
fn each_worker_knows_its_number_also_when_its_state_is_made_again() {
    let io = &*Threads::new() as &dyn Io;
    let bridge = Bridge::builder("numbered").workers(3).state_with(Ok::<usize, String>).start(io).unwrap();
    for key in 0..20 {
        let number = |bridge: &Bridge<usize>| {
            let named = |number: &mut usize| (*number, thread::current().name().map(str::to_owned));
            let (number, name) = bridge.call_keyed(io, key, named).unwrap();
            assert_eq!(name, Some(format!("numbered-{number}")));
            number
        };
        let before = number(&bridge);
        let panicked = bridge.call_keyed(io, key, |_| std::panic::resume_unwind(Box::new("a bug")));
        assert!(matches!(panicked, Err::<(), _>(CallError::Panicked(_))));
        assert_eq!(number(&bridge), before);
    }
    assert!(bridge.metrics().states > 3);
    bridge.close(io);
}
