//! What the log says of store calls: each failure with its causes, once per change.

use super::stats::StoreCall;
use crate::clock::monotonic;
use crate::sync::lock;
use hydra_api::{Causes, Sharing, StoreError, StoreErrorKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time from one line of a kind to the next with another text.
const PAUSE: Duration = Duration::from_secs(10);
/// What has not been the case for so long is news again.
const REST: Duration = Duration::from_secs(600);
/// The longest text that is kept and logged of an error, in bytes.
const TEXT_MAX: usize = 1_024;

/// How each kind of call fares: as it was logged last.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// What an operator does about damage.
    mend: &'static str,
    calls: [Report; StoreCall::ALL.len()],
    corrupt: Mutex<Option<String>>,
    refused: Mutex<Option<Said>>,
    gave_up: Mutex<Option<Said>>,
    no_room: Mutex<Option<Said>>,
    part_away: Mutex<Option<Said>>,
    writes_hang: Mutex<Option<Said>>,
    /// A part of the store that fails, by call.
    in_part: [Mutex<Option<Said>>; StoreCall::ALL.len()],
}

#[derive(Debug, Default)]
struct Report {
    /// Whether the last call failed or brought a part alone, to be read without the lock.
    fails: AtomicBool,
    /// The error of that call.
    last: Mutex<Option<String>>,
    history: Mutex<History>,
}

/// How the calls of a kind have fared.
#[derive(Debug, Default)]
struct History {
    /// Since the last one that succeeded.
    failing: Option<Failing>,
    /// When a failure after a success was logged last.
    logged_at: Option<Instant>,
}

/// A text, when it was logged, and when it was last to be logged.
#[derive(Debug)]
struct Said {
    text: String,
    at: Instant,
    last: Instant,
}

#[derive(Debug)]
struct Failing {
    because: Said,
    /// Calls that have failed since it began.
    failures: u64,
    is_logged: bool,
}

impl History {
    /// Notes a failure; true if it is to be logged. Where failures and successes alternate, as those of a store of which a part is
    /// away, the first of them is news, and others after a while.
    fn fails(&mut self, because: &str) -> bool {
        let (now, because) = (monotonic(), because.to_owned());
        let failing = self.failing.get_or_insert_with(|| Failing {
            because: Said::now(because.clone()),
            failures: 0,
            is_logged: false,
        });
        failing.failures += 1;
        if failing.is_logged {
            if failing.because.covers(&because) {
                return false;
            }
        } else if self.logged_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return false;
        } else {
            self.logged_at = Some(now);
        }
        (failing.because, failing.is_logged) = (Said::now(because), true);
        true
    }

    /// Notes a success; the failures before it, if they were logged.
    fn succeeds(&mut self) -> Option<u64> {
        self.failing.take().filter(|failing| failing.is_logged).map(|failing| failing.failures)
    }
}

/// What an operator does about damage of a store that only this process has.
const MEND_OWN: &str = "restart the node, which sets damaged files aside and begins empty";
/// What an operator does about damage of a store that other processes use too.
const MEND_SHARED: &str =
    "let the nodes run, a restart does not help: repair the database, restore it from a backup or empty it";

impl Reports {
    pub(crate) fn new(sharing: Sharing) -> Self {
        let mend = match sharing {
            Sharing::OneProcess => MEND_OWN,
            Sharing::BetweenProcesses => MEND_SHARED,
        };
        Self { mend, ..Self::default() }
    }

    /// Notes a call that succeeded, and logs it if those before failed.
    pub(crate) fn succeeded(&self, call: StoreCall) {
        let report = &self.calls[call as usize];
        if !report.fails.load(Ordering::Relaxed) {
            return;
        }
        report.fails.store(false, Ordering::Relaxed);
        *lock(&report.last) = None;
        if let Some(failures) = lock(&report.history).succeeds() {
            tracing::info!(call = call.as_str(), failures, "the store call succeeds again");
        }
    }

    /// Notes a call that failed, and logs it unless the one before failed for the same reason, or the damage that it found was just
    /// logged.
    pub(crate) fn failed(&self, call: StoreCall, error: &StoreError) {
        let because = shortened(Causes(error).to_string());
        let is_logged = error.kind() == StoreErrorKind::Corrupt && self.is_corrupt(call, &because);
        if self.record(call, because.clone()) && !is_logged {
            tracing::warn!(call = call.as_str(), error = %because, "the store call fails");
        }
    }

    /// Notes a call that was answered, but for some keys or records, and logs it unless it did before.
    pub(crate) fn failed_in_part(&self, call: StoreCall, kind: StoreErrorKind, cause: Option<String>) {
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        let because = shortened(format!("a part of the store is {}{cause}", kind.as_str()));
        let is_logged = kind == StoreErrorKind::Corrupt && self.is_corrupt(call, &because);
        let report = &self.calls[call as usize];
        *lock(&report.last) = Some(because.clone());
        report.fails.store(true, Ordering::Relaxed);
        if let Some(error) = changed(&self.in_part[call as usize], &because)
            && !is_logged
        {
            tracing::warn!(call = call.as_str(), %error, "the store call fails for some keys");
        }
    }

    /// Logs the first damage: one line, with the one thing to do. True if it did.
    fn is_corrupt(&self, call: StoreCall, because: &str) -> bool {
        let mut corrupt = lock(&self.corrupt);
        if corrupt.is_some() {
            return false;
        }
        tracing::error!(
            call = call.as_str(),
            error = %because,
            "the store is corrupt: {}; records are announced again within 22 hours",
            self.mend
        );
        *corrupt = Some(because.to_owned());
        true
    }

    /// As [`Self::failed`], for a call that panicked or broke the contract of the store.
    pub(crate) fn broke(&self, call: StoreCall, because: String) {
        if self.record(call, because.clone()) {
            tracing::warn!(call = call.as_str(), error = %because, "the store call fails");
        }
    }

    /// Notes a call that failed; true if it is to be logged.
    fn record(&self, call: StoreCall, because: String) -> bool {
        let report = &self.calls[call as usize];
        let is_news = lock(&report.history).fails(&because);
        *lock(&report.last) = Some(because);
        report.fails.store(true, Ordering::Relaxed);
        is_news
    }

    /// The error of the last call of a kind, unless it succeeded.
    pub(crate) fn last_error(&self, call: StoreCall) -> Option<String> {
        lock(&self.calls[call as usize].last).clone()
    }

    /// Notes a record that the store refuses, and logs the reason unless it is that of the one before. The counters say how
    /// many there are.
    pub(crate) fn refused(&self, because: &str) {
        if let Some(reason) = changed(&self.refused, because) {
            tracing::warn!(%reason, "the store refuses records; they are dropped");
        }
    }

    /// Notes a record that is dropped because the store failed on it alone each time, and logs the error unless it is that
    /// of the one before.
    pub(crate) fn gave_up(&self, because: &str) {
        if let Some(error) = changed(&self.gave_up, because) {
            tracing::warn!(%error, "the store fails again and again on single records; they are dropped");
        }
    }

    /// Notes a record for which the store has no room, and logs the first.
    pub(crate) fn no_room(&self) {
        if changed(&self.no_room, "no room").is_some() {
            tracing::warn!("the store has no room for more records; they are dropped");
        }
    }

    /// Notes records that give way to others in the write queue as a part of the store is away, and logs the first.
    pub(crate) fn part_away(&self) {
        if changed(&self.part_away, "away").is_some() {
            tracing::warn!(
                "the write queue is full, half of it with records of a part of the store that is unavailable; further records of that \
                 part are dropped"
            );
        }
    }

    /// Notes that no write has ended for so long although writes are not paused, and logs it unless it was so before.
    pub(crate) fn writes_hang(&self, waited: Duration) {
        if changed(&self.writes_hang, "hangs").is_some() {
            let seconds = waited.as_secs();
            tracing::warn!(seconds, "no write has ended for a long time; those that hang keep their permits");
        }
    }

    /// What is damaged.
    pub(crate) fn corrupt(&self) -> Option<String> {
        lock(&self.corrupt).clone()
    }
}

/// The text, if it is to be logged.
fn changed(said: &Mutex<Option<Said>>, text: &str) -> Option<String> {
    let text = shortened(text.to_owned());
    let mut said = lock(said);
    if said.as_mut().is_some_and(|said| said.covers(&text)) {
        return None;
    }
    *said = Some(Said::now(text.clone()));
    Some(text)
}

impl Said {
    fn now(text: String) -> Self {
        let now = monotonic();
        Self { text, at: now, last: now }
    }

    /// True if another text need not be logged: it is the same, or it comes so soon that texts which differ each time, as
    /// those with a number in them, would fill the log.
    fn covers(&mut self, text: &str) -> bool {
        let now = monotonic();
        let rested = now.saturating_duration_since(std::mem::replace(&mut self.last, now)) >= REST;
        (self.text == text && !rested) || now.saturating_duration_since(self.at) < PAUSE
    }
}

/// An error's text, cut to what a log line holds.
pub(crate) fn shortened(mut text: String) -> String {
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

    /// What a call writes to the log.
    fn logged(call: impl FnOnce()) -> String {
        let (mut read, written) = std::io::pipe().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_writer(Mutex::new(written))
            .finish();
        tracing::subscriber::with_default(subscriber, call);
        let mut logged = String::new();
        std::io::Read::read_to_string(&mut read, &mut logged).unwrap();
        logged
    }

    #[test]
    fn damage_is_logged_once_with_the_one_thing_to_do() {
        for (sharing, mend, other) in [
            (Sharing::OneProcess, "restart the node", "let the nodes run"),
            (Sharing::BetweenProcesses, "let the nodes run", "restart the node"),
        ] {
            let reports = Reports::new(sharing);
            let error = StoreError::because(StoreErrorKind::Corrupt, "providers", "a page is damaged");
            let logged = logged(|| {
                reports.failed(StoreCall::Providers, &error);
                reports.failed(StoreCall::Providers, &error);
            });
            assert_eq!(logged.lines().count(), 1, "{logged}");
            assert!(logged.contains(mend) && !logged.contains(other), "{logged}");
            assert!(logged.contains("ERROR") && logged.contains("a page is damaged"), "{logged}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn texts_that_differ_each_time_are_logged_now_and_then() {
        let said = Mutex::default();
        let mut lines = 0;
        for number in 0..1_000 {
            lines += usize::from(changed(&said, &format!("row {number} is too long")).is_some());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(lines, 10, "in 100 s");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_between_successes_are_logged_now_and_then() {
        let (mut history, mut lines) = (History::default(), [0, 0]);
        for _ in 0..=1_000 {
            lines[0] += usize::from(history.fails("a part of the store is away"));
            lines[1] += usize::from(history.succeeds().is_some());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(lines, [11, 11], "in 100 s");
        assert!(!history.fails("no space"), "it may pass");
        tokio::time::sleep(PAUSE).await;
        assert!(history.fails("no space"), "it goes on");
        assert_eq!(history.succeeds(), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_text_is_logged_once() {
        let said = Mutex::default();
        assert!(changed(&said, "no space").is_some());
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(changed(&said, "no space").is_none());
        }
        assert!(changed(&said, "read-only").is_some());
        tokio::time::sleep(REST).await;
        assert!(changed(&said, "read-only").is_some(), "it was not so for a while");
    }
}
