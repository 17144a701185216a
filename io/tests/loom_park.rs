//! Models of the park token, and of the stack through which wakers reach an executor: loom runs `context/park_state.rs`
//! and `context/wake_stack.rs` themselves through every interleaving. A lost wake-up shows as a deadlock.
#![allow(unsafe_code)]

#[path = "../src/context/park_state.rs"]
#[allow(dead_code)]
mod park_state;
#[path = "support/loom_primitive.rs"]
mod primitive;
#[path = "../src/context/wake_stack.rs"]
#[allow(dead_code, unreachable_pub)]
mod wake_stack;

mod context {
    use crate::park_state::ParkState;
    use crate::primitive::{AtomicPtr, Guarded, Ordering};

    /// A wake block of the model; leaked, as wake blocks are.
    #[derive(Debug)]
    pub(crate) struct WakeBlock {
        pub(crate) state: ParkState,
        pub(crate) next: Next,
    }

    /// The link, which only one thread at a time touches.
    #[derive(Debug)]
    pub(crate) struct Next {
        pointer: AtomicPtr<WakeBlock>,
        owned: Guarded,
    }

    impl WakeBlock {
        pub(crate) fn leak() -> &'static Self {
            let next = Next { pointer: AtomicPtr::new(std::ptr::null_mut()), owned: Guarded::new() };
            Box::leak(Box::new(Self { state: ParkState::new(), next }))
        }

        pub(crate) fn woken(&self) {
            self.state.woken();
        }
    }

    impl Next {
        pub(crate) fn load(&self, order: Ordering) -> *mut WakeBlock {
            self.owned.read();
            self.pointer.load(order)
        }

        pub(crate) fn store(&self, pointer: *mut WakeBlock, order: Ordering) {
            self.owned.write();
            self.pointer.store(pointer, order);
        }

        pub(crate) fn swap(&self, pointer: *mut WakeBlock, order: Ordering) -> *mut WakeBlock {
            self.owned.write();
            self.pointer.swap(pointer, order)
        }
    }
}

use std::sync::Arc;

use context::WakeBlock;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use park_state::ParkState;
use primitive::{AtomicBool, AtomicU32, Guarded, Ordering, explore};
use wake_stack::WakeStack;

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
    explore(2, || {
        let block = ThreadBlock::new();
        let happened = Arc::new(AtomicU32::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (block, happened) = (block.clone(), happened.clone());
                thread::spawn(move || {
                    // Relaxed: the token publishes it.
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

/// A fiber's wake block and its executor: a thread that has to wake the fiber puts the block into a list that has room
/// for it once.
struct FiberBlock {
    state: ParkState,
    /// True while the block is in the executor's list.
    listed: Mutex<bool>,
    wake: Condvar,
}

impl FiberBlock {
    fn new() -> Arc<Self> {
        let state = ParkState::new();
        assert!(state.begin_park(), "for good");
        Arc::new(Self { state, listed: Mutex::new(false), wake: Condvar::new() })
    }

    /// Does the work of the executor from the time when the fiber parks until it runs again.
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
        // This comes before the fiber is made ready: see `WakeStack::drain`.
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
    explore(2, || {
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
        // The fiber sleeps, and something else ends the sleep: a deadline, or a completion.
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

/// Models that fail with weaker orderings of the token and of the stack.
mod orders {
    use super::*;

    /// A waiter, and one waker that does something first.
    fn what_came_before_the_token_is_seen(takes: impl Fn(&ParkState) -> bool + Send + Sync + 'static) {
        explore(3, move || {
            let shared = Arc::new((ParkState::new(), Guarded::new()));
            let waker = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.1.write();
                    if shared.0.notify() {
                        shared.0.woken();
                    }
                })
            };
            if takes(&shared.0) {
                shared.1.read();
            }
            waker.join().unwrap();
        });
    }

    #[test]
    fn who_does_not_sleep_sees_what_came_before_the_token() {
        what_came_before_the_token_is_seen(|state| !state.begin_park());
    }

    #[test]
    fn who_was_asleep_sees_what_came_before_the_token() {
        what_came_before_the_token_is_seen(|state| state.begin_park() && state.end_park());
    }

    #[test]
    fn who_takes_the_token_sees_what_came_before_it() {
        what_came_before_the_token_is_seen(|state| state.begin_park() && state.take_token());
    }

    #[test]
    fn who_wakes_sees_how_the_owner_is_to_be_woken() {
        explore(3, || {
            let shared = Arc::new((ParkState::new(), Guarded::new()));
            let waker = {
                let shared = shared.clone();
                thread::spawn(move || {
                    if shared.0.notify() {
                        shared.1.read();
                    }
                })
            };
            shared.1.write();
            let _ = shared.0.begin_park();
            waker.join().unwrap();
        });
    }

    /// Wakers of two blocks, which are woken once more while they are on their way.
    #[test]
    fn a_stack_has_each_block_once_and_what_its_waker_did_is_seen() {
        explore(2, || {
            struct Shared {
                stack: WakeStack,
                blocks: [(&'static WakeBlock, Guarded, AtomicBool); 2],
            }
            let block = || {
                let block = WakeBlock::leak();
                assert!(block.state.begin_park());
                (block, Guarded::new(), AtomicBool::new(false))
            };
            let shared = Arc::new(Shared { stack: WakeStack::default(), blocks: [block(), block()] });
            let wakers = [0, 1].map(|index| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (block, done, _) = &shared.blocks[index];
                    done.write();
                    if block.state.notify() {
                        shared.stack.push(block);
                    }
                })
            });
            let mut woken = 0;
            while woken < 2 {
                shared.stack.drain(|block| {
                    let (_, done, seen) = shared.blocks.iter().find(|(own, ..)| std::ptr::eq(*own, block)).unwrap();
                    done.read();
                    assert!(!seen.swap(true, Ordering::Relaxed), "once");
                    woken += 1;
                });
                thread::yield_now();
            }
            assert!(shared.stack.is_empty());
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
        });
    }

    /// After `woken` the block belongs to the next waker, and so does its link.
    #[test]
    fn a_block_can_be_pushed_again_when_it_was_taken() {
        explore(2, || {
            let shared = Arc::new((WakeStack::default(), WakeBlock::leak()));
            assert!(shared.1.state.begin_park());
            let wake = |shared: &(WakeStack, &'static WakeBlock)| {
                if shared.1.state.notify() {
                    shared.0.push(shared.1);
                }
            };
            wake(&shared);
            let waker = {
                let shared = shared.clone();
                thread::spawn(move || wake(&shared))
            };
            let mut woken = 0;
            shared.0.drain(|block| {
                woken += 1;
                block.state.take_token();
            });
            waker.join().unwrap();
            shared.0.drain(|_| woken += 1);
            assert!(woken >= 1 && shared.0.is_empty());
            assert!(!shared.1.state.is_queued());
        });
    }
}
