//! The bounded-thread backend of iolite.
#![allow(missing_docs)]

use iolite_io::Io;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How a [`Threaded`] is bounded.
#[derive(Clone, Debug)]
pub struct Options {
    pub async_limit: usize,
    pub concurrent_limit: usize,
    pub stack_size: usize,
    pub idle_timeout: Duration,
    pub grace: Duration,
    pub report: Option<fn(&str)>,
}

#[derive(Debug)]
pub struct Threaded {}

impl Threaded {
    pub fn new(options: Options) -> io::Result<Self> {
        let _ = options;
        todo!()
    }
    pub fn io(&self) -> &dyn Io {
        todo!()
    }
    pub fn handle(&self) -> Arc<dyn Io> {
        todo!()
    }
    pub fn run<T>(self, main: impl FnOnce(&dyn Io) -> T) -> T {
        let _ = main;
        todo!()
    }
    pub fn shutdown(self) {}
}
