//! Writes what waits in the queue: in windows, sorted, cut into batches, at a pace that no load exceeds.

mod batch;
mod batches;
mod window;

use super::take::Writer;
use crate::store::Lane;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use window::{Written, write_window};

/// The longest pause after windows that failed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause after a window of which little was written once the writer is closing: time is short, and nothing new comes in.
const CLOSING_PAUSE: Duration = Duration::from_millis(100);

/// Writes windows until the writer is closing and the queue is empty.
pub(crate) async fn flush(writer: Arc<Writer>) {
    let writer = &writer;
    // What a flusher had in hand that panicked goes back.
    writer.queue.finish_window(&[]);
    let mut started = Instant::now();
    let (mut failed_windows, mut written) = (0u32, Written::Whole);
    loop {
        wait(writer, started, failed_windows, written).await;
        if writer.is_closing() && writer.queue.level().used == 0 {
            return;
        }
        started = Instant::now();
        written = write_window(writer, failed_windows).await;
        failed_windows = if written == Written::Nothing { failed_windows.saturating_add(1) } else { 0 };
    }
}

/// Waits until the next window is due.
async fn wait(writer: &Writer, started: Instant, failed_windows: u32, written: Written) {
    let limits = &writer.limits;
    if failed_windows > 0 {
        // A paused store takes a probe at a time as often as the breaker lets one pass: records have to wait there for it.
        // Until the breaker has seen enough failures, the pauses are short as well.
        let pause = match writer.backend.breaker.is_open(Lane::Writes) {
            true => limits.probe_interval,
            false => {
                let doublings = failed_windows.saturating_sub(limits.breaker_failures).min(10);
                limits.flush_interval.saturating_mul(1 << doublings).min(PAUSE_MAX)
            }
        };
        tokio::select! {
            () = sleep_until(started + pause) => return,
            () = writer.backend.breaker.resumed() => return,
            () = writer.closing() => {}
        }
        sleep_until((started + CLOSING_PAUSE).min(started + pause)).await;
        return;
    }
    let early = async {
        // What waits is tried again and again: not at the pace of what is new.
        if written == Written::NothingKnown {
            std::future::pending::<()>().await;
        }
        sleep_until(started + limits.flush_interval_min).await;
        writer.queue.window_waits().await;
    };
    tokio::select! {
        () = sleep_until(started + limits.flush_interval) => {}
        () = early => {}
        () = writer.closing() => {
            if written == Written::NothingKnown {
                sleep_until(started + CLOSING_PAUSE.min(limits.flush_interval)).await;
            }
        }
    }
}
