//! Connections from one host: they have their part of the node, and leave the rest to others.

use crate::namespace::HOSTS;
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Head, Node};
use hydra_integration_tests::peer::Peer;
use libp2p::multiaddr::Protocol;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

pub(crate) const TARGET: &[u8] = b"any target";
const SILENT: usize = 256;
/// Generous: many tests share two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn settings() -> [String; 2] {
    [format!("heads.listen=[\"{}\"]", HOSTS[0]), "heads.count=2".to_owned()]
}

pub(crate) fn address(head: &Head) -> SocketAddr {
    let port =
        head.tcp().iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    (HOSTS[0], port.unwrap()).into()
}

pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// The client connects from the address it connects to, which is another host than that of the silent ones.
pub(crate) async fn silent() {
    let node = Node::start(&settings().each_ref().map(String::as_str)).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(connect(HOSTS[1], address(&node.heads()[0])).await);
    }
    let refused = async || {
        node.metrics().await.unwrap().sum("hydra_connections_refused_total", &[("reason", "pending_host")])
    };
    let all_judged = async {
        while refused().await < (SILENT - 32) as f64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, all_judged).await.expect("each refusal is counted");
    for head in node.heads() {
        Peer::client(PROTOCOL).find_node(head.tcp(), TARGET).await.expect("others get in at once");
    }
    let given_up = async {
        for stream in &silent {
            stream.readable().await.unwrap();
            while stream.try_read(&mut [0; 64]).is_ok_and(|len| len > 0) {
                stream.readable().await.unwrap();
            }
        }
    };
    timeout(PATIENCE, given_up).await.expect("none is held longer than a handshake may take");
}

pub(crate) async fn many_identities() {
    let own = settings();
    let limits = ["connections.per_host_max=8", "connections.per_network_max=12"];
    let settings: Vec<_> = own.iter().map(String::as_str).chain(limits).collect();
    let node = Node::start(&settings).await.unwrap();
    let mut held = Vec::new();
    for at in 0..8 {
        let client = Peer::client(PROTOCOL);
        client.find_node(node.heads()[at % 2].tcp(), TARGET).await.unwrap();
        held.push(client);
    }
    assert!(Peer::client(PROTOCOL).find_node(node.heads()[0].tcp(), TARGET).await.is_err());
    assert!(Peer::client(PROTOCOL).find_node(node.heads()[1].quic(), TARGET).await.is_err());
    let metrics = node.metrics().await.unwrap();
    assert!(metrics.sum("hydra_connections_refused_total", &[("reason", "host")]) >= 2.0);
    held.pop();
    let client = Peer::client(PROTOCOL);
    let gets_in = async {
        while client.find_node(node.heads()[0].tcp(), TARGET).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, gets_in).await.expect("a place that is given back is free");
}
