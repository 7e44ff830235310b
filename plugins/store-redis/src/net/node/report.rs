//! What the log says of one server: once per change, and of one that fails and answers in turn now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time from the end of one failure that was logged to the first line of the next.
const PAUSE: Duration = Duration::from_secs(10);

/// How a server fares, as it was logged last.
#[derive(Debug, Default)]
pub(super) struct Report(Mutex<Logged>);

#[derive(Debug, Default)]
struct Logged {
    /// The classes of faults since the server failed; none while it answers, or fails too soon after it did before.
    classes: Vec<&'static str>,
    /// When the last line was logged: of a failure, or of its end.
    at: Option<Instant>,
}

impl Report {
    /// Notes a failure; true if it is to be logged.
    pub(super) fn failed(&self, class: &'static str, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let comes_soon = logged.at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        if logged.classes.contains(&class) || (logged.classes.is_empty() && comes_soon) {
            return false;
        }
        logged.classes.push(class);
        logged.at = Some(now);
        true
    }

    /// Notes that it answers again; true if that is to be logged, as its failure was.
    pub(super) fn succeeded(&self, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut logged.classes).is_empty() {
            return false;
        }
        logged.at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_a_failure_is_logged_once() {
        let (report, now) = (Report::default(), Instant::now());
        assert!(report.failed("timeout", now) && !report.failed("timeout", now + 9 * PAUSE));
        assert!(report.failed("io", now) && !report.failed("timeout", now));
        assert!(report.succeeded(now) && !report.succeeded(now));
    }

    #[test]
    fn failures_between_successes_are_logged_now_and_then() {
        let (report, begun) = (Report::default(), Instant::now());
        let mut lines = [0, 0];
        for second in 0..100 {
            let now = begun + Duration::from_secs(second);
            lines[0] += usize::from(report.failed("timeout", now));
            lines[1] += usize::from(report.succeeded(now));
        }
        assert_eq!(lines, [10, 10], "in 100 s");
        let lasts = |second| report.failed("timeout", begun + Duration::from_secs(second));
        assert_eq!([95, 99, 100, 101].map(lasts), [false, false, true, false], "what lasts is logged");
    }
}
