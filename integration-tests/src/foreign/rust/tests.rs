//! The client against a stock libp2p-kad server in this process.

use super::*;

const PROTOCOL: &str = "/test/kad/1.0.0";

#[derive(NetworkBehaviour)]
struct Server {
    identify: identify::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

/// Serves until the test ends, and returns the address to ask at.
async fn serve(listen: &str) -> Multiaddr {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), (tls::Config::new, noise::Config::new), yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|key| {
            let id = key.public().to_peer_id();
            let protocol = StreamProtocol::new(PROTOCOL);
            let mut kad =
                kad::Behaviour::with_config(id, kad::store::MemoryStore::new(id), kad::Config::new(protocol));
            kad.set_mode(Some(kad::Mode::Server));
            let config = identify::Config::new("/ipfs/0.1.0".to_owned(), key.public());
            Server { identify: identify::Behaviour::new(config), kad }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(CALL_DEADLINE))
        .build();
    swarm.listen_on(listen.parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let id = *swarm.local_peer_id();
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    address.with(Protocol::P2p(id))
}

async fn finds_what_it_provided(listen: &str) {
    let server = serve(listen).await;
    let provider = provide(&server, PROTOCOL, b"a key").await.unwrap();
    assert!(!provider.addrs.is_empty());
    assert_eq!(find(&server, PROTOCOL, b"a key").await.unwrap().providers, [provider]);
    assert_eq!(find(&server, PROTOCOL, b"another key").await.unwrap().providers, []);
}

#[tokio::test]
async fn finds_what_it_provided_with_addresses_over_tcp() {
    finds_what_it_provided("/ip4/127.0.0.1/tcp/0").await;
}

#[tokio::test]
async fn finds_what_it_provided_with_addresses_over_quic() {
    finds_what_it_provided("/ip4/127.0.0.1/udp/0/quic-v1").await;
}
