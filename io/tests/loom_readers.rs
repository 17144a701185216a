//! Models of a list that is replaced while signal handlers read it: loom runs `sys/readers.rs` itself through every
//! interleaving, around lists that nobody may touch once they are freed.
#![allow(unsafe_code)]

#[path = "support/loom_primitive.rs"]
mod primitive;
#[path = "../src/sys/readers.rs"]
#[allow(dead_code)]
mod signal;

use std::ptr;
use std::sync::Arc;

use loom::thread;
use primitive::{AtomicPtr, AtomicUsize, Guarded, explore};
use signal::Readers;

struct Slot {
    readers: Readers,
    list: AtomicPtr<Guarded>,
}

impl Slot {
    fn new(list: *mut Guarded) -> Arc<Self> {
        Arc::new(Self { readers: Readers::new(AtomicUsize::new(0)), list: AtomicPtr::new(list) })
    }

    fn read(&self) {
        self.readers.read(&self.list, |list| {
            // SAFETY: lists are leaked in the models: freeing a list writes to it instead.
            if let Some(list) = unsafe { list.as_ref() } {
                list.read();
            }
        });
    }

    fn replace(&self, new: *mut Guarded) {
        let old = self.readers.replace(&self.list, new, thread::yield_now);
        // SAFETY: the same as above.
        if let Some(old) = unsafe { old.as_ref() } {
            old.write();
        }
    }
}

fn list() -> *mut Guarded {
    let list = Box::leak(Box::new(Guarded::new()));
    list.write();
    ptr::from_mut(list)
}

#[test]
fn a_list_is_freed_when_no_handler_reads_it() {
    explore(3, || {
        let slot = Slot::new(list());
        let handler = {
            let slot = slot.clone();
            thread::spawn(move || slot.read())
        };
        slot.replace(ptr::null_mut());
        handler.join().unwrap();
    });
}

#[test]
fn a_handler_reads_a_list_that_was_made_before() {
    explore(3, || {
        let slot = Slot::new(ptr::null_mut());
        let handler = {
            let slot = slot.clone();
            thread::spawn(move || slot.read())
        };
        slot.replace(list());
        handler.join().unwrap();
    });
}

#[test]
fn two_handlers_read_while_a_list_is_replaced() {
    explore(2, || {
        let slot = Slot::new(list());
        let handlers = [0, 1].map(|_| {
            let slot = slot.clone();
            thread::spawn(move || slot.read())
        });
        slot.replace(list());
        handlers.into_iter().for_each(|handler| handler.join().unwrap());
    });
}
