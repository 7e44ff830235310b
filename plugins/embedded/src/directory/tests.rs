use super::*;
use crate::check;
use hydra_api::OpenErrorKind;
use std::cell::Cell;

const ENGINE: EngineFiles = EngineFiles { owns: |names| names.iter().all(|name| name == "db"), root: "db" };

fn engine(dir: &Path) -> Result<(), Fault> {
    fs::create_dir_all(dir).and_then(|()| fs::write(dir.join("db"), "rows")).map_err(Fault::Io)
}

fn open_serving<T>(dir: &Path, files: impl Fn() -> Result<T, Fault>) -> Result<Opened<T>, OpenError> {
    open(Purpose::Serve, dir, ENGINE, |_| files())
}

fn beside_of(dir: &Path) -> usize {
    fs::read_dir(dir.parent().unwrap()).unwrap().count()
}

#[test]
fn a_directory_is_used_by_one_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    let opened = open_serving(&dir, || engine(&dir)).unwrap();
    let refused = open_serving(&dir, || engine(&dir)).unwrap_err();
    assert!(refused.to_string().contains("another process uses the records"), "{refused}");
    let checked = check(&dir, ENGINE).unwrap_err();
    assert_eq!(*checked.kind(), OpenErrorKind::Unavailable);
    drop(opened);
    check(&dir, ENGINE).unwrap();
    open_serving(&dir, || engine(&dir)).unwrap();
}

#[test]
fn a_check_creates_nothing_and_refuses_other_files() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("data/records");
    check(&dir, ENGINE).unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    fs::write(place.path().join("data"), "a file").unwrap();
    assert_eq!(*check(&dir, ENGINE).unwrap_err().kind(), OpenErrorKind::Config { key: "dir".to_owned() });
    fs::remove_file(place.path().join("data")).unwrap();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("diary.txt"), "mine").unwrap();
    assert_eq!(*check(&dir, ENGINE).unwrap_err().kind(), OpenErrorKind::Config { key: "dir".to_owned() });
}

#[test]
fn damage_is_set_aside_and_a_second_open_begins_empty() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    engine(&dir).unwrap();
    let tries = Cell::new(0);
    let files = || {
        tries.set(tries.get() + 1);
        if tries.get() == 1 { Err(Fault::damage(std::fmt::Error)) } else { engine(&dir) }
    };
    open_serving(&dir, files).unwrap();
    // The lock, what was moved and what is new.
    assert_eq!(beside_of(&dir), 3);
}

#[test]
fn what_looks_like_damage_is_left_where_it_is_while_nothing_can_be_written() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    let files = || -> Result<(), Fault> { panic!("no room") };
    // There is not even a directory to write to.
    let refused = open_serving(&dir, files).unwrap_err();
    assert_eq!(*refused.kind(), OpenErrorKind::Unavailable);
    assert!(refused.to_string().contains("the storage engine panicked: no room"), "{refused}");
    assert_eq!(beside_of(&dir), 1);
}

#[test]
fn another_layout_is_refused_and_left_where_it_is() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    let files = || -> Result<(), Fault> { Err(Fault::Layout { found: 2, known: 1 }) };
    let refused = open_serving(&dir, files).unwrap_err();
    assert_eq!(*refused.kind(), OpenErrorKind::Corrupt);
    assert!(refused.to_string().contains("another version of hydra"), "{refused}");
}

#[test]
fn damage_is_an_error_and_stays_where_it_is_unless_a_node_opens_it() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    engine(&dir).unwrap();
    let refused = |purpose| {
        let error = open(purpose, &dir, ENGINE, |rows| {
            assert_eq!(rows, Rows::MustBe);
            Err::<(), _>(Fault::damage(std::fmt::Error))
        });
        let error = error.unwrap_err();
        assert_eq!(*error.kind(), OpenErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("are damaged, and are left as they are"), "{error}");
        // The lock beside it.
        assert_eq!(beside_of(&dir), 2);
    };
    refused(Purpose::Use);
    refused(Purpose::Migrate);
    let never = |_| -> Result<(), Fault> { panic!("the engine would change what is there") };
    fs::write(dir.join(crate::damage::MARKER), "a row is damaged").unwrap();
    let marked = open(Purpose::Use, &dir, ENGINE, never).unwrap_err();
    assert!(Causes(&marked).to_string().ends_with("a row is damaged"), "{}", Causes(&marked));
    let remarks = check(&dir, ENGINE).unwrap();
    assert!(
        remarks[0].starts_with("but damaged: ") && remarks[0].contains("a row is damaged"),
        "{remarks:?}"
    );
    fs::remove_file(dir.join(crate::damage::MARKER)).unwrap();
    assert!(check(&dir, ENGINE).unwrap()[0].starts_with("not opened: "));
}

#[test]
fn what_has_changed_since_a_clean_stop_is_damage_and_nothing_else_is() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    let never = || -> Result<(), Fault> { panic!("the engine would change what is there") };
    let list = || {
        engine(&dir).unwrap();
        checksums::write_checksums(&dir, std::time::Instant::now() + Duration::from_secs(600)).unwrap();
    };
    list();
    assert!(check(&dir, ENGINE).unwrap()[0].contains("are as the last stop left them"));
    open_serving(&dir, || engine(&dir)).unwrap();
    assert!(!dir.join(CHECKSUMS).exists(), "it is of no use once the engine writes");

    for damage in [|db: &Path| fs::write(db, "r0ws"), |db: &Path| fs::remove_file(db)] {
        list();
        damage(&dir.join("db")).unwrap();
        assert!(check(&dir, ENGINE).unwrap()[0].starts_with("but damaged: "));
        let refused = open(Purpose::Use, &dir, ENGINE, |_| never()).unwrap_err();
        assert_eq!(*refused.kind(), OpenErrorKind::Corrupt, "{refused}");
        assert!(dir.join(CHECKSUMS).exists(), "the next open finds it too");
        let before = aside_of(&dir).len();
        open_serving(&dir, || engine(&dir)).unwrap();
        assert_eq!(aside_of(&dir).len(), before + 1);
    }
}

/// As with a disk that fails at each start.
#[test]
fn of_many_copies_the_newest_are_kept_and_the_log_tells_what_goes() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("records");
    // Names like those of copies, which are none.
    let others = ["records.damaged-1-x", "records.damaged-", "records2.damaged-1-0", "records.damaged-1"];
    others.iter().for_each(|name| fs::create_dir(place.path().join(name)).unwrap());
    fs::write(place.path().join("records.damaged-2-0"), "a file").unwrap();
    // One of a clock that was ahead: it is no reason to remove the latest.
    fs::create_dir(place.path().join("records.damaged-4000000000-0")).unwrap();
    let logged = crate::outage::tests::logged(|| {
        for round in 0..10 {
            let tries = Cell::new(0);
            let files = || {
                tries.set(tries.get() + 1);
                if tries.get() == 1 { Err(Fault::damage(std::fmt::Error)) } else { engine(&dir) }
            };
            engine(&dir).unwrap();
            fs::write(dir.join("db"), format!("round {round}")).unwrap();
            open_serving(&dir, files).unwrap();
        }
    });
    let copies: Vec<_> = aside_of(&dir);
    assert_eq!(copies.len(), ASIDE_LEN_MAX, "{copies:?}");
    let of_round = |round: &str| {
        copies.iter().any(|path| fs::read_to_string(path.join("db")).is_ok_and(|db| db == round))
    };
    assert!(of_round("round 9") && of_round("round 8"), "the newest are gone");
    assert!(others.iter().all(|name| place.path().join(name).exists()), "what is no copy was removed");
    assert!(place.path().join("records.damaged-2-0").exists(), "a file was removed");
    assert_eq!(logged.matches("removed an old copy").count(), 8, "{logged}");
    assert!(logged.contains("copies of damaged records are kept"), "{logged}");
    assert!(logged.lines().last().unwrap().contains("copies=3 bytes=14"), "{logged}");
}

/// The copies of the directory.
fn aside_of(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let ending = name.strip_prefix("records.damaged-").and_then(|ending| ending.split_once('-'));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        path.is_dir() && ending.is_some_and(|(time, nth)| is_number(time) && is_number(nth))
    };
    entries.filter(is_copy).collect()
}
