//! The smallest `Io` under which a bridge works: a thread per task, and no operations.
// Each test uses a part of it.
#![allow(dead_code)]

use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use iolite_io::backend::{Refused, SpawnMode, Start, TaskRef, monotonic_now};
use iolite_io::{
    Backend, Instant, Io,
    operation::{Operation, Output},
};

/// An `Io` that starts every task on a thread of its own.
pub(crate) struct Threads {
    this: Weak<Threads>,
    started: Mutex<Vec<TaskRef>>,
}

impl Threads {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self { this: this.clone(), started: Mutex::default() })
    }

    /// Tears down all tasks that it has started, as a runtime does that shuts down.
    pub(crate) fn tear_down(&self) {
        self.started.lock().unwrap().iter().for_each(TaskRef::tear_down);
    }
}

impl Io for Threads {
    fn start(&self, start: Start, _: SpawnMode) -> Result<(), Refused> {
        let task = start.task();
        let named = thread::Builder::new().name(task.name().to_owned());
        self.started.lock().unwrap().push(task);
        named.spawn(move || start.run()).expect("the system has threads for a test");
        Ok(())
    }

    fn operate(&self, _: Operation<'_>) -> io::Result<Output> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        monotonic_now()
    }

    fn random(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn backend(&self) -> Backend {
        Backend { name: "threads", executors: 1, detail: "a thread per task".into() }
    }

    fn handle(&self) -> Option<Arc<dyn Io>> {
        self.this.upgrade().map(|this| this as _)
    }
}

/// A reproducible sequence of numbers (splitmix64). Tests print their seeds.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
