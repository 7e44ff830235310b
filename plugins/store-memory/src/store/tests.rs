use super::*;
use futures::executor::block_on;
use hydra_api::RecordOutcome::{NoRoom, Taken};
use hydra_conformance::given::{NOW, addresses, key, record};

const LATER: Duration = Duration::from_secs(600);

fn small() -> Memory {
    Memory::new(&Config { mib_max: 1, ..Config::default() })
}

fn insert(store: &Memory, batch: &[ProviderRecord], now: UnixSeconds) -> Inserted {
    block_on(store.insert(Arc::from(batch), now)).unwrap()
}

fn takes(store: &Memory, record: ProviderRecord, now: UnixSeconds) -> bool {
    insert(store, &[record], now) == Inserted::All
}

fn found(store: &Memory, key: ContentKey, now: UnixSeconds) -> Vec<Provider> {
    match block_on(store.providers(Arc::from([key]), now, NonZeroU32::MAX)).unwrap().pop() {
        Some(Found::Known(providers)) => providers,
        other => panic!("{other:?}"),
    }
}

fn count(store: &Memory, number: u64, now: UnixSeconds) -> usize {
    found(store, key(number), now).len()
}

/// Inserts until it is full; the numbers that were taken.
fn fill(store: &Memory) -> Vec<u64> {
    let taken = |number: &u64| takes(store, record(*number, number % 50), NOW);
    let taken: Vec<_> = (0..100_000).filter(taken).collect();
    assert!((1000..50_000).contains(&taken.len()), "{} records in 1 MiB", taken.len());
    taken
}

#[test]
fn a_full_store_drops_and_counts_what_is_new_and_refreshes_what_it_knows() {
    let store = small();
    let taken = fill(&store);
    assert_eq!(insert(&store, &[record(200_000, 200_000)], NOW), Inserted::Each(vec![NoRoom]));
    for &number in &taken {
        let longer = record(number, number % 50);
        let longer = ProviderRecord { expires: longer.expires.saturating_add(LATER), ..longer };
        assert!(takes(&store, longer.clone(), NOW));
        assert_eq!(found(&store, longer.key, NOW)[0].expires, longer.expires);
    }
    assert!(store.bytes_used() <= 1 << 20, "{} bytes", store.bytes_used());
}

#[test]
fn a_full_store_takes_the_place_of_what_had_expired_at_the_last_purge() {
    let store = small();
    let taken = fill(&store);
    let over = record(0, 0).expires;
    let fresh = |number| ProviderRecord { expires: over.saturating_add(LATER), ..record(number, 7) };
    let accepted = |over| (300_000..301_000).filter(|number| takes(&store, fresh(*number), over)).count();
    // The clock of an insert may have jumped: by itself it makes no room.
    assert_eq!(accepted(over), 0);
    assert_eq!(count(&store, taken[0], NOW), 1);
    // The first step of a purge leaves most to the inserts.
    block_on(store.purge_expired(over, NonZeroU32::MIN)).unwrap();
    let accepted = accepted(over);
    // Room is made in the part of the keys that a record falls into: the first few may find too little there.
    assert!(accepted > 950, "{accepted} of 1,000 found room");
    assert_eq!(taken.iter().filter(|number| count(&store, **number, over) > 0).count(), 0);
}

#[test]
fn addresses_cannot_fill_memory() {
    let store = small();
    let long = |byte: u8| hydra_api::Addresses::fitting([vec![byte; 8000]]);
    for number in 0..1000 {
        insert(&store, &[ProviderRecord { addresses: addresses(1), ..record(number, number) }], NOW);
    }
    for number in 0..1000 {
        insert(&store, &[ProviderRecord { addresses: long(number as u8), ..record(number, number) }], NOW);
        assert!(store.bytes_used() <= 1 << 20, "{} bytes", store.bytes_used());
    }
    assert_eq!(count(&store, 999, NOW), 1);
}

#[test]
fn v19_a_full_key_refreshes_those_it_knows_and_refuses_new_ones() {
    let store = Memory::new(&Config { providers_per_key_max: 40, ..Config::default() });
    let batch: Vec<_> = (0..50).map(|provider| record(1, provider)).collect();
    let outcomes = [vec![Taken; 40], vec![NoRoom; 10]].concat();
    assert_eq!(insert(&store, &batch, NOW), Inserted::Each(outcomes.clone()));
    assert_eq!(insert(&store, &batch, NOW), Inserted::Each(outcomes));
    assert_eq!(count(&store, 1, NOW), 40);
}

#[test]
fn a_purged_store_has_given_everything_back_but_its_tables() {
    let store = Memory::new(&Config::default());
    for round in 0..8 {
        let now = NOW.saturating_add(LATER * round);
        let batch: Vec<_> = (0..20_000)
            .map(|number| ProviderRecord { expires: now.saturating_add(LATER), ..record(number / 2, number) })
            .collect();
        insert(&store, &batch, now);
        let over = now.saturating_add(LATER);
        while block_on(store.purge_expired(over, NonZeroU32::MAX)).unwrap().progress == PurgeProgress::More {}
        let tables: u64 = (0..SHARDS).map(|number| store.shard(number).table_bytes()).sum();
        assert_eq!(store.bytes_used(), tables, "after round {round}");
    }
    assert_eq!(store.records.load(Ordering::Relaxed), 0);
}

/// The books against the process: run alone, as it measures the memory of the whole process.
#[test]
#[ignore = "measures the process: cargo test -p hydra-store-memory -- --ignored --test-threads 1"]
fn the_books_agree_with_the_memory_of_the_process() {
    let resident = || -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let store = Memory::new(&Config::default());
    let before = resident();
    for first in (0..1_000_000).step_by(1000) {
        let batch: Vec<_> = (first..first + 1000).map(|number| record(number, number % 20_000)).collect();
        assert_eq!(insert(&store, &batch, NOW), Inserted::All);
    }
    let (grown, booked) = (resident() - before, store.bytes_used());
    eprintln!("a million records: the process grew by {grown} bytes, the books say {booked}");
    assert!(grown <= booked + booked / 4, "the process grew by {grown} bytes, the books say {booked}");
    assert!(booked <= 2 * grown, "the process grew by {grown} bytes, the books say {booked}");
}

/// Names cost who makes them up nothing.
#[test]
fn value_records_take_a_quarter_of_the_memory_and_no_more() {
    let store = small();
    let values = store.values().unwrap();
    let put = |number: u32| {
        let key = hydra_api::ValueKey::new(format!("/ipns/{number}").as_bytes()).unwrap();
        let value = vec![7; 10_000].into();
        let record = hydra_api::ValueRecord { value, received: NOW, expires: UnixSeconds(u32::MAX) };
        block_on(values.put_if(Arc::from([hydra_api::ValuePut { key, seen: None, record }]), NOW)).unwrap()
    };
    let stored = (0..100).filter(|number| put(*number) == [hydra_api::PutOutcome::Stored]).count();
    assert_eq!(stored, (1 << 18) / 10_320);
    // Providers find room beside them.
    fill(&store);
}
