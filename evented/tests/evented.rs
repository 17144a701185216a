//! The parts that only this backend has: executors, fibers, foreign contexts, its shutdown.

mod support;

use iolite_conformance::{Case, whole};
use std::io;
use std::net::Shutdown;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iolite_evented::{Evented, Options};
use iolite_io::net::{TcpListener, TcpStream};
use iolite_io::sync::{Event, mpmc::channel};
use iolite_io::{Canceled, Io};

const CASES: &[Case] = whole![
    main_runs_on_the_calling_thread_and_returns_its_value,
    tasks_run_and_are_joined,
    sleepers_wake_in_the_order_of_their_deadlines,
    an_echo_of_many_connections_is_whole,
    a_fiber_among_others_receives_several_pieces_in_a_row,
    a_blocked_receive_is_canceled_and_the_stream_is_usable_afterwards,
    a_timeout_ends_a_receive_and_only_its_own_error_is_timed_out,
    plain_threads_call_a_running_runtime,
    a_fiber_of_one_runtime_calls_another,
    a_task_that_has_not_started_is_taken_by_an_idle_executor,
    a_yielding_task_starves_neither_timers_nor_io,
    tasks_start_as_soon_as_fibers_that_are_ready_run,
    connections_are_accepted_as_soon_as_fibers_that_are_ready_run,
    shutdown_cancels_tasks_for_good_and_waits,
    shutdown_right_after_spawn_never_hangs,
    a_handle_says_that_the_runtime_has_shut_down,
    a_panic_of_main_is_resumed_after_the_shutdown,
    a_limit_hands_the_closure_back,
    shutdown_reaches_a_task_that_runs_inline_on_a_plain_thread,
    inline_tasks_that_nest_too_deep_on_a_plain_thread_do_not_stop_the_shutdown,
];

fn main() -> ExitCode {
    support::run(&[CASES])
}

fn one_executor() -> Options {
    Options { executors: 1, ..Options::default() }
}

fn run<T>(options: Options, main: impl FnOnce(&dyn Io) -> T) -> T {
    Evented::prepare(options).expect("io_uring is here").run(main)
}

fn pair(io: &dyn Io) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
    let near = TcpStream::connect(io, listener.local_addr(io).unwrap()).unwrap();
    (near, listener.accept(io).unwrap().0)
}

fn main_runs_on_the_calling_thread_and_returns_its_value() {
    let thread = std::thread::current().id();
    assert_eq!(run(one_executor(), |_| std::thread::current().id()), thread);
}

fn tasks_run_and_are_joined() {
    let sum: u64 = run(Options::default(), |io| {
        let tasks: Vec<_> = (0..1000_u64).map(|n| io.spawn_concurrent(move |_| n).unwrap()).collect();
        tasks.into_iter().map(|task| task.join(io)).sum()
    });
    assert_eq!(sum, 499_500);
}

fn sleepers_wake_in_the_order_of_their_deadlines() {
    let order = Mutex::new(Vec::new());
    run(one_executor(), |io| {
        io.group(|group| {
            for delay in [30, 10, 20] {
                let order = &order;
                group.spawn_concurrent(move |io| {
                    io.sleep(Duration::from_millis(delay)).unwrap();
                    order.lock().unwrap().push(delay);
                })?;
            }
            io::Result::Ok(())
        })
        .unwrap();
    });
    assert_eq!(*order.lock().unwrap(), [10, 20, 30]);
}

fn an_echo_of_many_connections_is_whole() {
    run(Options::default(), |io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let address = listener.local_addr(io).unwrap();
        io.group(|group| {
            let server = group.spawn_concurrent(|io| {
                io.group(|connections| {
                    loop {
                        let (stream, _) = listener.accept(io)?;
                        connections.spawn_waiting(move |io| {
                            let mut buffer = [0; 512];
                            while let Ok(count @ 1..) = stream.read(io, &mut buffer) {
                                stream.write_all(io, &buffer[..count]).unwrap();
                            }
                        })?;
                    }
                    #[allow(unreachable_code)]
                    io::Result::Ok(())
                })
            })?;
            let clients: Vec<_> = (0..200_u8)
                .map(|index| {
                    group.spawn_concurrent(move |io| {
                        let stream = TcpStream::connect(io, address).unwrap();
                        for round in 0..20 {
                            let sent = [index ^ round; 300];
                            stream.write_all(io, &sent).unwrap();
                            let mut received = [0; 300];
                            stream.read_exact(io, &mut received).unwrap();
                            assert_eq!(sent, received);
                        }
                        stream.shutdown(io, Shutdown::Both).unwrap();
                    })
                })
                .collect::<Result<_, _>>()?;
            for client in clients {
                client.join(io);
            }
            let ended = server.cancel(io).unwrap_err();
            assert!(Canceled::is_in(&ended), "{ended}");
            io::Result::Ok(())
        })
        .unwrap();
    });
}

/// It receives by calls: with operations, the other fibers would run after each piece.
fn a_fiber_among_others_receives_several_pieces_in_a_row() {
    const PIECES: usize = 32;
    run(one_executor(), |io| {
        let (near, far) = pair(io);
        near.write_all(io, &[1; 1024 * PIECES]).unwrap();
        let (turns, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let turns_meanwhile = io.group(|group| {
            group
                .spawn_concurrent(|io| {
                    while !is_over.load(Ordering::Relaxed) {
                        turns.fetch_add(1, Ordering::Relaxed);
                        io.yield_now();
                    }
                })
                .unwrap();
            let mut piece = [0; 1024];
            // After the first piece the other fiber runs, and the kernel has said that there are more bytes.
            far.read_exact(io, &mut piece).unwrap();
            let before = turns.load(Ordering::Relaxed);
            (1..PIECES).for_each(|_| far.read_exact(io, &mut piece).unwrap());
            is_over.store(true, Ordering::Relaxed);
            Ok::<_, Canceled>(turns.load(Ordering::Relaxed) - before)
        });
        let turns_meanwhile = turns_meanwhile.unwrap();
        assert!(turns_meanwhile < PIECES / 2, "the other fiber ran {turns_meanwhile} times");
    });
}

fn a_blocked_receive_is_canceled_and_the_stream_is_usable_afterwards() {
    run(one_executor(), |io| {
        let (near, far) = pair(io);
        io.group(|group| {
            let near = &near;
            let reader = group.spawn_concurrent(move |io| near.read(io, &mut [0; 8]))?;
            io.yield_now();
            assert!(Canceled::is_in(&reader.cancel(io).unwrap_err()));
            far.write_all(io, b"after")?;
            let mut received = [0; 5];
            near.read_exact(io, &mut received)?;
            assert_eq!(&received, b"after");
            io::Result::Ok(())
        })
        .unwrap();
    });
}

fn a_timeout_ends_a_receive_and_only_its_own_error_is_timed_out() {
    run(one_executor(), |io| {
        let (near, _far) = pair(io);
        let error = io.timeout(Duration::from_millis(5), |io| near.read(io, &mut [0; 8])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        io.check_cancel().unwrap();
    });
}

fn plain_threads_call_a_running_runtime() {
    let evented = Evented::new(Options { executors: 2, ..Options::default() }).unwrap();
    let io = evented.io();
    let (near, far) = pair(io);
    std::thread::scope(|scope| {
        scope.spawn(|| near.write_all(io, b"from a thread").unwrap());
        let mut received = [0; 13];
        far.read_exact(io, &mut received).unwrap();
        assert_eq!(&received, b"from a thread");
    });
    let task = io.spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).unwrap();
    assert!(task.cancel(io).is_err());
    let error = io.timeout(Duration::from_millis(5), |io| near.read(io, &mut [0; 8])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

fn a_fiber_of_one_runtime_calls_another() {
    let first = Evented::new(one_executor()).unwrap();
    let second = Evented::new(one_executor()).unwrap();
    let handle = second.handle();
    let task = first.io().spawn_concurrent(move |_| {
        let other = &*handle;
        let (near, far) = pair(other);
        near.write_all(other, b"across").unwrap();
        let mut received = [0; 6];
        far.read_exact(other, &mut received).unwrap();
        received
    });
    assert_eq!(&task.unwrap().join(second.io()), b"across");
}

fn a_task_that_has_not_started_is_taken_by_an_idle_executor() {
    run(Options { executors: 2, ..Options::default() }, |io| {
        let done = Event::new();
        io.group(|group| {
            let member = group.spawn_concurrent(|_| {
                done.set();
                std::thread::current().id()
            })?;
            // Busy, without a point at which another fiber could run here.
            while !done.is_set() {
                std::hint::spin_loop();
            }
            assert_ne!(member.join(io), std::thread::current().id());
            io::Result::Ok(())
        })
        .unwrap();
    });
}

fn a_yielding_task_starves_neither_timers_nor_io() {
    run(one_executor(), |io| {
        let stop = Event::new();
        let (near, far) = pair(io);
        io.group(|group| {
            let spins = group.spawn_concurrent(|io| {
                let mut spins = 0_u64;
                while !stop.is_set() {
                    io.yield_now();
                    spins += 1;
                }
                spins
            })?;
            io.sleep(Duration::from_millis(5)).unwrap();
            near.write_all(io, b"x")?;
            far.read_exact(io, &mut [0])?;
            stop.set();
            assert!(spins.join(io) > 0);
            io::Result::Ok(())
        })
        .unwrap();
    });
}

/// The number of fibers that are ready all the time, and the number of tasks or connections beside them.
const READY: usize = 64;
/// The maximum number of times that each of those fibers may run in the meantime. Started one at a time, the tasks
/// would take `READY` turns or more.
const TURNS_MAX: usize = READY / 2;

/// Runs `body` beside fibers that are ready all the time, on one executor. Returns how often each of them ran.
fn turns_beside(body: impl FnOnce(&dyn Io)) -> usize {
    run(one_executor(), |io| {
        let (turns, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        io.group(|group| {
            for _ in 0..READY {
                group.spawn_concurrent(|io| {
                    while !over.load(Ordering::Relaxed) {
                        turns.fetch_add(1, Ordering::Relaxed);
                        io.yield_now();
                    }
                })?;
            }
            // All fibers have begun.
            while turns.load(Ordering::Relaxed) < READY {
                io.yield_now();
            }
            turns.store(0, Ordering::Relaxed);
            body(io);
            over.store(true, Ordering::Relaxed);
            io::Result::Ok(())
        })
        .unwrap();
        turns.into_inner() / READY
    })
}

fn tasks_start_as_soon_as_fibers_that_are_ready_run() {
    let turns = turns_beside(|io| {
        let begun = AtomicUsize::new(0);
        let count = |_: &dyn Io| _ = begun.fetch_add(1, Ordering::Relaxed);
        io.group(|group| {
            (0..READY).for_each(|_| drop(group.spawn_concurrent(count).unwrap()));
            while begun.load(Ordering::Relaxed) < READY {
                io.yield_now();
            }
            io::Result::Ok(())
        })
        .unwrap();
    });
    assert!(turns <= TURNS_MAX, "{READY} tasks took {turns} turns");
}

fn connections_are_accepted_as_soon_as_fibers_that_are_ready_run() {
    let turns = turns_beside(|io| {
        let listener = TcpListener::bind(io, "127.0.0.1:0").unwrap();
        let address = listener.local_addr(io).unwrap();
        // All clients already wait for the server.
        let clients: Vec<_> = (0..READY).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for _ in &clients {
            listener.accept(io).unwrap();
        }
    });
    assert!(turns <= TURNS_MAX, "{READY} connections took {turns} turns");
}

fn shutdown_cancels_tasks_for_good_and_waits() {
    let ended = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel::<()>(1);
    run(Options::default(), |io| {
        for _ in 0..100 {
            let (ended, receiver) = (ended.clone(), receiver.clone());
            io.spawn_concurrent(move |io| {
                // This swallows a request, but only once: tear-down is sticky.
                let _ = receiver.recv(io);
                assert!(io.sleep(Duration::from_secs(3600)).is_err());
                ended.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap()
            .detach();
        }
    });
    drop(sender);
    assert_eq!(ended.load(Ordering::SeqCst), 100);
}

fn shutdown_right_after_spawn_never_hangs() {
    for round in 0..500 {
        let evented = Evented::new(Options { executors: 1 + round % 2, ..Options::default() }).unwrap();
        evented.io().spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).unwrap().detach();
        evented.shutdown();
    }
}

fn a_handle_says_that_the_runtime_has_shut_down() {
    let evented = Evented::new(one_executor()).unwrap();
    let handle = evented.handle();
    let (near, _far) = pair(&*handle);
    evented.shutdown();
    let error = near.read(&*handle, &mut [0; 8]).unwrap_err();
    assert!(error.to_string().contains("shut down"), "{error}");
    assert!(handle.spawn_concurrent(|_| ()).is_err());
    assert_eq!(handle.spawn_async(|_| 7).join(&*handle), 7);
    near.close(&*handle).unwrap();
}

fn a_panic_of_main_is_resumed_after_the_shutdown() {
    let panic = std::panic::catch_unwind(|| run(one_executor(), |_| panic!("from main"))).unwrap_err();
    assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "from main");
}

fn a_limit_hands_the_closure_back() {
    run(Options { concurrent_limit: 1, ..one_executor() }, |io| {
        let first = io.spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).unwrap();
        let refused = io.spawn_concurrent(|_| "mine").unwrap_err();
        assert!(refused.to_string().contains("concurrent_limit = 1"), "{refused}");
        assert_eq!((refused.closure)(io), "mine");
        assert!(first.cancel(io).is_err());
        assert_eq!(io.spawn_concurrent(|_| "next").unwrap().join(io), "next");
    });
}

fn shutdown_reaches_a_task_that_runs_inline_on_a_plain_thread() {
    let evented = Evented::new(Options { async_limit: 0, ..one_executor() }).unwrap();
    let handle = evented.handle();
    let begun = Arc::new(Event::new());
    let theirs = begun.clone();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let thread = std::thread::spawn(move || {
        let body = move |io: &dyn Io| {
            theirs.set();
            let canceled = io.sleep(Duration::MAX).is_err();
            count.fetch_add(1, Ordering::SeqCst);
            canceled
        };
        handle.spawn_async(body).join(&*handle)
    });
    begun.wait_uncancelable(evented.io());
    evented.shutdown();
    assert_eq!(ended.load(Ordering::SeqCst), 1, "the shutdown has waited");
    assert!(thread.join().unwrap());
}

fn inline_tasks_that_nest_too_deep_on_a_plain_thread_do_not_stop_the_shutdown() {
    fn recurse(io: &dyn Io) {
        io.spawn_async(recurse).join(io);
    }
    let evented = Evented::new(Options { async_limit: 0, ..one_executor() }).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| recurse(evented.io()))).unwrap_err();
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("nest deeper"), "{text}");
    evented.shutdown();
}
