//! The end of a runtime: everything that lives is torn down and waited for, and nothing hangs.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use iolite_io::net::{TcpListener, TcpStream};
use iolite_io::sync::{Event, mpmc::channel};
use iolite_io::{Canceled, Io, OwnedGroup, SpawnErrorKind, error::ShutDown, task::Placement};

use crate::On;
use crate::case::{Case, cases};
use crate::tools::{ExpectCanceled, Watchdog, concurrently, panic_of, panic_quietly, rounds, tcp_pair, until};

pub(crate) const CASES: &[Case] = cases![
    shutdown_right_after_spawn_never_hangs,
    shutdown_never_returns_while_a_task_lives,
    tear_down_is_sticky_and_protected_clean_up_works,
    a_handle_says_shut_down_afterwards,
    tasks_may_start_others_during_the_shutdown,
    who_waits_for_a_slot_is_told_of_the_shutdown,
    the_main_closure_returns_its_value,
    the_main_closure_may_panic,
    the_end_of_main_waits_for_tasks_that_were_left,
    main_does_all_that_a_task_does,
    a_task_that_does_not_end_is_named_after_the_grace,
    who_waits_for_members_that_are_torn_down_is_told,
];

const LONG: Duration = Duration::from_secs(3600);

fn shutdown_right_after_spawn_never_hangs(on: &On) {
    let watchdog = Watchdog::start();
    let ended = Arc::new(AtomicUsize::new(0));
    let started = rounds(1_000);
    let mut spawned = 0;
    for round in 0..started {
        let runtime = on.executors(1 + round % 2).start();
        let io = runtime.io();
        for number in 0..round % 4 {
            let ended = ended.clone();
            let body = move |io: &dyn iolite_io::Io| {
                drop(io.sleep(LONG));
                ended.fetch_add(1, Ordering::Relaxed);
            };
            match number {
                0 => io.spawn_concurrent(body).expect("concurrent").detach(),
                1 => drop(io.spawn_concurrent(body).expect("concurrent")),
                _ => io.spawn_thread("its own", body).expect("thread").detach(),
            }
            spawned += 1;
        }
        if round % 3 == 0 {
            drop(runtime)
        } else {
            runtime.shutdown()
        }
        assert_eq!(ended.load(Ordering::Relaxed), spawned, "every task ran, and ended, in round {round}");
        watchdog.beat();
    }
}

fn shutdown_never_returns_while_a_task_lives(on: &On) {
    let _watchdog = Watchdog::start();
    let runtime = on.start();
    let (torn_down, go, ended) = (Arc::new(Event::new()), Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
    let (told, theirs, end) = (torn_down.clone(), go.clone(), ended.clone());
    runtime
        .io()
        .spawn_concurrent(move |io| {
            io.sleep(LONG).expect_canceled("torn down");
            told.set();
            io.shield(|io| theirs.wait_uncancelable(io));
            end.store(true, Ordering::Release);
        })
        .expect("concurrent")
        .detach();
    let handle = runtime.handle();
    thread::scope(|threads| {
        let releasing = threads.spawn(|| {
            torn_down.wait_uncancelable(&*handle);
            assert!(!ended.load(Ordering::Acquire));
            go.set();
        });
        runtime.shutdown();
        assert!(ended.load(Ordering::Acquire), "it returned while the task lived");
        releasing.join().expect("no panic");
    });
}

fn tear_down_is_sticky_and_protected_clean_up_works(on: &On) {
    let _watchdog = Watchdog::start();
    let runtime = on.start();
    let (client, server) = tcp_pair(runtime.io());
    let (sender, receiver) = channel(1);
    let task = runtime.io().spawn_concurrent(move |io| {
        let canceled = (0..5).filter(|_| server.read(io, &mut [0]).is_err()).count();
        let goodbye = io.shield(|io| io.timeout(Duration::from_secs(10), |io| server.write_all(io, b"goodbye")));
        sender.try_send((canceled, goodbye.is_ok())).expect("room");
    });
    task.expect("concurrent").detach();
    runtime.shutdown();
    assert_eq!(receiver.try_recv(), Ok((5, true)));
    let mut plain = std::net::TcpStream::from(client.as_fd().try_clone_to_owned().expect("a copy"));
    let mut text = String::new();
    io::Read::read_to_string(&mut plain, &mut text).expect("received");
    assert_eq!(text, "goodbye");
}

fn a_handle_says_shut_down_afterwards(on: &On) {
    let _watchdog = Watchdog::start();
    let runtime = on.start();
    let listener = TcpListener::bind(runtime.io(), "127.0.0.1:0").expect("bind");
    let handle = runtime.handle();
    let group = OwnedGroup::new(runtime.handle());
    runtime.shutdown();

    let error = handle.spawn_concurrent(|_| 5).expect_err("shut down");
    assert!(matches!(error.kind, SpawnErrorKind::ShutDown(ShutDown)), "{error}");
    assert!(matches!(handle.spawn_waiting(|_| ()).expect_err("shut down").kind, SpawnErrorKind::ShutDown(ShutDown)));
    assert!(matches!(group.spawn_concurrent(|_| ()).expect_err("shut down").kind, SpawnErrorKind::ShutDown(ShutDown)));
    let says_so = |error: io::Error| {
        let source = error.get_ref().unwrap_or_else(|| panic!("not ShutDown: {error}"));
        assert!(source.is::<ShutDown>(), "not ShutDown: {error}");
    };
    says_so(TcpListener::bind(&*handle, "127.0.0.1:0").expect_err("shut down"));
    says_so(TcpStream::connect(&*handle, "127.0.0.1:1").expect_err("shut down"));
    says_so(listener.accept(&*handle).expect_err("shut down"));
    says_so(iolite_io::fs::File::open(&*handle, "/dev/null").expect_err("shut down"));
    // Things that need no backend still work: a task that runs inline, waking, the clock.
    assert_eq!(handle.spawn_async(|_| 5).join(&*handle), 5);
    let event = Event::new();
    event.set();
    event.wait(&*handle).expect("set");
    assert!(handle.now() > iolite_io::Instant::ZERO);
    let name = handle.backend().name;
    assert!(on.name().contains(name), "{name}");
}

/// Tasks start other tasks while they are torn down.
fn tasks_may_start_others_during_the_shutdown(on: &On) {
    let watchdog = Watchdog::start();
    for _ in 0..rounds(100) {
        let runtime = on.start();
        for _ in 0..3 {
            let task = runtime.io().spawn_concurrent(|io| {
                io.sleep(LONG).expect_canceled("torn down");
                match io.spawn_concurrent(|io| io.sleep(LONG)) {
                    Ok(child) => drop(child.join(io).expect_err("torn down too")),
                    Err(error) => assert!(matches!(error.kind, SpawnErrorKind::ShutDown(ShutDown)), "{error}"),
                }
                drop(io.spawn_async(|io| io.sleep(LONG)).join(io).expect_err("torn down too"));
            });
            task.expect("concurrent").detach();
        }
        runtime.shutdown();
        watchdog.beat();
    }
}

fn who_waits_for_a_slot_is_told_of_the_shutdown(on: &On) {
    let _watchdog = Watchdog::start();
    let runtime = on.concurrent_limit(1).start();
    let go = Arc::new(Event::new());
    let theirs = go.clone();
    let holder = runtime.io().spawn_concurrent(move |io| theirs.wait_uncancelable(io)).expect("one is free");
    let started = Arc::new(Event::new());
    let waiting = started.clone();
    let handle = runtime.handle();
    let waiter = thread::spawn(move || {
        waiting.set();
        handle.spawn_waiting(|_| ()).map(|task| task.join(&*handle)).map_err(|error| error.kind)
    });
    started.wait_uncancelable(runtime.io());
    let ends = thread::spawn({
        let handle = runtime.handle();
        move || {
            // The runtime is closed when it reports that.
            while handle.spawn_thread("probe", |_| ()).map(|task| task.join(&*handle)).is_ok() {
                thread::yield_now();
            }
            go.set();
        }
    });
    holder.detach();
    runtime.shutdown();
    ends.join().expect("no panic");
    let told = waiter.join().expect("no panic");
    assert!(matches!(told, Ok(()) | Err(SpawnErrorKind::ShutDown(ShutDown))), "{told:?}");
}

fn the_main_closure_returns_its_value(on: &On) {
    let _watchdog = Watchdog::start();
    let mut borrowed = 1;
    let value = on.main(|io| {
        borrowed += io.spawn_concurrent(|_| 2).expect("concurrent").join(io);
        io.sleep(Duration::from_millis(1)).expect("not canceled");
        "value"
    });
    assert_eq!((value, borrowed), ("value", 3));
}

fn the_main_closure_may_panic(on: &On) {
    let _watchdog = Watchdog::start();
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = ended.clone();
    let text = panic_of(|| {
        on.main(|io| {
            let task = io.spawn_concurrent(move |io| {
                io.sleep(LONG).expect_canceled("torn down");
                theirs.store(true, Ordering::Release);
            });
            task.expect("concurrent").detach();
            panic_quietly("of main")
        })
    });
    assert_eq!(text, "of main");
    assert!(ended.load(Ordering::Acquire), "after its tasks have ended");
}

fn the_end_of_main_waits_for_tasks_that_were_left(on: &On) {
    let _watchdog = Watchdog::start();
    for _ in 0..50 {
        let ended = Arc::new(AtomicUsize::new(0));
        on.main(|io| {
            for number in 0..4 {
                let ended = ended.clone();
                let task = io.spawn_concurrent(move |io| {
                    let canceled = (0..3).filter(|_| io.sleep(LONG).is_err()).count();
                    ended.fetch_add(canceled, Ordering::Relaxed);
                });
                let task = task.expect("concurrent");
                if number % 2 == 0 { drop(task) } else { task.detach() }
            }
        });
        assert_eq!(ended.load(Ordering::Relaxed), 12, "torn down, at every point");
    }
}

/// The main task is a task like the others: it can be timed out, and its waits wake.
fn main_does_all_that_a_task_does(on: &On) {
    let _watchdog = Watchdog::start();
    on.executors(1).main(|io| {
        io.timeout(Duration::from_millis(2), |io| io.sleep(LONG)).expect_err("timed out");
        let (client, server) = tcp_pair(io);
        let task = io.spawn_concurrent(move |io| client.write_all(io, b"hello")).expect("concurrent");
        server.read_exact(io, &mut [0; 5]).expect("received");
        task.join(io).expect("sent");
        let (sender, receiver) = channel(0);
        let plain = thread::spawn({
            let io = io.handle().expect("a backend has a handle");
            move || sender.send(&*io, 5)
        });
        assert_eq!(receiver.recv(io).expect("sent"), 5);
        plain.join().expect("no panic").expect("received");
    });
}

fn a_task_that_does_not_end_is_named_after_the_grace(on: &On) {
    let _watchdog = Watchdog::start();
    let reports = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = reports.clone();
    let report = move |line: &str| {
        kept.lock().unwrap().push(line.to_owned());
        // This does no harm.
        panic_quietly("out of the report")
    };
    let runtime = on.executors(2).grace(Duration::from_millis(10), report).start();
    let go = Arc::new(Event::new());
    let stay = || {
        let go = go.clone();
        move |io: &dyn Io| go.wait_uncancelable(io)
    };
    let io = runtime.io();
    let executors = io.backend().executors;
    for executor in 0..executors {
        let task = io.task().name(format!("stuck-{executor}")).placement(Placement::Executor(executor));
        task.spawn_concurrent(stay()).expect("concurrent").detach();
    }
    io.spawn_thread("stuck-thread", stay()).expect("a thread").detach();
    until(io, || io.dump().tasks.len() == executors + 1);
    thread::scope(|threads| {
        threads.spawn(|| {
            while reports.lock().unwrap().is_empty() {
                thread::yield_now();
            }
            go.set();
        });
        runtime.shutdown();
    });
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    let mut names = (0..executors).map(|executor| format!("stuck-{executor}")).chain(["stuck-thread".to_owned()]);
    assert!(names.all(|name| reports[0].contains(&name)), "{reports:?}");
}

/// The result does not say that all is well, although the waiting task is torn down a moment later than the members.
fn who_waits_for_members_that_are_torn_down_is_told(on: &On) {
    let _watchdog = Watchdog::start();
    for round in 0..rounds(200) {
        let runtime = on.executors(1 + round % 3).start();
        let io = runtime.io();
        let (waiting, result) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
        let (theirs, answer) = (waiting.clone(), result.clone());
        let waiter = io.spawn_concurrent(move |io| {
            let outcome: Result<(), Canceled> = io.group(|group| {
                for _ in 0..4 {
                    let waiting = theirs.clone();
                    drop(concurrently(group, move |io| {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        io.sleep(LONG).expect_canceled("torn down");
                    }));
                }
                group.wait(io)
            });
            *answer.lock().expect("nobody panics with it") = Some(outcome.is_err());
        });
        waiter.expect("concurrent").detach();
        while waiting.load(Ordering::SeqCst) < 4 {
            thread::yield_now();
        }
        runtime.shutdown();
        assert_eq!(*result.lock().expect("nobody panics with it"), Some(true), "round {round}");
    }
}
