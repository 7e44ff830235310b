//! Stopping in stages, under one deadline.

use super::running::{Running, Tasks};
use super::{StopError, heads_file};
use crate::net::supervise::Phase;
use futures::FutureExt;
use hydra_api::{Causes, HeldSlot, IdAllocator};
use hydra_engine::CloseReport;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long heads and tasks have to end.
const TASKS_WAIT: Duration = Duration::from_secs(5);
/// What is left of the deadline for giving the identities back.
const RELEASE_WAIT: Duration = Duration::from_millis(500);
/// How long the last spans may take to be sent, if so much is left of the deadline.
const SPANS_WAIT: Duration = Duration::from_secs(2);

/// Stops what runs. A node that serves is drained first: its wire says what is under way.
pub(super) async fn stop(mut running: Running, serving: Option<&hydra_kad::Stats>) -> Result<(), StopError> {
    let within = Duration::from_millis(running.config.shutdown.deadline_ms.into());
    let deadline = Instant::now() + within;
    let stopped = timeout_at(deadline, stages(&mut running, serving, deadline)).await;
    // Nobody makes a span any more. A collector that hangs does not make a clean stop an unclean one.
    let left = deadline.saturating_duration_since(Instant::now());
    running.exporter.stop(SPANS_WAIT.min(left)).await;
    stopped.unwrap_or(Err(StopError::Deadline(within)))
}

async fn stages(
    running: &mut Running,
    serving: Option<&hydra_kad::Stats>,
    deadline: Instant,
) -> Result<(), StopError> {
    if let Some(wire) = serving {
        if running.config.shutdown.leaves_server_mode {
            tracing::info!("leaving server mode");
        }
        running.phase.send_replace(Phase::Draining);
        // Others learn of it by identify; what they have under way is answered meanwhile.
        let drain = Duration::from_millis(running.config.shutdown.drain_ms.into());
        // At least half of the time is left for what follows.
        let half = deadline.saturating_duration_since(Instant::now()) / 2;
        drained(wire, Instant::now() + drain.min(half)).await;
    }
    // From here on nobody can be reached: the file says where heads are, so it goes first, whatever the store does. A start
    // that did not write it leaves it alone: it may be that of another node.
    if let Some(task) = &mut running.tasks.heads_file {
        task.abort();
        // It was ended: that is what the error says.
        let _ended = task.await.is_err();
        heads_file::remove(&running.config.data_dir);
    }
    running.phase.send_replace(Phase::Stopping);
    // A task that hangs takes none of the time for the records that are not written yet.
    let left = deadline.saturating_duration_since(Instant::now());
    let held = end(&mut running.tasks, Instant::now() + TASKS_WAIT.min(left / 4)).await;
    if serving.is_some() {
        tracing::info!("writing the queued records");
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let report = running.engine.close(left.saturating_sub(RELEASE_WAIT)).await;
    if !held.is_empty() {
        release(&*running.ids, &held).await;
    }
    // The operator pages go last: they tell how the stop goes on.
    if let Some(http) = running.http.take() {
        http.stop().await;
    }
    verdict(&report)
}

/// Waits until the tasks have ended. Returns the leases that are still held.
async fn end(tasks: &mut Tasks, until: Instant) -> Vec<HeldSlot> {
    let mut held = Vec::new();
    if let Some(leases) = &mut tasks.leases {
        match timeout_at(until, &mut *leases).await {
            Ok(Ok(still_held)) => held = still_held,
            Ok(Err(cause)) => tracing::error!(error = %cause, "the lease keeper ended early"),
            Err(_) => {
                tracing::error!("the heads do not end in time");
                leases.abort();
            }
        }
    }
    for task in [
        &mut tasks.ebb,
        &mut tasks.reachability,
        &mut tasks.advertiser,
        &mut tasks.table_maintenance,
        &mut tasks.scout,
    ]
    .into_iter()
    .flatten()
    {
        match timeout_at(until, &mut *task).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => tracing::error!(error = %cause, "a task ended early"),
            Err(_) => {
                tracing::error!("a task does not end in time");
                task.abort();
            }
        }
    }
    held
}

async fn release(ids: &dyn IdAllocator, held: &[HeldSlot]) {
    match timeout(RELEASE_WAIT, AssertUnwindSafe(ids.release(held)).catch_unwind()).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(cause))) => tracing::warn!(error = %Causes(&cause), "cannot release the identities"),
        Ok(Err(_)) => tracing::warn!("the allocator of identities panicked at the release"),
        Err(_) => tracing::warn!("cannot release the identities in time, their leases end by themselves"),
    }
}

/// Waits until no request is being served, or until the time is up. Streams without a request are not waited for: clients
/// keep them for their next one.
async fn drained(wire: &hydra_kad::Stats, until: Instant) {
    const STEP: Duration = Duration::from_millis(50);
    /// Identify needs a moment to tell others.
    const AT_LEAST: u32 = 4;
    for step in 0.. {
        if Instant::now() >= until || (step >= AT_LEAST && wire.requests_open() == 0) {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
}

fn verdict(report: &CloseReport) -> Result<(), StopError> {
    match (report.unwritten, report.store_fault()) {
        (0, None) => Ok(()),
        (0, Some(why)) => Err(StopError::Store(why)),
        (records, _) => Err(StopError::Unwritten { records, why: report.unwritten_because() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_engine::StoreClosed;

    #[test]
    fn records_that_had_no_time_are_told_how_much_they_had() {
        let report = |unwritten, store| CloseReport {
            unwritten,
            writing: Duration::from_millis(4_321),
            running: 0,
            store,
            last_error: (unwritten > 0).then(|| "insert: the store is unavailable: no answer".to_owned()),
        };
        let told = verdict(&report(7, StoreClosed::Closed)).unwrap_err().to_string();
        assert!(told.contains("7 queued records") && told.contains("left 4321 ms for them"), "{told}");
        assert!(
            told.ends_with("; the last write failed: insert: the store is unavailable: no answer"),
            "{told}"
        );
        let told = verdict(&report(7, StoreClosed::Unanswered)).unwrap_err().to_string();
        assert!(told.contains("it does not answer"), "{told}");
        assert!(verdict(&report(0, StoreClosed::Closed)).is_ok());
    }
}
