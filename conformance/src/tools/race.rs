//! Races whose two outcomes are both frequent.

use std::hint;
use std::io;
use std::time::{Duration, Instant};

use iolite_io::sync::Event;
use iolite_io::{Canceled, Io};

use super::{Random, Watchdog, concurrently, note, rounds, scope};

/// A completion and a cancellation that are released at nearly the same time, many times over.
///
/// A race proves nothing unless both sides win often. So the race steers the time between the two: if the completion
/// wins, the cancellation comes earlier the next time, and the other way round.
#[derive(Debug)]
pub struct Race {
    name: &'static str,
    random: Random,
    rounds: usize,
    /// The time from the release of the completion to that of the cancellation; negative if the cancellation comes
    /// first.
    lead_nanos: i64,
    /// The amount by which the next outcome changes it; signed like the last change.
    step_nanos: i64,
    completed: usize,
    canceled: usize,
}

/// The number of rounds from which on each side has to win some of them. With fewer rounds the right lead may not have
/// been found, above all on a machine that others use.
const SHARED_FROM: usize = 1_000;

/// The amount by which an outcome changes the time between the two, at first and at most.
const STEP_NANOS: i64 = 2_000;
const STEP_NANOS_MAX: i64 = 64_000;

impl Race {
    /// Makes a race of this number of rounds, or of `IOLITE_TEST_ROUNDS`, with a seed that it notes under its name.
    pub fn new(name: &'static str, default_rounds: usize) -> Self {
        Self {
            name,
            random: Random::new(name),
            rounds: rounds(default_rounds),
            lead_nanos: 0,
            step_nanos: STEP_NANOS,
            completed: 0,
            canceled: 0,
        }
    }

    /// Runs all rounds. `round` releases both sides with [`Start::go`], and returns true if the completion won.
    pub fn run(mut self, mut round: impl FnMut(Start) -> bool) {
        for number in 0..self.rounds {
            if number % 1_000 == 0 {
                Watchdog::beat_here();
            }
            let jitter = self.random.below(4 * STEP_NANOS as u64) as i64 - 2 * STEP_NANOS;
            if round(Start { lead_nanos: self.lead_nanos + jitter }) {
                self.completed += 1;
                self.steer(-1);
            } else {
                self.canceled += 1;
                self.steer(1);
            }
        }
        let Self { name, rounds, completed, canceled, lead_nanos, .. } = self;
        note(format_args!("{name}: {completed} completed, {canceled} canceled, last lead {lead_nanos} ns"));
        if rounds >= SHARED_FROM {
            let rare = completed.min(canceled);
            assert!(rare * 20 >= rounds, "{name}: no race: {completed} completed, {canceled} canceled of {rounds}");
        }
    }

    /// Moves the lead up or down, by more each time that it moves in the same direction.
    fn steer(&mut self, direction: i64) {
        let again = self.step_nanos.signum() == direction;
        let step = if again { (2 * self.step_nanos.abs()).min(STEP_NANOS_MAX) } else { STEP_NANOS };
        self.step_nanos = direction * step;
        self.lead_nanos = (self.lead_nanos + self.step_nanos).clamp(-2_000_000, 2_000_000);
    }
}

/// The beginning of one round.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    lead_nanos: i64,
}

impl Start {
    /// Releases both sides, in this round's order and with its distance.
    pub fn go(self, complete: impl FnOnce(), cancel: impl FnOnce()) {
        if self.lead_nanos >= 0 {
            complete();
            self.spin();
            cancel();
        } else {
            cancel();
            self.spin();
            complete();
        }
    }

    /// For races against a clock that cancels after `base`: returns the delay of the completion.
    pub fn completion_delay(self, base: Duration) -> Duration {
        later(base, -self.lead_nanos)
    }

    /// For races against a clock that completes after `base`: returns the delay of the cancellation.
    pub fn cancellation_delay(self, base: Duration) -> Duration {
        later(base, self.lead_nanos)
    }

    /// Spins for the time between the two: a sleep would be far too coarse.
    fn spin(self) {
        spin(Duration::from_nanos(self.lead_nanos.unsigned_abs()));
    }
}

/// Runs one round: a task attempts something, while its completion and its cancellation are released.
pub fn attempt<T: Send>(
    io: &dyn Io,
    start: Start,
    attempt: impl FnOnce(&dyn Io) -> io::Result<T> + Send,
    complete: impl FnOnce(),
) -> Option<T> {
    let (started, both_went) = (Event::new(), Event::new());
    scope(io, |group| {
        let member = concurrently(group, |io| {
            started.set();
            let result = attempt(io);
            both_went.wait_uncancelable(io);
            (result, io.check_cancel())
        });
        started.wait_uncancelable(io);
        start.go(complete, || member.request_cancel());
        both_went.set();
        let (result, pending) = member.join(io);
        assert_eq!(result.is_err(), pending.is_ok(), "the request is delivered exactly once");
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(Canceled::is_in(&error), "{error}");
                None
            }
        }
    })
}

fn later(base: Duration, nanos: i64) -> Duration {
    let base = i64::try_from(base.as_nanos()).expect("a short time");
    Duration::from_nanos(u64::try_from(base + nanos).unwrap_or(0))
}

/// Spins for some time.
pub fn spin(duration: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        hint::spin_loop();
    }
}
