//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::peer::Peer;

/// Measures iolite against its peers, side by side in one run.
///
/// Every peer runs in a process of its own, pinned to one core. The peers take turns round by round, and the table
/// shows medians.
#[derive(Debug, Parser)]
#[command(name = "iolite-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) question: Question,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// An echo over TCP: what does a request cost the server?
    Echo(Echo),
    /// A continuous stream over TCP: what does a MiB cost the server, to receive and to send?
    Stream(Stream),
    /// What does it cost to start a task and to wait for its end?
    Tasks(Tasks),
    /// What does it cost to yield to another task? Two tasks take turns.
    Yield(Yield),
    /// What does it cost to hand a message to another task? Two tasks play ping-pong.
    Channel(Channel),
    /// How much work do sleeping tasks cause, and how late do they wake up?
    Timers(Timers),
    /// How much memory does an idle task, or an idle connection, hold?
    Memory(Memory),
    /// What does it cost to have a closure run on a blocking thread, and to wait for it?
    Offload(Offload),
    /// What does a random read of a file cost?
    Files(Files),
    /// What do file operations by name and starting a program cost: metadata, listing, reading, replacing, starting?
    Names(Names),
    /// What does an answer cost a server of files over HTTP?
    Serve(Serve),
    /// What does a request with its answer cost a proxy over TCP?
    Proxy(Proxy),
    /// Asks all of these questions and saves the answers, for `report`.
    All(All),
    /// Draws charts and writes tables from saved answers.
    Report(Report),
    /// Runs one measurement, in the process made for it.
    #[command(hide = true)]
    Child {
        /// The peer that runs it.
        peer: Peer,
        /// The job, as JSON.
        job: String,
    },
}

/// The options that all questions share.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The peers that take part, in this order [default: all that the subcommand offers].
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<Peer>,
    /// The number of measurements of each peer.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// The duration of one measurement in seconds, after a warm-up of a tenth of it.
    #[arg(long, default_value_t = 3.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// The output: a table of medians, or a line of JSON per peer and round.
    #[arg(long, default_value = "table")]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of connections, each with one request under way at any time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) connections: u32,
    /// The size of a request.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) bytes: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Stream {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// The size of the server's pieces in bytes.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) bytes: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of tasks that are started before the first one is awaited; with 1, they run one by one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Yield {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Channel {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Timers {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of tasks that sleep at once, for 0 to 1,000 ms each, or for at most `--seconds` if that is less.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sleepers: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Memory {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of tasks that are alive at once.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) fibers: u32,
    /// Measures this number of idle connections instead; each has echoed once.
    #[arg(long, conflicts_with = "fibers", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) connections: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Offload {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The file, which is created if there is none of that size, and kept. Default: one in the folder for temporary
    /// files.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// The size of the file in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) mib: u64,
    /// The number of concurrent reads.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) in_flight: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Names {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The folder in which files are made and removed [default: one in the folder for temporary files].
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of connections, each with one request under way at any time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// The size of the file.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(0..=1 << 26))]
    pub(crate) bytes: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Proxy {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The number of connections, each with one request under way at any time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// The size of an answer.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) bytes: u32,
}

#[derive(Debug, Args)]
pub(crate) struct All {
    /// The folder for the answers, which is created if needed.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// The number of measurements of each peer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// The duration of one measurement in seconds, after a warm-up of a tenth of it; the question `timers` takes one,
    /// `echo-1000` two, and `echo-8000` three.
    #[arg(long, default_value_t = 0.5, value_parser = positive)]
    pub(crate) seconds: f64,
    /// The questions to ask [default: all].
    #[arg(long, value_delimiter = ',')]
    pub(crate) questions: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The folder with the answers: `*.jsonl`, each with the lines of one question. The charts and `report.md` are
    /// written to the same folder.
    pub(crate) folder: PathBuf,
}

impl Common {
    /// Returns the peers that take part: the requested ones, or `default`.
    ///
    /// # Errors
    ///
    /// A requested peer is not among those that are `offered`.
    pub(crate) fn peers(&self, default: &[Peer], offered: &[Peer]) -> Result<Vec<Peer>, String> {
        if self.peers.is_empty() {
            return Ok(default.to_vec());
        }
        match self.peers.iter().find(|peer| !offered.contains(peer)) {
            None => Ok(self.peers.clone()),
            Some(peer) => {
                let offered: Vec<_> = offered.iter().map(Peer::to_string).collect();
                Err(format!("{peer} has no program for this; offered: {}", offered.join(", ")))
            }
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("expected seconds, more than 0 and at most 3600".into()),
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::peer::{ECHO, MANY, TASKS};

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn arguments_are_read() {
        let line =
            "iolite-bench echo --peers tokio,iolite-evented --rounds 3 --seconds 0.5 --format json --bytes 16384";
        let Question::Echo(echo) = parse(line).unwrap().question else { panic!("not echo") };
        assert_eq!(echo.common.peers, [Peer::Tokio, Peer::IoliteEvented]);
        assert_eq!((echo.common.rounds, echo.common.seconds, echo.common.format), (3, 0.5, Format::Json));
        assert_eq!((echo.connections, echo.bytes), (64, 16384));
    }

    #[test]
    fn arguments_that_cannot_be_are_refused() {
        for line in ["echo --rounds 0", "echo --seconds 0", "echo --peers nobody", "memory --fibers 1 --connections 1"]
        {
            assert!(parse(&format!("iolite-bench {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn peers_are_checked_against_the_offer() {
        let Question::Tasks(tasks) = parse("iolite-bench tasks").unwrap().question else { panic!("not tasks") };
        assert_eq!(tasks.common.peers(MANY, TASKS).unwrap(), MANY);
        let Question::Tasks(tasks) = parse("iolite-bench tasks --peers raw-uring").unwrap().question else {
            panic!("not tasks")
        };
        assert!(tasks.common.peers(TASKS, TASKS).unwrap_err().starts_with("raw-uring has no program"));
        assert_eq!(tasks.common.peers(ECHO, ECHO).unwrap(), [Peer::RawUring]);
    }
}
