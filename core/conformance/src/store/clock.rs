//! Cases on inserts of a clock that has jumped: S23, S25.

use super::later;
use super::outcomes::{NEVER_FULL, Taken};
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure};
use crate::given::{LIFE, NOW, batch, record};
use crate::place::Lab;
use hydra_api::{ContentKey, Expiry, PeerId, Provider, ProviderRecord, PurgeProgress, Store, UnixSeconds};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

/// By how much the clock is ahead, in seconds: every record of a case has expired by it.
const AHEAD_S: u32 = 30 * 86_400;

/// A record that an insert of this clock announces.
fn announced(key: u64, provider: u64) -> ProviderRecord {
    ProviderRecord { expires: later(AHEAD_S).saturating_add(LIFE), ..record(key, provider) }
}

pub(super) async fn s23_an_insert_of_a_clock_that_is_ahead_removes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    const CROWDED: u64 = 9000;
    let shop = Shop::open(&lab).await?;
    // Keys of few providers, and one of so many that a store may keep them in another way.
    let mut taken = Taken::new();
    let few = (0..300).map(|number| record(number / 3, number % 10));
    for record in few.chain((0..200).map(|number| record(CROWDED, number))) {
        taken.insert((record.key, record.provider), record);
    }
    let all: Vec<_> = taken.values().cloned().collect();
    shop.insert(&all, NOW).await?;
    // Two refreshes, and many providers more of the same keys.
    let refreshed = [announced(0, 0), announced(CROWDED, 0)];
    for stranger in 500..510 {
        let strangers: Vec<_> = (0..100).chain([CROWDED]).map(|key| announced(key, stranger)).collect();
        shop.insert(&strangers, later(AHEAD_S)).await?;
        shop.insert(&refreshed, later(AHEAD_S)).await?;
    }
    taken.extend(refreshed.map(|record| ((record.key, record.provider), record)));
    are_there(&shop, &taken).await?;
    // Nor do they go with the next purge or the next insert of a clock that is right.
    for _ in 0..3 {
        shop.0.purge_expired(NOW, NonZeroU32::MAX).await?;
    }
    shop.insert(&[record(0, 600), record(CROWDED, 600)], NOW).await?;
    are_there(&shop, &taken).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s23_a_full_store_makes_no_room_by_a_clock_that_is_ahead(lab: Arc<Lab<Store>>) -> Outcome {
    let Some(records_max) = lab.place.full_within else { return Ok(NEVER_FULL) };
    let shop = Shop::open(&lab).await?;
    let of = |number: u64| if number.is_multiple_of(2) { 1 } else { 1000 + number };
    // What is taken is what is read: outcomes are another rule's.
    let (mut taken, mut missing) = (Taken::new(), 0);
    for first in (0..u64::from(records_max) + 1000).step_by(100) {
        let records: Vec<_> = (first..first + 100).map(|number| record(of(number), number / 2)).collect();
        insert(&shop, &records, NOW).await?;
        let found = found(&shop, records.iter().map(|record| record.key)).await?;
        let (there, not): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| found.contains_key(&(record.key, record.provider)));
        taken.extend(there.into_iter().map(|record| ((record.key, record.provider), record)));
        missing += not.len();
        if missing > 500 {
            break;
        }
    }
    ensure!(missing > 0, "all of {records_max} records found room");
    for first in (1_000_000..1_002_000).step_by(100) {
        let records: Vec<_> = (first..first + 100).map(|number| announced(of(number), number / 2)).collect();
        insert(&shop, &records, later(AHEAD_S)).await?;
    }
    are_there(&shop, &taken).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s25_an_expiry_that_is_too_late_is_lowered(lab: Arc<Lab<Store>>) -> Outcome {
    const CROWDED: u64 = 9000;
    const YEARS_S: u32 = 10 * 365 * 86_400;
    let shop = Shop::open(&lab).await?;
    if shop.0.profile().expiry == Expiry::ByItself {
        return Ok(Kept::NotApplicable("records expire without a purge"));
    }
    // Of each key some are announced by a clock that is right, and some by one that is years ahead.
    let of = |key: u64, provider: u64| match provider % 3 {
        0 => ProviderRecord { expires: NOW.saturating_add(LIFE / 2), ..record(key, provider) },
        _ => ProviderRecord { expires: later(YEARS_S), ..record(key, provider) },
    };
    let few = (0..120).flat_map(|key| (0..3).map(move |provider| of(key, provider)));
    let mut taken = Taken::new();
    for record in few.chain((0..150).map(|provider| of(CROWDED, provider))) {
        taken.insert((record.key, record.provider), record);
    }
    shop.insert(&taken.values().cloned().collect::<Vec<_>>(), NOW).await?;
    let latest = NOW.saturating_add(LIFE);
    shop.0.expire_by(latest);
    let removed = pass(&shop, NOW).await?;
    ensure!(removed == 0, "a purge removed {removed} records that had not expired");
    let all = found(&shop, taken.keys().map(|(key, _)| *key)).await?;
    if taken.iter().all(|(place, record)| all.get(place) == Some(&record.expires)) {
        return Ok(Kept::NotApplicable("the store lowers no expiry"));
    }
    taken.values_mut().for_each(|record| record.expires = record.expires.min(latest));
    are_there(&shop, &taken).await?;
    // A later date changes nothing, and the records end.
    shop.0.expire_by(latest.saturating_add(LIFE));
    pass(&shop, NOW).await?;
    are_there(&shop, &taken).await?;
    let removed = pass(&shop, latest).await?;
    ensure!(
        removed == taken.len() as u64,
        "of {} records that have ended a purge removed {removed}",
        taken.len()
    );
    Ok(Kept::Shown)
}

/// A pass of the purge, in small steps; how many records it removed.
async fn pass(shop: &Shop, now: UnixSeconds) -> Result<u64, Broken> {
    let mut removed = 0;
    for _ in 0..100_000 {
        let step = shop.0.purge_expired(now, NonZeroU32::MIN.saturating_add(49)).await?;
        removed += step.removed;
        if step.progress == PurgeProgress::Done {
            return Ok(removed);
        }
    }
    Err(Broken::new("a purge does not end"))
}

/// Inserts, whatever becomes of it.
async fn insert(shop: &Shop, records: &[ProviderRecord], now: UnixSeconds) -> Result<(), Broken> {
    for records in records.chunks(shop.write_len_max()) {
        shop.0.insert(batch(records), now).await?;
    }
    Ok(())
}

/// The expiries of all records of these keys, for a clock that is right.
async fn found(
    shop: &Shop,
    keys: impl Iterator<Item = ContentKey>,
) -> Result<BTreeMap<(ContentKey, PeerId), UnixSeconds>, Broken> {
    let keys: Vec<_> = keys.collect::<BTreeSet<_>>().into_iter().collect();
    let entries = shop.providers(&keys, NOW, 1_000_000).await?;
    let of_key = |(key, entry): (&ContentKey, Vec<Provider>)| {
        let key = *key;
        entry.into_iter().map(move |one| ((key, one.peer), one.expires))
    };
    Ok(keys.iter().zip(entries).flat_map(of_key).collect())
}

/// Demands that these records are there, whatever else there is, for a clock that is right.
async fn are_there(shop: &Shop, taken: &Taken) -> Result<(), Broken> {
    let found = found(shop, taken.keys().map(|(key, _)| *key)).await?;
    for (place, record) in taken {
        let expires = found.get(place);
        ensure!(
            expires == Some(&record.expires),
            "after inserts of a clock that is ahead a record that expires at {} is there as {expires:?}",
            record.expires
        );
    }
    Ok(())
}
