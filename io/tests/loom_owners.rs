//! Models of the end of a value with several owners: loom runs `runnable/owners.rs` itself through every interleaving.

#[path = "../src/runnable/owners.rs"]
#[allow(dead_code)]
mod owners;
#[path = "support/loom_primitive.rs"]
mod primitive;

use std::sync::Arc;

use loom::thread;
use owners::Owners;
use primitive::{AtomicUsize, Guarded, Ordering, explore};

struct Owned {
    owners: Owners,
    value: Guarded,
    ends: AtomicUsize,
}

impl Owned {
    fn pair() -> Arc<Self> {
        let owned = Self { owners: Owners::new(), value: Guarded::new(), ends: AtomicUsize::new(0) };
        owned.owners.pair();
        Arc::new(owned)
    }

    /// Uses the value, as owners do, and drops it if this is the last owner.
    fn leave(&self) {
        self.value.read();
        if self.owners.remove() {
            self.value.write();
            self.ends.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_last_of_two_ends_it_after_the_other() {
    explore(3, || {
        let owned = Owned::pair();
        let other = {
            let owned = owned.clone();
            thread::spawn(move || owned.leave())
        };
        owned.leave();
        other.join().unwrap();
        assert_eq!(owned.ends.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn one_that_was_added_keeps_it() {
    explore(3, || {
        let owned = Owned::pair();
        owned.owners.add();
        let others = [0, 1].map(|_| {
            let owned = owned.clone();
            thread::spawn(move || owned.leave())
        });
        owned.leave();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(owned.ends.load(Ordering::Relaxed), 1);
    });
}
