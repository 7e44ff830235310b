use super::*;
use hydra_api::Purpose;
use hydra_embedded::Opened;

/// Two threads that tend to one outage would take each other's probes for a directory that cannot be written.
#[test]
fn who_tends_to_an_outage_ends_with_it() {
    let (dir, config) = (tempfile::tempdir().unwrap(), Config::default());
    let open = |rows| open::files(dir.path(), &config, rows);
    let Opened { files, damage, lock: _lock, .. } =
        hydra_embedded::open(Purpose::Serve, dir.path(), open::ENGINE, open).unwrap();
    let keeper = Keeper::new(dir.path().to_owned(), config.clone(), damage, files);
    keeper.state().health = Health::Outage(Outage::begin(CallsGoOn, None, Instant::now()));
    while keeper.tend() {
        assert!(keeper.refused().is_some(), "it goes on after the outage");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(keeper.refused().is_none());
}

#[test]
fn keys_that_cannot_be_read_are_logged_now_and_then_and_a_cause_that_comes_back_too() {
    let (at, second) = (Instant::now(), Duration::from_secs(1));
    let last = Logged { because: "a damaged page".to_owned(), at, last: String::new() };
    assert!(last.keeps_back("another page", at + 9 * second));
    assert!(!last.keeps_back("another page", at + 10 * second));
    assert!(last.keeps_back("a damaged page", at + 3_599 * second));
    assert!(!last.keeps_back("a damaged page", at + 3_600 * second));
}
