//! Panics in the log: as lines of it, and a bounded number of them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lines per [`PERIOD`]. A plugin may panic at every request, and its node goes on.
const LINES_MAX: u32 = 8;
const PERIOD: Duration = Duration::from_secs(10);

/// Sends the panics of the process to the log, at most 8 lines in 10 seconds; further ones are counted in a later line.
pub(crate) fn log() {
    let pace = Mutex::new(Pace::default());
    panic::set_hook(Box::new(move |info| {
        // A hook must not wait: of two panics at the same moment one is left out.
        let Ok(mut pace) = pace.try_lock() else { return };
        let Some(suppressed) = pace.next(Instant::now()) else { return };
        drop(pace);
        write(info, suppressed);
    }));
}

fn write(info: &PanicHookInfo<'_>, suppressed: u64) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // With RUST_BACKTRACE, as without this hook.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(error = message, place, suppressed, backtrace, "a task panicked");
}

/// How many lines were written in the current period.
#[derive(Debug, Default)]
struct Pace {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Pace {
    /// How many panics were not logged since the last line; none if this one is not to be logged either.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= PERIOD) {
            (self.began, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_at_every_request_do_not_fill_the_log() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let logged = (0..1_000_000).filter(|_| pace.next(now).is_some()).count();
        assert_eq!(logged, 8);
        assert_eq!(
            pace.next(now + PERIOD),
            Some(1_000_000 - 8),
            "the next line counts those that were left out"
        );
        assert_eq!(pace.next(now + PERIOD), Some(0));
    }
}
