//! Runtimes as a whole: their clocks, fairness, shutdown, decorators, and the pools beside them.

mod basics;
mod bridge;
mod clocks;
mod crowds;
mod decorators;
mod faults;
mod natives;
mod offload;
mod shutdown;
mod turns;
mod upstream;

use crate::case::Case;

/// The lists of this folder. One that is missing here is dead code.
pub(super) const LISTS: &[&[Case]] = &[
    offload::CASES,
    basics::CASES,
    clocks::CASES,
    crowds::CASES,
    turns::CASES,
    natives::CASES,
    bridge::CASES,
    decorators::CASES,
    faults::CASES,
    shutdown::CASES,
    upstream::CASES,
];
