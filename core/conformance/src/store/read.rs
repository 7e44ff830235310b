//! Cases on what a read returns: S3 to S5, S15.

use super::later;
use super::shop::{Shop, in_order};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{Chance, NOW, content_key, key, peer, peer_id, record};
use crate::place::Lab;
use hydra_api::{Addresses, ContentKey, ProviderRecord, Store};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn s3_each_key_gets_its_entry_in_order(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    shop.insert(&[record(1, 1), record(2, 2), record(3, 3)], NOW).await?;
    let asked = [3, 9, 1, 3, 8, 2, 2, 9];
    let keys = asked.map(key);
    let entries = shop.providers(&keys, NOW, 10).await?;
    for (number, entry) in asked.into_iter().zip(entries) {
        let found: Vec<_> = entry.iter().map(|one| one.peer).collect();
        let expected = if number > 3 { vec![] } else { vec![peer(number)] };
        ensure_eq!(found, expected, "the entry of key {number}");
    }
    Ok(Kept::Shown)
}

pub(super) async fn s4_what_expires_now_is_not_returned(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    // Few and many providers to a key, each gone a second after the one before; one is gone from the start.
    for (number, count) in [(1, 5), (2, 100)] {
        let batch: Vec<_> = (0..count)
            .map(|provider| ProviderRecord {
                expires: later(provider),
                ..record(number, u64::from(provider))
            })
            .collect();
        shop.insert(&batch, NOW).await?;
        for seconds in 0..=count {
            let found = shop.providers_of(key(number), later(seconds), 1000).await?;
            let living = (count - seconds).saturating_sub(1) as usize;
            ensure_eq!(found.len(), living, "the living of {count} after {seconds} s");
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn s5_the_freshest_come_first_and_no_more_than_the_limit(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let mut chance = Chance::of(5);
    for (number, count) in [(1, 1), (2, 15), (3, 16), (4, 17), (5, 64), (6, 300)] {
        let batch: Vec<_> = (0..count)
            .map(|provider| ProviderRecord {
                expires: later(1000 + chance.below(500) as u32),
                ..record(number, provider)
            })
            .collect();
        shop.insert(&batch, NOW).await?;
        for limit in [1, 2, 15, 16, 17, 128, 1000] {
            let found = shop.providers_of(key(number), NOW, limit).await?;
            in_order(&found, limit)?;
            ensure_eq!(found.len(), count.min(u64::from(limit)) as usize, "those of {count} under {limit}");
            for one in found {
                let inserted = batch.iter().any(|r| r.provider == one.peer && r.expires == one.expires);
                ensure!(inserted, "a provider was returned that nobody inserted like this");
            }
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn s5_a_hot_key_is_read_under_its_limit(lab: Arc<Lab<Store>>) -> Outcome {
    const PROVIDERS: u64 = 5000;
    let shop = Shop::open(&lab).await?;
    let mut chance = Chance::of(55);
    let mut batch: Vec<_> = (0..PROVIDERS)
        .map(|provider| ProviderRecord {
            expires: later(9000 + chance.below(999) as u32),
            ..record(1, provider)
        })
        .collect();
    shop.insert(&batch, NOW).await?;
    // Some are refreshed, in whatever way the store holds them.
    for record in batch.iter_mut().step_by(97) {
        record.expires = later(20_000);
        shop.insert(std::slice::from_ref(record), NOW).await?;
    }
    for limit in [1, 20, 128] {
        let found = shop.providers_of(key(1), NOW, limit).await?;
        in_order(&found, limit)?;
        ensure_eq!(found.len(), limit as usize, "the number of providers");
    }
    let all = shop.providers_of(key(1), NOW, 2 * PROVIDERS as u32).await?;
    in_order(&all, 2 * PROVIDERS as u32)?;
    let found: BTreeSet<_> = all.iter().map(|one| (one.peer, one.expires)).collect();
    let expected: BTreeSet<_> = batch.iter().map(|record| (record.provider, record.expires)).collect();
    ensure!(
        found == expected,
        "of {PROVIDERS} providers {} came back as they were",
        found.intersection(&expected).count()
    );
    Ok(Kept::Shown)
}

pub(super) async fn s15_bytes_come_back_as_they_were(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let mut chance = Chance::of(15);
    let mut batch = Vec::new();
    for len in 1..=ContentKey::LEN_MAX {
        for fill in [0x00, 0xff, b'r', b's', 0x80] {
            let mut bytes = vec![fill; len];
            bytes[len - 1] ^= len as u8;
            let provider = vec![fill; 1 + len % hydra_api::PeerId::LEN_MAX];
            batch.push(ProviderRecord {
                key: content_key(&bytes),
                provider: peer_id(&provider),
                addresses: Addresses::none(),
                expires: later(1000 + len as u32),
            });
        }
    }
    // Addresses as long as there may be, one of them and very many.
    let mut longest = vec![0; Addresses::BYTES_MAX - 2];
    chance.fill(&mut longest);
    let many: Vec<_> = (0..=u8::MAX).cycle().take(Addresses::BYTES_MAX / 3).map(|byte| [byte]).collect();
    for (number, addresses) in [(1, Addresses::fitting([longest])), (2, Addresses::fitting(many))] {
        batch.push(ProviderRecord { addresses, ..record(number, 900 + number) });
    }
    shop.insert(&batch, NOW).await?;
    for record in &batch {
        shop.has(record, NOW, 1000).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn s15_a_key_and_its_prefix_are_different_keys(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let whole = key(1);
    // Each prefix has a crowd of its own, and each provider's number in it begins like the rest of a longer key.
    let lens: Vec<usize> = (1..=whole.as_bytes().len()).collect();
    let mut batch = Vec::new();
    for &len in &lens {
        for provider in 0..20 {
            let prefix = content_key(&whole.as_bytes()[..len]);
            batch.push(ProviderRecord { key: prefix, ..record(1, 100 * len as u64 + provider) });
        }
    }
    shop.insert(&batch, NOW).await?;
    for len in lens {
        let found = shop.providers_of(content_key(&whole.as_bytes()[..len]), NOW, 1000).await?;
        let found: BTreeSet<_> = found.into_iter().map(|one| one.peer).collect();
        let expected: BTreeSet<_> = (0..20).map(|provider| peer(100 * len as u64 + provider)).collect();
        ensure!(found == expected, "the prefix of {len} bytes has {} providers, not its own 20", found.len());
    }
    let longer = content_key(&[whole.as_bytes(), &[0]].concat());
    let found = shop.providers_of(longer, NOW, 1000).await?;
    found.is_empty().then_some(Kept::Shown).ok_or_else(|| Broken::new("a longer key has providers"))
}
