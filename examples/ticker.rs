//! Two periodic timers, one loop that takes their ticks: six of them, then both are canceled.
//!
//! A timer is a task that sleeps and sends. Its deadlines are absolute, so that it does not drift.
//!
//! ```text
//! cargo run --example ticker
//! ```

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use iolite::sync::{Sender, channel};
use iolite::{Canceled, Config, Io};

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
    let (sender, receiver) = channel(TICKS);
    io.group(|group| {
        let (fast_sender, slow_sender) = (sender.clone(), sender);
        let fast = group.spawn_concurrent(|io| every(io, Duration::from_millis(50), Timer::Fast, fast_sender))?;
        let slow = group.spawn_concurrent(|io| every(io, Duration::from_millis(150), Timer::Slow, slow_sender))?;

        let mut ticks = Vec::new();
        while ticks.len() < TICKS {
            let timer = receiver.recv(io)?;
            println!("{timer:?} after {} ms", (io.now() - start).as_millis());
            ticks.push(timer);
        }

        for timer in [fast, slow] {
            match timer.cancel(io) {
                Err(error) if !Canceled::is_in(&error) => return Err(error),
                _ => {}
            }
        }
        println!("{TICKS} ticks on {}, {} of them fast", io.backend(), count(&ticks, Timer::Fast));
        Ok(ticks)
    })
}

/// Sends `timer` once per `period`, until it is canceled.
fn every(io: &dyn Io, period: Duration, timer: Timer, ticks: Sender<Timer>) -> io::Result<()> {
    let mut next = io.now();
    loop {
        next += period;
        io.sleep_until(next)?;
        ticks.send(io, timer)?;
    }
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
        }
    }
}
