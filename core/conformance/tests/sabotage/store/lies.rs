//! What a sabotaged store does in place of what it should.

use super::sabotaged::{Sabotage, Sabotage::*, Sabotaged};
use crate::shared_memory::Shared;
use hydra_api::{
    Addresses, ContentKey, Estimate, EstimateMethod, Found, Inserted, Metric, OpenError, PeerId, Provider,
    ProviderRecord, ProviderStore, RecordOutcome, StoreErrorKind, UnixSeconds,
};
use hydra_conformance::given::{content_key, peer_id};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How many keys the case of S3 asks for.
const S3_KEYS: usize = 8;

/// What a store does to a place that it should only look at.
pub(super) async fn check(sabotage: Sabotage, place: &Path) {
    let used = Shared::find(place);
    match (sabotage, used) {
        (S19CreatesAFile, None) if place.exists() => drop(std::fs::write(place.join("lock"), "")),
        (S19CreatesTheDirectory, _) => drop(std::fs::create_dir_all(place)),
        (S19ChangesAFile, Some(_)) => {
            let records = place.join("records");
            let before = std::fs::read_to_string(&records).unwrap_or_default();
            drop(std::fs::write(records, before + "checked"));
        }
        (S19Migrates, Some(used)) => {
            let removed = used.memory.purge_expired(UnixSeconds(u32::MAX), NonZeroU32::MIN).await;
            assert!(removed.is_ok_and(|removed| removed.removed == 1));
        }
        _ => {}
    }
}

/// What a store does of which the records are to be used: there must be some.
pub(super) fn look(sabotage: Sabotage, place: &Path) -> Result<(), OpenError> {
    if Shared::find(place).is_some() || sabotage == UseMakesWhatIsNotThere {
        return Ok(());
    }
    if sabotage == UseWritesAndFails && place.exists() {
        drop(std::fs::write(place.join("lock"), ""));
    }
    Err(OpenError::unavailable("cannot use the records", "there are none"))
}

/// The records as they are for a moment, before they are what they should be.
pub(super) fn torn(batch: &[ProviderRecord]) -> Arc<[ProviderRecord]> {
    let torn = |record: &ProviderRecord| ProviderRecord {
        expires: UnixSeconds(record.expires.0 - 1),
        ..record.clone()
    };
    batch.iter().map(torn).collect()
}

/// The first bytes of a key, as many as most keys have.
pub(super) fn cut(key: &ContentKey) -> ContentKey {
    let bytes = key.as_bytes();
    content_key(&bytes[..bytes.len().min(34)])
}

fn cut_peer(peer: &PeerId) -> PeerId {
    let bytes = peer.as_bytes();
    peer_id(&bytes[..bytes.len().min(40)])
}

impl Sabotaged {
    /// The batch that is stored in place of the one that was given.
    pub(super) fn altered(&self, batch: &[ProviderRecord]) -> Vec<ProviderRecord> {
        let mut changed = batch.to_vec();
        match self.sabotage {
            S7NoAddressesAreTaken if batch.len() <= 2 => {
                let silent = changed.iter_mut().filter(|record| record.addresses.is_empty());
                silent.for_each(|record| record.addresses = Addresses::fitting([[1, 2]]));
            }
            S8FirstOfTwo => {
                let mut named = BTreeSet::new();
                changed.retain(|record| named.insert((record.key, record.provider)));
            }
            S9PartOfTheLargest if batch.len() == self.shared.profile().writes.batch_len_max.get() => {
                changed.truncate(batch.len() - 1);
            }
            S13ForgetsTheLastBatch if self.process == 2 && self.alone => changed.clear(),
            S15CutsKeys => changed.iter_mut().for_each(|record| record.key = cut(&record.key)),
            S15CutsPeers => {
                changed.iter_mut().for_each(|record| record.provider = cut_peer(&record.provider))
            }
            S15CutsAddresses => changed.iter_mut().for_each(|record| {
                record.addresses = Addresses::fitting(record.addresses.iter().take(1000));
            }),
            _ => {}
        }
        changed
    }

    /// What is said of an insert that ended like this.
    pub(super) fn said(&self, inserted: Inserted) -> Inserted {
        let Inserted::Each(mut outcomes) = inserted else { return inserted };
        match self.sabotage {
            S17SaysTaken => return Inserted::All,
            S17OutcomesOutOfOrder => outcomes.reverse(),
            S17TooFewOutcomes => drop(outcomes.pop()),
            S17Unknown => {
                let none = outcomes.iter_mut().filter(|outcome| **outcome == RecordOutcome::NoRoom);
                none.for_each(|outcome| *outcome = RecordOutcome::Unknown(StoreErrorKind::Unavailable));
            }
            _ => {}
        }
        Inserted::Each(outcomes)
    }

    /// What is said of a read that found this.
    pub(super) fn told(&self, keys: &[ContentKey], found: Vec<Found>) -> Vec<Found> {
        let told = keys.iter().zip(found).map(|(key, entry)| match entry {
            Found::Known(entry)
                if entry.is_empty() && self.is(S3AbsentKeyIsUnknown) && keys.len() == S3_KEYS =>
            {
                Found::Unknown(StoreErrorKind::Unavailable)
            }
            Found::Known(entry) => Found::Known(self.entry(*key, entry)),
            unknown @ Found::Unknown(_) => unknown,
        });
        let mut told: Vec<_> = told.collect();
        match self.sabotage {
            S3RepeatedKeyIsEmpty => {
                let mut named = BTreeSet::new();
                let repeated = keys.iter().zip(&mut told).filter(|(key, _)| !named.insert(**key));
                repeated.for_each(|(_, entry)| *entry = Found::Known(Vec::new()));
            }
            S3SortsKeys if keys.len() == S3_KEYS => {
                let mut sorted: Vec<_> = keys.iter().zip(told).collect();
                sorted.sort_by_key(|(key, _)| **key);
                told = sorted.into_iter().map(|(_, entry)| entry).collect();
            }
            _ => {}
        }
        told
    }

    fn entry(&self, key: ContentKey, mut entry: Vec<Provider>) -> Vec<Provider> {
        for provider in &mut entry {
            let note = self.overlay.of(key, provider.peer);
            match self.sabotage {
                S2Shortens if note.batch_len == 1 && note.inserts > 1 => provider.expires = note.last,
                S6AddressesOfTheRecord if !note.addresses.is_empty() => provider.addresses = note.addresses,
                S6AddressesAge if !note.addresses.is_empty() => provider.addresses_at = note.addresses_first,
                _ => {}
            }
        }
        match self.sabotage {
            S1StoresTwice => {
                let twice = entry.iter().filter(|one| self.overlay.of(key, one.peer).same >= 3);
                let twice: Vec<_> = twice.cloned().collect();
                entry.extend(twice);
            }
            S5FreshestLast => entry.reverse(),
            // As many as the case of S5 wants, in order.
            S5ProviderTwice if entry.len() == 128 => entry[127] = entry[126].clone(),
            _ => {}
        }
        entry
    }

    /// What is said of an estimate, when it is that of the case of S11.
    pub(super) fn estimated(&self, estimate: Estimate) -> Estimate {
        let of_s11 = (3900..4100).contains(&estimate.records);
        match self.sabotage {
            S11CountsTwice if of_s11 => Estimate::new(2 * estimate.records, estimate.age, estimate.method),
            S11AnyNumberOfAnyAge if of_s11 => {
                Estimate::new(7_000_000, Duration::MAX, EstimateMethod::Statistics)
            }
            S11AnyNumberFromTheBeginning if of_s11 => {
                Estimate::new(7_000_000, self.opened.elapsed(), EstimateMethod::Statistics)
            }
            S11CountsAll => {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(estimate.records) {}
                estimate
            }
            _ => estimate,
        }
    }

    /// The figures of a store that has served so many inserts.
    pub(super) fn published(&self, inserts: u64, is_closed: bool) -> Vec<Metric> {
        let counted = match self.sabotage {
            S24CounterFalls => 1000_u64.saturating_sub(inserts),
            _ => inserts,
        };
        let inserts_total = Metric::counter("db_inserts_total", "Inserts.", counted);
        let mut published = vec![inserts_total, Metric::gauge("db_opens", "Processes.", 1.0)];
        match self.sabotage {
            S24SeriesGoesAway if inserts > 2 => drop(published.remove(0)),
            S24SeriesTwice => published.push(published[0].clone()),
            S24NamesAPeer => {
                let peer = "12D3KooWHigCG8nhuhGw3cFFmmKwRMTkUXkVd9SYdSBqeMrbjYBb";
                published.push(Metric::gauge("db_provider", "A provider.", 1.0).with("peer", peer));
            }
            S24PanicsWhenClosed if is_closed => panic!("closed"),
            S24Waits => std::thread::sleep(Duration::from_millis(50)),
            S24WaitsEverySecondTime
                if self.figures_calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => {}
        }
        published
    }
}
