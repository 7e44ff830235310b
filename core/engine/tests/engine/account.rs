//! What is told to who watches, and what is counted, of each request.

use crate::doubles::{FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open_watched, permits};
use hydra_api::{Operation, ReasonId, Rung, Verdict};
use hydra_engine::{Account, Config, Ending, Engine, ReadCache, Source, Watch};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// What was told of one request, without what is borrowed.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    operation: Operation,
    verdict: Option<(&'static str, Option<String>)>,
    rung: Rung,
    ending: Ending,
    source: Option<Source>,
    took: Option<Duration>,
    keys: Option<u32>,
    call_ended: Option<Option<Ending>>,
}

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Told>>);

impl Watch for Notes {
    fn traces(&self) -> bool {
        false
    }

    fn ended(&self, account: &Account<'_>) {
        assert_eq!((account.store, account.system), ("test", "test"));
        self.0.lock().unwrap().push(Told {
            operation: account.operation,
            verdict: account.judged.map(|judged| (judged.word(), judged.policy.map(str::to_owned))),
            rung: account.rung,
            ending: account.ending,
            source: account.source,
            took: account.time.map(|(_, took)| took),
            keys: account.call.map(|call| call.keys),
            call_ended: account.call.map(|call| call.ending),
        });
    }
}

impl Notes {
    fn last(&self) -> Told {
        self.0.lock().unwrap().last().cloned().expect("a request has ended")
    }
}

fn watched(ledger: &Arc<Ledger>, config: Config) -> (Arc<Store>, Arc<Notes>, Arc<Engine>) {
    let (store, notes) = (Store::new(1, 256), Arc::<Notes>::default());
    let engine = open_watched(&store, vec![ledger.named("ledger")], config, Some(notes.clone()));
    (store, notes, engine)
}

#[tokio::test(start_paused = true)]
async fn a_read_is_told_with_its_verdict_its_source_and_its_store_call() {
    let (store, notes, engine) = watched(&Ledger::admits_all(), permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(7)));
    engine.providers(caller(0), &key(1)).await.unwrap();
    let from_the_store = Told {
        operation: Operation::GetProviders,
        verdict: Some(("admit", None)),
        rung: Rung::Full,
        ending: Ending::Served,
        source: Some(Source::Store),
        took: Some(millis(7)),
        keys: Some(1),
        call_ended: Some(Some(Ending::Served)),
    };
    assert_eq!(notes.last(), from_the_store);
    engine.providers(caller(0), &key(1)).await.unwrap();
    let kept = Told {
        source: Some(Source::Cache),
        took: Some(Duration::ZERO),
        keys: None,
        call_ended: None,
        ..from_the_store.clone()
    };
    assert_eq!(notes.last(), kept);
    store.set(Mood::Takes(millis(400)));
    engine.providers(caller(0), &key(2)).await.unwrap();
    let late = Told {
        ending: Ending::Late,
        source: Some(Source::Nothing),
        took: Some(millis(250)),
        call_ended: Some(None),
        ..from_the_store
    };
    assert_eq!(notes.last(), late, "the call that was not waited for is told, too");
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_in_the_place_of_the_stores_is_told_with_how_the_call_stands() {
    let (store, notes, engine) = watched(&Ledger::admits_all(), permits(1));
    sleep(millis(10)).await;
    engine.announce(caller(0), &key(1), || addresses(0)).unwrap();
    sleep(Duration::from_secs(2)).await;
    for (mood, call_ended) in [(Mood::Takes(millis(400)), None), (FAILS, Some(Ending::StoreFailed))] {
        store.set(Mood::Takes(Duration::ZERO));
        engine.providers(caller(0), &key(1)).await.unwrap();
        // What is kept by now is given only when the store does not answer.
        sleep(Duration::from_secs(u64::from(ReadCache::FRESH_S) + 10)).await;
        store.set(mood);
        engine.providers(caller(0), &key(1)).await.unwrap();
        let told = notes.last();
        assert_eq!((told.ending, told.source), (Ending::Served, Some(Source::StaleCache)), "{call_ended:?}");
        assert_eq!(told.call_ended, Some(call_ended));
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn declines_and_degrades_are_told_with_the_policy_that_said_so() {
    let (_, notes, engine) = watched(&Ledger::new(|_, _| Verdict::Decline(ReasonId(0))), Config::default());
    engine.announce(caller(0), &key(1), || addresses(0)).unwrap();
    let told = notes.last();
    assert_eq!(told.verdict, Some(("decline", Some("ledger".to_owned()))));
    assert_eq!((told.ending, told.rung, told.took), (Ending::Declined, Rung::RoutingOnly, None));

    let (_, notes, engine) =
        watched(&Ledger::new(|_, _| Verdict::Degrade(Rung::CacheOnly)), Config::default());
    engine.providers(caller(0), &key(1)).await.unwrap();
    let told = notes.last();
    assert_eq!(told.verdict, Some(("degrade", Some("ledger".to_owned()))));
    assert_eq!((told.ending, told.rung), (Ending::Shed, Rung::CacheOnly));
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_rung_with_how_long_they_took() {
    let degrades = Ledger::new(|request, _| match request.key == key(2) {
        true => Verdict::Degrade(Rung::Short),
        false => Verdict::Admit,
    });
    let (store, _, engine) = watched(&degrades, permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(30)));
    for number in [1, 2, 1] {
        engine.providers(caller(0), &key(number)).await.unwrap();
    }
    let stats = engine.stats();
    let of = |rung| {
        let count = stats.requests.iter().find(|count| count.rung == rung).unwrap();
        assert_eq!((count.operation, count.ending), (Operation::GetProviders, Ending::Served));
        (count.latency.count(), count.latency.sum)
    };
    assert_eq!(of(Rung::Full), (2, millis(30)), "one from the store and one from the cache");
    assert_eq!(of(Rung::Short), (1, millis(30)));
    assert_eq!(stats.requests(Operation::GetProviders, Ending::Served), 3);
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_after_a_wait_took_as_long_as_the_wait() {
    let (store, notes, engine) = watched(&Ledger::admits_all(), permits(1));
    sleep(millis(10)).await;
    engine.announce(caller(0), &key(1), || addresses(0)).unwrap();
    sleep(Duration::from_secs(2)).await;
    engine.providers(caller(0), &key(1)).await.unwrap();
    sleep(Duration::from_secs(u64::from(ReadCache::FRESH_S) + 1)).await;
    // The only permit is in use.
    store.set_reads(Mood::Takes(millis(200)));
    let other = engine.clone();
    tokio::spawn(async move { other.providers(caller(0), &key(2)).await });
    sleep(millis(5)).await;
    engine.providers(caller(0), &key(1)).await.unwrap();
    let (told, waited) = (notes.last(), millis(Config::WAITING_MS_MAX.into()));
    assert_eq!((told.source, told.took), (Some(Source::StaleCache), Some(waited)));
    let served = engine.stats().requests;
    let served =
        served.iter().find(|count| count.operation == Operation::GetProviders && count.rung == Rung::Stale);
    assert_eq!(served.unwrap().latency.sum, waited);
}
