//! Servers whose identify message is long: a go node with many addresses sends 5 kB and more in one piece.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use hydra_integration_tests::network::{PROTOCOL, listed_until};
use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::Peer;
use hydra_integration_tests::raw::framed;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::Control;
use std::time::Duration;

const AGENT: u8 = 6;
const LISTEN_ADDRESS: u8 = 2;
const SPOKEN: u8 = 3;
/// FIND_NODE, and nobody closer.
const ANSWER: [u8; 2] = [0x08, 0x04];

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &framed(value)[..]].concat()
}

/// What such a server says of itself.
fn message(address: &Multiaddr) -> Vec<u8> {
    let hash = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g";
    let others = (10_000..10_120u16)
        .map(|port| format!("/ip4/127.0.0.1/udp/{port}/quic-v1/webtransport/certhash/{hash}"));
    let others = others.flat_map(|text| field(LISTEN_ADDRESS, &text.parse::<Multiaddr>().unwrap().to_vec()));
    let fields = [
        field(LISTEN_ADDRESS, &address.to_vec()),
        others.collect(),
        field(SPOKEN, PROTOCOL.as_bytes()),
        field(AGENT, b"kubo/0.43.1"),
    ];
    fields.concat()
}

/// Answers every stream of a protocol with these bytes, after a request where there is one.
fn answer(control: &mut Control, protocol: &'static str, bytes: Vec<u8>, requested: bool) {
    let mut streams = control.accept(StreamProtocol::new(protocol)).unwrap();
    tokio::spawn(async move {
        while let Some((_, mut stream)) = streams.next().await {
            if requested {
                drop(stream.read(&mut [0; 1024]).await);
            }
            drop(stream.write_all(&bytes).await);
            drop(stream.close().await);
        }
    });
}

#[tokio::test]
async fn a_server_with_a_long_identify_message_enters_the_table() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = node.heads()[0].tcp().clone();
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let id = *swarm.local_peer_id();
    swarm.listen_on(Multiaddr::from(std::net::Ipv4Addr::LOCALHOST).with(Protocol::Tcp(0))).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let message = message(&address);
    assert!(message.len() > 5_800, "{} bytes", message.len());
    let mut control = swarm.behaviour().new_control();
    answer(&mut control, "/ipfs/id/1.0.0", framed(&message), false);
    answer(&mut control, PROTOCOL, framed(&ANSWER), true);
    swarm.dial(head.clone()).unwrap();
    let task = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let listed = listed_until(&Peer::client(PROTOCOL), &head, &id, |listed| listed.is_some()).await;
    let listed = listed.expect("it has entered the table");
    assert!(listed.addresses.contains(&address), "{:?}", listed.addresses);
    task.abort();
}
