//! The addresses that the heads advertise: identify and answers have the same ones (row Q8 of the protocol's requirements).

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use hydra_integration_tests::network::{PROTOCOL, near};
use hydra_integration_tests::node::{Head, Node};
use hydra_integration_tests::peer::{Peer, parted};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

const OUTSIDE: &str = "/ip4/1.2.3.4/tcp/0";
const OUTSIDE_QUIC: &str = "/ip6/2606:4700::1/udp/0/quic-v1";
const NAMED: &str = "/dns4/node.example.com/tcp/4001";
const PUBLIC: &str = "network.addresses=\"public\"";

/// The address with the head's own port in the place of port 0.
fn of_head(head: &Head, address: &str) -> Multiaddr {
    let port =
        head.tcp().iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    let own = |part| match part {
        Protocol::Tcp(0) => Protocol::Tcp(port.unwrap()),
        Protocol::Udp(0) => Protocol::Udp(port.unwrap()),
        other => other,
    };
    address.parse::<Multiaddr>().unwrap().iter().map(own).collect()
}

/// The addresses on which the head listens, which are on loopback.
fn listening(head: &Head) -> Vec<Multiaddr> {
    head.addresses.iter().map(|address| parted(address).1).collect()
}

fn sorted(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    addresses.sort();
    addresses
}

/// Asserts that every head advertises these addresses and no others: in identify, in answers about peers near it, and in
/// answers about the head itself.
async fn advertise(settings: &[&str], wanted: impl Fn(&Head) -> Vec<Multiaddr>) {
    let node = Node::start(&[settings, &["heads.count=2"]].concat()).await.unwrap();
    let [one, other] = node.heads() else { panic!("two heads") };
    for (head, asked) in [(one, other), (other, one)] {
        let wanted = sorted(wanted(head));
        let client = Peer::client(PROTOCOL);
        let itself = client.find_node(head.tcp(), &head.peer.to_bytes()).await.unwrap().closer;
        assert_eq!(client.identified_at(&head.peer).await, wanted, "identify");
        let closer = client.find_node(asked.tcp(), &near(&head.peer)).await.unwrap().closer;
        for (answer, what) in [(itself, "the head itself"), (closer, "a peer near the head")] {
            let listed = answer.into_iter().find(|peer| peer.peer == head.peer);
            let told = listed.map(|peer| sorted(peer.addresses)).unwrap_or_default();
            assert_eq!(told, wanted, "{what}");
        }
    }
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn announced_addresses_are_advertised_besides_those_of_the_listeners() {
    let announce = format!("heads.announce=[\"{OUTSIDE}\", \"{NAMED}\"]");
    advertise(&[&announce], |head| {
        [vec![of_head(head, OUTSIDE), of_head(head, NAMED)], listening(head)].concat()
    })
    .await;
}

#[tokio::test]
async fn with_announce_only_nothing_else_is_advertised() {
    let announce = format!("heads.announce_only=[\"{OUTSIDE}\", \"{OUTSIDE_QUIC}\", \"{NAMED}\"]");
    advertise(&[&announce], |head| {
        [OUTSIDE, OUTSIDE_QUIC, NAMED].map(|address| of_head(head, address)).into()
    })
    .await;
}

#[tokio::test]
async fn ranges_that_are_never_announced_are_not_advertised_whoever_names_them() {
    let announce = format!("heads.announce=[\"{OUTSIDE}\", \"{OUTSIDE_QUIC}\", \"{NAMED}\"]");
    let never = |ranges: &str| format!("heads.never_announce={ranges}");
    advertise(&[&announce, &never("[\"127.0.0.0/8\", \"2606:4700::/32\"]")], |head| {
        [OUTSIDE, NAMED].map(|address| of_head(head, address)).into()
    })
    .await;
    advertise(&[&announce, &never("[\"1.2.0.0/16\", \"10.0.0.0/8\"]")], |head| {
        [vec![of_head(head, OUTSIDE_QUIC), of_head(head, NAMED)], listening(head)].concat()
    })
    .await;
    let only = announce.replace("announce", "announce_only");
    advertise(&[&only, &never("[\"0.0.0.0/0\"]")], |head| {
        [OUTSIDE_QUIC, NAMED].map(|address| of_head(head, address)).into()
    })
    .await;
    advertise(&[&never("[\"127.0.0.1/32\"]")], |_| Vec::new()).await;
}

#[tokio::test]
async fn q8_a_public_node_advertises_no_private_address_of_its_heads() {
    advertise(&[PUBLIC], |_| Vec::new()).await;
    let announce = format!("heads.announce=[\"{OUTSIDE}\", \"{NAMED}\"]");
    advertise(&[PUBLIC, &announce], |head| [OUTSIDE, NAMED].map(|address| of_head(head, address)).into())
        .await;
}

/// More addresses than an identify message has room for: the best ones are told there, and all of them in answers.
#[tokio::test]
async fn of_many_addresses_identify_has_the_best_ones() {
    let private: Vec<_> = (1..=40).map(|last| format!("\"/ip4/10.0.0.{last}/tcp/4001\"")).collect();
    let announce = format!("heads.announce=[{}, \"{OUTSIDE}\", \"{NAMED}\"]", private.join(", "));
    let node = Node::start(&["heads.count=1", &announce]).await.unwrap();
    let head = &node.heads()[0];
    let client = Peer::client(PROTOCOL);
    let answer = client.find_node(head.tcp(), &head.peer.to_bytes()).await.unwrap();
    assert_eq!(answer.closer[0].addresses.len(), 40 + 2 + listening(head).len());
    let told = client.identified_at(&head.peer).await;
    assert_eq!(told.len(), 20, "{told:?}");
    for best in [OUTSIDE, NAMED] {
        assert!(told.contains(&of_head(head, best)), "{best} is missing: {told:?}");
    }
}
