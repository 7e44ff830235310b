use super::*;
use std::path::Path;

fn open(dir: &Path, config: Config) -> Balanced {
    Balanced::new(config, &Scope::new(dir)).unwrap()
}

fn count(heads: u32) -> HeadCount {
    HeadCount::new(heads).unwrap()
}

fn held(leases: &[HeadLease]) -> Vec<HeldSlot> {
    leases.iter().map(|lease| lease.held_on(lease.port)).collect()
}

fn shown(leases: &[HeadLease]) -> Vec<(u32, hydra_api::PeerId, u16)> {
    leases.iter().map(|lease| (lease.slot, lease.peer, lease.port)).collect()
}

#[tokio::test]
async fn i1_i3_a_restart_keeps_identities_and_ports_and_more_heads_keep_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), Config::default()).acquire(count(3)).await.unwrap();
    assert_eq!(first.iter().map(|lease| lease.port).collect::<Vec<_>>(), [20_000, 20_001, 20_002]);
    let second = open(dir.path(), Config::default()).acquire(count(5)).await.unwrap();
    assert_eq!(shown(&first), shown(&second)[..3]);
}

#[tokio::test]
async fn i2_i4_leases_are_distinct_and_what_was_released_is_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let ids = open(dir.path(), Config::default());
    let (mut all, later) = (ids.acquire(count(2)).await.unwrap(), ids.acquire(count(2)).await.unwrap());
    all.extend(later);
    assert_eq!(all.iter().map(|lease| lease.slot).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let released = all.remove(1);
    ids.release(&held(std::slice::from_ref(&released))).await.unwrap();
    assert_eq!(shown(&ids.acquire(count(1)).await.unwrap()), shown(&[released]));
}

#[tokio::test]
async fn i6_a_reported_port_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    for config in [Config::default(), Config { port_base: 0, ..Config::default() }] {
        let ids = open(dir.path(), config.clone());
        let mut leases = ids.acquire(count(2)).await.unwrap();
        leases[1].port = 45_678;
        assert_eq!(ids.renew(&held(&leases)).await.unwrap().lost, Vec::<u32>::new());
        drop(ids);
        let again = open(dir.path(), config).acquire(count(2)).await.unwrap();
        assert_eq!(shown(&again), shown(&leases));
    }
}

#[tokio::test]
async fn a_slot_that_is_not_held_is_reported_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let ids = open(dir.path(), Config::default());
    let leases = ids.acquire(count(2)).await.unwrap();
    ids.release(&held(&leases[1..])).await.unwrap();
    assert_eq!(ids.renew(&held(&leases)).await.unwrap().lost, [1]);
}

#[tokio::test]
async fn i8_a_data_directory_is_used_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (ids, other) = (open(dir.path(), Config::default()), open(dir.path(), Config::default()));
    let leases = ids.acquire(count(1)).await.unwrap();
    assert_eq!(other.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Held);
    ids.release(&held(&leases)).await.unwrap();
    other.acquire(count(1)).await.unwrap();
    assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Held);
    drop(other);
    ids.acquire(count(1)).await.unwrap();
}

#[tokio::test]
async fn processes_that_share_a_seed_take_slots_of_their_own() {
    let (dir, secret) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(secret.path(), "07".repeat(32)).unwrap();
    let seed = Some(hydra_api::SecretSource::File(secret.path().into()));
    let config = Config { seed, first_slot: 2, slots_max: 2, ..Config::default() };
    let ids = open(dir.path(), config.clone());
    let leases = ids.acquire(count(2)).await.unwrap();
    let whole = crate::derive_all(&Seed::from_bytes([7; 32], crate::Derivation::One), &[2, 3], &|_| ());
    assert_eq!(shown(&leases), [(2, whole[0].peer, 20_002), (3, whole[1].peer, 20_003)]);
    assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Exhausted);
    let beyond = ids.preview(count(5), std::sync::Arc::new(|_| ())).await;
    assert_eq!(beyond.unwrap_err().kind(), IdErrorKind::Exhausted);
}

#[tokio::test]
async fn damaged_or_foreign_caches_are_made_again_and_change_no_identity() {
    let dir = tempfile::tempdir().unwrap();
    let acquire = async || shown(&open(dir.path(), Config::default()).acquire(count(2)).await.unwrap());
    let first = acquire().await;
    let path = dir.path().join("ids/heads.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    for (key, wrong) in [("seed", "0000".into()), ("version", 4.into()), ("derivation", 1.into())] {
        let mut foreign = value(&good);
        foreign[key] = wrong;
        std::fs::write(&path, foreign.to_string()).unwrap();
        assert_eq!(acquire().await, first);
    }
    let mut exchanged = value(&good);
    exchanged["heads"]["0"] = exchanged["heads"]["1"].clone();
    for text in [exchanged.to_string(), good[..good.len() / 2].to_owned(), String::new()] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(acquire().await, first);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), good, "it is written anew");
    }
}

#[tokio::test]
async fn a_damaged_port_file_stops_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let ids = open(dir.path(), Config::default());
    std::fs::write(dir.path().join("ids/ports.json"), "{").unwrap();
    assert_eq!(ids.acquire(count(1)).await.unwrap_err().kind(), IdErrorKind::Corrupt);
    let refused = Balanced::new(Config::default(), &Scope::new(dir.path())).unwrap_err();
    assert_eq!(refused.kind(), &hydra_api::OpenErrorKind::Corrupt);
    let said = hydra_api::Causes(&refused).to_string();
    assert!(said.contains("ids/ports.json is damaged, put back a copy of it"), "{said}");
}

#[tokio::test]
async fn i10_a_damaged_epoch_file_keeps_no_node_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ids/epoch.json");
    let first = open(dir.path(), Config::default()).acquire(count(1)).await.unwrap();
    std::fs::write(&path, "{").unwrap();
    let second = open(dir.path(), Config::default()).acquire(count(1)).await.unwrap();
    assert_eq!(first[0].peer, second[0].peer);
    assert!(first[0].epoch < second[0].epoch, "{} {}", first[0].epoch, second[0].epoch);
}

#[tokio::test]
async fn i10_an_epoch_file_of_another_version_takes_no_slot_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let ids = open(dir.path(), Config::default());
    let path = dir.path().join("ids/epoch.json");
    std::fs::write(&path, r#"{ "version": 2, "epoch": 3 }"#).unwrap();
    let error = ids.acquire(count(1)).await.unwrap_err();
    assert_eq!(error.kind(), IdErrorKind::Corrupt);
    let said = hydra_api::Causes(&error).to_string();
    assert!(said.contains("ids/epoch.json is damaged, stop the node"), "{said}");
    // Nothing is held, not even the lock.
    std::fs::remove_file(path).unwrap();
    open(dir.path(), Config::default()).acquire(count(1)).await.unwrap();
}

#[tokio::test]
async fn errors_name_the_file_and_the_root_cause() {
    let dir = tempfile::tempdir().unwrap();
    let ids = open(dir.path(), Config::default());
    let other = open(dir.path(), Config::default());
    let leases = other.acquire(count(1)).await.unwrap();
    let said = hydra_api::Causes(&ids.acquire(count(1)).await.unwrap_err()).to_string();
    assert!(said.contains("another process uses this data directory") && said.contains("ids/lock"), "{said}");
    other.release(&held(&leases)).await.unwrap();
    // A file system that takes no more files: the name of the new file is taken by a directory.
    std::fs::create_dir(dir.path().join("ids/ports.json.new")).unwrap();
    let leases = ids.acquire(count(1)).await.unwrap();
    let error = ids.renew(&[leases[0].held_on(45_678)]).await.unwrap_err();
    assert_eq!(error.kind(), IdErrorKind::Unavailable);
    let said = hydra_api::Causes(&error).to_string();
    assert!(said.contains("cannot write") && said.contains("ids/ports.json: "), "{said}");
    // The port is not taken for kept: the next report writes it.
    std::fs::remove_dir(dir.path().join("ids/ports.json.new")).unwrap();
    ids.renew(&[leases[0].held_on(45_678)]).await.unwrap();
    drop(ids);
    assert_eq!(open(dir.path(), Config::default()).acquire(count(1)).await.unwrap()[0].port, 45_678);
}

#[tokio::test]
async fn wanting_more_ports_than_there_are_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ids = open(dir.path(), Config { port_base: 65_534, ..Config::default() });
    assert_eq!(ids.acquire(count(3)).await.unwrap_err().kind(), IdErrorKind::Exhausted);
    assert_eq!(ids.acquire(count(2)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_check_creates_nothing_and_works_beside_a_holder() {
    let dir = tempfile::tempdir().unwrap();
    let check = || Balanced::new(Config::default(), &Scope::new(dir.path()).with_purpose(Purpose::Check));
    let before = check().unwrap().preview(count(1), std::sync::Arc::new(|_| ())).await.unwrap_err();
    assert!(hydra_api::Causes(&before).to_string().contains("the first start"), "{before}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let ids = open(dir.path(), Config::default());
    let leases = ids.acquire(count(2)).await.unwrap();
    let preview = check().unwrap().preview(count(2), std::sync::Arc::new(|_| ())).await.unwrap();
    assert_eq!(preview.iter().map(|head| head.peer).collect::<Vec<_>>(), [leases[0].peer, leases[1].peer]);
    let refused = check().unwrap().acquire(count(1)).await.unwrap_err();
    assert!(hydra_api::Causes(&refused).to_string().contains("opened for a check"), "{refused}");
    assert_eq!(ids.renew(&held(&leases)).await.unwrap().held.len(), 2);
}

/// A preview finds what the next one, and the node, need not search for.
#[tokio::test]
async fn what_a_preview_has_found_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ids/heads.json");
    let preview = async || {
        let ids = open(dir.path(), Config::default());
        let heads = ids.preview(count(40), std::sync::Arc::new(|_| ())).await.unwrap();
        heads.into_iter().map(|head| (head.slot, head.peer, head.port)).collect::<Vec<_>>()
    };
    let first = preview().await;
    let kept = std::fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(value["heads"].as_object().unwrap().len(), 40);
    assert_eq!(preview().await, first);
    assert_eq!(shown(&open(dir.path(), Config::default()).acquire(count(40)).await.unwrap()), first);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), kept, "nothing was found anew");
    // What is of another seed is not the preview's to replace.
    let foreign = kept.replace(value["seed"].as_str().unwrap(), "0000000000000000");
    std::fs::write(&path, &foreign).unwrap();
    assert_eq!(preview().await, first);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
    let names: Vec<_> =
        path.parent().unwrap().read_dir().unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("new")), "{names:?}");
}

/// A data directory of the time when there was one derivation, with its cache and without.
#[cfg(unix)]
#[tokio::test]
async fn i1_a_seed_without_a_version_keeps_its_identities() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (seed, cache) = (dir.path().join("seed"), dir.path().join("ids/heads.json"));
    std::fs::write(&seed, "07".repeat(32)).unwrap();
    std::fs::set_permissions(&seed, PermissionsExt::from_mode(0o600)).unwrap();
    let expected = crate::derive_all(&Seed::from_bytes([7; 32], crate::Derivation::One), &[0, 1], &|_| ());
    let expected: Vec<_> = expected.into_iter().map(|head| (head.slot, head.peer)).collect();
    let acquire = async || {
        let leases = open(dir.path(), Config::default()).acquire(count(2)).await.unwrap();
        leases.into_iter().map(|lease| (lease.slot, lease.peer)).collect::<Vec<_>>()
    };
    assert_eq!(acquire().await, expected);
    let kept = std::fs::read_to_string(&cache).unwrap();
    let old = kept.replace("\"version\": 3", "\"version\": 1").replace("  \"derivation\": 1,\n", "");
    assert!(!old.contains("derivation"), "{old}");
    std::fs::write(&cache, &old).unwrap();
    assert_eq!(acquire().await, expected);
    assert_eq!(std::fs::read_to_string(&cache).unwrap(), old, "it was read: nothing was found anew");
}
