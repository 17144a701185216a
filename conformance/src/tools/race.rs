//! Races whose two outcomes are both frequent.

use std::hint;
use std::io;
use std::time::{Duration, Instant};

use iolite_io::sync::Event;
use iolite_io::{Canceled, Io};

use super::{Random, Watchdog, concurrently, note, rounds, scope};

/// A completion and a cancellation that are let go at nearly the same time, many times over.
///
/// A race proves nothing unless both sides win often. So the time between the two is steered: when
/// the completion wins, the cancellation comes earlier the next time, and the other way round.
#[derive(Debug)]
pub struct Race {
    name: &'static str,
    random: Random,
    rounds: usize,
    /// How long after the completion the cancellation is let go; negative when before.
    lead_nanos: i64,
    /// How much the next outcome moves it; signed as the last one moved it.
    step_nanos: i64,
    completed: usize,
    canceled: usize,
}

/// From how many rounds on each side has to win some of them. In fewer the lead may not have been found, on a machine
/// that others use above all.
const SHARED_FROM: usize = 1_000;

/// How much an outcome moves the time between the two, the first time and at most.
const STEP_NANOS: i64 = 2_000;
const STEP_NANOS_MAX: i64 = 64_000;

impl Race {
    /// A race of so many rounds, or of `IOLITE_TEST_ROUNDS`, with a seed that it notes by its name.
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

    /// Runs all rounds. `round` lets both go, by [`Start::go`], and says whether the completion won.
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

    /// Moves the lead up or down, the further the more often it went there.
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
    /// Lets both go, in this round's order and distance.
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

    /// For races against a clock that cancels after `base`: when to let the completion go.
    pub fn completion_delay(self, base: Duration) -> Duration {
        later(base, -self.lead_nanos)
    }

    /// For races against a clock that completes after `base`: when to let the cancellation go.
    pub fn cancellation_delay(self, base: Duration) -> Duration {
        later(base, self.lead_nanos)
    }

    /// Burns the time between the two: a sleep would be far too coarse.
    fn spin(self) {
        spin(Duration::from_nanos(self.lead_nanos.unsigned_abs()));
    }
}

/// One round: a task attempts something, while its completion and its cancellation are let go.
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

/// Burns some time.
pub fn spin(duration: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        hint::spin_loop();
    }
}
