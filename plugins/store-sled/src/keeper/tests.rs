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
