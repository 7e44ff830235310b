//! Batches that were acknowledged and may not be in the file: sled holds them in memory, and loses them when it is
//! reopened after a failed write.

use hydra_api::{ProviderRecord, UnixSeconds};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records that are kept at most, beyond those of the last batch.
const RECORDS_MAX: usize = 65_536;

/// Batches since the last flush that succeeded.
pub(crate) struct Unflushed {
    batches: Vec<(Arc<[ProviderRecord]>, UnixSeconds)>,
    records: usize,
    interval: Duration,
    flushed_at: Instant,
}

impl std::fmt::Debug for Unflushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unflushed").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Unflushed {
    /// None yet; they are flushed once in an interval.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { batches: Vec::new(), records: 0, interval, flushed_at: Instant::now() }
    }

    pub(crate) fn push(&mut self, batch: &Arc<[ProviderRecord]>, now: UnixSeconds) {
        self.records += batch.len();
        self.batches.push((Arc::clone(batch), now));
    }

    /// Whether they must be flushed.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.records >= RECORDS_MAX || now.saturating_duration_since(self.flushed_at) >= self.interval
    }

    /// All of them are in the file.
    pub(crate) fn flushed(&mut self, now: Instant) {
        self.batches.clear();
        self.records = 0;
        self.flushed_at = now;
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = (&[ProviderRecord], UnixSeconds)> {
        self.batches.iter().map(|(batch, now)| (&**batch, *now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_conformance::given::{NOW, record};

    #[test]
    fn batches_are_kept_until_they_are_flushed_and_their_number_is_bounded() {
        let mut unflushed = Unflushed::new(Duration::from_secs(3600));
        let batch: Arc<[_]> = (0..1024).map(|number| record(number, 1)).collect();
        let now = Instant::now();
        let mut pushed = 0;
        while !unflushed.is_due(now) {
            unflushed.push(&batch, NOW);
            pushed += 1;
        }
        assert_eq!((pushed, unflushed.batches().count()), (64, 64));
        unflushed.flushed(now);
        assert!(unflushed.batches().next().is_none() && !unflushed.is_due(now));
        assert!(unflushed.is_due(now + Duration::from_secs(3600)));
    }
}
