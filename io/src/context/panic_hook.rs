//! Blocking calls inside a panic hook.
//!
//! std records "a hook runs" per thread. A fiber that suspended inside one would let other fibers run with that mark
//! set, and a panic of theirs would abort the process. So a hook that was installed when the first runtime was made
//! runs marked, and calls that could suspend return an error.

use std::panic;
use std::sync::Once;
use std::thread;

use super::current;

/// Wraps the panic hook of the process, once. A hook that is set later is not wrapped.
pub fn guard_panic_hook() {
    static GUARDED: Once = Once::new();
    if thread::panicking() {
        // `take_hook` would panic; the next runtime wraps the hook.
        return;
    }
    GUARDED.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            current(|context| {
                let outer = context.in_panic_hook.replace(true);
                hook(info);
                context.in_panic_hook.set(outer);
            });
        }));
    });
}
