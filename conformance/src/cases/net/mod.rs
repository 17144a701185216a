//! Sockets, streams and name lookups.

mod attempts;
mod connect;
mod incoming;
mod resolve;
mod sockets;
mod streams;
mod tcp;
mod udp;
mod unix;
mod unready;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] = &[
    attempts::CASES,
    connect::CASES,
    incoming::CASES,
    incoming::PAIRS,
    resolve::CASES,
    sockets::CASES,
    streams::CASES,
    tcp::CASES,
    udp::CASES,
    unix::CASES,
    unready::CASES,
];
