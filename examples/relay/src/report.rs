//! The report of the hosts at the end of a run.

use serde::{Deserialize, Serialize};

/// The answer to `/report`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) hosts: Vec<HostReport>,
}

/// The report of one host; a host that was never followed has none.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct HostReport {
    pub(crate) host: u32,
    /// The last event that the host sent.
    pub(crate) sent: u64,
    /// The last cursor that was acknowledged to the host.
    pub(crate) acknowledged: u64,
}
