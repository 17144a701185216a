//! Threads: workers, each with a seat at which it takes its orders, and those of a single task.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use iolite_io::backend::claim_thread;

use crate::pool::{Job, Pool};

/// Where a worker gets its orders, one at a time: who gives one has taken the seat from the idle
/// ones before.
#[derive(Default)]
pub(crate) struct Seat {
    order: Mutex<Option<Order>>,
    given: Condvar,
}

pub(crate) enum Order {
    Run(Job),
    Retire,
}

impl Seat {
    pub(crate) fn give(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
        self.given.notify_one();
    }

    /// The next order; `None` when none came in time.
    fn wait(&self, timeout: Duration) -> Option<Order> {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.given.wait_timeout_while(order, timeout, |order| order.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn take_back(&self) -> Option<Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Starts a worker with its first job, which comes back when the system refuses.
pub(crate) fn spawn(pool: &Arc<Pool>, name: String, job: Job) -> Result<(), (Job, io::Error)> {
    spawn_thread(pool, name, job, |pool, seat| {
        loop {
            match seat.wait(pool.options().idle_timeout) {
                Some(Order::Run(job)) => job.run_on(seat),
                Some(Order::Retire) => return,
                None if pool.retire(seat) => return,
                // An order is on its way.
                None => {}
            }
        }
    })
}

/// Starts a thread for one job, which comes back when the system refuses.
pub(crate) fn spawn_once(pool: &Arc<Pool>, name: String, job: Job) -> Result<(), (Job, io::Error)> {
    spawn_thread(pool, name, job, |_, seat| {
        if let Some(Order::Run(job)) = seat.take_back() {
            job.run_once();
        }
    })
}

fn spawn_thread(
    pool: &Arc<Pool>,
    name: String,
    job: Job,
    body: fn(&Arc<Pool>, &Arc<Seat>),
) -> Result<(), (Job, io::Error)> {
    // In the seat rather than in the thread's closure, which a failing spawn drops.
    let seat = Arc::new(Seat::default());
    seat.give(Order::Run(job));
    pool.thread_begins();
    let (thread_pool, thread_seat) = (pool.clone(), seat.clone());
    let thread = thread::Builder::new().name(name).stack_size(pool.options().stack_size);
    let spawned = thread.spawn(move || {
        let _counted = Counted(&thread_pool);
        claim_thread();
        body(&thread_pool, &thread_seat);
    });
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => {
            pool.thread_ended();
            match seat.take_back() {
                Some(Order::Run(job)) => Err((job, error)),
                Some(Order::Retire) | None => unreachable!("nobody else knows this seat"),
            }
        }
    }
}

/// A thread that the pool counts.
struct Counted<'a>(&'a Pool);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.thread_ended();
    }
}
