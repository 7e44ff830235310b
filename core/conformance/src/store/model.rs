//! Random calls, compared with a map: S1, S2, S4 to S8, S10 and S13 together.

use super::shop::{Shop, in_order};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{Chance, NOW, addresses, content_key, peer, record};
use crate::place::Lab;
use hydra_api::{Addresses, ContentKey, Durability, PeerId, ProviderRecord, Store, UnixSeconds};
use std::collections::BTreeMap;
use std::sync::Arc;

const STEPS: u32 = 400;
const KEYS: u64 = 12;
const PROVIDERS: u64 = 40;

/// What a store must hold, in the plainest form.
#[derive(Debug, Default)]
struct Model {
    expiries: BTreeMap<(ContentKey, PeerId), UnixSeconds>,
    addresses: BTreeMap<PeerId, Addresses>,
}

impl Model {
    fn insert(&mut self, record: &ProviderRecord) {
        let expires = self.expiries.entry((record.key, record.provider)).or_default();
        *expires = record.expires.max(*expires);
        let known = self.addresses.entry(record.provider).or_default();
        if !record.addresses.is_empty() {
            *known = record.addresses.clone();
        }
    }

    fn living(&self, key: ContentKey, now: UnixSeconds) -> BTreeMap<PeerId, UnixSeconds> {
        let of_key = self.expiries.iter().filter(|((of, _), expires)| *of == key && **expires > now);
        of_key.map(|((_, peer), expires)| (*peer, *expires)).collect()
    }
}

pub(super) async fn s1_s2_s4_s5_s6_s7_s8_s10_s13_random_calls_agree_with_a_model(
    lab: Arc<Lab<Store>>,
) -> Outcome {
    let seed = Chance::seed();
    let outcome = walk(&lab, seed).await;
    outcome.map_err(|how| Broken::new(format!("{how} (to run it again: TEST_SEED={seed})")))
}

async fn walk(lab: &Lab<Store>, seed: u64) -> Outcome {
    let mut chance = Chance::of(seed);
    let mut shop = Shop::open(lab).await?;
    let mut model = Model::default();
    let mut now = NOW;
    // A store may forget a provider none of whose records is left: each has one to the end.
    let anchors: Vec<_> = (0..PROVIDERS).map(|number| record(5000 + number, number)).collect();
    shop.insert(&anchors, now).await?;
    anchors.iter().for_each(|record| model.insert(record));
    for _ in 0..STEPS {
        match chance.below(20) {
            0..10 => {
                let len = 1 + chance.below(60);
                let batch: Vec<_> = (0..len).map(|_| any_record(&mut chance, now)).collect();
                shop.insert(&batch, now).await?;
                batch.iter().for_each(|record| model.insert(record));
            }
            10..16 => agree(&shop, &model, now, 1 + chance.below(60) as u32).await?,
            16 => now = UnixSeconds(now.0 + chance.below(300) as u32),
            17 => {
                shop.purge(now, 1 + chance.below(50) as u32).await?;
            }
            18 => {
                let limit = std::num::NonZeroU32::new(1 + chance.below(10) as u32)
                    .unwrap_or(std::num::NonZeroU32::MIN);
                let step = shop.0.purge_expired(now, limit).await?;
                ensure!(step.removed <= u64::from(limit.get()), "a step of {limit} removed {}", step.removed);
            }
            _ => {
                if let Durability::SurvivesRestart { .. } = shop.0.profile().durability {
                    shop.0.close().await?;
                    drop(shop);
                    shop = Shop::open(lab).await?;
                }
            }
        }
    }
    agree(&shop, &model, now, 1000).await?;
    Ok(Kept::Shown)
}

/// Keys of which some are prefixes of others, few providers, short lives.
fn any_record(chance: &mut Chance, now: UnixSeconds) -> ProviderRecord {
    let number = chance.below(PROVIDERS);
    let from = match chance.below(4) {
        0 => Addresses::none(),
        1 => addresses(chance.next()),
        _ => addresses(number),
    };
    ProviderRecord {
        // Half of the records go to one key, so that it grows large.
        key: any_key(if chance.below(2) == 0 { 0 } else { chance.below(KEYS) }),
        provider: peer(number),
        addresses: from,
        expires: UnixSeconds(now.0 + chance.below(2000) as u32),
    }
}

fn any_key(number: u64) -> ContentKey {
    content_key(&[7; 80][..1 + number as usize])
}

async fn agree(shop: &Shop, model: &Model, now: UnixSeconds, limit: u32) -> Result<(), Broken> {
    let keys: Vec<_> = (0..KEYS).map(any_key).collect();
    let entries = shop.providers(&keys, now, limit).await?;
    for (key, entry) in keys.into_iter().zip(entries) {
        let living = model.living(key, now);
        in_order(&entry, limit)?;
        ensure_eq!(entry.len(), living.len().min(limit as usize), "the providers of {key} under {limit}");
        for one in entry {
            ensure_eq!(Some(&one.expires), living.get(&one.peer), "the expiry of {} of {key}", one.peer);
            ensure_eq!(Some(&one.addresses), model.addresses.get(&one.peer), "the addresses of {}", one.peer);
        }
    }
    Ok(())
}
