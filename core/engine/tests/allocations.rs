//! What a request allocates, in a binary whose allocations are counted: nothing for a read that is denied on a degraded
//! rung, nor for one that the cache answers, however many providers it brings.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use hydra_api::{
    Addresses, AdmissionPolicy, ContentKey, Judgement, Load, Outcome, PeerId, ProviderRecord, ProviderStore,
    Request, Rung, Token, Verdict,
};
use hydra_conformance::doubles::FrozenStore;
use hydra_conformance::stats_alloc::INSTRUMENTED_SYSTEM;
use hydra_engine::{
    Caller, Clock, Config, Ending, Engine, NamedPolicy, NamedStore, PolicyMode, Reply, Source,
};
use hydra_store_memory::Memory;
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

hydra_conformance::count_allocations!();

/// The allocations of one test are counted at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The fewest allocations of several runs, and the bytes of that one: other threads of the process may allocate
/// meanwhile, but not each time.
fn allocated(mut run: impl FnMut()) -> (usize, usize) {
    let counted = (0..5).map(|_| {
        let before = INSTRUMENTED_SYSTEM.stats();
        run();
        let stats = INSTRUMENTED_SYSTEM.stats() - before;
        (stats.allocations + stats.reallocations, stats.bytes_allocated)
    });
    counted.min().unwrap_or_default()
}

#[derive(Debug)]
struct Degrades(Rung);

impl AdmissionPolicy for Degrades {
    fn admit(&self, _: &Request<'_>, _: &Load, _: Instant) -> Judgement {
        Verdict::Degrade(self.0).into()
    }

    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}

fn peer(number: u8) -> PeerId {
    PeerId::new(&[number; 38]).unwrap()
}

fn key(number: u32) -> Vec<u8> {
    [&[0x12, 32][..], &[0; 28], &number.to_be_bytes()].concat()
}

/// A read that is answered without a wait.
fn read(engine: &Engine, key: &[u8]) -> Reply {
    let caller = Caller { peer: peer(7), address: None, head: 0 };
    let read = pin!(engine.providers(caller, key));
    match read.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => reply.unwrap(),
        Poll::Pending => panic!("it waits"),
    }
}

fn open(store: Arc<dyn ProviderStore>, rung: Rung) -> Arc<Engine> {
    let (name, policy) = ("degrades".to_owned(), Arc::new(Degrades(rung)));
    let policy = NamedPolicy { name, mode: PolicyMode::Enforce, policy };
    let mut config = Config { permits_max: Some(1), waiting_len_max: 4, ..Config::default() };
    config.peak.requests_per_second = 0;
    Engine::open(NamedStore { name: "test".to_owned(), store }, vec![policy], config, Clock::system(), None)
}

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(&hydra_store_memory::Config::default()))
}

#[tokio::test]
async fn a_denied_read_on_a_degraded_rung_allocates_nothing() {
    let _alone = ALONE.lock().await;
    for (rung, ending) in
        [(Rung::Stale, Ending::NoPermit), (Rung::CacheOnly, Ending::Shed), (Rung::RoutingOnly, Ending::Shed)]
    {
        let store = Arc::new(FrozenStore::frozen(memory()));
        let engine = open(store.clone(), rung);
        // The estimate takes the only permit.
        while store.counted().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        // Most of these are found neither in the cache nor in a queue that is nearly full.
        let caller = Caller { peer: peer(7), address: None, head: 0 };
        (100_000..160_000u32).for_each(|number| _ = engine.announce(caller, &key(number), Addresses::none));
        let waiting = engine.stats().gauge.write_queue.used;
        assert_eq!(waiting, if rung == Rung::RoutingOnly { 0 } else { 60_000 });
        let before = INSTRUMENTED_SYSTEM.stats();
        (0..4).for_each(|number| assert_eq!(read(&engine, &key(number)).ending, ending));
        if rung == Rung::Stale {
            let stats = INSTRUMENTED_SYSTEM.stats() - before;
            assert!(stats.allocations >= 4, "these leave their keys in line, and are counted: {stats:?}");
        }
        let keys: Vec<_> = (10..1_000).map(key).collect();
        let denied = allocated(|| {
            for key in &keys {
                assert_eq!(read(&engine, key).ending, ending, "{rung}");
            }
        });
        assert_eq!(denied, (0, 0), "{rung}");
    }
}

#[tokio::test]
async fn an_answer_with_128_providers_costs_what_one_with_one_does() {
    let _alone = ALONE.lock().await;
    let (memory, clock) = (memory(), Clock::system());
    let engine = open(memory.clone(), Rung::Full);
    for providers in [1, 128] {
        let key = key(u32::from(providers));
        let record = |number: u8| ProviderRecord {
            key: ContentKey::new(&key).unwrap(),
            provider: peer(number),
            addresses: Addresses::fitting([[number; 40]; 3]),
            expires: clock.unix().saturating_add(Duration::from_secs(48 * 3_600)),
        };
        memory.insert((0..providers).map(record).collect(), clock.unix()).await.unwrap();
        let caller = Caller { peer: peer(7), address: None, head: 0 };
        let first = engine.providers(caller, &key).await.unwrap();
        assert_eq!(first.providers().len(), usize::from(providers));
        // As the node encodes them.
        let (rendered, first) = (AtomicUsize::new(0), first.answer.unwrap());
        let render = |providers: &[hydra_api::Provider]| {
            rendered.fetch_add(1, Ordering::Relaxed);
            providers.iter().flat_map(|one| one.peer.as_bytes().to_vec()).collect::<Vec<u8>>()
        };
        let (_given_once, encoded) = (first.rendered(render), first.rendered(render));
        let hit = allocated(|| {
            for _ in 0..1_000 {
                let reply = read(&engine, &key);
                assert_eq!(reply.source, Source::Cache);
                let answer = reply.answer.unwrap();
                assert!(Arc::ptr_eq(&answer, &first) && Arc::ptr_eq(&answer.rendered(render), &encoded));
            }
        });
        assert_eq!((hit, rendered.into_inner()), ((0, 0), 2), "{providers} providers");
    }
}
