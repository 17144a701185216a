//! Models of a value that each process makes for itself: loom runs `sys/per_process/newest.rs` itself through every
//! interleaving, around values that are written when they are made and read by every thread that gets them.

#[path = "../src/sys/per_process/newest.rs"]
mod backend;
#[path = "support/loom_primitive.rs"]
mod primitive;

use std::ptr;
use std::sync::Arc;

use backend::Newest;
use loom::thread;
use primitive::{AtomicPtr, Guarded, explore};

fn made() -> Guarded {
    let value = Guarded::new();
    value.write();
    value
}

/// Two threads of the process with this number ask at once. Returns the addresses of their values.
fn two_ask(newest: &Arc<Newest<Guarded>>, process: u64) -> [usize; 2] {
    let ask = move |newest: &Newest<Guarded>| {
        let value = newest.get(process, made);
        value.read();
        ptr::from_ref(value) as usize
    };
    let other = {
        let newest = newest.clone();
        thread::spawn(move || ask(&newest))
    };
    let one = ask(newest);
    [one, other.join().unwrap()]
}

#[test]
fn two_that_ask_at_once_get_the_same_whoever_made_it() {
    explore(3, || {
        let newest = Arc::new(Newest::new(AtomicPtr::new(ptr::null_mut())));
        let [one, other] = two_ask(&newest, 1);
        assert_eq!(one, other);
    });
}

/// A child of `fork` inherits the word. It has only one thread then, so nobody stores to the word at the same time.
#[test]
fn a_process_that_was_forked_makes_its_own() {
    explore(3, || {
        let newest = Arc::new(Newest::new(AtomicPtr::new(ptr::null_mut())));
        let parents = ptr::from_ref(newest.get(1, made)) as usize;
        let [one, other] = two_ask(&newest, 2);
        assert_eq!(one, other);
        assert_ne!(one, parents);
        assert_eq!(ptr::from_ref(newest.get(2, made)) as usize, one);
    });
}
