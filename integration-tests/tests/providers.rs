//! ADD_PROVIDER and GET_PROVIDERS on a whole node (rows V1 to V20 of the protocol's requirements).

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use cid::Cid;
use cid::multihash::Multihash;
use hydra_ids_balanced::{Seed, derive_all};
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Head, Node, program};
use hydra_integration_tests::peer::{Peer, Setup, parted};
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::{Answer, Request};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

const PUBLIC: &str = "/ip4/1.2.3.4/tcp/4001";
const PRIVATE: &str = "/ip4/10.1.2.3/tcp/4001";
/// What a stranger in an announcement is said to provide at.
const LIE: &str = "/ip4/6.6.6.6/tcp/666";

/// A sha2-256 multihash.
fn multihash(number: u8) -> Vec<u8> {
    [&[0x12, 0x20], [number; 32].as_slice()].concat()
}

/// A multihash of this many bytes, of a function that hydra knows nothing of.
fn long_multihash(len: u8) -> Vec<u8> {
    [&[0x22, len - 2], vec![7; usize::from(len) - 2].as_slice()].concat()
}

fn add(key: &[u8], providers: Vec<hydra_kad::Peer>) -> Request {
    Request::AddProvider { key: key.to_vec().into(), providers }
}

fn get(key: &[u8]) -> Request {
    Request::GetProviders { key: key.to_vec().into() }
}

fn find() -> Request {
    Request::FindNode { key: b"anything".as_slice().into() }
}

fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn found(answer: &Answer) -> HashSet<PeerId> {
    answer.providers.iter().map(|provider| provider.peer).collect()
}

fn any(answer: &Answer) -> bool {
    !answer.providers.is_empty()
}

/// Sends an announcement of the sender itself, and tells whether the stream is served on afterwards.
async fn is_taken(head: &Head, key: &[u8], providers: impl FnOnce(PeerId) -> Vec<hydra_kad::Peer>) -> bool {
    let raw = RawPeer::new(PROTOCOL);
    let mut stream = raw.stream(head.tcp()).await.unwrap();
    stream.send(&add(key, providers(raw.id))).await.unwrap();
    // A reset may come before the next request is written, or after.
    let next = stream.ask(&find()).await;
    if next.is_err() {
        assert!(stream.is_reset().await.unwrap());
    }
    next.is_ok()
}

fn itself(at: &str) -> impl FnOnce(PeerId) -> Vec<hydra_kad::Peer> {
    let at = addresses(&[at]);
    move |id| vec![hydra_kad::Peer::new(&id, &at)]
}

/// Announces a key in the name of so many new peers.
async fn announced_by(count: usize, head: &Head, key: &[u8], at: &[Multiaddr]) -> Vec<Peer> {
    let mut providers = Vec::new();
    for _ in 0..count {
        let provider = Peer::client(PROTOCOL);
        provider.provide(head.tcp(), key, at).await.unwrap();
        providers.push(provider);
    }
    providers
}

#[tokio::test]
async fn v1_keys_have_1_to_80_bytes() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = &node.heads()[0];
    for (key, taken) in [(long_multihash(80), true), (long_multihash(81), false), (Vec::new(), false)] {
        assert_eq!(is_taken(head, &key, itself(PUBLIC)).await, taken, "ADD, {} bytes", key.len());
        let mut stream = RawPeer::new(PROTOCOL).stream(head.tcp()).await.unwrap();
        stream.send(&get(&key)).await.unwrap();
        match taken {
            true => drop(stream.frame().await.unwrap()),
            false => assert!(stream.is_reset().await.unwrap(), "GET, {} bytes", key.len()),
        }
    }
    let client = Peer::client(PROTOCOL);
    let answer = client.providers_until(head.tcp(), &long_multihash(80), any).await.unwrap();
    assert_eq!(answer.providers.len(), 1);
}

#[tokio::test]
async fn v2_only_the_sender_itself_is_stored() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let provider = Peer::client(PROTOCOL);
    let lie = addresses(&[LIE]);
    let strangers = (0..5).map(|_| hydra_kad::Peer::new(&PeerId::random(), &lie));
    let mut providers: Vec<_> = strangers.collect();
    providers.insert(2, hydra_kad::Peer::new(&provider.id, &addresses(&[PUBLIC])));
    provider.ask(head, add(&multihash(1), providers)).await.unwrap();
    let answer = provider.providers_until(head, &multihash(1), any).await.unwrap();
    assert_eq!(found(&answer), [provider.id].into());
    assert_eq!(answer.providers[0].addresses, addresses(&[PUBLIC]));
}

#[tokio::test]
async fn v3_a_provider_behind_a_relay_is_kept_and_one_without_a_readable_address_is_not() {
    let node = Node::start(&["heads.count=1", "network.addresses=\"public\""]).await.unwrap();
    let head = &node.heads()[0];
    let relayed = format!("{PRIVATE}/p2p/{}/p2p-circuit", PeerId::random());
    let provider = Peer::client(PROTOCOL);
    provider.provide(head.tcp(), &multihash(1), &addresses(&[&relayed])).await.unwrap();
    let answer = provider.providers_until(head.tcp(), &multihash(1), any).await.unwrap();
    assert_eq!(found(&answer), [provider.id].into(), "the filter runs after the check");
    assert!(answer.providers[0].addresses.is_empty(), "and what it refuses is not told");

    for unreadable in [b"\xff\xff\xff".as_slice(), b""] {
        let record = |id: PeerId| hydra_kad::Peer {
            id: id.to_bytes().into(),
            addresses: vec![unreadable.into()],
            ..hydra_kad::Peer::default()
        };
        assert!(!is_taken(head, &multihash(2), |id| vec![record(id)]).await, "{unreadable:?}");
    }
}

#[tokio::test]
async fn v4_an_announcement_without_a_valid_provider_is_reset() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = &node.heads()[0];
    assert!(!is_taken(head, &multihash(1), |_| Vec::new()).await, "nobody");
    let stranger = |_| vec![hydra_kad::Peer::new(&PeerId::random(), &addresses(&[LIE]))];
    assert!(!is_taken(head, &multihash(1), stranger).await, "a stranger");
    assert!(
        !is_taken(head, &multihash(1), |id| vec![hydra_kad::Peer::new(&id, [])]).await,
        "without address"
    );
    assert!(is_taken(head, &multihash(1), itself(PUBLIC)).await, "the sender");
}

#[tokio::test]
async fn v5_an_announcement_is_not_answered_and_the_stream_goes_on() {
    let node = Node::start(&[]).await.unwrap();
    let raw = RawPeer::new(PROTOCOL);
    let mut stream = raw.stream(node.heads()[0].tcp()).await.unwrap();
    let announcement = add(&multihash(1), vec![hydra_kad::Peer::new(&raw.id, &addresses(&[PUBLIC]))]);
    for request in [&announcement, &find(), &announcement, &get(&multihash(1))] {
        stream.send(request).await.unwrap();
    }
    // Type 4 is FIND_NODE, type 3 GET_PROVIDERS: nothing stands before or between them.
    for kind in [4, 3] {
        assert_eq!(stream.frame().await.unwrap()[..2], [0x08, kind]);
    }
    stream.close().await.unwrap();
    let (rest, _) = stream.end().await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn v7_any_key_is_looked_for_and_multihashes_alone_are_announced_unless_told_otherwise() {
    let name = b"no multihash";
    for (setting, taken) in [("multihash", false), ("any", true)] {
        let setting = format!("engine.announced_keys=\"{setting}\"");
        let node = Node::start(&["heads.count=1", &setting]).await.unwrap();
        let head = &node.heads()[0];
        assert!(Peer::client(PROTOCOL).providers(head.tcp(), name).await.is_ok());
        assert_eq!(is_taken(head, name, itself(PUBLIC)).await, taken, "{setting}");
        assert!(is_taken(head, &multihash(1), itself(PUBLIC)).await, "{setting}");
    }
}

#[tokio::test]
async fn v8_both_cid_versions_of_one_multihash_share_their_providers() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = node.heads()[0].tcp().to_string();
    let hash = Multihash::<64>::wrap(0x12, &[8; 32]).unwrap();
    let (raw, cid_v0) = (0x55, Cid::new_v0(hash).unwrap());
    let ask = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(program().unwrap());
        command.arg("ask").args(args).args(["--peer", &head, "--json"]).current_dir(node.home().path());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"HYDRA_"))
        {
            command.env_remove(name);
        }
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let provider = ask(&["provide", &cid_v0.to_string()]).await["peer"].clone();
    for cid in [cid_v0.to_string(), Cid::new_v1(raw, hash).to_string()] {
        let answer = ask(&["providers", &cid]).await;
        assert_eq!(answer["providers"][0]["peer"], provider, "{cid}: {answer}");
    }
}

#[tokio::test]
async fn v9_announcing_again_adds_no_second_record() {
    let node = Node::start(&[]).await.unwrap();
    let provider = Peer::client(PROTOCOL);
    for (head, at) in node.heads().iter().zip([LIE, PRIVATE, PUBLIC]) {
        provider.provide(head.tcp(), &multihash(1), &addresses(&[at])).await.unwrap();
        let newest = |answer: &Answer| any(answer) && answer.providers[0].addresses == addresses(&[at]);
        let answer = provider.providers_until(head.tcp(), &multihash(1), newest).await.unwrap();
        assert!(newest(&answer), "{at}");
        assert_eq!(answer.providers.len(), 1);
    }
}

#[tokio::test]
async fn v12_an_answer_has_closer_peers_with_providers_and_without() {
    let node = Node::start(&[]).await.unwrap();
    let head = node.heads()[0].tcp();
    let provider = Peer::client(PROTOCOL);
    let none = provider.providers(head, &multihash(1)).await.unwrap();
    assert_eq!((none.providers.len(), none.closer.len()), (0, 2));
    provider.provide(head, &multihash(1), &addresses(&[PUBLIC])).await.unwrap();
    let some = provider.providers_until(head, &multihash(1), any).await.unwrap();
    assert_eq!((some.providers.len(), some.closer.len()), (1, 2));
}

#[tokio::test]
async fn v13_closer_peers_come_first_then_whole_providers_while_they_fit() {
    const FRAME_MAX: usize = 16_384;
    let node = Node::start(&["kad.frame_bytes_max=16384", "kad.small_answers=\"never\""]).await.unwrap();
    let head = node.heads()[0].tcp();
    // Twelve records of some two kilobytes each.
    let at: Vec<_> = (0..30).map(|number| format!("/dns4/{number:050}.example.com/tcp/4001")).collect();
    let at = addresses(&at.iter().map(String::as_str).collect::<Vec<_>>());
    let _providers = announced_by(12, &node.heads()[0], &multihash(1), &at).await;
    let client = Peer::client(PROTOCOL);
    client.providers_until(head, &multihash(1), |answer| answer.providers.len() >= 6).await.unwrap();
    let mut stream = RawPeer::new(PROTOCOL).stream(head).await.unwrap();
    for _ in 0..5 {
        stream.send(&get(&multihash(1))).await.unwrap();
        let frame = stream.frame().await.unwrap();
        assert!(frame.len() <= FRAME_MAX, "{} bytes", frame.len());
        let limits = hydra_kad::Limits::default();
        let answer = Answer::decode(frame.into(), hydra_kad::Kind::GetProviders, &limits).unwrap();
        assert_eq!(answer.closer.len(), 2, "all closer peers");
        assert!((6..12).contains(&answer.providers.len()), "{} providers", answer.providers.len());
        assert!(answer.providers.iter().all(|provider| provider.addresses == at), "each is whole");
    }
}

#[tokio::test]
async fn v14_each_answer_begins_with_other_providers() {
    let node = Node::start(&["heads.count=1"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let client = Peer::client(PROTOCOL);
    let _providers = announced_by(8, &node.heads()[0], &multihash(1), &addresses(&[PUBLIC])).await;
    client.providers_until(head, &multihash(1), |answer| answer.providers.len() == 8).await.unwrap();
    let mut orders = BTreeSet::new();
    for _ in 0..10 {
        let answer = client.providers(head, &multihash(1)).await.unwrap();
        assert_eq!(found(&answer).len(), 8);
        orders.insert(answer.providers.iter().map(|provider| provider.peer).collect::<Vec<_>>());
    }
    assert!(orders.len() >= 2);
}

#[tokio::test]
async fn v15_when_the_store_fails_closer_peers_are_answered() {
    let node = Node::start(&["store.kind=\"failing\"", "store.per_mille=1000"]).await.unwrap();
    let head = &node.heads()[0];
    let client = Peer::client(PROTOCOL);
    for _ in 0..20 {
        let answer = client.providers(head.tcp(), &multihash(1)).await.unwrap();
        assert_eq!((answer.providers.len(), answer.closer.len()), (0, 2));
    }
    assert!(is_taken(head, &multihash(1), itself(PUBLIC)).await, "nor is an announcement reset");
}

#[tokio::test]
async fn v16_a_public_node_tells_public_addresses_of_providers_and_8_kib_at_most() {
    let node = Node::start(&["heads.count=1", "network.addresses=\"public\""]).await.unwrap();
    let head = node.heads()[0].tcp();
    let provider = Peer::client(PROTOCOL);
    let told = addresses(&["/ip4/127.0.0.1/tcp/1", PUBLIC, PRIVATE, "/ip6/fe80::1/tcp/1"]);
    provider.provide(head, &multihash(1), &told).await.unwrap();
    let answer = provider.providers_until(head, &multihash(1), any).await.unwrap();
    assert_eq!(answer.providers[0].addresses, addresses(&[PUBLIC]));

    let long: Vec<_> = (0..60).map(|number| format!("/dns4/{number:0>240}.example.com/tcp/4001")).collect();
    let long = addresses(&long.iter().map(String::as_str).collect::<Vec<_>>());
    provider.provide(head, &multihash(2), &long).await.unwrap();
    let answer = provider.providers_until(head, &multihash(2), any).await.unwrap();
    let kept = &answer.providers[0].addresses;
    let bytes: usize = kept.iter().map(Multiaddr::len).sum();
    assert!((6_000..=8_192).contains(&bytes), "{bytes} bytes");
    assert_eq!(kept[..], long[..kept.len()], "the first ones, whole");
}

#[tokio::test]
async fn v16_special_names_and_numbers_as_names_are_not_told_and_no_address_twice() {
    let node = Node::start(&["heads.count=1", "network.addresses=\"public\""]).await.unwrap();
    let head = node.heads()[0].tcp();
    let provider = Peer::client(PROTOCOL);
    let own = format!("{PUBLIC}/p2p/{}", provider.id);
    let others = format!("/ip4/1.2.3.5/tcp/1/p2p/{}", PeerId::random());
    let webtransport = "/ip4/1.2.3.4/udp/4001/quic-v1/webtransport";
    let told = [
        "/dns4/LOCALHOST/tcp/1",
        "/dns4/localhost./tcp/1",
        "/dns4/a.home.arpa/tcp/1",
        "/dns4/a.test/tcp/1",
        "/dns4/10.0.0.1/tcp/1",
        PUBLIC,
        &own,
        PUBLIC,
        &others,
        webtransport,
    ];
    provider.provide(head, &multihash(1), &addresses(&told)).await.unwrap();
    let answer = provider.providers_until(head, &multihash(1), any).await.unwrap();
    assert_eq!(answer.providers[0].addresses, addresses(&[PUBLIC, webtransport]));
}

/// Addresses as real nodes tell them, with codes that are rarely seen and ones that nobody knows.
#[tokio::test]
async fn v16_rare_addresses_pass_byte_for_byte_and_unknown_ones_cost_themselves_alone() {
    let node = Node::start(&["heads.count=1", "network.addresses=\"public\""]).await.unwrap();
    let head = node.heads()[0].tcp();
    let provider = Peer::client(PROTOCOL);
    let hash = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g";
    let rare = [
        "/ip4/1.2.3.4/udp/4001/quic".to_owned(),
        format!("/ip4/1.2.3.4/udp/4001/quic-v1/webtransport/certhash/{hash}"),
        format!("/ip4/1.2.3.4/udp/4001/webrtc-direct/certhash/{hash}"),
        "/dns4/example.com/tcp/443/tls/sni/example.com/ws".to_owned(),
        "/dns4/example.com/tcp/443/tls/http/http-path/a%2fb".to_owned(),
    ];
    let rare: Vec<Multiaddr> = rare.iter().map(|text| text.parse().unwrap()).collect();
    let mut told: Vec<bytes::Bytes> = rare.iter().map(|address| address.to_vec().into()).collect();
    // A code that is in no table, after a host, and alone.
    told.insert(1, [&addresses(&[PUBLIC])[0].to_vec()[..], &[0xff, 0xff, 0x7f]].concat().into());
    told.insert(0, vec![0xff, 0xff, 0x7f, 1].into());
    let provide = |id: PeerId| {
        vec![hydra_kad::Peer {
            id: id.to_bytes().into(),
            addresses: told.clone(),
            ..hydra_kad::Peer::default()
        }]
    };
    provider.ask(head, add(&multihash(1), provide(provider.id))).await.unwrap();
    let answer = provider.providers_until(head, &multihash(1), any).await.unwrap();
    let kept = answer.providers[0].addresses.iter().map(Multiaddr::to_vec).collect::<HashSet<_>>();
    assert_eq!(kept, rare.iter().map(Multiaddr::to_vec).collect());
}

#[tokio::test]
async fn v18_of_another_head_the_node_tells_the_addresses_itself() {
    let node = Node::start(&[]).await.unwrap();
    let [head, other, _] = node.heads() else { panic!("three heads") };
    let seed = std::fs::read_to_string(node.home().path().join("hydra-data/seed")).unwrap();
    let identity = derive_all(&Seed::parse(&seed).unwrap(), &[1], &|_| ())[0].identity.clone();
    let key = Keypair::ed25519_from_bytes(*identity.ed25519_seed()).unwrap();
    let double = Setup { key, ..Setup::new(PROTOCOL) }.start().await;
    assert_eq!(double.id, other.peer);
    double.provide(head.tcp(), &multihash(1), &addresses(&[LIE])).await.unwrap();
    let client = Peer::client(PROTOCOL);
    let answer = client.providers_until(head.tcp(), &multihash(1), any).await.unwrap();
    assert_eq!(answer.providers[0].peer, other.peer);
    let told: HashSet<_> = answer.providers[0].addresses.iter().cloned().collect();
    assert_eq!(told, other.addresses.iter().map(|address| parted(address).1).collect());
    let closer = client.find_node(head.tcp(), b"anything").await.unwrap().closer;
    assert!(closer.iter().any(|peer| peer.peer == other.peer), "it is still a head: {closer:?}");
}

#[tokio::test]
async fn what_was_taken_is_found_at_every_head_before_it_is_written() {
    let node =
        Node::start(&["engine.flush_interval_ms=10000", "engine.flush_interval_min_ms=10000"]).await.unwrap();
    let provider = Peer::client(PROTOCOL);
    let client = Peer::client(PROTOCOL);
    // Asked for before, so that it is cached as absent.
    assert!(!any(&client.providers(node.heads()[1].tcp(), &multihash(1)).await.unwrap()));
    provider.provide(node.heads()[0].tcp(), &multihash(1), &addresses(&[PUBLIC])).await.unwrap();
    for head in node.heads() {
        let answer = client.providers_until(head.tcp(), &multihash(1), any).await.unwrap();
        assert_eq!(found(&answer), HashSet::from([provider.id]));
    }
    assert_eq!(node.metrics().await.unwrap().sum("hydra_records_written_total", &[]), 0.0);
}

#[tokio::test]
async fn v19_a_full_key_refuses_new_providers_and_refreshes_known_ones() {
    for kind in ["memory", "fjall"] {
        let settings = [format!("store.kind=\"{kind}\""), "store.providers_per_key_max=16".to_owned()];
        let node = Node::start(&["heads.count=1", &settings[0], &settings[1]]).await.unwrap();
        let head = node.heads()[0].tcp();
        let client = Peer::client(PROTOCOL);
        let known = announced_by(16, &node.heads()[0], &multihash(1), &addresses(&[LIE])).await;
        client.providers_until(head, &multihash(1), |answer| answer.providers.len() == 16).await.unwrap();
        // They are told of before they are written, and the store takes who comes first in its batch.
        while node.metrics().await.unwrap().sum("hydra_records_written_total", &[]) < 16.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let late = Peer::client(PROTOCOL);
        late.provide(head, &multihash(1), &addresses(&[PUBLIC])).await.unwrap();
        known[0].provide(head, &multihash(1), &addresses(&[PUBLIC])).await.unwrap();
        let refreshed = |answer: &Answer| {
            let mut providers = answer.providers.iter();
            providers.any(|one| one.peer == known[0].id && one.addresses == addresses(&[PUBLIC]))
        };
        // Whoever was refused is told of until the refusal of the store is known.
        let all: HashSet<_> = known.iter().map(|peer| peer.id).collect();
        let settled = |answer: &Answer| refreshed(answer) && found(answer) == all;
        let answer = client.providers_until(head, &multihash(1), settled).await.unwrap();
        assert!(settled(&answer), "{kind}: {:?}", found(&answer));
    }
}

#[tokio::test]
async fn v20_identity_multihashes_and_overlong_digests_are_refused() {
    let node = Node::start(&[]).await.unwrap();
    let head = &node.heads()[0];
    let inlined = [&[0x00, 0x04], b"text".as_slice()].concat();
    let overlong = [&[0x12, 0x21], [7; 33].as_slice()].concat();
    assert!(!is_taken(head, &inlined, itself(PUBLIC)).await);
    assert!(!is_taken(head, &overlong, itself(PUBLIC)).await);
    let client = Peer::client(PROTOCOL);
    for key in [inlined, overlong] {
        let answer = client.providers(head.tcp(), &key).await.unwrap();
        assert_eq!((answer.providers.len(), answer.closer.len()), (0, 2), "there is nothing to find");
    }
}
