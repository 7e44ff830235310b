//! Damaged records of an embedded store: only a node sets them aside.

use crate::cli::{config, fails, run, stderr};
use crate::stores::{fill, open};
use hydra_integration_tests::node::Home;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

pub(crate) async fn left_alone() {
    // Of each kind a file that the engine reads when it is opened, and one without which it starts anew.
    for (kind, dir, read, root) in
        [("fjall", "records", "version", "version"), ("sled", "records-sled", "conf", "db")]
    {
        let home = Home::new().unwrap();
        let table = json!({ "kind": kind });
        let (damaged, sound) = (config(&home, "damaged", &table), config(&home, "sound", &table));
        for name in ["damaged", "sound"] {
            let store = open(&home, name, &table).await;
            fill(&*store, 1000).await;
            store.close().await.unwrap();
        }
        let data = home.path().join("damaged-data");
        let whole = std::fs::read(data.join(dir).join(read)).unwrap();
        std::fs::write(data.join(dir).join(read), vec![0xa5; whole.len()]).unwrap();
        each_command_fails(&home, &damaged, &sound, &data);

        std::fs::write(data.join(dir).join(read), whole).unwrap();
        std::fs::remove_file(data.join(dir).join(root)).unwrap();
        each_command_fails(&home, &damaged, &sound, &data);
        let output = run(&home, &["store", "check", "--config", &damaged]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("\nok, but damaged: a start of the node moves the records in "), "{text}");

        // A node does.
        open(&home, "damaged", &table).await.close().await.unwrap();
        let aside = |name: &PathBuf| name.to_string_lossy().contains(".damaged-");
        assert!(files(&data).keys().any(aside), "{kind}");
    }
}

fn each_command_fails(home: &Home, damaged: &str, sound: &str, data: &Path) {
    let commands: [&[&str]; 6] = [
        &["store", "stats", "--config", damaged],
        &["store", "get", CID, "--config", damaged],
        &["store", "delete", CID, "--config", damaged],
        &["store", "migrate", "--config", damaged],
        &["store", "copy", "--from", damaged, "--to", sound],
        &["store", "copy", "--from", sound, "--to", damaged],
    ];
    let before = files(data);
    for command in commands {
        fails(home, command, 1, "are damaged, and are left as they are");
        assert!(files(data) == before, "{command:?} has changed a file");
    }
    let output = run(home, &["store", "check", "--config", damaged]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        !String::from_utf8_lossy(&output.stdout).ends_with("\nok\n"),
        "a check says what it has not seen"
    );
    assert!(files(data) == before, "a check has changed a file");
}

/// Every file below a directory.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                left.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}
