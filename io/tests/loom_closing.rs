//! Models of an end that waits until nothing is left: loom runs `backend/closing.rs` and the semaphore's word,
//! `waiting/permits.rs`, themselves through every interleaving.

#[path = "../src/backend/closing.rs"]
#[allow(dead_code, unreachable_pub)]
mod closing;
#[path = "../src/waiting/permits.rs"]
#[allow(dead_code)]
mod permits;
#[path = "support/loom_primitive.rs"]
mod primitive;

use std::sync::Arc;

use closing::{Closing, Count};
use loom::sync::Mutex;
use loom::thread;
use permits::{Permits, word_of};
use primitive::{AtomicBool, AtomicUsize, Guarded, Ordering, explore};

/// Lets something begin by counting it.
trait Counted: Send + Sync + 'static {
    fn none() -> Self;
    /// Counts something that begins, if there is room.
    fn begin(&self) -> bool;
    fn end(&self);
    fn is_none(&self) -> bool;
}

impl Counted for Count {
    fn none() -> Self {
        Count::new(0)
    }

    fn begin(&self) -> bool {
        self.add();
        true
    }

    fn end(&self) {
        self.remove();
    }

    fn is_none(&self) -> bool {
        self.is_zero()
    }
}

/// A permit is taken at once, or nothing begins.
struct TriedPermit(Permits);

impl Counted for TriedPermit {
    fn none() -> Self {
        Self(Permits::new(AtomicUsize::new(word_of(1))))
    }

    fn begin(&self) -> bool {
        self.0.take(1)
    }

    fn end(&self) {
        assert!(self.0.give(1), "nobody waits");
    }

    fn is_none(&self) -> bool {
        self.0.free() == 1
    }
}

/// A permit is taken and returned under the lock of the queue, as when other threads wait.
struct AwaitedPermit {
    permits: Permits,
    queue: Mutex<()>,
}

impl Counted for AwaitedPermit {
    fn none() -> Self {
        Self { permits: Permits::new(AtomicUsize::new(word_of(1))), queue: Mutex::new(()) }
    }

    fn begin(&self) -> bool {
        let _queue = self.queue.lock().unwrap();
        if self.permits.take_or_wait(1) {
            return true;
        }
        self.permits.settle(0, false);
        false
    }

    fn end(&self) {
        let _queue = self.queue.lock().unwrap();
        self.permits.settle(1, false);
    }

    fn is_none(&self) -> bool {
        self.permits.free() == 1
    }
}

/// Something begins on a thread of its own, while another thread begins the end and a third one waits for it.
fn what_has_begun_is_seen<C: Counted>() {
    explore(3, || {
        let shared = Arc::new((C::none(), Closing::default()));
        let beginning = {
            let shared = shared.clone();
            thread::spawn(move || shared.0.begin() && !shared.1.has_begun())
        };
        let closing = {
            let shared = shared.clone();
            thread::spawn(move || assert!(shared.1.begin(), "once"))
        };
        let has_ended = shared.1.has_begun() && shared.0.is_none();
        closing.join().unwrap();
        let has_begun = beginning.join().unwrap();
        assert!(!(has_begun && has_ended), "it was accepted, and the end did not wait for it");
    });
}

/// The last one ends while the waiting thread checks for the last time before it sleeps.
fn who_waits_sees_the_last_end_or_is_woken<C: Counted>() {
    explore(3, || {
        let shared = Arc::new((C::none(), Closing::default()));
        assert!(shared.0.begin());
        let ending = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.0.end();
                // In this case it would wake the waiter.
                shared.1.has_begun()
            })
        };
        shared.1.begin();
        let sleeps = !(shared.1.has_begun() && shared.0.is_none());
        let wakes = ending.join().unwrap();
        assert!(wakes || !sleeps, "it sleeps, and nobody wakes it");
    });
}

#[test]
fn what_was_counted_is_seen() {
    what_has_begun_is_seen::<Count>();
}

#[test]
fn what_has_a_permit_is_seen() {
    what_has_begun_is_seen::<TriedPermit>();
}

#[test]
fn what_has_got_a_permit_after_a_wait_is_seen() {
    what_has_begun_is_seen::<AwaitedPermit>();
}

#[test]
fn the_last_one_that_was_counted_ends() {
    who_waits_sees_the_last_end_or_is_woken::<Count>();
}

#[test]
fn the_last_permit_comes_back() {
    who_waits_sees_the_last_end_or_is_woken::<TriedPermit>();
}

#[test]
fn the_last_permit_comes_back_under_the_lock() {
    who_waits_sees_the_last_end_or_is_woken::<AwaitedPermit>();
}

/// Two threads begin the end, and only one of them succeeds.
#[test]
fn one_begins_the_end() {
    explore(3, || {
        let closing = Arc::new(Closing::default());
        let other = {
            let closing = closing.clone();
            thread::spawn(move || closing.begin())
        };
        assert_ne!(closing.begin(), other.join().unwrap());
    });
}

/// The last of those that are counted sees everything that the others did, and so does a thread that sees that none is
/// left.
#[test]
fn who_is_last_comes_after_the_others() {
    explore(3, || {
        let shared = Arc::new((Count::new(2), Guarded::new(), AtomicBool::new(false)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.read();
                if shared.0.remove() {
                    shared.1.write();
                    shared.2.store(true, Ordering::Relaxed);
                }
            })
        };
        shared.1.read();
        if shared.0.remove() {
            shared.1.write();
            shared.2.store(true, Ordering::Relaxed);
        }
        other.join().unwrap();
        assert!(shared.2.load(Ordering::Relaxed));
    });
}
