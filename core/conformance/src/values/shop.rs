//! An open store of value records, with the calls that cases make all the time.

use crate::check::{Broken, ensure};
use crate::given::{Chance, NOW};
use crate::place::Lab;
use bytes::Bytes;
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{
    FoundValue, ProviderStore, PurgeProgress, PutOutcome, Store, UnixSeconds, ValueKey, ValuePut,
    ValueRecord, ValueStore,
};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The open store of a case. What it is asked must be answered as a healthy store answers: nothing is unknown.
#[derive(Debug, Clone)]
pub(super) struct Shop(pub(super) Arc<dyn ProviderStore>);

/// Leaves the case unless the store keeps value records.
macro_rules! open {
    ($lab:expr) => {
        match $crate::values::shop::Shop::open($lab).await? {
            Some(shop) => shop,
            None => return Ok($crate::check::Kept::NotApplicable("the store keeps no value records")),
        }
    };
}
pub(super) use open;

impl Shop {
    /// The store, if it keeps value records.
    pub(super) async fn open(lab: &Lab<Store>) -> Result<Option<Self>, Broken> {
        let store = lab.open().await?;
        Ok(store.values().is_some().then_some(Self(store)))
    }

    pub(super) fn values(&self) -> Result<&dyn ValueStore, Broken> {
        self.0.values().ok_or_else(|| Broken::new("the store keeps value records no more"))
    }

    /// The outcome of each record, none of them unknown.
    pub(super) async fn put(&self, puts: &[ValuePut], now: UnixSeconds) -> Result<Vec<PutOutcome>, Broken> {
        let mut outcomes = Vec::with_capacity(puts.len());
        for puts in puts.chunks(BATCH_LEN_MAX) {
            let of_batch = self.values()?.put_if(puts.into(), now).await?;
            ensure!(of_batch.len() == puts.len(), "{} outcomes for {} records", of_batch.len(), puts.len());
            outcomes.extend(of_batch);
        }
        let unknown = outcomes.iter().find(|one| matches!(one, PutOutcome::Unknown(_)));
        ensure!(unknown.is_none(), "a healthy store says of a record: {unknown:?}");
        Ok(outcomes)
    }

    /// Demands that each record is stored.
    pub(super) async fn store(&self, puts: &[ValuePut], now: UnixSeconds) -> Result<(), Broken> {
        let outcomes = self.put(puts, now).await?;
        match outcomes.iter().position(|one| *one != PutOutcome::Stored) {
            Some(place) => {
                Err(Broken::new(format!("put {place} of {} is {:?}", puts.len(), outcomes[place])))
            }
            None => Ok(()),
        }
    }

    /// Reads in as many calls as it takes, and demands an entry for each key, none of them unknown.
    pub(super) async fn get(
        &self,
        keys: &[ValueKey],
        now: UnixSeconds,
    ) -> Result<Vec<Option<ValueRecord>>, Broken> {
        let mut records = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH_LEN_MAX) {
            let found = self.values()?.get(keys.into(), now).await?;
            ensure!(found.len() == keys.len(), "{} entries for {} keys", found.len(), keys.len());
            for entry in found {
                match entry {
                    FoundValue::Known(record) => records.push(record),
                    FoundValue::Unknown(kind) => {
                        return Err(Broken::new(format!("a healthy store does not know a key: {kind:?}")));
                    }
                }
            }
        }
        Ok(records)
    }

    pub(super) async fn of(&self, key: ValueKey, now: UnixSeconds) -> Result<Option<ValueRecord>, Broken> {
        Ok(self.get(&[key], now).await?.pop().flatten())
    }

    /// Demands that each key has the record that was put.
    pub(super) async fn has(&self, puts: &[ValuePut], now: UnixSeconds) -> Result<(), Broken> {
        let keys: Vec<_> = puts.iter().map(|put| put.key).collect();
        for (put, found) in puts.iter().zip(self.get(&keys, now).await?) {
            let found = found.ok_or_else(|| Broken::new(format!("the record of {} is missing", put.key)))?;
            ensure!(found.value == put.record.value, "the value of {} has changed", put.key);
            let (times, put_times) =
                ((found.received, found.expires), (put.record.received, put.record.expires));
            ensure!(times == put_times, "the times of {} are {times:?}, not {put_times:?}", put.key);
        }
        Ok(())
    }

    /// Purges to the end in steps; how many records were removed.
    pub(super) async fn purge(&self, now: UnixSeconds, limit: u32) -> Result<u64, Broken> {
        const STEPS_MAX: u32 = 10_000;
        let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        let mut removed = 0;
        for _ in 0..STEPS_MAX {
            let step = self.values()?.purge_values(now, limit).await?;
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

/// The key of this number: 44 bytes, the name of an Ed25519 identity to look at.
pub(crate) fn key(number: u64) -> ValueKey {
    let mut bytes = b"/ipns/".to_vec();
    bytes.extend_from_slice(crate::given::peer(number).as_bytes());
    key_of(&bytes)
}

pub(super) fn key_of(bytes: &[u8]) -> ValueKey {
    match ValueKey::new(bytes) {
        Ok(key) => key,
        Err(cause) => panic!("{cause}"),
    }
}

/// The value of this number: of some hundred bytes.
pub(crate) fn value(number: u64) -> Bytes {
    let mut bytes = vec![0; 150 + (number % 300) as usize];
    Chance::of(number ^ 0x7a1e).fill(&mut bytes);
    bytes.into()
}

/// A put of the value of this number that has seen nothing, received now and good for two days.
pub(crate) fn put(key_number: u64, value_number: u64) -> ValuePut {
    let record = ValueRecord {
        value: value(value_number),
        received: NOW,
        expires: NOW.saturating_add(crate::given::LIFE),
    };
    ValuePut { key: key(key_number), seen: None, record }
}

/// The same put by one that has seen the value of this number.
pub(crate) fn after(seen: u64, put: ValuePut) -> ValuePut {
    ValuePut { seen: Some(value(seen)), ..put }
}

pub(super) fn later(seconds: u32) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}
