//! Refreshes of records that are still fresh.

use crate::{Config, NOW, Server, config, open, trial};
use hydra_api::{Found, UnixSeconds};
use hydra_conformance::given::{batch, record};
use libtest_mimic::Trial;
use std::num::NonZeroU32;
use std::time::Duration;

const LIFE: u32 = 48 * 3600;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_refresh_within_the_slack_writes_nothing_and_one_beyond_it_does", &[], slack)]
}

async fn slack(server: Server) {
    let store = open(Config { refresh_slack_s: 3600, ..config(server.port()) }).await.unwrap();
    let slack = store.profile().refresh_slack;
    assert_eq!(slack, Duration::from_secs(3600));
    let row = || server.query("hydra", "SELECT xmin, ctid FROM hydra.records").unwrap();
    let mut latest = UnixSeconds(NOW.0 + LIFE);
    let mut announced = record(1, 1);
    announced.expires = latest;
    store.insert(batch(&[announced.clone()]), NOW).await.unwrap();
    let written = row();
    for seconds in [1, 600, 3599, 3600, 3601, 7000, 90_000] {
        let now = UnixSeconds(NOW.0 + seconds);
        latest = latest.max(UnixSeconds(now.0 + LIFE));
        announced.expires = latest;
        store.insert(batch(&[announced.clone()]), now).await.unwrap();
        assert_eq!(row() == written, seconds <= 3600, "after {seconds} s");
        let found = store.providers([announced.key].as_slice().into(), now, NonZeroU32::MIN).await.unwrap();
        let [Found::Known(providers)] = found.as_slice() else { panic!("{found:?}") };
        let expires = providers[0].expires;
        assert!(expires <= latest && expires >= latest.saturating_sub(slack), "{expires} for {latest}");
    }
}
