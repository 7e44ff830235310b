//! `hydra check`: looks at everything that the config names.

use super::{Failure, Output};
use crate::config::{Config, Loaded};
use crate::node::backends::Backends;
use crate::observe::otlp::Target;
use hydra_api::{Durability, ProviderStore, Purpose, Registry, Sharing, StoreProfile};
use hydra_engine::{NamedPolicy, PolicyMode};
use std::time::Duration;

/// Opens every plugin for a check, which creates and changes nothing, and prints what would run.
pub(crate) async fn check(loaded: &Loaded, registry: &Registry, out: &mut Output) -> Result<(), Failure> {
    let traces = loaded.exporter_target()?;
    let backends = loaded.open_for(registry, Purpose::Check).await?;
    let printed = print(&loaded.config, &backends, traces.as_ref(), out);
    let ok = ok(&*backends.store);
    backends.store.close().await.map_err(|cause| Failure::failed("cannot close the store", cause))?;
    printed?;
    Ok(out.line(ok)?)
}

/// The last line of a command that found or did what it should, with what the store remarks.
pub(crate) fn ok(store: &dyn ProviderStore) -> String {
    let remarks = store.remarks();
    if remarks.is_empty() { "ok".to_owned() } else { format!("ok, {}", remarks.join("; ")) }
}

fn print(
    config: &Config,
    backends: &Backends,
    traces: Option<&Target>,
    out: &mut Output,
) -> std::io::Result<()> {
    let transports: Vec<_> = config.heads.transports.iter().map(|transport| transport.as_str()).collect();
    let listen: Vec<_> = config.heads.listen.iter().map(ToString::to_string).collect();
    out.line(format_args!(
        "heads      {} on {} over {}",
        config.heads.count,
        listen.join(", "),
        transports.join(" and ")
    ))?;
    out.line(format_args!(
        "network    {}, {} addresses, {} bootstrap peers",
        config.network.protocol,
        config.network.addresses.as_str(),
        config.network.bootstrap.len()
    ))?;
    out.line(format_args!("data       {}", config.data_dir.display()))?;
    out.line(format_args!("ids        {}", config.ids.kind))?;
    // What is announced waits for its window of writes first.
    let flush = Duration::from_millis(config.engine.flush_interval_ms.into());
    out.line(format_args!(
        "store      {}: {}",
        config.store.kind,
        profile(&backends.store.profile(), flush)
    ))?;
    let named = |policy: &NamedPolicy| match policy.mode {
        PolicyMode::Enforce => policy.name.clone(),
        PolicyMode::Shadow => format!("{} (shadow)", policy.name),
    };
    let policies: Vec<_> = backends.admission.iter().map(named).collect();
    let policies = if policies.is_empty() {
        "none: every request is admitted".to_owned()
    } else {
        policies.join(", then ")
    };
    out.line(format_args!("admission  {policies}"))?;
    match traces {
        Some(target) => out.line(format_args!("traces     {target}")),
        None => out.line("traces     none"),
    }
}

/// What a store is able to do, in one line; announcements wait for `flush` before they are written.
pub(crate) fn profile(profile: &StoreProfile, flush: Duration) -> String {
    let durability = match profile.durability {
        Durability::InMemory => "in memory".to_owned(),
        Durability::SurvivesRestart { window } => {
            let window = window.saturating_add(flush).as_millis();
            format!("survives a restart; a crash may lose announcements of the last {window} ms")
        }
    };
    let sharing = match profile.sharing {
        Sharing::OneProcess => "used by one process",
        Sharing::BetweenProcesses => "shared between processes",
    };
    format!(
        "{durability}, {sharing}, {} calls at a time, {} records per call",
        profile.concurrency_max, profile.writes.batch_len_max
    )
}
