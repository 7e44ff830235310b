//! What a head says of itself and how it is reached (rows N1 to N3 of the protocol's requirements), and the requests
//! that are not about content (U13, and values until they are kept).

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::{Peer, Security, Setup};
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::{AskError, Record, Request};
use std::io::ErrorKind;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const BASE: [&str; 3] = ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"];

fn serves(told: &[String]) -> bool {
    told.iter().any(|protocol| protocol == PROTOCOL)
}

#[tokio::test]
async fn n1_identify_lists_exactly_the_configured_protocols() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let other = Node::start(&["heads.count=1", "network.protocol=\"/other/kad/1.0.0\""]).await.unwrap();
    for (node, protocol) in [(&node, PROTOCOL), (&other, "/other/kad/1.0.0")] {
        let head = &node.heads()[0];
        let client = Peer::client(protocol);
        client.find_node(head.tcp(), b"anything").await.unwrap();
        let mut expected = BASE.map(str::to_owned).to_vec();
        expected.push(protocol.to_owned());
        expected.sort();
        assert_eq!(client.protocols_until(&head.peer, |told| !told.is_empty()).await, expected);
    }
    let stranger = Peer::client("/other/kad/1.0.0");
    let refused = stranger.find_node(node.heads()[0].tcp(), b"anything").await;
    assert_eq!(refused, Err(AskError::Unsupported), "two networks do not speak to each other");
}

#[tokio::test]
async fn n1_a_draining_head_is_no_server_on_any_stream() {
    let node = Node::start(&["heads.count=1", "shutdown.drain_ms=15000"]).await.unwrap();
    let head = node.heads()[0].clone();
    let (client, raw) = (Peer::client(PROTOCOL), RawPeer::new(PROTOCOL));
    client.find_node(head.tcp(), b"anything").await.unwrap();
    assert!(serves(&client.protocols_until(&head.peer, serves).await));
    let connection = raw.connect(head.tcp()).await.unwrap();
    let mut open = raw.open(connection).await.unwrap();
    let request = Request::FindNode { key: b"anything".as_slice().into() };
    open.ask(&request).await.unwrap();

    node.terminate().await.unwrap();
    let told = client.protocols_until(&head.peer, |told| !serves(told)).await;
    assert_eq!(told, BASE, "it tells by itself that it serves no more");
    let refused = raw.open(connection).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(open.ask(&request).await.is_err(), "whoever gets an answer takes it for a server");
    drop(open);
    assert!(node.ended().await.unwrap().success());
}

#[tokio::test]
async fn n2_every_head_answers_pings() {
    let node = Node::start(&[]).await.unwrap();
    for head in node.heads() {
        for address in [head.tcp(), head.quic()] {
            let client = Peer::client(PROTOCOL);
            client.find_node(address, b"anything").await.unwrap();
            assert!(client.is_pinged(&head.peer).await, "{address}");
        }
    }
}

#[tokio::test]
async fn n3_every_head_takes_noise_and_tls_over_tcp_and_quic_v1() {
    let node = Node::start(&[]).await.unwrap();
    for head in node.heads() {
        for security in [Security::Noise, Security::Tls] {
            let client = Setup { security, ..Setup::new(PROTOCOL) }.start().await;
            client.find_node(head.tcp(), b"anything").await.unwrap();
        }
        assert!(head.quic().to_string().contains("/quic-v1/"));
        Peer::client(PROTOCOL).find_node(head.quic(), b"anything").await.unwrap();
    }
}

#[tokio::test]
async fn u13_a_dht_ping_is_echoed_without_peers() {
    let node = Node::start(&[]).await.unwrap();
    let answer = Peer::client(PROTOCOL)
        .ask(node.heads()[0].tcp(), Request::Ping { key: b"echo".as_slice().into() })
        .await
        .unwrap();
    assert_eq!((answer.closer, answer.providers, answer.record), (vec![], vec![], None));
}

#[tokio::test]
async fn u2_values_are_refused_and_not_found_while_none_are_kept() {
    let node = Node::start(&[]).await.unwrap();
    let (client, head) = (Peer::client(PROTOCOL), &node.heads()[0]);
    let key: Vec<u8> = [b"/pk/".as_slice(), &head.peer.to_bytes()].concat();
    let record = Record { key: key.clone().into(), value: b"value".as_slice().into(), ..Record::default() };
    let put = Request::PutValue { key: key.clone().into(), record: Some(record) };
    assert_eq!(client.ask(head.tcp(), put).await, Err(AskError::Reset));
    let answer = client.ask(head.tcp(), Request::GetValue { key: key.into() }).await.unwrap();
    assert_eq!(answer.record, None);
    assert_eq!(answer.closer.len(), 2, "the other heads");
}
