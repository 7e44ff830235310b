//! The beginning and the end of a head's swarm: its listeners, and the close of its connections.

use super::Parts;
use super::behaviour::Behaviour;
use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::Swarm;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

/// How long connections have to close in order.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// Listens wherever it can; the ids of the listeners are returned.
pub(super) fn listen(swarm: &mut Swarm<Behaviour>, parts: &Parts) -> io::Result<HashSet<ListenerId>> {
    let mut listeners = HashSet::new();
    let mut failure = None;
    for address in &parts.listen {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => {
                listeners.insert(listener);
            }
            Err(cause) => {
                tracing::warn!(head = parts.slot, %address, error = %cause, "cannot listen");
                failure = Some(cause);
            }
        }
    }
    match failure {
        Some(cause) if listeners.is_empty() => Err(io::Error::other(cause)),
        _ => Ok(listeners),
    }
}

/// Ends all connections in order, as far as time permits.
pub(super) async fn close(swarm: &mut Swarm<Behaviour>) {
    let peers: Vec<_> = swarm.connected_peers().copied().collect();
    for peer in peers {
        // An error says that it is gone already.
        let _gone = swarm.disconnect_peer_id(peer);
    }
    let closed = async {
        while swarm.connected_peers().next().is_some() {
            swarm.select_next_some().await;
        }
    };
    drop(tokio::time::timeout(CLOSE_WAIT, closed).await);
}
