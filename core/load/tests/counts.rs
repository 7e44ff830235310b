//! Outcomes against a server whose losses are known.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod double;

use double::{Behaves, Double, Over, alone};
use hydra_load::{
    Connections, Ended, KeySpace, Operation, Pace, Plan, Presence, Progress, Report, Second, Step, Streams,
    run,
};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

const RATE: f64 = 200.0;

fn step(per_second: f64, ms: u64) -> Step {
    Step { pace: Pace::Open { per_second }, duration: Duration::from_millis(ms) }
}

/// Reads of present keys alone, so that each request has the outcome of its number.
fn plan(double: &Double, steps: Vec<Step>) -> Plan {
    Plan {
        clients: 16,
        ids: 16,
        mix: "get=1".parse().unwrap(),
        absent_share: 0.0,
        presence: Presence::Held,
        late_after: Duration::from_secs(5),
        ..Plan::new(vec![double.head.clone()], steps)
    }
}

async fn report(plan: Plan) -> Report {
    run(plan, |_| {}, std::future::pending()).await.unwrap()
}

/// Within 2 % of the whole.
#[track_caller]
fn near(what: &str, counted: u64, expected: f64, whole: u64) {
    let off = (counted as f64 - expected).abs() / whole as f64;
    assert!(off <= 0.02, "{what}: {counted} instead of {expected:.0} of {whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_providers_and_late_ones_are_no_success() {
    let _alone = alone().await;
    let behaves = Behaves {
        delay: Duration::from_millis(1),
        empty_every: 5,
        slow_every: 10,
        slow: Duration::from_secs(4),
        ..Behaves::default()
    };
    let (reused, new) = (Double::start(behaves.clone()).await, Double::start(behaves).await);
    let of = |double, streams| {
        let late_after = Duration::from_millis(2500);
        report(Plan { streams, late_after, ..plan(double, vec![step(RATE / 2.0, 8000)]) })
    };
    for report in <[Report; 2]>::from(tokio::join!(of(&reused, Streams::Reused), of(&new, Streams::New))) {
        let total = report.total.ordinary;
        let offered = total.offered;
        near("offered", offered, RATE * 4.0, 4 * offered);
        // Every tenth is late; of the others, a fifth is empty.
        near("late", total.outcomes.late, offered as f64 / 10.0, offered);
        near("empty", total.outcomes.empty, offered as f64 * 0.9 / 5.0, offered);
        near("full", total.outcomes.full, offered as f64 * 0.72, offered);
        assert_eq!((total.outcomes.sum(), total.unfinished), (offered, 0));
        let get = &total.operations[&Operation::Get];
        assert_eq!(get.late.unwrap().count, total.outcomes.late);
        assert!(get.late.unwrap().p50_ms >= 4000.0, "{get:?}");
        assert!(get.full.unwrap().max_ms <= 2500.0, "{get:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_retried_once_and_a_time_out_is_not() {
    let _alone = alone().await;
    // A second attempt is the request with the next number, or nearly: it is not reset.
    let double = Double::start(Behaves { reset_every: 10, ..Behaves::default() }).await;
    let total = report(plan(&double, vec![step(RATE, 4000)])).await.total.ordinary;
    let resets = double.seen.requests.load(Ordering::Relaxed) as f64 / 10.0;
    near("retries", total.retries, resets - total.outcomes.reset as f64, total.offered);
    near("full", total.outcomes.full, total.offered as f64, total.offered);

    let all = Double::start(Behaves { reset_every: 1, ..Behaves::default() }).await;
    let mut plan_of_resets = plan(&all, vec![step(100.0, 1000)]);
    // The probe of the connection is reset as well: it takes a head that answers for it.
    let answering = Double::start(Behaves::default()).await;
    plan_of_resets.heads.push(answering.head.clone());
    let total = report(plan_of_resets).await.total.ordinary;
    near("reset", total.outcomes.reset, total.offered as f64 / 2.0, total.offered);
    assert_eq!(total.retries, total.outcomes.reset, "one retry each");

    let behaves = Behaves { slow_every: 4, slow: Duration::from_secs(30), ..Behaves::default() };
    let slow = Double::start(behaves).await;
    let plan = Plan { timeout: Duration::from_secs(2), ..plan(&slow, vec![step(100.0, 3000)]) };
    let total = report(plan).await.total.ordinary;
    near("timeout", total.outcomes.timeout, total.offered as f64 / 4.0, total.offered);
    assert_eq!(total.retries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_the_outstanding_requests_is_unsent() {
    let _alone = alone().await;
    let double = Double::start(Behaves { delay: Duration::from_secs(1), ..Behaves::default() }).await;
    let plan = Plan { outstanding_max: 100, ..plan(&double, vec![step(200.0, 4000)]) };
    let total = report(plan).await.total.ordinary;
    // Of 100 outstanding requests, each takes at least one second of the four.
    assert!((100..=500).contains(&total.sent), "{total:?}");
    assert_eq!(total.sent + total.outcomes.unsent, total.offered);
    assert_eq!(total.outcomes.full, total.sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_and_each_second_has_its_requests() {
    let _alone = alone().await;
    let double = Double::start(Behaves::default()).await;
    let mut seconds: Vec<Second> = Vec::new();
    let plan = Plan {
        server_pid: Some(std::process::id()),
        ..plan(&double, vec![step(50.0, 2000), step(200.0, 2000)])
    };
    let observe = |progress: Progress<'_>| {
        if let Progress::Second(second) = progress {
            seconds.push(second.clone());
        }
    };
    let report = run(plan, observe, std::future::pending()).await.unwrap();
    let offered: Vec<_> = report.steps.iter().map(|step| step.ordinary.offered).collect();
    assert!((70..130).contains(&offered[0]) && (340..460).contains(&offered[1]), "{offered:?}");
    assert_eq!(report.total.ordinary.offered, offered.iter().sum::<u64>());
    let by_second = |of: fn(&Second) -> u64| seconds.iter().map(of).sum::<u64>();
    assert_eq!(by_second(|second| second.offered), report.total.ordinary.offered);
    assert_eq!(by_second(|second| second.outcomes.full), report.total.ordinary.outcomes.full);
    let server = report.total.server.unwrap();
    assert!(server.rss_mib_max > 1.0 && server.fds_max > Some(16), "{server:?}");
    assert_eq!(report.ended, Ended::Finished);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["steps"][1]["rate"], 200.0);
    assert_eq!(json["total"]["ordinary"]["outcomes"]["full"], report.total.ordinary.outcomes.full);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preload_announces_each_key_once_by_its_sender() {
    let _alone = alone().await;
    let double = Double::start(Behaves::default()).await;
    let presence = Presence::Preload { per_second: 2000.0 };
    let plan = Plan { presence, keys: 1000, ..plan(&double, vec![step(50.0, 500)]) };
    let keys = KeySpace::new(&plan).unwrap();
    let report = report(plan).await;
    let preloaded = report.preloaded.unwrap();
    assert_eq!((preloaded.announced, preloaded.failed), (1000, 0));
    let expected: HashSet<_> = (0..1000).map(|number| keys.present(number).to_vec()).collect();
    assert_eq!(*double.seen.announced.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_rotate_and_each_request_can_have_a_connection() {
    let _alone = alone().await;
    for over in [Over::Tcp, Over::Quic] {
        let double = Double::start_over(over, Behaves::default()).await;
        let plan = Plan {
            clients: 4,
            ids: 12,
            connections: Connections::PerRequest,
            mix: "get=1,add=1".parse().unwrap(),
            ..plan(&double, vec![step(50.0, 2000)])
        };
        let total = report(plan).await.total.ordinary;
        assert_eq!(total.outcomes.full, total.offered, "{total:?}");
        // The connections of the start serve the first requests.
        let connections = double.seen.connections.lock().unwrap().len() as u64;
        assert!((total.offered..=total.offered + 4).contains(&connections), "{connections}: {total:?}");
        assert_eq!(double.seen.peers.lock().unwrap().len(), 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_abusive_client_is_counted_apart_and_comes_on_top() {
    let _alone = alone().await;
    let double = Double::start(Behaves::default()).await;
    let plan = Plan { abusive: Some(16.0), ..plan(&double, vec![step(160.0, 3000)]) };
    let report = report(plan).await.total;
    let (ordinary, abusive) = (report.ordinary, report.abusive.unwrap());
    assert!((390..510).contains(&ordinary.offered), "15 clients of 10 per second: {}", ordinary.offered);
    assert!((420..540).contains(&abusive.offered), "16 times 10 per second: {}", abusive.offered);
    assert_eq!((ordinary.outcomes.full, abusive.outcomes.full), (ordinary.offered, abusive.offered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_has_its_share() {
    let _alone = alone().await;
    let double = Double::start(Behaves::default()).await;
    let plan = Plan { hot_share: 0.5, zipf: 0.0, ..plan(&double, vec![step(RATE, 3000)]) };
    let hot = KeySpace::new(&plan).unwrap().present(0);
    report(plan).await;
    let asked = double.seen.asked.lock().unwrap();
    let count = asked.iter().filter(|key| **key == hot).count();
    assert!((0.45..0.55).contains(&(count as f64 / asked.len() as f64)), "{count} of {}", asked.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_reports_what_ran_and_one_without_a_server_fails() {
    let _alone = alone().await;
    let double = Double::start(Behaves::default()).await;
    let stop = tokio::time::sleep(Duration::from_millis(1500));
    let report = run(plan(&double, vec![step(100.0, 600_000)]), |_| {}, stop).await.unwrap();
    assert_eq!(report.ended, Ended::Stopped);
    assert!(report.total.ordinary.outcomes.full > 20, "{report}");
    assert!(report.total.duration_s < 300.0, "{}", report.total.duration_s);

    let gone = plan(&double, vec![step(100.0, 600_000)]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let head = format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", free.port(), libp2p::PeerId::random());
    let gone = Plan { heads: vec![head.parse().unwrap()], ..gone };
    assert!(run(gone, |_| {}, std::future::pending()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_connect_from_the_local_addresses_in_turn() {
    let _alone = alone().await;
    let double = Double::start(Behaves::default()).await;
    let sources = ["127.0.0.2", "127.7.7.7"].map(|source| source.parse().unwrap());
    let plan = Plan { sources: sources.into(), ..plan(&double, vec![step(RATE, 500)]) };
    let total = report(plan).await.total.ordinary;
    assert_eq!(total.outcomes.full, total.offered);
    let connections = double.seen.connections.lock().unwrap().clone();
    let from =
        |source: &str| connections.iter().filter(|of| of.contains(&format!("/ip4/{source}/tcp/"))).count();
    assert_eq!((from("127.0.0.2"), from("127.7.7.7"), connections.len()), (8, 8, 16), "{connections:?}");
}
