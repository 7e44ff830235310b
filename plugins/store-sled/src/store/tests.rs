mod values;

use super::*;
use crate::layout;
use hydra_api::RecordOutcome;
use hydra_conformance::given::{NOW, key, record};
use std::path::PathBuf;
use tempfile::TempDir;

async fn open_at(dir: &Path, config: Config) -> Result<Sled, OpenError> {
    let dir = dir.join(&config.dir);
    tokio::task::spawn_blocking(move || Sled::open_blocking(Purpose::Serve, &dir, &config)).await.unwrap()
}

async fn open(dir: &TempDir) -> Sled {
    open_at(dir.path(), Config::default()).await.unwrap()
}

async fn count(store: &Sled, number: u64) -> usize {
    let limit = NonZeroU32::new(100_000).unwrap();
    store.providers([key(number)].into(), NOW, limit).await.unwrap()[0].providers().len()
}

fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("damaged-")).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_in_use_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    let refused = open_at(dir.path(), Config::default()).await.unwrap_err();
    assert_eq!(*refused.kind(), hydra_api::OpenErrorKind::Unavailable);
    assert!(refused.to_string().contains("another process uses the records"), "{refused}");
    assert_eq!(set_aside(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(count(&store, 1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_stores_own_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("records")).unwrap();
    std::fs::write(dir.path().join("records/diary.txt"), "mine").unwrap();
    std::fs::write(dir.path().join("records/db"), "mine").unwrap();
    for name in ["records", "records/diary.txt"] {
        let refused =
            open_at(dir.path(), Config { dir: name.into(), ..Config::default() }).await.unwrap_err();
        assert_eq!(*refused.kind(), hydra_api::OpenErrorKind::Config { key: "dir".to_owned() }, "{refused}");
    }
    assert_eq!(std::fs::read(dir.path().join("records/diary.txt")).unwrap(), b"mine");
}

/// Every file in turn, cut short, emptied, overwritten or removed: the store opens, and serves what it has.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_never_keep_the_store_from_opening() {
    let batch: Vec<_> = (0..200).map(|number| record(number, number % 10)).collect();
    let pristine = tempfile::tempdir().unwrap();
    // The second opening writes a snapshot of the first one's log.
    for _ in 0..2 {
        let store = open(&pristine).await;
        store.insert(batch.as_slice().into(), NOW).await.unwrap();
        store.close().await.unwrap();
    }
    let from = pristine.path().join(crate::config::DIR);
    let entries = std::fs::read_dir(&from).unwrap().map(|entry| entry.unwrap());
    let names: Vec<_> =
        entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name()).collect();
    let is_snapshot = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("snap.");
    assert!(names.iter().any(is_snapshot), "there is no snapshot: {names:?}");
    let mut moved = Vec::new();
    for name in &names {
        for way in ["cut", "emptied", "overwritten", "removed"] {
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join(crate::config::DIR);
            copy(&from, &to);
            let file = to.join(name);
            let content = std::fs::read(&file).unwrap();
            match way {
                "cut" => std::fs::write(&file, &content[..content.len() / 2]).unwrap(),
                "emptied" => std::fs::write(&file, []).unwrap(),
                "overwritten" => std::fs::write(&file, vec![0xa5; content.len()]).unwrap(),
                _ => std::fs::remove_file(&file).unwrap(),
            }
            let what = format!("{} {way}", name.display());
            let mut store = open_at(dir.path(), Config::default()).await.expect(&what);
            let found = store.providers([key(1), key(150)].into(), NOW, NonZeroU32::MIN).await;
            let corrupt = |found: &Found| *found == Found::Unknown(StoreErrorKind::Corrupt);
            if found.as_ref().map_or(true, |found| found.iter().any(corrupt)) {
                assert!(
                    found.map_or_else(|error| error.kind() == StoreErrorKind::Corrupt, |_| true),
                    "{what}"
                );
                // The damage shows only when it is read; the next start begins anew.
                store.close().await.ok();
                store = open_at(dir.path(), Config::default()).await.expect(&what);
                assert_eq!(set_aside(dir.path()).len(), 1, "{what}");
            }
            if !set_aside(dir.path()).is_empty() {
                moved.push(what.clone());
            }
            assert_eq!(
                store.insert(batch.as_slice().into(), NOW).await.expect(&what),
                Inserted::All,
                "{what}"
            );
            assert_eq!(count(&store, 1).await, 1, "{what}");
            store.close().await.expect(&what);
        }
    }
    let emptied =
        names.iter().find(|name| is_snapshot(name)).map(|name| format!("{} emptied", name.display()));
    assert!(moved.contains(&emptied.unwrap()), "moved aside: {moved:?}");
}

/// Sled takes damage to its log for a write that a crash has cut short.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_of_a_store_that_was_closed_loses_nothing_in_silence() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("emptied", Vec::clear),
        ("cut", |log| log.truncate(log.len() / 2)),
        ("8 KiB overwritten", |log| log[100 << 10..108 << 10].fill(0x5a)),
        ("1 KiB overwritten", |log| log[100 << 10..101 << 10].fill(0x5a)),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir).await;
        for batch in 0..10 {
            let batch: Vec<_> = (0..500).map(|number| record(batch * 500 + number, number % 10)).collect();
            store.insert(batch.into(), NOW).await.unwrap();
        }
        store.close().await.unwrap();
        let files = dir.path().join(crate::config::DIR);
        assert!(files.join("checksums").exists(), "sled had not ended");
        let mut log = std::fs::read(files.join("db")).unwrap();
        damage(&mut log);
        std::fs::write(files.join("db"), &log).unwrap();
        let config = Config::default();
        let refused = Sled::open_blocking(Purpose::Use, &files, &config).unwrap_err();
        assert_eq!(*refused.kind(), hydra_api::OpenErrorKind::Corrupt, "{what}: {refused}");
        assert_eq!(std::fs::read(files.join("db")).unwrap(), log, "{what}: a look has changed it");
        let store = open(&dir).await;
        assert_eq!(set_aside(dir.path()).len(), 1, "{what}: nobody is told");
        store.close().await.unwrap();
    }
}

/// After a crash nothing tells of a damaged page until it is read: it costs the keys that are on it, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn keys_on_a_page_that_cannot_be_read_are_unknown_and_those_beside_them_known() {
    const KEYS: u64 = 4_000;
    let pristine = tempfile::tempdir().unwrap();
    let batch: Vec<_> = (0..KEYS).map(|number| record(number, number % 10)).collect();
    // A snapshot of the whole log, so that an open reads no page.
    for _ in 0..3 {
        let store = open(&pristine).await;
        for part in batch.chunks(BATCH_LEN_MAX.get()) {
            store.insert(part.into(), NOW).await.unwrap();
        }
        store.close().await.unwrap();
    }
    let from = pristine.path().join(crate::config::DIR);
    std::fs::remove_file(from.join("checksums")).unwrap();
    let log = std::fs::read(from.join("db")).unwrap();
    let mut answered = 0;
    for place in (0..log.len()).step_by(5 << 10) {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join(crate::config::DIR);
        copy(&from, &files);
        let mut log = log.clone();
        log[place..].iter_mut().take(64).for_each(|byte| *byte ^= 0x5a);
        std::fs::write(files.join("db"), log).unwrap();
        let store = open(&dir).await;
        if !set_aside(dir.path()).is_empty() {
            continue;
        }
        let (mut known, mut unknown, mut failed) = (0, 0, 0);
        for first in (0..KEYS).step_by(1_000) {
            let keys: Vec<_> = (first..first + 1_000).map(key).collect();
            let found = store.providers(keys.into(), NOW, NonZeroU32::MIN).await;
            let Ok(found) = found else {
                failed += 1;
                continue;
            };
            for (number, found) in (first..).zip(found) {
                match found {
                    Found::Known(providers) => {
                        assert_eq!(providers.len(), 1, "{number} is lost in silence, at {place}");
                        assert_eq!(providers[0].peer, record(number, number % 10).provider);
                        known += 1;
                    }
                    Found::Unknown(kind) => {
                        assert_eq!(kind, StoreErrorKind::Corrupt);
                        unknown += 1;
                    }
                }
            }
        }
        answered += u32::from(known > 0 && unknown > 0);
        // Damage is damage: the next start begins anew.
        assert_eq!(unknown + failed > 0, files.join("damaged").exists(), "at {place}");
        drop(store.close().await);
    }
    assert!(answered > 0, "no place hits the page of a key");
}

/// The list of checksums must not make a close late that is clean otherwise: without one the next open compares nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_in_time_comes_before_the_list_of_checksums() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path(), Config { write_max_s: 1, ..Config::default() }).await.unwrap();
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    let files = dir.path().join(crate::config::DIR);
    // To read all of this takes minutes, and no room on the disk.
    let large = files.join("blobs/large");
    std::fs::create_dir_all(files.join("blobs")).unwrap();
    std::fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    // The last read takes a part of the time for the close.
    let reading = store.read("test", |_| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    });
    let (read, closed) = tokio::join!(reading, store.close());
    read.unwrap();
    closed.unwrap();
    assert!(!files.join("checksums").exists());
    std::fs::remove_file(large).unwrap();
    assert_eq!(count(&open(&dir).await, 1).await, 1);
}

/// Nobody lists the files of a node that was killed: what it has written since is no damage.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_written_after_an_open_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).await.close().await.unwrap();
    let store = open(&dir).await;
    let files = dir.path().join(crate::config::DIR);
    assert!(!files.join("checksums").exists());
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    store.keeper.engine("test", Call::Read).unwrap().flush().unwrap();
    let killed = tempfile::tempdir().unwrap();
    copy(&files, &killed.path().join(crate::config::DIR));
    let after = open(&killed).await;
    assert_eq!((count(&after, 1).await, set_aside(killed.path()).len()), (1, 0));
    after.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_layout_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    store
        .keeper
        .engine("test", Call::Read)
        .unwrap()
        .rows
        .insert(layout::META, &[layout::VERSION + 1])
        .unwrap();
    store.close().await.unwrap();
    let refused = open_at(dir.path(), Config::default()).await.unwrap_err();
    assert!(refused.to_string().contains("another version of hydra"), "{refused}");
    assert_eq!(set_aside(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_does_not_return_makes_the_store_unavailable_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path(), Config { write_max_s: 1, ..Config::default() }).await.unwrap();
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    let stuck = store.write("test", move |_| {
        released.recv().unwrap_or_default();
        Ok(())
    });
    assert_eq!(stuck.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    // It still runs: others wait in vain, none begins, and reads are served.
    let waiting = store.insert([record(2, 2)].into(), NOW).await.unwrap_err();
    assert_eq!(waiting.kind(), StoreErrorKind::Unavailable);
    assert_eq!(count(&store, 1).await, 1);
    drop(release);
    store.insert([record(4, 4)].into(), NOW).await.unwrap();
    assert_eq!((count(&store, 2).await, count(&store, 4).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_is_an_error_of_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let error = store.write::<()>("test", |_| panic!("on purpose")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    assert_eq!(count(&store, 1).await, 1);
}

/// What sled keeps in memory grows with the records, so their number is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn v19_a_full_store_refreshes_those_it_knows_and_refuses_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path(), Config { records_max: 40, ..Config::default() }).await.unwrap();
    let mut batch: Vec<_> = (0..50).map(|number| record(number / 2, number)).collect();
    for seconds in [0, 60] {
        for record in &mut batch {
            record.expires = record.expires.saturating_add(Duration::from_secs(seconds));
        }
        assert_eq!(
            store.insert(batch.as_slice().into(), NOW).await.unwrap(),
            Inserted::Each(forty_of_fifty())
        );
    }
    assert_eq!(store.estimate().await.unwrap().records, 40);
    // Nothing is kept of the peers that were refused.
    let numbers = store.keeper.engine("test", Call::Read).unwrap().rows.scan_prefix(b"n").count();
    assert_eq!(numbers, 40);
}

/// A provider all of whose records have expired leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn providers_are_forgotten_after_their_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let batch: Vec<_> = (0..1000).map(|number| record(number % 3, number)).collect();
    store.insert(batch.as_slice().into(), NOW).await.unwrap();
    let over = batch[0].expires.saturating_add(Duration::from_secs(48 * 3600));
    let limit = NonZeroU32::new(100).unwrap();
    while store.purge_expired(over, limit).await.unwrap().progress == hydra_api::PurgeProgress::More {}
    let rows = store.keeper.engine("test", Call::Read).unwrap().rows.clone();
    let left: Vec<_> = rows.iter().keys().map(|key| key.unwrap().to_vec()).collect();
    assert_eq!(left, [layout::META.to_vec()]);
    // The same provider is new then, and served again.
    let again = ProviderRecord { expires: over.saturating_add(Duration::from_secs(60)), ..record(1, 1) };
    store.insert([again.clone()].into(), over).await.unwrap();
    let found = store.providers([key(1)].into(), over, limit).await.unwrap();
    assert_eq!(
        (found[0].providers()[0].peer, &found[0].providers()[0].addresses),
        (again.provider, &again.addresses)
    );
}

/// Sled prints every row when asked to: a store that is printed must not.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_printed_shows_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let empty = format!("{store:?}").len();
    store
        .insert((0..1000).map(|number| record(number, number)).collect::<Vec<_>>().into(), NOW)
        .await
        .unwrap();
    assert!(format!("{store:?}").len() < empty + 100);
}

/// What a key says of fifty records that has room for forty.
fn forty_of_fifty() -> Vec<RecordOutcome> {
    let outcome = |place| if place < 40 { RecordOutcome::Taken } else { RecordOutcome::NoRoom };
    (0..50).map(outcome).collect()
}

/// Counts what this crate and those of hydra log.
struct Lines(Arc<AtomicU32>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("hydra") && metadata.is_event()
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// A store of so many keys that was killed and then damaged in every `stride` bytes of its log; unless that is found at once.
async fn damaged_after_a_crash(pristine: &TempDir, stride: usize) -> Option<(TempDir, Sled)> {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join(crate::config::DIR);
    copy(&pristine.path().join(crate::config::DIR), &files);
    std::fs::remove_file(files.join("checksums")).unwrap();
    let mut log = std::fs::read(files.join("db")).unwrap();
    for place in (8 << 10..log.len()).step_by(stride) {
        log[place..].iter_mut().take(64).for_each(|byte| *byte ^= 0x5a);
    }
    std::fs::write(files.join("db"), log).unwrap();
    let store = open(&dir).await;
    set_aside(dir.path()).is_empty().then_some((dir, store))
}

/// What cannot be read on several pages, each with an error of its own, is logged now and then, not at each call.
#[tokio::test(flavor = "multi_thread")]
async fn two_damaged_pages_do_not_fill_the_log() {
    const KEYS: u64 = 4_000;
    let pristine = tempfile::tempdir().unwrap();
    let batch: Vec<_> = (0..KEYS).map(|number| record(number, number % 10)).collect();
    for _ in 0..3 {
        let store = open(&pristine).await;
        for part in batch.chunks(BATCH_LEN_MAX.get()) {
            store.insert(part.into(), NOW).await.unwrap();
        }
        store.close().await.unwrap();
    }
    for stride in [64 << 10, 48 << 10, 40 << 10, 32 << 10, 24 << 10, 20 << 10, 16 << 10, 12 << 10, 8 << 10] {
        let Some((_dir, store)) = damaged_after_a_crash(&pristine, stride).await else { continue };
        let engine = store.keeper.engine("test", Call::Read).unwrap();
        let (mut healthy, mut damaged) = (None, std::collections::BTreeMap::new());
        for number in 0..KEYS {
            match engine.providers(&[key(number)], NOW, 1).unread {
                Some(fault) => drop(damaged.insert(hydra_api::Causes(&fault).to_string(), number)),
                None => healthy = Some(number),
            }
        }
        let Some(healthy) = healthy.filter(|_| damaged.len() > 1) else { continue };
        let lines = Arc::new(AtomicU32::new(0));
        tracing::subscriber::with_default(Lines(lines.clone()), || {
            for number in (0..1_000).flat_map(|_| damaged.values().take(2)) {
                let keys = [key(healthy), key(*number)];
                drop(store.keeper.providers(&engine, &keys, NOW, 1));
            }
        });
        let lines = lines.load(Ordering::Relaxed);
        assert!((1..=10).contains(&lines), "{lines} lines of 2,000 calls");
        return;
    }
    panic!("no stride hits two pages");
}
