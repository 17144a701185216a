//! The conformance suite on our backends, and with `IOLITE_TEST_AROUND` on decorators around them.

mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    iolite_conformance::run(support::subjects())
}
