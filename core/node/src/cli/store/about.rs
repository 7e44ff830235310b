//! What a store is able to do, and how much it holds.

use crate::cli::check::profile as in_one_line;
use crate::cli::{Failure, Output};
use crate::config::Loaded;
use hydra_api::{Durability, Expiry, ProviderStore, Sharing, StoreProfile};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;

/// Prints the line of `hydra check` on the store.
pub(super) fn check(loaded: &Loaded, store: &dyn ProviderStore, out: &mut Output) -> io::Result<()> {
    let flush = Duration::from_millis(loaded.config.engine.flush_interval_ms.into());
    out.line(format_args!("store  {}: {}", loaded.config.store.kind, in_one_line(&store.profile(), flush)))
}

/// Prints the estimate and the profile.
pub(super) async fn stats(
    loaded: &Loaded,
    store: &dyn ProviderStore,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let estimate = store.estimate().await;
    let estimate = estimate.map_err(|error| Failure::of_store("cannot estimate the records", &error))?;
    let (kind, profile) = (&loaded.config.store.kind, store.profile());
    let (records, age, method) = (estimate.records, estimate.age, estimate.method.as_str());
    if json {
        let mut line = described(&profile);
        line["kind"] = json!(kind);
        line["records"] = json!({ "estimate": records, "age_s": age.as_secs_f64(), "method": method });
        return Ok(out.line(line)?);
    }
    out.line(format_args!("kind        {kind}"))?;
    out.line(format_args!("records     about {records} ({method}, {} s ago)", age.as_secs()))?;
    out.line(format_args!("durability  {}", durability(profile.durability)))?;
    out.line(format_args!(
        "sharing     {}",
        match profile.sharing {
            Sharing::OneProcess => "used by one process",
            Sharing::BetweenProcesses => "shared between processes",
        }
    ))?;
    out.line(format_args!(
        "expiry      expired records are removed by {}",
        match profile.expiry {
            Expiry::ByPurge => "the node",
            Expiry::ByItself => "the store itself",
        }
    ))?;
    let (reads, writes) = (profile.reads, profile.writes);
    out.line(format_args!(
        "capacity    {} calls at a time: {} reads of up to {} keys, {} writes of up to {} records",
        profile.concurrency_max,
        reads.concurrency_max,
        reads.batch_len_max,
        writes.concurrency_max,
        writes.batch_len_max
    ))?;
    let slack = profile.refresh_slack.as_secs();
    Ok(out.line(format_args!(
        "refreshes   not written if they would move the expiry by no more than {slack} s"
    ))?)
}

fn durability(durability: Durability) -> String {
    match durability {
        Durability::InMemory => "in memory".to_owned(),
        Durability::SurvivesRestart { window } => {
            format!("survives a restart; a crash may lose the records of the last {} ms", window.as_millis())
        }
    }
}

fn described(profile: &StoreProfile) -> Value {
    let durability = match profile.durability {
        Durability::InMemory => json!({ "kind": "in_memory" }),
        Durability::SurvivesRestart { window } => {
            json!({ "kind": "survives_restart", "window_ms": window.as_millis() as u64 })
        }
    };
    json!({
        "durability": durability,
        "sharing": match profile.sharing {
            Sharing::OneProcess => "one_process",
            Sharing::BetweenProcesses => "between_processes",
        },
        "expiry": match profile.expiry {
            Expiry::ByPurge => "by_purge",
            Expiry::ByItself => "by_itself",
        },
        "refresh_slack_s": profile.refresh_slack.as_secs(),
        "calls_max": profile.concurrency_max,
        "reads": { "calls_max": profile.reads.concurrency_max, "keys_max": profile.reads.batch_len_max },
        "writes": { "calls_max": profile.writes.concurrency_max, "records_max": profile.writes.batch_len_max },
    })
}
