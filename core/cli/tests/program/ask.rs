//! A running node, and the client that sends it requests.

use crate::{Hydra, stderr};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
/// Three forms of one key.
const CID_V0: &str = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n";
const CID_V1: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
const MULTIHASH: &str = "1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A node in the directory of its `Hydra`; it ends with the test.
pub(crate) struct Node {
    child: Child,
    /// The address of each line, by the index of its head.
    heads: Vec<(usize, String)>,
}

impl Node {
    pub(crate) fn start(hydra: &Hydra) -> Self {
        Self::start_with(hydra, &[], Stdio::null())
    }

    pub(crate) fn start_with(hydra: &Hydra, more: &[&str], log: Stdio) -> Self {
        let mut child = command(hydra, more).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut heads = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["head", index, address] => heads.push((index.parse().unwrap(), address.to_owned())),
                ["http", url] => assert!(url.starts_with("http://127.0.0.1:"), "{url}"),
                ["ready"] => break,
                _ => panic!("{line}"),
            }
        }
        Self { child, heads }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tcp(&self, head: usize) -> &str {
        let of_head =
            self.heads.iter().filter(|(index, address)| *index == head && address.contains("/tcp/"));
        &of_head.map(|(_, address)| address).next().unwrap()[..]
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Two heads on this machine alone, at ports that are free.
fn command(hydra: &Hydra, more: &[&str]) -> Command {
    let settings = [
        "heads.listen=['127.0.0.1']",
        "heads.count=2",
        "ids.port_base=0",
        "telemetry.http.listen='127.0.0.1:0'",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    hydra.command(&std::iter::once("run").chain(settings).chain(more.iter().copied()).collect::<Vec<_>>())
}

fn peers(answer: &Value, of: &str) -> Vec<String> {
    let peers = answer[of].as_array().unwrap().iter();
    peers.map(|peer| peer["peer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_provided_at_one_head_is_found_at_another_and_after_a_restart() {
    let hydra = Hydra::new();
    let node = Node::start(&hydra);
    let transports = |head| node.heads.iter().filter(|(index, _)| *index == head).count();
    assert_eq!((transports(0), transports(1)), (2, 2), "TCP and QUIC each: {:?}", node.heads);

    let nobody = hydra.run(&["ask", "providers", CID]);
    assert_eq!(nobody.status.code(), Some(1), "{}", stderr(&nobody));
    let provided = hydra.prints_json(&["ask", "provide", CID, "--peer", node.tcp(0)]);
    let provider = provided["peer"].as_str().unwrap().to_owned();

    let found = hydra.prints_json(&["ask", "providers", CID, "--peer", node.tcp(1)]);
    assert_eq!(peers(&found, "providers"), [&*provider]);
    assert_eq!(found["providers"][0]["addresses"][0], "/ip4/127.0.0.1/tcp/4001");
    let quic = &node.heads.iter().find(|(_, address)| address.contains("/quic-v1/")).unwrap().1;
    assert_eq!(peers(&hydra.prints_json(&["ask", "providers", CID, "--peer", quic]), "providers").len(), 1);

    let before = node.heads.clone();
    node.stop();
    let node = Node::start(&hydra);
    assert_eq!(node.heads, before, "the same ids and ports");
    assert_eq!(peers(&hydra.prints_json(&["ask", "providers", CID]), "providers"), [provider]);
    node.stop();
}

#[test]
fn v8_a_record_is_found_under_every_form_of_its_cid() {
    let hydra = Hydra::new();
    let node = Node::start(&hydra);
    let provided = hydra.prints_json(&["ask", "provide", CID_V0, "--peer", node.tcp(0)]);
    for same in [CID_V0, CID_V1, MULTIHASH] {
        let found = hydra.prints_json(&["ask", "providers", same]);
        assert_eq!(peers(&found, "providers"), [provided["peer"].as_str().unwrap()], "{same}");
    }
    node.stop();
}

#[test]
fn q6_closest_to_a_heads_own_id_knows_the_other_head() {
    let hydra = Hydra::new();
    let node = Node::start(&hydra);
    let id = |head| node.tcp(head).rsplit('/').next().unwrap().to_owned();
    let answer = hydra.prints_json(&["ask", "closest", &id(1), "--peer", node.tcp(0)]);
    assert!(peers(&answer, "closest").contains(&id(1)), "{answer}");
    node.stop();
}

#[test]
fn logs_go_to_standard_error_as_json_by_default() {
    let hydra = Hydra::new();
    let logged = |more: &[&str]| {
        let log = hydra.file("log", "");
        Node::start_with(&hydra, more, std::fs::File::create(&log).unwrap().into()).stop();
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(log.lines().count() > 0);
        log.lines().map(serde_json::from_str::<Value>).map(Result::ok).collect::<Vec<_>>()
    };
    let lines = logged(&[]);
    let has_level = |line: &Option<Value>| line.as_ref().is_some_and(|line| line["level"].is_string());
    assert!(lines.iter().all(has_level), "{lines:?}");
    assert!(logged(&["--log-format", "pretty"]).iter().all(Option::is_none));
}

#[test]
fn a_node_whose_reader_goes_away_serves_on() {
    let hydra = Hydra::new();
    let mut child = command(&hydra, &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let node = Node { child, heads: Vec::new() };
    let answers = || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        hydra.run(&["ask", "closest", CID]).status.success()
    };
    assert!((0..300).any(|_| answers()), "no head answers");
    node.stop();
}
