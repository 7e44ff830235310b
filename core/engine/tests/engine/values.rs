//! Value records: U1 to U12, reads that see what was taken, records of rivals, a store that fails, degraded service.

use crate::doubles::{FAILS, Ledger, Mood, START, Store, caller, memory, millis, open, open_store, permits};
use crate::names::{Name, forged};
use bytes::Bytes;
use hydra_api::{Outcome, ProviderStore, Rung, StoreErrorKind, ValueKey, Verdict, async_trait};
use hydra_conformance::doubles::{Behaviour, CountingStore, Double};
use hydra_engine::{Caller, Config, Ending, Engine, Put, PutRecord, Source};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{advance, sleep};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn put(engine: &Engine, name: &Name, record: &Bytes) -> Put {
    put_by(engine, caller(1), name, record).await
}

pub(crate) async fn put_by(engine: &Engine, caller: Caller, name: &Name, record: &Bytes) -> Put {
    let key = name.key();
    engine.put_value(caller, &key, PutRecord { key: &key, value: record }).await
}

pub(crate) async fn get(engine: &Engine, name: &Name) -> Option<Bytes> {
    engine.value(caller(2), &name.key()).await.record.map(|record| record.value)
}

/// What the store itself has.
pub(crate) async fn stored(store: &dyn ProviderStore, name: &Name) -> Option<Bytes> {
    let key = ValueKey::new(&name.key()).unwrap();
    let found = store.values().unwrap().get([key].into(), START).await.unwrap();
    match &found[0] {
        hydra_api::FoundValue::Known(record) => record.as_ref().map(|record| record.value.clone()),
        hydra_api::FoundValue::Unknown(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn u6_u7_a_record_is_read_at_once_and_a_better_one_takes_its_place() {
    let store = memory();
    let engine = open_store(store.clone(), vec![], permits(4), None);
    let name = Name::of(1);
    assert_eq!(get(&engine, &name).await, None);
    for sequence in [1, 2, 7] {
        assert_eq!(put(&engine, &name, &name.record(sequence)).await, Put::Taken);
        assert_eq!(get(&engine, &name).await, Some(name.record(sequence)), "it was just taken");
    }
    // As good, worse, and with an end that comes sooner.
    assert_eq!(put(&engine, &name, &name.record(7)).await, Put::Taken);
    assert_eq!(put(&engine, &name, &name.record(6)).await, Put::Refused);
    assert_eq!(put(&engine, &name, &name.until(7, HOUR)).await, Put::Refused);
    sleep(millis(2_000)).await;
    assert_eq!(stored(&*store, &name).await, Some(name.record(7)));
    assert_eq!(put(&engine, &name, &name.record(6)).await, Put::Refused, "after it was written");
    assert_eq!(get(&engine, &name).await, Some(name.record(7)));
    let values = engine.stats().values;
    assert_eq!((values.taken, values.equal, values.outdated, values.written), (3, 1, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn u1_u2_u4_what_is_no_record_of_the_key_is_refused_before_the_store_is_asked() {
    let store = Arc::new(CountingStore::new(memory()));
    let engine = open_store(store.clone(), vec![], permits(4), None);
    let (name, other) = (Name::of(1), Name::of(2));
    let record = name.record(1);
    let refused = async |key: &[u8], of: &[u8], value: &Bytes| {
        let put = engine.put_value(caller(1), key, PutRecord { key: of, value }).await;
        assert_eq!(put, Put::Refused, "{}", String::from_utf8_lossy(key));
    };
    refused(&name.key(), &other.key(), &record).await;
    refused(&other.key(), &other.key(), &record).await;
    refused(&[], &[], &record).await;
    refused(b"/other/name", b"/other/name", &record).await;
    refused(&name.key(), &name.key(), &Bytes::new()).await;
    refused(&name.key(), &name.key(), &Bytes::from(vec![0x4a; 10_241])).await;
    refused(&name.key(), &name.key(), &forged(&record)).await;
    refused(&[name.key(), vec![0; 100]].concat(), &[name.key(), vec![0; 100]].concat(), &record).await;
    assert_eq!(store.counted().value_reads, 0, "nothing of it has cost a store call");
    // U2: of other keys there is no record.
    let reply = engine.value(caller(1), b"/other/name").await;
    assert_eq!((reply.record, reply.ending), (None, Ending::Served));
    assert_eq!(store.counted().value_reads, 0);
    assert_eq!(put(&engine, &name, &record).await, Put::Taken);
}

#[tokio::test(start_paused = true)]
async fn u10_a_hundred_puts_at_a_time_end_with_the_best_record_at_every_node() {
    let store = memory();
    let slow = Arc::new(Double::of(store.clone(), Dawdles));
    let engines = [(); 2].map(|()| open_store(slow.clone(), vec![], permits(4), None));
    let name = Arc::new(Name::of(1));
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..100u64 {
        let (engine, name) = (engines[number as usize % 2].clone(), name.clone());
        // In an order of no order.
        let sequence = number * 37 % 100;
        puts.spawn(async move {
            sleep(millis(number * 7 % 50)).await;
            put(&engine, &name, &name.record(sequence)).await
        });
    }
    let mut taken = 0;
    while let Some(put) = puts.join_next().await {
        taken += u64::from(put.unwrap() == Put::Taken);
    }
    assert!(taken > 1, "{taken} were taken");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stored(&*store, &name).await, Some(name.record(99)));
    // Each has what the other one wrote after the time that the cache is fresh.
    sleep(Duration::from_secs(60)).await;
    for engine in &engines {
        assert_eq!(get(engine, &name).await, Some(name.record(99)));
    }
}

/// Takes 20 ms for each call.
#[derive(Debug)]
struct Dawdles;

#[async_trait]
impl Behaviour for Dawdles {
    async fn enter(&self, _: hydra_conformance::doubles::Call) -> Result<(), hydra_api::StoreError> {
        sleep(millis(20)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_another_node_that_is_better_stays() {
    let store = memory();
    let [one, other] = [(); 2].map(|()| open_store(store.clone(), vec![], permits(4), None));
    let name = Name::of(1);
    // Both know that there is none.
    assert_eq!((get(&one, &name).await, get(&other, &name).await), (None, None));
    assert_eq!(put(&one, &name, &name.record(9)).await, Put::Taken);
    sleep(millis(2_000)).await;
    assert_eq!(put(&other, &name, &name.record(5)).await, Put::Taken, "as far as it knows");
    assert_eq!(get(&other, &name).await, Some(name.record(5)));
    sleep(millis(2_000)).await;
    assert_eq!(stored(&*store, &name).await, Some(name.record(9)));
    assert_eq!(get(&other, &name).await, Some(name.record(9)), "it has found out");
    let values = other.stats().values;
    assert_eq!((values.changed, values.superseded, values.written), (1, 1, 0));
    // And the other way round: what is better takes the place of what it has not seen.
    assert_eq!(put(&one, &name, &name.record(10)).await, Put::Taken);
    sleep(millis(2_000)).await;
    assert_eq!(put(&other, &name, &name.record(11)).await, Put::Taken);
    sleep(millis(2_000)).await;
    assert_eq!(stored(&*store, &name).await, Some(name.record(11)));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_began_before_a_put_does_not_bring_the_old_record_back() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    let name = Name::of(1);
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    sleep(millis(2_000)).await;
    // What is known is old by now, so that it is read again, slowly.
    sleep(Duration::from_secs(40)).await;
    store.answer_as_of_the_beginning();
    store.set_reads(Mood::Takes(millis(240)));
    let reading = tokio::spawn({
        let (engine, name) = (engine.clone(), Name::of(1));
        async move { get(&engine, &name).await }
    });
    sleep(millis(50)).await;
    let putting = tokio::spawn({
        let (engine, name) = (engine.clone(), Name::of(1));
        async move { put(&engine, &name, &name.record(2)).await }
    });
    assert_eq!(putting.await.unwrap(), Put::Taken);
    drop(reading.await.unwrap());
    assert_eq!(get(&engine, &name).await, Some(name.record(2)));
    sleep(millis(3_000)).await;
    assert_eq!(get(&engine, &name).await, Some(name.record(2)), "after it was written");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_repaired_again_and_again_costs_neither_signatures_nor_statements() {
    let store = Arc::new(CountingStore::new(memory()));
    let engine = open_store(store.clone(), vec![], permits(4), None);
    let name = Name::of(1);
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    sleep(millis(2_000)).await;
    let before = store.counted();
    for _ in 0..1_000 {
        assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    }
    let after = store.counted();
    assert_eq!((after.value_reads, after.puts), (before.value_reads, before.puts));
    // Also when what is known is not fresh any more.
    sleep(Duration::from_secs(120)).await;
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    sleep(millis(2_000)).await;
    assert_eq!(store.counted().puts, after.puts);
    assert_eq!(engine.stats().values.checks, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_that_a_closing_node_would_not_write() {
    let store = memory();
    let slow = Arc::new(Double::of(store.clone(), Dawdles));
    let engine = open_store(slow, vec![], permits(4), None);
    let putting = tokio::spawn({
        let engine = engine.clone();
        async move { put(&engine, &Name::of(1), &Name::of(1).record(1)).await }
    });
    sleep(millis(5)).await;
    let report = engine.close(Duration::from_secs(10)).await;
    let put = putting.await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(put, Put::NotNow, "its key was still being read");
}

#[tokio::test(start_paused = true)]
async fn u9_a_record_is_served_for_its_life_after_it_was_put_last_and_not_beyond_its_end() {
    let mut config = permits(4);
    config.values.ttl_hours = 1;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let engine = open_store(memory(), vec![], config, None);
    let (kept, short) = (Name::of(1), Name::of(2));
    let record = kept.until(1, HOUR * 24);
    assert_eq!(put(&engine, &kept, &record).await, Put::Taken);
    assert_eq!(put(&engine, &short, &short.until(1, minutes(10))).await, Put::Taken);
    sleep(minutes(10) - millis(5_000)).await;
    assert_eq!(get(&engine, &short).await, Some(short.until(1, minutes(10))));
    sleep(millis(10_000)).await;
    assert_eq!(get(&engine, &short).await, None, "its end has come");
    assert_eq!(put(&engine, &short, &short.until(1, minutes(10))).await, Put::Refused, "its end has come");
    sleep(minutes(30)).await;
    assert_eq!(put(&engine, &kept, &record).await, Put::Taken);
    sleep(minutes(50)).await;
    assert_eq!(get(&engine, &kept).await, Some(record), "it was put again 50 minutes ago");
    sleep(minutes(11)).await;
    assert_eq!(get(&engine, &kept).await, None, "nobody has put it for 61 minutes");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_unseen_and_no_signature_is_checked_in_vain_while_the_store_is_away() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    let (name, known) = (Name::of(1), Name::of(2));
    assert_eq!(put(&engine, &known, &known.record(1)).await, Put::Taken);
    store.set(FAILS);
    // Until its calls are paused, each request asks.
    for number in 10..20 {
        let other = Name::of(number);
        assert_eq!(put(&engine, &other, &other.record(1)).await, Put::NotNow);
    }
    let checks = engine.stats().values.checks;
    for sequence in 1..100 {
        assert_eq!(put(&engine, &name, &name.record(sequence)).await, Put::NotNow);
    }
    assert_eq!(engine.stats().values.checks, checks, "what cannot be compared is not checked");
    assert_eq!(put(&engine, &known, &known.record(2)).await, Put::Taken, "what it has is known");
    assert_eq!(get(&engine, &known).await, Some(known.record(2)));
    sleep(Duration::from_secs(30)).await;
    store.set(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    assert_eq!(get(&engine, &known).await, Some(known.record(2)), "it has waited for the store");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.stats().gauge.value_queue.used, 0, "all is written");
}

#[tokio::test(start_paused = true)]
async fn wrong_signatures_of_one_prefix_cost_others_nothing() {
    let config = |config: &mut Config| {
        config.values.checks_per_prefix_per_second = 10;
        config.values.checks_per_second = 1_000;
    };
    let mut with = permits(4);
    config(&mut with);
    let store = Arc::new(CountingStore::new(memory()));
    let engine = open_store(store.clone(), vec![], with, None);
    let at = |last: u8| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    for round in 0..1_000u64 {
        let name = Name::of((round % 200) as u8);
        let by = Caller { address: at((round % 250) as u8), ..caller(round) };
        let put = put_by(&engine, by, &name, &forged(&name.record(round))).await;
        assert!(put != Put::Taken);
        let from_elsewhere =
            Caller { address: Some(IpAddr::V4(Ipv4Addr::new(10, (round % 200) as u8, 0, 1))), ..caller(1) };
        let name = Name::of((round % 200) as u8);
        assert_eq!(put_by(&engine, from_elsewhere, &name, &name.record(round)).await, Put::Taken);
        advance(millis(10)).await;
    }
    let values = engine.stats().values;
    // A wrong one takes as much as ten, for ten seconds and those that were saved up.
    assert!(values.checks_failed <= 2 + 10, "{} signatures were checked for nothing", values.checks_failed);
    assert_eq!(values.checks - values.checks_failed, 1_000);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_written_before_the_store_is_closed() {
    let store = memory();
    let engine = open_store(store.clone(), vec![], permits(4), None);
    let names: Vec<_> = (0..200).map(Name::of).collect();
    for name in &names {
        let by = Caller { address: None, ..caller(1) };
        assert_eq!(put_by(&engine, by, name, &name.record(1)).await, Put::Taken);
    }
    let report = engine.close(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(engine.stats().values.written, 200);
    assert_eq!(put(&engine, &names[0], &names[0].record(2)).await, Put::NotNow, "the node is closing");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_or_miscounts_costs_no_record() {
    for kind in [None, Some(StoreErrorKind::Overloaded)] {
        let store = Store::new(4, 256);
        let engine = open(&store, vec![], permits(4));
        let names: Vec<_> = (0..20).map(Name::of).collect();
        for name in &names {
            assert_eq!(put(&engine, name, &name.record(1)).await, Put::Taken);
        }
        store.set_writes(kind.map_or(Mood::Panics, Mood::Fails));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(engine.stats().values.written, 0);
        store.set_writes(Mood::Takes(millis(1)));
        sleep(Duration::from_secs(60)).await;
        let stats = engine.stats();
        assert_eq!((stats.values.written, stats.gauge.value_queue.used), (20, 0), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_of_values_share_calls_and_stay_few_while_the_store_is_slow() {
    let store = Arc::new(CountingStore::new(memory()));
    let slow = Arc::new(Double::of(store.clone(), Dawdles));
    let engine = open_store(slow, vec![], permits(1), None);
    let mut reads = tokio::task::JoinSet::new();
    for number in 0..1_000u64 {
        let engine = engine.clone();
        reads.spawn(async move {
            sleep(millis(number / 10)).await;
            let name = Name::of((number % 200) as u8);
            engine.value(caller(1), &name.key()).await.ending
        });
    }
    while let Some(ending) = reads.join_next().await {
        let ending = ending.unwrap();
        assert!(matches!(ending, Ending::Served | Ending::NoPermit | Ending::Shed), "{ending:?}");
    }
    let counted = store.counted();
    assert!(
        counted.value_reads <= 10,
        "{} calls for 1,000 reads of 200 names in 100 ms",
        counted.value_reads
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_without_value_records_refuses_puts_and_answers_reads_without() {
    let mut config = permits(4);
    config.values.enabled = false;
    let engine = open_store(memory(), vec![], config, None);
    let name = Name::of(1);
    assert!(!engine.keeps_values());
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Refused);
    let reply = engine.value(caller(1), &name.key()).await;
    assert_eq!((reply.record, reply.ending, reply.source), (None, Ending::Served, Source::Nothing));
}

#[tokio::test(start_paused = true)]
async fn declined_reads_and_the_repairs_that_follow_them_cost_no_statement_and_no_check() {
    let mut config = permits(4);
    config.peak.requests_per_second = 10;
    let store = Arc::new(CountingStore::new(memory()));
    let engine = open_store(store.clone(), vec![], config, None);
    let name = Name::of(1);
    // Far above the peak: reads are answered without records, and clients repair what they believe to be missing.
    for round in 0..2_000u64 {
        let answer = get(&engine, &name).await;
        if answer.is_none() {
            put(&engine, &name, &name.record(1)).await;
        }
        let other = Name::of((round % 250) as u8);
        put(&engine, &other, &other.record(round)).await;
        advance(millis(1)).await;
    }
    let (counted, values) = (store.counted(), engine.stats().values);
    assert!(values.checks < 100, "{} signatures were checked", values.checks);
    assert!(counted.value_reads + counted.puts < 100, "{counted:?}");
}

/// U6: what a node knew ten minutes ago is no reason to acknowledge a record that another node has replaced since.
#[tokio::test(start_paused = true)]
async fn u6_a_record_that_was_the_best_one_is_refused_once_another_node_has_a_better_one() {
    let store = memory();
    let [one, other] = [(); 2].map(|()| open_store(store.clone(), vec![], permits(4), None));
    let name = Name::of(1);
    assert_eq!(put(&one, &name, &name.record(1)).await, Put::Taken);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(put(&other, &name, &name.record(2)).await, Put::Taken);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(put(&one, &name, &name.record(1)).await, Put::Refused);
    assert_eq!(get(&one, &name).await, Some(name.record(2)));
}

#[tokio::test(start_paused = true)]
async fn a_repair_is_answered_from_an_older_answer_while_the_store_is_away() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    let name = Name::of(1);
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    sleep(Duration::from_secs(60)).await;
    store.set(FAILS);
    for _ in 0..20 {
        assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
        sleep(millis(100)).await;
    }
    assert_eq!(put(&engine, &name, &name.record(2)).await, Put::NotNow, "it cannot be compared");
    // By the first put, and by those of what cannot be compared until the calls were paused.
    assert_eq!(engine.stats().values.checks, 1);
}

/// A policy gives nothing back for it: it was received, parsed and compared.
#[tokio::test(start_paused = true)]
async fn a_record_beyond_the_signature_checks_is_shed() {
    let ledger = Ledger::admits_all();
    let mut config = permits(4);
    config.values.checks_per_second = 1;
    let engine = open(&Store::new(4, 256), vec![ledger.named("ledger")], config);
    let names: Vec<_> = (0..3).map(Name::of).collect();
    let mut taken = Vec::new();
    for name in &names {
        taken.push(put(&engine, name, &name.record(1)).await);
    }
    assert_eq!(taken, [Put::Taken, Put::Taken, Put::NotNow]);
    assert_eq!(ledger.outcome(&names[2].key()), Outcome::Shed);
}

#[tokio::test(start_paused = true)]
async fn u9_a_record_that_is_put_again_before_its_end_lives_on_or_is_not_acknowledged() {
    for (rung, expected) in [(Rung::Short, Put::Taken), (Rung::Stale, Put::NotNow)] {
        let is_degraded = Arc::new(AtomicBool::new(false));
        let degrades = is_degraded.clone();
        let ledger = Ledger::new(move |_, _| match degrades.load(Ordering::Relaxed) {
            true => Verdict::Degrade(rung),
            false => Verdict::Admit,
        });
        let mut config = permits(4);
        config.values.ttl_hours = 16;
        let engine = open_store(memory(), vec![ledger.named("degrades")], config, None);
        let name = Name::of(1);
        assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
        sleep(15 * HOUR + HOUR / 2).await;
        assert!(get(&engine, &name).await.is_some());
        is_degraded.store(true, Ordering::Relaxed);
        assert_eq!(
            put(&engine, &name, &name.record(1)).await,
            expected,
            "{rung:?}, half an hour before its end"
        );
        is_degraded.store(false, Ordering::Relaxed);
        sleep(HOUR).await;
        assert_eq!(get(&engine, &name).await.is_some(), expected == Put::Taken, "{rung:?}");
    }
}
