//! What cannot be done, in one line and with its exit code.

use crate::cli::{config, fails, run};
use hydra_integration_tests::node::Home;
use serde_json::json;

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
const BOOSTER: &str = "hydra-booster-postgres";

pub(crate) async fn uses() {
    let home = Home::new().unwrap();
    let fjall = config(&home, "fjall", &json!({ "kind": "fjall" }));
    let other = config(&home, "other", &json!({ "kind": "fjall" }));
    let memory = config(&home, "memory", &json!({ "kind": "memory" }));
    let wrong = config(&home, "wrong", &json!({ "kind": "fjall", "bogus": 1 }));
    assert!(run(&home, &["store", "migrate", "--config", &fjall]).status.success());
    let in_memory = "keeps its records in memory";
    let cases: &[(&[&str], i32, &str)] = &[
        (&["store", "get", "hello"], 2, "`hello` is neither a CID nor a hexadecimal multihash"),
        (&["store", "delete", "hello"], 2, "neither a CID nor"),
        (&["store", "delete", CID, "--provider", "me"], 2, "`me` is not a peer id"),
        (&["store", "stats", "--config", "nowhere.toml"], 2, "cannot read the config file"),
        (&["store", "stats", "--config", &other], 2, "store.dir: there are no records in"),
        (&["store", "get", CID, "--config", &other], 2, "there are no records in"),
        (&["store", "check", "--config", &wrong], 2, "store.bogus: unknown key"),
        (&["store", "get", CID, "--config", &memory], 1, "no provider found"),
        (&["store", "copy", "--from", &fjall, "--to", &fjall], 2, "--from and --to name the same store"),
        (&["store", "copy", "--from", "nowhere.toml", "--to", &fjall], 2, "cannot read the config file"),
        (&["store", "copy", "--from", &memory, "--to", &fjall], 2, in_memory),
        (&["store", "copy", "--from", &fjall, "--to", &memory], 2, in_memory),
        (&["store", "copy", "--from", &fjall, "--to", &wrong], 2, "store.bogus: unknown key"),
        (
            &["store", "copy", "--from", &fjall, "--to", &other, "--set", "heads.count=1"],
            2,
            "--set has no meaning here",
        ),
        (&["store", "import", "--from", "etcd", "http://x"], 2, "unknown kind of import `etcd`"),
        (&["store", "import", "--from", BOOSTER, "http://x"], 2, "begins with postgres://"),
    ];
    for (args, code, text) in cases {
        fails(&home, args, *code, text);
    }
    // Mistakes that the parser finds are shown with their usage.
    let parsed: &[&[&str]] = &[
        &["store"],
        &["store", "get"],
        &["store", "copy", "--from", &fjall],
        &["store", "copy", "--from", &fjall, "--to", &other, "--page", "0"],
        &["store", "get", CID, "--limit", "0"],
    ];
    for args in parsed {
        assert_eq!(run(&home, args).status.code(), Some(2), "{args:?}");
    }
}

pub(crate) async fn away() {
    let home = Home::new().unwrap();
    let fjall = config(&home, "fjall", &json!({ "kind": "fjall" }));
    assert!(run(&home, &["store", "migrate", "--config", &fjall]).status.success());
    let postgres = config(&home, "postgres", &json!({ "kind": "postgres", "hosts": ["127.0.0.1:1"] }));
    let redis = config(&home, "redis", &json!({ "kind": "redis", "hosts": ["127.0.0.1:1"] }));
    fails(&home, &["store", "get", CID, "--config", &postgres], 3, "cannot connect to PostgreSQL");
    fails(&home, &["store", "stats", "--config", &redis], 3, "cannot use Redis");
    fails(&home, &["store", "copy", "--from", &postgres, "--to", &fjall], 3, "cannot connect to PostgreSQL");
    fails(&home, &["store", "copy", "--from", &fjall, "--to", &redis], 3, "cannot use Redis");
    let url = "postgres://hydra:secret@127.0.0.1:1/hydra";
    let args = ["store", "import", "--from", BOOSTER, url];
    fails(&home, &args, 3, "cannot read the table `records`");
    let output = run(&home, &args);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
}
