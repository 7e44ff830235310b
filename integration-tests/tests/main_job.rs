//! What hydra is for: a record stored at one head is found at another, and is still there after a restart.

use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const KEY: &[u8] = b"\x12\x20thirty-two bytes for a digest ok";

#[tokio::test]
async fn a_record_is_found_at_every_head_and_after_a_restart() {
    let home = Home::new().unwrap();
    let node = Node::start_in(&home, &[]).await.unwrap();
    let heads = node.heads().to_vec();
    assert_eq!(heads.len(), 3);
    let provider = Peer::listening(PROTOCOL).await;
    provider.provide(heads[0].tcp(), KEY, &provider.addresses).await.unwrap();

    let client = Peer::client(PROTOCOL);
    for address in heads.iter().flat_map(|head| [head.tcp(), head.quic()]) {
        let answer =
            client.providers_until(address, KEY, |answer| !answer.providers.is_empty()).await.unwrap();
        let found: Vec<_> =
            answer.providers.iter().map(|found| (found.peer, found.addresses.clone())).collect();
        assert_eq!(found, [(provider.id, provider.addresses.clone())], "{address}");
    }

    assert!(node.stop().await.unwrap().success());
    let node = Node::start_in(&home, &[]).await.unwrap();
    assert_eq!(node.heads(), heads, "the same ids at the same ports");
    let answer = client.providers(node.heads()[2].tcp(), KEY).await.unwrap();
    assert_eq!(answer.providers.len(), 1, "{}", home.log());
}
