//! `hydra run`: serves until a signal stops it.

use super::stop::StopSignal;
use super::{Failure, Output};
use crate::config::Loaded;
use crate::node::backends::Backends;
use crate::node::{Node, StartError};
use crate::observe::otlp::Exporter;
use hydra_api::{IdErrorKind, Registry};

/// Starts the node, prints the addresses of its heads, and waits for a signal to stop it: also during the start. A second
/// one, later than a second after the first, ends the process at once.
pub(crate) async fn run(
    loaded: &Loaded,
    registry: &Registry,
    exporter: Exporter,
    out: &mut Output,
) -> Result<(), Failure> {
    let signals = || StopSignal::new().map_err(|cause| Failure::failed("cannot wait for signals", cause));
    let (stop, mut hurry) = (signals()?, signals()?);
    tokio::select! {
        ended = serve(loaded, registry, exporter, out, stop) => ended,
        () = hurry.insisted() => {
            Err(Failure::Failed("ended at once by a second signal".to_owned()))
        }
    }
}

async fn serve(
    loaded: &Loaded,
    registry: &Registry,
    exporter: Exporter,
    out: &mut Output,
    mut stop: StopSignal,
) -> Result<(), Failure> {
    if let Some(collector) = exporter.target() {
        tracing::info!(%collector, "traces are sent");
    }
    let opened = tokio::select! {
        opened = loaded.open(registry) => opened?,
        () = logged(&mut stop) => return Err(not_started(StartError::Stopped)),
    };
    let backends = Backends { exporter, ..opened };
    let config = &loaded.config;
    let node = Node::start_until(config.clone(), backends, logged(&mut stop)).await.map_err(not_started)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        heads = config.heads.count,
        protocol = config.network.protocol,
        store = config.store.kind,
        data_dir = %config.data_dir.display(),
        "serving"
    );
    let printed = print(&node, out);
    if printed.is_ok() {
        logged(&mut stop).await;
    }
    let stopped = node.stop().await.map_err(|cause| Failure::failed("the node did not stop cleanly", cause));
    printed?;
    stopped
}

/// Waits for a signal and logs which it was.
async fn logged(stop: &mut StopSignal) {
    let signal = stop.given().await;
    tracing::info!(signal, "stopping");
}

/// Prints where the node is.
fn print(node: &Node, out: &mut Output) -> std::io::Result<()> {
    for head in node.heads() {
        for address in head.addresses {
            out.line(format_args!("head {} {address}", head.slot))?;
        }
    }
    if let Some(http) = node.http() {
        out.line(format_args!("http http://{http}"))?;
    }
    out.line("ready")
}

/// Identities that cannot be reached or are in use may be free later, as any other backend.
fn not_started(error: StartError) -> Failure {
    if matches!(error, StartError::Stopped) {
        return Failure::Failed("stopped by a signal before the start was complete".to_owned());
    }
    let is_away = matches!(
        &error,
        StartError::Ids(ids) if matches!(ids.kind(), IdErrorKind::Unavailable | IdErrorKind::Held)
    );
    match Failure::failed("cannot start", error) {
        Failure::Failed(message) if is_away => Failure::Unavailable(message),
        failure => failure,
    }
}
