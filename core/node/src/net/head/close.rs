//! The end of a head's swarm: its connections are closed in order.

use super::behaviour::Behaviour;
use futures::StreamExt;
use libp2p::swarm::Swarm;
use std::time::Duration;

/// How long connections have to close in order.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

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
