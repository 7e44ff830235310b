//! `hydra run`: serves until told to stop.

use super::{Failure, Output};
use crate::config::Loaded;
use hydra_api::Registry;

/// Starts the node, says where its heads are, and waits for the signal that stops it.
pub(crate) async fn run(loaded: &Loaded, registry: &Registry, out: &mut Output) -> Result<(), Failure> {
    let backends = loaded.open(registry).await?;
    out.line("ready")?;
    stop_signal().await.map_err(|cause| Failure::failed("cannot wait for signals", cause))?;
    backends.store.close().await.map_err(|cause| Failure::failed("cannot close the store", cause))
}

/// Waits for SIGTERM or Ctrl-C.
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
