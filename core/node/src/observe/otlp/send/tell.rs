//! What the log says of the sending: changes, and not too often.

use super::super::count::Stats;
use opentelemetry_sdk::error::OTelSdkError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time from one line to the next.
const PAUSE: Duration = Duration::from_secs(60);

/// Tells when sending begins or ceases to fail, and when spans were dropped meanwhile.
#[derive(Debug)]
pub(super) struct Teller {
    collector: String,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    failing: bool,
    dropped: u64,
}

/// What is worth a line.
#[derive(Debug, PartialEq, Eq)]
enum News {
    None,
    Fails,
    Works,
    Drops(u64),
}

impl Teller {
    /// One for this collector, as it may be shown.
    pub(super) fn new(collector: String) -> Self {
        Self { collector, told: Mutex::default() }
    }

    /// Tells what the end of an export is worth.
    pub(super) fn tell(&self, failure: Option<&OTelSdkError>, stats: &Stats) {
        let news = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.news(failure.is_some(), stats.dropped(), Instant::now())
        };
        let collector = &self.collector;
        match (news, failure) {
            (News::Fails, Some(cause)) => {
                tracing::warn!(collector, error = %cause, "traces cannot be sent");
            }
            (News::Works, _) => {
                let (failed, dropped) = (stats.failed(), stats.dropped());
                tracing::warn!(collector, failed, dropped, "traces are sent again");
            }
            (News::Drops(dropped), _) => {
                tracing::warn!(collector, dropped, "spans are dropped: they come faster than they are sent");
            }
            (News::None | News::Fails, _) => {}
        }
    }
}

impl Told {
    fn news(&mut self, failing: bool, dropped: u64, now: Instant) -> News {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return News::None;
        }
        let news = match (failing, dropped - self.dropped) {
            (true, _) if !self.failing => News::Fails,
            (false, _) if self.failing => News::Works,
            (false, more @ 1..) => News::Drops(more),
            (true, _) | (false, 0) => return News::None,
        };
        *self = Self { at: Some(now), failing, dropped };
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told_and_one_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut told = Told::default();
        assert_eq!(told.news(false, 0, at(0)), News::None, "all is well from the start");
        assert_eq!(told.news(true, 0, at(1)), News::Fails);
        assert_eq!(told.news(false, 0, at(2)), News::None, "too soon");
        assert_eq!(told.news(true, 0, at(3)), News::None, "too soon");
        assert_eq!(told.news(true, 0, at(100)), News::None, "nothing new");
        assert_eq!(told.news(true, 9, at(101)), News::None, "that spans are dropped goes without saying");
        assert_eq!(told.news(false, 9, at(102)), News::Works);
        assert_eq!(told.news(false, 12, at(103)), News::None, "too soon");
        assert_eq!(told.news(false, 12, at(163)), News::Drops(3), "kept until it may be told");
        assert_eq!(told.news(false, 12, at(300)), News::None, "nothing new");
    }
}
