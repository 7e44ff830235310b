//! An open store, with the calls that cases make all the time.

use crate::check::{Broken, ensure};
use crate::given::batch;
use crate::place::Lab;
use hydra_api::{
    ContentKey, Found, Inserted, Provider, ProviderRecord, ProviderStore, PurgeProgress, RecordOutcome,
    Store, UnixSeconds,
};
use std::num::NonZeroU32;
use std::sync::Arc;

/// See [`Shop::write_len_max`].
const LEN_MAX: usize = 1000;

/// The open store of a case. What it is asked must be answered as a healthy store answers: nothing is unknown.
#[derive(Debug, Clone)]
pub(super) struct Shop(pub(super) Arc<dyn ProviderStore>);

impl Shop {
    pub(super) async fn open(lab: &Lab<Store>) -> Result<Self, Broken> {
        Ok(Self(lab.open().await?))
    }

    /// The longest batch of a case that is not about long ones (rule S9).
    pub(super) fn write_len_max(&self) -> usize {
        self.0.profile().writes.batch_len_max.get().min(LEN_MAX)
    }

    fn read_len_max(&self) -> usize {
        self.0.profile().reads.batch_len_max.get().min(LEN_MAX)
    }

    /// Inserts in as many batches as it takes, and demands that each record is taken.
    pub(super) async fn insert(&self, records: &[ProviderRecord], now: UnixSeconds) -> Result<(), Broken> {
        for records in records.chunks(self.write_len_max()) {
            let inserted = self.0.insert(batch(records), now).await?;
            all_taken(&inserted, records.len())?;
        }
        Ok(())
    }

    /// Inserts one batch; the outcome of each of its records, none of them unknown.
    pub(super) async fn outcomes(
        &self,
        records: &[ProviderRecord],
        now: UnixSeconds,
    ) -> Result<Vec<RecordOutcome>, Broken> {
        match self.0.insert(batch(records), now).await? {
            Inserted::All => Ok(vec![RecordOutcome::Taken; records.len()]),
            Inserted::Each(outcomes) => {
                let (given, asked) = (outcomes.len(), records.len());
                ensure!(given == asked, "{given} outcomes for {asked} records");
                let unknown = outcomes.iter().find(|one| matches!(one, RecordOutcome::Unknown(_)));
                ensure!(unknown.is_none(), "a healthy store says of a record: {unknown:?}");
                Ok(outcomes)
            }
        }
    }

    pub(super) async fn providers_of(
        &self,
        key: ContentKey,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Provider>, Broken> {
        let mut entries = self.providers(&[key], now, limit).await?;
        entries.pop().ok_or_else(|| Broken::new("no entry for the key"))
    }

    /// Reads in as many calls as it takes, and demands an entry for each key, none of them unknown.
    pub(super) async fn providers(
        &self,
        keys: &[ContentKey],
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Vec<Provider>>, Broken> {
        let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(self.read_len_max()) {
            let answer = self.0.providers(keys.into(), now, limit).await?;
            entries.extend(all_known(answer, keys.len())?);
        }
        Ok(entries)
    }

    /// Demands that this record is there, with its addresses, among up to `limit` of its key.
    pub(super) async fn has(
        &self,
        record: &ProviderRecord,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<(), Broken> {
        let entry = self.providers_of(record.key, now, limit).await?;
        let found = entry.iter().find(|one| one.peer == record.provider);
        let found =
            found.ok_or_else(|| Broken::new(format!("{} of {} is missing", record.provider, record.key)))?;
        ensure!(found.expires == record.expires, "it expires at {}, not {}", found.expires, record.expires);
        ensure!(found.addresses == record.addresses, "its addresses have changed");
        Ok(())
    }

    /// Purges to the end in steps; how many records were removed.
    pub(super) async fn purge(&self, now: UnixSeconds, limit: u32) -> Result<u64, Broken> {
        const STEPS_MAX: u32 = 10_000;
        let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        let mut removed = 0;
        for _ in 0..STEPS_MAX {
            let step = self.0.purge_expired(now, limit).await?;
            ensure!(step.removed <= u64::from(limit.get()), "a step of {limit} removed {}", step.removed);
            removed += step.removed;
            match step.progress {
                PurgeProgress::Done => return Ok(removed),
                PurgeProgress::More => {}
                other => return Err(Broken::new(format!("the only process that purges gets {other:?}"))),
            }
        }
        Err(Broken::new(format!("the purge did not end within {STEPS_MAX} steps")))
    }
}

/// Demands of the providers of a key what rule S5 says of each answer.
pub(super) fn in_order(entry: &[Provider], limit: u32) -> Result<(), Broken> {
    ensure!(entry.len() <= limit as usize, "{} providers for a limit of {limit}", entry.len());
    ensure!(
        entry.is_sorted_by(|one, next| one.expires >= next.expires),
        "providers are not ordered freshest first"
    );
    let mut peers: Vec<_> = entry.iter().map(|one| one.peer).collect();
    peers.sort_unstable();
    ensure!(peers.is_sorted_by(|one, next| one < next), "a provider was returned twice for one key");
    Ok(())
}

/// Demands that each of `len` records is taken.
pub(crate) fn all_taken(inserted: &Inserted, len: usize) -> Result<(), Broken> {
    let outcomes = match inserted {
        Inserted::All => return Ok(()),
        Inserted::Each(outcomes) => outcomes,
    };
    ensure!(outcomes.len() == len, "{} outcomes for {len} records", outcomes.len());
    match outcomes.iter().position(|outcome| *outcome != RecordOutcome::Taken) {
        Some(place) => Err(Broken::new(format!("record {place} of {len} is {:?}", outcomes[place]))),
        None => Ok(()),
    }
}

/// Demands one entry for each of `len` keys, none of them unknown.
pub(crate) fn all_known(answer: Vec<Found>, len: usize) -> Result<Vec<Vec<Provider>>, Broken> {
    ensure!(answer.len() == len, "{} entries for {len} keys", answer.len());
    let known = answer.into_iter().map(|entry| match entry {
        Found::Known(providers) => Ok(providers),
        Found::Unknown(kind) => Err(Broken::new(format!("a healthy store does not know a key: {kind:?}"))),
    });
    known.collect()
}
