//! What the log says of a failure that is tried again for ever: each cause once.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The causes that are remembered. A text that differs each time, as one with a number in it, makes more of them.
const CAUSES_MAX: usize = 8;
/// The time from one line to the next once there were more causes than that.
const PAUSE: Duration = Duration::from_secs(60);

/// The causes of a repeated failure that are in the log since it began. Causes that alternate are logged once each.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    logged: VecDeque<String>,
    last: Option<Instant>,
}

impl FailureLog {
    /// True if this cause is to be logged.
    pub(crate) fn is_news(&mut self, cause: &str, now: Instant) -> bool {
        if self.logged.iter().any(|logged| logged == cause) {
            return false;
        }
        if self.logged.len() == CAUSES_MAX {
            if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
                return false;
            }
            self.logged.pop_front();
        }
        self.logged.push_back(cause.to_owned());
        self.last = Some(now);
        true
    }

    /// The failure is over; true if it was logged.
    pub(crate) fn end(&mut self) -> bool {
        !std::mem::take(self).logged.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn causes_that_alternate_are_logged_once_each_until_the_failure_is_over() {
        let (mut log, now) = (FailureLog::default(), Instant::now());
        let logged =
            (0..1_000).filter(|at| log.is_news(["refused", "no route"][at % 2], now + SECOND)).count();
        assert_eq!(logged, 2);
        assert!(log.end() && !log.end());
        assert!(log.is_news("refused", now));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_that_differ_each_time_are_logged_now_and_then() {
        let (mut log, start) = (FailureLog::default(), Instant::now());
        let logged = (0..3_600).filter(|at| log.is_news(&format!("attempt {at}"), start + SECOND * *at));
        assert!((60..=70).contains(&logged.count()), "about one a minute");
    }
}
