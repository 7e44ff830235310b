//! Writes what waits in the ring: in windows, sorted, cut into batches, at a pace that no load exceeds.

use crate::core::Core;
use crate::ring::{Pushed, Waiting};
use crate::stats::StoreCall;
use crate::{statement, trace};
use hydra_api::{Inserted, ProviderRecord, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The longest pause after windows that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause after a failed window once the desk is closing: time is short, and nothing new comes in.
const CLOSING_PAUSE: Duration = Duration::from_millis(100);

/// After how many failed batches in a row the rest of a window goes back: the store needs a rest, not more of the same.
const FAILED_BATCHES_MAX: u32 = 2;

/// Flushes until the desk is closing and the ring is empty.
pub(crate) async fn run(core: Arc<Core>) {
    let mut started = Instant::now();
    let mut failed_windows = 0u32;
    loop {
        wait(&core, started, failed_windows).await;
        if core.is_closing() && core.ring.level().used == 0 {
            return;
        }
        started = Instant::now();
        match write_window(&core).await {
            Window::Written => {
                if failed_windows > 0 {
                    tracing::info!(failed_windows, "the store takes writes again");
                }
                failed_windows = 0;
            }
            Window::Failed(error) => {
                if failed_windows == 0 {
                    let error = error.as_ref().map_or("it panicked".to_owned(), ToString::to_string);
                    tracing::warn!(%error, "writing to the store failed; the records wait for another try");
                }
                failed_windows = failed_windows.saturating_add(1);
            }
        }
    }
}

/// Waits until the next window is due.
async fn wait(core: &Core, started: Instant, failed_windows: u32) {
    let limits = &core.limits;
    if failed_windows > 0 {
        let pause = limits.flush_interval.saturating_mul(1 << failed_windows.min(10)).min(PAUSE_MAX);
        tokio::select! {
            () = sleep_until(started + pause) => return,
            () = core.closing() => {}
        }
        sleep_until((started + CLOSING_PAUSE).min(started + pause)).await;
        return;
    }
    let early = async {
        sleep_until(started + limits.flush_interval_min).await;
        core.ring.window_waits().await;
    };
    tokio::select! {
        () = sleep_until(started + limits.flush_interval) => {}
        () = early => {}
        () = core.closing() => {}
    }
}

enum Window {
    Written,
    /// At least one batch failed; by a panic when there is no error.
    Failed(Option<StoreError>),
}

async fn write_window(core: &Core) -> Window {
    let mut window = core.ring.take_window();
    if window.is_empty() {
        return Window::Written;
    }
    core.stats.windows.fetch_add(1, Ordering::Relaxed);
    core.stats.in_hand.fetch_add(window.len() as u64, Ordering::Relaxed);
    // Stores write neighbouring keys more cheaply, and sorted writers do not lock each other out.
    window.sort_unstable_by(|Waiting { record: a, .. }, Waiting { record: b, .. }| {
        a.key.cmp(&b.key).then_with(|| a.provider.cmp(&b.provider))
    });
    let mut window = window.into_iter();
    let (mut outcome, mut failed_in_a_row) = (Window::Written, 0);
    loop {
        let batch: Vec<Waiting> = window.by_ref().take(core.limits.batch_len).collect();
        if batch.is_empty() || failed_in_a_row >= FAILED_BATCHES_MAX {
            for waiting in batch.into_iter().chain(window) {
                give_back(core, waiting);
            }
            return outcome;
        }
        match write_batch(core, batch).await {
            Ok(()) => failed_in_a_row = 0,
            Err(error) => {
                failed_in_a_row += 1;
                outcome = Window::Failed(error);
            }
        }
    }
}

async fn write_batch(core: &Core, batch: Vec<Waiting>) -> Result<(), Option<StoreError>> {
    let (records, failures): (Vec<ProviderRecord>, Vec<u32>) =
        batch.into_iter().map(|waiting| (waiting.record, waiting.failures)).unzip();
    let records: Arc<[ProviderRecord]> = records.into();
    let permit = core.gate.acquire_for_chore().await;
    core.stats.write_statements.fetch_add(1, Ordering::Relaxed);
    let (store, written, now) = (core.store.clone(), records.clone(), core.clock.unix());
    let span = trace::chore(core, StoreCall::Insert, records.len());
    let insert = async move { store.insert(&written, now).await };
    let statement = statement::start(permit, &core.stats, StoreCall::Insert, span, insert);
    let outcome = statement.await;
    if let Ok(Ok(Inserted { dropped: 0, .. })) = outcome {
        core.flights.written(&records, now);
        records.iter().for_each(|record| core.recent.note(record));
    } else {
        // Which of them the store has, it does not say.
        core.flights.doubtful(&records);
    }
    let error = match outcome {
        Ok(Ok(Inserted { accepted, dropped })) => {
            core.stats.written.fetch_add(accepted, Ordering::Relaxed);
            core.stats.dropped_by_store.fetch_add(dropped, Ordering::Relaxed);
            core.stats.in_hand.fetch_sub(records.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        Ok(Err(error)) => Some(error),
        Err(_panicked) => None,
    };
    for (record, failures) in records.iter().zip(failures) {
        let failures = failures + 1;
        if failures > core.limits.write_retries {
            core.stats.dropped_after_retries.fetch_add(1, Ordering::Relaxed);
            core.stats.in_hand.fetch_sub(1, Ordering::Relaxed);
        } else {
            give_back(core, Waiting { record: record.clone(), failures });
        }
    }
    Err(error)
}

fn give_back(core: &Core, waiting: Waiting) {
    let counter = match core.ring.give_back(waiting) {
        Pushed::New => &core.stats.retried,
        Pushed::Merged => &core.stats.merged,
        Pushed::Full | Pushed::Closed => &core.stats.dropped_ring_full,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    core.stats.in_hand.fetch_sub(1, Ordering::Relaxed);
}
