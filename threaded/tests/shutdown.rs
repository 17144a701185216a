//! The end of a pool.

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use iolite_io::net::TcpListener;
use iolite_io::{Canceled, Io, SpawnErrorKind};
use iolite_threaded::{Options, Threaded};
use support::threaded;

#[test]
fn shutdown_right_after_spawn_never_hangs() {
    for round in 0..10_000 {
        let pool = threaded(1, 1);
        let io = pool.io();
        match round % 4 {
            0 => io.spawn_concurrent(|_| ()).unwrap().detach(),
            1 => io.spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).unwrap().detach(),
            2 => drop(io.spawn_async(|io| io.sleep(Duration::from_secs(3600)))),
            _ => io.spawn_thread("own", |io| while io.check_cancel().is_ok() {}).unwrap().detach(),
        }
    }
}

#[test]
fn every_live_task_is_canceled_and_waited_for() {
    let pool = threaded(2, 8);
    let (tell, told) = mpsc::channel();
    for _ in 0..4 {
        let tell = tell.clone();
        let accept = move |io: &dyn Io| {
            let listener = TcpListener::bind(io, "127.0.0.1:0")?;
            let result = listener.accept(io).map(drop);
            // Tear-down is sticky.
            tell.send(io.check_cancel().is_err()).unwrap();
            result
        };
        pool.io().spawn_concurrent(accept).unwrap().detach();
    }
    drop(tell);
    pool.shutdown();
    let ended: Vec<_> = told.try_iter().collect();
    assert!(ended.iter().all(|sticky| *sticky));
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected), "every task has ended");
}

#[test]
fn run_waits_for_detached_tasks() {
    let done = Arc::new(Mutex::new(false));
    let theirs = done.clone();
    threaded(0, 1).run(|io| {
        let task = move |io: &dyn Io| {
            io.shield(|io| io.sleep(Duration::from_millis(5))).unwrap();
            *theirs.lock().unwrap() = true;
        };
        io.spawn_concurrent(task).unwrap().detach();
    });
    assert!(*done.lock().unwrap());
}

#[test]
fn run_resumes_the_panic_of_main_after_the_tasks_have_ended() {
    let (tell, told) = mpsc::channel::<()>();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        threaded(0, 1).run(|io| {
            let task = move |io: &dyn Io| {
                let _keep = tell;
                io.sleep(Duration::from_secs(3600))
            };
            io.spawn_concurrent(task).unwrap().detach();
            panic!("main");
        })
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"main"));
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

#[test]
fn tasks_that_do_not_end_are_named_and_waited_for() {
    let (stop, stopped) = mpsc::channel::<()>();
    let stop = Mutex::new(Some(stop));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let theirs = lines.clone();
    let report = move |line: &str| {
        theirs.lock().unwrap().push(line.to_owned());
        // Only now may the task end.
        drop(stop.lock().unwrap().take());
    };
    let options = Options { grace: Duration::from_millis(5), report: Some(Arc::new(report)), ..Options::default() };
    Threaded::new(options).unwrap().run(|io| {
        io.spawn_thread("stubborn", move |_| stopped.recv()).unwrap().detach();
    });
    let lines = lines.lock().unwrap();
    assert_eq!(*lines, ["shutdown: after 5ms these tasks have not ended, although they were asked to stop: stubborn"]);
}

#[test]
fn a_handle_says_so_afterwards() {
    let pool = threaded(1, 1);
    let handle = pool.handle();
    let listener = TcpListener::bind(&*handle, "127.0.0.1:0").unwrap();
    pool.shutdown();
    let over = "the runtime behind this Io has shut down";
    assert_eq!(listener.accept(&*handle).unwrap_err().to_string(), over);
    assert_eq!(listener.local_addr(&*handle).unwrap_err().to_string(), over);
    let refused = handle.spawn_concurrent(|_| 7).unwrap_err();
    assert!(matches!(refused.kind, SpawnErrorKind::ShutDown(_)));
    assert_eq!((refused.closure)(&*handle), 7);
    assert!(matches!(handle.spawn_waiting(|_| ()).unwrap_err().kind, SpawnErrorKind::ShutDown(_)));
    assert!(matches!(handle.spawn_thread("x", |_| ()).unwrap_err().kind, SpawnErrorKind::ShutDown(_)));
    assert_eq!(handle.spawn_async(|_| thread::current().id()).join(&*handle), thread::current().id());
    handle.sleep(Duration::ZERO).unwrap();
}

#[test]
fn a_foreign_thread_that_waits_for_a_slot_is_refused() {
    let pool = threaded(0, 1);
    let handle = pool.handle();
    pool.io().spawn_concurrent(|io| io.sleep(Duration::from_secs(3600))).unwrap().detach();
    let waiting = thread::spawn(move || handle.spawn_waiting(|_| ()).map(drop).map_err(|refused| refused.kind));
    pool.shutdown();
    assert!(matches!(waiting.join().unwrap(), Err(SpawnErrorKind::ShutDown(_))));
}

#[test]
fn two_pools_end_in_any_order() {
    for first_ends_first in [true, false] {
        let (first, second) = (threaded(1, 2), threaded(1, 2));
        let listener = TcpListener::bind(first.io(), "127.0.0.1:0").unwrap();
        // A task of the second pool that waits through the first.
        let handle = first.handle();
        let task = second.io().spawn_concurrent(move |_| listener.accept(&*handle).map(drop)).unwrap();
        if first_ends_first {
            // The task is not the first pool's, so the end of that pool does not affect it.
            first.shutdown();
            let error = task.cancel(second.io()).unwrap_err();
            assert!(Canceled::is_in(&error) || error.to_string().contains("shut down"), "{error}");
            second.shutdown();
        } else {
            task.detach();
            second.shutdown();
            first.io().spawn_concurrent(|io| io.check_cancel()).unwrap().join(first.io()).unwrap();
        }
    }
}

/// Drops the pool in one of its own tasks, which is then torn down. Returns what was reported.
fn dropped_by_its_task(start: impl FnOnce(&dyn Io, Box<dyn FnOnce(&dyn Io) -> bool + Send>) -> bool) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let report: iolite_threaded::Report = Arc::new(move |line: &str| tell.lock().unwrap().push(line.to_owned()));
    let options = Options { async_limit: 0, concurrent_limit: 2, report: Some(report), ..Options::default() };
    let pool = Threaded::new(options).unwrap();
    let handle = pool.handle();
    let owner = Mutex::new(Some(pool));
    let body = Box::new(move |io: &dyn Io| {
        drop(owner.lock().unwrap().take());
        io.sleep(Duration::MAX).is_err()
    });
    assert!(start(&*handle, body), "the shutdown has begun");
    let told = told.lock().unwrap();
    told.clone()
}

#[test]
fn a_pool_that_its_own_task_drops_ends_without_being_waited_for() {
    let ways: [fn(&dyn Io, Box<dyn FnOnce(&dyn Io) -> bool + Send>) -> bool; 3] = [
        |io, body| io.spawn_concurrent(body).unwrap().join(io),
        |io, body| io.spawn_thread("owner", body).unwrap().join(io),
        // Inline, on top of this thread.
        |io, body| io.spawn_async(body).join(io),
    ];
    for way in ways {
        let told = dropped_by_its_task(way);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("dropped by one of its own tasks"), "{told:?}");
    }
}
