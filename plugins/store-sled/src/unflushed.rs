//! Batches that were acknowledged and may not be in the file: sled holds them in memory, and loses them when it is
//! reopened after a failed write.

use hydra_api::value::{ValueKey, ValuePut, ValueRecord};
use hydra_api::{ProviderRecord, UnixSeconds};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records that are kept at most, beyond those of the last batch.
const RECORDS_MAX: usize = 65_536;
/// Bytes of values that are kept at most, beyond those of the last batch.
const VALUE_BYTES_MAX: usize = 8 << 20;

/// Batches since the last flush that succeeded.
pub(crate) struct Unflushed {
    batches: Vec<(Arc<[ProviderRecord]>, UnixSeconds)>,
    records: usize,
    values: Vec<(ValueKey, ValueRecord)>,
    value_bytes: usize,
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
        let (batches, values) = (Vec::new(), Vec::new());
        Self { batches, records: 0, values, value_bytes: 0, interval, flushed_at: Instant::now() }
    }

    pub(crate) fn push(&mut self, batch: &Arc<[ProviderRecord]>, now: UnixSeconds) {
        self.records += batch.len();
        self.batches.push((Arc::clone(batch), now));
    }

    /// Keeps a value record that was stored.
    pub(crate) fn push_value(&mut self, put: &ValuePut) {
        self.value_bytes += put.record.value.len();
        // In a buffer of its own: the one that came in may be part of a whole message.
        let value = put.record.value.to_vec().into();
        self.values.push((put.key, ValueRecord { value, ..put.record }));
    }

    /// Whether they must be flushed.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.records + self.values.len() >= RECORDS_MAX
            || self.value_bytes >= VALUE_BYTES_MAX
            || now.saturating_duration_since(self.flushed_at) >= self.interval
    }

    /// All of them are in the file.
    pub(crate) fn flushed(&mut self, now: Instant) {
        self.batches.clear();
        self.values.clear();
        (self.records, self.value_bytes) = (0, 0);
        self.flushed_at = now;
    }

    /// Value records, in the order in which they were stored.
    pub(crate) fn values(&self) -> &[(ValueKey, ValueRecord)] {
        &self.values
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
