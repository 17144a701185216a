//! A model of values for signal handlers: loom runs `published.rs` itself through every interleaving.

#[path = "../../tests/support/loom_primitive.rs"]
mod primitive;
#[path = "../src/published.rs"]
mod published;

use std::sync::Arc;

use loom::thread;
use primitive::{AtomicPtr, Guarded, explore};
use published::Published;

#[test]
fn who_finds_a_value_finds_it_whole() {
    explore(3, || {
        let place = Arc::new(Published::new(AtomicPtr::new(std::ptr::null_mut())));
        let writer = {
            let place = place.clone();
            thread::spawn(move || {
                let value: &'static Guarded = Box::leak(Box::new(Guarded::new()));
                value.write();
                place.set(value);
            })
        };
        if let Some(value) = place.get() {
            value.read();
        }
        writer.join().unwrap();
        assert!(place.get().is_some());
    });
}
