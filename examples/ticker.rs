//! Two periodic timers, and one loop that takes their ticks: six of them, then both are canceled.
//!
//! The loop waits for whatever happens next; completions of operations would come from the same queue.
//!
//! ```text
//! cargo run --example ticker
//! ```

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use iolite::{Config, Io, completion::CompletionQueue};

const TICKS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Fast,
    Slow,
}

fn main() -> ExitCode {
    iolite::main(Config::from_env(), |io| tick(io).map(drop))
}

/// Prints six ticks and returns which timers they came from.
fn tick(io: &dyn Io) -> io::Result<Vec<Timer>> {
    let start = io.now();
    let handle = io.handle().ok_or(io::ErrorKind::Unsupported)?;
    // No operation is submitted here, so none can end.
    let queue = CompletionQueue::<Timer, ()>::new(handle);
    let fast = queue.timer_every(Duration::from_millis(50), Timer::Fast);
    let slow = queue.timer_every(Duration::from_millis(150), Timer::Slow);

    let mut ticks = Vec::new();
    while ticks.len() < TICKS {
        let timer = queue.wait(io)?.tag;
        println!("{timer:?} after {} ms", (io.now() - start).as_millis());
        ticks.push(timer);
    }

    for timer in [fast, slow] {
        assert!(queue.cancel(timer), "it was set");
        assert!(!queue.cancel(timer), "and is no more");
    }
    println!("{TICKS} ticks on {}, {} of them fast", io.backend(), count(&ticks, Timer::Fast));
    Ok(ticks)
}

fn count(ticks: &[Timer], timer: Timer) -> usize {
    ticks.iter().filter(|tick| **tick == timer).count()
}

#[cfg(test)]
mod test {
    use iolite::BackendChoice;

    use super::*;

    #[test]
    fn runs() {
        for backend in [BackendChoice::Threaded, BackendChoice::Auto] {
            let ticks = iolite::run(Config::new().backend(backend), tick).unwrap().unwrap();
            assert_eq!(ticks.len(), TICKS);
            assert_eq!(count(&ticks, Timer::Fast) + count(&ticks, Timer::Slow), TICKS);
            assert!(count(&ticks, Timer::Fast) > count(&ticks, Timer::Slow), "{ticks:?}");
        }
    }
}
