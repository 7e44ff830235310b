//! Starting: identities, ports, heads, scout, table.

mod descriptors;
mod error;
mod parts;
mod settings;

pub use error::StartError;

use super::running::Running;
use super::{Node, stop};
use crate::config::{Config, Http};
use crate::net::routing::table_maintenance::CANDIDATES_MAX;
use crate::node::backends::Backends;
use crate::node::presence::{Presence, Uses};
use crate::observe::http;
use hydra_api::Sharing;
use parts::Parts;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Starts a node unless `stop` ends first. However the start ends, what it has started is stopped.
pub(super) async fn start(
    config: Config,
    backends: Backends,
    stop: impl Future<Output = ()>,
) -> Result<Node, StartError> {
    let (config, fits) = descriptors::fit(config);
    let mut running = Running::new(config, backends);
    let begun = match fits {
        Err(too_few) => Err(StartError::Descriptors(too_few)),
        Ok(()) => tokio::select! {
            begun = begin(&mut running) => begun,
            () = stop => Err(StartError::Stopped),
        },
    };
    match begun {
        Ok(Parts { heads, table, connections, kad, .. }) => {
            Ok(Node { running, heads, table, connections, kad })
        }
        Err(cause) => {
            if let Err(error) = stop::stop(running, None).await {
                tracing::warn!(%error, "the start failed, and the node did not stop cleanly after it");
            }
            Err(cause)
        }
    }
}

/// Starts one part after another. What runs is in `running` before the next wait.
async fn begin(running: &mut Running) -> Result<Parts, StartError> {
    let config = Arc::clone(&running.config);
    let kad = settings::kad(&config)?;
    let pages = bind_pages(&config.telemetry.http).await?;
    let parts = Parts::open(running, kad);
    parts.start_memory_guard(running)?;
    let (candidates, met) = mpsc::channel(CANDIDATES_MAX);
    let heads_begun = parts.spawn_lease_keeper(running, candidates);
    let node_view = parts.node_view(running);
    // From here on probes are told how far the start is.
    running.http = pages.map(|pages| pages.serve(Arc::clone(&node_view)));
    hold_presence(running);
    heads_begun.await.map_err(|_| keeper_ended())??;
    parts.heads_listen(&config).await?;
    parts.report.on_advertised(&parts.heads);
    parts.spawn_tasks(running, met);
    node_view.started(running.tasks.abort_handles());
    Ok(parts)
}

async fn bind_pages(config: &Http) -> Result<Option<http::Bound>, StartError> {
    http::bind(config).await.map_err(|cause| StartError::Http { listen: config.listen, cause })
}

/// Tells checks on this machine what the node uses. The node does without if it cannot.
fn hold_presence(running: &mut Running) {
    let is_own = running.store.profile().sharing == Sharing::OneProcess;
    let uses = Uses {
        pid: std::process::id(),
        own_store: is_own.then(|| running.config.store.kind.clone()),
        http: running.http.as_ref().map(http::Server::address),
    };
    match Presence::hold(&running.config.data_dir, &uses) {
        Ok(presence) => running.presence = Some(presence),
        Err(error) => tracing::debug!(%error, "cannot tell other processes that a node runs here"),
    }
}

fn keeper_ended() -> StartError {
    let cause = io::Error::other("its task panicked");
    StartError::System { what: "the lease keeper has ended", cause }
}
