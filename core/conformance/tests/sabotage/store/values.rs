//! Value records of a sabotaged store: put one after another into the memory that its processes share.

use super::sabotaged::{Counted, Sabotage::*, Sabotaged};
use crate::shared_memory::locked;
use bytes::Bytes;
use hydra_api::value::{
    BATCH_LEN_MAX, FoundValue, PutOutcome, ValueEstimate, ValueKey, ValuePage, ValuePut, ValueRecord,
};
use hydra_api::{
    ContentKey, Cursor, Deletion, ProviderStore, PurgeProgress, Purged, StoreError, StoreErrorKind,
    UnixSeconds, ValueStore, async_trait,
};
use hydra_conformance::given::{NOW, content_key};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many keys, or records, the calls of these cases have.
const R2_KEYS: usize = 9;
const R9_PUTS: usize = 20;
const R13_PUTS: usize = 60;
const R14_KEYS: usize = 4;
/// How many records the case of R12 has, and how often it puts one.
const R12_RECORDS: u64 = 1000;
const R12_PUTS: u64 = 2000;
/// Records of a store with little room.
pub(super) const RECORDS_MAX: u64 = 500;

/// What a process knows of value records beside them.
#[derive(Debug, Default)]
pub(super) struct ValueLies {
    putting: AtomicU64,
    stored: AtomicU64,
    purges: AtomicU64,
    is_busy: AtomicBool,
    /// A record that is not stored yet.
    late: Mutex<Option<ValuePut>>,
    turn: tokio::sync::Mutex<()>,
    keys: Mutex<BTreeSet<ValueKey>>,
}

/// The key of the provider records under the same bytes.
fn key_of(key: &ValueKey) -> ContentKey {
    content_key(key.as_bytes())
}

fn prefix(key: &ValueKey, len: usize) -> ValueKey {
    let bytes = key.as_bytes();
    ValueKey::new(&bytes[..bytes.len().min(len)]).expect("not empty")
}

fn later(seconds: u32) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

fn is_largest(batch: &[ValuePut]) -> bool {
    batch.len() == BATCH_LEN_MAX && batch.iter().all(|put| put.record.value.len() == ValueRecord::LEN_MAX)
}

/// One of a batch.
#[derive(Clone, Copy)]
struct One<'a> {
    put: &'a ValuePut,
    batch: &'a [ValuePut],
    place: usize,
    /// What its key had before the batch.
    before: &'a Option<Bytes>,
    now: UnixSeconds,
}

impl One<'_> {
    fn is_second(&self) -> bool {
        self.batch[..self.place].iter().any(|other| other.key == self.put.key)
    }
}

impl Sabotaged {
    fn honest(&self) -> &dyn ValueStore {
        self.shared.memory.values().expect("memory keeps value records")
    }

    fn values_open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if !self.is_closed() || self.is(R10ServesOn) {
            return Ok(());
        }
        let kind =
            if self.is(R10AnotherKind) { StoreErrorKind::Refused } else { StoreErrorKind::Unavailable };
        Err(StoreError::because(kind, operation, "closed"))
    }

    async fn live(&self, key: &ValueKey, now: UnixSeconds) -> Result<Option<Bytes>, StoreError> {
        let mut found = self.honest().get(Arc::from([*key]), now).await?;
        match found.pop() {
            Some(FoundValue::Known(record)) => Ok(record.map(|record| record.value)),
            other => panic!("memory says {other:?}"),
        }
    }

    async fn store(&self, put: ValuePut, now: UnixSeconds) -> Result<PutOutcome, StoreError> {
        let mut outcomes = self.honest().put_if(Arc::from([put]), now).await?;
        Ok(outcomes.pop().expect("one outcome"))
    }

    async fn put_one(&self, one: One<'_>) -> Result<PutOutcome, StoreError> {
        let One { put, batch, place, before, now } = one;
        let (live, is_alone) = (self.live(&put.key, now).await?, batch.len() == 1);
        let is_seen = live == put.seen;
        let _turn = if self.is(R5LetsTwoProcessesWin) { Some(self.values.turn.lock().await) } else { None };
        let mut asked = put.clone();
        match self.sabotage {
            R1StoresWhatWasNotSeen if is_alone && put.seen.is_some() && live.is_some() => asked.seen = live,
            R1SeesTheAbsent if is_alone && now == NOW && live.is_none() => asked.seen = None,
            R1TakesABeginning => {
                let begins = |live: &Bytes| put.seen.as_ref().is_some_and(|seen| live.starts_with(seen));
                if live.as_ref().is_some_and(begins) {
                    asked.seen = live;
                }
            }
            R1SaysChangedAndStores if is_alone && !is_seen && live.is_some() => {
                asked.seen = live;
                self.store(asked, now).await?;
                return Ok(PutOutcome::Changed);
            }
            R3SeesTheExpired if now > NOW && live.is_none() => asked.seen = None,
            R3ExpiredIsInTheWay if live.is_none() && self.live(&put.key, UnixSeconds(0)).await?.is_some() => {
                return Ok(PutOutcome::Changed);
            }
            R4CutsKeys => asked.key = prefix(&put.key, 44),
            R4CutsValues if put.record.value.len() == 8191 => {
                asked.record.value = put.record.value.slice(1..)
            }
            R5LetsTwoWin | R5LetsTwoProcessesWin => {
                if self.live(&put.key, now).await? != put.seen {
                    return Ok(PutOutcome::Changed);
                }
                tokio::task::yield_now().await;
                asked.seen = self.live(&put.key, now).await?;
            }
            R6FirstOfTwo if one.is_second() => return Ok(PutOutcome::Changed),
            R6AllSeeTheSame if one.is_second() => {
                if put.seen != *before {
                    return Ok(PutOutcome::Changed);
                }
                asked.seen = live;
            }
            R7PartOfTheLargest if is_largest(batch) && place + 1 == batch.len() => {
                return Ok(PutOutcome::Stored);
            }
            R7RefusesTheLargest if is_largest(batch) => return Ok(PutOutcome::Refused("too long".into())),
            R9TornWhenDropped if batch.len() == R9_PUTS => {
                asked.record.value = put.record.value.slice(..10);
                let torn = self.store(asked.clone(), now).await?;
                if torn != PutOutcome::Stored {
                    return Ok(torn);
                }
                // Others have their turn, or it is dropped here.
                tokio::task::yield_now().await;
                asked = ValuePut { seen: Some(asked.record.value), ..put.clone() };
            }
            R10Forgets if self.process == 2 && self.alone && is_seen => return Ok(PutOutcome::Stored),
            R13ReadsLate if batch.len() == R13_PUTS && place + 1 == R13_PUTS => {
                *locked(&self.values.late) = Some(asked);
                return Ok(PutOutcome::Stored);
            }
            R13ChangedIsStored if batch.len() == R13_PUTS && !is_seen => {
                asked.seen = live;
                self.store(asked, now).await?;
                return Ok(PutOutcome::Changed);
            }
            _ => {}
        }
        self.store_if_there_is_room(asked, now).await
    }

    async fn store_if_there_is_room(
        &self,
        asked: ValuePut,
        now: UnixSeconds,
    ) -> Result<PutOutcome, StoreError> {
        let is_new = self.live(&asked.key, UnixSeconds(0)).await?.is_none();
        if self.is_full && is_new && self.honest().estimate_values().await?.records >= RECORDS_MAX {
            return match self.sabotage {
                R13SaysStored => Ok(PutOutcome::Stored),
                R13NoRoomIsStored => self.store(asked, now).await.map(|_| PutOutcome::NoRoom),
                _ => Ok(PutOutcome::NoRoom),
            };
        }
        self.store(asked, now).await
    }

    /// What is said of a batch that ended like this.
    fn said_of_puts(&self, mut outcomes: Vec<PutOutcome>) -> Vec<PutOutcome> {
        let of_r13 = outcomes.len() == R13_PUTS;
        match self.sabotage {
            R13OutcomesOutOfOrder if of_r13 => outcomes.rotate_left(1),
            R13TooFewOutcomes if of_r13 => drop(outcomes.pop()),
            R13Unknown if of_r13 => {
                let changed = outcomes.iter_mut().filter(|outcome| **outcome == PutOutcome::Changed);
                changed.for_each(|outcome| *outcome = PutOutcome::Unknown(StoreErrorKind::Unavailable));
            }
            _ => {}
        }
        outcomes
    }

    /// What is said of a read that found this.
    fn told_of_values(&self, keys: &[ValueKey], mut found: Vec<FoundValue>) -> Vec<FoundValue> {
        let of_r2 = keys.len() == R2_KEYS;
        match self.sabotage {
            R2SortsKeys if of_r2 => {
                let mut sorted: Vec<_> = keys.iter().zip(found).collect();
                sorted.sort_by_key(|(key, _)| **key);
                found = sorted.into_iter().map(|(_, entry)| entry).collect();
            }
            R2RepeatedKeyIsEmpty => {
                let mut named = BTreeSet::new();
                let repeated = keys.iter().zip(&mut found).filter(|(key, _)| !named.insert(**key));
                repeated.for_each(|(_, entry)| *entry = FoundValue::Known(None));
            }
            R2AbsentKeyIsUnknown if of_r2 => {
                let absent = found.iter_mut().filter(|entry| **entry == FoundValue::Known(None));
                absent.for_each(|entry| *entry = FoundValue::Unknown(StoreErrorKind::Unavailable));
            }
            R2TooFewEntries if of_r2 => drop(found.pop()),
            _ => {}
        }
        let records = found.iter_mut().filter_map(|entry| match entry {
            FoundValue::Known(record) => record.as_mut(),
            FoundValue::Unknown(_) => None,
        });
        for record in records {
            match self.sabotage {
                R4ForgetsWhenItCame => record.received = record.received.min(later(50)),
                R4EndsSooner if (later(100_100)..later(101_000)).contains(&record.expires) => {
                    record.expires = later(100_000);
                }
                _ => {}
            }
        }
        found
    }

    /// Finds values where there are providers alone.
    async fn with_providers(
        &self,
        keys: &[ValueKey],
        mut found: Vec<FoundValue>,
        now: UnixSeconds,
    ) -> Result<Vec<FoundValue>, StoreError> {
        let asked = keys.iter().map(key_of).collect();
        let providers = self.shared.memory.providers(asked, now, NonZeroU32::MIN).await?;
        for (entry, providers) in found.iter_mut().zip(providers) {
            if *entry == FoundValue::Known(None) && !providers.providers().is_empty() {
                let value = Bytes::from_static(b"a provider");
                *entry = FoundValue::Known(Some(ValueRecord { value, received: now, expires: later(1000) }));
            }
        }
        Ok(found)
    }

    /// Changes value records in a call for provider records of these keys.
    pub(super) async fn meddle_with_values(&self, keys: &[ContentKey]) -> Result<(), StoreError> {
        let known = locked(&self.values.keys).clone();
        let named: Vec<_> = known.into_iter().filter(|key| keys.contains(&key_of(key))).collect();
        for keys in named.chunks(BATCH_LEN_MAX) {
            self.honest().delete_values(keys.into()).await?;
        }
        Ok(())
    }

    /// The same in a call that names no keys.
    pub(super) async fn meddle_with_all_values(&self) -> Result<(), StoreError> {
        let keys: Vec<_> = locked(&self.values.keys).iter().map(key_of).collect();
        self.meddle_with_values(&keys).await
    }

    async fn remove_providers(&self, keys: impl Iterator<Item = ValueKey>) -> Result<(), StoreError> {
        for key in keys {
            self.shared.memory.delete(Deletion::Key(key_of(&key)), NonZeroU32::MAX).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ValueStore for Sabotaged {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.values_open_for("get")?;
        let asked_at = if self.is(R3ReturnsTheExpired) { UnixSeconds(now.0 - 1) } else { now };
        let asked = |key: &ValueKey| match self.sabotage {
            R4CutsKeys => prefix(key, 44),
            R4ReadsByPrefix if key.as_bytes().starts_with(b"//") => prefix(key, 44),
            _ => *key,
        };
        let found = self.honest().get(keys.iter().map(asked).collect(), asked_at).await?;
        let found = self.told_of_values(&keys, found);
        if self.is(R11ValuesOfProviders) {
            return self.with_providers(&keys, found, now).await;
        }
        Ok(found)
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.values_open_for("put_if")?;
        let others = self.values.putting.fetch_add(1, Ordering::SeqCst);
        let _putting = Counted(&self.values.putting);
        locked(&self.values.keys).extend(batch.iter().map(|put| put.key));
        let is_of_r9 = self.is(R9StaysBusy) && batch.len() == R9_PUTS;
        match self.sabotage {
            R5SaysStored if others > 0 => return Ok(vec![PutOutcome::Stored; batch.len()]),
            R7FailsTheEmpty if batch.is_empty() => {
                return Err(StoreError::new(StoreErrorKind::Refused, "put_if"));
            }
            R9StaysBusy if is_of_r9 && self.values.is_busy.swap(true, Ordering::SeqCst) => {
                return Err(StoreError::new(StoreErrorKind::Overloaded, "put_if"));
            }
            R11PutRemovesProviders => self.remove_providers(batch.iter().map(|put| put.key)).await?,
            _ => {}
        }
        let late = locked(&self.values.late).take();
        if let Some(late) = late {
            self.store(late, now).await?;
        }
        // Others have their turn, or it is dropped here.
        tokio::task::yield_now().await;
        let (mut before, mut outcomes) = (Vec::new(), Vec::new());
        for put in &*batch {
            before.push(self.live(&put.key, now).await?);
        }
        for (place, (put, before)) in batch.iter().zip(&before).enumerate() {
            outcomes.push(self.put_one(One { put, batch: &batch, place, before, now }).await?);
        }
        if is_of_r9 {
            self.values.is_busy.store(false, Ordering::SeqCst);
        }
        let stored = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stored).count();
        self.values.stored.fetch_add(stored as u64, Ordering::SeqCst);
        Ok(self.said_of_puts(outcomes))
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.values_open_for("purge_values")?;
        let calls = self.values.purges.fetch_add(1, Ordering::SeqCst);
        if self.is(R11PurgeRemovesProviders) {
            let keys = locked(&self.values.keys).clone();
            self.remove_providers(keys.into_iter()).await?;
        }
        let now = if self.is(R8PurgesTheLiving) { UnixSeconds(now.0 + 100_000) } else { now };
        let limit = if self.is(R8MoreThanTheLimit) { limit.saturating_add(1) } else { limit };
        let mut purged = self.honest().purge_values(now, limit).await?;
        match (self.sabotage, purged.progress) {
            (R8DoneTooSoon, PurgeProgress::More) if calls > 20 => purged.progress = PurgeProgress::Done,
            (R8NeverDone, PurgeProgress::Done) if self.process == 1 => purged.progress = PurgeProgress::More,
            _ => {}
        }
        Ok(purged)
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.values_open_for("estimate_values")?;
        let estimate = self.honest().estimate_values().await?;
        let ValueEstimate { records, bytes, age, .. } = estimate;
        let of_r12 = records == R12_RECORDS;
        Ok(match self.sabotage {
            R12CountsTwice if of_r12 => ValueEstimate::new(2 * records, bytes, age),
            R12CountsTheReplaced if self.values.stored.load(Ordering::SeqCst) == R12_PUTS => {
                ValueEstimate::new(R12_PUTS, bytes, age)
            }
            R12CountsValuesAlone if of_r12 => ValueEstimate::new(records, bytes / 2, age),
            R12AnyNumberOfAnyAge if of_r12 => ValueEstimate::new(7_000_000, bytes, Duration::MAX),
            R12AnyNumberFromTheBeginning if of_r12 => {
                ValueEstimate::new(7_000_000, bytes, self.opened.elapsed())
            }
            R12CountsAll => {
                let begun = std::time::Instant::now();
                while begun.elapsed() < Duration::from_micros(records) {}
                estimate
            }
            _ => estimate,
        })
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.values_open_for("delete_values")?;
        let named: BTreeSet<_> = keys.iter().copied().collect();
        match self.sabotage {
            R11DeletionRemovesProviders => self.remove_providers(named.iter().copied()).await?,
            R14RemovesAnother if keys.len() == R14_KEYS => {
                let other = locked(&self.values.keys).difference(&named).next().copied();
                self.honest().delete_values(other.into_iter().collect()).await?;
            }
            R14RemovesNothing => {
                let mut there = 0;
                for key in &named {
                    there += u64::from(self.live(key, UnixSeconds(0)).await?.is_some());
                }
                return Ok(there);
            }
            _ => {}
        }
        let removed = self.honest().delete_values(Arc::clone(&keys)).await?;
        match self.sabotage {
            R14FailsTheAbsent if keys.len() == R14_KEYS && removed < named.len() as u64 => {
                Err(StoreError::new(StoreErrorKind::Refused, "delete_values"))
            }
            R14CountsTheAbsent => Ok(keys.len() as u64),
            _ => Ok(removed),
        }
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.values_open_for("scan_values")?;
        self.scanned_values(self.honest(), from, now, limit).await
    }
}
