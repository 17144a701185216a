//! What a run is asked to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::console::Console;
use crate::database::Place;
use crate::stop::Stop;

/// What to run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// By default as many as suit the backend.
    pub(crate) hosts: Option<u32>,
    /// By default until the wish to stop.
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
