//! `hydra check`: connects to everything that the config names, and changes nothing.

use super::{Failure, Output};
use crate::config::{Config, Issues, KeyPath, Loaded};
use crate::node::presence::{self, Uses};
use crate::observe::otlp::Target;
use hydra_api::{Durability, ProviderStore, Purpose, Registry, Sharing, StoreProfile};
use hydra_engine::{NamedPolicy, PolicyMode};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Opens every plugin for a check, which creates and changes nothing, and prints what would run. A store that the node on
/// this data directory has for itself is left out.
pub(crate) async fn check(loaded: &Loaded, registry: &Registry, out: &mut Output) -> Result<(), Failure> {
    let config = &loaded.config;
    let traces = loaded.exporter_target()?;
    let node = presence::running(&config.data_dir);
    pages(loaded, node.as_ref())?;
    if let Some(node) = node.filter(|node| node.own_store.as_ref() == Some(&config.store.kind)) {
        let admission = loaded.check_all_but_store(registry).await?;
        let dir = config.data_dir.display();
        let store = format!("in use by the node that runs on {dir} (process {})", node.pid);
        print(config, &store, &admission, traces.as_ref(), out)?;
        return Ok(out.line("ok, the store was not looked at: the running node uses it")?);
    }
    let backends = loaded.open_for(registry, Purpose::Check).await?;
    // What is announced waits for its window of writes first.
    let flush = Duration::from_millis(config.engine.flush_interval_ms.into());
    let store = profile(&backends.store.profile(), flush);
    let printed = print(config, &store, &backends.admission, traces.as_ref(), out);
    let ok = ok(&*backends.store);
    backends.store.close().await.map_err(|cause| Failure::failed("cannot close the store", cause))?;
    printed?;
    Ok(out.line(ok)?)
}

/// The address of the HTTP endpoints must be free, unless the node that runs has it.
fn pages(loaded: &Loaded, node: Option<&Uses>) -> Result<(), Failure> {
    let http = &loaded.config.telemetry.http;
    if !http.enabled || node.is_some_and(|node| node.http == Some(http.listen)) {
        return Ok(());
    }
    let Err(cause) = is_free(http.listen) else { return Ok(()) };
    let message = format!("cannot listen on {}: {cause}", http.listen);
    let help =
        "choose an address of this machine and a port that no other process uses; port 0 selects a free one";
    let key = KeyPath::root().key("telemetry").key("http").key("listen");
    Err(Issues::from(loaded.issue(key, message, Some(help.to_owned()))).into())
}

/// Bound, and not listened on: two checks at a time do not disturb each other.
fn is_free(address: SocketAddr) -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// The last line of a command that found or did what it should, with what the store remarks.
pub(crate) fn ok(store: &dyn ProviderStore) -> String {
    let remarks = store.remarks();
    if remarks.is_empty() { "ok".to_owned() } else { format!("ok, {}", remarks.join("; ")) }
}

fn print(
    config: &Config,
    store: &str,
    admission: &[NamedPolicy],
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
    out.line(format_args!("store      {}: {store}", config.store.kind))?;
    let named = |policy: &NamedPolicy| match policy.mode {
        PolicyMode::Enforce => policy.name.clone(),
        PolicyMode::Shadow => format!("{} (shadow)", policy.name),
    };
    let policies: Vec<_> = admission.iter().map(named).collect();
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
