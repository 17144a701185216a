//! Prints the backends that run here, the kernel features that they use, and the backend that the configuration
//! chooses.
//!
//! ```text
//! cargo run --example backends
//! IOLITE_BACKEND=evented cargo run --example backends
//! ```

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::process::ExitCode;

use iolite::{BackendChoice, Config, ErrorChain};

fn main() -> ExitCode {
    for backend in [BackendChoice::Threaded, BackendChoice::Evented] {
        println!("{}", line(backend));
    }
    iolite::main(Config::from_env(), |io| {
        println!("chosen: {}", io.backend());
        Ok::<_, Infallible>(())
    })
}

/// Returns a line for one backend: its features, or the reason why it cannot run.
fn line(backend: BackendChoice) -> String {
    match iolite::run(Config::new().backend(backend), |io| io.backend()) {
        Ok(found) => format!("available: {found}"),
        Err(error) => format!("missing: {}", ErrorChain::new(&error)),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn runs() {
        assert!(line(BackendChoice::Threaded).starts_with("available: threaded("), "threads are everywhere");
        let evented = line(BackendChoice::Evented);
        assert!(evented.starts_with("available: evented(") || evented.starts_with("missing: the evented backend"));
        println!("{evented}");
    }
}
