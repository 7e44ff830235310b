//! A node of the public internet: what it dials, whom it admits and what it tells (rows Q7, Q8 and T6 of the protocol's requirements).
//!
//! Tests with servers at public addresses run in a network namespace. What may not make one shows them as ignored.

#![allow(clippy::unwrap_used, reason = "this is a test")]

mod families;
mod forged;
mod hosts;
mod namespace;
mod reachability;
mod resolver;

use hydra_integration_tests::network::{PROTOCOL, enter};
use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::{Peer, Serves, Setup};
use hydra_kad::Answer;
use libp2p::{Multiaddr, PeerId};
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

const PUBLIC: &str = "network.addresses=\"public\"";

fn main() -> ExitCode {
    let trials = vec![
        Trial::test("forbidden_addresses_are_not_dialed", || run(forbidden_addresses())),
        inside("q7_q8_a_public_node_tells_public_addresses_alone", || run(public_addresses_alone())),
        inside("silent_connections_of_one_host_leave_others_their_room", || run(hosts::silent())),
        inside("one_host_has_its_part_of_the_connections_and_no_more", || run(hosts::many_identities())),
        inside("forged_sources_of_quic_leave_places_to_others_and_to_tcp", || run(forged::sources())),
        inside("a_node_without_a_resolver_dials_by_number_and_takes_up_a_later_one", || {
            run(resolver::mended())
        }),
        inside("a_domain_to_search_that_is_no_name_leaves_names_resolvable", || run(resolver::bad_domain())),
        inside(
            "bootstrap_names_are_asked_for_again_although_the_table_has_servers",
            || run(resolver::late()),
        ),
        inside("hydra_ask_needs_a_resolver_for_names_alone", || run(resolver::ask())),
        inside("a_host_with_one_family_of_addresses_is_served", || run(families::one_of_two())),
        inside("autonat_servers_tell_which_head_of_a_public_node_they_reach", || run(reachability::public())),
        inside("a_go_libp2p_autonat_server_reaches_a_head", || run(reachability::go()))
            .with_ignored_flag(reachability::lacks_go()),
        Trial::test("a_forwarding_to_one_head_alone_is_told_once", || run(reachability::on_loopback())),
        Trial::test(
            "a_node_that_advertises_nothing_warns_at_its_start",
            || run(reachability::unadvertised()),
        ),
        Trial::test("a_wildcard_without_netlink_is_told_with_its_cause", || run(families::no_netlink())),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(test: impl Future<Output = ()>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test);
    Ok(())
}

/// A test that needs public hosts.
fn inside(name: &'static str, test: fn() -> Result<(), Failed>) -> Trial {
    let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let ignored = !namespace::is_possible() && !required;
    let test =
        move || if namespace::is_inside() { test() } else { namespace::run(name).map_err(Failed::from) };
    Trial::test(name, test).with_ignored_flag(ignored)
}

fn ids(answer: &Answer) -> Vec<PeerId> {
    answer.closer.iter().map(|peer| peer.peer).collect()
}

/// One permitted address is no reason to dial the others: whoever tells them would choose whom the node connects to.
async fn forbidden_addresses() {
    let node = Node::start(&["heads.count=1", PUBLIC, "network.probe_timeout_ms=2000"]).await.unwrap();
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = victim.local_addr().unwrap().port();
    let told = [
        "/ip4/1.2.3.4/tcp/4001".to_owned(),
        format!("/ip4/127.0.0.1/tcp/{port}"),
        format!("/dns4/localhost/tcp/{port}"),
        format!("/ip4/1.2.3.4/tcp/1/ip4/127.0.0.1/tcp/{port}"),
    ];
    let announces = told.iter().map(|text| text.parse().unwrap()).collect();
    let server = Setup { serves: Serves::All, announces, ..Setup::new(PROTOCOL) }.start().await;
    server.find_node(node.heads()[0].tcp(), b"anything").await.unwrap();
    let refused = async {
        while node.metrics().await.unwrap().sum("hydra_dials_refused_total", &[("reason", "policy")]) < 3.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // The dial to the permitted address has been made with those to the others, or without them.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        dialed = victim.accept() => panic!("the node dialed {:?}", dialed.unwrap()),
        () = refused => {}
    }
}

async fn public_addresses_alone() {
    // Its heads listen on loopback alone: they are left without an address, and are left out (Q7).
    let node = Node::start(&[PUBLIC]).await.unwrap();
    let hidden: Multiaddr = "/ip4/10.1.2.3/tcp/4001".parse().unwrap();
    let setup = Setup { serves: Serves::All, listens: true, ..Setup::new(PROTOCOL) };
    let server = Setup { host: namespace::HOSTS[0], announces: vec![hidden.clone()], ..setup }.start().await;
    let private = Peer::server(PROTOCOL).await;
    let head = node.heads()[0].tcp();
    private.find_node(head, b"anything").await.unwrap();
    enter(&node, std::slice::from_ref(&server)).await;

    let client = Peer::client(PROTOCOL);
    let answer = client.find_node(head, b"anything").await.unwrap();
    let told: Vec<_> = answer.closer.iter().map(|peer| (peer.peer, peer.addresses.clone())).collect();
    assert_eq!(told, [(server.id, server.addresses.clone())], "neither the heads nor a private server (T6)");
    for (target, address) in [(&server, &hidden), (&private, &private.addresses[0])] {
        let answer = client.find_node(head, &target.id.to_bytes()).await.unwrap();
        assert_eq!(ids(&answer)[0], target.id);
        let told = &answer.closer[0].addresses;
        assert!(told.contains(address), "the target is exempt: {told:?}");
    }
}
