//! Policies in shadow: they judge and are counted, and nothing else comes of it.

use crate::doubles::{Ledger, Store, addresses, caller, key, open};
use hydra_api::{Outcome, ReasonId, Rung, Verdict};
use hydra_engine::{Config, Ending, PolicyMode};

#[tokio::test(start_paused = true)]
async fn a_decline_in_shadow_is_counted_and_the_request_is_served() {
    let (first, shadow, last) =
        (Ledger::admits_all(), Ledger::new(|_, _| Verdict::Decline(ReasonId(0))), Ledger::admits_all());
    let policies = vec![first.named("first"), shadow.in_shadow("tried"), last.named("last")];
    let engine = open(&Store::new(1, 256), policies, Config::default());
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!((found.ending, found.rung), (Ending::Served, Rung::Full));
    assert_eq!(engine.announce(caller(0), &key(2), || addresses(0)).unwrap(), Ending::Served);
    for ledger in [&first, &last] {
        ledger.assert_balanced();
        assert_eq!(ledger.admitted.lock().unwrap().len(), 2, "the policies that act are asked as ever");
    }
    assert!(shadow.settled.lock().unwrap().is_empty(), "A5: a decline is not settled");
    let stats = engine.stats();
    let tried =
        stats.verdicts.iter().find(|line| line.policy == "tried" && line.verdict == "decline").unwrap();
    assert_eq!((tried.mode, tried.reason.as_str(), tried.count), (PolicyMode::Shadow, "too_much", 2));
}

#[tokio::test(start_paused = true)]
async fn a_degrade_in_shadow_is_counted_settled_and_not_acted_on() {
    let shadow = Ledger::new(|_, _| Verdict::Degrade(Rung::CacheOnly));
    let engine = open(&Store::new(1, 256), vec![shadow.in_shadow("tried")], Config::default());
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!((found.ending, found.rung), (Ending::Served, Rung::Full));
    assert!(matches!(shadow.outcome(&key(1)), Outcome::Served { rung: Rung::Full, .. }));
    let stats = engine.stats();
    let tried = stats.verdicts.iter().find(|line| line.verdict == "degrade").unwrap();
    assert_eq!((tried.reason.as_str(), tried.count), ("cache_only", 1));
}

#[tokio::test(start_paused = true)]
async fn a_policy_in_shadow_gives_back_what_it_took_when_a_later_one_declines() {
    let shadow = Ledger::admits_all();
    let declines = Ledger::new(|_, _| Verdict::Decline(ReasonId(0)));
    let policies = vec![shadow.in_shadow("tried"), declines.named("acts")];
    let engine = open(&Store::new(1, 256), policies, Config::default());
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().ending, Ending::Declined);
    assert_eq!(shadow.outcome(&key(1)), Outcome::NeverStarted);
}
