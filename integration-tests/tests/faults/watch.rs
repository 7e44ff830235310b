//! Looks at a node again and again, as an operator's tools do.

use hydra_integration_tests::{http, measure};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// What a node looked like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// When it was asked.
    pub(crate) at: Instant,
    pub(crate) is_ready: bool,
    /// On the rung "full", and the store is not paused.
    pub(crate) is_full: bool,
    pub(crate) memory_bytes: u64,
    pub(crate) descriptors: usize,
    /// Store calls that failed so far.
    pub(crate) failed: f64,
    /// Announcements dropped so far.
    pub(crate) dropped: f64,
    /// Announcements that wait.
    pub(crate) queued: f64,
    /// Tasks and heads that were started again.
    pub(crate) restarted: f64,
}

impl Look {
    pub(crate) const fn is_well(&self) -> bool {
        self.is_ready && self.is_full
    }
}

/// Looks until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    looks: Arc<Mutex<Vec<Look>>>,
    task: AbortHandle,
}

impl Watch {
    /// Looks at the node with this process and these operator pages.
    pub(crate) fn start(pid: u32, pages: SocketAddr, every: Duration) -> Self {
        let looks = Arc::<Mutex<Vec<Look>>>::default();
        let to = Arc::clone(&looks);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Ok(look) = look(pid, pages).await {
                    to.lock().unwrap_or_else(PoisonError::into_inner).push(look);
                }
            }
        });
        Self { looks, task: task.abort_handle() }
    }

    /// What was seen from `from` on.
    pub(crate) fn since(&self, from: Instant) -> Vec<Look> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.iter().filter(|look| look.at >= from).copied().collect()
    }

    /// Waits until the node has been well for `calm`, at most for `patience`.
    pub(crate) async fn calm(&self, from: Instant, calm: Duration, patience: Duration) {
        while from.elapsed() < patience {
            let looks = self.since(from);
            let well_since = looks.iter().rev().take_while(|look| look.is_well()).last();
            if well_since.is_some_and(|look| look.at.elapsed() >= calm) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One look.
pub(crate) async fn look(pid: u32, pages: SocketAddr) -> io::Result<Look> {
    let at = Instant::now();
    let is_ready = http::get(pages, "/readyz", &[]).await?.status == 200;
    let metrics = http::get(pages, "/metrics", &[]).await?.body;
    // A page is looked at many times a second: it is not parsed as a whole.
    let sum = |name: &str| -> f64 {
        let lines = metrics
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let is_full = metrics.contains("hydra_rung{rung=\"full\"} 1") && sum("hydra_store_paused") == 0.0;
    Ok(Look {
        at,
        is_ready,
        is_full,
        memory_bytes: measure::memory_bytes(pid)?,
        descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
        failed: sum("hydra_store_calls_failed_total"),
        dropped: sum("hydra_records_dropped_total"),
        queued: sum("hydra_write_queue_records"),
        restarted: sum("hydra_head_restarts_total") + sum("hydra_background_panics_total"),
    })
}
