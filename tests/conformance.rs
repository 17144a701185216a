//! The conformance suite on our backends; on decorators around them with `IOLITE_TEST_AROUND`.

mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    iolite_conformance::run(support::subjects())
}
