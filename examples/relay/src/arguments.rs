//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::database::{Location, Synchronous};

/// A relay like those of the AT Protocol: it follows many hosts, stores their events, and sends them on. By default it
/// starts hosts of its own and runs once on each backend.
#[derive(Debug, Parser)]
#[command(name = "relay", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) relay: RelayArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the hosts that the relay follows, in a process of its own. Prints its address.
    Upstreams(UpstreamsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RelayArguments {
    /// The backend; by default that of IOLITE_BACKEND, or else both, one after the other.
    #[arg(long, value_enum)]
    pub(crate) backend: Option<Backends>,
    /// The number of hosts to follow; by default 300 on threads and 1000 on fibers.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) hosts: Option<u32>,
    /// The number of events per second that each host emits (for the relay's own hosts).
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// The time to run in seconds; by default 12 with hosts of its own, and until Ctrl-C with --upstreams.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// The format of the summary.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// A file, or postgres://user@host/name (with the feature `postgres`); by default a temporary file.
    #[arg(long, value_parser = location)]
    pub(crate) database: Option<Location>,
    /// The durability of acknowledged events in the database.
    #[arg(long, value_enum, default_value = "full")]
    pub(crate) synchronous: Synchronous,
    /// Follow the hosts at this address (`relay upstreams`) instead of starting own ones.
    #[arg(long)]
    pub(crate) upstreams: Option<SocketAddr>,
    /// The address at which to serve /subscribe and /metrics.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The number of tasks that may run at once; by default that of IOLITE_CONCURRENT_LIMIT, or else 1024 on threads.
    #[arg(long)]
    pub(crate) concurrent_limit: Option<usize>,
    /// Let the relay's own hosts behave well: no pauses, no cut frames, no dropped connections.
    #[arg(long)]
    pub(crate) no_faults: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpstreamsArguments {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The number of hosts.
    #[arg(long, default_value_t = 4000)]
    pub(crate) hosts: u32,
    /// The number of events per second that each host emits.
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Behave well: no pauses, no cut frames, no malformed frames, no dropped connections.
    #[arg(long)]
    pub(crate) no_faults: bool,
    /// The backend; by default that of IOLITE_BACKEND, or else auto.
    #[arg(long)]
    pub(crate) backend: Option<UpstreamsBackend>,
    /// End when standard input ends, for the process that started this one.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backends {
    Threaded,
    Evented,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpstreamsBackend {
    Auto,
    Threaded,
    Evented,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table.
    Table,
    /// One JSON object per backend, each on a line.
    Json,
}

fn location(text: &str) -> Result<Location, String> {
    let postgres = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    match text {
        // A database of one connection each, which disappears with the connection.
        "" | ":memory:" => Err("it keeps nothing; name a file, or leave it out for a temporary one".into()),
        _ if postgres && cfg!(not(feature = "postgres")) => {
            Err("this relay was built without the feature `postgres`".into())
        }
        _ if postgres => Ok(Location::Postgres(text.into())),
        _ => Ok(Location::File(PathBuf::from(text))),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is not a number")?;
    if (0.001..=1_000_000.0).contains(&rate) { Ok(rate) } else { Err("it is not between 0.001 and 1000000".into()) }
}

#[cfg(test)]
mod test {
    use clap::{CommandFactory, Parser};

    use super::{Arguments, Backends};

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
        let arguments = Arguments::parse_from(["relay", "--backend", "evented", "--hosts", "2800"]);
        assert_eq!((arguments.relay.backend, arguments.relay.hosts), (Some(Backends::Evented), Some(2800)));
        assert!(Arguments::try_parse_from(["relay", "--rate", "0"]).is_err());
        for nowhere in ["", ":memory:"] {
            assert!(Arguments::try_parse_from(["relay", "--database", nowhere]).is_err());
        }
        assert!(Arguments::try_parse_from(["relay", "--database", "file::memory:"]).is_ok(), "the name of a file");
        assert!(Arguments::try_parse_from(["relay", "upstreams", "--rate", "50"]).is_ok());
    }
}
