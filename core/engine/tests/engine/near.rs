//! The rung near_only: what brings the node there, what is asked of the store there, and how it comes back.

use crate::doubles::{
    Dice, Ledger, Mood, OneInFour, Store, addresses, at_most, caller, key, memory, millis, open, open_store,
    permits,
};
use crate::names::Name;
use crate::values::put;
use bytes::Bytes;
use hydra_api::{Operation, Rung, Verdict};
use hydra_conformance::doubles::CountingStore;
use hydra_engine::{Config, Ending, Engine, Nearness, Put, PutRecord, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What came of the reads of a time: how many were answered by the store, of near keys and of far ones.
#[derive(Debug, Clone, Copy)]
struct Good {
    near: u64,
    far: u64,
}

impl Good {
    fn all(self) -> u64 {
        self.near + self.far
    }
}

/// Clients that ask for keys nobody asked for before, at a steady rate, whatever they get.
struct Clients {
    engine: Arc<Engine>,
    per_second: u64,
    next: u64,
    good: Arc<[AtomicU64; 2]>,
    /// The rungs that reads stood on, each change once.
    rungs: Vec<Rung>,
}

impl Clients {
    fn of(engine: &Arc<Engine>, per_second: u64) -> Self {
        Self {
            engine: engine.clone(),
            per_second,
            next: 1 << 40,
            good: Arc::default(),
            rungs: vec![Rung::Full],
        }
    }

    async fn offer(&mut self, time: Duration) -> Good {
        let good = || self.good.each_ref().map(|good| good.load(Ordering::Relaxed));
        let (begun, before, mut offered) = (Instant::now(), good(), 0);
        while begun.elapsed() < time {
            let due = begun.elapsed().as_millis() as u64 * self.per_second / 1_000;
            for _ in offered..due {
                self.next += 1;
                let (engine, good, key) = (self.engine.clone(), self.good.clone(), key(self.next));
                tokio::spawn(async move {
                    let reply = engine.providers(caller(0), &key).await.unwrap();
                    let served = reply.ending == Ending::Served && reply.source != Source::StaleCache;
                    good[usize::from(!OneInFour::has(&key))].fetch_add(u64::from(served), Ordering::Relaxed);
                });
            }
            offered = due;
            sleep(millis(5)).await;
            let rung = self.engine.read_rung();
            if self.rungs.last() != Some(&rung) {
                self.rungs.push(rung);
            }
        }
        let [near, far] = self.good.each_ref().map(|good| good.load(Ordering::Relaxed));
        Good { near: near - before[0], far: far - before[1] }
    }
}

/// A store that reads four times as many keys as are asked for, until its calls take long; then less than half of them.
async fn is_left_again(seed: u64, config: Config) {
    let mut dice = Dice(seed);
    let (calls, keys) = (1 + dice.below(2), 2 + dice.below(7));
    let store = Store::new(calls as usize, keys as usize);
    let engine = open(&store, vec![], config);
    engine.set_nearness(Arc::new(OneInFour));
    let (slowed_ms, percent_read) = (60 + dice.below(140), 20 + dice.below(20));
    // With fewer a second no share is a sign of anything.
    let load = (calls * keys * 100_000 / (slowed_ms * percent_read)).max(60);
    let slowed = millis(slowed_ms);
    let usual = millis((calls * keys * 1_000 / (4 * load)).clamp(1, 10));
    let mut clients = Clients::of(&engine, load);
    store.set(Mood::Takes(usual));
    let before = clients.offer(Duration::from_secs(4)).await;
    store.set(Mood::Takes(slowed));
    clients.offer(Duration::from_secs(40)).await;
    let case = format!("seed {seed}: {calls} calls of {keys} keys, {load} a second, {slowed:?} each");
    assert!(clients.rungs.contains(&Rung::NearOnly), "{case}: {:?}", clients.rungs);
    store.set(Mood::Takes(usual));
    clients.offer(Duration::from_secs(10)).await;
    let after = clients.offer(Duration::from_secs(4)).await;
    assert!(after.all() * 100 >= before.all() * 95, "{case}: {after:?} of {before:?}");
    assert_eq!(engine.read_rung(), Rung::Full, "{case}: {:?}", clients.rungs);
    sleep(Duration::from_secs(5)).await;
    let gauge = engine.stats().gauge;
    assert_eq!((gauge.in_flight.used, gauge.waiting.used, gauge.flights), (0, 0, 0), "{case}");
}

fn for_seeds(seeds: std::ops::Range<u64>, config: &Config) {
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(is_left_again(seed, config.clone()));
    }
}

#[test]
fn near_only_is_entered_and_left_within_ten_seconds_1() {
    for_seeds(0..100, &permits(8));
}

#[test]
fn near_only_is_entered_and_left_within_ten_seconds_2() {
    for_seeds(100..200, &permits(8));
}

#[test]
fn near_only_is_entered_and_left_within_ten_seconds_with_any_seed() {
    let seed = Dice::seeded().next();
    println!("seed {seed}");
    for_seeds(seed..seed + 1, &permits(8));
}

/// Nor do permits that follow the store and the rung hold each other.
#[test]
fn near_only_is_left_with_adaptive_permits_too() {
    for_seeds(200..250, &at_most(8));
}

/// Four times as much is asked as the store can read, a quarter of it near: on stale a quarter of all is served, whichever it
/// is; on near_only all of what is near, and the store makes no call more.
#[tokio::test(start_paused = true)]
async fn what_the_store_can_read_goes_to_near_keys() {
    let (mut served, mut statements) = (Vec::new(), Vec::new());
    for enabled in [false, true] {
        let store = Store::new(2, 1);
        let mut config = permits(2);
        config.near_only.enabled = enabled;
        let engine = open(&store, vec![], config);
        engine.set_nearness(Arc::new(OneInFour));
        store.set(Mood::Takes(millis(10)));
        let mut clients = Clients::of(&engine, 800);
        clients.offer(Duration::from_secs(20)).await;
        let before = (store.counted().statements, store.reads().len());
        served.push(clients.offer(Duration::from_secs(60)).await);
        statements.push(store.counted().statements - before.0);
        let read = &store.reads()[before.1..];
        let near = read.iter().filter(|key| OneInFour::has(key.as_bytes())).count();
        assert_eq!(clients.rungs.contains(&Rung::NearOnly), enabled, "{:?}", clients.rungs);
        // While reads are tried on stale again, far keys are read as well.
        assert!(near * 100 / read.len() >= if enabled { 60 } else { 20 }, "{near} of {}", read.len());
        assert!(clients.rungs.len() <= 40, "it does not flap: {:?}", clients.rungs);
        assert_eq!(engine.stats().reads.far > 0, enabled);
    }
    let [stale, near_only] = served[..] else { panic!("two runs") };
    assert!(near_only.near * 10 >= stale.near * 20, "{near_only:?} against {stale:?}");
    assert!(statements[1] <= statements[0] * 105 / 100, "{statements:?}");
}

/// An engine that serves all on this rung, or a higher one.
fn degraded(store: &Arc<Store>, rung: Rung) -> Arc<Engine> {
    let degrades = Ledger::new(move |_, _| Verdict::Degrade(rung));
    let engine = open(store, vec![degrades.named("degrades")], permits(2));
    engine.set_nearness(Arc::new(OneInFour));
    engine
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_only_for_near_keys() {
    let store = Store::new(2, 256);
    let engine = degraded(&store, Rung::NearOnly);
    let [near, far] = OneInFour::numbers(0);
    for number in [near, far] {
        store.put(
            hydra_api::ProviderRecord {
                key: hydra_api::ContentKey::new(&key(number)).unwrap(),
                provider: crate::doubles::peer(1),
                addresses: addresses(1),
                expires: crate::doubles::START.saturating_add(Duration::from_secs(3_600)),
            },
            crate::doubles::START,
        );
    }
    let found = engine.providers(caller(0), &key(near)).await.unwrap();
    assert_eq!((found.ending, found.rung, found.providers().len()), (Ending::Served, Rung::NearOnly, 1));
    let found = engine.providers(caller(0), &key(far)).await.unwrap();
    assert_eq!((found.ending, found.rung, found.providers().len()), (Ending::Shed, Rung::NearOnly, 0));
    assert_eq!(store.reads().iter().map(|key| key.as_bytes().to_vec()).collect::<Vec<_>>(), [key(near)]);
    assert_eq!(engine.stats().reads.far, 1);
    // Nor is what is far written.
    assert_eq!(engine.announce(caller(2), &key(near), || addresses(2)), Ok(Ending::Served));
    assert_eq!(engine.announce(caller(2), &key(far), || unreachable!("not built")), Ok(Ending::Shed));
    sleep(millis(600)).await;
    let written: Vec<_> =
        store.batches().iter().flat_map(|batch| batch.to_vec()).map(|row| row.key).collect();
    assert_eq!(written.iter().map(|key| key.as_bytes().to_vec()).collect::<Vec<_>>(), [key(near)]);
    // What the cache has is given at any distance.
    let found = degraded(&store, Rung::Full).providers(caller(0), &key(far)).await.unwrap();
    assert_eq!(found.ending, Ending::Served);
}

/// On every other rung the distance decides nothing.
#[tokio::test(start_paused = true)]
async fn far_keys_are_read_on_the_rungs_below() {
    let store = Store::new(2, 256);
    for rung in [Rung::Full, Rung::Short, Rung::Stale] {
        let engine = degraded(&store, rung);
        let far = OneInFour::numbers(rung.index() as u64 * 100)[1];
        let found = engine.providers(caller(0), &key(far)).await.unwrap();
        assert_eq!((found.ending, found.rung), (Ending::Served, rung));
        assert_eq!(engine.announce(caller(2), &key(far), || addresses(2)), Ok(Ending::Served));
    }
}

#[tokio::test(start_paused = true)]
async fn far_value_records_are_neither_read_nor_written() {
    let degrades = Ledger::new(|_, _| Verdict::Degrade(Rung::NearOnly));
    let engine = open_store(memory(), vec![degrades.named("degrades")], permits(2), None);
    engine.set_nearness(Arc::new(OneInFour));
    let ipns = |byte: u8| [b"/ipns/".as_slice(), &[0x12, 32, 9, byte], &[7; 30]].concat();
    assert!(OneInFour::has(&ipns(4)) && !OneInFour::has(&ipns(5)));
    let value = Bytes::from_static(b"no record");
    // The far one is not looked at, the near one is.
    let put = async |key: &[u8]| engine.put_value(caller(1), key, PutRecord { key, value: &value }).await;
    assert_eq!((put(&ipns(4)).await, put(&ipns(5)).await), (Put::Refused, Put::NotNow));
    assert_eq!(engine.value(caller(1), &ipns(5)).await.ending, Ending::Shed);
    assert_ne!(engine.value(caller(1), &ipns(4)).await.ending, Ending::Shed);
    assert_eq!(engine.stats().requests(Operation::PutValue, Ending::Shed), 1);
}

/// The keys that end like this are near to every head.
#[derive(Debug)]
struct EndsLike(Vec<u8>);

impl Nearness for EndsLike {
    fn is_near(&self, _head: u32, key: &[u8]) -> bool {
        key.ends_with(&self.0[self.0.len() - 4..])
    }
}

/// Of a near name the record is read and written as on the rung stale; of a far one what is known is told, and nothing else.
#[tokio::test(start_paused = true)]
async fn near_value_records_are_served_and_far_ones_only_where_they_are_known() {
    let degrade = Arc::new(AtomicBool::new(false));
    let degrades = Ledger::new({
        let degrade = degrade.clone();
        move |_, _| match degrade.load(Ordering::Relaxed) {
            true => Verdict::Degrade(Rung::NearOnly),
            false => Verdict::Admit,
        }
    });
    let store = Arc::new(CountingStore::new(memory()));
    let engine = open_store(store.clone(), vec![degrades.named("degrades")], permits(2), None);
    let [near, known, unknown] = [1, 2, 3].map(Name::of);
    engine.set_nearness(Arc::new(EndsLike(near.key())));
    assert_eq!(put(&engine, &known, &known.record(1)).await, Put::Taken);
    sleep(millis(2_000)).await;
    degrade.store(true, Ordering::Relaxed);
    let read = async |name: &Name| {
        let reply = engine.value(caller(2), &name.key()).await;
        (reply.ending, reply.rung, reply.record.map(|record| record.value))
    };
    // The first put leaves its name to the next call of the store.
    assert_eq!(put(&engine, &near, &near.record(1)).await, Put::NotNow);
    sleep(millis(100)).await;
    assert_eq!(put(&engine, &near, &near.record(1)).await, Put::Taken);
    assert_eq!(read(&near).await, (Ending::Served, Rung::NearOnly, Some(near.record(1))));
    let before = (store.counted().value_reads, engine.stats().values.checks);
    // What is known is told, and acknowledged to those that repair it.
    assert_eq!(read(&known).await, (Ending::Served, Rung::NearOnly, Some(known.record(1))));
    assert_eq!(put(&engine, &known, &known.record(1)).await, Put::Taken);
    for _ in 0..3 {
        assert_eq!(put(&engine, &known, &known.record(2)).await, Put::NotNow);
        assert_eq!(put(&engine, &unknown, &unknown.record(1)).await, Put::NotNow);
        assert_eq!(read(&unknown).await, (Ending::Shed, Rung::NearOnly, None));
        sleep(millis(100)).await;
    }
    assert_eq!((store.counted().value_reads, engine.stats().values.checks), before, "far ones cost nothing");
    degrade.store(false, Ordering::Relaxed);
    assert_eq!(put(&engine, &unknown, &unknown.record(1)).await, Put::Taken);
    assert_eq!(read(&unknown).await, (Ending::Served, Rung::Full, Some(unknown.record(1))));
}

/// Value records share the permits with the others: their reads are degraded with those, their writes with writes.
#[tokio::test(start_paused = true)]
async fn reads_of_values_stand_on_near_only_with_the_reads_and_come_back_with_them() {
    let store = Store::new(2, 1);
    let engine = open(&store, vec![], permits(2));
    let near = Name::of(1);
    engine.set_nearness(Arc::new(EndsLike(near.key())));
    store.set(Mood::Takes(millis(10)));
    let mut clients = Clients::of(&engine, 800);
    while engine.read_rung() != Rung::NearOnly {
        assert!(clients.rungs.len() < 20, "{:?}", clients.rungs);
        clients.offer(millis(100)).await;
    }
    assert_eq!(engine.write_rung(), Rung::Full);
    let far = Name::of(2);
    let reply = engine.value(caller(1), &far.key()).await;
    assert_eq!((reply.ending, reply.rung), (Ending::Shed, Rung::NearOnly));
    let reply = engine.value(caller(1), &near.key()).await;
    assert_eq!((reply.ending, reply.rung), (Ending::NoPermit, Rung::NearOnly));
    assert_eq!(put(&engine, &far, &far.record(1)).await, Put::Taken, "writes are not degraded");
    // The load stays, and the store gets faster.
    store.set(Mood::Takes(millis(1)));
    clients.offer(Duration::from_secs(10)).await;
    for name in [&near, &far] {
        let reply = engine.value(caller(1), &name.key()).await;
        assert_eq!((reply.ending, reply.rung), (Ending::Served, Rung::Full));
    }
}

/// Without distances every key is near: the rung would shed nothing.
#[tokio::test(start_paused = true)]
async fn an_engine_that_knows_no_distances_does_not_enter_near_only() {
    let store = Store::new(1, 4);
    let engine = open(&store, vec![], permits(1));
    store.set(Mood::Takes(millis(100)));
    let mut clients = Clients::of(&engine, 400);
    clients.offer(Duration::from_secs(30)).await;
    assert!(clients.rungs.ends_with(&[Rung::Stale]), "{:?}", clients.rungs);
}

/// A write queue that stays full with what is worth most brings writes there and leaves reads alone.
#[tokio::test(start_paused = true)]
async fn writes_stand_on_near_only_while_the_queue_stays_full() {
    let store = Store::new(4, 32);
    let config = Config { write_queue_len_max: 2_000, window_len_max: 200, ..permits(4) };
    let engine = open(&store, vec![], config);
    engine.set_nearness(Arc::new(OneInFour));
    let mut number = 0;
    let mut rungs = vec![Rung::Full];
    for _ in 0..200 {
        for _ in 0..600 {
            number = OneInFour::numbers(number + 1)[0];
            engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
        }
        sleep(millis(100)).await;
        if rungs.last() != Some(&engine.write_rung()) {
            rungs.push(engine.write_rung());
        }
        assert_eq!(engine.read_rung(), Rung::Full);
    }
    assert!(rungs.contains(&Rung::NearOnly), "{rungs:?}");
    for _ in 0..100 {
        for _ in 0..20 {
            number += 1;
            engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
        }
        sleep(millis(100)).await;
    }
    assert_eq!(engine.write_rung(), Rung::Full);
}

/// A store that takes long for each call, and is asked for a fifth of what it can read: to ask it for less makes nothing faster.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_by_itself_and_has_permits_left_is_asked_for_far_keys() {
    let store = Store::new(16, 32);
    let engine = open(&store, vec![], permits(16));
    engine.set_nearness(Arc::new(OneInFour));
    store.set(Mood::Takes(millis(600)));
    let mut clients = Clients::of(&engine, 100);
    clients.offer(Duration::from_secs(120)).await;
    let stats = engine.stats();
    println!("{:?} lost {} far {}", clients.rungs, stats.reads.lost, stats.reads.far);
    assert!(!clients.rungs.contains(&Rung::NearOnly), "{:?}", clients.rungs);
    assert_eq!(stats.reads.far, 0);
}

/// What the cache has of a far key is given on this rung, and what was taken of it.
#[tokio::test(start_paused = true)]
async fn of_a_far_key_the_cache_and_the_queue_are_told() {
    let degrade = Arc::new(AtomicBool::new(false));
    let degrades = Ledger::new({
        let degrade = degrade.clone();
        move |_, _| {
            if degrade.load(Ordering::Relaxed) { Verdict::Degrade(Rung::NearOnly) } else { Verdict::Admit }
        }
    });
    let store = Store::new(2, 256);
    let engine = open(&store, vec![degrades.named("degrades")], permits(2));
    engine.set_nearness(Arc::new(OneInFour));
    let far = OneInFour::numbers(0)[1];
    let waiting = OneInFour::numbers(far + 1)[1];
    assert_eq!(engine.announce(caller(2), &key(far), || addresses(2)), Ok(Ending::Served));
    sleep(millis(600)).await;
    assert_eq!(engine.providers(caller(0), &key(far)).await.unwrap().providers().len(), 1);
    assert_eq!(engine.announce(caller(3), &key(waiting), || addresses(3)), Ok(Ending::Served));
    degrade.store(true, Ordering::Relaxed);
    assert_eq!(engine.providers(caller(0), &key(far)).await.unwrap().providers().len(), 1);
    assert_eq!(engine.providers(caller(0), &key(waiting)).await.unwrap().providers().len(), 1);
}
