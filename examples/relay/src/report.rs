//! What the hosts say about themselves when a run ends.

use serde::{Deserialize, Serialize};

/// What `/report` answers.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) hosts: Vec<HostReport>,
}

/// What one host says; hosts that nobody asked for say nothing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct HostReport {
    pub(crate) host: u32,
    /// The last event that it sent.
    pub(crate) sent: u64,
    /// The last cursor that was acknowledged to it.
    pub(crate) acknowledged: u64,
}
