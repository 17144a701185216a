//! Blocking calls inside a panic hook are refused. The test has a process of its own, because the hook belongs to the
//! process.

mod support;

use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use iolite_conformance::tools::again;
use iolite_conformance::{Case, whole};
use iolite_evented::{Evented, Options};

const CASES: &[Case] = whole![a_blocking_call_inside_a_panic_hook_is_refused];

/// Set in the other process, which sets the hook before its first runtime, and therefore before the harness.
const CHILD: &str = "IOLITE_TEST_PANIC_HOOK";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        block_inside_a_panic_hook();
        return ExitCode::SUCCESS;
    }
    support::run(&[CASES])
}

fn a_blocking_call_inside_a_panic_hook_is_refused() {
    let child = again().env(CHILD, "1").output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn block_inside_a_panic_hook() {
    static IO: Mutex<Option<std::sync::Arc<dyn iolite_io::Io>>> = Mutex::new(None);
    panic::set_hook(Box::new(|_| {
        let io = IO.lock().unwrap().clone().unwrap();
        let refused = io.sleep(Duration::from_millis(1)).unwrap_err();
        TOLD.lock().unwrap().push(refused.to_string());
    }));
    let options = Options { executors: 1, ..Options::default() };
    Evented::prepare(options).unwrap().run(|io| {
        *IO.lock().unwrap() = io.handle();
        let task = io.spawn_concurrent(|_| panic!("told to the hook")).unwrap();
        let joined = panic::catch_unwind(panic::AssertUnwindSafe(|| task.join(io)));
        assert!(joined.is_err());
        // This is outside of the hook again.
        io.sleep(Duration::from_millis(1)).unwrap();
    });
    // Only the exit code reports a failure, because the hook has no runtime any more.
    let told = TOLD.lock().unwrap();
    if *told != ["refused: this call could suspend, and a panic hook runs"] {
        eprintln!("{told:?}");
        std::process::exit(1);
    }
}
