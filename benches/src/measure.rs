//! Clocks, cores and memory.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::record::{Figures, figures};

/// CPU time, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
}

impl Usage {
    /// Returns the CPU time that this process has used so far.
    pub(crate) fn of_process() -> io::Result<Self> {
        Self::of(UsageWho::RUSAGE_SELF)
    }

    /// Returns the CPU time that the calling thread has used so far.
    pub(crate) fn of_thread() -> io::Result<Self> {
        Self::of(UsageWho::RUSAGE_THREAD)
    }

    /// Returns the CPU time that another process with one thread has used so far. The kernel counts only the sum of
    /// user and system time there.
    pub(crate) fn of_other(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/schedstat");
        let ns = fs::read_to_string(path)?.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
        let ns = ns.ok_or_else(|| io::Error::other("the kernel does not count the time of a process"))?;
        Ok(Self { user_us: 0.0, system_us: ns / 1000.0 })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { user_us: self.user_us - earlier.user_us, system_us: self.system_us - earlier.system_us }
    }

    pub(crate) fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }

    fn of(who: UsageWho) -> io::Result<Self> {
        let usage = getrusage(who)?;
        let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e6 + time.tv_usec() as f64;
        Ok(Self { user_us: micros(usage.user_time()), system_us: micros(usage.system_time()) })
    }
}

/// Counts operations for a while, after a warm-up of a tenth of it.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    made: Instant,
    duration: Duration,
    begun: Option<Instant>,
    ended: Instant,
    operations: u64,
    /// The CPU time of the process at the beginning and at the end.
    usage: [Usage; 2],
}

impl Stopwatch {
    pub(crate) fn new(seconds: f64) -> Self {
        let now = Instant::now();
        Self {
            made: now,
            duration: Duration::from_secs_f64(seconds),
            begun: None,
            ended: now,
            operations: 0,
            usage: Default::default(),
        }
    }

    /// Returns true if the measurement continues. To be called before each chunk of this number of operations.
    pub(crate) fn goes_on(&mut self, chunk: u64) -> bool {
        self.ended = Instant::now();
        match self.begun {
            None if self.ended - self.made >= self.duration / 10 => {
                self.begun = Some(self.ended);
                self.usage[0] = own_usage();
            }
            None => {}
            Some(begun) => {
                self.operations += chunk;
                if self.ended - begun >= self.duration {
                    self.usage[1] = own_usage();
                    return false;
                }
            }
        }
        true
    }

    pub(crate) fn ns_per_operation(&self) -> f64 {
        let begun = self.begun.expect("it went on until its end");
        (self.ended - begun).as_nanos() as f64 / self.operations as f64
    }

    pub(crate) fn cpu_us_per_operation(&self) -> f64 {
        self.usage[1].since(self.usage[0]).total_us() / self.operations as f64
    }

    pub(crate) fn figures(&self) -> Figures {
        figures([("ns_per_operation", self.ns_per_operation())])
    }
}

fn own_usage() -> Usage {
    Usage::of_process().expect("a process may ask what it has used")
}

/// Returns the cores that this process may use; there is at least one.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Pins the calling thread, and the threads that it starts, to some cores.
pub(crate) fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Returns the resident memory of this process in bytes, counted page by page.
pub(crate) fn resident_bytes() -> io::Result<f64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok())
        .ok_or_else(|| io::Error::other("/proc/self/smaps_rollup has no Rss"))?;
    Ok(kib * 1024.0)
}

/// Allows this process as many descriptors as the system permits.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_stopwatch_counts_what_came_after_the_warm_up() {
        let mut watch = Stopwatch::new(0.01);
        let mut chunks = 0;
        while watch.goes_on(10) {
            chunks += 1;
        }
        assert!(watch.operations > 0 && watch.operations <= chunks * 10);
        assert!(watch.ended - watch.begun.unwrap() >= watch.duration);
    }

    #[test]
    fn memory_and_time_can_be_asked() {
        assert!(resident_bytes().unwrap() > 0.0);
        assert!(Usage::of_process().unwrap().total_us() >= Usage::default().total_us());
        assert!(!cores().unwrap().is_empty());
    }
}
