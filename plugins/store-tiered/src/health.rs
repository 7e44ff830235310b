//! Whether an upper tier answers: a tier that does not is left alone, and the log says so once.

use crate::report::Report;
use rand::RngExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// After so many failed calls in a row a tier is left alone.
const FAILURES_MAX: u32 = 3;
/// The pause from one call to the next of a tier that is left alone, give or take a quarter.
const PAUSE: Duration = Duration::from_secs(1);

/// How an upper tier fares.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Whether the last call failed, to be read without the lock.
    fails: AtomicBool,
    state: Mutex<State>,
    failing: Report,
    untaken: Report,
}

#[derive(Debug, Default)]
struct State {
    failures_in_a_row: u32,
    /// When the next call may pass; none while all may.
    next_call: Option<Instant>,
    /// Until when it is not filled: it had no room.
    full_until: Option<Instant>,
}

/// What a failed call has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// From now on the tier is left alone.
    LeftAlone,
    /// Nothing.
    None,
}

impl Health {
    /// Whether a call may be made now. Of a tier that is left alone one call may pass after each pause: a caller that is
    /// told so makes it.
    pub(crate) fn may_call(&self) -> bool {
        if self.is_well() {
            return true;
        }
        let mut state = self.state();
        let Some(next_call) = state.next_call else { return true };
        let now = Instant::now();
        if now < next_call {
            return false;
        }
        state.next_call = Some(now + pause());
        true
    }

    /// Whether the last call was answered.
    pub(crate) fn is_well(&self) -> bool {
        !self.fails.load(Ordering::Acquire)
    }

    /// A call was answered.
    pub(crate) fn answered(&self, tier: &str) {
        if self.is_well() {
            return;
        }
        let mut state = self.state();
        (state.failures_in_a_row, state.next_call) = (0, None);
        self.fails.store(false, Ordering::Release);
        drop(state);
        if let Some(failures) = self.failing.succeeded() {
            tracing::info!(tier, failures, "the upper tier answers again");
        }
    }

    /// A call has failed.
    pub(crate) fn failed(&self, tier: &str, because: String) -> Change {
        let mut state = self.state();
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        self.fails.store(true, Ordering::Release);
        let mut change = Change::None;
        if state.failures_in_a_row >= FAILURES_MAX {
            if state.next_call.is_none() {
                change = Change::LeftAlone;
            }
            state.next_call = Some(Instant::now() + pause());
        }
        drop(state);
        if let Some(error) = self.failing.failed(because) {
            tracing::warn!(tier, error, "an upper tier fails: the tiers below it answer");
        }
        change
    }

    /// A fill found no room.
    pub(crate) fn found_full(&self) {
        self.state().full_until = Some(Instant::now() + pause());
    }

    /// Whether a fill may find room.
    pub(crate) fn may_fill(&self) -> bool {
        self.state().full_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Logs why the tier did not take a record, once per change.
    pub(crate) fn untaken(&self, tier: &str, because: &str) {
        if let Some(reason) = self.untaken.failed(because.to_owned()) {
            tracing::info!(
                tier,
                reason,
                "an upper tier does not take a record: the tiers below it answer for its key"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause() -> Duration {
    PAUSE.mul_f64(rand::rng().random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(health: &Health) -> Change {
        health.failed("tiers[0] (test)", "no route".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_tier_that_fails_again_and_again_is_asked_once_per_pause() {
        let health = Health::default();
        assert_eq!(
            [(); 4].map(|()| fail(&health)),
            [Change::None, Change::None, Change::LeftAlone, Change::None]
        );
        assert!(!health.may_call());
        let mut calls = 0;
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if health.may_call() {
                calls += 1;
                fail(&health);
            }
        }
        assert!((7..=14).contains(&calls), "{calls} calls in 10 s");
        health.answered("tiers[0] (test)");
        assert!(health.may_call() && health.may_call() && health.is_well());
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_makes_up_for_the_failures_before() {
        let health = Health::default();
        for _ in 0..10 {
            assert_eq!([fail(&health), fail(&health)], [Change::None; 2]);
            assert!(health.may_call());
            health.answered("tiers[0] (test)");
        }
    }
}
