//! The engine's permits over a store of so many servers that calls beyond slow down.

use crate::doubles::{at_most, caller, key, memory, millis, open_store, permits};
use hydra_api::{ContentKey, Found, ProviderStore, StoreError, StoreProfile, UnixSeconds, async_trait};
use hydra_conformance::doubles::{Behaviour, Double};
use hydra_engine::{Config, Engine, PermitState};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

const SERVERS: u32 = 6;
/// A read of a single key, while no server has two.
const ALONE: Duration = Duration::from_millis(20);
/// How much each read beyond the servers slows down all.
const CONTENTION: f64 = 0.05;
/// What the store reads in a second at its best.
const BEST: u64 = 300;

#[derive(Debug)]
struct Servers {
    running: AtomicU32,
    started: AtomicU64,
    read: AtomicU64,
    sharers: AtomicU32,
    slower: AtomicU32,
    frozen: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Servers>);

#[async_trait]
impl Behaviour for Shared {
    fn profile(&self, _: StoreProfile) -> StoreProfile {
        let calls = NonZeroUsize::new(48).unwrap();
        let sharers = NonZeroU32::new(self.0.sharers.load(Ordering::Relaxed)).unwrap();
        StoreProfile::builder().concurrency_max(calls).sharers(sharers).build()
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let servers = &self.0;
        servers.started.fetch_add(1, Ordering::Relaxed);
        let running = f64::from(servers.running.fetch_add(1, Ordering::Relaxed) + 1);
        let beyond = (running - f64::from(SERVERS)).max(0.0);
        let slower = (running / f64::from(SERVERS)).max(1.0) * (1.0 + CONTENTION * beyond);
        sleep(ALONE.mul_f64(slower * f64::from(servers.slower.load(Ordering::Relaxed)))).await;
        let mut frozen = servers.frozen.subscribe();
        drop(frozen.wait_for(|frozen| !frozen).await);
        servers.running.fetch_sub(1, Ordering::Relaxed);
        servers.read.fetch_add(keys.len() as u64, Ordering::Relaxed);
        inner.providers(keys, now, limit).await
    }
}

fn opened(config: Config) -> (Arc<Servers>, Arc<Engine>) {
    let servers = Arc::new(Servers {
        running: AtomicU32::new(0),
        started: AtomicU64::new(0),
        read: AtomicU64::new(0),
        sharers: AtomicU32::new(1),
        slower: AtomicU32::new(1),
        frozen: watch::Sender::new(false),
    });
    let store = Arc::new(Double::of(memory(), Shared(servers.clone())));
    (servers, open_store(store, vec![], config, None))
}

/// Asks for other keys each time; how many the store read in a second.
async fn offer(servers: &Servers, engine: &Arc<Engine>, per_second: u64, time: Duration) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let before = servers.read.load(Ordering::Relaxed);
    let ticks = time.as_millis() as u64 / 10;
    for tick in 0..ticks {
        for _ in tick * per_second / 100..(tick + 1) * per_second / 100 {
            let (engine, key) = (engine.clone(), key(NEXT.fetch_add(1, Ordering::Relaxed)));
            tokio::spawn(async move { drop(engine.providers(caller(0), &key).await) });
        }
        sleep(millis(10)).await;
    }
    (servers.read.load(Ordering::Relaxed) - before) * 1_000 / time.as_millis() as u64
}

fn limit(engine: &Engine) -> u32 {
    engine.stats().gauge.in_flight.max
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn under_overload_the_limit_finds_the_servers_of_the_store_and_their_throughput() {
    let (servers, engine) = opened(at_most(48));
    assert_eq!(limit(&engine), 48);
    offer(&servers, &engine, 2 * BEST, seconds(120)).await;
    let read = offer(&servers, &engine, 2 * BEST, seconds(60)).await;
    let (fixed_servers, fixed_engine) = opened(permits(48));
    let read_fixed = offer(&fixed_servers, &fixed_engine, 2 * BEST, seconds(60)).await;
    println!(
        "{read} keys a second with {} permits, {read_fixed} with {}",
        limit(&engine),
        limit(&fixed_engine)
    );
    assert!(read * 100 >= BEST * 95, "{read} of {BEST} with {}", limit(&engine));
    assert!((SERVERS..=SERVERS + 3).contains(&limit(&engine)), "{}", limit(&engine));
    assert!(read_fixed * 2 < BEST && limit(&fixed_engine) == 48, "{read_fixed} of {BEST}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_for_ten_minutes_keeps_its_permits() {
    for slower in [2, 10, 50] {
        let (servers, engine) = opened(at_most(48));
        offer(&servers, &engine, 2 * BEST, seconds(60)).await;
        servers.slower.store(slower, Ordering::Relaxed);
        offer(&servers, &engine, 2 * BEST, seconds(60)).await;
        let before = limit(&engine);
        let at_first = servers.read.load(Ordering::Relaxed);
        offer(&servers, &engine, 2 * BEST, seconds(600)).await;
        let read = servers.read.load(Ordering::Relaxed) - at_first;
        println!(
            "{slower} times slower: {read} keys in ten minutes, {before} permits, then {}",
            limit(&engine)
        );
        assert!(
            read * u64::from(slower) * 100 >= BEST * 600 * 95,
            "{read} in ten minutes, {slower} times slower"
        );
        assert!(limit(&engine) <= SERVERS + 4, "{before} permits, then {}", limit(&engine));
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_gets_one_more_call_in_300_ms_and_is_read_in_full_within_two_seconds() {
    for frozen_s in [1, 10, 60] {
        let (servers, engine) = opened(at_most(8));
        let before = offer(&servers, &engine, 200, seconds(20)).await;
        servers.frozen.send_replace(true);
        let (limit_before, started) = (limit(&engine), servers.started.load(Ordering::Relaxed));
        offer(&servers, &engine, 200, seconds(frozen_s)).await;
        let started = servers.started.load(Ordering::Relaxed) - started;
        assert!(started <= u64::from(limit_before) + frozen_s * 1_000 / 300, "{started} in {frozen_s} s");
        assert_eq!(engine.stats().gauge.permit_state, PermitState::Stalled);
        servers.frozen.send_replace(false);
        offer(&servers, &engine, 200, seconds(2)).await;
        assert_eq!(limit(&engine), limit_before);
        let after = offer(&servers, &engine, 200, seconds(10)).await;
        assert!(after * 100 >= before * 95, "{after} after {frozen_s} s, {before} before");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_share_a_store_share_its_permits_by_their_number() {
    let (servers, engine) = opened(at_most(16));
    let (fixed_servers, fixed_engine) = opened(permits(16));
    let mut seen = Vec::new();
    for sharers in [1, 3, 40, 2, 1] {
        servers.sharers.store(sharers, Ordering::Relaxed);
        fixed_servers.sharers.store(sharers, Ordering::Relaxed);
        sleep(millis(250)).await;
        seen.push((limit(&engine), engine.stats().gauge.permits_bound));
        assert_eq!(limit(&fixed_engine), 16, "what is fixed is what each node gets");
    }
    assert_eq!(seen, [(16, 16), (5, 5), (1, 1), (8, 8), (16, 16)]);
}

#[tokio::test(start_paused = true)]
async fn fixed_permits_stay_whatever_the_store_does() {
    let (servers, engine) = opened(permits(8));
    servers.frozen.send_replace(true);
    for _ in 0..20 {
        offer(&servers, &engine, 100, seconds(1)).await;
        assert_eq!((limit(&engine), engine.stats().gauge.permit_state), (8, PermitState::Held));
    }
}
