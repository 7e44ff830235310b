//! Full decline at the peak, and the way back.

use crate::doubles::{Dice, Ledger, Store, addresses, caller, key, millis, open};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, Operation, Outcome, ReasonId, Request, Rung, Token, Verdict,
};
use hydra_engine::{Config, Ending, Engine, NamedPolicy, Peak, PolicyMode};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::time::sleep;

fn at(requests_per_second: u32) -> Config {
    Config { peak: Peak { requests_per_second, ..Peak::default() }, ..Config::default() }
}

/// Offers reads at this rate for a time; the rungs that the node stood on, each change once.
async fn offer(engine: &Engine, per_second: u64, seconds: u64) -> Vec<Rung> {
    let mut rungs = vec![engine.rung()];
    for tick in 0..seconds * 100 {
        for number in 0..per_second / 100 {
            engine.providers(caller(0), &key(tick * 1_000 + number)).await.unwrap();
        }
        if rungs.last() != Some(&engine.rung()) {
            rungs.push(engine.rung());
        }
        sleep(millis(10)).await;
    }
    rungs
}

#[tokio::test(start_paused = true)]
async fn above_the_peak_everything_is_declined_at_once_and_find_node_is_not() {
    let ledger = Ledger::admits_all();
    let store = Store::new(4, 256);
    let engine = open(&store, vec![ledger.named("ledger")], at(1_000));
    assert_eq!(offer(&engine, 20_000, 1).await, [Rung::Full, Rung::RoutingOnly]);
    let reads = store.reads().len();
    assert!(reads <= 450, "the burst and little more reached the store: {reads}");
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!((found.ending, found.rung), (Ending::Shed, Rung::RoutingOnly));
    assert_eq!(engine.announce(caller(0), &key(1), || addresses(0)), Ok(Ending::Shed));
    assert_eq!(store.reads().len(), reads);
    assert_eq!(
        ledger.outcome(&key(19_000 / 200 * 1_000 + 1)),
        Outcome::Shed,
        "whoever asks too much pays for it"
    );
    ledger.assert_balanced();
    assert!(engine.stats().requests(Operation::GetProviders, Ending::Shed) > 19_000);
}

#[tokio::test(start_paused = true)]
async fn the_node_comes_back_a_rung_for_each_second_of_calm() {
    let engine = open(&Store::new(4, 256), vec![], at(1_000));
    offer(&engine, 5_000, 2).await;
    assert_eq!(engine.rung(), Rung::RoutingOnly);
    offer(&engine, 500, 1).await;
    sleep(millis(150)).await;
    for rung in [Rung::CacheOnly, Rung::Stale, Rung::Short, Rung::Full] {
        assert_eq!(engine.rung(), rung);
        offer(&engine, 500, 1).await;
    }
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().ending, Ending::Served);
    // The peak guards again.
    assert_eq!(offer(&engine, 5_000, 2).await, [Rung::Full, Rung::RoutingOnly]);
}

#[tokio::test(start_paused = true)]
async fn a_load_above_the_peak_is_declined_for_as_long_as_it_lasts() {
    let engine = open(&Store::new(4, 256), vec![], at(1_000));
    offer(&engine, 2_000, 1).await;
    for per_second in [1_200, 1_100] {
        assert_eq!(offer(&engine, per_second, 10).await, [Rung::RoutingOnly]);
    }
    // Half a second of calm is not enough.
    sleep(millis(500)).await;
    assert_eq!(offer(&engine, 2_000, 5).await, [Rung::RoutingOnly]);
    assert!(offer(&engine, 700, 6).await.ends_with(&[Rung::Full]));
}

/// Full decline was left only at 80 % of the peak: a load between the two was declined for ever after one burst.
#[tokio::test(start_paused = true)]
async fn a_load_just_below_the_peak_is_served_again_after_a_burst() {
    for per_second in [900, 950] {
        let engine = open(&Store::new(4, 256), vec![], at(1_000));
        assert_eq!(offer(&engine, per_second, 3).await, [Rung::Full]);
        (0..500).for_each(|number| {
            assert!(engine.announce(caller(0), &key(number), || addresses(0)).is_ok());
        });
        for number in 0..500 {
            engine.providers(caller(0), &key(number)).await.unwrap();
        }
        assert_eq!(engine.read_rung(), Rung::RoutingOnly);
        offer(&engine, per_second, 10).await;
        assert_eq!((engine.read_rung(), engine.write_rung()), (Rung::Full, Rung::Full), "{per_second}/s");
    }
}

/// Reads count in the peak of writes: below it, they must not keep writes away.
#[tokio::test(start_paused = true)]
async fn announcements_are_taken_again_after_a_burst_of_them_beside_many_reads() {
    let engine = open(&Store::new(4, 256), vec![], at(1_000));
    let both = async |seconds: u64| {
        let mut taken = 0;
        for tick in 0..seconds * 20 {
            for number in 0..5 {
                let ending = engine.announce(caller(0), &key(tick * 10 + number), || addresses(0)).unwrap();
                taken += u64::from(ending == Ending::Served);
            }
            for number in 0..42 {
                engine.providers(caller(0), &key(tick * 1_000 + number)).await.unwrap();
            }
            sleep(millis(50)).await;
        }
        taken
    };
    assert_eq!(both(2).await, 200);
    for number in 0..500 {
        engine.announce(caller(0), &key(number), || addresses(0)).unwrap();
    }
    assert_eq!((engine.read_rung(), engine.write_rung()), (Rung::Full, Rung::RoutingOnly));
    both(10).await;
    assert_eq!(both(2).await, 200);
}

/// One peer that asks too much, and is declined for it, brings nobody else to full decline, nor holds the node there.
#[tokio::test(start_paused = true)]
async fn what_policies_decline_does_not_count_in_the_peak() {
    let declines = Ledger::new(|request, _| match request.peer == caller(9).peer {
        true => Verdict::Decline(ReasonId(0)),
        false => Verdict::Admit,
    });
    let engine = open(&Store::new(4, 256), vec![declines.named("declines")], at(1_000));
    let beside_the_greedy = async |seconds: u64| {
        for tick in 0..seconds * 100 {
            for number in 0..30 {
                let greedy = engine.providers(caller(9), &key(number)).await.unwrap();
                assert_eq!(greedy.ending, Ending::Declined);
            }
            for number in 0..5 {
                engine.providers(caller(0), &key(tick * 1_000 + number)).await.unwrap();
            }
            sleep(millis(10)).await;
        }
        engine.rung()
    };
    assert_eq!(beside_the_greedy(5).await, Rung::Full);
    offer(&engine, 3_000, 1).await;
    assert_eq!(engine.rung(), Rung::RoutingOnly);
    assert_eq!(beside_the_greedy(10).await, Rung::Full);
}

/// A bucket of a single peer, as a policy has it: what never started is given back.
#[derive(Debug, Default)]
struct Bucket(AtomicI64);

impl AdmissionPolicy for Bucket {
    fn admit(&self, request: &Request<'_>, _: &Load, _: std::time::Instant) -> Judgement {
        if request.peer != caller(9).peer {
            return Verdict::Admit.into();
        }
        let take = |left: i64| (left > 0).then(|| left - 1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Verdict::Admit.into(),
            Err(_) => Verdict::Decline(ReasonId(0)).into(),
        }
    }

    fn settle(&self, request: &Request<'_>, _: Token, outcome: &Outcome, _: std::time::Instant) {
        if request.peer == caller(9).peer && *outcome == Outcome::NeverStarted {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        vec!["too_much".into()]
    }
}

/// A bucket that gets back what it has paid on full decline never runs empty there, and lets its peer hold the node.
#[tokio::test(start_paused = true)]
async fn a_peer_above_its_budget_does_not_hold_full_decline() {
    let bucket = Arc::new(Bucket::default());
    let policy = NamedPolicy { name: "bucket".to_owned(), mode: PolicyMode::Enforce, policy: bucket.clone() };
    let engine = open(&Store::new(4, 256), vec![policy], at(1_000));
    offer(&engine, 3_000, 1).await;
    assert_eq!(engine.rung(), Rung::RoutingOnly);
    for tick in 0..1_000 {
        // 100 a second are its own, of 5,000.
        bucket.0.store(1, Ordering::Relaxed);
        for number in 0..50 {
            engine.providers(caller(9), &key(number)).await.unwrap();
        }
        for number in 0..5 {
            engine.providers(caller(0), &key(tick * 1_000 + number)).await.unwrap();
        }
        sleep(millis(10)).await;
    }
    assert_eq!(engine.rung(), Rung::Full);
}

#[tokio::test(start_paused = true)]
async fn a_load_below_the_peak_and_short_bursts_pass() {
    let engine = open(&Store::new(4, 256), vec![], at(1_000));
    assert_eq!(offer(&engine, 900, 10).await, [Rung::Full]);
    for _ in 0..10 {
        for number in 0..200 {
            engine.providers(caller(0), &key(number)).await.unwrap();
        }
        sleep(millis(500)).await;
        assert_eq!(engine.rung(), Rung::Full);
    }
}

#[tokio::test(start_paused = true)]
async fn the_peak_can_be_switched_off() {
    let engine = open(&Store::new(4, 256), vec![], at(0));
    assert_eq!(offer(&engine, 50_000, 2).await, [Rung::Full]);
}

/// Offers reads at these distances, as long as there are any: how many were served.
async fn offer_at(engine: &Engine, distances_ms: impl IntoIterator<Item = u64>) -> (u64, u64) {
    let (mut served, mut offered) = (0, 0);
    for distance in distances_ms {
        sleep(millis(distance)).await;
        let reply = engine.providers(caller(0), &key(offered)).await.unwrap();
        served += u64::from(reply.ending == Ending::Served);
        offered += 1;
    }
    (served, offered)
}

#[tokio::test(start_paused = true)]
async fn peaks_below_ten_a_second_work() {
    for per_second in [1, 2, 5, 9] {
        let engine = open(&Store::new(4, 256), vec![], at(per_second));
        let every = |percent: u64| 100_000 / (u64::from(per_second) * percent);
        let (served, offered) = offer_at(&engine, std::iter::repeat_n(every(70), 100)).await;
        assert_eq!((served, engine.rung()), (offered, Rung::Full), "70 % of {per_second}/s");
        let (served, _) = offer_at(&engine, std::iter::repeat_n(every(500), 100)).await;
        assert!(served <= 2 * u64::from(per_second) + 10, "five times {per_second}/s: {served} served");
        assert_eq!(engine.rung(), Rung::RoutingOnly);
        // A second of calm, then a rung a second.
        offer_at(&engine, std::iter::repeat_n(every(70), 14 * per_second as usize)).await;
        assert_eq!(engine.rung(), Rung::Full, "{per_second}/s");
    }
}

/// Requests do not come at even distances.
#[tokio::test(start_paused = true)]
async fn half_of_a_small_peak_passes_at_random_distances() {
    for per_second in [1, 2, 5, 9] {
        let engine = open(&Store::new(4, 256), vec![], at(per_second));
        let mut dice = Dice(u64::from(per_second));
        let distance = 2_000.0 / f64::from(per_second);
        // Exponentially distributed: what many independent clients make.
        let distances = (0..1_000).map(|_| {
            let chance = (dice.below(1 << 32) + 1) as f64 / (1u64 << 32) as f64;
            (-chance.ln() * distance) as u64
        });
        let (served, offered) = offer_at(&engine, distances).await;
        assert!(served * 100 >= offered * 90, "{per_second}/s: {served} of {offered}");
    }
}
