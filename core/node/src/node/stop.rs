//! Stopping in stages, under one deadline.

use super::{Node, StopError, heads_file};
use crate::supervise::Phase;
use hydra_api::Causes;
use hydra_engine::{CloseReport, StoreClosed};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What is left of the deadline for giving the identities back.
const RELEASE_WAIT: Duration = Duration::from_millis(500);
/// How long the last spans may take to be sent, if so much is left of the deadline.
const SPANS_WAIT: Duration = Duration::from_secs(2);

pub(super) async fn stop(mut node: Node) -> Result<(), StopError> {
    let within = Duration::from_millis(node.config.shutdown.deadline_ms.into());
    let deadline = Instant::now() + within;
    let stopped = timeout_at(deadline, stages(&mut node, deadline)).await;
    // Nobody makes a span any more. A collector that hangs does not make a clean stop an unclean one.
    let left = deadline.saturating_duration_since(Instant::now());
    node.exporter.stop(SPANS_WAIT.min(left)).await;
    stopped.unwrap_or(Err(StopError::Deadline(within)))
}

async fn stages(node: &mut Node, deadline: Instant) -> Result<(), StopError> {
    tracing::info!("leaving server mode");
    node.phase.send_replace(Phase::Draining);
    // Others learn of it by identify; what they have under way is answered meanwhile.
    let drain = Duration::from_millis(node.config.shutdown.drain_ms.into());
    drained(node, deadline.min(Instant::now() + drain)).await;
    // From here on nobody can be reached: the file says where heads are, so it goes first, whatever the store does.
    let tasks = &mut node.tasks;
    tasks.heads_file.abort();
    // It was ended: that is what the error says.
    let _ended = (&mut tasks.heads_file).await.is_err();
    heads_file::remove(&node.config.data_dir);
    node.phase.send_replace(Phase::Stopping);
    let held = (&mut tasks.leases).await.unwrap_or_else(|cause| {
        tracing::error!(error = %cause, "the lease keeper ended early");
        Vec::new()
    });
    for task in [&mut tasks.advertiser, &mut tasks.table_maintenance, &mut tasks.scout] {
        if let Err(cause) = task.await {
            tracing::error!(error = %cause, "a task ended early");
        }
    }
    tracing::info!("writing the queued records");
    let left = deadline.saturating_duration_since(Instant::now());
    let report = node.engine.close(left.saturating_sub(RELEASE_WAIT)).await;
    if let Err(cause) = node.ids.release(&held).await {
        tracing::warn!(error = %Causes(&cause), "cannot release the identities");
    }
    // The operator pages go last: they tell how the stop goes on.
    if let Some(http) = node.http.take() {
        http.stop().await;
    }
    verdict(&report)
}

/// Waits until no request is being served, or until the time is up. Streams without a request are not waited for: clients
/// keep them for their next one.
async fn drained(node: &Node, until: Instant) {
    const STEP: Duration = Duration::from_millis(50);
    /// Identify needs a moment to tell others.
    const AT_LEAST: u32 = 4;
    for step in 0.. {
        if Instant::now() >= until || (step >= AT_LEAST && node.kad.stats.requests_open() == 0) {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
}

fn verdict(report: &CloseReport) -> Result<(), StopError> {
    let store = match &report.store {
        StoreClosed::Closed => None,
        StoreClosed::Failed(cause) => Some(Causes(cause).to_string()),
        StoreClosed::Unanswered => Some("it does not answer".to_owned()),
    };
    match (report.unwritten, store) {
        (0, None) => Ok(()),
        (0, Some(why)) => Err(StopError::Store(why)),
        (records, why) => Err(StopError::Unwritten {
            records,
            why: why.unwrap_or_else(|| "the deadline passed".to_owned()),
        }),
    }
}
