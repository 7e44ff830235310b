//! A denylist at a running node, as a stock libp2p-kad client sees it.

use cid::Cid;
use cid::multibase::Base;
use hydra_integration_tests::foreign::rust;
use hydra_integration_tests::names::{Name, put};
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Setup;
use libp2p::multihash::Multihash;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
/// Codec of the listed CID; the rule holds whatever the codec.
const DAG_PB: u64 = 0x70;
/// Codec of a name.
const LIBP2P_KEY: u64 = 0x72;

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

/// A rule on `/ipns/` is about the records of the name, whichever of its texts the list has: base36, as nopfs and Kubo write it, or
/// base58.
#[tokio::test]
async fn a_name_that_is_listed_is_neither_kept_nor_told_until_the_list_changes() {
    let home = Home::new().unwrap();
    let list = home.path().join("own.deny");
    let [base36, base58, allowed] = [(); 3].map(|()| Name::default());
    let hash = |name: &Name| Multihash::<64>::from_bytes(&name.key()[b"/ipns/".len()..]).unwrap();
    let of_base36 = Cid::new_v1(LIBP2P_KEY, hash(&base36)).to_string_of_base(Base::Base36Lower).unwrap();
    let of_base58 = libp2p::PeerId::from_multihash(hash(&base58)).unwrap();
    assert!(of_base36.starts_with("k51"), "{of_base36}");
    std::fs::write(&list, format!("/ipns/{of_base36}\n/ipns/{of_base58}/*\n")).unwrap();
    let admission =
        format!("admission=[{{kind=\"denylist\", files=[\"{}\"], reload_interval_s=1}}]", list.display());
    let node = Node::start_in(&home, &["heads.count=2", &admission]).await.unwrap();
    let client = Setup { agent: Some("kubo/0.43.0/"), ..Setup::new(PROTOCOL) }.start().await;
    let head = node.heads()[0].tcp();
    let ask = async |request| client.ask(head, request).await.unwrap();
    let is_stored = |answer: hydra_kad::Answer| answer.record.is_some_and(|record| !record.value.is_empty());

    for name in [&base36, &base58, &allowed] {
        let is_allowed = std::ptr::eq(name, &allowed);
        let record = name.record(1).unwrap();
        let put = ask(put(&name.key(), &record)).await;
        assert_eq!(
            is_stored(put),
            is_allowed,
            "the answer to a put of what is listed has a record without a value"
        );
        let found = ask(name.get()).await;
        assert_eq!(found.record.is_some(), is_allowed);
        assert!(!found.closer.is_empty(), "a decline still tells closer peers");
    }
    let metrics = node.metrics().await.unwrap();
    assert_eq!(
        metrics.sum("hydra_value_signature_checks_total", &[]),
        1.0,
        "it is judged before its signature"
    );

    std::fs::write(&list, "# nothing any more\n").unwrap();
    for _ in 0..60 {
        if is_stored(ask(put(&base36.key(), &base36.record(2).unwrap())).await) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(ask(base36.get()).await.record.is_some(), "what is listed no more is kept; {}", home.log());
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
