//! The config of the resolver is missing, empty or broken, and is mended later.

use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Home, Node, command, program};
use hydra_integration_tests::peer::Peer;
use std::process::Command;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

const CONFIG: &str = "/etc/resolv.conf";
/// What is wrong with it. The first is its absence.
const BROKEN: [Option<&str>; 3] = [None, Some(""), Some("options ndots:99999\n")];
/// A domain to search that is no name, as a mistake of DHCP leaves it.
const BAD_DOMAIN: &str = "nameserver 127.0.0.1\nsearch my..lan\n";
const GOOD: &str = "options ndots:99999\nnameserver 127.0.0.1\n";
/// Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// An `/etc` of this test alone, with nothing in it.
fn hide_etc() {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none", "/etc"]).status().unwrap();
    assert!(mounted.success());
}

/// A name server that knows every name, at 127.0.0.1.
async fn name_server() {
    let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
    let mut query = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut query).await.unwrap();
        // The question: labels up to an empty one, then type and class.
        let end = 12 + query[12..len].iter().position(|byte| *byte == 0).unwrap() + 5;
        let is_a = query[end - 4..end - 2] == [0, 1];
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        answer.extend(&query[12..end]);
        if is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}

async fn servers_known(node: &Node, wanted: f64) {
    let known = async {
        while node.metrics().await.unwrap().sum("hydra_table_peers", &[("origin", "foreign")]) < wanted {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, known).await.unwrap_or_else(|_| panic!("{wanted} servers:\n{}", node.home().log()));
}

pub(crate) async fn mended() {
    hide_etc();
    let (by_number, by_name) = (Peer::server(PROTOCOL).await, Peer::server(PROTOCOL).await);
    let named = by_name.addresses[0].to_string().replace("/ip4/127.0.0.1/", "/dns4/boot.example/");
    let bootstrap = format!(
        "network.bootstrap=[\"{}/p2p/{}\", \"{named}/p2p/{}\"]",
        by_number.addresses[0], by_number.id, by_name.id
    );
    for broken in BROKEN {
        match broken {
            Some(text) => std::fs::write(CONFIG, text).unwrap(),
            None => assert!(!std::path::Path::new(CONFIG).exists()),
        }
        let node = Node::start(&["heads.count=1", &bootstrap]).await.unwrap();
        servers_known(&node, 1.0).await;
        let metrics = node.metrics().await.unwrap();
        assert_eq!(metrics.sum("hydra_table_peers", &[("origin", "foreign")]), 1.0, "{broken:?}");
        let told = node.home().log().lines().filter(|line| line.contains(CONFIG)).count();
        assert!((1..=2).contains(&told), "{broken:?} is told once:\n{}", node.home().log());
        std::fs::write(CONFIG, GOOD).unwrap();
        let server = tokio::spawn(name_server());
        servers_known(&node, 2.0).await;
        server.abort();
        drop(server.await);
        node.stop().await.unwrap();
        std::fs::remove_file(CONFIG).unwrap();
    }
}

/// A node, and the bootstrap peers that it has by number and by name.
async fn with_names() -> (Node, [Peer; 2]) {
    let peers = [Peer::server(PROTOCOL).await, Peer::server(PROTOCOL).await];
    let named = peers[1].addresses[0].to_string().replace("/ip4/127.0.0.1/", "/dns4/boot.example/");
    let bootstrap = format!(
        "network.bootstrap=[\"{}/p2p/{}\", \"{named}/p2p/{}\"]",
        peers[0].addresses[0], peers[0].id, peers[1].id
    );
    (Node::start(&["heads.count=1", &bootstrap]).await.unwrap(), peers)
}

pub(crate) async fn bad_domain() {
    hide_etc();
    std::fs::write(CONFIG, BAD_DOMAIN).unwrap();
    let server = tokio::spawn(name_server());
    let (node, _peers) = with_names().await;
    servers_known(&node, 2.0).await;
    let told = node.home().log().lines().filter(|line| line.contains("my..lan")).count();
    assert_eq!(told, 1, "{}", node.home().log());
    server.abort();
}

/// The name server comes up after the node, which has met a server by then.
pub(crate) async fn late() {
    hide_etc();
    std::fs::write(CONFIG, GOOD).unwrap();
    let (node, _peers) = with_names().await;
    servers_known(&node, 1.0).await;
    let failed = async {
        let outcome = [("round", "probe"), ("outcome", "unreachable")];
        while node.metrics().await.unwrap().sum("hydra_routing_requests_total", &outcome) < 1.0 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, failed).await.expect("the name is asked for in vain");
    let server = tokio::spawn(name_server());
    servers_known(&node, 2.0).await;
    server.abort();
}

pub(crate) async fn ask() {
    let node = Node::start(&["heads.count=2"]).await.unwrap();
    hide_etc();
    let head = node.heads()[0].tcp().to_string();
    let target = node.heads()[1].peer.to_string();
    for broken in BROKEN {
        if let Some(text) = broken {
            std::fs::write(CONFIG, text).unwrap();
        }
        let home = Home::new().unwrap();
        let ask = async |peer: &str| {
            // The same environment as that of a node.
            let mut ask = tokio::process::Command::new(program().unwrap());
            ask.args(["ask", "closest", &target, "--peer", peer]).current_dir(home.path());
            for (name, _) in command(&program().unwrap(), &home, &[]).as_std().get_envs() {
                ask.env_remove(name);
            }
            timeout(PATIENCE, ask.output()).await.unwrap().unwrap()
        };
        let answered = ask(&head).await;
        assert!(answered.status.success(), "{broken:?}: {}", String::from_utf8_lossy(&answered.stderr));
        let failed = ask(&head.replace("/ip4/127.0.0.1/", "/dns4/boot.example/")).await;
        let told = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success() && told.contains(CONFIG), "{broken:?}: {told}");
    }
}
