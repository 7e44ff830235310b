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
    assert!(!watched.turn(&rules) && !watched.turn(&rules));
    assert!(denies(A) && denies(B));
    write(&dir, "a.deny", &["/ipfs/nonsense", &format!("/ipfs/{B}")]);
    assert!(!watched.turn(&rules), "it may be half-written");
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
    assert!(turn_twice(&policy));
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
    assert!(turn_twice(&policy));
    assert!(!denied(&policy, Operation::GetProviders, &key(A)));
}

/// Looks twice: the second look takes what the first has seen.
fn turn_twice(policy: &Denylist) -> bool {
    let rules = Arc::downgrade(policy.rules());
    let first = policy.watched().turn(&rules);
    !first && policy.watched().turn(&rules)
}

fn denies(policy: &Denylist, cid: &str) -> bool {
    denied(policy, Operation::GetProviders, &key(cid))
}

/// The file itself is written to, and has its time and its size afterwards.
#[test]
fn new_content_with_the_old_time_and_size_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.deny");
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let before = std::fs::metadata(&path).unwrap();
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    for round in 0..20 {
        let first = if round % 2 == 0 { "#" } else { "/" };
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut &file, first.as_bytes()).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        assert!(turn_twice(&policy), "round {round}");
        assert_eq!(denies(&policy, A), first == "/", "round {round}");
    }
}

#[test]
fn a_file_caught_half_written_keeps_the_old_rules() {
    let dir = tempfile::tempdir().unwrap();
    let whole = [&*format!("/ipfs/{A}"), &*format!("/ipfs/{B}"), "# end"];
    write(&dir, "a.deny", &whole);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    let rules = Arc::downgrade(policy.rules());
    // Written anew from its beginning, with a comment in front, and looked at in between.
    for lines in 0..4 {
        let written = [&["# of today"], &whole[..]].concat();
        write(&dir, "a.deny", &written[..lines]);
        assert!(!policy.watched().turn(&rules), "{lines} lines");
        assert!(denies(&policy, A) && denies(&policy, B), "{lines} lines are written");
    }
    write(&dir, "a.deny", &["# of today", &format!("/ipfs/{B}")]);
    assert!(turn_twice(&policy));
    assert!(!denies(&policy, A) && denies(&policy, B));
}

/// A file that is written to all the time never looks the same twice; what is added to its end counts at once.
#[test]
fn rules_that_are_added_at_the_end_count_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = vec![format!("/ipfs/{A}")];
    write(&dir, "a.deny", &[&lines[0]]);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    for number in 0..5 {
        lines.push(format!("# {number}"));
        lines.push(format!("{}/ipfs/{B}", if number % 2 == 0 { "" } else { "!" }));
        write(&dir, "a.deny", &lines.iter().map(|line| &**line).collect::<Vec<_>>());
        assert!(policy.watched().turn(&Arc::downgrade(policy.rules())));
        assert_eq!(denies(&policy, B), number % 2 == 0);
    }
}

#[test]
fn a_file_that_shrinks_to_nothing_is_believed_the_second_time_and_warned_of() {
    for nothing in ["", "# nothing any more"] {
        let (log, _guard) = log();
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
        let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
        let rules = Arc::downgrade(policy.rules());
        write(&dir, "a.deny", &[nothing]);
        assert!(!policy.watched().turn(&rules) && denies(&policy, A), "seen once");
        // It was only being written.
        write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
        assert!(!policy.watched().turn(&rules) && denies(&policy, A));
        write(&dir, "a.deny", &[nothing]);
        assert!(!policy.watched().turn(&rules) && denies(&policy, A), "seen once again");
        assert!(policy.watched().turn(&rules) && !denies(&policy, A), "seen twice");
        let warned = log.lines("WARN").pop().unwrap();
        assert!(warned.contains("no rules any more") && warned.contains("a.deny"), "{warned}");
        assert_eq!(
            log.lines("WARN").iter().filter(|line| line.contains("is empty")).count(),
            if nothing.is_empty() { 2 } else { 0 }
        );
    }
}

/// Rule 15 of the test list of nopfs, and the same objects by other names.
#[test]
fn objects_that_hold_nothing_are_never_denied() {
    const EMPTY: [&str; 12] = [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
        "bafyaabakaieac",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n",
        "bafkqaaa",
        "bafyqaaa",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
        "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa",
    ];
    let (log, _guard) = log();
    for cid in EMPTY {
        let multihash = cid::multibase::Base::Base58Btc.encode(key(cid));
        let codecs = [0x70, 0x55, 0x71].map(|codec| Cid::new_v1(codec, *Cid::try_from(cid).unwrap().hash()));
        let digest = |text: String| <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(text));
        let hex = |digest| cid::multibase::Base::Base16Lower.encode(digest);
        let modern = [&[0x12, 0x20], &digest(multihash.clone())[..]].concat();
        let mut rules = vec![
            format!("/ipfs/{cid}"),
            format!("/ipfs/{cid}/*"),
            format!("/ipfs/{multihash}"),
            format!("//{}", cid::multibase::Base::Base58Btc.encode(modern)),
        ];
        rules.extend(codecs.iter().map(|cid| format!("/ipfs/{cid}")));
        rules.extend(codecs.iter().map(|cid| format!("//{}", hex(digest(format!("{cid}/"))))));
        for rule in rules {
            let before = log.lines("WARN").len();
            let policy = policy(&["# a list", &rule, A_HASHED]);
            assert!(!denies(&policy, cid), "{rule} denies {cid}");
            assert!(!denied(&policy, Operation::AddProvider, &key(cid)), "{rule} denies {cid}");
            assert!(denies(&policy, A), "the other rules hold");
            let warned = &log.lines("WARN")[before..];
            assert!(
                warned.len() == 1 && warned[0].contains("a.deny") && warned[0].contains("line=2"),
                "{rule}: {warned:?}"
            );
        }
    }
    let tried = "//6fe4a9f9ee915120a76ac47bf396198b02a1457dd1234ab75b2c394ca8ef5779";
    assert!(EMPTY.iter().all(|cid| !content_denied(&[tried], cid)));
    assert_eq!(log.lines("WARN").iter().filter(|line| line.contains("is ignored:")).count(), 12 * 10 + 12);
}

#[test]
fn a_header_that_cannot_be_read_stops_the_start_and_changes_no_rules_later() {
    let dir = tempfile::tempdir().unwrap();
    let unreadable = ["name: x", "nonsense", "---", &*format!("/ipfs/{B}")];
    write(&dir, "a.deny", &unreadable);
    let refused = load(dir.path(), &["a.deny"], |_| ()).unwrap_err().to_string();
    assert!(refused.contains("a.deny") && refused.contains("line 2 "), "{refused}");
    write(&dir, "a.deny", &[&format!("/ipfs/{A}")]);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    write(&dir, "a.deny", &unreadable);
    assert!(!turn_twice(&policy) && !turn_twice(&policy));
    assert!(denies(&policy, A) && !denies(&policy, B));
}

/// What is logged from here on in this thread.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self, level: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(level)).map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// As a node does that reads its config again.
#[test]
fn a_check_and_the_change_after_it_warn_of_a_line_once() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.deny", &[&format!("/ipfs/{A}"), "/ipfs/none", "/ipfs/bafkqaaa"]);
    let policy = load(dir.path(), &["a.deny"], |_| ()).unwrap();
    let (log, _guard) = log();
    let config = Config { files: vec!["a.deny".into()], ..Config::default() };
    let scope = Scope::new(dir.path()).with_purpose(hydra_api::Purpose::Check);
    Denylist::load(&config, &scope).unwrap();
    let told = log.lines("WARN");
    assert!(!told.is_empty(), "a check warns");
    policy.reconfigure(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(log.lines("WARN"), told);
    let read = log.lines("a denylist was read");
    assert!(read.len() == 1 && read[0].contains("bad=1") && read[0].contains("empty=1"), "{read:?}");
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
