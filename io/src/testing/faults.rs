//! The rates of faults, and the dice.

use std::fmt;
use std::time::Duration;

use crate::Instant;
use crate::operation::Operation;

/// The rates of the faults that [`Faulty`](super::Faulty) injects. Rates are from 0 (never) to 1 (each time); at first all
/// are 0.
///
/// To give kinds of operations different rates, put one `Faulty` around another, each with its own
/// [`only`](Self::only).
#[derive(Clone)]
pub struct Faults {
    errors: f64,
    short_counts: f64,
    delays: f64,
    delay_max: Duration,
    cancellations: f64,
    refusals: f64,
    only: fn(&Operation<'_>) -> bool,
}

/// The numbers of faults that were injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injected {
    /// Operations that failed instead of being performed.
    pub errors: usize,
    /// Operations that were performed on fewer bytes or messages.
    pub short_counts: usize,
    /// Operations that were delayed.
    pub delays: usize,
    /// Requests for cancellation. Several before the next cancellation point are delivered as one.
    pub cancellations: usize,
    /// Tasks that were not started.
    pub refusals: usize,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}

impl Faults {
    /// Makes rates with which nothing goes wrong.
    pub const fn new() -> Self {
        Self {
            errors: 0.0,
            short_counts: 0.0,
            delays: 0.0,
            delay_max: Duration::ZERO,
            cancellations: 0.0,
            refusals: 0.0,
            only: |_| true,
        }
    }

    /// Sets the rate of operations that fail, with one of the errors that are to be expected of them, before
    /// anything is done: no byte is moved, no connection taken, nothing made. Only
    /// [`Operation::Close`] closes the descriptor nevertheless.
    ///
    /// # Panics
    ///
    /// If the rate is not from 0 to 1, as for each of these rates.
    #[must_use]
    pub const fn errors(self, rate: f64) -> Self {
        Self { errors: checked(rate), ..self }
    }

    /// Sets the rate of operations with a count that are performed on fewer bytes, or messages, than the
    /// program asks for, but on at least one. The others are not lost: nobody asks for them. Messages
    /// are not cut, and neither are reads and writes of a descriptor with `O_DIRECT`.
    ///
    /// # Panics
    ///
    /// When the rate is not from 0 to 1.
    #[must_use]
    pub const fn short_counts(self, rate: f64) -> Self {
        Self { short_counts: checked(rate), ..self }
    }

    /// Sets the rate of operations that begin later, by up to `delay_max`. Requests and timeouts can arrive in that time.
    ///
    /// # Panics
    ///
    /// When the rate is not from 0 to 1.
    #[must_use]
    pub const fn delays(self, rate: f64, delay_max: Duration) -> Self {
        Self { delays: checked(rate), delay_max, ..self }
    }

    /// Sets the rate of requests to cancel the running task: before an operation, which then returns `Canceled`;
    /// during one, which succeeds and leaves the request to the next cancellation point; and in each wait of
    /// the vocabulary (a sleep, a lock, a channel, a join). These are requests like any other: delivered once,
    /// held back by [`shield`](crate::Io#method.shield), copied to the tasks that are waited for. A
    /// plain thread outside of every task cannot be canceled.
    ///
    /// A task may be canceled again while it cleans up after an earlier request.
    ///
    /// # Panics
    ///
    /// When the rate is not from 0 to 1.
    #[must_use]
    pub const fn cancellations(self, rate: f64) -> Self {
        Self { cancellations: checked(rate), ..self }
    }

    /// Sets the rate of tasks that find no unit of concurrency free: those of `spawn_async` run inline, others come back
    /// in the error.
    ///
    /// # Panics
    ///
    /// When the rate is not from 0 to 1.
    #[must_use]
    pub const fn refusals(self, rate: f64) -> Self {
        Self { refusals: checked(rate), ..self }
    }

    /// Restricts the faults to the operations for which `only` returns true.
    #[must_use]
    pub const fn only(self, only: fn(&Operation<'_>) -> bool) -> Self {
        Self { only, ..self }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("errors", &self.errors)
            .field("short_counts", &self.short_counts)
            .field("delays", &self.delays)
            .field("delay_max", &self.delay_max)
            .field("cancellations", &self.cancellations)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

const fn checked(rate: f64) -> f64 {
    assert!(rate >= 0.0 && rate <= 1.0, "a rate is from 0 to 1");
    rate
}

/// The faults of one operation.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) cancellation: Option<When>,
    pub(super) delay: Option<Duration>,
    /// The number of its error, if it is to fail.
    pub(super) error: Option<usize>,
    pub(super) share: Option<Share>,
}

/// The time at which a request arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    Meanwhile,
}

/// The part of its bytes or messages that an operation is performed on: from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share(f64);

impl Share {
    /// Returns this share of `count`: of two or more at least one, and not all.
    pub(super) fn of(self, count: usize) -> usize {
        match count {
            0 | 1 => count,
            _ => 1 + ((count - 1) as f64 * self.0) as usize % (count - 1),
        }
    }
}

/// The dice of one seed, which decide what goes wrong next.
#[derive(Debug)]
pub(super) struct Dice {
    faults: Faults,
    state: u64,
    injected: Injected,
    /// The number of waits since the last operation.
    waits: u64,
    /// The deadline until which the last of them parks.
    parked_until: Option<Instant>,
}

impl Dice {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self { faults, state: seed, injected: Injected::default(), waits: 0, parked_until: None }
    }

    pub(super) fn injected(&self) -> Injected {
        self.injected
    }

    pub(super) fn operation(&mut self, operation: &Operation<'_>) -> Fate {
        (self.waits, self.parked_until) = (0, None);
        if !(self.faults.only)(operation) {
            return Fate::default();
        }
        Fate {
            cancellation: self.falls(self.faults.cancellations).then(|| self.when()),
            delay: self.falls(self.faults.delays).then(|| self.faults.delay_max.mul_f64(self.part())),
            error: self.falls(self.faults.errors).then(|| self.next() as usize),
            share: self.falls(self.faults.short_counts).then(|| Share(self.part())),
        }
    }

    /// Returns true if a wait that parks until `deadline` is to be canceled.
    ///
    /// The clock decides how often a wait parks, and whether a sleep parks at all. So a wait that parks again
    /// is the same wait, and waits take no numbers away from the operations.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> bool {
        if deadline.is_some() && deadline == self.parked_until {
            return false;
        }
        self.waits += 1;
        self.parked_until = deadline;
        part(mixed(self.state ^ mixed(self.waits))) < self.faults.cancellations
    }

    pub(super) fn start(&mut self) -> bool {
        self.falls(self.faults.refusals)
    }

    /// Counts a fault that was injected.
    pub(super) fn count(&mut self, count: impl FnOnce(&mut Injected) -> &mut usize) {
        *count(&mut self.injected) += 1;
    }

    fn when(&mut self) -> When {
        if self.falls(0.5) { When::Before } else { When::Meanwhile }
    }

    fn falls(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.part() < rate
    }

    fn part(&mut self) -> f64 {
        part(self.next())
    }

    /// Returns the next number (splitmix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }
}

/// Converts a number to one from 0 to less than 1.
fn part(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_share_is_neither_nothing_nor_all() {
        for part in [0.0, 0.3, 0.5, 0.999_999_999] {
            for count in 2..200 {
                let share = Share(part).of(count);
                assert!(share >= 1 && share < count, "{share} of {count}");
            }
            assert_eq!((Share(part).of(0), Share(part).of(1)), (0, 1));
        }
    }

    #[test]
    fn rates_are_kept() {
        let mut dice = Dice::new(1, Faults::new().errors(0.25));
        let errors = (0..10_000).filter(|_| dice.operation(&Operation::Nop).error.is_some()).count();
        assert!((2_300..2_700).contains(&errors), "{errors}");
        let mut always = Dice::new(2, Faults::new().errors(1.0).refusals(1.0));
        assert!((0..1_000).all(|_| always.start() && always.operation(&Operation::Nop).error.is_some()));
    }

    #[test]
    fn a_wait_that_parks_again_is_the_same() {
        let mut dice = Dice::new(3, Faults::new().cancellations(1.0));
        let deadline = Some(Instant::from_nanos(7));
        assert_eq!([dice.wait(deadline), dice.wait(deadline), dice.wait(None)], [true, false, true]);
        let _ = dice.operation(&Operation::Nop);
        assert!(dice.wait(deadline));
    }

    #[test]
    fn waits_are_canceled_at_their_rate_and_shift_no_operation() {
        let faults = Faults::new().cancellations(0.25).errors(0.5);
        let (mut without, mut with) = (Dice::new(4, faults.clone()), Dice::new(4, faults));
        let mut canceled = 0;
        for round in 0..10_000 {
            canceled += usize::from((0..round % 3).any(|_| with.wait(None)));
            assert_eq!(without.operation(&Operation::Nop).error, with.operation(&Operation::Nop).error);
        }
        // Of three rounds one waits not at all, one once, and one twice.
        let expected = 10_000.0 / 3.0 * (0.25 + 0.4375);
        assert!((canceled as f64 / expected - 1.0).abs() < 0.1, "{canceled} of {expected}");
    }

    #[test]
    #[should_panic(expected = "a rate is from 0 to 1")]
    fn a_rate_above_one_is_refused() {
        let _ = Faults::new().errors(1.5);
    }
}
