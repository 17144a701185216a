//! The description of one measurement.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::peers::names::Names;
use crate::peers::reads::Files;

/// The description of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Serves echoes until the parent is done; each connection has a buffer of this size.
    Echo { buffer_bytes: usize },
    /// Receives or sends in pieces of this size until the parent is done.
    Stream { piece_bytes: usize, way: Way },
    /// Serves the files of a folder over HTTP until the parent is done.
    Serve { folder: PathBuf },
    /// Passes connections on to another server until the parent is done.
    Proxy { origin: SocketAddr },
    /// Starts tasks and joins them.
    Tasks { batch: u32, seconds: f64 },
    /// Two tasks that yield.
    Yield { seconds: f64 },
    /// Two tasks that play ping-pong.
    Channel { seconds: f64 },
    /// Tasks that sleep for 0 to `longest_ms`.
    Timers { sleepers: u32, longest_ms: f64 },
    /// Tasks that wait for an event.
    Memory { fibers: u32 },
    /// Closures on blocking threads.
    Offload { in_flight: u32, seconds: f64 },
    /// Random reads of a file.
    Files(Files),
    /// Calls on names: metadata, walks, small files, programs.
    Names(Names),
}

/// The direction of the bytes, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    Receive,
    Send,
}

impl Way {
    pub(crate) const ALL: [Way; 2] = [Way::Receive, Way::Send];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Receive => "receive",
            Way::Send => "send",
        }
    }
}
