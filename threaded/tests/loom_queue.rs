//! Models of the workers that come for jobs: loom runs `queue.rs` itself through every interleaving, with workers that
//! sleep as those of `pool.rs` do. A job for which no worker comes shows as a deadlock.

#[path = "../src/queue.rs"]
#[allow(dead_code)]
mod queue;

use std::sync::Arc;

use iolite_io::backend::Ticket;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use queue::{Queue, Retired};

const WORKERS: usize = 2;
const JOBS: usize = 2;

/// As in the other models, with at most two preemptions: bugs of this size show with two.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

struct Pool {
    state: Mutex<State>,
    seats: [Seat; WORKERS],
    tickets: Mutex<[Option<Ticket>; JOBS]>,
    /// The number of times that each job began.
    begun: Mutex<[u32; JOBS]>,
    one_more: Condvar,
    /// True if a job ends only when all jobs have begun.
    jobs_meet: bool,
}

#[derive(Default)]
struct State {
    queue: Queue<usize, usize>,
    closed: bool,
}

struct Seat {
    called: Mutex<bool>,
    call: Condvar,
}

impl Pool {
    /// Makes a pool with workers that have just ended a job each.
    fn new(jobs_meet: bool) -> Arc<Self> {
        let mut state = State::default();
        (0..WORKERS).for_each(|_| state.queue.job_ended());
        Arc::new(Self {
            state: Mutex::new(state),
            seats: std::array::from_fn(|_| Seat { called: Mutex::new(false), call: Condvar::new() }),
            tickets: Mutex::new([None; JOBS]),
            begun: Mutex::new([0; JOBS]),
            one_more: Condvar::new(),
            jobs_meet,
        })
    }

    fn work(&self, seat: usize, impatient: bool) {
        loop {
            let mut state = self.state.lock().unwrap();
            if let Some((job, next)) = state.queue.take() {
                drop(state);
                self.call(next);
                self.run(job);
                self.state.lock().unwrap().queue.job_ended();
                continue;
            }
            if state.closed {
                return state.queue.leave();
            }
            state.queue.sleep(seat);
            drop(state);
            // Its idle time is over at once.
            if impatient {
                match self.state.lock().unwrap().queue.retire(|asleep| *asleep == seat) {
                    Retired::Ends => return,
                    Retired::Comes => continue,
                    Retired::Called => {}
                }
            }
            self.seats[seat].sleep();
        }
    }

    /// Returns true if there is a worker for the job.
    fn push(&self, job: usize) -> bool {
        let mut state = self.state.lock().unwrap();
        self.tickets.lock().unwrap()[job] = Some(state.queue.next_ticket());
        let pushed = state.queue.push(job);
        drop(state);
        pushed.map(|seat| self.call(seat)).is_ok()
    }

    fn join(&self, job: usize) {
        let ticket = self.tickets.lock().unwrap()[job].expect("it was started");
        let taken = self.state.lock().unwrap().queue.remove(ticket);
        taken.into_iter().for_each(|job| self.run(job));
    }

    fn run(&self, job: usize) {
        self.begun.lock().unwrap()[job] += 1;
        self.one_more.notify_all();
        if self.jobs_meet {
            self.wait_for_all();
        }
    }

    fn call(&self, seat: Option<usize>) {
        if let Some(seat) = seat {
            *self.seats[seat].called.lock().unwrap() = true;
            self.seats[seat].call.notify_one();
        }
    }

    fn wait_for_all(&self) {
        let mut begun = self.begun.lock().unwrap();
        while begun.contains(&0) {
            begun = self.one_more.wait(begun).unwrap();
        }
    }

    fn close(&self) {
        let mut state = self.state.lock().unwrap();
        state.closed = true;
        let asleep = state.queue.call_all();
        drop(state);
        asleep.into_iter().for_each(|seat| self.call(Some(seat)));
    }
}

impl Seat {
    fn sleep(&self) {
        let mut called = self.called.lock().unwrap();
        while !*called {
            called = self.call.wait(called).unwrap();
        }
        *called = false;
    }
}

/// Starts all jobs and lets `then` act on them. Each has to run once, helped only by the workers, which then end. With
/// impatient workers, jobs do not wait for each other: if a worker is missing, the model runs the job itself, where the
/// pool would start a thread.
fn model(impatient: bool, then: fn(&Pool)) {
    explore(move || {
        let pool = Pool::new(!impatient);
        let workers: Vec<_> = (0..WORKERS)
            .map(|seat| {
                let pool = pool.clone();
                thread::spawn(move || pool.work(seat, impatient && seat == 0))
            })
            .collect();
        for job in 0..JOBS {
            if !pool.push(job) {
                assert!(impatient, "there are as many workers as jobs");
                pool.run(job);
            }
        }
        then(&pool);
        pool.wait_for_all();
        pool.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(*pool.begun.lock().unwrap(), [1; JOBS]);
    });
}

#[test]
fn a_worker_comes_for_every_job_also_while_others_do_not_end() {
    model(false, |_| {});
}

#[test]
fn a_job_is_run_by_a_worker_or_by_its_joiner() {
    model(false, |pool| pool.join(0));
}

/// A job that counts on a worker must not lose it, even while the other jobs do not end.
#[test]
fn a_worker_that_is_needed_does_not_retire() {
    explore(|| {
        let pool = Pool::new(true);
        let mut threads: Vec<_> = (0..WORKERS)
            .map(|seat| {
                let pool = pool.clone();
                thread::spawn(move || pool.work(seat, seat == 0))
            })
            .collect();
        for job in 0..JOBS {
            if !pool.push(job) {
                // The pool does this if no worker is left for the job.
                let pool = pool.clone();
                threads.push(thread::spawn(move || pool.run(job)));
            }
        }
        pool.wait_for_all();
        pool.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn workers_may_retire_meanwhile() {
    model(true, |pool| pool.join(1));
}
