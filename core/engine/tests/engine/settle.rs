//! The admission chain: joined verdicts, and every admitted request settled exactly once (rule A1).

use crate::doubles::{Ledger, Mood, Store, addresses, caller, key, millis, open, permits};
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, Reason, Request, Rung, Verdict};
use hydra_engine::{
    Announced, Chain, Config, Decision, Ended, Ending, NamedPolicy, PolicyMode, Routing, Verdicts,
};
use std::sync::Arc;
use std::time::Instant;
use tokio::time::sleep;

fn declines() -> Arc<Ledger> {
    Ledger::new(|_, _| Verdict::Decline(Reason("too_much")))
}

fn degrades(rung: Rung) -> Arc<Ledger> {
    Ledger::new(move |_, _| Verdict::Degrade(rung))
}

#[tokio::test(start_paused = true)]
async fn a1_every_ending_of_a_read_is_settled_once() {
    let ledger = Ledger::admits_all();
    let store = Store::new(1, 256);
    let desk = open(&store, vec![ledger.named("ledger")], permits(1));
    sleep(millis(10)).await;
    let read = async |number| desk.providers(caller(0), &key(number)).await.unwrap().ended;

    store.set(Mood::Takes(millis(7)));
    assert_eq!(read(1).await, Ended::Full);
    assert_eq!(ledger.outcome(&key(1)), Outcome::Served { rung: Rung::Full, took: millis(7) });
    store.set(Mood::Fails);
    assert_eq!(read(2).await, Ended::StoreFailed);
    store.set(Mood::Panics);
    assert_eq!(read(3).await, Ended::StoreFailed);
    store.set(Mood::Takes(millis(300)));
    assert_eq!(read(4).await, Ended::Late);
    assert_eq!(read(5).await, Ended::NoPermit);
    for number in 2..=5 {
        assert!(matches!(ledger.outcome(&key(number)), Outcome::Degraded { .. }), "request {number}");
    }
    // Dropped in line, and dropped while the store works.
    for number in [6, 7] {
        assert!(tokio::time::timeout(millis(10), read(number)).await.is_err());
        assert_eq!(ledger.outcome(&key(number)), Outcome::Abandoned);
        sleep(millis(300)).await;
    }
    // Never polled: never begun.
    drop(desk.providers(caller(0), &key(8)));
    ledger.assert_balanced();
    assert_eq!(ledger.admitted.lock().unwrap().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a1_every_ending_of_a_write_and_of_a_routing_request_is_settled_once() {
    let ledger = Ledger::admits_all();
    let config = Config { ring_len_max: 1, ..Config::default() };
    let desk = open(&Store::new(1, 256), vec![ledger.named("ledger")], config);
    let announce = |number| desk.announce(caller(0), &key(number), || addresses(0)).unwrap();
    assert_eq!((announce(1), announce(2)), (Announced::Taken, Announced::Dropped));
    assert!(matches!(ledger.outcome(&key(1)), Outcome::Served { .. }));
    assert!(matches!(ledger.outcome(&key(2)), Outcome::Degraded { .. }));
    assert_eq!(announce(1), Announced::Merged);
    assert_eq!(desk.admit_routing(caller(0), Operation::FindNode, &key(3)), Routing::Admitted);
    assert!(matches!(ledger.outcome(&key(3)), Outcome::Served { .. }));
    ledger.assert_balanced();
}

#[tokio::test(start_paused = true)]
async fn a_decline_ends_the_asking_and_gives_back_what_was_taken() {
    let (first, last) = (Ledger::admits_all(), Ledger::admits_all());
    let policies = vec![first.named("first"), declines().named("second"), last.named("last")];
    let desk = open(&Store::new(1, 256), policies, Config::default());
    assert_eq!(desk.providers(caller(0), &key(1)).await.unwrap().ended, Ended::Declined);
    assert_eq!(desk.announce(caller(0), &key(2), || addresses(0)).unwrap(), Announced::Declined);
    let routing = desk.admit_routing(caller(0), Operation::FindNode, &key(3));
    assert_eq!(routing, Routing::Declined(Reason("too_much")));
    for number in 1..=3 {
        assert_eq!(first.outcome(&key(number)), Outcome::NeverStarted);
    }
    assert!(last.admitted.lock().unwrap().is_empty() && last.settled.lock().unwrap().is_empty());
    let stats = desk.stats();
    assert_eq!(stats.requests(Operation::GetProviders, Ending::Declined), 1);
    let said = |line: &Verdicts| (line.policy.clone(), line.verdict, line.reason, line.count);
    let said: Vec<_> = stats.verdicts.iter().map(said).filter(|(_, _, _, count)| *count > 0).collect();
    let of = |policy: &str| policy.to_owned();
    assert_eq!(said, [(of("first"), "admit", "", 3), (of("second"), "decline", "too_much", 3)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_declined_announcement_says_is_not_looked_into() {
    let desk = open(&Store::new(1, 256), vec![declines().named("declines")], Config::default());
    let announced = desk.announce(caller(0), &key(1), || unreachable!("it costs no more than a counter"));
    assert_eq!(announced, Ok(Announced::Declined));
}

#[tokio::test(start_paused = true)]
async fn the_most_severe_verdict_counts_whatever_the_order() {
    for rungs in [[Rung::Short, Rung::CacheOnly], [Rung::CacheOnly, Rung::Short]] {
        let policies = rungs.map(|rung| degrades(rung).named("degrades")).into();
        let store = Store::new(1, 256);
        let desk = open(&store, policies, Config::default());
        let found = desk.providers(caller(0), &key(1)).await.unwrap();
        assert_eq!((found.rung, found.ended), (Rung::CacheOnly, Ended::Declined));
        assert!(store.log().reads.is_empty(), "the store was left alone");
        let announced = desk.announce(caller(0), &key(1), || addresses(0)).unwrap();
        assert_eq!(announced, Announced::Taken, "writes wait for better times");
    }
}

#[tokio::test(start_paused = true)]
async fn degraded_reads_ask_the_store_for_less_and_wait_less() {
    let store = Store::new(1, 256);
    let desk = open(&store, vec![degrades(Rung::Short).named("short")], permits(1));
    sleep(millis(10)).await;
    assert_eq!(desk.providers(caller(0), &key(1)).await.unwrap().ended, Ended::Full);
    assert_eq!(store.log().limits, [Config::PROVIDERS_PER_SHORT_ANSWER_MAX]);

    let store = Store::new(1, 256);
    let desk = open(&store, vec![degrades(Rung::Stale).named("stale")], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(10)));
    let (one, two) = (key(1), key(2));
    let (first, second) = tokio::join!(desk.providers(caller(0), &one), desk.providers(caller(0), &two));
    assert_eq!((first.unwrap().ended, second.unwrap().ended), (Ended::Full, Ended::NoPermit));
}

#[tokio::test(start_paused = true)]
async fn policies_see_how_busy_the_node_is_but_not_for_find_node() {
    let full = Ledger::new(|_, load: &Load| match load.ring.percent() {
        100 => Verdict::Decline(Reason("ring")),
        _ => Verdict::Admit,
    });
    let config = Config { ring_len_max: 2, ..Config::default() };
    let desk = open(&Store::new(1, 256), vec![full.named("full")], config);
    let announce = |number| desk.announce(caller(0), &key(number), || addresses(0)).unwrap();
    assert_eq!(
        [announce(1), announce(2), announce(3)],
        [Announced::Taken, Announced::Taken, Announced::Declined]
    );
    assert_eq!(desk.admit_routing(caller(0), Operation::FindNode, &key(4)), Routing::Admitted);
}

/// Panics when it is asked, or when it is told.
#[derive(Debug)]
struct Panicking {
    asked: bool,
}

impl AdmissionPolicy for Panicking {
    fn admit(&self, _request: &Request, _load: &Load, _now: Instant) -> Verdict {
        assert!(!self.asked, "panics when it is asked, as told");
        Verdict::Admit
    }

    fn settle(&self, _request: &Request, _outcome: &Outcome, _now: Instant) {
        panic!("panics when it is told");
    }
}

#[test]
fn a1_a_policy_that_panics_leaves_no_other_unsettled() {
    for asked in [true, false] {
        let ledger = Ledger::admits_all();
        let name = "panicking".to_owned();
        let policy = Arc::new(Panicking { asked });
        let panicking = NamedPolicy { name, mode: PolicyMode::Enforce, policy };
        let chain = Chain::new(vec![ledger.named("ledger"), panicking]);
        let outcome = Outcome::Served { rung: Rung::Full, took: millis(1) };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let request = Request::new(Operation::GetProviders, caller(0).peer, None, 0, b"key");
            if let Decision::Admitted(ticket) = chain.admit(request, &Load::IDLE, Instant::now()) {
                ticket.settle(&outcome, Instant::now());
            }
        }));
        assert!(panicked.is_err());
        assert_eq!(ledger.settled.lock().unwrap()[&b"key"[..]].len(), 1);
        if asked {
            assert_eq!(ledger.outcome(b"key"), Outcome::NeverStarted);
        }
    }
}

#[test]
fn reasons_are_counted_apart_up_to_eight() {
    const WORDS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let ledger = Ledger::new(|request, _| Verdict::Decline(Reason(WORDS[usize::from(request.key[0])])));
    let chain = Chain::new(vec![ledger.named("wordy")]);
    for word in 0..10u8 {
        let key = [word];
        let request = Request::new(Operation::GetProviders, caller(0).peer, None, 0, &key);
        assert!(matches!(chain.admit(request, &Load::IDLE, Instant::now()), Decision::Declined(_)));
    }
    let mut declines = chain.verdicts();
    declines.retain(|line| line.verdict == "decline");
    assert_eq!(declines.len(), 9);
    assert_eq!((declines[8].reason, declines[8].count), ("other", 2));
}
