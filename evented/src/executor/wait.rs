//! What an executor waits for, and for how long, when there is nothing to run.

use std::time::Duration;

use iolite_io::backend::monotonic_now;

use super::state::{Executor, Shutdown};
use crate::ring::Wait;

/// How much later than its deadline a timer may wake an executor that sleeps, so that timers near each
/// other cost one wake-up. As much as Linux allows itself for a thread that sleeps.
const TIMER_SLACK: Duration = Duration::from_micros(50);

impl Executor {
    /// What the next turn of the ring may wait for.
    #[inline]
    pub(super) fn wait(&self) -> Wait {
        if !self.ready.is_empty() || self.overdue.get().is_some() || self.ring.has_collected() || self.can_start() {
            return Wait::No;
        }
        self.tell_load();
        self.registered.release_unused(&self.ring);
        if self.buffers.release_unused(&self.ring) {
            // Somebody may have waited for one of them.
            return Wait::No;
        }
        let trim_at = self.trim();
        let report_at = match self.shutdown.get() {
            Shutdown::Since(instant) => Some(instant),
            Shutdown::No | Shutdown::Reported | Shutdown::Over => None,
        };
        let retry_at = self.starved.get().filter(|_| self.has_unstarted());
        let timer_at = self.timers.next().map(|deadline| deadline + TIMER_SLACK);
        let deadline = [timer_at, report_at, retry_at, trim_at].into_iter().flatten().min();
        let nanos = deadline.map(|deadline| deadline.saturating_duration_since(monotonic_now()).as_nanos());
        if nanos == Some(0) || self.wait_patiently() {
            return Wait::No;
        }
        self.arm_event();
        // Making room for entries may have collected completions.
        if self.ring.has_collected() || !self.inbox.begin_sleep() {
            return Wait::No;
        }
        // Once more, after the announcement: whoever left something elsewhere before it did not wake us.
        if self.runtime.executors().take_messages(self.index, |message| self.perform_message(message))
            || self.can_start()
            || self.runtime.is_closing() && !self.may_sleep_closing()
        {
            self.inbox.end_sleep();
            return Wait::No;
        }
        nanos.map_or(Wait::Forever, |nanos| Wait::Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Waits a moment for what other threads may leave; whether they did. Completions do not count: that
    /// they are waited for costs no more in `enter`.
    fn wait_patiently(&self) -> bool {
        if !self.patience.pays() {
            return false;
        }
        self.ring.flush();
        self.patience.wait(|| self.inbox.has_left())
    }
}
