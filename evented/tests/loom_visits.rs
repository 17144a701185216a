//! A model of an executor's way in and out of the kernel: loom runs `ring/visits.rs` itself through every interleaving.

#[path = "../../io/tests/support/loom_primitive.rs"]
mod primitive;
#[path = "../src/ring/visits.rs"]
mod visits;

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use primitive::{AtomicBool, Guarded, Ordering, explore};
use visits::Visits;

/// An executor with an operation that takes something in each of the executor's calls, as in `ring/passage.rs`.
struct Executor {
    visits: Visits,
    /// The cancellation of the operation, which another thread leaves.
    left: AtomicBool,
    /// The source that the operation takes from.
    source: Guarded,
    lock: Mutex<()>,
    outside: Condvar,
}

impl Executor {
    fn new() -> Self {
        Self {
            visits: Visits::new(),
            left: AtomicBool::new(false),
            source: Guarded::new(),
            lock: Mutex::new(()),
            outside: Condvar::new(),
        }
    }

    fn call(&self) {
        self.visits.go_in();
        if !self.left.load(Ordering::SeqCst) {
            self.source.write();
        }
        if self.visits.come_out() {
            drop(self.lock.lock().unwrap());
            self.outside.notify_all();
        }
    }

    fn cancel(&self) {
        self.left.store(true, Ordering::SeqCst);
        let Some(inside) = self.visits.look() else { return };
        self.visits.begin_wait();
        let mut guard = self.lock.lock().unwrap();
        while self.visits.is_in(inside) {
            guard = self.outside.wait(guard).unwrap();
        }
        drop(guard);
        self.visits.end_wait();
    }
}

#[test]
fn an_operation_that_was_canceled_takes_nothing_more() {
    explore(3, || {
        let executor = Arc::new(Executor::new());
        let theirs = executor.clone();
        let calls = thread::spawn(move || (0..2).for_each(|_| theirs.call()));
        executor.cancel();
        executor.source.write();
        calls.join().unwrap();
    });
}
