//! What the store publishes of itself. It is not trusted: what is not well-formed is left out and counted.

use super::page::Page;
use hydra_api::metrics::well_formed;
use hydra_api::{Figure, Metric, ProviderStore};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// How long a scrape waits for its turn; a store answers within microseconds.
const TURN_MAX: Duration = Duration::from_millis(500);
const TURN_PAUSE: Duration = Duration::from_millis(2);

/// What the store has published for a scrape.
#[derive(Debug, Default)]
pub(super) struct Published {
    families: Vec<(&'static str, Vec<Metric>)>,
    refused: usize,
}

impl Published {
    /// Asks the store. One that is still being asked for another scrape after a while, or panics, has published nothing: one that
    /// never answers holds up one scrape, and no other for long.
    pub(super) fn of(store: &dyn ProviderStore, turn: &Mutex<()>) -> Self {
        let Some(_turn) = take(turn) else { return Self { families: Vec::new(), refused: 1 } };
        match catch_unwind(AssertUnwindSafe(|| store.metrics())) {
            Ok(metrics) => Self::new(metrics),
            Err(_) => Self { families: Vec::new(), refused: 1 },
        }
    }

    fn new(metrics: Vec<Metric>) -> Self {
        let (taken, refused) = well_formed(metrics);
        let mut families: Vec<(&'static str, Vec<Metric>)> = Vec::new();
        for metric in taken {
            match families.iter_mut().find(|(name, _)| *name == metric.name) {
                Some((_, series)) => series.push(metric),
                None => families.push((metric.name, vec![metric])),
            }
        }
        Self { families, refused: refused.len() }
    }

    /// `kind` is what the config calls the store.
    pub(super) fn write(&self, kind: &str, page: &mut Page<'_>) -> fmt::Result {
        for (name, series) in &self.families {
            let Some(first) = series.first() else { continue };
            let series = series.iter().map(|metric| {
                let labels = metric.labels.iter().map(|(label, value)| (*label, value.as_ref()));
                (std::iter::once(("store", kind)).chain(labels).collect::<Vec<_>>(), &metric.figure)
            });
            match first.figure {
                Figure::Counter(_) => page.foreign_counters(name, first.help, series)?,
                Figure::Histogram(_) => page.foreign_histograms(name, first.help, series)?,
                _ => page.foreign_gauges(name, first.help, series)?,
            }
        }
        page.gauge(
            "hydra_store_series_refused",
            "Series of the store's own metrics that this scrape leaves out because they are malformed or too many, or 1 if the \
             store did not answer.",
            u64::try_from(self.refused).unwrap_or(u64::MAX),
        )
    }
}

/// Waits for the turn of a scrape, but not for one that hangs.
fn take(turn: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    let begun = Instant::now();
    loop {
        match turn.try_lock() {
            Ok(turn) => return Some(turn),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if begun.elapsed() > TURN_MAX => return None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(TURN_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests;
