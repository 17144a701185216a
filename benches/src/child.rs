//! The processes that run jobs. A parent starts one and asks it, and the child answers with lines of JSON on its
//! stdout.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::measure::{self, Usage};
use crate::peer::Peer;
use crate::peers;
use crate::peers::installed::{self, installed};
use crate::record::Figures;

/// A question of the parent to a server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    Usage,
    ResidentBytes,
}

/// Runs a job in a new process, pinned to its peer's cores, and returns the figures.
pub(crate) fn run(peer: Peer, job: &Job) -> io::Result<Figures> {
    let mut child = spawn(peer, job)?;
    let output = child.stdout.take().expect("it is piped");
    let figures = read_line(&mut BufReader::new(output));
    let status = child.wait()?;
    if status.success() { figures } else { Err(io::Error::other(format!("its process ended with {status}"))) }
}

/// A server in a process of its own. Dropping this handle ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(peer: Peer, job: &Job) -> io::Result<Self> {
        let mut child = spawn(peer, job)?;
        let input = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = read_line(&mut output);
        if address.is_err() {
            child.kill()?;
            child.wait()?;
        }
        Ok(Self { child, input, output, address: address? })
    }

    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn usage(&mut self) -> io::Result<Usage> {
        self.ask(Ask::Usage)
    }

    pub(crate) fn resident_bytes(&mut self) -> io::Result<f64> {
        self.ask(Ask::ResidentBytes)
    }

    fn ask<T: DeserializeOwned>(&mut self, ask: Ask) -> io::Result<T> {
        writeln!(self.input, "{}", serde_json::to_string(&ask)?)?;
        read_line(&mut self.output)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to clean up, and may have died already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(peer: Peer, job: &Job) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["child", &peer.to_string(), &serde_json::to_string(job)?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

fn read_line<T: DeserializeOwned>(output: &mut impl BufRead) -> io::Result<T> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(io::Error::other("its process ended without an answer"));
    }
    Ok(serde_json::from_str(&line)?)
}

/// Runs a whole child process.
pub(crate) fn child(peer: Peer, job: &str) -> io::Result<()> {
    // Nobody would read the answer any more, and a spinning process would spoil later figures.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let cores = measure::cores()?;
    measure::pin(&cores[cores.len().saturating_sub(peer.cores())..])?;
    if let Some(program) = peers::foreign(peer) {
        return Err(program.exec(job));
    }
    let job = serde_json::from_str(job)?;
    if installed(peer).is_some() {
        let running = match job {
            Job::Serve { folder } => installed::serve_files(&folder)?,
            Job::Proxy { origin } => installed::proxy(origin)?,
            job => return peers::measure(peer, job).map(drop),
        };
        say(&running.address)?;
        answer_parent(|| Usage::of_other(running.pid()));
    }
    match job {
        Job::Echo { buffer_bytes } => {
            thread::spawn(|| answer_parent(Usage::of_process));
            peers::serve(peer, buffer_bytes, |address| say(&address).expect("the parent listens"))
        }
        Job::Stream { piece_bytes, way } => {
            thread::spawn(|| answer_parent(Usage::of_process));
            peers::serve_stream(peer, piece_bytes, way, |address| say(&address).expect("the parent listens"))
        }
        Job::Serve { folder } => {
            thread::spawn(|| answer_parent(Usage::of_process));
            peers::serve_files(peer, folder, |address| say(&address).expect("the parent listens"))
        }
        Job::Proxy { origin } => {
            thread::spawn(|| answer_parent(Usage::of_process));
            peers::proxy(peer, origin, |address| say(&address).expect("the parent listens"))
        }
        Job::Files(files) => {
            files.warm_up()?;
            say(&peers::measure(peer, Job::Files(files))?)
        }
        job => say(&peers::measure(peer, job)?),
    }
}

fn say(answer: &impl Serialize) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(answer)?)?;
    output.flush()
}

/// Answers the questions of the parent to a server. Ends the process when there are no more.
fn answer_parent(usage: impl Fn() -> io::Result<Usage>) -> ! {
    for line in io::stdin().lines() {
        let answered = line.and_then(|line| match serde_json::from_str(&line)? {
            Ask::Usage => say(&usage()?),
            Ask::ResidentBytes => say(&measure::resident_bytes()?),
        });
        if let Err(error) = answered {
            eprintln!("error: {error}");
            process::exit(1);
        }
    }
    process::exit(0);
}
