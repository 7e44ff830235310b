//! A denylist at a running node, as a stock libp2p-kad client sees it.

use cid::Cid;
use hydra_integration_tests::foreign::rust;
use hydra_integration_tests::node::{Home, Node};
use libp2p::multihash::Multihash;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
/// Codec of the listed CID; the rule holds whatever the codec.
const DAG_PB: u64 = 0x70;

#[tokio::test]
async fn what_is_listed_is_neither_kept_nor_told_until_the_list_changes() {
    let home = Home::new().unwrap();
    let list = home.path().join("own.deny");
    let [denied, allowed] = [1, 2].map(|byte| Multihash::<64>::wrap(0x12, &[byte; 32]).unwrap());
    std::fs::write(&list, format!("/ipfs/{}\n", Cid::new_v1(DAG_PB, denied))).unwrap();
    let admission =
        format!("admission=[{{kind=\"denylist\", files=[\"{}\"], reload_interval_s=1}}]", list.display());
    let node = Node::start_in(&home, &[&admission, "engine.cache.fresh_absent_s=1"]).await.unwrap();
    let (one, other) = (node.heads()[0].tcp(), node.heads()[1].tcp());

    for hash in [denied, allowed] {
        rust::provide(one, PROTOCOL, &hash.to_bytes()).await.unwrap();
    }
    let found = until_found(async || rust::find(other, PROTOCOL, &allowed.to_bytes()).await.unwrap()).await;
    assert_eq!(found.providers.len(), 1, "what is not listed is found; {}", home.log());
    let found = rust::find(other, PROTOCOL, &denied.to_bytes()).await.unwrap();
    assert_eq!(found.providers, [], "what is listed is not told");
    assert!(!found.closest.is_empty(), "a decline still tells closer peers");

    std::fs::write(&list, "# nothing any more\n").unwrap();
    let found = until_found(async || {
        rust::provide(one, PROTOCOL, &denied.to_bytes()).await.unwrap();
        rust::find(other, PROTOCOL, &denied.to_bytes()).await.unwrap()
    });
    assert!(!found.await.providers.is_empty(), "what is listed no more is kept; {}", home.log());
}

/// Asks until there are providers, for what arrives later.
async fn until_found(ask: impl AsyncFn() -> rust::Found) -> rust::Found {
    for _ in 0..60 {
        let found = ask().await;
        if !found.providers.is_empty() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    ask().await
}
