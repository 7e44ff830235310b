use super::*;
use crate::config::Config;
use cid::Cid;
use hydra_api::{OpenErrorKind, PeerId, Scope};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const A: &str = "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR";
const A_HASHED: &str = "//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM";
const B: &str = "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e";
const B_HASHED: &str = "//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7";
const NAME: &str = "k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf";

fn key(cid: &str) -> Vec<u8> {
    Cid::try_from(cid).unwrap().hash().to_bytes()
}

fn record_key(name: &str) -> Vec<u8> {
    [NAME_PREFIX, &key(name)].concat()
}

fn denied(policy: &Denylist, operation: Operation, key: &[u8]) -> bool {
    let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, key);
    match policy.admit(&request, &Load::IDLE, Instant::now()).verdict {
        Verdict::Admit => false,
        Verdict::Decline(reason) => {
            assert_eq!(reason, DENIED);
            true
        }
        Verdict::Degrade(rung) => panic!("degraded to {rung}"),
    }
}

fn load(dir: &Path, files: &[&str], change: impl FnOnce(&mut Config)) -> Result<Denylist, OpenError> {
    let mut config = Config { files: files.iter().map(Into::into).collect(), ..Config::default() };
    change(&mut config);
    Denylist::load(&config, &Scope::new(dir))
}

fn write(dir: &TempDir, name: &str, lines: &[&str]) {
    std::fs::write(dir.path().join(name), lines.join("\n")).unwrap();
}

/// A policy of one file with these lines.
fn policy(lines: &[&str]) -> Denylist {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", lines);
    load(dir.path(), &["a.deny"], |_| ()).unwrap()
}

/// Whether providers of this CID's multihash may not be asked for.
fn content_denied(lines: &[&str], cid: &str) -> bool {
    denied(&policy(lines), Operation::GetProviders, &key(cid))
}

#[test]
fn content_is_denied_to_those_who_ask_and_those_who_announce() {
    let policy = policy(&[&format!("/ipfs/{A}")]);
    let judged = |cid| Operation::ALL.into_iter().filter(move |op| denied(&policy, *op, &key(cid)));
    assert_eq!(judged(A).collect::<Vec<_>>(), [Operation::GetProviders, Operation::AddProvider]);
    assert!(!content_denied(&[&format!("/ipfs/{A}")], B));
}

#[test]
fn names_are_denied_to_those_who_resolve_and_those_who_publish() {
    let policy = policy(&[&format!("/ipns/{NAME}")]);
    let judged = |key: Vec<u8>| Operation::ALL.into_iter().filter(|op| denied(&policy, *op, &key)).collect();
    let of_record: Vec<_> = judged(record_key(NAME));
    assert_eq!(of_record, [Operation::GetValue, Operation::PutValue]);
    // The name's own multihash is no content, and a content's no name.
    assert_eq!(judged(key(NAME)), Vec::<Operation>::new());
    assert_eq!(judged(record_key(A)), Vec::<Operation>::new());
    assert_eq!(judged(b"/pk/somebody".to_vec()), Vec::<Operation>::new());
}

#[test]
fn double_hashed_rules_deny_what_they_are_hashes_of() {
    assert!(content_denied(&[A_HASHED], A));
    assert!(!content_denied(&[A_HASHED], B));
    assert!(content_denied(&[B_HASHED], B));
    assert!(!content_denied(&[B_HASHED], A));
    assert!(content_denied(&["# both", A_HASHED, B_HASHED], A));
    assert!(content_denied(&["# both", A_HASHED, B_HASHED], B));
}

#[test]
fn double_hashed_rules_deny_names() {
    use sha2::{Digest, Sha256};
    let multihash = cid::multibase::Base::Base58Btc.encode(key(NAME));
    let digest: [u8; 32] = Sha256::digest(multihash).into();
    let modern = cid::multibase::Base::Base58Btc.encode([&[0x12, 0x20], &digest[..]].concat());
    let v1 = Cid::new_v1(0x72, *Cid::try_from(NAME).unwrap().hash());
    let legacy = cid::multibase::Base::Base16Lower.encode(Sha256::digest(format!("{v1}/")));
    for hash in [modern, legacy] {
        let policy = policy(&[&format!("//{hash}")]);
        assert!(denied(&policy, Operation::GetValue, &record_key(NAME)), "{hash}");
        assert!(!denied(&policy, Operation::GetValue, &record_key(A)), "{hash}");
    }
}

#[test]
fn the_last_rule_that_matches_counts() {
    let (deny, allow) = (&*format!("/ipfs/{A}"), &*format!("!/ipfs/{A}/*"));
    let (deny_hashed, allow_hashed) = (A_HASHED, &*format!("!{A_HASHED}"));
    for deny in [deny, deny_hashed] {
        for allow in [allow, allow_hashed] {
            assert!(content_denied(&[allow, deny], A), "{allow} {deny}");
            assert!(!content_denied(&[deny, allow], A), "{deny} {allow}");
            assert!(content_denied(&[deny, allow, deny], A));
            assert!(!content_denied(&[deny, allow, &format!("/ipfs/{B}")], A));
        }
    }
}

#[test]
fn later_files_count_over_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "deny", &[&format!("/ipfs/{A}")]);
    write(&dir, "allow", &[&format!("!/ipfs/{A}")]);
    for (files, expected) in [(["deny", "allow"], false), (["allow", "deny"], true)] {
        let policy = load(dir.path(), &files, |_| ()).unwrap();
        assert_eq!(denied(&policy, Operation::GetProviders, &key(A)), expected, "{files:?}");
    }
}

#[test]
fn rules_on_paths_deny_no_key() {
    let all = [format!("/ipfs/{A}/path"), format!("/ipfs/{A}/test*"), format!("/ipns/{NAME}/path")];
    let policy = policy(&all.each_ref().map(|line| &**line));
    assert!(!denied(&policy, Operation::GetProviders, &key(A)));
    assert!(!denied(&policy, Operation::GetValue, &record_key(NAME)));
}

/// Whatever a peer sends as a key is judged without a panic.
#[test]
fn keys_of_any_length_are_judged() {
    let policy = policy(&[&format!("/ipfs/{A}"), A_HASHED, B_HASHED]);
    for len in (0..200).chain([1 << 22]) {
        for operation in Operation::ALL {
            assert!(!denied(&policy, operation, &vec![0x2f; len]));
            assert!(!denied(&policy, operation, &[NAME_PREFIX, &vec![0; len]].concat()));
        }
    }
}

#[test]
fn a_list_that_cannot_be_used_is_an_error_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}"), &format!("/ipfs/{B}")]);
    write(&dir, "future", &["version: 2", "---", &format!("/ipfs/{A}")]);
    write(&dir, "broken", &[&format!("/ipfs/{A}"), "---"]);
    std::fs::write(dir.path().join("long"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    for (file, said) in [
        ("absent", "cannot be read"),
        ("future", "version 2"),
        ("broken", "before"),
        ("long", "file_mib_max"),
        (".", "regular file"),
    ] {
        let error = load(dir.path(), &[file], |config| config.file_mib_max = 1).unwrap_err();
        assert_eq!(*error.kind(), OpenErrorKind::Config { key: "files".to_owned() });
        assert!(error.to_string().contains(said) && error.to_string().contains(file), "{error}");
    }
    let two_of_one = load(dir.path(), &["a.deny"], |config| config.rules_max = 1);
    assert!(two_of_one.unwrap_err().to_string().contains("rules_max"));
    let none = Lists::of(&Config::default(), &Scope::new(dir.path())).unwrap_err();
    assert_eq!(*none.kind(), OpenErrorKind::Config { key: "files".to_owned() });
}

#[test]
fn a_file_that_changes_is_read_again_and_one_that_breaks_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    let watched = policy.watched().clone();
    let denies = |cid| denied(&policy, Operation::GetProviders, &key(cid));
    let rules = Arc::downgrade(policy.rules());
    assert!(!watched.turn(&rules), "nothing has changed");
    write(&dir, "a.deny", &[&format!("/ipfs/{A}"), &format!("/ipfs/{B}")]);
    assert!(watched.turn(&rules));
    assert!(denies(A) && denies(B));
    // Gone, or of another version: the rules stay.
    std::fs::remove_file(dir.path().join("a.deny")).unwrap();
    assert!(!watched.turn(&rules));
    write(&dir, "a.deny", &["version: 7", "---"]);
    assert!(!watched.turn(&rules));
    assert!(denies(A) && denies(B));
    write(&dir, "a.deny", &["/ipfs/nonsense", &format!("/ipfs/{B}")]);
    assert!(watched.turn(&rules));
    assert!(!denies(A) && denies(B));
    drop(policy);
    assert!(!watched.turn(&rules));
}

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    write(&dir, "b.deny", &[&format!("/ipfs/{B}")]);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    let denies = |cid| denied(&policy, Operation::GetProviders, &key(cid));
    policy.reconfigure(serde_json::json!({ "files": ["b.deny"] })).unwrap();
    assert!(!denies(A) && denies(B));
    for (table, key) in [
        (serde_json::json!({ "files": ["a.deny", "absent"] }), "files"),
        (serde_json::json!({ "files": [] }), "files"),
        (serde_json::json!({ "file": ["a.deny"] }), "file"),
    ] {
        let refused = policy.reconfigure(table).unwrap_err().to_string();
        assert!(refused.contains(key), "{refused}");
    }
    assert!(!denies(A) && denies(B), "as before");
    // The files of the new table are those that are looked at.
    write(&dir, "b.deny", &[&format!("/ipfs/{A}"), &format!("/ipfs/{B}")]);
    assert!(policy.watched().turn(&Arc::downgrade(policy.rules())));
    assert!(denies(A) && denies(B));
}

#[test]
fn values_out_of_bounds_are_refused_by_their_key() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let open = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    for key in ["reload_interval_s", "rules_max", "file_mib_max"] {
        for value in [0, u32::MAX] {
            let table = serde_json::json!({ "files": ["a.deny"], key: value });
            let config: Config = serde_json::from_value(table.clone()).unwrap();
            let error = Denylist::load(&config, &Scope::new(dir.path())).unwrap_err();
            assert_eq!(*error.kind(), OpenErrorKind::Config { key: key.to_owned() });
            let ReconfigureError::Config(issue) = open.reconfigure(table).unwrap_err() else {
                panic!("{key}")
            };
            assert_eq!(issue.key, key);
        }
    }
}

/// Both tables deny this key; requests meet no moment at which neither does.
#[test]
fn a_table_changes_while_requests_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}"), &format!("!/ipfs/{B}")]);
    write(&dir, "b.deny", &[A_HASHED, B_HASHED]);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    let (over, keys) = (AtomicBool::new(false), [key(A), key(B)]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert!(denied(&policy, Operation::GetProviders, &keys[0]));
                }
            });
        }
        for file in (0..100).flat_map(|_| ["b.deny", "a.deny"]) {
            policy.reconfigure(serde_json::json!({ "files": [file] })).unwrap();
            assert_eq!(denied(&policy, Operation::GetProviders, &keys[1]), file == "b.deny");
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[cfg(unix)]
#[test]
fn a_file_in_the_place_of_another_is_noticed_whatever_its_time_and_size() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let modified = std::fs::metadata(dir.path().join("a.deny")).unwrap().modified().unwrap();
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    // A line of the same length that denies nothing.
    write(&dir, "new", &[&format!("#ipfs/{A}")]);
    let new = std::fs::File::options().append(true).open(dir.path().join("new")).unwrap();
    new.set_modified(modified).unwrap();
    std::fs::rename(dir.path().join("new"), dir.path().join("a.deny")).unwrap();
    assert!(policy.watched().turn(&Arc::downgrade(policy.rules())));
    assert!(!denied(&policy, Operation::GetProviders, &key(A)));
}

#[tokio::test]
async fn the_files_are_looked_at_for_as_long_as_the_policy_is_there() {
    use hydra_api::Plugin;
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let config = Config { files: vec!["a.deny".into()], reload_interval_s: 86_400, ..Config::default() };
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let policy = Denylist::open(config, &Scope::new(dir.path())).await.unwrap();
    assert_eq!(tasks(), before + 1);
    drop(policy);
    let ended = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.unwrap();
}

#[tokio::test]
async fn an_open_policy_notices_changes_on_its_own() {
    use hydra_api::Plugin;
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let config = Config { files: vec!["a.deny".into()], reload_interval_s: 1, ..Config::default() };
    let policy = Denylist::open(config, &Scope::new(dir.path())).await.unwrap();
    write(&dir, "a.deny", &["# nothing any more"]);
    let key = key(A);
    let request = Request::new(Operation::GetProviders, PeerId::new(b"peer").unwrap(), None, 0, &key);
    let admitted = async {
        while policy.admit(&request, &Load::IDLE, Instant::now()).verdict != Verdict::Admit {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), admitted).await.unwrap();
}
