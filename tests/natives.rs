//! Operations that one backend has beside the vocabulary's, and that the other does not have.

mod support;

use std::io::ErrorKind;
use std::process::ExitCode;

use iolite::evented::op;
use iolite_conformance::{Case, On, cases, run_cases};

const CASES: &[Case] = cases![operations_of_io_uring_are_the_evented_backends,];

fn main() -> ExitCode {
    run_cases(support::subjects(), &[CASES])
}

fn operations_of_io_uring_are_the_evented_backends(on: &On) {
    on.run(|io| {
        let nothing = op::Do::new(op::Nop {}).id(&op::Id::new()).perform(io);
        match io.backend().name {
            "evented" => nothing.unwrap(),
            name => {
                let error = nothing.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    });
}
