//! Copies between stores of any kinds.

use crate::cli::{Running, config, prints, progress, run, stderr};
use crate::stores::{all, all_values, fill, fill_values, open, same};
use hydra_api::{UnixSeconds, ValueKey, ValuePut, ValueRecord};
use hydra_conformance::servers::{Postgres, Redis};
use hydra_integration_tests::names::Name;
use hydra_integration_tests::node::Home;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The number of keys in a copy that is interrupted: more than it gets through in a moment.
const KEYS: u64 = 40_000;

async fn filled(home: &Home, name: &str, store: &Value, keys: u64) -> crate::stores::Records {
    let opened = open(home, name, store).await;
    fill(&*opened, keys).await;
    let records = all(&*opened).await;
    opened.close().await.unwrap();
    records
}

type Values = BTreeMap<ValueKey, ValueRecord>;

async fn filled_with_values(home: &Home, name: &str, store: &Value, keys: u64) -> Values {
    let opened = open(home, name, store).await;
    fill_values(&*opened, keys).await;
    let values = all_values(&*opened).await;
    opened.close().await.unwrap();
    assert_eq!(values.len() as u64, keys);
    values
}

async fn kept_values(home: &Home, name: &str, store: &Value) -> Values {
    let opened = open(home, name, store).await;
    let values = all_values(&*opened).await;
    opened.close().await.unwrap();
    values
}

async fn kept(home: &Home, name: &str, store: &Value) -> crate::stores::Records {
    let opened = open(home, name, store).await;
    let records = all(&*opened).await;
    opened.close().await.unwrap();
    records
}

pub(crate) async fn four_kinds() {
    let home = Home::new().unwrap();
    let postgres = Postgres::start(&[]).unwrap();
    let redis = Redis::start(&Redis::installed().unwrap(), &["--appendonly", "yes"]).unwrap();
    let host = |port| [format!("127.0.0.1:{port}")];
    let stores = [
        ("fjall", json!({ "kind": "fjall" })),
        ("postgres", json!({ "kind": "postgres", "hosts": host(postgres.port()), "refresh_slack_s": 0 })),
        ("redis", json!({ "kind": "redis", "hosts": host(redis.port()), "buckets_log2": 10 })),
        ("sled", json!({ "kind": "sled" })),
    ];
    let files: Vec<_> = stores.iter().map(|(name, store)| config(&home, name, store)).collect();
    let original = filled(&home, stores[0].0, &stores[0].1, 3000).await;
    assert!(original.len() > 3000);
    let values = filled_with_values(&home, stores[0].0, &stores[0].1, 1000).await;
    for (at, to) in stores.iter().enumerate().skip(1) {
        let copied = prints(&home, &["store", "copy", "--from", &files[at - 1], "--to", &files[at]]);
        assert_eq!(copied["records"], json!(original.len()), "{copied}");
        assert_eq!((&copied["refused"], &copied["malformed"]), (&json!(0), &json!(0)));
        assert_eq!((&copied["values"], &copied["values_refused"]), (&json!(1000), &json!(0)));
        assert!(kept_values(&home, to.0, &to.1).await == values, "other value records");
        same(&kept(&home, to.0, &to.1).await, &original, u32::try_from(2 * at).unwrap());
    }
    // From a machine without a node: there is no data directory.
    for (name, store) in &stores[1..3] {
        let away = format!("{name}-away");
        let [from, to] = [config(&home, &away, store), config(&home, &format!("{name}-copy"), &stores[0].1)];
        let copied = prints(&home, &["store", "copy", "--from", &from, "--to", &to]);
        assert_eq!(copied["records"], json!(original.len()), "{copied}");
        assert!(!home.path().join(format!("{away}-data")).exists(), "nothing is kept for the source");
    }
}

pub(crate) async fn killed() {
    let home = Home::new().unwrap();
    let (from, to) = (json!({ "kind": "fjall" }), json!({ "kind": "sled" }));
    let files = [config(&home, "from", &from), config(&home, "to", &to)];
    let original = filled(&home, "from", &from, KEYS).await;
    let args = ["store", "copy", "--from", &files[0], "--to", &files[1], "--page", "20"];
    let dir = home.path().join("to-data");
    for signal in ["INT", "KILL", "KILL"] {
        let before = progress(&dir);
        let mut copy = Running::start(&home, &args);
        copy.until_progress(&dir, before.as_deref());
        let status = copy.end(signal);
        assert_eq!(status.code(), (signal == "INT").then_some(1), "{signal}");
        let told = std::fs::read_to_string(home.path().join("running.log")).unwrap();
        assert_eq!(told.contains("the same command continues from there"), signal == "INT", "{told}");
    }
    let output = run(&home, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("continuing"), "{}", stderr(&output));
    let copied: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(copied["records"], json!(original.len()), "{copied}");
    same(&kept(&home, "to", &to).await, &original, 2);
    assert_eq!(progress(&dir), None, "there is nothing to go on with");

    // Once more, from the beginning: it changes nothing.
    let again = prints(&home, &args);
    assert_eq!(again["records"], json!(original.len()), "{again}");
    same(&kept(&home, "to", &to).await, &original, 2);
}

/// A copy that is ended among the value records goes on there, and what the target has that is better stays.
pub(crate) async fn killed_among_values() {
    let home = Home::new().unwrap();
    let (from, to) = (json!({ "kind": "sled" }), json!({ "kind": "fjall" }));
    let files = [config(&home, "from", &from), config(&home, "to", &to)];
    let values = filled_with_values(&home, "from", &from, KEYS).await;
    let name = Name::default();
    let key = ValueKey::new(&name.key()).unwrap();
    for (store, kind, sequence) in [("from", &from, 1), ("to", &to, 2)] {
        let opened = open(&home, store, kind).await;
        let now = UnixSeconds::now();
        let expires = now.saturating_add(Duration::from_secs(90_000));
        let record = ValueRecord { value: name.record(sequence).unwrap(), received: now, expires };
        let put = ValuePut { key, seen: None, record };
        opened.values().unwrap().put_if([put].into(), now).await.unwrap();
        opened.close().await.unwrap();
    }
    let args = ["store", "copy", "--from", &files[0], "--to", &files[1], "--page", "10"];
    let dir = home.path().join("to-data");
    for signal in ["INT", "KILL"] {
        let before = progress(&dir);
        let mut copy = Running::start(&home, &args);
        copy.until_progress(&dir, before.as_deref());
        copy.end(signal);
        let state = String::from_utf8(progress(&dir).unwrap()).unwrap();
        assert!(state.contains("\"of_values\":true"), "{state}");
    }
    let output = run(&home, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("continuing"), "{}", stderr(&output));
    let copied: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(copied["values"], json!(KEYS + 1), "{copied}");
    let mut kept = kept_values(&home, "to", &to).await;
    let best = kept.remove(&key).unwrap();
    assert_eq!(best.value, name.record(2).unwrap(), "the better record stays");
    assert!(kept == values, "other value records");
    assert_eq!(progress(&dir), None, "there is nothing to go on with");
}

pub(crate) async fn no_room() {
    let home = Home::new().unwrap();
    let from = json!({ "kind": "fjall" });
    let small = json!({ "kind": "fjall", "providers_per_key_max": 16 });
    let large = json!({ "kind": "fjall" });
    let files = [config(&home, "from", &from), config(&home, "to", &small)];
    let original = filled(&home, "from", &from, 100).await;
    let args = ["store", "copy", "--from", &files[0], "--to", &files[1]];
    let output = run(&home, &args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let errors = stderr(&output);
    let line = errors.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(line.contains("has no room for a record of the key "), "{line}");
    config(&home, "to", &large);
    assert_eq!(prints(&home, &args)["records"], json!(original.len()));
    same(&kept(&home, "to", &large).await, &original, 2);
}
