//! Where a transfer writes to: batches, each record with its outcome.

use super::merge::{Merged, merge};
use super::written::Written;
use crate::cli::Failure;
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{
    Addresses, Causes, Inserted, KeyProvider, PeerId, Provider, ProviderRecord, ProviderStore, RecordOutcome,
    StoreError, StoreErrorKind, UnixSeconds, ValueKey, ValueRecord,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a call is tried again, and the pauses: together a good minute.
const RETRIES_MAX: u32 = 9;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// How long after its first failure a call may be tried again: attempts take time, too.
const RETRY_WITHIN: Duration = Duration::from_secs(75);

/// Addresses that were told within such a time of each other are written as told at its beginning.
const TOLD_WITHIN_S: u32 = 600;

/// Providers whose addresses are remembered as written.
const TOLD_LEN_MAX: usize = 1 << 17;

/// Where a transfer writes to.
pub(super) struct Target {
    store: Arc<dyn ProviderStore>,
    kind: String,
    /// Providers whose addresses this run has written: they are written once, not with each record.
    told: HashSet<PeerId>,
}

impl Target {
    pub(super) fn new(store: Arc<dyn ProviderStore>, kind: String) -> Self {
        Self { store, kind, told: HashSet::new() }
    }

    /// Writes a page, with the expiries and the age of the addresses that it has.
    pub(super) async fn write(
        &mut self,
        page: Vec<KeyProvider>,
        written: &mut Written,
    ) -> Result<(), Failure> {
        let now = UnixSeconds::now();
        let mut groups: BTreeMap<UnixSeconds, Vec<ProviderRecord>> = BTreeMap::new();
        for KeyProvider { key, provider: Provider { peer, addresses, addresses_at, expires } } in page {
            let is_told = addresses.is_empty() || self.told.contains(&peer);
            // A store takes the time of an insert for that of its addresses.
            let (addresses, at) = match is_told {
                true => (Addresses::none(), now),
                false => (addresses, UnixSeconds(addresses_at.0 - addresses_at.0 % TOLD_WITHIN_S).min(now)),
            };
            groups.entry(at).or_default().push(ProviderRecord { key, provider: peer, addresses, expires });
        }
        for (at, records) in groups {
            for batch in records.chunks(self.store.profile().writes.batch_len_max.get()) {
                let refused_before = written.refused;
                self.insert(batch.to_vec(), at, written).await?;
                // With a record that is refused its addresses are not written either.
                if written.refused == refused_before {
                    self.remember(batch);
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, batch: &[ProviderRecord]) {
        let told = batch.iter().filter(|record| !record.addresses.is_empty()).map(|record| record.provider);
        for provider in told {
            if self.told.len() == TOLD_LEN_MAX {
                self.told.clear();
            }
            self.told.insert(provider);
        }
    }

    /// Inserts a batch until each of its records is taken or refused.
    async fn insert(
        &self,
        batch: Vec<ProviderRecord>,
        at: UnixSeconds,
        written: &mut Written,
    ) -> Result<(), Failure> {
        // At most one part more than a batch can be halved, each no longer than the batch.
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let mut left = part;
            let mut pauses = Pauses::default();
            while !left.is_empty() {
                let batch: Arc<[ProviderRecord]> = std::mem::take(&mut left).into();
                let error = match self.store.insert(Arc::clone(&batch), at).await {
                    Ok(inserted) => match self.settle(&batch, inserted, &mut left, written)? {
                        None => break,
                        Some(kind) => StoreError::new(kind, "insert"),
                    },
                    Err(error) if error.kind() == StoreErrorKind::Refused => {
                        match batch.len() {
                            1 => written.refuse(Causes(&error).to_string()),
                            len => parts.extend([batch[len / 2..].to_vec(), batch[..len / 2].to_vec()]),
                        }
                        break;
                    }
                    Err(error) => {
                        left = batch.to_vec();
                        error
                    }
                };
                pauses.after(&error, &format!("cannot write to {}", self.kind)).await?;
            }
        }
        Ok(())
    }

    /// Counts the outcomes. Those that are unknown are `left`; their kind.
    fn settle(
        &self,
        batch: &[ProviderRecord],
        inserted: Inserted,
        left: &mut Vec<ProviderRecord>,
        written: &mut Written,
    ) -> Result<Option<StoreErrorKind>, Failure> {
        let outcomes = match inserted {
            Inserted::All => {
                written.taken += batch.len() as u64;
                return Ok(None);
            }
            Inserted::Each(outcomes) if outcomes.len() == batch.len() => outcomes,
            Inserted::Each(outcomes) => {
                let text = format!(
                    "got {} outcomes for {} records from the store {}",
                    outcomes.len(),
                    batch.len(),
                    self.kind
                );
                return Err(Failure::Failed(text));
            }
        };
        let (mut unknown, mut full) = (None, None);
        for (record, outcome) in batch.iter().zip(outcomes) {
            match outcome {
                RecordOutcome::Taken => written.taken += 1,
                RecordOutcome::NoRoom => full = Some(record.key),
                RecordOutcome::Refused(why) => written.refuse(why.into_owned()),
                RecordOutcome::Unknown(kind) => {
                    unknown = Some(kind);
                    left.push(record.clone());
                }
                other => return Err(Failure::Failed(format!("an unknown outcome of a write: {other:?}"))),
            }
        }
        match full {
            Some(key) => Err(Failure::Failed(format!(
                "the store {} has no room for a record of the key {key}; raise its limits or free some room",
                self.kind
            ))),
            None => Ok(unknown),
        }
    }

    /// Writes value records. Where the target has another one the better one stays.
    pub(super) async fn write_values(
        &self,
        page: Vec<(ValueKey, ValueRecord)>,
        written: &mut Written,
    ) -> Result<(), Failure> {
        let Some(values) = self.store.values() else {
            return Err(Failure::Failed(format!("the store {} keeps no value records", self.kind)));
        };
        for batch in page.chunks(BATCH_LEN_MAX) {
            let (mut left, mut pauses) = (batch.to_vec(), Pauses::default());
            while !left.is_empty() {
                let error = match merge(values, &left, written).await? {
                    Merged::Left(open) => {
                        left = open;
                        continue;
                    }
                    Merged::NoRoom => {
                        return Err(Failure::Failed(format!(
                            "the store {} has no room for a value record; raise its limits or free some room",
                            self.kind
                        )));
                    }
                    Merged::Failed(open, error) => {
                        left = open;
                        error
                    }
                };
                pauses.after(&error, &format!("cannot write value records to {}", self.kind)).await?;
            }
        }
        Ok(())
    }

    /// Whether value records can be written.
    pub(super) fn keeps_values(&self) -> bool {
        self.store.values().is_some()
    }

    /// Flushes and closes the store.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        let closed = self.store.close().await;
        closed.map_err(|error| Failure::of_store(&format!("cannot close the store {}", self.kind), &error))
    }
}

/// The pauses between attempts of one call.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    attempts: u32,
    /// When the first attempt failed.
    since: Option<Instant>,
}

impl Pauses {
    /// Waits before the next attempt, or gives up.
    pub(super) async fn after(&mut self, error: &StoreError, what: &str) -> Result<(), Failure> {
        let may_pass = matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Overloaded);
        if !may_pass || self.attempts == RETRIES_MAX {
            return Err(Failure::of_store(what, error));
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.attempts);
        let pause = pause.max(error.pause().unwrap_or_default()).min(PAUSE_MAX);
        let now = Instant::now();
        if now.saturating_duration_since(*self.since.get_or_insert(now)) + pause > RETRY_WITHIN {
            return Err(Failure::of_store(what, error));
        }
        self.attempts += 1;
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(error = %Causes(error), pause_ms, "{what}, trying again");
        sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
