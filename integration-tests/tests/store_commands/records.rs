//! Looking into a store, and removing from it.

use crate::cli::{config, fails, prints, run, stderr};
use cid::Cid;
use cid::multihash::Multihash;
use hydra_conformance::servers::Postgres;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use serde_json::json;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const KEY: [u8; 34] = *b"\x12\x20a key of thirty-two bytes in all";

pub(crate) async fn took() {
    let home = Home::new().unwrap();
    let node =
        Node::start_in(&home, &["network.addresses=any", "engine.flush_interval_ms=100"]).await.unwrap();
    let one = Peer::listening(PROTOCOL).await;
    let other = Peer::listening(PROTOCOL).await;
    let head = node.heads()[0].tcp().clone();
    for peer in [&one, &other] {
        peer.provide(&head, &KEY, &peer.addresses).await.unwrap();
    }
    let both = |answer: &hydra_kad::Answer| answer.providers.len() == 2;
    assert!(both(&one.providers_until(&head, &KEY, both).await.unwrap()));

    let multihash = Multihash::<64>::from_bytes(&KEY).unwrap();
    let cid = Cid::new_v1(0x55, multihash).to_string();
    let in_use = "another process uses the records in ";
    fails(&home, &["store", "get", &cid], 3, in_use);
    fails(&home, &["store", "check"], 3, in_use);
    assert!(node.stop().await.unwrap().success());

    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let old = Cid::new_v0(multihash).unwrap().to_string();
    for name in [&cid, &old, &hex] {
        let found = prints(&home, &["store", "get", name]);
        assert_eq!(found["key"], json!(hex));
        let providers = found["providers"].as_array().unwrap();
        assert_eq!(providers.len(), 2, "{found}");
        let of_one = providers.iter().find(|found| found["peer"] == json!(one.id.to_base58())).unwrap();
        assert_eq!(of_one["addresses"], json!(one.addresses), "{found}");
        assert!(of_one["addresses_age_s"].as_u64().unwrap() < 600, "{found}");
        let left = of_one["expires_in_s"].as_u64().unwrap();
        assert!((47 * 3600..=48 * 3600).contains(&left), "{left}");
    }
    let stranger = libp2p::PeerId::random().to_base58();
    fails(&home, &["store", "delete", &cid, "--provider", &stranger], 1, "no such record");
    let deleted = prints(&home, &["store", "delete", &cid, "--provider", &one.id.to_base58()]);
    assert_eq!(deleted, json!({ "key": hex, "removed": 1 }));
    let found = prints(&home, &["store", "get", &cid]);
    assert_eq!(found["providers"][0]["peer"], json!(other.id.to_base58()), "{found}");
    assert_eq!(prints(&home, &["store", "delete", &cid])["removed"], 1);
    fails(&home, &["store", "delete", &cid], 1, "no such record");
    fails(&home, &["store", "get", &cid], 1, "no provider found");

    // The node that starts again has none of it.
    let node = Node::start_in(&home, &[]).await.unwrap();
    let answer = other.providers(node.heads()[0].tcp(), &KEY).await.unwrap();
    assert_eq!(answer.providers.len(), 0);
    node.stop().await.unwrap();
}

pub(crate) async fn about() {
    let home = Home::new().unwrap();
    let file = config(&home, "own", &json!({ "kind": "fjall" }));
    let output = run(&home, &["store", "check", "--config", &file]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("store  fjall: survives a restart;"), "{text}");
    assert!(text.contains("\nok, no records there yet: a start makes a new store in "), "{text}");
    assert!(!home.path().join("own-data").exists(), "a check creates nothing");

    let output = run(&home, &["store", "migrate", "--config", &file]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("ok, made a new store in "), "{text}");
    assert!(text.ends_with("own-data/records: there was none\n"), "{text}");
    assert!(home.path().join("own-data/records").exists(), "a migration creates what is missing");
    let output = run(&home, &["store", "migrate", "--config", &file]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"ok\n"[..]));
    for command in [&["store", "check", "--config", &file][..], &["check", "--config", &file]] {
        let output = run(&home, command);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("\nok, not opened: damage to the files in "), "{text}");
    }
    let mistyped = ["store", "check", "--config", &file, "--set", "store.dir=recods2"];
    let text = String::from_utf8(run(&home, &mistyped).stdout).unwrap();
    assert!(text.contains("\nok, no records there yet: ") && text.ends_with("recods2\n"), "{text}");

    let stats = prints(&home, &["store", "stats", "--config", &file]);
    assert_eq!(stats["kind"], "fjall");
    assert_eq!(stats["records"], json!({ "estimate": 0, "age_s": 0.0, "method": "counted" }));
    assert_eq!(stats["durability"], json!({ "kind": "survives_restart", "window_ms": 0 }));
    assert_eq!(stats["sharing"], "one_process");
    assert_eq!(stats["writes"], json!({ "calls_max": 1, "records_max": 1024 }));
}

pub(crate) async fn migrate() {
    let server = Postgres::start(&[]).unwrap();
    let home = Home::new().unwrap();
    let hosts = [format!("127.0.0.1:{}", server.port())];
    let file = config(&home, "pg", &json!({ "kind": "postgres", "hosts": hosts, "migrate": "check" }));
    let tables = || server.query("hydra", "SELECT to_regclass('hydra.records') IS NOT NULL").unwrap();
    let at = ["--config", &file];
    fails(&home, &[&["store", "check"], &at[..]].concat(), 3, "has no tables of hydra");
    assert_eq!(tables(), ["f"]);
    // Nodes do not migrate with this config, and this command does.
    let output = run(&home, &[&["store", "migrate"], &at[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(), ["t"]);
    assert!(run(&home, &[&["store", "check"], &at[..]].concat()).status.success());
}
