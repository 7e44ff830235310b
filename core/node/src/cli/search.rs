//! The search for identities, with its progress: the first one for thousands of heads takes a while.

use hydra_api::{HeadCount, HeadPreview, IdAllocator, IdError, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, interval_at};

/// The time between two log lines about a search.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The identities of the first slots. A search shows its progress: as a bar on a terminal, in the log otherwise.
///
/// # Errors
/// Those of [`IdAllocator::preview`].
///
/// # Cancel safety
/// A dropped future gives up the result; the search may go on in the background until the process ends.
pub(crate) async fn preview(ids: &dyn IdAllocator, wanted: HeadCount) -> Result<Vec<HeadPreview>, IdError> {
    let found = Arc::new(AtomicU32::new(0));
    let bar = bar(wanted);
    let progress: Progress = {
        let (bar, found) = (bar.clone(), Arc::clone(&found));
        Arc::new(move |count| {
            found.fetch_max(count, Ordering::Relaxed);
            bar.set_position(count.into());
        })
    };
    let mut search = ids.preview(wanted, progress);
    let mut log = interval_at(Instant::now() + LOG_INTERVAL, LOG_INTERVAL);
    let previews = loop {
        tokio::select! {
            previews = &mut search => break previews,
            _ = log.tick() => {
                let (found, wanted) = (found.load(Ordering::Relaxed), wanted.get());
                if bar.is_hidden() {
                    tracing::info!(found, wanted, "searching for identities");
                }
            }
        }
    };
    bar.finish_and_clear();
    previews
}

fn bar(wanted: HeadCount) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(wanted.get().into()).with_message("finding identities");
    match ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
