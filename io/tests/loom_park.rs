//! Models of the park token: loom runs `context/park_state.rs` itself through every interleaving
//! and reports a wake-up that is lost as a deadlock.

#[path = "../src/context/park_state.rs"]
#[allow(dead_code)]
mod park_state;

mod primitive {
    pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};
}

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use park_state::ParkState;
use primitive::{AtomicU32, Ordering};

/// Runs `model` through every interleaving with at most two preemptions, which is where bugs of this
/// size show; all of them would take hours.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// A thread's wake block, as in `context/thread.rs`: it sleeps on a condition variable.
struct ThreadBlock {
    state: ParkState,
    lock: Mutex<()>,
    wake: Condvar,
}

impl ThreadBlock {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: ParkState::new(), lock: Mutex::new(()), wake: Condvar::new() })
    }

    fn park(&self) {
        if !self.state.begin_park() {
            return;
        }
        let mut lock = self.lock.lock().unwrap();
        while !self.state.is_notified() {
            lock = self.wake.wait(lock).unwrap();
        }
        drop(lock);
        self.state.end_park();
    }

    fn unpark(&self) {
        if self.state.notify() {
            self.state.woken();
            let _lock = self.lock.lock().unwrap();
            self.wake.notify_one();
        }
    }
}

#[test]
fn a_thread_misses_no_wake_up() {
    explore(|| {
        let block = ThreadBlock::new();
        let happened = Arc::new(AtomicU32::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (block, happened) = (block.clone(), happened.clone());
                thread::spawn(move || {
                    // Relaxed: the token is what publishes it.
                    happened.fetch_add(1, Ordering::Relaxed);
                    block.unpark();
                })
            })
            .collect();
        while happened.load(Ordering::Relaxed) < 2 {
            block.park();
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert!(!block.state.is_queued());
    });
}

/// A fiber's wake block and its executor: whoever has to wake puts the block into a list that has
/// room for it once.
struct FiberBlock {
    state: ParkState,
    /// Whether the block is in the executor's list.
    listed: Mutex<bool>,
    wake: Condvar,
}

impl FiberBlock {
    fn new() -> Arc<Self> {
        let state = ParkState::new();
        assert!(state.begin_park(), "for good");
        Arc::new(Self { state, listed: Mutex::new(false), wake: Condvar::new() })
    }

    /// What the executor does from when the fiber parks until it runs again.
    fn park(&self) {
        if self.state.take_token() {
            return;
        }
        let mut listed = self.listed.lock().unwrap();
        while !*listed {
            listed = self.wake.wait(listed).unwrap();
        }
        *listed = false;
        drop(listed);
        // Before the fiber is made ready: see `WakeStack::drain`.
        self.state.woken();
        self.state.take_token();
    }

    fn unpark(&self) {
        if self.state.notify() {
            let mut listed = self.listed.lock().unwrap();
            assert!(!*listed, "an intrusive list would be broken now");
            *listed = true;
            self.wake.notify_one();
        }
    }
}

#[test]
fn a_fiber_misses_no_wake_up_and_is_never_listed_twice() {
    explore(|| {
        let block = FiberBlock::new();
        let happened = Arc::new(AtomicU32::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (block, happened) = (block.clone(), happened.clone());
                thread::spawn(move || {
                    happened.fetch_add(1, Ordering::Relaxed);
                    block.unpark();
                })
            })
            .collect();
        // It sleeps, and something else ends that: a deadline, a completion.
        block.state.take_token();
        while happened.load(Ordering::Relaxed) < 2 {
            block.park();
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        let listed = *block.listed.lock().unwrap();
        assert_eq!(block.state.is_queued(), listed, "a waker's claim ends when the executor has drained its list");
    });
}

#[test]
fn one_sleep_is_ended_by_one_waker() {
    loom::model(|| {
        let state = Arc::new(ParkState::new());
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let state = state.clone();
                thread::spawn(move || {
                    let wakes = state.notify();
                    if wakes {
                        state.woken();
                    }
                    u32::from(wakes)
                })
            })
            .collect();
        let slept = state.begin_park();
        let wakes: u32 = wakers.into_iter().map(|waker| waker.join().unwrap()).sum();
        if slept {
            assert_eq!(wakes, 1);
            assert!(state.end_park(), "and the token is there");
        } else {
            assert_eq!(wakes, 0);
        }
        assert!(!state.is_queued());
    });
}

#[test]
fn a_token_that_comes_with_the_deadline_is_consumed_once() {
    loom::model(|| {
        let state = Arc::new(ParkState::new());
        let waker = {
            let state = state.clone();
            thread::spawn(move || {
                if state.notify() {
                    state.woken();
                }
            })
        };
        // Parks, and wakes by itself.
        let mut consumed = u32::from(!state.begin_park());
        consumed += u32::from(state.end_park());
        waker.join().unwrap();
        consumed += u32::from(!state.begin_park());
        consumed += u32::from(state.end_park());
        assert_eq!(consumed, 1);
        assert!(!state.is_queued());
    });
}
