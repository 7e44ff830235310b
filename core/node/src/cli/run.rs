//! `hydra run`: serves until a signal stops it.

use super::stop::StopSignal;
use super::{Failure, Output};
use crate::backends::Backends;
use crate::config::Loaded;
use crate::node::{Node, StartError};
use crate::telemetry::Exporter;
use hydra_api::{IdErrorKind, Registry};

/// Starts the node, prints the addresses of its heads, and waits for a signal to stop it. A second signal ends the
/// process at once.
pub(crate) async fn run(
    loaded: &Loaded,
    registry: &Registry,
    exporter: Exporter,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut stop = StopSignal::new().map_err(|cause| Failure::failed("cannot wait for signals", cause))?;
    if let Some(collector) = exporter.target() {
        tracing::info!(%collector, "traces are sent");
    }
    let backends = Backends { exporter, ..loaded.open(registry).await? };
    let node = tokio::select! {
        started = Node::start(loaded.config.clone(), backends) => {
            started.map_err(not_started)?
        }
        () = stop.given() => return Err(Failure::Failed("stopped by a signal before the start was complete".to_owned())),
    };
    let config = &loaded.config;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        heads = config.heads.count,
        protocol = config.network.protocol,
        store = config.store.kind,
        data_dir = %config.data_dir.display(),
        "serving"
    );
    for head in node.heads() {
        for address in head.addresses {
            out.line(format_args!("head {} {address}", head.slot))?;
        }
    }
    if let Some(http) = node.http() {
        out.line(format_args!("http http://{http}"))?;
    }
    out.line("ready")?;
    stop.given().await;
    tokio::select! {
        stopped = node.stop() => stopped.map_err(|cause| Failure::failed("the node did not stop cleanly", cause)),
        () = stop.given() => Err(Failure::Failed("ended at once by a second signal".to_owned())),
    }
}

/// Identities that cannot be reached or are in use may be free later, as any other backend.
fn not_started(error: StartError) -> Failure {
    let is_away = matches!(
        &error,
        StartError::Ids(ids) if matches!(ids.kind(), IdErrorKind::Unavailable | IdErrorKind::Held)
    );
    match Failure::failed("cannot start", error) {
        Failure::Failed(message) if is_away => Failure::Unavailable(message),
        failure => failure,
    }
}
