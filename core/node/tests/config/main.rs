//! What a config may say, and how it is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod plugins;

use hydra_engine::PolicyMode;
use hydra_node::backends::OpenBackendsError;
use hydra_node::config::{AddressPolicy, Config, Issue, Loaded, Origin, Setting, Sources, load};
use plugins::registry;
use serde_json::json;
use std::path::PathBuf;

/// A config file in a directory of its own.
struct File {
    _dir: tempfile::TempDir,
    sources: Sources,
}

fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    File { sources: Sources { file: Some(path), ..Sources::default() }, _dir: dir }
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Sources { environment, ..Sources::default() }
}

fn setting(key: &str, value: &str) -> Setting {
    Setting { key: key.to_owned(), value: value.to_owned(), flag: format!("--set {key}") }
}

fn good(sources: &Sources) -> Loaded {
    load(&registry(), sources).unwrap_or_else(|issues| panic!("{issues}"))
}

fn issues(sources: &Sources) -> Vec<Issue> {
    load(&registry(), sources).map(|_| ()).unwrap_err().0
}

/// The only issue of a file, and the line and column that it is blamed on.
fn issue(text: &str) -> (Issue, (usize, usize)) {
    let file = file(text);
    let mut found = issues(&file.sources);
    assert_eq!(found.len(), 1, "{found:?}");
    let issue = found.remove(0);
    let Origin::File(place) = &issue.origin else { panic!("{issue}") };
    let at = (place.line(), place.column());
    (issue, at)
}

#[test]
fn an_empty_config_is_the_defaults() {
    let loaded = good(&Sources::default());
    assert_eq!(loaded.config.heads, Config::default().heads);
    assert_eq!(
        loaded.config.store.settings["records_max"],
        json!(100),
        "the plugin's defaults are filled in"
    );
    assert!(loaded.effective().iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn a_later_source_takes_precedence() {
    let mut file = file("[heads]\ncount = 4\nlisten = ['127.0.0.1']\n[kad]\nstream_idle_s = 7\n");
    file.sources.environment =
        vec![("HYDRA_HEADS__COUNT".into(), "5".into()), ("HYDRA_KAD__STREAM_IDLE_S".into(), "8".into())];
    file.sources.settings = vec![setting("heads.count", "6")];
    let loaded = good(&file.sources);
    assert_eq!(loaded.config.heads.count, 6);
    assert_eq!(loaded.config.kad.stream_idle_s, 8);
    let origin = |key: &str| {
        let list = loaded.effective();
        let value = list.iter().find(|value| value.key == key).unwrap();
        value.origin.to_string().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(origin("heads.count"), "--set heads.count");
    assert_eq!(origin("kad.stream_idle_s"), "environment variable HYDRA_KAD__STREAM_IDLE_S");
    assert_eq!(origin("heads.listen"), "node.toml:3:1");
    assert_eq!(origin("heads.transports"), "default");
    assert_eq!(origin("store.records_max"), "default");
}

#[test]
fn values_from_the_environment_are_toml_or_else_text() {
    let sources = environment(&[
        ("HYDRA_NETWORK__ADDRESSES", "lan"),
        ("HYDRA_DATA_DIR", "/srv/hydra"),
        ("HYDRA_HEADS__LISTEN", r#"["127.0.0.1", "::1"]"#),
        ("HYDRA_ADMISSION", "[{kind = 'token-bucket', peer = {per_second = 3}}]"),
        ("HYDRA_CONFIG", "not a key"),
        ("HYDRA_SERVICE_HOST", "10.0.0.1"),
        ("HYDRA_PORT_4001_TCP", "tcp://10.0.0.1:4001"),
        ("PATH", "/bin"),
    ]);
    let config = good(&sources).config;
    assert_eq!(config.network.addresses, AddressPolicy::Lan);
    assert_eq!(config.data_dir, PathBuf::from("/srv/hydra"));
    assert_eq!(config.heads.listen.len(), 2);
    assert_eq!(config.admission.len(), 1);
    assert_eq!(config.admission[0].plugin.settings["peer"]["per_second"], json!(3));
}

#[test]
fn an_unknown_key_is_refused_at_its_line_with_a_suggestion() {
    let (issue, at) = issue("data_dir = 'x'\n\n[heads]\n  cuont = 3\n");
    assert_eq!((issue.key.as_str(), at), ("heads.cuont", (4, 3)));
    assert_eq!(issue.help.as_deref(), Some("did you mean `count`?"));
    assert!(issue.to_string().ends_with("node.toml:4:3: heads.cuont: unknown key; did you mean `count`?"));
}

#[test]
fn an_unknown_key_of_a_plugin_is_refused_alike_however_deep() {
    let (found, at) = issue(
        "[[admission]]\nkind = 'queue-depth'\n[[admission]]\nkind = 'token-bucket'\n[admission.peer]\nper_secnod = 1\n",
    );
    assert_eq!((found.key.as_str(), at), ("admission[1].peer.per_secnod", (6, 1)));
    assert_eq!(found.help.as_deref(), Some("did you mean `per_second`?"));
    let (found, at) = issue("[store]\nkind = 'fjall'\nbanana = 1\n");
    assert_eq!((found.key.as_str(), at), ("store.banana", (3, 1)));
    assert_eq!(found.help.as_deref(), Some("known keys: `kind`, `order`, `records_max`, `secret`"));
}

#[test]
fn a_wrong_type_tells_what_is_expected() {
    let (found, at) = issue("[heads]\ncount = 'three'\n");
    assert_eq!((found.key.as_str(), at), ("heads.count", (2, 9)));
    assert_eq!(found.help.as_deref(), Some("expected a whole number from 1 to 10000, such as `3`"));
    let (found, _) = issue("heads = 3\n");
    assert_eq!((found.key.as_str(), found.help.as_deref()), ("heads", Some("expected a table")));
    let (found, at) = issue("[heads]\nlisten = ['127.0.0.1',\n 1]\n");
    assert_eq!((found.key.as_str(), at), ("heads.listen[1]", (3, 2)));
    let (found, at) = issue("[heads]\nlisten = ['127.0.0.1',\n 'localhost']\n");
    assert_eq!((found.key.as_str(), at), ("heads.listen[1]", (3, 2)));
    let (found, _) = issue("[ids]\nkind = 'balanced'\nport = 65536\n");
    assert_eq!(found.key, "ids.port");
    assert!(found.to_string().contains("65535"), "{found}");
}

#[test]
fn out_of_bounds_tells_the_bounds() {
    let (found, at) = issue("[heads]\ncount = 0\n");
    assert_eq!((found.key.as_str(), at), ("heads.count", (2, 9)));
    assert_eq!(
        found.to_string().split(": ").last(),
        Some("0 is out of bounds; allowed is a whole number from 1 to 10000, such as `3`")
    );
    let (found, at) = issue("[store]\nkind = \"fjall\"\nrecords_max = 1001\n");
    assert_eq!((found.key.as_str(), at), ("store.records_max", (3, 15)));
    assert!(found.to_string().contains("from 1 to 1000"), "{found}");
}

#[test]
fn a_policy_is_in_shadow_when_its_table_says_so() {
    let config = good(&environment(&[(
        "HYDRA_ADMISSION",
        "[{kind = 'token-bucket', mode = 'shadow'}, {kind = 'queue-depth'}]",
    )]))
    .config;
    let modes: Vec<_> = config.admission.iter().map(|policy| policy.mode).collect();
    assert_eq!(modes, [PolicyMode::Shadow, PolicyMode::Enforce]);
    assert!(!config.admission[0].plugin.settings.contains_key("mode"), "the plugin does not see it");

    let (found, at) = issue("[[admission]]\nkind = 'token-bucket'\nmode = 'shadwo'\n");
    assert_eq!((found.key.as_str(), at), ("admission[0].mode", (3, 8)));
    assert_eq!(found.help.as_deref(), Some("did you mean `shadow`? allowed: `enforce`, `shadow`"));
    let (found, at) = issue("[[admission]]\nkind = 'token-bucket'\nmdoe = 'shadow'\n");
    assert_eq!((found.key.as_str(), at), ("admission[0].mdoe", (3, 1)));
    assert_eq!(found.help.as_deref(), Some("did you mean `mode`?"));
}

#[test]
fn a_plugin_with_a_key_that_the_node_takes_is_refused() {
    let (found, at) = issue("[[admission]]\nkind = 'moody'\n");
    assert_eq!((found.key.as_str(), at), ("admission[0].kind", (2, 8)));
    assert!(found.message.contains("`mode`"), "{found}");
}

#[test]
fn a_word_that_is_no_choice_tells_the_choices() {
    let (found, at) = issue("[network]\naddresses = 'pubilc'\n");
    assert_eq!((found.key.as_str(), at), ("network.addresses", (2, 13)));
    assert_eq!(found.help.as_deref(), Some("did you mean `public`? allowed: `public`, `lan`, `any`"));
    let (found, _) = issue("[store]\nkind = 'fjall'\norder = 'by-colour'\n");
    assert_eq!(found.help.as_deref(), Some("allowed: `by-key`, `by-age`"));
}

#[test]
fn an_unknown_kind_tells_the_kinds() {
    let (found, at) = issue("[store]\nkind = 'fjal'\npath = 'x'\n");
    assert_eq!((found.key.as_str(), at), ("store.kind", (2, 8)));
    assert_eq!(found.help.as_deref(), Some("did you mean `fjall`? known kinds: `fjall`, `pair`, `row`"));
    let (found, at) = issue("[[admission]]\nkind = 'queue-depth'\n[[admission]]\npeer = {}\n");
    assert_eq!((found.key.as_str(), at.0), ("admission[1]", 3));
    assert!(found.message.contains("`kind` is missing"), "{found}");
}

#[test]
fn what_is_no_toml_is_refused_at_its_line() {
    let (found, at) = issue("[heads]\ncount = 3\ncount = 4\n");
    assert_eq!(at.0, 3, "{found}");
    let (found, at) = issue("[heads]\ncount = = 3\n");
    assert_eq!(at.0, 2, "{found}");
}

#[test]
fn keys_that_do_not_fit_together_are_refused() {
    let (found, at) = issue("[connections]\nper_head_low = 3700\n");
    assert_eq!((found.key.as_str(), at.0), ("connections.per_head_low", 2));
    let (found, _) = issue("[log]\nlevel = 'hydra=loud'\n");
    assert_eq!(found.key, "log.level");
    let (found, at) = issue("[log]\nlevel = 'inof'\n");
    assert_eq!((found.key.as_str(), at.0), ("log.level", 2), "it would be taken for a target");
    assert!(found.help.as_deref().is_some_and(|help| help.starts_with("did you mean `info`?")), "{found}");
    let (found, _) = issue("[network]\nbootstrap = ['/ip4/127.0.0.1/tcp/4001']\n");
    assert_eq!(found.key, "network.bootstrap[0]");
    assert!(found.message.contains("/p2p/"), "{found}");
}

#[test]
fn every_issue_is_reported_not_only_the_first() {
    let file = file("bogus = 1\n[heads]\ncount = 0\n[store]\nkind = 'fjall'\nrecords_max = 0\n");
    let found = issues(&file.sources);
    let keys: Vec<_> = found.iter().map(|issue| issue.key.as_str()).collect();
    assert_eq!(keys, ["bogus", "heads.count", "store.records_max"]);
}

#[test]
fn an_issue_names_its_variable_or_flag() {
    let loaded = good(&environment(&[("HYDRA_HEADS__CUONT", "3"), ("HYDRA_HEADS__COUNT", "4")]));
    assert_eq!(loaded.config.heads.count, 4);
    let warnings: Vec<_> = loaded.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["environment variable HYDRA_HEADS__CUONT: heads.cuont: unknown key; did you mean `count`?"]
    );
    let mut file = file("[heads]\ncount = 3\n");
    file.sources.settings = vec![setting("heads.count", "many")];
    let found = issues(&file.sources);
    assert_eq!(found[0].origin, Origin::Flag("--set heads.count".to_owned()));
    let found = issues(&environment(&[("HYDRA_ADMISSION__0__KIND", "queue-depth")]));
    assert!(found[0].message.contains("one by one"), "{}", found[0]);
    let found = issues(&environment(&[("HYDRA_STORE", "{kind = 'fjall', bogus = 1}")]));
    assert_eq!(found[0].origin, Origin::Environment("HYDRA_STORE".to_owned()));
}

#[test]
fn a_file_that_is_not_there_is_an_issue() {
    let sources = Sources { file: Some("/nowhere/hydra.toml".into()), ..Sources::default() };
    assert!(issues(&sources)[0].to_string().starts_with("/nowhere/hydra.toml: cannot read the config file"));
}

#[test]
fn no_value_in_the_place_of_a_secret_is_shown() {
    let (found, _) = issue("[store]\nkind = 'fjall'\nsecret = 'hunter2'\n");
    assert_eq!(found.key, "store.secret");
    assert!(!found.to_string().contains("hunter2"), "{found}");
    let help = found.help.unwrap();
    assert!(help.contains("{ file = … }") && help.contains("{ env = … }"), "{help}");
}

#[test]
fn another_place_of_a_secret_replaces_that_of_the_file() {
    let mut file = file("[telemetry.otlp.headers]\nauthorization = { file = '/run/token' }\n");
    file.sources.environment =
        vec![("HYDRA_TELEMETRY__OTLP__HEADERS__AUTHORIZATION".into(), "{ env = 'TOKEN' }".into())];
    let loaded = good(&file.sources);
    let headers = &loaded.config.telemetry.otlp.headers;
    assert_eq!(headers["authorization"], hydra_api::SecretSource::Env("TOKEN".to_owned()));
}

#[test]
fn a_collector_that_is_none_is_refused_at_its_line() {
    let (found, at) = issue("[telemetry.otlp]\nprotocol = 'grpc'\nendpoint = 'localhost:4317'\n");
    assert_eq!((found.key.as_str(), at), ("telemetry.otlp.endpoint", (3, 12)));
    assert!(found.help.as_deref().is_some_and(|help| help.contains("`http://localhost:4317`")), "{found}");
    let (found, at) = issue("[telemetry.otlp]\nprotocol = 'gprc'\n");
    assert_eq!((found.key.as_str(), at), ("telemetry.otlp.protocol", (2, 12)));
    assert_eq!(found.help.as_deref(), Some("did you mean `grpc`? allowed: `grpc`, `http/protobuf`"));
    let (found, _) = issue("[telemetry.otlp]\nheaders = { authorization = 'Bearer hunter2' }\n");
    assert_eq!(found.key, "telemetry.otlp.headers.authorization");
    assert!(!found.to_string().contains("hunter2"), "{found}");
}

#[test]
fn an_issue_found_by_the_exporter_names_its_line() {
    let blamed = |text: &str| {
        let opened = good(&file(text).sources).exporter();
        let Err(OpenBackendsError::Config(issues)) = opened else { panic!("{opened:?}") };
        let Origin::File(place) = &issues.0[0].origin else { panic!("{issues}") };
        (issues.0[0].key.clone(), place.line(), issues.to_string())
    };
    let to = "[telemetry.otlp]\nendpoint = 'http://localhost:4317/v1/traces'\n";
    let (key, line, message) = blamed(to);
    assert_eq!((key.as_str(), line), ("telemetry.otlp.endpoint", 2), "{message}");
    assert!(
        message.contains("which gRPC does not support") && message.contains("`http/protobuf`"),
        "{message}"
    );
    let headers = "protocol = 'http/protobuf'\n[telemetry.otlp.headers]\nx-key = { file = '/nowhere/key' }\n";
    let (key, line, message) = blamed(&format!("{to}{headers}"));
    assert_eq!((key.as_str(), line), ("telemetry.otlp.headers.x-key", 5), "{message}");
}

#[tokio::test]
async fn a_missing_secret_names_its_line() {
    let text = "data_dir = 'DIR'\n[store]\nkind = 'fjall'\nsecret = { file = '/nowhere/secret' }\n";
    let dir = tempfile::tempdir().unwrap();
    let file = file(&text.replace("DIR", dir.path().to_str().unwrap()));
    let opened = good(&file.sources).open(&registry()).await;
    let Err(OpenBackendsError::Config(issues)) = opened else { panic!("{opened:?}") };
    let Origin::File(place) = &issues.0[0].origin else { panic!("{issues}") };
    assert_eq!((issues.0[0].key.as_str(), place.line()), ("store.secret", 4));
    assert!(issues.to_string().contains("/nowhere/secret"), "{issues}");
}

#[test]
fn a_store_inside_a_store_is_checked_as_one_outside_is() {
    let pair = "[store]\nkind = 'pair'\n";
    let (found, at) = issue(&format!("{pair}[store.far]\nkind = 'fjall'\nrecord_max = 3\n"));
    assert_eq!((found.key.as_str(), at), ("store.far.record_max", (5, 1)));
    assert!(found.help.as_deref().is_some_and(|help| help.contains("`records_max`")), "{found}");
    let (found, at) = issue(&format!("{pair}[store.far]\nkind = 'fjall'\nrecords_max = 1001\n"));
    assert_eq!((found.key.as_str(), at), ("store.far.records_max", (5, 15)));
    let (found, at) = issue(&format!("{pair}[store.near]\nkind = 'fjal'\n"));
    assert_eq!((found.key.as_str(), at), ("store.near.kind", (4, 8)));
    assert!(found.help.as_deref().is_some_and(|help| help.contains("`fjall`")), "{found}");
    // As deep as anybody likes.
    let deep = "[store.near]\nkind = 'pair'\n[store.near.far]\nkind = 'fjall'\nordre = 'by-key'\n";
    let (found, at) = issue(&format!("{pair}{deep}"));
    assert_eq!((found.key.as_str(), at), ("store.near.far.ordre", (7, 1)));
    // What is not set is the plugin's default, there too.
    let loaded = good(&file(&format!("{pair}[store.near]\nkind = 'fjall'\norder = 'by-age'\n")).sources);
    assert_eq!(loaded.config.store.settings["near"]["records_max"], json!(100));
    assert_eq!(
        loaded.config.store.settings["far"],
        json!({ "kind": "fjall", "records_max": 100, "order": "by-key", "secret": null })
    );
}

#[test]
fn stores_in_a_list_are_checked_each_with_its_line() {
    let row = "[store]\nkind = 'row'\n[[store.stores]]\nkind = 'fjall'\n[[store.stores]]\n";
    let (found, at) = issue(&format!("{row}kind = 'fjall'\nrecord_max = 3\n"));
    assert_eq!((found.key.as_str(), at), ("store.stores[1].record_max", (7, 1)));
    assert!(found.help.as_deref().is_some_and(|help| help.contains("`records_max`")), "{found}");
    let (found, at) = issue(&format!("{row}kind = 'fjall'\nrecords_max = 1001\n"));
    assert_eq!((found.key.as_str(), at), ("store.stores[1].records_max", (7, 15)));
    let (found, at) = issue(&format!("{row}kind = 'fjal'\n"));
    assert_eq!((found.key.as_str(), at), ("store.stores[1].kind", (6, 8)));
    let (found, at) = issue(row);
    assert_eq!((found.key.as_str(), at.0), ("store.stores[1]", 5));
    assert!(found.message.contains("`kind`"), "{found}");
    let (found, _) = issue("[store]\nkind = 'row'\nstores = []\n");
    assert_eq!(found.key, "store.stores");
    // A list in a list.
    let deep = "kind = 'row'\n[[store.stores.stores]]\nkind = 'fjall'\nordre = 'by-key'\n";
    let (found, at) = issue(&format!("{row}{deep}"));
    assert_eq!((found.key.as_str(), at), ("store.stores[1].stores[0].ordre", (9, 1)));
    // What is not set is the plugin's default, in each.
    let loaded = good(&file(&format!("{row}kind = 'fjall'\norder = 'by-age'\n")).sources);
    let stores = &loaded.config.store.settings["stores"];
    assert_eq!(stores[0], json!({ "kind": "fjall", "records_max": 100, "order": "by-key", "secret": null }));
    assert_eq!(stores[1], json!({ "kind": "fjall", "records_max": 100, "order": "by-age", "secret": null }));
}

#[tokio::test]
async fn an_issue_found_by_opening_a_store_of_a_list_names_its_line() {
    let text = "data_dir = 'DIR'\n[store]\nkind = 'row'\n[[store.stores]]\nkind = 'fjall'\n[[store.stores]]\nkind = 'fjall'\nsecret = { file = '/nowhere/secret' }\n";
    let dir = tempfile::tempdir().unwrap();
    let file = file(&text.replace("DIR", dir.path().to_str().unwrap()));
    let opened = good(&file.sources).open(&registry()).await;
    let Err(OpenBackendsError::Config(issues)) = opened else { panic!("{opened:?}") };
    let Origin::File(place) = &issues.0[0].origin else { panic!("{issues}") };
    assert_eq!((issues.0[0].key.as_str(), place.line()), ("store.stores[1].secret", 8));
}

#[tokio::test]
async fn an_issue_found_by_opening_a_nested_store_names_its_line() {
    let text = "data_dir = 'DIR'\n[store]\nkind = 'pair'\n[store.far]\nkind = 'fjall'\nsecret = { file = '/nowhere/secret' }\n";
    let dir = tempfile::tempdir().unwrap();
    let file = file(&text.replace("DIR", dir.path().to_str().unwrap()));
    let opened = good(&file.sources).open(&registry()).await;
    let Err(OpenBackendsError::Config(issues)) = opened else { panic!("{opened:?}") };
    let Origin::File(place) = &issues.0[0].origin else { panic!("{issues}") };
    assert_eq!((issues.0[0].key.as_str(), place.line()), ("store.far.secret", 6));
}
