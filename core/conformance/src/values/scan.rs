//! Cases on scans of value records: R15 and R16.

use super::shop::{Shop, after, key, later, open, put, value};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::NOW;
use crate::place::Lab;
use crate::store::supports;
use hydra_api::{Cursor, Durability, Store, StoreErrorKind, UnixSeconds, ValueKey, ValuePut, ValueRecord};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

const NO_SCAN: Kept = Kept::NotApplicable("the store has no scan of value records");

/// Pages that a scan of a case may have: those of a large store without records are many.
const PAGES_MAX: u32 = 100_000;

type Found = BTreeMap<ValueKey, ValueRecord>;

async fn scans(shop: &Shop) -> Result<bool, Broken> {
    supports(shop.values()?.scan_values(None, NOW, NonZeroU32::MIN).await)
}

/// One page; its records are added to those that were found.
async fn page(
    shop: &Shop,
    from: Option<Cursor>,
    now: UnixSeconds,
    limit: u32,
    found: &mut Found,
) -> Result<Option<Cursor>, Broken> {
    let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
    let page = shop.values()?.scan_values(from, now, limit).await?;
    let len = page.records.len();
    ensure!(len <= limit.get() as usize, "a page of {limit} has {len} records");
    for (key, record) in page.records {
        ensure!(record.expires > now, "the record of {key}, which has expired, was returned");
        found.insert(key, record);
    }
    Ok(page.next)
}

/// The records of all pages.
async fn all(shop: &Shop, now: UnixSeconds, limit: u32) -> Result<Found, Broken> {
    let (mut found, mut cursor) = (Found::new(), None);
    for _ in 0..PAGES_MAX {
        cursor = page(shop, cursor, now, limit, &mut found).await?;
        if cursor.is_none() {
            return Ok(found);
        }
    }
    Err(Broken::new(format!("the scan did not end within {PAGES_MAX} pages")))
}

fn until(expires: UnixSeconds, put: ValuePut) -> ValuePut {
    ValuePut { record: ValueRecord { expires, ..put.record }, ..put }
}

/// Records of many keys and ends, some keys beginnings of others.
fn puts() -> Vec<ValuePut> {
    let ends = |number: u64| later(100_000 + (number * 37 % 1000) as u32);
    let mut puts: Vec<_> = (0..500).map(|number| until(ends(number), put(number, number))).collect();
    puts.extend(
        (1..=40).map(|len| ValuePut { key: super::shop::key_of(&[9; 40][..len]), ..put(0, len as u64) }),
    );
    puts
}

fn ensure_all(found: &Found, puts: &[ValuePut], how: &str) -> Result<(), Broken> {
    for put in puts {
        let record = found.get(&put.key);
        let record =
            record.ok_or_else(|| Broken::new(format!("the record of {} is missing {how}", put.key)))?;
        ensure!(*record == put.record, "the record of {} has changed {how}", put.key);
    }
    Ok(())
}

pub(super) async fn r15_a_scan_returns_every_live_value(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    ensure_eq!(all(&shop, NOW, 10).await?.len(), 0, "the records of an empty store");
    let live = puts();
    let short: Vec<_> = (900..950).map(|number| until(later(100), put(number, number))).collect();
    shop.store(&short, NOW).await?;
    shop.store(&live, NOW).await?;
    for limit in [7, 100, 5000] {
        let found = all(&shop, later(100), limit).await?;
        ensure_all(&found, &live, &format!("in pages of {limit}"))?;
        ensure_eq!(found.len(), live.len(), "the records that a scan in pages of {limit} found");
    }
    Ok(Kept::Shown)
}

pub(super) async fn r15_what_is_put_meanwhile_hides_no_value(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    // Some that stay and are replaced by others that end sooner or later, and some that go.
    let stay: Vec<_> = (0..300).map(|number| put(number, number)).collect();
    let go: Vec<_> = (300..500).map(|number| put(number, number)).collect();
    shop.store(&stay, NOW).await?;
    shop.store(&go, NOW).await?;
    let (mut found, mut cursor, mut goes) = (Found::new(), None, go.iter());
    for round in 0..PAGES_MAX {
        cursor = page(&shop, cursor, NOW, 30, &mut found).await?;
        if cursor.is_none() {
            break;
        }
        // Once the changes are many there is nothing new to see.
        if round > 100 {
            continue;
        }
        let replaced = (0..300).skip(round as usize % 7).step_by(7).map(|number| {
            let expires = if number % 2 == 0 { later(1000) } else { later(1_000_000 + round) };
            until(expires, after(number, put(number, number)))
        });
        shop.store(&replaced.collect::<Vec<_>>(), NOW).await?;
        let new = 10_000 + u64::from(round);
        shop.store(&[put(new, new)], NOW).await?;
        let gone: Arc<[_]> = goes.by_ref().take(8).map(|put| put.key).collect();
        shop.values()?.delete_values(gone).await?;
    }
    ensure!(cursor.is_none(), "the scan did not end within {PAGES_MAX} pages");
    for put in &stay {
        ensure!(found.contains_key(&put.key), "{} had a record all the time, which is missing", put.key);
    }
    Ok(Kept::Shown)
}

pub(super) async fn r15_r16_a_scan_of_values_goes_on_after_a_restart(lab: Arc<Lab<Store>>) -> Outcome {
    let mut shop = open!(&lab);
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    if shop.0.profile().durability == Durability::InMemory {
        return Ok(Kept::NotApplicable("the store keeps its records in memory"));
    }
    let puts = puts();
    shop.store(&puts, NOW).await?;
    let (mut found, mut cursor, mut restarts) = (Found::new(), None, 0);
    for number in 0..PAGES_MAX {
        cursor = page(&shop, cursor, NOW, 60, &mut found).await?;
        if cursor.is_none() {
            break;
        }
        if number % 4 == 0 && restarts < 3 && !found.is_empty() {
            shop.0.close().await?;
            drop(shop);
            shop = open!(&lab);
            restarts += 1;
        }
    }
    ensure!(cursor.is_none(), "the scan did not end within {PAGES_MAX} pages");
    ensure_all(&found, &puts, "after restarts")?;
    Ok(Kept::Shown)
}

pub(super) async fn r16_what_is_no_cursor_of_values_is_refused(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    if !scans(&shop).await? {
        return Ok(NO_SCAN);
    }
    shop.store(&[put(1, 1), put(2, 2)], NOW).await?;
    let foreign: [&[u8]; 4] = [&[0], &[0xff; 3], &[7; 40], &[0; Cursor::LEN_MAX]];
    for bytes in foreign {
        let cursor = Cursor::new(bytes.to_vec()).map_err(|cause| Broken::new(cause.to_string()))?;
        match shop.values()?.scan_values(Some(cursor), NOW, NonZeroU32::MIN).await {
            Err(error) if error.kind() == StoreErrorKind::Refused => {}
            other => return Err(Broken::new(format!("a scan from {bytes:02x?} gave {other:?}"))),
        }
    }
    let found = all(&shop, NOW, 10).await?;
    ensure_eq!(found.len(), 2, "the records afterwards");
    ensure_eq!(found.get(&key(1)).map(|record| record.value.clone()), Some(value(1)), "the value of key 1");
    Ok(Kept::Shown)
}
