//! The settings of a run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::console::Console;
use crate::database::Place;
use crate::stop::Stop;

/// The settings of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// By default, a number that suits the backend.
    pub(crate) hosts: Option<u32>,
    /// By default, until the request to stop.
    pub(crate) duration: Option<Duration>,
    pub(crate) place: Place,
    pub(crate) upstreams: UpstreamsChoice,
    pub(crate) listen: SocketAddr,
    pub(crate) console: Arc<Console>,
    pub(crate) stop: Stop,
}

#[derive(Debug)]
pub(crate) enum UpstreamsChoice {
    At(SocketAddr),
    Own { rate: f64, faults: bool },
}
