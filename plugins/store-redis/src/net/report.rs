//! What the log says of the servers: once per change, and of what comes and goes now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time from the end of one failure that was logged to the first line of the next.
const PAUSE: Duration = Duration::from_secs(10);

/// What has not been the case for so long is news again.
const REST: Duration = Duration::from_secs(600);

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

/// Faults of a part of the servers, by class, and when each was seen last.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<HashMap<&'static str, Instant>>);

impl Faults {
    /// Notes a fault of this class; true if it is to be logged.
    pub(super) fn is_news(&self, class: &'static str, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(class, now).is_none_or(|last| now.saturating_duration_since(last) >= REST)
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
    fn a_fault_of_a_part_is_logged_once_until_it_has_rested() {
        let (faults, now) = (Faults::default(), Instant::now());
        let is_news = |class, seconds| faults.is_news(class, now + Duration::from_secs(seconds));
        assert!(is_news("CLUSTERDOWN", 0) && is_news("READONLY", 0));
        assert!((1..1000).all(|second| !is_news("CLUSTERDOWN", second)));
        assert!(is_news("CLUSTERDOWN", 999 + REST.as_secs()));
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
