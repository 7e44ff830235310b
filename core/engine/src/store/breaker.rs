//! The breaker: a store that is unavailable is asked by single probes, not by every request.

use super::gate::{Gate, Lane};
use super::statement::Failure;
use crate::clock::monotonic;
use crate::sync::lock;
use hydra_api::StoreErrorKind;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The longest pause between two probes that a store may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a failed call weighs, and a successful one makes up for. A store of which a part is away says nothing of the keys
/// of that part; each weighs one, so that only when nothing is known of all of many does the store count as away.
const WEIGHT: u32 = 8;

/// A store that says something of some keys is not away, whatever the part of the others: only when for so long nothing was known
/// of any key are its calls paused. Keys that are cached are not asked for, so most that are may be of a part that is away.
const SILENT_MIN: Duration = Duration::from_secs(2);

fn weight(failure: &Failure) -> u32 {
    match failure {
        Failure::Unknown(_, keys) => u32::try_from(*keys).unwrap_or(WEIGHT).min(WEIGHT),
        Failure::Store(_) | Failure::Broke(_) => WEIGHT,
    }
}

/// Counts the failures of each lane. Each is paused by itself: a full disk fails writes alone, a damaged table the calls of one kind of
/// records.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u32,
    probe_interval: Duration,
    lanes: [LaneState; Lane::COUNT],
    jitter: RandomState,
    opened: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct LaneState {
    /// A copy of whether `trouble` says open, to be read without the lock.
    open: AtomicBool,
    /// Whether there were failures that successes have not made up for.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
    /// How often it was paused.
    opened: AtomicU64,
}

#[derive(Debug, Default)]
struct Trouble {
    /// That of the failures less that of the successes between them.
    weight: u32,
    /// The first failure since the last success.
    since: Option<Instant>,
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    since: Instant,
    because: String,
    pause: Duration,
    /// When the next probe may pass.
    due: Instant,
}

impl Breaker {
    pub(crate) fn new(failures_max: u32, probe_interval: Duration) -> Self {
        Self {
            failures_max,
            probe_interval,
            lanes: Default::default(),
            jitter: RandomState::new(),
            opened: Notify::new(),
            closed: Notify::new(),
        }
    }

    #[inline]
    pub(crate) fn is_open(&self, lane: Lane) -> bool {
        self.lanes[lane as usize].open.load(Ordering::Relaxed)
    }

    /// Counts a call that failed so; whether its lane is paused from now on. One that was overloaded counts only while it had
    /// no more calls to serve than one.
    pub(crate) fn failed(
        &self,
        lane: Lane,
        failure: &Failure,
        because: &str,
        now: Instant,
        gate: &Gate,
    ) -> bool {
        if failure.kind() == Some(StoreErrorKind::Refused) {
            return false;
        }
        let state = &self.lanes[lane as usize];
        let mut trouble = lock(&state.trouble);
        let pause = failure.pause().unwrap_or_default().min(PAUSE_MAX).max(self.probe_interval);
        let since = *trouble.since.get_or_insert(now);
        trouble.weight = trouble.weight.saturating_add(weight(failure)).min(WEIGHT * self.failures_max);
        state.troubled.store(true, Ordering::Relaxed);
        if let Some(open) = &mut trouble.open {
            (open.because, open.pause) = (because.to_owned(), pause);
            open.due = open.due.max(now + self.jittered(pause));
            return false;
        }
        let is_in_part = matches!(failure, Failure::Unknown(..));
        if trouble.weight < WEIGHT * self.failures_max
            || (is_in_part && now.saturating_duration_since(since) < SILENT_MIN)
        {
            return false;
        }
        let due = now + self.jittered(pause);
        trouble.open = Some(Open { since: now, because: because.to_owned(), pause, due });
        state.open.store(true, Ordering::Relaxed);
        state.opened.fetch_add(1, Ordering::Relaxed);
        // Under the lock: the gate says what the breaker says, however failures and successes meet.
        gate.set_paused(lane, true);
        drop(trouble);
        self.opened.notify_one();
        true
    }

    /// Counts a call that the store answered; whether its lane was paused until now. Then the gate is to be advanced.
    pub(crate) fn succeeded(&self, lane: Lane, gate: &Gate) -> bool {
        let state = &self.lanes[lane as usize];
        if !state.troubled.load(Ordering::Relaxed) {
            return false;
        }
        let mut trouble = lock(&state.trouble);
        let was_open = trouble.open.take().is_some();
        trouble.since = None;
        trouble.weight = if was_open { 0 } else { trouble.weight.saturating_sub(WEIGHT) };
        state.troubled.store(trouble.weight > 0, Ordering::Relaxed);
        state.open.store(false, Ordering::Relaxed);
        if was_open {
            gate.set_paused(lane, false);
        }
        drop(trouble);
        if was_open {
            self.closed.notify_waiters();
        }
        was_open
    }

    /// How often a lane was paused.
    pub(crate) fn opened(&self, lane: Lane) -> u64 {
        self.lanes[lane as usize].opened.load(Ordering::Relaxed)
    }

    /// Since when any of these lanes is paused, and why.
    pub(crate) fn paused(&self, lanes: &[Lane]) -> Option<(Instant, String)> {
        let open = |lane: &Lane| {
            let trouble = lock(&self.lanes[*lane as usize].trouble);
            trouble.open.as_ref().map(|open| (open.since, open.because.clone()))
        };
        lanes.iter().filter_map(open).min()
    }

    /// Waits until a probe of a paused lane is due, and returns the lane. The next one is due after its pause, give or take a
    /// quarter: that of the breaker, or the one that the store asked for last.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub(crate) async fn due(&self) -> Lane {
        loop {
            let dues = Lane::ALL.into_iter().filter_map(|lane| {
                let trouble = lock(&self.lanes[lane as usize].trouble);
                Some((trouble.open.as_ref()?.due, lane))
            });
            let Some((due, lane)) = dues.min_by_key(|(due, _)| *due) else {
                self.opened.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.opened.notified() => continue,
            }
            let mut trouble = lock(&self.lanes[lane as usize].trouble);
            // It may have been resumed, or have failed once more with a longer pause.
            if let Some(open) = trouble.open.as_mut().filter(|open| open.due <= monotonic()) {
                open.due = monotonic() + self.jittered(open.pause);
                return lane;
            }
        }
    }

    fn jittered(&self, pause: Duration) -> Duration {
        let share = self.jitter.hash_one(Instant::now()) % 512;
        pause.mul_f64(0.75 + share as f64 / 1_024.0)
    }

    /// Waits until a lane that is paused is resumed.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub(crate) async fn resumed(&self) {
        self.closed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::StoreError;

    fn unavailable() -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, "providers")
    }

    fn fail(breaker: &Breaker, lane: Lane) -> bool {
        let gate = Gate::new(1, 1);
        breaker.failed(lane, &unavailable().into(), "no route", Instant::now(), &gate)
    }

    #[tokio::test]
    async fn a_lane_opens_after_failures_without_as_many_successes_and_closes_with_one() {
        let (breaker, gate) = (Breaker::new(3, Duration::from_millis(300)), Gate::new(1, 1));
        for _ in 0..10 {
            assert!(!fail(&breaker, Lane::Reads) && !breaker.succeeded(Lane::Reads, &gate));
        }
        assert_eq!([(); 4].map(|()| fail(&breaker, Lane::Reads)), [false, false, true, false]);
        assert!(breaker.is_open(Lane::Reads) && !breaker.is_open(Lane::Writes));
        assert_eq!(breaker.paused(&Lane::ALL).map(|(_, because)| because), Some("no route".to_owned()));
        let opened = Instant::now();
        assert_eq!(breaker.due().await, Lane::Reads);
        let pause = opened.elapsed();
        assert!(pause >= Duration::from_millis(225), "{pause:?}");
        assert!(breaker.succeeded(Lane::Reads, &gate) && !breaker.is_open(Lane::Reads));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_asks_for_a_longer_pause_and_gets_a_bounded_one() {
        let breaker = Breaker::new(1, Duration::from_millis(300));
        let gate = Gate::new(1, 1);
        let torn = StoreError::new(StoreErrorKind::Corrupt, "insert").retry_after(Duration::MAX);
        breaker.failed(Lane::Writes, &torn.into(), "torn", monotonic(), &gate);
        assert!(gate.try_acquire(Lane::Writes).is_none() && gate.try_acquire(Lane::Reads).is_some());
        let begun = monotonic();
        assert_eq!(breaker.due().await, Lane::Writes);
        let pause = monotonic().saturating_duration_since(begun);
        assert!((Duration::from_secs(22)..Duration::from_secs(38)).contains(&pause), "{pause:?}");
    }

    #[test]
    fn what_is_refused_is_no_trouble_of_the_breaker() {
        let (breaker, gate) = (Breaker::new(1, Duration::from_millis(300)), Gate::new(1, 1));
        let failure = StoreError::new(StoreErrorKind::Refused, "insert").into();
        assert!(!breaker.failed(Lane::Writes, &failure, "", Instant::now(), &gate));
    }

    #[test]
    fn a_part_that_is_away_opens_no_lane_and_all_of_them_do() {
        let (breaker, gate) = (Breaker::new(3, Duration::from_millis(300)), Gate::new(1, 1));
        let silent = |keys, at| {
            let failure = Failure::Unknown(unavailable(), keys);
            breaker.failed(Lane::Reads, &failure, "", at, &gate)
        };
        let mut now = Instant::now();
        for _ in 0..100 {
            // Nearly all keys that are not cached are of the part that is away.
            now += Duration::from_secs(1);
            assert!(!(0..100).any(|_| silent(1, now)) && !silent(256, now));
            breaker.succeeded(Lane::Reads, &gate);
        }
        assert!(!silent(256, now) && !silent(256, now) && !silent(256, now));
        let first = now;
        // A part that answers may not be asked for a moment, as its keys are cached.
        for millis in [1, 500, 1_000, 1_900] {
            assert!(!silent(256, first + Duration::from_millis(millis)), "after {millis} ms");
        }
        assert!(silent(1, first + Duration::from_millis(2_000)), "nothing is known of any");
    }
}
