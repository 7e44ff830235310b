//! What this store does when its server fails, refuses, moves or falls silent, over real servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod figures;
mod hosts;
mod hot_keys;
mod login;
mod peers;
mod pooler;
mod purposes;
mod server;
mod sessions;
mod slack;
mod start;
mod values;
mod versions;

use hydra_api::{
    Found, Inserted, OpenError, Plugin, ProviderRecord, ProviderStore, Scope, StoreError, UnixSeconds,
};
use hydra_conformance::given::{batch, record};
use hydra_conformance::servers::{self, Postgres as Server};
use hydra_store_postgres::{Config, Postgres};
use libtest_mimic::{Arguments, Trial};
use std::future::Future;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// How long something may take on a busy machine that must end at all.
const PATIENCE: Duration = Duration::from_secs(30);

type Store = Arc<dyn ProviderStore>;

fn config(port: u16) -> Config {
    Config {
        hosts: vec![format!("127.0.0.1:{port}")],
        connections_max: 4,
        connect_timeout_ms: 1000,
        statement_timeout_ms: 1000,
        refresh_slack_s: 0,
        ..Config::default()
    }
}

async fn open(config: Config) -> Result<Store, OpenError> {
    Postgres::open(config, &Scope::new(std::env::temp_dir())).await
}

async fn insert(store: &Store, number: u64) -> Result<Inserted, StoreError> {
    store.insert(batch(&[record(number, number)]), NOW).await
}

/// True if the record of this number is there.
async fn has(store: &Store, number: u64) -> Result<bool, StoreError> {
    let ProviderRecord { key, provider, .. } = record(number, number);
    let found = store.providers([key].as_slice().into(), NOW, NonZeroU32::MIN).await?;
    let [Found::Known(providers)] = found.as_slice() else { return Ok(false) };
    Ok(providers.first().is_some_and(|found| found.peer == provider))
}

/// Waits until both an insert and a read succeed, as often as the breaker of a node would try.
async fn is_back(store: &Store, number: u64) {
    let since = Instant::now();
    loop {
        let inserted = insert(store, number).await;
        let read = has(store, number).await;
        if inserted.is_ok() && read.as_ref().is_ok_and(|found| *found) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "not back: {inserted:?}, {read:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn main() -> ExitCode {
    // An event that a thread without a subscriber comes by first is switched off for the others, which read their logs.
    let sink = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    tracing::subscriber::set_global_default(sink).unwrap();
    let ignored = Server::installed().is_none() && !servers::required();
    let trials = [
        server::trials(),
        login::trials(),
        hosts::trials(),
        slack::trials(),
        hot_keys::trials(),
        peers::trials(),
        pooler::trials(),
        purposes::trials(),
        start::trials(),
        versions::trials(),
        figures::trials(),
        sessions::trials(),
        values::trials(),
    ];
    let trials = trials.into_iter().flatten();
    let trials = trials.map(|trial| if ignored { trial.with_ignored_flag(true) } else { trial }).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test of its own server, with these settings.
fn trial<Fut: Future<Output = ()> + 'static>(
    name: &str,
    settings: &'static [&'static str],
    test: fn(Server) -> Fut,
) -> Trial {
    Trial::test(name, move || {
        let server = Server::start(settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test(server));
        Ok(())
    })
}
