//! The program's functions that workers call besides jobs.

use iolite_io::backend::Report;

pub(crate) type Make<S> = Box<dyn Fn(usize) -> Result<S, String> + Send + Sync>;
pub(crate) type AroundRun<S> = Box<dyn Fn(&mut S) -> Result<(), String> + Send + Sync>;

/// The functions that the user has set, which are called on the workers' threads.
pub(crate) struct Hooks<S> {
    pub(crate) make: Make<S>,
    pub(crate) before_run: Option<AroundRun<S>>,
    pub(crate) after_run: Option<AroundRun<S>>,
    pub(crate) report: Option<Report>,
}
