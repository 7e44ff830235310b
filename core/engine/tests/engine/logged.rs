//! Failures reach the operator: with the root cause, and once.

use crate::doubles::{addresses, caller, key, memory, open_store, peer, permits};
use crate::log::log;
use hydra_api::{ContentKey, StoreError, StoreErrorKind, async_trait};
use hydra_conformance::doubles::{Behaviour, Call, Calls, Double, Poison, RefusesRecord};
use hydra_engine::Config;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const ROOT: &str = "the cable is cut";

/// Fails these calls, with a cause below the cause.
#[derive(Debug)]
struct Fails(Calls);

#[derive(Debug, thiserror::Error)]
#[error("cannot write")]
struct Above(#[source] std::io::Error);

#[async_trait]
impl Behaviour for Fails {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        if !self.0.contain(call) {
            return Ok(());
        }
        let cause = Above(std::io::Error::other(ROOT));
        Err(StoreError::because(StoreErrorKind::Overloaded, "test", cause))
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_call_that_fails_is_logged_once_with_the_root_cause() {
    let kinds: [(Calls, &[&str]); 3] = [
        (Calls::Reads, &["providers"]),
        (Calls::Writes, &["insert"]),
        (Calls::Upkeep, &["purge_expired", "estimate"]),
    ];
    for (calls, names) in kinds {
        let (log, _guard) = log();
        let store = Arc::new(Double::of(memory(), Fails(calls)));
        let engine = open_store(store, vec![], Config { purge_interval_s: 10, ..permits(4) }, None);
        for number in 0..1_200 {
            engine.providers(caller(1), &key(number)).await.unwrap();
            engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        for name in names {
            let mut lines = log.lines("the store call fails");
            lines.retain(|line| line.contains(&format!("call=\"{name}\"")));
            assert!(lines.len() == 1 && lines[0].contains(ROOT), "{name}: {lines:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_are_dropped_are_logged_with_the_cause() {
    for (kind, words) in [
        (StoreErrorKind::Refused, "the store refuses records"),
        (StoreErrorKind::Corrupt, "fails again and again on single records"),
    ] {
        let (log, _guard) = log();
        let bad = (ContentKey::new(&key(1)).unwrap(), peer(1));
        let store = Arc::new(RefusesRecord::new(memory(), Poison::Fails(kind), [bad]));
        let engine = open_store(store, vec![], permits(4), None);
        for number in 0..200 {
            engine.announce(caller(number), &key(number), || addresses(1)).unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        let writes = engine.stats().writes;
        assert_eq!(
            (writes.written, writes.dropped_refused + writes.dropped_after_retries),
            (199, 1),
            "{kind:?}"
        );
        let lines = log.lines(words);
        assert!(lines.len() == 1 && lines[0].contains("the test wants"), "{kind:?}: {lines:?}");
    }
}
