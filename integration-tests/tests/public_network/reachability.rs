//! Am I reachable? Real AutoNAT v2 servers, those of rust-libp2p and go-libp2p, test the addresses of the heads.

use super::PUBLIC;
use super::namespace::{self, HOSTS};
use futures::StreamExt;
use hydra_integration_tests::foreign::{Client, Event, required};
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Head, Home, Node};
use hydra_integration_tests::peer::{Serves, parted};
use hydra_kad::{Behaviour as Kad, Config, Mode, Request};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, SwarmBuilder, identify, noise, tcp, yamux};
use libp2p_autonat::v2;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(120);
const OFTEN: &str = "network.reachability_interval_s=10";

/// A server of rust-libp2p. It ends with the test.
struct Server(AbortHandle);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(NetworkBehaviour)]
struct Serving {
    identify: identify::Behaviour,
    autonat: v2::server::Behaviour,
    kad: Kad<Serves>,
}

/// Starts a DHT server that tests addresses, and has the node meet it.
async fn server(host: Ipv4Addr, head: &Multiaddr) -> Server {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|key| Serving {
            identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".to_owned(), key.public())),
            autonat: v2::server::Behaviour::default(),
            kad: Kad::new(Config::new([StreamProtocol::new(PROTOCOL)]), Arc::new(Serves::All), Mode::Server),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    let ip = Multiaddr::from(host);
    for address in [ip.clone().with(Protocol::Tcp(0)), ip.with(Protocol::Udp(0)).with(Protocol::QuicV1)] {
        swarm.listen_on(address).unwrap();
        while !matches!(swarm.select_next_some().await, SwarmEvent::NewListenAddr { .. }) {}
    }
    let client = swarm.behaviour().kad.client();
    let task = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let (peer, address) = parted(head);
    let request = Request::FindNode { key: b"anything".as_slice().into() };
    client.ask(peer, vec![address], request, PATIENCE).await.unwrap();
    Server(task.abort_handle())
}

fn port(head: &Head) -> u16 {
    head.tcp().iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None }).unwrap()
}

/// What the node says of the ways of each head, once it is as wanted.
async fn reach_until(node: &Node, wanted: &[&[(&str, &str)]]) {
    let reach = async || {
        let page = node.page("/api/v1/heads").await.unwrap();
        let heads: Value = serde_json::from_str(&page.body).unwrap();
        heads["heads"].as_array().unwrap().iter().map(|head| head["reach"].clone()).collect::<Vec<_>>()
    };
    let wanted: Vec<Value> = wanted
        .iter()
        .map(|ways| ways.iter().map(|(way, state)| ((*way).to_owned(), Value::from(*state))).collect())
        .collect();
    let known = async {
        while reach().await != wanted {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    if timeout(PATIENCE, known).await.is_err() {
        let (metrics, log) = (node.page("/metrics").await.unwrap().body, node.home().log());
        let tests: Vec<_> = metrics.lines().filter(|line| line.contains("reachab")).collect();
        panic!("{:?} is not {wanted:?}; {}; the log:\n{log}", reach().await, tests.join("\n"));
    }
}

async fn heads(node: &Node, transport: &str, state: &str) -> f64 {
    let labels = [("transport", transport), ("family", "ip4"), ("state", state)];
    node.metrics().await.unwrap().sum("hydra_heads_reachable", &labels)
}

fn told(node: &Node, part: &str) -> usize {
    node.home().log().lines().filter(|line| line.contains(part)).count()
}

/// A router that forwards one port to the node: both heads announce it, and the second is not behind it.
async fn one_forwarded(host: Ipv4Addr, servers: [Ipv4Addr; 3], settings: &[&str]) {
    let (home, listen) = (Home::new().unwrap(), format!("heads.listen=[\"{host}\"]"));
    let settings: Vec<_> = settings.iter().copied().chain(["heads.count=2", OFTEN, &listen]).collect();
    let node = Node::start_in(&home, &settings).await.unwrap();
    let forwarded = port(&node.heads()[0]);
    assert!(node.stop().await.unwrap().success());

    let announce = format!(
        "heads.announce_only=[\"/ip4/{host}/tcp/{forwarded}\", \"/ip4/{host}/udp/{forwarded}/quic-v1\"]"
    );
    let node = Node::start_in(&home, &[&settings[..], &[&announce]].concat()).await.unwrap();
    assert_eq!(port(&node.heads()[0]), forwarded);
    let mut running = Vec::new();
    for (nth, host) in servers.into_iter().enumerate() {
        running.push(server(host, node.heads()[nth % 2].tcp()).await);
    }
    let (yes, no) = ("reachable", "unreachable");
    reach_until(&node, &[&[("tcp/ip4", yes), ("quic/ip4", yes)], &[("tcp/ip4", no), ("quic/ip4", no)]]).await;
    for transport in ["tcp", "quic"] {
        assert_eq!((heads(&node, transport, yes).await, heads(&node, transport, no).await), (1.0, 1.0));
    }
    let ready = node.page("/readyz?verbose").await.unwrap();
    assert_eq!(ready.status, 200);
    let line = "[!]reachability: 1 of 2 heads are unreachable over tcp/ip4, 1 of 2 heads are unreachable over quic/ip4";
    assert!(ready.body.contains(line), "{}", ready.body);
    // Two more rounds tell nothing new.
    let tests = async || node.metrics().await.unwrap().sum("hydra_reachability_tests_total", &[]);
    let before = tests().await;
    let further = async {
        while tests().await < before + 16.0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(PATIENCE, further).await.unwrap();
    assert_eq!(told(&node, "other peers cannot reach"), 2, "{}", node.home().log());
    assert_eq!(told(&node, "heads.announce"), 2, "the remedy is named");
    drop(running);
    assert!(node.stop().await.unwrap().success());
}

pub(crate) async fn on_loopback() {
    one_forwarded(Ipv4Addr::LOCALHOST, [Ipv4Addr::LOCALHOST; 3], &[]).await;
}

pub(crate) async fn public() {
    one_forwarded(HOSTS[0], [HOSTS[1], HOSTS[2], HOSTS[3]], &[PUBLIC]).await;
}

pub(crate) fn lacks_go() -> bool {
    !namespace::is_inside() && !required() && Client::go().is_err()
}

/// It tests public addresses alone, and wants data before it dials one that the request did not come from.
pub(crate) async fn go() {
    let listen = format!("heads.listen=[\"{}\"]", HOSTS[0]);
    let settings = [PUBLIC, OFTEN, "heads.count=1", "heads.transports=[\"tcp\"]", &listen];
    let node = Node::start(&settings).await.unwrap();
    let (host, head) = (HOSTS[1].to_string(), node.heads()[0].tcp().to_string());
    let args = ["serve", "--autonat", "--host", &host, "--peer", &head, "--deadline", "120s"];
    let (event, _running) = Client::go().unwrap().start(&args).await.unwrap();
    assert!(matches!(event, Event::Listening { .. }));
    reach_until(&node, &[&[("tcp/ip4", "reachable")]]).await;
    assert_eq!(told(&node, "other peers cannot reach"), 0);
}

/// Behind a 1:1 NAT and in a container no interface has an address that peers can reach.
pub(crate) async fn unadvertised() {
    let node = Node::start(&[PUBLIC, "heads.count=2"]).await.unwrap();
    assert_eq!(told(&node, "heads advertise no address"), 1, "{}", node.home().log());
    assert_eq!(told(&node, "Set heads.announce_only to"), 1);
    assert_eq!(node.metrics().await.unwrap().sum("hydra_heads_unadvertised", &[]), 2.0);
    let ready = node.page("/readyz?verbose").await.unwrap();
    assert!(ready.body.contains("[!]reachability: 2 heads advertise no address"), "{}", ready.body);
    assert!(node.stop().await.unwrap().success());
    let announce = "heads.announce_only=[\"/ip4/1.2.3.4/tcp/0\"]";
    let node = Node::start(&[PUBLIC, "heads.count=2", announce]).await.unwrap();
    assert_eq!(told(&node, "heads advertise no address"), 0, "{}", node.home().log());
}
