use super::*;
use crate::admission::PolicyMode;
use crate::request::Source;
use crate::sync::LOCKS;
use hydra_api::{AdmissionPolicy, Judgement, Outcome, PeerId, Request, Token, Verdict};
use hydra_conformance::doubles::FrozenStore;
use hydra_store_memory::Memory;
use std::borrow::Cow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Degrades every request to this rung.
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

fn caller() -> Caller {
    Caller { peer: PeerId::new(&[7; 38]).unwrap(), address: None, head: 0 }
}

fn key(number: u32) -> Vec<u8> {
    [&[0x12, 32][..], &[0; 28], &number.to_be_bytes()].concat()
}

/// An engine over a store that is frozen, with room for four reads to wait.
fn open(rung: Rung) -> (Arc<FrozenStore>, Arc<Engine>) {
    let memory = Arc::new(Memory::new(&hydra_store_memory::Config::default()));
    let store = Arc::new(FrozenStore::frozen(memory));
    let policy = NamedPolicy {
        name: "degrades".to_owned(),
        mode: PolicyMode::Enforce,
        policy: Arc::new(Degrades(rung)),
    };
    let config = Config { permits_max: Some(1), waiting_len_max: 4, ..Config::default() };
    let named = NamedStore { name: "test".to_owned(), store: store.clone() };
    (store, Engine::open(named, vec![policy], config, Clock::system(), None))
}

/// An answer that comes without a wait, and how many locks were taken for it.
fn at_once(engine: &Engine, key: &[u8]) -> (Reply, u64) {
    let before = LOCKS.get();
    let read = pin!(engine.providers(caller(), key));
    let Poll::Ready(reply) = read.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
    (reply.unwrap(), LOCKS.get() - before)
}

/// Threads that are denied do not wait for each other, nor for those that are served.
#[tokio::test]
async fn a_read_that_is_denied_or_hits_takes_no_lock() {
    for (rung, ending) in
        [(Rung::Stale, Ending::NoPermit), (Rung::CacheOnly, Ending::Shed), (Rung::RoutingOnly, Ending::Shed)]
    {
        let (store, engine) = open(rung);
        // The estimate takes the only permit.
        while store.counted().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        for number in 0..4 {
            let (reply, locks) = at_once(&engine, &key(number));
            assert_eq!(
                (reply.ending, locks > 0),
                (ending, rung == Rung::Stale),
                "these leave their keys in line"
            );
        }
        for number in 10..20 {
            let (reply, locks) = at_once(&engine, &key(number));
            assert_eq!((reply.ending, locks), (ending, 0), "{rung}");
        }
        if rung == Rung::Stale {
            store.thaw();
            while at_once(&engine, &key(0)).0.source != Source::Cache {
                tokio::task::yield_now().await;
            }
            assert_eq!(at_once(&engine, &key(0)).1, 0, "a hit");
        }
    }
}
