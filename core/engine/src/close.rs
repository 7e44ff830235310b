//! Closing the desk: nothing new is taken, what waits is written, the store is closed.

use crate::desk::Desk;
use crate::statement;
use crate::stats::StoreCall;
use hydra_api::StoreError;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

/// What closing has come to.
#[derive(Debug)]
pub struct CloseReport {
    /// Announcements that were taken and could not be written.
    pub unwritten: u64,
    /// Store calls that had not ended in time.
    pub running: u32,
    /// How the store was closed.
    pub store: StoreClosed,
}

/// How the store was closed.
#[derive(Debug)]
pub enum StoreClosed {
    /// It is closed, and what it was given is as durable as it promises.
    Closed,
    /// It could not be closed properly.
    Failed(StoreError),
    /// It was not closed: it did not answer in time, or panicked.
    Unanswered,
}

impl CloseReport {
    /// Whether everything that was taken is written and the store is closed.
    pub fn is_clean(&self) -> bool {
        self.unwritten == 0 && self.running == 0 && matches!(self.store, StoreClosed::Closed)
    }
}

impl Desk {
    /// Takes nothing new, writes what waits, waits for the store calls under way and closes the store, all within
    /// this time. Requests that still come in are answered with closer peers alone.
    ///
    /// # Cancel safety
    /// A dropped future leaves the desk closing and the store open.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let core = &self.core;
        let deadline = Instant::now() + within;
        core.begin_closing();
        if let Some(mut flusher) = self.chores.take_flusher() {
            let flushed = timeout_at(deadline, &mut flusher).await;
            tracing::debug!(in_time = flushed.is_ok(), "the ring has been flushed");
        }
        self.chores.stop();
        // With every permit in hand no statement is under way; one of them is then the store's own, to close.
        let mut permits = Vec::new();
        for _ in 0..core.gate.in_flight().max {
            let Ok(permit) = timeout_at(deadline, core.gate.acquire_for_chore()).await else { break };
            permits.push(permit);
        }
        let running = core.gate.in_flight().max - permits.len() as u32;
        let store = match permits.pop() {
            None => StoreClosed::Unanswered,
            Some(permit) => {
                let store = core.store.clone();
                let closing = async move { store.close().await };
                let closing = statement::start(permit, &core.stats, StoreCall::Close, Span::none(), closing);
                match timeout_at(deadline, closing).await {
                    Ok(Ok(Ok(()))) => StoreClosed::Closed,
                    Ok(Ok(Err(error))) => StoreClosed::Failed(error),
                    Ok(Err(_)) | Err(_) => StoreClosed::Unanswered,
                }
            }
        };
        CloseReport { unwritten: core.unwritten(), running, store }
    }
}
