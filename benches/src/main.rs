//! Measures iolite against its peers, side by side in one run: see `README.md` beside the sources.

mod arguments;
mod run;

mod all;
mod report;

mod child;
mod exchange;
mod generator;
mod job;
mod measure;
mod record;
mod streaming;
mod syscalls;

mod peer;
mod peers;
mod raw;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Question};

fn main() -> ExitCode {
    if let Err(error) = measure::raise_descriptor_limit() {
        eprintln!("note: the limit of descriptors stays as it is: {error}");
    }
    let question = Arguments::parse().question;
    if let Question::Child { peer, job } = question {
        return match child::child(peer, &job) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {peer}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if measure::cores().is_ok_and(|cores| cores.len() < 2) {
        eprintln!("note: there is one core only, so server and generator share it: do not compare these figures");
    }
    match run::answer(&question) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
