//! Heads under leases that end: real heads in this process, and the allocator of a fleet between two nodes.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_api::Registry;
use hydra_conformance::doubles::{Fleet, LeasedIds, Link};
use hydra_integration_tests::http;
use hydra_integration_tests::peer::{Peer, parted};
use hydra_node::backends::Backends;
use hydra_node::config::{Setting, Sources, load};
use hydra_node::node::{HEADS_FILE, HeadLine, Node, StartError};
use libp2p::Multiaddr;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const TARGET: &[u8] = b"any target";
/// A renewal is due three times in it.
const LIFE: Duration = Duration::from_secs(3);

/// A node of a fleet in this process.
struct Member {
    node: Node,
    ids: Arc<LeasedIds>,
    home: tempfile::TempDir,
}

impl Member {
    async fn start(fleet: &Fleet, heads: u32) -> Self {
        Self::try_start(fleet, heads, None).await.unwrap()
    }

    /// The same with one more setting, which may keep the node from starting.
    async fn try_start(fleet: &Fleet, heads: u32, setting: Option<(&str, &str)>) -> Result<Self, StartError> {
        let home = tempfile::tempdir().unwrap();
        let heads = heads.to_string();
        let data_dir = home.path().join("data").display().to_string();
        let set = |(key, value): (&str, &str)| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            flag: "--set".to_owned(),
        };
        let settings = [
            ("heads.count", heads.as_str()),
            ("heads.listen", "[\"127.0.0.1\"]"),
            ("network.addresses", "any"),
            ("store.kind", "memory"),
            ("telemetry.http.listen", "127.0.0.1:0"),
            ("data_dir", &data_dir),
        ];
        let settings = settings.into_iter().chain(setting).map(set).collect();
        let sources = Sources { settings, ..Sources::default() };
        let mut registry = Registry::default();
        hydra_bundle::add_all(&mut registry);
        let loaded = load(&registry, &sources).unwrap();
        let ids = Arc::new(fleet.join());
        let backends = loaded.open(&registry).await.unwrap();
        let backends = Backends { ids: Arc::<LeasedIds>::clone(&ids), ..backends };
        let node = Node::start(loaded.config, backends).await?;
        Ok(Self { node, ids, home })
    }

    /// The slots whose heads are listed, by the node and by its file.
    fn slots(&self) -> (Vec<u32>, Vec<u32>) {
        let file = std::fs::read(self.home.path().join("data").join(HEADS_FILE)).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let slot = |head: &serde_json::Value| u32::try_from(head["slot"].as_u64().unwrap()).unwrap();
        let listed = self.node.heads().iter().map(|head| head.slot).collect();
        (listed, file.as_array().unwrap().iter().map(slot).collect())
    }

    async fn lists(&self, slots: &[u32]) {
        until(&format!("heads {slots:?} run"), async || self.slots() == (slots.into(), slots.into())).await;
    }

    async fn status(&self, path: &str) -> u16 {
        http::get(self.node.http().unwrap(), path, &[]).await.unwrap().status
    }
}

async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    for _ in 0..1200 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a minute has passed: {what}");
}

fn tcp(head: &HeadLine) -> Multiaddr {
    head.addresses.iter().find(|address| address.contains("/tcp/")).unwrap().parse().unwrap()
}

async fn answers(head: &Multiaddr) -> bool {
    Peer::client(PROTOCOL).find_node(head, TARGET).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_stop_when_no_renewal_is_proven_and_serve_again_when_one_is() {
    let fleet = Fleet::new(2, LIFE);
    let member = Member::start(&fleet, 2).await;
    let heads = member.node.heads();
    for head in &heads {
        assert!(answers(&tcp(head)).await);
    }
    // Longer than a life: they are renewed.
    tokio::time::sleep(LIFE + LIFE / 3).await;
    assert_eq!((member.status("/readyz").await, member.slots().0), (200, vec![0, 1]));

    member.ids.set_link(Link::Down);
    let asking = Peer::client(PROTOCOL);
    asking.find_node(&tcp(&heads[1]), TARGET).await.unwrap();
    member.lists(&[]).await;
    let ended = fleet.last(0).unwrap().ends;
    assert!(tokio::time::Instant::now() < ended + LIFE, "they stop about when the leases end");
    assert!(asking.find_node(&tcp(&heads[1]), TARGET).await.is_err(), "a connection from before is closed");
    assert!(!answers(&tcp(&heads[0])).await);
    assert_eq!(member.status("/readyz").await, 503);
    assert_eq!(member.status("/livez").await, 200, "it is the allocator that is at fault");
    assert_eq!(member.node.table().snapshot().servers().count(), 0, "no head is told to others");

    member.ids.set_link(Link::Up);
    member.lists(&[0, 1]).await;
    until("they listen", async || member.node.heads().iter().all(|head| !head.addresses.is_empty())).await;
    // On the same ports, unless another process took one meanwhile.
    for (head, before) in member.node.heads().iter().zip(&heads) {
        assert_eq!((head.slot, &head.peer), (before.slot, &before.peer));
        until("the head answers", async || answers(&tcp(head)).await).await;
    }
    until("it is ready", async || member.status("/readyz").await == 200).await;
    member.node.stop().await.unwrap();
    assert_eq!((fleet.holder(0), fleet.holder(1)), (None, None), "the leases are released");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_was_lost_is_served_by_the_process_that_has_it_now() {
    let fleet = Fleet::new(3, LIFE);
    let one = Member::start(&fleet, 2).await;
    let other = Member::start(&fleet, 1).await;
    assert_eq!((one.slots().0, other.slots().0), (vec![0, 1], vec![2]));
    let lost = one.node.heads()[0].clone();
    // What was taken away is not given out again before the head has ended.
    fleet.take_away(0);
    one.lists(&[1]).await;
    fleet.take_away(2);
    other.lists(&[]).await;
    one.ids.set_link(Link::Down);
    fleet.give_back(0);
    other.lists(&[0]).await;
    let head = other.node.heads()[0].clone();
    assert_eq!((head.slot, &head.peer), (0, &lost.peer), "the same identity");
    let address = tcp(&head);
    until("it answers", async || answers(&address).await).await;
    assert_eq!(parted(&address).0.to_string(), lost.peer);
    for member in [one, other] {
        member.ids.set_link(Link::Up);
        member.node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_releases_its_leases() {
    let fleet = Fleet::new(2, Duration::from_secs(3_600));
    // No interface of this machine has it.
    let setting = ("heads.listen", "[\"192.0.2.1\"]");
    assert!(Member::try_start(&fleet, 2, Some(setting)).await.is_err());
    assert!(fleet.last(1).is_some(), "the slots were acquired");
    assert_eq!((fleet.holder(0), fleet.holder(1)), (None, None));
}
