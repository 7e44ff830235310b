//! Cases on what an insert does: S1, S2, S6 to S9.

use super::later;
use super::shop::{Shop, all_known, all_taken};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, addresses, batch, key, record};
use crate::place::Lab;
use hydra_api::{Addresses, ContentKey, Provider, ProviderRecord, Store, UnixSeconds};
use std::sync::Arc;

const HOUR: u32 = 3600;

pub(super) async fn s1_an_insert_is_idempotent(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    for _ in 0..3 {
        shop.insert(&[record(1, 1), record(1, 2)], NOW).await?;
    }
    let entry = shop.providers_of(key(1), NOW, 100).await?;
    ensure_eq!(entry.len(), 2, "the number of providers, each announced three times");
    shop.has(&record(1, 1), NOW, 100).await?;
    shop.has(&record(1, 2), NOW, 100).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s2_the_later_expiry_wins(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    // One key with few providers, and one with so many that a store may keep them in another way.
    let crowd: Vec<_> = (0..200).map(|provider| record(2, provider)).collect();
    shop.insert(&crowd, NOW).await?;
    for (key_number, provider) in [(1, 7), (2, 0), (2, 100), (2, 199)] {
        for (told, kept) in [(2000u32, 2000u32), (1000, 2000), (3000, 3000), (2999, 3000), (3000, 3000)] {
            let far = |seconds: u32| later(400_000 + seconds);
            let announced = ProviderRecord { expires: far(told), ..record(key_number, provider) };
            shop.insert(&[announced], NOW).await?;
            shop.has(&ProviderRecord { expires: far(kept), ..record(key_number, provider) }, NOW, 1000)
                .await?;
        }
    }
    ensure_eq!(shop.providers_of(key(2), NOW, 1000).await?.len(), 200, "the number of providers");
    Ok(Kept::Shown)
}

pub(super) async fn s6_addresses_belong_to_the_provider(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    shop.insert(&[record(1, 1), record(2, 1), record(1, 2)], NOW).await?;
    let moved = ProviderRecord { addresses: addresses(77), ..record(3, 1) };
    shop.insert(&[moved], later(HOUR)).await?;
    for number in 1..=3 {
        let found = of_provider_1(&shop, key(number), later(HOUR)).await?;
        ensure!(found.addresses == addresses(77), "key {number} has addresses that are no longer true");
        within_the_slack(&found, later(HOUR))?;
    }
    // The other provider is left alone.
    shop.has(&record(1, 2), later(HOUR), 10).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s6_addresses_told_again_do_not_age(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    for hours in [0, 1, 5, 11, 13, 22, 30, 44, 66] {
        let now = later(hours * HOUR);
        let told = ProviderRecord { expires: later((hours + 48) * HOUR), ..record(1, 1) };
        shop.insert(&[told], now).await?;
        within_the_slack(&of_provider_1(&shop, key(1), now).await?, now)?;
    }
    Ok(Kept::Shown)
}

async fn of_provider_1(shop: &Shop, key: ContentKey, now: UnixSeconds) -> Result<Provider, Broken> {
    let entry = shop.providers_of(key, now, 10).await?;
    let found = entry.into_iter().find(|one| one.peer == record(1, 1).provider);
    found.ok_or_else(|| Broken::new("the provider is missing"))
}

fn within_the_slack(found: &Provider, told: UnixSeconds) -> Result<(), Broken> {
    let earliest = told.saturating_sub(Addresses::SLACK);
    ensure!(
        earliest <= found.addresses_at && found.addresses_at <= told,
        "addresses inserted at {told} have an addresses_at of {}",
        found.addresses_at
    );
    Ok(())
}

pub(super) async fn s7_an_insert_without_addresses_keeps_them(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let silent = |key_number| ProviderRecord { addresses: Addresses::none(), ..record(key_number, 1) };
    shop.insert(&[silent(1)], NOW).await?;
    shop.has(&silent(1), NOW, 10).await?;
    shop.insert(&[record(1, 1)], later(HOUR)).await?;
    shop.insert(&[silent(1), silent(2)], later(2 * HOUR)).await?;
    shop.has(&record(1, 1), later(2 * HOUR), 10).await?;
    shop.has(&record(2, 1), later(2 * HOUR), 10).await?;
    let told = of_provider_1(&shop, key(1), later(2 * HOUR)).await?.addresses_at;
    ensure!(told <= later(HOUR), "an insert without addresses made them younger");
    Ok(Kept::Shown)
}

pub(super) async fn s8_a_batch_may_name_a_record_twice(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let with = |key_number, expires, from| ProviderRecord {
        expires: later(expires),
        addresses: from,
        ..record(key_number, key_number)
    };
    let batch = [
        with(1, 5000, addresses(1)),
        with(2, 6000, addresses(2)),
        with(1, 4000, addresses(3)),
        with(2, 7000, Addresses::none()),
        with(1, 4500, Addresses::none()),
    ];
    shop.insert(&batch, NOW).await?;
    for (key_number, expires, from) in [(1, 5000, addresses(3)), (2, 7000, addresses(2))] {
        ensure_eq!(shop.providers_of(key(key_number), NOW, 10).await?.len(), 1, "the number of providers");
        shop.has(&with(key_number, expires, from), NOW, 10).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn s9_the_largest_batch_is_accepted_whole(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let profile = shop.0.profile();
    let largest = |lane: hydra_api::store::Lane| lane.batch_len_max.get().min(100_000);
    let records: Vec<_> =
        (0..largest(profile.writes) as u64).map(|number| record(number, number % 97)).collect();
    all_taken(&shop.0.insert(batch(&records), NOW).await?, records.len())?;
    // More keys than records, if so many can be read: those are absent.
    let keys: Vec<_> = (0..largest(profile.reads) as u64).map(key).collect();
    let entries = shop.0.providers(keys.as_slice().into(), NOW, std::num::NonZeroU32::MIN).await?;
    for (number, entry) in all_known(entries, keys.len())?.into_iter().enumerate() {
        let found = entry.iter().map(|one| (one.peer, one.expires, one.addresses.clone()));
        let expected = records.get(number).map(|one| (one.provider, one.expires, one.addresses.clone()));
        ensure_eq!(found.collect::<Vec<_>>(), Vec::from_iter(expected), "the entry of key {number}");
    }
    Ok(Kept::Shown)
}

pub(super) async fn s9_an_empty_batch_does_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    all_taken(&shop.0.insert(batch(&[]), NOW).await?, 0)?;
    let entries = shop.0.providers(Arc::from([]), NOW, std::num::NonZeroU32::MIN).await?;
    ensure!(entries.is_empty(), "there is an entry");
    Ok(Kept::Shown)
}
