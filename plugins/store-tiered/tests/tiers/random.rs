//! Whatever an upper tier does, what is read is what the last tier has.

use crate::rig::{LIMIT, Shop, Tier, memory, open_with};
use hydra_api::{Addresses, Found, PeerId, ProviderRecord, ProviderStore, StoreErrorKind, UnixSeconds};
use hydra_conformance::doubles::{
    Afterwards, Calls, CommitsThenFails, DropsSome, FailingStore, Miscount, Miscounts, PanicsSometimes,
    SlowStore, StoresHalf, UnknownForSome, Waits,
};
use hydra_conformance::given::{Chance, NOW, addresses, key, record};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const KEYS: u64 = 12;
const STEPS: u32 = 400;
const UNAVAILABLE: StoreErrorKind = StoreErrorKind::Unavailable;

/// Stores that misbehave in some calls and not in others.
fn uppers(seed: u64) -> Vec<(&'static str, Arc<dyn ProviderStore>)> {
    let failing = FailingStore::new(memory(), UNAVAILABLE, 100, seed);
    let no_writes = FailingStore::new(memory(), StoreErrorKind::Overloaded, 400, seed);
    no_writes.set_calls(Calls::Writes);
    let no_reads = FailingStore::new(memory(), UNAVAILABLE, 400, seed);
    no_reads.set_calls(Calls::Reads);
    let halving: Arc<dyn ProviderStore> = Arc::new(StoresHalf::new(memory(), StoreErrorKind::Overloaded));
    vec![
        ("sound", memory()),
        ("failing", Arc::new(failing)),
        ("failing writes", Arc::new(no_writes)),
        ("failing reads", Arc::new(no_reads)),
        ("dropping", Arc::new(DropsSome::new(memory(), 300, seed))),
        ("panicking", Arc::new(PanicsSometimes::new(memory(), 100, seed))),
        ("storing half", halving),
        ("committing", Arc::new(CommitsThenFails::new(memory(), Afterwards::Fails(UNAVAILABLE)))),
        ("miscounting", Arc::new(Miscounts::new(memory(), Miscount::TooFewOutcomes))),
        ("unknowing", Arc::new(UnknownForSome::new(memory(), UNAVAILABLE, 300, seed))),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_upper_tiers_do_a_read_finds_what_the_last_tier_has() {
    let seed = Chance::seed();
    for round in 0..4 {
        let seed = seed.wrapping_add(round);
        for writes in ["all", "last"] {
            for (name, upper) in uppers(seed) {
                let last = memory();
                let below = uppers(seed).swap_remove((seed % 10) as usize).1;
                let tiers = [Tier::of(upper), Tier::of(below), Tier::of(last.clone())];
                let shop = open_with(&tiers, json!({ "writes": writes })).await;
                walk(&shop, &Shop(last), seed, &format!("{name}, {writes}, TEST_SEED={seed}")).await;
            }
        }
    }
}

async fn walk(shop: &Shop, last: &Shop, seed: u64, named: &str) {
    let mut chance = Chance::of(seed);
    let mut now = NOW;
    for _ in 0..STEPS {
        match chance.below(10) {
            0..4 => {
                let batch: Vec<_> = (0..1 + chance.below(9)).map(|_| any_record(&mut chance, now)).collect();
                shop.insert(&batch, now).await;
            }
            4 => {
                now = UnixSeconds(now.0 + chance.below(120) as u32);
                // The pauses of a tier that is left alone pass as well.
                tokio::time::advance(Duration::from_millis(chance.below(900))).await;
            }
            _ => {
                let keys: Vec<_> = (0..1 + chance.below(6)).map(|_| key(chance.below(KEYS))).collect();
                let found = shop.try_read(&keys, now, LIMIT).await.unwrap();
                let expected = last.try_read(&keys, now, LIMIT).await.unwrap();
                assert_eq!(sorted(&found), sorted(&expected), "{named}");
            }
        }
    }
}

type Seen = Vec<(PeerId, UnixSeconds, Addresses, UnixSeconds)>;

/// Those of one expiry come in any order.
fn sorted(found: &[Found]) -> Vec<Seen> {
    let of_key = |found: &Found| {
        let one =
            |one: &hydra_api::Provider| (one.peer, one.expires, one.addresses.clone(), one.addresses_at);
        let mut seen: Seen = found.providers().iter().map(one).collect();
        seen.sort_by_key(|one| one.0);
        seen
    };
    found.iter().map(of_key).collect()
}

fn any_record(chance: &mut Chance, now: UnixSeconds) -> ProviderRecord {
    let number = chance.below(8);
    let addresses = match chance.below(4) {
        0 => Addresses::none(),
        1 => addresses(chance.next()),
        _ => addresses(number),
    };
    let expires = UnixSeconds(now.0 + chance.below(1000) as u32);
    ProviderRecord { addresses, expires, ..record(chance.below(KEYS), number) }
}

/// Tasks that write to the same keys, each for a provider of its own, and read after each write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_what_was_taken_is_read_by_the_next_call_whatever_runs_beside_it() {
    const TASKS: u64 = 8;
    const ROUNDS: u32 = 150;
    let seed = Chance::seed();
    for writes in ["all", "last"] {
        let failing = FailingStore::new(memory(), StoreErrorKind::Overloaded, 200, seed);
        failing.set_calls(Calls::Writes);
        let slow = SlowStore::delayed(Arc::new(failing), Duration::from_micros(300));
        let dropping =
            SlowStore::delayed(Arc::new(DropsSome::new(memory(), 200, seed)), Duration::from_micros(100));
        let last = SlowStore::delayed(memory(), Duration::from_micros(500));
        last.set_waits(Waits::AfterCall);
        let tiers = [Tier::of(Arc::new(slow)), Tier::of(Arc::new(dropping)), Tier::of(Arc::new(last))];
        let shop = open_with(&tiers, json!({ "writes": writes })).await;
        let task = |task: u64| {
            let (shop, mut chance) = (shop.clone(), Chance::of(seed ^ task));
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let told = ProviderRecord {
                        addresses: addresses(chance.below(3)),
                        expires: UnixSeconds(NOW.0 + 1000 + round),
                        ..record(chance.below(4), task)
                    };
                    shop.insert(std::slice::from_ref(&told), NOW).await;
                    // The last key has only been read so far, or written by others.
                    for number in [0, 1, 2, 3, 4] {
                        let found = shop.read(number).await;
                        let own = found.into_iter().find(|one| one.peer == told.provider);
                        let own = own.map(|own| (own.expires, own.addresses));
                        let is_told = key(number) == told.key;
                        assert!(own.is_some() || !is_told, "key {number}, {writes}, TEST_SEED={seed}");
                        if let Some((expires, addresses)) = own {
                            assert!(
                                expires == told.expires || !is_told,
                                "key {number}, {writes}, TEST_SEED={seed}"
                            );
                            assert_eq!(addresses, told.addresses, "key {number}, {writes}, TEST_SEED={seed}");
                        }
                    }
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(task).collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
