//! Random clients over a moody store.

use crate::doubles::{Dice, FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open, permits};
use hydra_api::{Operation, ReasonId, Rung, Verdict};
use hydra_engine::{Config, Ending, Engine, ReadCache, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const PERMITS: u32 = 4;

fn mood(dice: &mut Dice) -> Mood {
    match dice.below(6) {
        0 => Mood::Frozen,
        1 => FAILS,
        2 => Mood::Panics,
        3 => Mood::Takes(millis(dice.below(600))),
        _ => Mood::Takes(millis(dice.below(10))),
    }
}

/// A read whose client may go away at any time.
fn client(engine: &Arc<Engine>, number: u64, patience: Option<Duration>, answered: &Arc<AtomicU64>) {
    let (engine, answered) = (engine.clone(), answered.clone());
    tokio::spawn(async move {
        let begun = Instant::now();
        let key = key(number);
        let read = engine.providers(caller(number % 50), &key);
        match patience {
            Some(patience) => drop(timeout(patience, read).await),
            None => {
                let reply = read.await.unwrap();
                assert!(begun.elapsed() <= millis(250), "answered after {:?}", begun.elapsed());
                assert!(reply.ending == Ending::Served || reply.source != Source::Store);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

#[tokio::test(start_paused = true)]
async fn no_permit_no_statement_whatever_clients_and_store_do() {
    let mut dice = Dice::seeded();
    let store = Store::new(PERMITS as usize, 32);
    let ledger = Ledger::admits_all();
    let picky = Ledger::new(|request, _| match request.key[9] % 4 {
        0 => Verdict::Decline(ReasonId(0)),
        1 => Verdict::Degrade(Rung::Stale),
        _ => Verdict::Admit,
    });
    let mut config =
        Config { waiting_len_max: 20, write_queue_len_max: 300, window_len_max: 100, ..permits(PERMITS) };
    // Without these rungs the line and the batches are in use all the time, with them the cache is.
    config.stale.enabled = dice.below(2) == 0;
    config.peak.stall_ms *= u32::from(config.stale.enabled);
    let engine = open(&store, vec![ledger.named("ledger"), picky.named("picky")], config);
    let (answered, mut patient) = (Arc::new(AtomicU64::new(0)), 0u64);
    for number in 0..20_000u64 {
        if dice.below(200) == 0 {
            store.set(mood(&mut dice));
        }
        if dice.below(3) == 0 {
            engine.announce(caller(number % 50), &key(number), || addresses(number)).unwrap();
        } else {
            let patience = (dice.below(3) == 0).then(|| millis(dice.below(300)));
            patient += u64::from(patience.is_none());
            // Half of them want keys that others want too.
            let wanted = if dice.below(2) == 0 { number } else { dice.below(50) };
            client(&engine, wanted, patience, &answered);
        }
        if dice.below(2) == 0 {
            sleep(millis(dice.below(8))).await;
        }
        let load = engine.load();
        assert!(load.in_flight.used <= PERMITS && load.waiting.used <= 20 && load.write_queue.used <= 300);
    }
    // The store comes to its senses.
    store.set(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(30)).await;
    assert!(store.running_max() <= PERMITS.into(), "{} at a time", store.running_max());
    assert_eq!(answered.load(Ordering::Relaxed), patient, "every client that waited was answered");
    ledger.assert_balanced();
    picky.assert_balanced();
    let stats = engine.stats();
    assert_eq!(stats.statements.started, stats.statements.ended);
    assert_eq!(
        (stats.gauge.in_flight.used, stats.gauge.waiting.used, stats.gauge.write_queue.used),
        (0, 0, 0)
    );
    assert_eq!(stats.gauge.flights, 0);
    assert_eq!(stats.background.panics, 0, "a panicking store takes no background task with it");
    let found = engine.providers(caller(0), &[&[0x12, 32][..], &[2; 32]].concat()).await.unwrap();
    assert_eq!(found.ending, Ending::Served);
    let offered: u64 = stats.requests.iter().map(|count| count.latency.count()).sum();
    assert_eq!(offered, 20_000, "each request is counted once");
}

/// What came of an offered load.
#[derive(Debug)]
struct Offered {
    statements: u64,
    served: u64,
    slowest: Duration,
    /// Requests that waited, once the node had found its rung, and those of them that got nothing for it.
    waited: u64,
    in_vain: u64,
    /// The most keys that were being read, and the most bytes that were kept, at a time.
    readings: u64,
    bytes: u64,
}

/// A store that does 4 calls of 10 ms at a time, and for how long it is used.
#[derive(Debug, Clone, Copy)]
struct Scene {
    keys_per_call: u64,
    seconds: u64,
}

impl Scene {
    /// Until the node has found its rung.
    const SETTLES: Duration = Duration::from_secs(1);

    /// Keys that the store reads in a second.
    const fn capacity(self) -> u64 {
        PERMITS as u64 * 100 * self.keys_per_call
    }

    /// Reads and announcements at this rate.
    async fn offer(self, per_second: u64) -> Offered {
        let store = Store::new(PERMITS as usize, self.keys_per_call as usize);
        let cache = ReadCache { mib_max: 1, ..ReadCache::default() };
        let mut config =
            Config { write_queue_len_max: 1_000, window_len_max: 320, cache, ..permits(PERMITS) };
        config.peak.requests_per_second = 0;
        let engine = open(&store, vec![], config);
        store.set(Mood::Takes(millis(10)));
        let [slowest, waited, in_vain] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
        let (opened, per_tick) = (Instant::now(), per_second / 200);
        let (mut readings, mut bytes) = (0, 0);
        for tick in 0..self.seconds * 200 {
            for number in 0..per_tick {
                let number = tick * per_tick + number;
                let (engine, slowest) = (engine.clone(), slowest.clone());
                let (waited, in_vain) = (waited.clone(), in_vain.clone());
                tokio::spawn(async move {
                    let begun = Instant::now();
                    let ending = engine.providers(caller(number), &key(number)).await.unwrap().ending;
                    slowest.fetch_max(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
                    if begun - opened >= Self::SETTLES && begun.elapsed() > Duration::ZERO {
                        waited.fetch_add(1, Ordering::Relaxed);
                        in_vain.fetch_add(u64::from(ending != Ending::Served), Ordering::Relaxed);
                    }
                });
            }
            engine.announce(caller(tick), &key(tick), || addresses(tick)).unwrap();
            sleep(millis(5)).await;
            let gauge = engine.stats().gauge;
            readings = readings.max(gauge.flights);
            bytes = bytes.max(gauge.cache_bytes + gauge.write_queue_bytes);
        }
        let stats = engine.stats();
        Offered {
            statements: stats.statements.started,
            served: stats.requests(Operation::GetProviders, Ending::Served),
            slowest: millis(slowest.load(Ordering::Relaxed)),
            waited: waited.load(Ordering::Relaxed),
            in_vain: in_vain.load(Ordering::Relaxed),
            readings,
            bytes,
        }
    }

    async fn holds_at(self, multiples_of_400: &[u64]) {
        let at_capacity = self.offer(400).await;
        for times in multiples_of_400 {
            let offered = self.offer(400 * times).await;
            let ratio = offered.statements as f64 / at_capacity.statements as f64;
            assert!((0.95..=1.05).contains(&ratio), "{times}x: {offered:?} against {at_capacity:?}");
            // That is the goodput, or all that is asked.
            let batches_allow = self.capacity().min(400 * times) * self.seconds;
            assert!(
                offered.served as f64 >= 0.95 * batches_allow as f64,
                "{times}x: {offered:?} of {batches_allow}"
            );
            assert!(offered.in_vain * 20 <= offered.waited, "{times}x: few wait in vain: {offered:?}");
            assert!(offered.slowest <= millis(250 + 20), "every answer comes in time: {offered:?}");
            // No more than may wait in line and what the statements can hold; no more bytes than the cache and the queue have.
            assert!(
                offered.readings <= 1_024 + u64::from(PERMITS) * self.keys_per_call
                    && offered.bytes <= (1 << 20) + 1_000 * 300,
                "{offered:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_sees_no_more_statements_at_20_times_the_load_and_goodput_holds() {
    // The store reads 12,800 keys a second: 32 times 400. The last ones ask for more.
    Scene { keys_per_call: 32, seconds: 10 }.holds_at(&[5, 20, 40, 64, 160]).await;
}

/// With long calls the line is no longer than these are.
#[tokio::test(start_paused = true)]
async fn calls_of_many_keys_see_no_more_statements_either_and_goodput_holds() {
    // 102,400 keys a second: 256 times 400.
    Scene { keys_per_call: 256, seconds: 2 }.holds_at(&[128, 256, 512]).await;
}
