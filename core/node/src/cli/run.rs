//! `hydra run`: serves until a signal stops it.

use super::failure::is_forbidden;
use super::reload::{Inputs, Reload};
use super::search;
use super::stop::{ProfileSignal, ReloadSignal, StopSignal};
use super::{Failure, Output};
use crate::config::{Http, Loaded};
use crate::memory::Heap;
use crate::node::backends::Backends;
use crate::node::{Node, StartError};
use crate::observe::otlp::Exporter;
use hydra_api::{Causes, HeadCount, IdAllocator, IdErrorKind};
use std::time::Duration;

/// The time after a profile in which signals are only remembered: many of them are answered with one profile.
const PROFILE_PAUSE: Duration = Duration::from_secs(1);

/// Starts the node, prints the addresses of its heads, and waits for a signal to stop it: also during the start. A second
/// one, later than a second after the first, ends the process at once.
pub(crate) async fn run(
    loaded: &Loaded,
    reload: Inputs,
    (exporter, heap): (Exporter, Option<Heap>),
    out: &mut Output,
) -> Result<(), Failure> {
    let failed = |cause| Failure::failed("cannot wait for signals", cause);
    // A config that changes during the start is read again once the node serves.
    let hangup = ReloadSignal::new().map_err(failed)?;
    let wanted = ProfileSignal::new().map_err(failed)?;
    let (stop, mut hurry) = (StopSignal::new().map_err(failed)?, StopSignal::new().map_err(failed)?);
    tokio::select! {
        ended = serve(loaded, (reload, hangup), (exporter, heap, wanted), out, stop) => ended,
        () = hurry.insisted() => {
            Err(Failure::Failed("ended at once by a second signal".to_owned()))
        }
    }
}

async fn serve(
    loaded: &Loaded,
    (reload, mut hangup): (Inputs, ReloadSignal),
    (exporter, heap, mut wanted): (Exporter, Option<Heap>, ProfileSignal),
    out: &mut Output,
    mut stop: StopSignal,
) -> Result<(), Failure> {
    if let Some(collector) = exporter.target() {
        tracing::info!(%collector, "traces are sent");
    }
    // Before any file is made: another node may use the directory and the address.
    http_is_free(&loaded.config.telemetry.http)?;
    let opened = tokio::select! {
        opened = loaded.open(&reload.registry) => opened?,
        () = logged(&mut stop) => return stopped_early(),
    };
    tokio::select! {
        () = find_identities(&*opened.ids, loaded.config.heads.count) => {}
        () = logged(&mut stop) => {
            opened.store.close().await.map_err(|error| Failure::of_store("cannot close the store", &error))?;
            return stopped_early();
        }
    }
    let backends = Backends { exporter, heap, ..opened };
    let mut reload = Reload::new(reload, loaded, &backends);
    let config = &loaded.config;
    let node = match Node::start_until(config.clone(), backends, logged(&mut stop)).await {
        Ok(node) => node,
        Err(StartError::Stopped) => return stopped_early(),
        Err(error) => return Err(not_started(error)),
    };
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
        tokio::select! {
            () = logged(&mut stop) => {}
            () = reload.follow(&mut hangup) => {}
            () = write_profiles(&node, &mut wanted) => {}
        }
    }
    // The store is closed with its last user.
    drop(reload);
    let stopped = node.stop().await.map_err(|cause| Failure::failed("the node did not stop cleanly", cause));
    printed?;
    stopped.inspect(|()| tracing::info!("stopped: the queued records are written and the store is closed"))
}

/// Writes a heap profile at a signal, one at most in [`PROFILE_PAUSE`].
async fn write_profiles(node: &Node, wanted: &mut ProfileSignal) {
    loop {
        wanted.given().await;
        node.write_heap_profile("signal").await;
        tokio::time::sleep(PROFILE_PAUSE).await;
    }
}

/// Whether the HTTP endpoints can be served. They are taken later, so that this says it early and no more.
fn http_is_free(config: &Http) -> Result<(), Failure> {
    match config.enabled.then(|| std::net::TcpListener::bind(config.listen)) {
        Some(Err(cause)) => Err(not_started(StartError::Http { listen: config.listen, cause })),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Has the allocator find the identities and shows how far it is, so that acquiring them takes no time. The start says it if that
/// fails.
async fn find_identities(ids: &dyn IdAllocator, heads: u32) {
    let wanted = HeadCount::new(heads).unwrap_or(HeadCount::MIN);
    if let Err(error) = search::preview(ids, wanted).await {
        tracing::debug!(error = %Causes(&error), "cannot determine the identities");
    }
}

/// The node was asked to stop and has: what it had started is stopped.
fn stopped_early() -> Result<(), Failure> {
    tracing::info!("stopped before the start was complete");
    Ok(())
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
    let is_away = matches!(
        &error,
        StartError::Ids(ids) if matches!(ids.kind(), IdErrorKind::Unavailable | IdErrorKind::Held)
            && !is_forbidden(ids)
    );
    match Failure::failed("cannot start", error) {
        Failure::Failed(message) if is_away => Failure::Unavailable(message),
        failure => failure,
    }
}
