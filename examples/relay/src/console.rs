//! Standard error: progress on a terminal, plain lines elsewhere, and few lines of one kind.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use iolite::time::monotonic_now;

/// The minimum interval between two lines of one kind.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The destination of the lines.
#[derive(Debug)]
pub(crate) struct Console {
    /// The progress bar, on a terminal.
    bar: Option<ProgressBar>,
}

/// Lets one line of a kind pass per second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    /// The time at which the next line may pass, in nanoseconds of the monotonic clock.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl Console {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("the template is right");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { bar }
    }

    /// Returns the interval at which progress should be shown here.
    pub(crate) fn interval(&self) -> Duration {
        if self.bar.is_some() { Duration::from_millis(200) } else { Duration::from_secs(2) }
    }

    /// Shows the progress.
    pub(crate) fn progress(&self, text: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None => eprintln!("relay: {text}"),
        }
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("relay: {text}")),
            None => eprintln!("relay: {text}"),
        }
    }

    /// Writes a line, unless one of its kind was written within the last second.
    pub(crate) fn limited(&self, limit: &Limit, text: impl FnOnce() -> String) {
        match limit.pass() {
            Some(0) => self.line(&text()),
            Some(suppressed) => self.line(&format!("{} (and {suppressed} more like it)", text())),
            None => {}
        }
    }

    /// Ends the progress.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Limit {
    /// Returns the number of suppressed lines since the last one that passed, if this one may pass.
    fn pass(&self) -> Option<u64> {
        let now = monotonic_now();
        let next = self.next.load(Relaxed);
        let passes = now.as_nanos() >= next
            && self.next.compare_exchange(next, (now + LINE_INTERVAL).as_nanos(), Relaxed, Relaxed).is_ok();
        if passes {
            return Some(self.suppressed.swap(0, Relaxed));
        }
        self.suppressed.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod test {
    use super::Limit;

    #[test]
    fn one_line_passes_and_the_others_are_counted() {
        let limit = Limit::default();
        assert_eq!(limit.pass(), Some(0));
        assert_eq!((limit.pass(), limit.pass()), (None, None));
        limit.next.store(0, super::Relaxed);
        assert_eq!(limit.pass(), Some(2));
    }
}
