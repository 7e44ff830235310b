//! Copies between stores of any kinds.

use crate::cli::{Running, config, prints, progress, run, stderr};
use crate::stores::{all, fill, open, same};
use hydra_conformance::servers::{Postgres, Redis};
use hydra_integration_tests::node::Home;
use serde_json::{Value, json};

/// The number of keys in a copy that is interrupted: more than it gets through in a moment.
const KEYS: u64 = 40_000;

async fn filled(home: &Home, name: &str, store: &Value, keys: u64) -> crate::stores::Records {
    let opened = open(home, name, store).await;
    fill(&*opened, keys).await;
    let records = all(&*opened).await;
    opened.close().await.unwrap();
    records
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
    for (at, to) in stores.iter().enumerate().skip(1) {
        let copied = prints(&home, &["store", "copy", "--from", &files[at - 1], "--to", &files[at]]);
        assert_eq!(copied["records"], json!(original.len()), "{copied}");
        assert_eq!((&copied["refused"], &copied["malformed"]), (&json!(0), &json!(0)));
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
