//! Swarms that are started again when they fail.

use futures::FutureExt;
use hydra_api::Causes;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The pause before what failed is started again, doubled with every failure in a row.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How far the node is in its life. Every swarm follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Heads are servers.
    Serving,
    /// Heads have left server mode and answer what is under way.
    Draining,
    /// Heads end.
    Stopping,
}

/// How a swarm ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The node stops.
    Stopped,
    /// One of its tasks panicked.
    Panicked,
}

/// Runs `work`, and again whenever it fails or panics, until the node stops. `failed` is told why; `restarts` counts.
///
/// # Cancel safety
/// Dropping the future drops the work.
pub(crate) async fn supervise<F>(
    name: &str,
    mut phase: watch::Receiver<Phase>,
    restarts: &AtomicU64,
    work: impl Fn() -> F,
    failed: impl Fn(String),
) where
    F: Future<Output = io::Result<End>>,
{
    let mut pause = PAUSE;
    loop {
        let started = Instant::now();
        let cause = match AssertUnwindSafe(work()).catch_unwind().await {
            Ok(Ok(End::Stopped)) => return,
            Ok(Ok(End::Panicked)) | Err(_) => "a panic".to_owned(),
            Ok(Err(failure)) => Causes(&failure).to_string(),
        };
        // A node that is gone has stopped, too.
        if *phase.borrow() == Phase::Stopping || phase.has_changed().is_err() {
            return;
        }
        if started.elapsed() > PAUSE_MAX {
            pause = PAUSE;
        }
        let restarts = restarts.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(
            swarm = name,
            cause,
            restarts,
            pause_s = pause.as_secs(),
            "the swarm ended, restarting it"
        );
        failed(cause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // A node that stops waits for its swarms, so one that is down must not make it wait for the pause.
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => return,
        }
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests;
