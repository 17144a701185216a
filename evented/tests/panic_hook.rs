//! Blocking calls inside a panic hook refuse. In a process of its own, since the hook is the
//! process'.

use std::panic;
use std::sync::Mutex;
use std::time::Duration;

use iolite_evented::{Evented, Options};

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn a_blocking_call_inside_a_panic_hook_is_refused() {
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
        // Outside of the hook again.
        io.sleep(Duration::from_millis(1)).unwrap();
    });
    let told = TOLD.lock().unwrap();
    assert_eq!(*told, ["refused: this call could suspend, and a panic hook runs"]);
}
