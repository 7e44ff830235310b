//! What the log says of failures: once per change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The time from one line to the next with another text: texts that differ each time would fill the log.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest text that is kept and logged of an error, in bytes.
const TEXT_MAX: usize = 1024;

/// Something that fails or not, as it was logged last.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Whether something fails, to be read without the lock.
    fails: AtomicBool,
    fare: Mutex<Fare>,
}

#[derive(Debug, Default)]
struct Fare {
    said: Option<Said>,
    /// When the last line was logged: of a failure, or of its end.
    at: Option<Instant>,
}

#[derive(Debug)]
struct Said {
    text: String,
    at: Instant,
    failures: u64,
    /// False while the failure follows another too soon.
    is_logged: bool,
}

impl Report {
    /// Notes a failure; the text, if it is to be logged.
    pub(crate) fn failed(&self, because: String) -> Option<String> {
        let text = shortened(because);
        let mut fare = self.fare.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = fare.said.as_ref().map_or(0, |said| said.failures) + 1;
        self.fails.store(true, Ordering::Relaxed);
        if let Some(said) = fare.said.as_mut().filter(|said| said.is_logged)
            && (said.text == text || said.at.elapsed() < PAUSE)
        {
            said.failures = failures;
            return None;
        }
        let now = Instant::now();
        // A tier that fails and answers in turn would fill the log.
        let is_logged = fare.at.is_none_or(|at| now.duration_since(at) >= PAUSE);
        fare.said = Some(Said { text: text.clone(), at: now, failures, is_logged });
        if is_logged {
            fare.at = Some(now);
        }
        is_logged.then_some(text)
    }

    /// Notes a success; how many failures came before it, if that is to be logged.
    pub(crate) fn succeeded(&self) -> Option<u64> {
        if !self.fails.load(Ordering::Relaxed) {
            return None;
        }
        let mut fare = self.fare.lock().unwrap_or_else(PoisonError::into_inner);
        self.fails.store(false, Ordering::Relaxed);
        let said = fare.said.take().filter(|said| said.is_logged)?;
        fare.at = Some(Instant::now());
        Some(said.failures)
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_logged_once_per_change() {
        let report = Report::default();
        let failed = |text: &str| report.failed(text.to_owned()).is_some();
        assert!(failed("no route") && !failed("no route"));
        // Texts that differ each time come now and then.
        let mut lines = 0;
        for number in 0..100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            lines += usize::from(failed(&number.to_string()));
        }
        assert_eq!(lines, 10);
        assert_eq!((report.succeeded(), report.succeeded()), (Some(102), None));
        let mut lines = 0;
        for _ in 0..600 {
            lines += usize::from(failed("late"));
            report.succeeded();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!((4..=6).contains(&lines), "{lines} in 60 s of failures and successes in turn");
        let mut lines = 0;
        for _ in 0..20 {
            lines += usize::from(failed("late"));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(lines, 1, "what lasts is logged");
    }
}
