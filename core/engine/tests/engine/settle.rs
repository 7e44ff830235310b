//! The admission chain: joined verdicts, and every admitted request settled exactly once (rule A1).

use crate::doubles::{FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open, permits};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, Operation, Outcome, ReasonId, Request, Rung, Token, Verdict,
};
use hydra_engine::{Chain, Config, Ending, NamedPolicy, PolicyMode, ReadCache, Source, Verdicts};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

fn declines() -> Arc<Ledger> {
    Ledger::new(|_, _| Verdict::Decline(ReasonId(0)))
}

fn degrades(rung: Rung) -> Arc<Ledger> {
    Ledger::new(move |_, _| Verdict::Degrade(rung))
}

#[tokio::test(start_paused = true)]
async fn a1_every_ending_of_a_read_is_settled_once() {
    let ledger = Ledger::admits_all();
    let store = Store::new(1, 256);
    let engine = open(&store, vec![ledger.named("ledger")], permits(1));
    sleep(millis(10)).await;
    let read = async |number| engine.providers(caller(0), &key(number)).await.unwrap().ending;

    store.set(Mood::Takes(millis(7)));
    assert_eq!(read(1).await, Ending::Served);
    assert_eq!(ledger.outcome(&key(1)), Outcome::Served { rung: Rung::Full, took: millis(7) });
    store.set(FAILS);
    assert_eq!(read(2).await, Ending::StoreFailed);
    store.set(Mood::Panics);
    assert_eq!(read(3).await, Ending::StoreFailed);
    store.set(Mood::Takes(millis(300)));
    assert_eq!(read(4).await, Ending::Late);
    assert_eq!(read(5).await, Ending::NoPermit);
    for number in [2, 3] {
        assert_eq!(ledger.outcome(&key(number)), Outcome::StoreFailed { took: millis(0) });
    }
    assert_eq!(ledger.outcome(&key(4)), Outcome::Late { took: millis(250) });
    assert_eq!(ledger.outcome(&key(5)), Outcome::NoPermit { took: millis(20) });
    // Dropped in line, and dropped while the store works.
    for number in [6, 7] {
        assert!(tokio::time::timeout(millis(10), read(number)).await.is_err());
        assert_eq!(ledger.outcome(&key(number)), Outcome::Abandoned);
        sleep(millis(300)).await;
    }
    // Never polled: never begun.
    drop(engine.providers(caller(0), &key(8)));
    ledger.assert_balanced();
    assert_eq!(ledger.admitted.lock().unwrap().len(), 7);
}

/// What the client got was no answer of the store.
#[tokio::test(start_paused = true)]
async fn a_policy_is_told_the_rung_on_which_a_read_was_served_in_the_end() {
    let ledger = Ledger::admits_all();
    let store = Store::new(1, 256);
    let engine = open(&store, vec![ledger.named("ledger")], permits(1));
    engine.providers(caller(0), &key(1)).await.unwrap();
    sleep(Duration::from_secs(u64::from(ReadCache::FRESH_ABSENT_S) + 1)).await;
    ledger.admitted.lock().unwrap().clear();
    ledger.settled.lock().unwrap().clear();
    store.set(Mood::Takes(millis(300)));
    let (engine, busy) = (&engine, key(2));
    let (_, reply) = tokio::join!(engine.providers(caller(0), &busy), async {
        sleep(millis(1)).await;
        engine.providers(caller(0), &key(1)).await.unwrap()
    });
    assert_eq!((reply.ending, reply.source, reply.rung), (Ending::Served, Source::StaleCache, Rung::Stale));
    assert_eq!(ledger.outcome(&key(1)), Outcome::Served { rung: Rung::Stale, took: millis(20) });
}

#[tokio::test(start_paused = true)]
async fn a1_every_ending_of_a_write_is_settled_once() {
    let ledger = Ledger::admits_all();
    let config = Config { write_queue_len_max: 1, ..Config::default() };
    let engine = open(&Store::new(1, 256), vec![ledger.named("ledger")], config);
    let announce = |number| engine.announce(caller(0), &key(number), || addresses(0)).unwrap();
    assert_eq!((announce(1), announce(2)), (Ending::Served, Ending::QueueFull));
    assert!(matches!(ledger.outcome(&key(1)), Outcome::Served { .. }));
    assert_eq!(ledger.outcome(&key(2)), Outcome::Shed);
    assert_eq!(announce(1), Ending::Served);
    ledger.assert_balanced();
}

#[tokio::test(start_paused = true)]
async fn a_decline_ends_the_asking_and_gives_back_what_was_taken() {
    let (first, last) = (Ledger::admits_all(), Ledger::admits_all());
    let policies = vec![first.named("first"), declines().named("second"), last.named("last")];
    let engine = open(&Store::new(1, 256), policies, Config::default());
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().ending, Ending::Declined);
    assert_eq!(engine.announce(caller(0), &key(2), || addresses(0)).unwrap(), Ending::Declined);
    for number in 1..=2 {
        assert_eq!(first.outcome(&key(number)), Outcome::NeverStarted);
    }
    assert!(last.admitted.lock().unwrap().is_empty() && last.settled.lock().unwrap().is_empty());
    let stats = engine.stats();
    assert_eq!(stats.requests(Operation::GetProviders, Ending::Declined), 1);
    let said = |line: &Verdicts| (line.policy.clone(), line.verdict, line.reason.clone(), line.count);
    let said: Vec<_> = stats.verdicts.iter().map(said).filter(|(_, _, _, count)| *count > 0).collect();
    let of = |policy: &str| policy.to_owned();
    assert_eq!(said, [(of("first"), "admit", of(""), 2), (of("second"), "decline", of("too_much"), 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_declined_announcement_says_is_not_looked_into() {
    let engine = open(&Store::new(1, 256), vec![declines().named("declines")], Config::default());
    let announced = engine.announce(caller(0), &key(1), || unreachable!("it costs no more than a counter"));
    assert_eq!(announced, Ok(Ending::Declined));
}

#[tokio::test(start_paused = true)]
async fn the_most_severe_verdict_counts_whatever_the_order() {
    for rungs in [[Rung::Short, Rung::CacheOnly], [Rung::CacheOnly, Rung::Short]] {
        let policies = rungs.map(|rung| degrades(rung).named("degrades")).into();
        let store = Store::new(1, 256);
        let engine = open(&store, policies, Config::default());
        let found = engine.providers(caller(0), &key(1)).await.unwrap();
        assert_eq!((found.rung, found.ending), (Rung::CacheOnly, Ending::Shed));
        assert!(store.reads().is_empty(), "the store was left alone");
        let announced = engine.announce(caller(0), &key(1), || addresses(0)).unwrap();
        assert_eq!(announced, Ending::Served, "writes wait for better times");
    }
}

#[tokio::test(start_paused = true)]
async fn degraded_reads_ask_the_store_for_less_and_wait_less() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![degrades(Rung::Short).named("short")], permits(1));
    sleep(millis(10)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().ending, Ending::Served);
    assert_eq!(store.limits(), [Config::PROVIDERS_PER_SHORT_ANSWER_MAX]);

    let store = Store::new(1, 256);
    let engine = open(&store, vec![degrades(Rung::Stale).named("stale")], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(10)));
    let (one, two) = (key(1), key(2));
    let (first, second) = tokio::join!(engine.providers(caller(0), &one), engine.providers(caller(0), &two));
    // The first found a permit, the second got a place in the call after that one.
    assert_eq!((first.unwrap().ending, second.unwrap().ending), (Ending::Served, Ending::Served));
    assert_eq!(store.reads().len(), 2);
    for key in [&one, &two] {
        assert_eq!(engine.providers(caller(0), key).await.unwrap().source, Source::Cache);
    }
}

#[tokio::test(start_paused = true)]
async fn policies_see_how_busy_the_node_is_and_are_not_asked_about_find_node_and_ping() {
    let full = Ledger::new(|_, load: &Load| match load.write_queue.percent() {
        100 => Verdict::Decline(ReasonId(0)),
        _ => Verdict::Admit,
    });
    let config = Config { write_queue_len_max: 2, ..Config::default() };
    let engine = open(&Store::new(1, 256), vec![full.named("full")], config);
    let announce = |number| engine.announce(caller(0), &key(number), || addresses(0)).unwrap();
    assert_eq!([announce(1), announce(2), announce(3)], [Ending::Served, Ending::Served, Ending::Declined]);
    engine.answered(Operation::FindNode, 0);
    engine.answered(Operation::Ping, 0);
    let stats = engine.stats();
    assert_eq!(stats.requests(Operation::FindNode, Ending::Served), 1);
    let asked: u64 = stats.verdicts.iter().map(|line| line.count).sum();
    assert_eq!(asked, 3);
}

/// Panics when it is asked, or when it is told.
#[derive(Debug)]
struct Panicking {
    asked: bool,
}

impl AdmissionPolicy for Panicking {
    fn admit(&self, _request: &Request<'_>, _load: &Load, _now: Instant) -> Judgement {
        assert!(!self.asked, "panics when it is asked, as told");
        Verdict::Admit.into()
    }

    fn settle(&self, _: &Request<'_>, _: Token, _outcome: &Outcome, _now: Instant) {
        panic!("panics when it is told");
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}

#[test]
fn a_policy_that_panics_counts_as_an_admit_and_leaves_no_other_unsettled() {
    for asked in [true, false] {
        let (first, last) = (Ledger::admits_all(), Ledger::admits_all());
        let name = "panicking".to_owned();
        let policy = Arc::new(Panicking { asked });
        let panicking = NamedPolicy { name, mode: PolicyMode::Enforce, policy };
        let chain = Chain::new(vec![first.named("first"), panicking, last.named("last")]);
        let outcome = Outcome::Served { rung: Rung::Full, took: millis(1) };
        let request = Request::new(Operation::GetProviders, caller(0).peer, None, 0, b"key");
        let mut ticket = chain.ticket(&request, Instant::now());
        assert_eq!(ticket.admit(&Load::IDLE), Ok(()), "a panic is no decline");
        ticket.settle(&outcome, Instant::now());
        ticket.settle(&outcome, Instant::now());
        drop(ticket);
        for ledger in [&first, &last] {
            assert_eq!(ledger.outcome(b"key"), outcome);
        }
        let panics: Vec<_> = chain
            .verdicts()
            .into_iter()
            .filter(|line| line.verdict == "panic")
            .map(|line| line.count)
            .collect();
        assert_eq!(panics, [1], "it is counted");
    }
}

#[test]
fn reasons_are_counted_by_their_words_and_those_not_declared_as_other() {
    let ledger = Ledger::new(|request, _| Verdict::Decline(ReasonId(u16::from(request.key[0]))));
    let chain = Chain::new(vec![ledger.named("wordy")]);
    for reason in 0..5u8 {
        let key = [reason];
        let request = Request::new(Operation::GetProviders, caller(0).peer, None, 0, &key);
        let judged = chain.ticket(&request, Instant::now()).admit(&Load::IDLE).unwrap_err();
        assert_eq!(
            judged.reason,
            Some(["too_much", "other_word", "other", "other", "other"][usize::from(reason)])
        );
    }
    let mut declines = chain.verdicts();
    declines.retain(|line| line.verdict == "decline");
    let counts: Vec<_> = declines.iter().map(|line| (line.reason.as_str(), line.count)).collect();
    assert_eq!(counts, [("too_much", 1), ("other_word", 1), ("other", 3)]);
}
