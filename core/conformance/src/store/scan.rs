//! Cases on scans: S21 and S22.

use super::delete::supports;
use super::later;
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{LIFE, NOW, content_key, key, record};
use crate::place::Lab;
use hydra_api::{
    Addresses, ContentKey, Cursor, Deletion, Durability, KeyProvider, PeerId, ProviderRecord, Store,
    StoreErrorKind, UnixSeconds,
};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const NO_SCAN: Kept = Kept::NotApplicable("the store has no scan");

/// Pages that a scan of a case may have: those of a large store without records are many.
const PAGES_MAX: u32 = 100_000;

type Found = BTreeMap<(ContentKey, PeerId), KeyProvider>;

async fn scans(shop: &Shop) -> Result<bool, Broken> {
    supports(shop.0.scan(None, NOW, NonZeroU32::MIN).await)
}

/// One page; its records are added to those that were found.
async fn page(
    shop: &Shop,
    from: Option<Cursor>,
    now: UnixSeconds,
    limit: u32,
    found: &mut Found,
) -> Result<Option<Cursor>, Broken> {
    let page = shop.0.scan(from, now, NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN)).await?;
    let len = page.records.len();
    ensure!(len <= limit as usize, "a page of {limit} has {len} records");
    for record in page.records {
        ensure!(
            record.provider.expires > now,
            "a record of {} that has expired was returned",
            record.provider.peer
        );
        found.insert((record.key, record.provider.peer), record);
    }
    Ok(page.next)
}

/// The records of all pages.
async fn all(shop: &Shop, now: UnixSeconds, limit: u32) -> Result<Found, Broken> {
    let mut found = Found::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        cursor = page(shop, cursor, now, limit, &mut found).await?;
        if cursor.is_none() {
            return Ok(found);
        }
    }
    Err(Broken::new(format!("the scan did not end within {PAGES_MAX} pages")))
}

/// Many keys of one provider, some of several, one of many; keys that are prefixes of others.
fn records() -> Vec<ProviderRecord> {
    let mut records: Vec<_> = (0..600).map(|number| record(number, number % 50)).collect();
    records.extend((0..40).flat_map(|number| (50..70).map(move |peer| record(number, peer))));
    records.extend((0..250).map(|number| ProviderRecord {
        expires: NOW.saturating_add(LIFE + Duration::from_secs(number % 10)),
        ..record(7, 100 + number)
    }));
    let keys = (1..=34).map(|len| content_key(&[9; 34][..len]));
    records.extend(keys.map(|key| ProviderRecord { key, ..record(0, 3) }));
    records
}

pub(super) async fn s21_a_scan_returns_every_live_record(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    ensure_eq!(all(&shop, NOW, 10).await?.len(), 0, "the records of an empty store");
    let live = records();
    let silent = ProviderRecord { addresses: Addresses::none(), ..record(8000, 8000) };
    let short = (0..60).map(|number| ProviderRecord { expires: later(100), ..record(900 + number, number) });
    shop.insert(&short.collect::<Vec<_>>(), NOW).await?;
    shop.insert(&[&live[..], std::slice::from_ref(&silent)].concat(), NOW).await?;
    let expected: BTreeMap<_, _> =
        live.iter().chain([&silent]).map(|record| ((record.key, record.provider), record)).collect();
    for limit in [7, 100, 5000] {
        let found = all(&shop, later(100), limit).await?;
        for (name, record) in &expected {
            let Some(KeyProvider { provider, .. }) = found.get(name) else {
                let (key, peer) = name;
                return Err(Broken::new(format!("{peer} of {key} is missing in pages of {limit}")));
            };
            ensure_eq!(provider.expires, record.expires, "the expiry of {} of {}", name.1, name.0);
            ensure_eq!(provider.addresses, record.addresses, "the addresses of {}", name.1);
            ensure!(
                record.addresses.is_empty() || later(0).since(provider.addresses_at) <= Addresses::SLACK,
                "the addresses of {} were told at {}, not at {NOW}",
                name.1,
                provider.addresses_at
            );
        }
        ensure_eq!(found.len(), expected.len(), "the records that a scan in pages of {limit} found");
    }
    Ok(Kept::Shown)
}

pub(super) async fn s21_what_is_written_meanwhile_hides_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    const LIMIT: u32 = 40;
    let shop = Shop::open(&lab).await?;
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    // Some that stay, of many keys and of one; some that go, of the same keys.
    let stay: Vec<_> = (0..300).map(|number| record(number, number % 20)).collect();
    let hot: Vec<_> = (0..60).map(|number| record(5, 1000 + number)).collect();
    let go: Vec<_> = (0..300).step_by(3).map(|number| record(number, 500)).collect();
    let hot_go: Vec<_> = (0..60)
        .map(|number| ProviderRecord { expires: later(200_000), ..record(5, 2000 + number) })
        .collect();
    for records in [&stay, &hot, &go, &hot_go] {
        shop.insert(records, NOW).await?;
    }
    let mut found = Found::new();
    let mut cursor = None;
    let mut goes = go.iter().chain(&hot_go).cycle();
    for round in 0..PAGES_MAX {
        cursor = page(&shop, cursor, NOW, LIMIT, &mut found).await?;
        if cursor.is_none() {
            break;
        }
        // Once the changes are many there is nothing new to see.
        if round > 400 {
            continue;
        }
        let longer = |record: &ProviderRecord| ProviderRecord {
            expires: record.expires.saturating_add(Duration::from_secs(60 * u64::from(round + 1))),
            ..record.clone()
        };
        let refreshed = hot.iter().skip(round as usize % 7).step_by(7);
        let refreshed = refreshed.chain(stay.iter().skip(round as usize % 11).step_by(11));
        shop.insert(&refreshed.map(longer).collect::<Vec<_>>(), NOW).await?;
        let new = u64::from(round);
        shop.insert(&[record(10_000 + new, new), record(5, 3000 + new)], NOW).await?;
        for gone in goes.by_ref().take(8) {
            let deletion = Deletion::Record(gone.key, gone.provider);
            if !supports(shop.0.delete(deletion, NonZeroU32::MIN).await)? {
                break;
            }
        }
    }
    ensure!(cursor.is_none(), "the scan did not end within {PAGES_MAX} pages");
    for record in stay.iter().chain(&hot) {
        let (key, peer) = (record.key, record.provider);
        ensure!(found.contains_key(&(key, peer)), "{peer} of {key} was there all the time and is missing");
    }
    Ok(Kept::Shown)
}

pub(super) async fn s21_s22_a_scan_goes_on_after_a_restart(lab: Arc<Lab<Store>>) -> Outcome {
    let mut shop = Shop::open(&lab).await?;
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    if shop.0.profile().durability == Durability::InMemory {
        return Ok(Kept::NotApplicable("the store keeps its records in memory"));
    }
    let records = records();
    shop.insert(&records, NOW).await?;
    let mut found = Found::new();
    let mut cursor = None;
    let mut restarts = 0;
    for number in 0..PAGES_MAX {
        cursor = page(&shop, cursor, NOW, 60, &mut found).await?;
        if cursor.is_none() {
            break;
        }
        if number % 8 == 0 && restarts < 5 && !found.is_empty() {
            shop.0.close().await?;
            drop(shop);
            shop = Shop::open(&lab).await?;
            restarts += 1;
        }
    }
    ensure!(cursor.is_none(), "the scan did not end within {PAGES_MAX} pages");
    for record in &records {
        let (key, peer) = (record.key, record.provider);
        ensure!(found.contains_key(&(key, peer)), "{peer} of {key} is missing after restarts");
    }
    Ok(Kept::Shown)
}

pub(super) async fn s22_what_is_no_cursor_is_refused(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    shop.insert(&[record(1, 1), record(2, 2)], NOW).await?;
    let foreign: [&[u8]; 4] = [&[0], &[0xff; 3], &[7; 40], &[0; Cursor::LEN_MAX]];
    for bytes in foreign {
        let cursor = Cursor::new(bytes.to_vec()).map_err(|cause| Broken::new(cause.to_string()))?;
        match shop.0.scan(Some(cursor), NOW, NonZeroU32::MIN).await {
            Err(error) if error.kind() == StoreErrorKind::Refused => {}
            other => return Err(Broken::new(format!("a scan from {bytes:02x?} gave {other:?}"))),
        }
    }
    ensure_eq!(all(&shop, NOW, 10).await?.len(), 2, "the records afterwards");
    ensure!(all(&shop, NOW, 10).await?.contains_key(&(key(1), record(1, 1).provider)), "a record is missing");
    Ok(Kept::Shown)
}
