use super::*;
use hydra_api::{OpenErrorKind, SecretSource};

fn load(dir: &Path) -> Result<Seed, OpenError> {
    Seed::load(&Config::default(), &Scope::new(dir))
}

#[test]
fn a_seed_is_made_once_and_read_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = load(dir.path()).unwrap();
    assert_eq!(first.as_bytes(), load(dir.path()).unwrap().as_bytes());
    let names: Vec<_> = dir.path().read_dir().unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["seed"], "nothing else is left behind");
    let another = load(tempfile::tempdir().unwrap().path()).unwrap();
    assert_ne!(first.as_bytes(), another.as_bytes());
}

#[test]
fn processes_that_start_together_get_one_seed() {
    let dir = tempfile::tempdir().unwrap();
    let seeds: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| *load(dir.path()).unwrap().as_bytes())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seeds.iter().all(|seed| *seed == seeds[0]));
}

#[cfg(unix)]
#[test]
fn a_seed_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    let path = dir.path().join("seed");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let refused = load(dir.path()).unwrap_err();
    assert_eq!(refused.kind(), &OpenErrorKind::Config { key: "seed_file".into() });
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[cfg(unix)]
#[test]
fn the_permissions_of_what_is_no_seed_file_are_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (inner, other) = (dir.path().join("inner"), dir.path().join("hosts"));
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(&other, "127.0.0.1 localhost").unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o644)).unwrap();
    let cases = [
        (inner, "is a directory: name a file"),
        ("/dev/null".into(), "is not a regular file: name a file"),
        (other, "change `seed_file`"),
    ];
    for (path, text) in cases {
        let config = Config { seed_file: path, ..Config::default() };
        let refused = Seed::load(&config, &Scope::new(dir.path())).unwrap_err().to_string();
        assert!(refused.contains(text) && !refused.contains("chmod"), "{refused}");
    }
}

#[test]
fn a_damaged_seed_file_is_neither_used_nor_replaced() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    let path = dir.path().join("seed");
    let (digits, long) = ("0a".repeat(32), "0a".repeat(33));
    let versions = ["0:", "3:", "02:", " 2 :", ":", "2:2:"].map(|version| format!("{version}{digits}"));
    let others = ["", "0123", &"g".repeat(64), &"ä".repeat(32), &long, "2:", "2"].map(str::to_owned);
    for text in versions.into_iter().chain(others) {
        std::fs::write(&path, &text).unwrap();
        assert_eq!(load(dir.path()).unwrap_err().kind(), &OpenErrorKind::Corrupt);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_secret_that_is_named_must_exist_and_no_seed_file_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    let config = Config { seed: Some(SecretSource::File(secret.clone())), ..Config::default() };
    let load = || Seed::load(&config, &Scope::new(dir.path()));
    assert_eq!(load().unwrap_err().kind(), &OpenErrorKind::Config { key: "seed".into() });
    std::fs::write(&secret, "too short to be a seed").unwrap();
    let refused = load().unwrap_err();
    assert_eq!(refused.kind(), &OpenErrorKind::Config { key: "seed".into() });
    assert!(!refused.to_string().contains("too short"), "no secret is shown: {refused}");
    std::fs::write(&secret, format!("  {}\n", "0A".repeat(32))).unwrap();
    assert_eq!(load().unwrap().as_bytes(), &[10; 32]);
    assert!(!dir.path().join("seed").exists());
}

#[test]
fn i7_no_seed_is_shown() {
    assert_eq!(format!("{:?}", Seed::from_bytes([7; 32], Derivation::NEWEST)), "Seed(…)");
}

/// What existed before there were versions keeps its identities; what is made now says which ones it has.
#[test]
fn a_seed_tells_its_derivation_and_one_without_is_of_the_first() {
    let digits = "0a".repeat(32);
    for (version, derivation) in [("", Derivation::One), ("1:", Derivation::One), ("2:", Derivation::Two)] {
        let seed = Seed::parse(&format!("{version}{digits}\n")).unwrap();
        assert_eq!((seed.derivation(), seed.as_bytes()), (derivation, &[10; 32]), "{version}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load(dir.path()).unwrap().derivation(), Derivation::NEWEST);
    assert!(std::fs::read_to_string(dir.path().join("seed")).unwrap().starts_with("2:"));
    assert_eq!(load(dir.path()).unwrap().derivation(), Derivation::NEWEST, "read again");
}
