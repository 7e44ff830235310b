mod values;

use super::*;
use crate::layout;
use hydra_api::RecordOutcome;
use hydra_conformance::given::{NOW, key, record};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A `write_max_s` of one second is the least there is.
fn quick() -> Config {
    Config { write_max_s: 1, ..Config::default() }
}

async fn open_at(dir: &Path, config: Config) -> Result<Fjall, OpenError> {
    let dir = dir.join(&config.dir);
    tokio::task::spawn_blocking(move || Fjall::open_blocking(Purpose::Serve, &dir, &config)).await.unwrap()
}

async fn open(dir: &TempDir) -> Fjall {
    open_at(dir.path(), Config::default()).await.unwrap()
}

async fn count(store: &Fjall, number: u64) -> usize {
    let limit = NonZeroU32::new(100_000).unwrap();
    store.providers([key(number)].into(), NOW, limit).await.unwrap()[0].providers().len()
}

fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("damaged-")).collect()
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
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
    for name in ["records", "records/diary.txt"] {
        let refused =
            open_at(dir.path(), Config { dir: name.into(), ..Config::default() }).await.unwrap_err();
        assert_eq!(*refused.kind(), hydra_api::OpenErrorKind::Config { key: "dir".to_owned() }, "{refused}");
    }
    assert_eq!(std::fs::read(dir.path().join("records/diary.txt")).unwrap(), b"mine");
}

/// As the directory of the identities, in which a lock lies beside what is not to be had again.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_a_file_named_as_one_of_fjalls_is_not_taken_for_damaged_records() {
    for name in ["lock", "version", "7.jnl"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ids")).unwrap();
        std::fs::write(dir.path().join("ids").join(name), "of another program").unwrap();
        std::fs::write(dir.path().join("ids/seed"), "mine").unwrap();
        let opened = open_at(dir.path(), Config { dir: "ids".into(), ..Config::default() }).await;
        assert_eq!(set_aside(dir.path()), Vec::<PathBuf>::new(), "{name}");
        assert_eq!(std::fs::read(dir.path().join("ids/seed")).unwrap(), b"mine", "{name}");
        let refused = opened.unwrap_err();
        assert_eq!(*refused.kind(), hydra_api::OpenErrorKind::Config { key: "dir".to_owned() }, "{refused}");
    }
}

/// fjall drops the rest of a journal in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_of_a_store_that_was_closed_loses_nothing_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for batch in 0..20 {
        let batch: Vec<_> = (0..500).map(|number| record(batch * 500 + number, number % 10)).collect();
        store.insert(batch.into(), NOW).await.unwrap();
    }
    store.close().await.unwrap();
    let mut names = Vec::new();
    files(&dir.path().join("records"), &mut names);
    let journals: Vec<_> =
        names.iter().filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    for journal in &journals {
        let mut bytes = std::fs::read(journal).unwrap();
        let middle = bytes.len() / 4;
        bytes[middle..middle + 64].fill(0xa5);
        std::fs::write(journal, bytes).unwrap();
    }
    assert!(!journals.is_empty());
    let store = open(&dir).await;
    let mut found = 0;
    for number in 0..10_000 {
        found += count(&store, number).await;
    }
    let is_told = !set_aside(dir.path()).is_empty();
    assert!(found == 10_000 || is_told, "{found} of 10,000 records are left, and nobody is told");
    store.close().await.unwrap();
}

/// Every file in turn, cut short, overwritten or removed: the store opens, and serves what it has.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_never_keep_the_store_from_opening() {
    let batch: Vec<_> = (0..200).map(|number| record(number, number % 10)).collect();
    let pristine = tempfile::tempdir().unwrap();
    let store = open(&pristine).await;
    store.insert(batch.as_slice().into(), NOW).await.unwrap();
    let (reply, replied) = oneshot::channel();
    let rows = store.readers.reader("test").unwrap().rows.clone();
    // A file of rows as well, not the journal alone.
    let call = Box::new(move |_: &mut crate::engine::Engine| rows.rotate_memtable_and_wait().unwrap());
    store.writer.jobs.send(Job::Call { call, reply }).unwrap();
    replied.await.unwrap().unwrap();
    store.insert(batch.as_slice().into(), NOW).await.unwrap();
    store.close().await.unwrap();
    let mut names = Vec::new();
    files(&pristine.path().join("records"), &mut names);
    let mut moved = 0;
    for name in &names {
        for way in ["cut", "overwritten", "removed"] {
            let dir = tempfile::tempdir().unwrap();
            copy(&pristine.path().join("records"), &dir.path().join("records"));
            let name = dir.path().join(name.strip_prefix(pristine.path()).unwrap());
            let content = std::fs::read(&name).unwrap();
            match way {
                "cut" => std::fs::write(&name, &content[..content.len() / 2]).unwrap(),
                "overwritten" => std::fs::write(&name, vec![0xa5; content.len()]).unwrap(),
                _ => std::fs::remove_file(&name).unwrap(),
            }
            let what = format!("{} {way}", name.display());
            let mut store = open_at(dir.path(), Config::default()).await.expect(&what);
            if let Err(error) = store.providers([key(1), key(150)].into(), NOW, NonZeroU32::MIN).await {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{what}: {error:?}");
                // The damage shows only when it is read; the next start begins anew.
                store.close().await.ok();
                store = open_at(dir.path(), Config::default()).await.expect(&what);
                assert_eq!(set_aside(dir.path()).len(), 1, "{what}");
            }
            moved += set_aside(dir.path()).len();
            let inserted = store.insert(batch.as_slice().into(), NOW).await.expect(&what);
            assert_eq!(inserted, Inserted::All, "{what}");
            assert_eq!(count(&store, 1).await, 1, "{what}");
            store.close().await.expect(&what);
        }
    }
    assert!(moved >= 3, "of {} files only {moved} ways of damage were noticed", names.len());
}

/// As after a restore that was not complete. fjall takes what has no table for what was never made, and removes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyspace_that_is_missing_is_damage() {
    let pristine = tempfile::tempdir().unwrap();
    let store = open(&pristine).await;
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    store.close().await.unwrap();
    let missing = ["records/keyspaces/1/current", "records/keyspaces/1", "records/keyspaces"];
    for (missing, has_tables) in missing.into_iter().zip([true, false, false]) {
        let dir = tempfile::tempdir().unwrap();
        copy(&pristine.path().join("records"), &dir.path().join("records"));
        let path = dir.path().join(missing);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        let store = open(&dir).await;
        let [aside] = &set_aside(dir.path())[..] else { panic!("{missing} is missing, and nobody is told") };
        assert_eq!(aside.join("keyspaces/1/tables").exists(), has_tables, "what is left of it is kept");
        assert_eq!(store.insert([record(2, 1)].into(), NOW).await.unwrap(), Inserted::All);
        store.close().await.unwrap();
    }
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
async fn records_of_another_layout_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let rows = store.readers.reader("test").unwrap().rows.clone();
    rows.insert(layout::META, [layout::VERSION + 1]).unwrap();
    drop(rows);
    store.close().await.unwrap();
    let refused = open_at(dir.path(), Config::default()).await.unwrap_err();
    assert!(refused.to_string().contains("another version of hydra"), "{refused}");
    assert_eq!(set_aside(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_does_not_return_makes_the_store_unavailable_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path(), quick()).await.unwrap();
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    let (reply, replied) = oneshot::channel();
    let call = Box::new(move |_: &mut crate::engine::Engine| released.recv().unwrap_or_default());
    store.writer.jobs.try_send(Job::Call { call, reply }).unwrap();
    // Waits behind the stuck call, and is told when the watchdog notices.
    let waiting = store.insert([record(2, 2)].into(), NOW).await.unwrap_err();
    assert_eq!(waiting.kind(), StoreErrorKind::Unavailable);
    // From then on nobody waits, reads are served, and the queue does not grow.
    for _ in 0..100 {
        let refused = store.insert([record(3, 3)].into(), NOW).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    }
    assert_eq!(count(&store, 1).await, 1);
    drop(release);
    replied.await.unwrap().unwrap();
    store.writer.pulse.watch().wait_for(|stuck| !stuck).await.unwrap();
    store.insert([record(4, 4)].into(), NOW).await.unwrap();
    assert_eq!((count(&store, 2).await, count(&store, 3).await, count(&store, 4).await), (1, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_is_an_error_of_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let (reply, replied) = oneshot::channel();
    store.writer.jobs.try_send(Job::Call { call: Box::new(|_| panic!("on purpose")), reply }).unwrap();
    let error = replied.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    assert_eq!(count(&store, 1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn v19_a_full_key_refreshes_those_it_knows_and_refuses_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { providers_per_key_max: 40, ..Config::default() };
    let store = open_at(dir.path(), config).await.unwrap();
    let batch: Vec<_> = (0..50).map(|provider| record(1, provider)).collect();
    assert_eq!(store.insert(batch.as_slice().into(), NOW).await.unwrap(), Inserted::Each(forty_of_fifty()));
    let later = NOW.saturating_add(Duration::from_secs(60));
    let batch: Vec<_> = batch
        .into_iter()
        .map(|record| ProviderRecord {
            expires: record.expires.saturating_add(Duration::from_secs(60)),
            ..record
        })
        .collect();
    assert_eq!(store.insert(batch.as_slice().into(), later).await.unwrap(), Inserted::Each(forty_of_fifty()));
    assert_eq!(count(&store, 1).await, 40);
}

/// What fjall's compaction drops is seen by no write; a pass of the purge puts the count right, also while records come.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_of_the_purge_puts_the_count_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let batch: Vec<_> = (0..9000).map(|number| record(number, number % 10)).collect();
    for batch in batch.chunks(1000) {
        store.insert(batch.into(), NOW).await.unwrap();
    }
    let expired = batch[0].expires;
    // Tells the store the date from which these have expired.
    store.purge_expired(expired, NonZeroU32::MIN).await.unwrap();
    let rows = store.readers.reader("test").unwrap().rows.clone();
    tokio::task::spawn_blocking(move || {
        rows.rotate_memtable_and_wait().unwrap();
        rows.major_compact().unwrap();
        assert!(rows.len().unwrap() < 100, "compaction has dropped no expired row");
    })
    .await
    .unwrap();
    let limit = NonZeroU32::new(100).unwrap();
    let mut number = 20_000;
    while store.purge_expired(expired, limit).await.unwrap().progress == hydra_api::PurgeProgress::More {
        let later =
            ProviderRecord { expires: expired.saturating_add(Duration::from_secs(60)), ..record(number, 1) };
        store.insert([later].into(), expired).await.unwrap();
        number += 1;
    }
    assert_eq!(store.estimate().await.unwrap().records, number - 20_000);
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
    for _ in 0..3 {
        while store.purge_expired(over, limit).await.unwrap().progress == hydra_api::PurgeProgress::More {}
    }
    let rows = store.readers.reader("test").unwrap().rows.clone();
    let left: Vec<_> = rows.iter().map(|row| row.key().unwrap().to_vec()).collect();
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

/// Neither the cost of a refresh nor that of a read under a limit follows the number of providers.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_thirty_thousand_providers_is_refreshed_and_read_like_others() {
    const PROVIDERS: u64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let crowd: Vec<_> = (0..PROVIDERS).map(|provider| record(1, provider)).collect();
    let few: Vec<_> = (0..300).map(|provider| record(2, provider)).collect();
    for batch in crowd.chunks(1000).chain([&few[..]]) {
        store.insert(batch.into(), NOW).await.unwrap();
    }
    let db = store.readers.reader("test").unwrap().db.clone();
    let written = |of| ProviderRecord {
        expires: record(1, of).expires.saturating_add(Duration::from_secs(60)),
        ..record(1, of)
    };
    for provider in [0, 15, 16, PROVIDERS / 2, PROVIDERS - 1] {
        let before = db.write_buffer_size();
        store.insert([written(provider)].into(), NOW).await.unwrap();
        let grown = db.write_buffer_size() - before;
        assert!(grown < 2000, "a refresh wrote {grown} bytes");
    }
    let limit = NonZeroU32::new(128).unwrap();
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..100 {
        for (number, fastest) in [1, 2].into_iter().zip(&mut fastest) {
            let begun = std::time::Instant::now();
            let found = store.providers([key(number)].into(), NOW, limit).await.unwrap();
            *fastest = begun.elapsed().min(*fastest);
            assert_eq!(found[0].providers().len(), 128);
        }
    }
    assert!(fastest[0] < fastest[1] * 10, "of 30,000 providers and of 300: {fastest:?}");
}

/// What a key says of fifty records that has room for forty.
fn forty_of_fifty() -> Vec<RecordOutcome> {
    let outcome = |place| if place < 40 { RecordOutcome::Taken } else { RecordOutcome::NoRoom };
    (0..50).map(outcome).collect()
}

/// The date of an insert is that of the wall clock, which may have jumped: it removes no record of others.
#[tokio::test(flavor = "multi_thread")]
async fn an_insert_with_a_date_far_ahead_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for key in 1..100 {
        store.insert([record(key, 1), record(key, 2)].into(), NOW).await.unwrap();
    }
    let jumped = NOW.saturating_add(Duration::from_secs(10 * 24 * 3600));
    let life = Duration::from_secs(48 * 3600);
    // One announcement while the clock is ten days ahead, of a key that has others.
    let late = ProviderRecord { expires: jumped.saturating_add(life), ..record(1, 3) };
    store.insert([late].into(), jumped).await.unwrap();
    let same_key = count(&store, 1).await;
    let rows = store.readers.reader("test").unwrap().rows.clone();
    tokio::task::spawn_blocking(move || {
        rows.rotate_memtable_and_wait().unwrap();
        rows.major_compact().unwrap();
    })
    .await
    .unwrap();
    // The clock is right again.
    let mut others = 0;
    for key in 2..100 {
        others += count(&store, key).await;
    }
    assert_eq!((same_key, others), (3, 196));
}

/// Until the writer has ended the directory is locked, and a close is not said to be done.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_stuck_at_the_close_keeps_the_lock_until_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { write_max_s: 1, ..Config::default() };
    let store = open_at(dir.path(), config.clone()).await.unwrap();
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    let (reply, _replied) = oneshot::channel();
    let call = Box::new(move |_: &mut crate::engine::Engine| released.recv().unwrap_or_default());
    store.writer.jobs.try_send(Job::Call { call, reply }).unwrap();
    for _ in 0..2 {
        assert_eq!(store.close().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert!(open_at(dir.path(), config.clone()).await.is_err(), "it is opened a second time");
    }
    drop(release);
    while store.writer.pulse.is_stuck() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.close().await.unwrap();
    store.close().await.unwrap();
    let again = open_at(dir.path(), config).await.unwrap();
    assert_eq!(count(&again, 1).await, 1);
    again.close().await.unwrap();
}

/// A store that is dropped without a close is closed by its writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_dropped_keeps_the_lock_until_its_writer_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path(), Config::default()).await.unwrap();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    let (reply, _replied) = oneshot::channel();
    let call = Box::new(move |_: &mut crate::engine::Engine| released.recv().unwrap_or_default());
    store.writer.jobs.try_send(Job::Call { call, reply }).unwrap();
    drop(store);
    assert!(open_at(dir.path(), Config::default()).await.is_err(), "it is opened a second time");
    drop(release);
    while open_at(dir.path(), Config::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
