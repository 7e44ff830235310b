//! Coordinated omission: an open loop is charged for a stall as its schedule implies, a closed loop hardly is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod double;

use double::{Behaves, Double};
use hydra_load::{Operation, Pace, Plan, Presence, Report, Step, run};
use std::time::Duration;

/// The server answers after this.
const DELAY_MS: f64 = 50.0;
/// It stalls once, from one second after its first GET_PROVIDERS, for four of ten seconds.
const STALL_FROM_MS: f64 = 1000.0;
const STALL_MS: f64 = 4000.0;
const RUN_MS: f64 = 10_000.0;

async fn stalled(pace: Pace) -> Report {
    let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
    let behaves =
        Behaves { delay: ms(DELAY_MS), stall: Some((ms(STALL_FROM_MS), ms(STALL_MS))), ..Behaves::default() };
    let double = Double::start(behaves).await;
    let plan = Plan {
        clients: 16,
        ids: 16,
        mix: "get=1".parse().unwrap(),
        absent_share: 0.0,
        presence: Presence::Held,
        streams_per_client_max: 256,
        late_after: Duration::from_secs(9),
        ..Plan::new(vec![double.head.clone()], vec![Step { pace, duration: ms(RUN_MS) }])
    };
    run(plan, |_| {}, std::future::pending()).await.unwrap()
}

/// The latency that this share of requests due at an even rate does not exceed: those that are due in the stall wait
/// for its end, the others for the delay alone.
fn expected_ms(share: f64) -> f64 {
    let above = (1.0 - share) * RUN_MS;
    DELAY_MS + (STALL_MS - above).max(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_sees_a_stall_as_its_schedule_implies() {
    let report = stalled(Pace::Open { per_second: 60.0 }).await;
    let full = report.total.ordinary.operations[&Operation::Get].full.unwrap();
    assert_eq!(full.count, report.total.ordinary.offered, "none is left out: {report}");
    for (share, measured) in [(0.9, full.p90_ms), (0.99, full.p99_ms), (1.0, full.max_ms)] {
        let expected = expected_ms(share);
        // The noise of a Poisson process of 600 arrivals: 3 standard deviations. A busy machine makes a latency longer, never shorter.
        let spread = 3.0 * (share * (1.0 - share) / 600.0_f64).sqrt() * RUN_MS + 400.0;
        assert!(
            measured >= expected - spread,
            "p{}: {measured} below {expected:.0} - {spread:.0}",
            100.0 * share
        );
    }
    assert!(full.p50_ms < full.p90_ms / 2.0, "most requests were due outside of the stall: {full:?}");
    let mean = DELAY_MS + STALL_MS * STALL_MS / 2.0 / RUN_MS;
    assert!(full.mean_ms >= 0.75 * mean, "mean {} below {mean}", full.mean_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_does_not_see_it() {
    let report = stalled(Pace::Closed { concurrency: 4 }).await;
    let full = report.total.ordinary.operations[&Operation::Get].full.unwrap();
    assert!(full.p50_ms >= DELAY_MS && full.max_ms >= STALL_MS * 0.9, "{full:?}");
    assert!(full.p90_ms < expected_ms(0.9) / 2.0, "the open loop sees more: {full:?}");
    assert_eq!(report.total.lag, None);
}
