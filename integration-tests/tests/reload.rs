//! SIGHUP: a running node reads its config again and takes up what it can.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
/// Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node with a config file, which the test changes.
struct Config {
    home: Home,
    node: Node,
    /// Signals so far.
    reloads: usize,
}

impl Config {
    async fn start(text: &str) -> Self {
        let home = Home::new().unwrap();
        std::fs::write(home.path().join("hydra.toml"), text).unwrap();
        let file = home.path().join("hydra.toml");
        let variables = [("HYDRA_CONFIG", file.to_str().unwrap())];
        let settings = ["heads.count=1", "log.format=\"json\"", "engine.flush_interval_ms=60000"];
        let node = Node::start_with(&home, &settings, &variables).await.unwrap();
        Self { home, node, reloads: 0 }
    }

    /// Changes the config, and returns the log lines from the signal to its end.
    async fn reload(&mut self, text: &str) -> Vec<Value> {
        std::fs::write(self.home.path().join("hydra.toml"), text).unwrap();
        let pid = self.node.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        self.reloads += 1;
        let since = Instant::now();
        loop {
            let lines = self.lines();
            let begins = |line: &&Value| line["message"] == "reading the config again";
            if lines.iter().filter(begins).count() == self.reloads {
                let from = lines.iter().rposition(|line| begins(&line)).unwrap();
                let ends = ["the config is read", "take effect after a restart", "nothing is changed"];
                let is_end = |line: &Value| {
                    ends.iter().any(|end| line["message"].as_str().unwrap_or_default().contains(end))
                };
                if lines[from..].iter().any(is_end) {
                    // The warning follows the line of what was taken up.
                    sleep(Duration::from_millis(200)).await;
                    return self.lines().split_off(from);
                }
            }
            assert!(since.elapsed() < PATIENCE, "{}", self.home.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn lines(&self) -> Vec<Value> {
        self.home.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    async fn answers(&self) -> bool {
        Peer::client(PROTOCOL).find_node(self.node.heads()[0].tcp(), b"anything").await.is_ok()
    }
}

/// The keys that a line of this level names.
fn keys(lines: &[Value], level: &str) -> Vec<String> {
    let line = lines.iter().find(|line| line["level"] == level && line["keys"].is_string());
    let keys = line.map(|line| line["keys"].as_str().unwrap().split(", ").map(str::to_owned).collect());
    keys.unwrap_or_default()
}

const FIRST: &str = r#"
[log]
level = "info"
[[admission]]
kind = "token-bucket"
peers_max = 65536
[[admission]]
kind = "queue-depth"
"#;

#[tokio::test]
async fn a_hangup_ends_nothing_and_what_waits_is_kept() {
    let mut config = Config::start("").await;
    let peer = Peer::listening(PROTOCOL).await;
    let key = [&[0x12, 0x20][..], &[7; 32]].concat();
    peer.provide(config.node.heads()[0].tcp(), &key, &peer.addresses).await.unwrap();
    for _ in 0..3 {
        let lines = config.reload("").await;
        assert!(
            lines.iter().any(|line| line["message"] == "the config is read, no key has changed"),
            "{lines:?}"
        );
    }
    assert!(config.node.is_running().unwrap());
    assert!(config.answers().await);
    let Config { home, node, .. } = config;
    assert!(node.stop().await.unwrap().success());
    let node = Node::start_in(&home, &["heads.count=1"]).await.unwrap();
    let found = Peer::client(PROTOCOL).providers(node.heads()[0].tcp(), &key).await.unwrap();
    assert_eq!(found.providers.len(), 1, "the announcement was waiting to be written");
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn what_can_change_is_taken_up_and_the_rest_is_named() {
    let mut config = Config::start(FIRST).await;
    let changed = FIRST
        .replace("level = \"info\"", "level = \"info,hydra_node=debug\"")
        .replace("peers_max = 65536", "peers_max = 1024\nwrite_cost = 7")
        .replace("kind = \"queue-depth\"", "kind = \"queue-depth\"\nwaiting = { degrade_percent = 40 }")
        + "[heads]\nannounce = [\"/ip4/127.0.0.1/tcp/0\"]\n[shutdown]\ndrain_ms = 1\n";
    let lines = config.reload(&changed).await;
    let mut taken = keys(&lines, "INFO");
    taken.sort();
    let expected =
        ["admission[0].write_cost", "admission[1].waiting.degrade_percent", "log.level"].map(str::to_owned);
    assert_eq!(taken, expected, "{lines:?}");
    let mut restart = keys(&lines, "WARN");
    restart.sort();
    assert_eq!(restart, ["admission[0].peers_max", "heads.announce", "shutdown.drain_ms"], "{lines:?}");
    // What waits for a restart is named each time, what was taken up is not.
    let lines = config.reload(&changed).await;
    assert_eq!(keys(&lines, "INFO"), Vec::<String>::new());
    assert_eq!(keys(&lines, "WARN").len(), 3, "{lines:?}");
    let debugs = |lines: &[Value]| lines.iter().filter(|line| line["level"] == "DEBUG").count();
    let lines = config.reload(FIRST).await;
    assert_eq!(keys(&lines, "WARN"), Vec::<String>::new(), "{lines:?}");
    assert_eq!(keys(&lines, "INFO").len(), 3, "{lines:?}");
    // The level has changed back: no line of that level follows.
    assert!(config.answers().await);
    let before = debugs(&config.lines());
    let _lines = config.reload(FIRST).await;
    assert!(config.answers().await);
    assert_eq!(debugs(&config.lines()), before);
    assert!(config.node.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_is_named_with_its_place() {
    let mut config = Config::start("[log]\nlevel = \"info\"\n").await;
    let wrong = [
        ("[log]\nlevel = \"warn\"\n[heads]\ncuont = 3\n", "cuont"),
        ("[log]\nlevel = \"warn\"\n[heads\n", "hydra.toml"),
        (
            "[log]\nlevel = \"warn\"\n[[admission]]\nkind = \"denylist\"\nfiles = [\"none.deny\"]\n",
            "none.deny",
        ),
        (
            "[log]\nlevel = \"warn\"\n[[admission]]\nkind = \"queue-depth\"\n\
             waiting = { degrade_percent = 90, decline_percent = 50 }\n",
            "waiting.degrade_percent",
        ),
    ];
    for (text, part) in wrong {
        let lines = config.reload(text).await;
        let told = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
        assert_eq!(told["message"], "the config has a mistake, nothing is changed");
        let issue = told["issue"].as_str().unwrap();
        assert!(issue.contains(part) && issue.contains("hydra.toml"), "{issue}");
    }
    assert!(config.answers().await);
    // The level is what it was: this is told at info.
    let lines = config.reload("[log]\nlevel = \"info\"\n").await;
    assert!(
        lines.iter().any(|line| line["message"] == "the config is read, no key has changed"),
        "{lines:?}"
    );
    assert!(config.node.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_denylist_is_read_again_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = [&[0x12, 0x20][..], &[9; 32]].concat();
    let text = format!(
        "[[admission]]\nkind = \"denylist\"\nfiles = [\"{}\"]\nreload_interval_s = 3600\n",
        file.path().display()
    );
    let mut config = Config::start(&text).await;
    let head = config.node.heads()[0].tcp().clone();
    let peer = Peer::listening(PROTOCOL).await;
    peer.provide(&head, &key, &peer.addresses).await.unwrap();
    let there = |answer: &hydra_kad::Answer| !answer.providers.is_empty();
    let client = Peer::client(PROTOCOL);
    assert!(there(&client.providers_until(&head, &key, there).await.unwrap()));
    let cid = multihash_cid(&key);
    std::fs::write(file.path(), format!("version: 1\n---\n/ipfs/{cid}\n")).unwrap();
    let lines = config.reload(&text).await;
    assert!(
        lines.iter().any(|line| line["message"] == "the config is read, no key has changed"),
        "{lines:?}"
    );
    let read = lines.iter().filter(|line| line["message"] == "a denylist was read").count();
    assert_eq!(read, 1, "{lines:?}");
    assert!(client.providers(&head, &key).await.unwrap().providers.is_empty(), "the key is denied");
    assert!(config.node.stop().await.unwrap().success());
}

/// Which table is whose cannot be told, so that each policy keeps its own: no list of a denylist may go to another policy, or to
/// none.
#[tokio::test]
async fn a_list_of_other_policies_changes_none_and_denylists_are_read_again() {
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    let key = |last: u8| [&[0x12, 0x20][..], &[last; 32]].concat();
    let deny = |file: usize, keys: &[u8]| {
        let lines: Vec<_> =
            keys.iter().map(|last| format!("/ipfs/{}\n", multihash_cid(&key(*last)))).collect();
        std::fs::write(files[file].path(), lines.concat()).unwrap();
    };
    let entry = |file: usize| {
        let path = files[file].path().display();
        format!("[[admission]]\nkind = \"denylist\"\nfiles = [\"{path}\"]\nreload_interval_s = 3600\n")
    };
    let more = "[[admission]]\nkind = \"queue-depth\"\n";
    deny(0, &[10]);
    deny(1, &[20]);
    let mut config = Config::start(&(entry(0) + &entry(1))).await;
    let lists = [entry(1), more.to_owned() + &entry(0), entry(1) + &entry(0) + more];
    for (round, text) in (1..).zip(lists) {
        deny(0, &[10, 10 + round]);
        let lines = config.reload(&text).await;
        assert_eq!(keys(&lines, "WARN"), ["admission"], "{lines:?}");
        assert_eq!(keys(&lines, "INFO"), Vec::<String>::new(), "{lines:?}");
        let (head, peer) = (config.node.heads()[0].tcp(), Peer::listening(PROTOCOL).await);
        let denied = [10, 10 + round, 20];
        for last in denied.into_iter().chain([100 + round]) {
            peer.provide(head, &key(last), &peer.addresses).await.unwrap();
        }
        let there = |answer: &hydra_kad::Answer| !answer.providers.is_empty();
        let client = Peer::client(PROTOCOL);
        assert!(there(&client.providers_until(head, &key(100 + round), there).await.unwrap()));
        for last in denied {
            let found = client.providers(head, &key(last)).await.unwrap();
            assert!(found.providers.is_empty(), "{last} is denied, round {round}");
        }
    }
    assert!(config.node.stop().await.unwrap().success());
}

/// A multihash of SHA-256 as a CID of version 0: base58 of its bytes.
fn multihash_cid(multihash: &[u8]) -> String {
    libp2p::multihash::Multihash::<64>::from_bytes(multihash)
        .ok()
        .and_then(|hash| libp2p::PeerId::from_multihash(hash).ok())
        .map(|peer| peer.to_base58())
        .unwrap()
}
