//! The io_uring fiber backend of iolite.
#![allow(missing_docs)]

use iolite_io::Io;
use std::io;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    pub executors: usize,
    pub async_limit: usize,
    pub concurrent_limit: usize,
    pub stack_size: usize,
    pub grace: Duration,
    pub report: Option<fn(&str)>,
}

#[derive(Debug)]
pub struct Evented {}

impl Evented {
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
    /// The main closure runs on the calling thread, as a fiber.
    pub fn run<T>(options: Options, main: impl FnOnce(&dyn Io) -> T) -> io::Result<T> {
        let _ = (options, main);
        todo!()
    }
    pub fn shutdown(self) {}
}
