//! Models of the way in which a request reaches a task: loom runs `context/requests.rs` itself through every
//! interleaving.

#[path = "support/loom_context.rs"]
mod context;
#[path = "support/loom_primitive.rs"]
mod primitive;
#[path = "../src/context/requests.rs"]
#[allow(dead_code)]
mod requests;

use std::ptr;
use std::sync::Arc;

use context::Unparker;
use loom::thread;
use primitive::{AtomicPtr, AtomicU32, Guarded, explore};
use requests::{REQUESTED, Requests, TORN_DOWN};

struct Task {
    requests: Requests,
    /// Written by the canceler before the request.
    why: Guarded,
}

impl Task {
    fn new() -> Arc<Self> {
        let requests = Requests::new(AtomicU32::new(0), AtomicPtr::new(ptr::null_mut()));
        Arc::new(Self { requests, why: Guarded::new() })
    }

    fn cancel(&self, bits: u32) {
        self.why.write();
        if let Some(context) = self.requests.add(bits) {
            context.unpark();
        }
    }
}

/// A task begins while it is canceled: it sees the request, or it is woken from the park that follows.
fn a_request_is_seen_or_wakes(sees: fn(&Requests) -> bool) {
    explore(3, move || {
        let task = Task::new();
        let canceler = {
            let task = task.clone();
            thread::spawn(move || task.cancel(REQUESTED))
        };
        let context = Unparker::new();
        task.requests.begin(context);
        let seen = sees(&task.requests);
        if seen {
            task.why.read();
        }
        canceler.join().unwrap();
        assert!(seen || context.wakes() == 1, "it parks, and nobody wakes it");
    });
}

#[test]
fn who_begins_sees_a_request_or_is_woken() {
    a_request_is_seen_or_wakes(|requests| requests.pending() != 0);
}

#[test]
fn who_begins_takes_a_request_or_is_woken() {
    a_request_is_seen_or_wakes(|requests| requests.take() != 0);
}

/// A task that runs on top of the task checks for the task's requests.
#[test]
fn who_begins_on_top_sees_a_request_or_is_woken() {
    a_request_is_seen_or_wakes(|requests| requests.sticky_and_count() != (0, 0));
}

#[test]
fn of_two_requests_none_is_lost() {
    explore(3, || {
        let task = Task::new();
        task.requests.begin(Unparker::new());
        let other = {
            let task = task.clone();
            thread::spawn(move || _ = task.requests.add(TORN_DOWN))
        };
        let _ = task.requests.add(REQUESTED);
        let first = task.requests.take();
        assert_ne!(first & REQUESTED, 0);
        task.requests.rearm();
        other.join().unwrap();
        assert_eq!(task.requests.take(), REQUESTED | TORN_DOWN);
        assert_eq!(task.requests.pending(), TORN_DOWN, "for good");
        assert_eq!(task.requests.sticky_and_count(), (TORN_DOWN, 2));
    });
}
