//! Models of a call that blocks its thread: loom runs `context/call_word.rs` and `context/park_state.rs` themselves
//! through every interleaving, around a kernel that loses each signal that comes while no call blocks.

#[path = "../src/context/call_word.rs"]
mod call_word;
#[path = "../src/context/park_state.rs"]
#[allow(dead_code)]
mod park_state;

#[path = "support/loom_primitive.rs"]
mod primitive;

use std::sync::Arc;

use call_word::CallWord;
use loom::sync::{Condvar, Mutex, MutexGuard};
use loom::thread;
use park_state::ParkState;
use primitive::{AtomicU32, Guarded, Ordering, explore};

/// The thread or timer that repeats a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Kernel,
    Waker,
}

/// The kernel's state of the thread.
#[derive(Default)]
struct Kernel {
    /// Set if something has arrived for the call.
    arrived: bool,
    /// Set while a call of ours blocks.
    blocks: bool,
    /// Set if a signal came in the meantime.
    interrupted: bool,
    /// Set while a timer signals, again and again.
    timer: bool,
    /// Set while other code makes calls, which no signal of ours may interrupt.
    foreign: bool,
}

impl Kernel {
    fn check(&self) {
        assert!(!(self.foreign && self.timer), "a signal of ours would interrupt other code");
    }
}

/// A thread, as in `context/thread.rs`, `context/call.rs` and `context/signal.rs`.
struct Owner {
    park: ParkState,
    word: CallWord,
    /// Identifies the thread: the owner writes it before it enters, and the interrupting thread reads it.
    id: Guarded,
    signaling: Mutex<()>,
    repeats: Repeats,
    kernel: Mutex<Kernel>,
    wake: Condvar,
}

impl Owner {
    fn new(repeats: Repeats) -> Arc<Self> {
        Arc::new(Self {
            park: ParkState::new(),
            word: CallWord::default(),
            id: Guarded::new(),
            signaling: Mutex::new(()),
            repeats,
            kernel: Mutex::default(),
            wake: Condvar::new(),
        })
    }

    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap()
    }

    /// Makes a call, which blocks until something arrives. Returns false if it was interrupted.
    fn call(&self) -> bool {
        self.enter();
        let arrived = self.park.begin_park() && self.block();
        self.leave();
        self.park.end_park();
        arrived
    }

    fn enter(&self) {
        self.id.write();
        self.word.enter();
    }

    fn leave(&self) {
        if self.word.leave() {
            drop(self.signaling.lock().unwrap());
            self.kernel().timer = false;
        }
    }

    fn block(&self) -> bool {
        let mut kernel = self.kernel();
        kernel.blocks = true;
        while !(kernel.arrived || kernel.interrupted || kernel.timer) {
            kernel = self.wake.wait(kernel).unwrap();
        }
        kernel.blocks = false;
        kernel.interrupted = false;
        kernel.arrived
    }

    fn arrive(&self) {
        self.kernel().arrived = true;
        self.wake.notify_one();
    }

    /// Runs other code on the thread.
    fn other_code(&self) {
        self.kernel().foreign = true;
        thread::yield_now();
        let mut kernel = self.kernel();
        kernel.check();
        kernel.foreign = false;
    }

    fn unpark(&self) {
        if !self.park.notify() {
            return;
        }
        self.park.woken();
        self.interrupt();
    }

    fn interrupt(&self) {
        let _signaling = self.signaling.lock().unwrap();
        if self.word.interrupt() {
            self.id.read();
            if self.repeats == Repeats::Kernel {
                let mut kernel = self.kernel();
                kernel.timer = true;
                kernel.check();
            }
            self.signal();
            while self.repeats == Repeats::Waker && self.word.is_interrupted() {
                thread::yield_now();
                self.signal();
            }
        }
    }

    fn signal(&self) {
        let mut kernel = self.kernel();
        assert!(!kernel.foreign, "a signal of ours interrupts other code");
        // Otherwise the handler returns at once, and nothing records the signal.
        kernel.interrupted = kernel.blocks;
        drop(kernel);
        self.wake.notify_one();
    }
}

/// A woken thread sees the request, and no call sleeps in spite of it.
fn a_token_ends_the_call(repeats: Repeats) {
    explore(2, move || {
        let owner = Owner::new(repeats);
        let requests = Arc::new(AtomicU32::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (owner, requests) = (owner.clone(), requests.clone());
                thread::spawn(move || {
                    // Relaxed: the token publishes it.
                    requests.fetch_add(1, Ordering::Relaxed);
                    owner.unpark();
                })
            })
            .collect();
        while requests.load(Ordering::Relaxed) < 2 {
            assert!(!owner.call(), "nothing arrives");
        }
        owner.other_code();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert!(!owner.kernel().timer);
    });
}

#[test]
fn a_token_ends_the_call_that_the_kernel_interrupts() {
    a_token_ends_the_call(Repeats::Kernel);
}

#[test]
fn a_token_ends_the_call_that_the_waker_interrupts() {
    a_token_ends_the_call(Repeats::Waker);
}

/// A late waker finds the thread outside or in its next call, and identifies the right thread.
fn a_late_waker_disturbs_nobody(repeats: Repeats) {
    explore(2, move || {
        let owner = Owner::new(repeats);
        let waker = {
            let owner = owner.clone();
            thread::spawn(move || owner.unpark())
        };
        let sender = {
            let owner = owner.clone();
            thread::spawn(move || owner.arrive())
        };
        for _ in 0..2 {
            while !owner.call() {}
            owner.other_code();
        }
        waker.join().unwrap();
        sender.join().unwrap();
        assert!(!owner.kernel().timer);
    });
}

#[test]
fn a_late_waker_disturbs_nobody_with_the_kernel() {
    a_late_waker_disturbs_nobody(Repeats::Kernel);
}

#[test]
fn a_late_waker_disturbs_nobody_by_itself() {
    a_late_waker_disturbs_nobody(Repeats::Waker);
}

/// Late wakers meet a thread that is in its next call; the block may belong to another thread by then.
#[test]
fn who_interrupts_knows_which_thread_it_is() {
    loom::model(|| {
        let owner = Owner::new(Repeats::Kernel);
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let owner = owner.clone();
                thread::spawn(move || owner.interrupt())
            })
            .collect();
        for _ in 0..2 {
            owner.enter();
            owner.leave();
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert!(!owner.kernel().timer);
    });
}
