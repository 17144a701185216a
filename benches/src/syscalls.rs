//! Counts the system calls of another process, with `perf`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The maximum number of threads of a process: `perf` attaches to them one by one, which for a thousand takes half a
/// minute.
const THREADS_MAX: usize = 100;

/// Counts the system calls of all threads of a process, from the start to the end.
#[derive(Debug)]
pub(crate) struct Counter {
    perf: Child,
    control: ChildStdin,
    acknowledgements: BufReader<ChildStdout>,
}

impl Counter {
    /// Starts counting.
    ///
    /// # Errors
    ///
    /// `perf` is not installed or not permitted, or the process has too many threads.
    pub(crate) fn start(pid: u32) -> io::Result<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task"))?.count();
        if threads > THREADS_MAX {
            return Err(io::Error::other(format!("to count the calls of {threads} threads takes too long")));
        }
        // It begins on request, and reports that it has begun.
        let mut perf = Command::new("perf")
            .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-D", "-1", "--control", "fd:0,1", "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("perf: {error}")))?;
        let control = perf.stdin.take().expect("it is piped");
        let acknowledgements = BufReader::new(perf.stdout.take().expect("it is piped"));
        let mut counter = Self { perf, control, acknowledgements };
        match counter.tell("enable") {
            Ok(()) => Ok(counter),
            Err(error) => {
                // The reason for its end says more than the missing answer.
                counter.perf.kill()?;
                let said = counter.said()?;
                let reason = said.lines().map(str::trim).find(|line| !line.is_empty() && *line != "Error:");
                Err(reason.map_or(error, |reason| io::Error::other(format!("perf: {reason}"))))
            }
        }
    }

    /// Stops, and returns the count.
    pub(crate) fn end(mut self) -> io::Result<u64> {
        self.tell("disable")?;
        kill_process(Pid::from_child(&self.perf), Signal::INT)?;
        let said = self.said()?;
        match said.lines().find(|line| line.contains("sys_enter")).and_then(|line| line.split(',').next()) {
            // The output for a process that did not run in the meantime.
            Some("<not counted>") => Ok(0),
            count => count
                .and_then(|count| count.parse().ok())
                .ok_or_else(|| io::Error::other(format!("perf does not say a number: {}", said.trim()))),
        }
    }

    fn tell(&mut self, command: &str) -> io::Result<()> {
        writeln!(self.control, "{command}")?;
        let mut line = String::new();
        self.acknowledgements.read_line(&mut line)?;
        // Older versions put a zero byte after the line, which is then before the next one.
        match line.trim_matches(['\0', '\n']) {
            "ack" => Ok(()),
            other => Err(io::Error::other(format!("perf does not {command}: {other:?}"))),
        }
    }

    /// Returns its output until its end.
    fn said(&mut self) -> io::Result<String> {
        let mut said = String::new();
        self.perf.stderr.take().expect("it is piped").read_to_string(&mut said)?;
        self.perf.wait()?;
        Ok(said)
    }
}
