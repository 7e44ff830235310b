//! Cases on the outcome of each record of an insert: S17.

use super::later;
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, addresses, key, record};
use crate::place::Lab;
use hydra_api::{ContentKey, PeerId, Provider, ProviderRecord, RecordOutcome, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) async fn s17_each_record_has_its_outcome(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let len = shop.write_len_max().min(190) as u64;
    // Each second record of a batch is known from the batch before.
    for round in 0..10 {
        let records: Vec<_> = (0..len).map(|number| record(round * len / 2 + number, number % 11)).collect();
        let outcomes = shop.outcomes(&records, NOW).await?;
        for (record, outcome) in records.iter().zip(outcomes) {
            ensure_eq!(outcome, RecordOutcome::Taken, "the outcome of a record that there is room for");
            let found = shop.providers_of(record.key, NOW, 100).await?;
            let found = found.iter().any(|one| one.peer == record.provider && one.expires == record.expires);
            ensure!(found, "a record that was taken is not read by the next call");
        }
    }
    Ok(Kept::Shown)
}

/// A case that needs a full store, in a place that never is.
pub(super) const NEVER_FULL: Kept =
    Kept::NotApplicable("the place does not say when the store is full: Place::full_within");

pub(super) async fn s17_what_has_no_room_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let Some(records_max) = lab.place.full_within else { return Ok(NEVER_FULL) };
    let shop = Shop::open(&lab).await?;
    let taken = fill(&shop, records_max).await?;
    refused_leave_their_provider(&shop, &taken).await?;
    Ok(Kept::Shown)
}

pub(super) type Taken = BTreeMap<(ContentKey, PeerId), ProviderRecord>;

/// Inserts records until hundreds have found no room; those that were taken.
async fn fill(shop: &Shop, records_max: u32) -> Result<Taken, Broken> {
    let mut taken = Taken::new();
    let mut full = 0;
    // Half of the records are of one key; each provider has two, so that those that are refused have known ones.
    for first in (0..u64::from(records_max) + 1000).step_by(100) {
        let of = |number: u64| record(if number.is_multiple_of(2) { 1 } else { 1000 + number }, number / 2);
        full += outcomes_agree(shop, (first..first + 100).map(of).collect(), &mut taken).await?;
        if full > 500 {
            break;
        }
    }
    ensure!(full > 0, "all of {records_max} records found room");
    Ok(taken)
}

/// Inserts batches of these records, and demands that those that were taken are there and the others are not; how many
/// the others are.
async fn outcomes_agree(shop: &Shop, records: Vec<ProviderRecord>, taken: &mut Taken) -> Result<u64, Broken> {
    let mut full = 0;
    for records in records.chunks(shop.write_len_max()) {
        let outcomes = shop.outcomes(records, NOW).await?;
        for (record, outcome) in records.iter().zip(outcomes) {
            let is_taken = outcome == RecordOutcome::Taken;
            if is_taken {
                taken.insert((record.key, record.provider), record.clone());
            }
            full += u64::from(!is_taken);
        }
        let mut keys: Vec<_> = records.iter().map(|record| record.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let entries = shop.providers(&keys, NOW, 1_000_000).await?;
        let found =
            keys.iter().zip(&entries).flat_map(|(key, entry)| entry.iter().map(|one| (*key, one.peer)));
        let found: BTreeSet<_> = found.collect();
        for record in records {
            let there = found.contains(&(record.key, record.provider));
            let known = taken.contains_key(&(record.key, record.provider));
            ensure!(there == known, "is a record taken: {known}; is it there: {there}");
        }
    }
    Ok(full)
}

async fn provider_of(shop: &Shop, record: &ProviderRecord) -> Result<Option<Provider>, Broken> {
    let entry = shop.providers_of(record.key, NOW, 1_000_000).await?;
    Ok(entry.into_iter().find(|one| one.peer == record.provider))
}

/// A full store is given records with new addresses of providers that it knows: addresses that come with a record that
/// is not taken are not taken either.
async fn refused_leave_their_provider(shop: &Shop, taken: &Taken) -> Result<(), Broken> {
    let mut known: BTreeMap<PeerId, &ProviderRecord> = BTreeMap::new();
    known.extend(taken.values().map(|record| (record.provider, record)));
    for (number, (provider, witness)) in (0..).zip(known).take(200) {
        let before = provider_of(shop, witness).await?;
        let fresh = ProviderRecord {
            key: key(if number % 2 == 0 { 1 } else { 900_000 + number }),
            provider,
            addresses: addresses(700_000 + number),
            expires: later(900_000),
        };
        if taken.contains_key(&(fresh.key, provider)) {
            continue;
        }
        let outcome = shop.outcomes(std::slice::from_ref(&fresh), later(1)).await?;
        if outcome != [RecordOutcome::Taken] {
            let after = provider_of(shop, witness).await?;
            ensure_eq!(after, before, "a provider of which a record was {outcome:?}");
        }
    }
    Ok(())
}
