//! Closing the engine: nothing new is taken, what waits is written, the store is closed.

use super::Engine;
use crate::observe::StoreCall;
use crate::store::Lane;
use hydra_api::{Causes, StoreError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

/// The part of the time that is kept for the store calls under way and the store's own close, whatever waits to be written:
/// a quarter, half of it for the close.
const CLOSE_SHARE: u32 = 4;

/// The most time that a close is given: no clock holds the end of any time.
const WITHIN_MAX: Duration = Duration::from_secs(86_400);

/// The result of closing.
#[derive(Debug)]
pub struct CloseReport {
    /// Announcements and value records that were taken and could not be written.
    pub unwritten: u64,
    /// How long the write queue was being written.
    pub writing: Duration,
    /// Store calls that had not ended in time.
    pub running: u32,
    /// How the store was closed.
    pub store: StoreClosed,
    /// The error of the last write, if it failed.
    pub last_error: Option<String>,
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
    /// Why announcements could not be written, down to what the store said last.
    pub fn unwritten_because(&self) -> String {
        let why = self.store_fault().unwrap_or_else(|| {
            let writing_ms = self.writing.as_millis();
            format!("shutdown.deadline_ms left {writing_ms} ms for them, which was too short")
        });
        match &self.last_error {
            Some(error) if !why.contains(error) => format!("{why}; the last write failed: {error}"),
            Some(_) | None => why,
        }
    }

    /// Why the store was not closed properly, if it was not.
    pub fn store_fault(&self) -> Option<String> {
        match &self.store {
            StoreClosed::Closed => None,
            StoreClosed::Failed(cause) => Some(Causes(cause).to_string()),
            StoreClosed::Unanswered => Some("it does not answer".to_owned()),
        }
    }

    /// Whether everything that was taken is written and the store is closed.
    pub fn is_clean(&self) -> bool {
        self.unwritten == 0 && self.running == 0 && matches!(self.store, StoreClosed::Closed)
    }
}

impl Engine {
    /// Takes nothing new, writes what waits, waits for the store calls under way and closes the store, all within
    /// this time. Requests that still come in are answered with closer peers alone.
    ///
    /// # Cancel safety
    /// A dropped future leaves the engine closing and the store open; it can be closed again. Calls at the same time wait for
    /// each other.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let parts = &self.parts;
        let within = within.min(WITHIN_MAX);
        let deadline = Instant::now() + within;
        let share = within / CLOSE_SHARE;
        parts.writer.close();
        parts.values.close();
        let begun = Instant::now();
        let Ok(mut flushers) = timeout_at(deadline, self.background.flushers()).await else {
            return self.unanswered(begun.elapsed());
        };
        if !flushers.is_empty() {
            let all = async {
                while let Some(running) = flushers.last_mut() {
                    drop(running.await);
                    flushers.pop();
                }
            };
            let flushed = timeout_at(deadline - share, all).await;
            tracing::debug!(in_time = flushed.is_ok(), "the write queue has been flushed");
            flushers.clear();
        }
        let writing = begun.elapsed();
        self.background.stop();
        // Before the close of the store, which says something of its own.
        let last_error = |call| parts.backend.reports.last_error(call);
        let last_error = last_error(StoreCall::Insert).or_else(|| last_error(StoreCall::PutValues));
        // With every permit in hand no call is under way; one of them is then for the store's own close. It is not kept
        // from a store that is paused.
        let gate = &parts.backend.gate;
        parts.backend.close_gate();
        let mut permits = Vec::new();
        while gate.in_flight().used > permits.len() as u32 || permits.is_empty() {
            let Ok(permit) = timeout_at(deadline - share / 2, gate.acquire(Lane::Writes)).await else {
                break;
            };
            permits.push(permit);
        }
        let running = gate.in_flight().used.saturating_sub(permits.len() as u32);
        let store = match permits.pop() {
            None => StoreClosed::Unanswered,
            Some(permit) => {
                let store = parts.backend.store.clone();
                let call = async move { Ok(store.close().await) };
                let closing =
                    parts.backend.start(permit, StoreCall::Close, 0, Span::none(), call, |closed| closed);
                match timeout_at(deadline, closing).await {
                    Ok(Ok(Ok(Ok(())))) => StoreClosed::Closed,
                    Ok(Ok(Ok(Err(error)))) => StoreClosed::Failed(error),
                    Ok(Ok(Err(_)) | Err(_)) | Err(_) => StoreClosed::Unanswered,
                }
            }
        };
        CloseReport { unwritten: self.unwritten(), writing, running, store, last_error }
    }

    /// What was taken and is not written.
    fn unwritten(&self) -> u64 {
        u64::from(self.parts.queue.unwritten()) + u64::from(self.parts.values.unwritten())
    }

    /// Another call closes it, and does not end.
    fn unanswered(&self, writing: Duration) -> CloseReport {
        let parts = &self.parts;
        CloseReport {
            unwritten: self.unwritten(),
            writing,
            running: parts.backend.gate.in_flight().used,
            store: StoreClosed::Unanswered,
            last_error: parts.backend.reports.last_error(StoreCall::Insert),
        }
    }
}
