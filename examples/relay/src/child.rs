//! The relay's own upstreams: this program, started again in a process of its own.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use iolite::Io;
use iolite::process::{self, Child};
use iolite::stdio::OutputStream;

/// The settings of the process.
#[derive(Clone, Debug)]
pub(crate) struct ChildSettings {
    pub(crate) hosts: u32,
    pub(crate) rate: f64,
    pub(crate) faults: bool,
    pub(crate) backend: &'static str,
}

/// The running process. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct UpstreamsChild {
    settings: ChildSettings,
    child: Child,
    /// The process ends when this closes, however this process ends.
    _stdin: Option<OutputStream>,
    pub(crate) address: SocketAddr,
}

impl UpstreamsChild {
    /// Starts the process and waits until it listens.
    pub(crate) fn start(io: &dyn Io, settings: ChildSettings) -> io::Result<Self> {
        Self::start_at(io, settings, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Returns the status of the process if it has ended without a request.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Restarts the process at the address that the hosts had.
    pub(crate) fn restart(io: &dyn Io, settings: ChildSettings, address: SocketAddr) -> io::Result<Self> {
        Self::start_at(io, settings, address)
    }

    pub(crate) fn settings(&self) -> &ChildSettings {
        &self.settings
    }

    fn start_at(io: &dyn Io, settings: ChildSettings, address: SocketAddr) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["upstreams", "--until-stdin-closes", "--backend", settings.backend]);
        command.arg("--listen").arg(address.to_string());
        command.arg("--hosts").arg(settings.hosts.to_string());
        command.arg("--rate").arg(settings.rate.to_string());
        command.args((!settings.faults).then_some("--no-faults"));
        // The configuration belongs to the relay; so does Ctrl-C, which a terminal sends to the whole process group.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("IOLITE_")) {
            command.env_remove(name);
        }
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(io, &mut command)?;
        child.kill_on_drop(true);
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout.with(io)).read_line(&mut line)?;
        }
        let Some(address) = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()) else {
            child.kill()?;
            let status = child.wait(io)?;
            return Err(io::Error::other(format!("the upstreams process did not start ({status})")));
        };
        Ok(Self { settings, child, _stdin: stdin, address })
    }
}
