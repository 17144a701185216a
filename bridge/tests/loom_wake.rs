//! Models of the workers' sleep and of the choice of the worker that a job wakes. Loom runs `wake.rs` itself through
//! every interleaving, with workers that sleep as those of `worker.rs` do. A job for which no worker comes shows as a
//! deadlock.

#[path = "../src/wake.rs"]
#[allow(dead_code)]
mod wake;

#[path = "../../io/tests/support/loom_primitive.rs"]
mod loom_primitive;

mod primitive {
    use std::cell::RefCell;

    use loom::sync::{Arc, Notify};

    pub(crate) use crate::loom_primitive::{AtomicU64, AtomicUsize, Ordering, explore, fence};

    loom::thread_local! {
        static CONTEXT: RefCell<Option<Context>> = RefCell::new(None);
    }

    /// The calling thread of the model.
    #[derive(Clone)]
    pub(crate) struct Context(Arc<Notify>);

    #[derive(Clone)]
    pub(crate) struct Unparker(Arc<Notify>);

    pub(crate) fn current<R>(f: impl FnOnce(&Context) -> R) -> R {
        let context = CONTEXT
            .with(|context| context.borrow_mut().get_or_insert_with(|| Context(Arc::new(Notify::new()))).clone());
        f(&context)
    }

    impl Context {
        pub(crate) fn unparker(&self) -> Unparker {
            Unparker(self.0.clone())
        }

        pub(crate) fn park(&self) {
            self.0.wait();
        }
    }

    impl Unparker {
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }

    impl PartialEq for Unparker {
        fn eq(&self, other: &Self) -> bool {
            std::ptr::eq(&*self.0, &*other.0)
        }
    }

    impl std::fmt::Debug for Unparker {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Unparker")
        }
    }
}

use std::sync::Arc;

use loom::thread;
use primitive::{AtomicUsize, Ordering, current, explore};
use wake::Wakes;

struct Bridge {
    wakes: Wakes,
    /// The number of jobs in the shared queue.
    shared: AtomicUsize,
    /// The number of jobs in the queue of the first worker.
    keyed: AtomicUsize,
}

impl Bridge {
    fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { wakes: Wakes::new(workers), shared: AtomicUsize::new(0), keyed: AtomicUsize::new(0) })
    }

    fn post(&self) {
        self.shared.fetch_add(1, Ordering::Release);
        self.wakes.wake_any(|| self.has_shared_jobs());
    }

    fn post_keyed(&self) {
        self.keyed.fetch_add(1, Ordering::Release);
        self.wakes.wake_worker(0, || self.has_shared_jobs());
    }

    /// Relaxed: the fences of `wake.rs` ensure that the jobs are seen.
    fn has_shared_jobs(&self) -> bool {
        self.shared.load(Ordering::Relaxed) != 0
    }

    fn has_jobs(&self) -> bool {
        self.has_shared_jobs() || self.keyed.load(Ordering::Relaxed) != 0
    }

    fn pop(&self) -> bool {
        let pop = |queue: &AtomicUsize| {
            queue.fetch_update(Ordering::AcqRel, Ordering::Acquire, |jobs| jobs.checked_sub(1)).is_ok()
        };
        pop(&self.shared) || pop(&self.keyed)
    }

    /// Takes one job, as `Worker::run` and `Worker::sleep` do.
    fn work(&self, worker: usize) {
        self.wakes.register(worker);
        let mut searching = false;
        loop {
            let popped = self.pop();
            if std::mem::take(&mut searching) {
                self.wakes.stop_searching(|| self.has_shared_jobs());
            }
            if popped {
                return;
            }
            self.wakes.announce_sleep(worker);
            if !self.has_jobs() {
                while self.wakes.is_asleep(worker) {
                    current(|context| context.park());
                }
            }
            searching = !self.wakes.cancel_sleep(worker);
        }
    }

    /// A worker goes to sleep on the calling thread while another thread posts or takes jobs. The worker must not stay
    /// asleep while there is a job.
    fn a_worker_does_not_sleep_beside_a_job(leave: fn(&Bridge)) {
        explore(3, move || {
            let bridge = Bridge::new(1);
            let other = {
                let bridge = bridge.clone();
                thread::spawn(move || leave(&bridge))
            };
            bridge.wakes.announce_sleep(0);
            let sees = bridge.has_jobs();
            other.join().unwrap();
            assert!(sees || !bridge.wakes.is_asleep(0));
        });
    }
}

#[test]
fn who_goes_to_sleep_sees_a_shared_job_or_is_woken() {
    Bridge::a_worker_does_not_sleep_beside_a_job(Bridge::post);
}

#[test]
fn who_goes_to_sleep_sees_a_keyed_job_or_is_woken() {
    Bridge::a_worker_does_not_sleep_beside_a_job(Bridge::post_keyed);
}

/// A closing bridge takes a job back.
#[test]
fn who_goes_to_sleep_sees_a_change_or_is_woken_with_all() {
    Bridge::a_worker_does_not_sleep_beside_a_job(|bridge| {
        bridge.shared.fetch_add(1, Ordering::Release);
        bridge.wakes.wake_all(|| bridge.has_shared_jobs());
    });
}

/// A producer sees that a worker searches, and relies on it, but that worker finds another job.
#[test]
fn who_ends_a_search_wakes_another_worker_for_a_job_that_came_meanwhile() {
    explore(3, || {
        let bridge = Bridge::new(2);
        bridge.wakes.announce_sleep(0);
        bridge.post();
        assert!(!bridge.wakes.is_asleep(0), "it searches now");
        bridge.wakes.announce_sleep(1);
        let producer = {
            let bridge = bridge.clone();
            thread::spawn(move || bridge.post())
        };
        assert!(bridge.pop());
        bridge.wakes.stop_searching(|| bridge.has_shared_jobs());
        producer.join().unwrap();
        assert!(!bridge.wakes.is_asleep(1), "there is a job more");
    });
}

/// A producer wants to wake a worker that goes on by itself; another producer relies on that wake-up.
#[test]
fn who_finds_nobody_to_wake_looks_for_jobs_of_those_who_rely_on_it() {
    explore(2, || {
        let bridge = Bridge::new(1);
        bridge.wakes.announce_sleep(0);
        let producers = [0, 1].map(|_| {
            let bridge = bridge.clone();
            thread::spawn(move || bridge.post())
        });
        // The worker wakes by itself, takes a job if there is one, and goes to sleep again.
        let searching = !bridge.wakes.cancel_sleep(0);
        bridge.pop();
        if searching {
            bridge.wakes.stop_searching(|| bridge.has_shared_jobs());
        }
        bridge.wakes.announce_sleep(0);
        let sees = bridge.has_jobs();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        assert!(sees || !bridge.wakes.is_asleep(0) || !bridge.has_jobs());
    });
}

#[test]
fn a_job_ends_the_park_of_a_worker() {
    for post in [Bridge::post, Bridge::post_keyed] {
        explore(2, move || {
            let bridge = Bridge::new(1);
            let worker = {
                let bridge = bridge.clone();
                thread::spawn(move || bridge.work(0))
            };
            post(&bridge);
            worker.join().unwrap();
        });
    }
}

#[test]
fn two_wakers_wake_a_worker_once() {
    explore(3, || {
        let bridge = Bridge::new(1);
        bridge.wakes.announce_sleep(0);
        let other = {
            let bridge = bridge.clone();
            thread::spawn(move || bridge.post_keyed())
        };
        bridge.post();
        other.join().unwrap();
        assert!(!bridge.wakes.is_asleep(0));
        assert_eq!(bridge.wakes.count(), 1);
    });
}
