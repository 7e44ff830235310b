//! Damaged pages after a crash, of which nothing tells until they are read.

use super::*;
use std::collections::BTreeMap;

const KEYS: u64 = 4_000;

/// Where sled puts its pages hangs on how its threads take turns: another layout is tried as often.
const LAYOUTS: u32 = 8;

/// The files of a store with a record of each key, as a crash leaves them: without checksums. They hold a snapshot of the whole log, so
/// that an open reads no page.
async fn crashed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let batch: Vec<_> = (0..KEYS).map(|number| record(number, number % 10)).collect();
    for _ in 0..3 {
        let store = open(&dir).await;
        for part in batch.chunks(BATCH_LEN_MAX.get()) {
            store.insert(part.into(), NOW).await.unwrap();
        }
        store.close().await.unwrap();
    }
    std::fs::remove_file(dir.path().join(crate::config::DIR).join("checksums")).unwrap();
    dir
}

/// A copy whose log is damaged at these places, and the store that opens on it; unless that is found at once.
async fn damaged(crashed: &TempDir, places: impl Iterator<Item = usize>) -> Option<(TempDir, Sled)> {
    let dir = tempfile::tempdir().unwrap();
    copy(crashed.path(), dir.path());
    let path = dir.path().join(crate::config::DIR).join("db");
    let mut log = std::fs::read(&path).unwrap();
    for place in places {
        log[place..].iter_mut().take(64).for_each(|byte| *byte ^= 0x5a);
    }
    std::fs::write(path, log).unwrap();
    let store = open(&dir).await;
    set_aside(dir.path()).is_empty().then_some((dir, store))
}

fn log_len(crashed: &TempDir) -> usize {
    crashed.path().join(crate::config::DIR).join("db").metadata().unwrap().len() as usize
}

/// It costs the keys that are on it, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn keys_on_a_page_that_cannot_be_read_are_unknown_and_those_beside_them_known() {
    for _ in 0..LAYOUTS {
        let crashed = crashed().await;
        let mut answered = 0;
        for place in (0..log_len(&crashed)).step_by(5 << 10) {
            let Some((dir, store)) = damaged(&crashed, [place].into_iter()).await else { continue };
            answered += u32::from(costs_its_keys_alone(&dir, &store, place).await);
        }
        if answered > 0 {
            return;
        }
    }
    panic!("no place hits the page of a key");
}

/// Whether keys of one call are on the damaged page, and others are not.
async fn costs_its_keys_alone(dir: &TempDir, store: &Sled, place: usize) -> bool {
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
    // Damage is damage: the next start begins anew.
    let is_marked = dir.path().join(crate::config::DIR).join("damaged").exists();
    assert_eq!(unknown + failed > 0, is_marked, "at {place}");
    drop(store.close().await);
    known > 0 && unknown > 0
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

/// What cannot be read on several pages, each with an error of its own, is logged now and then, not at each call.
#[tokio::test(flavor = "multi_thread")]
async fn two_damaged_pages_do_not_fill_the_log() {
    for _ in 0..LAYOUTS {
        let crashed = crashed().await;
        for stride in [64, 48, 40, 32, 24, 20, 16, 12, 8].map(|kib| kib << 10) {
            let places = (8 << 10..log_len(&crashed)).step_by(stride);
            let Some((_dir, store)) = damaged(&crashed, places).await else { continue };
            let engine = store.keeper.engine("test", Call::Read).unwrap();
            let Some((healthy, unread)) = two_unread(&engine) else { continue };
            let lines = Arc::new(AtomicU32::new(0));
            tracing::subscriber::with_default(Lines(lines.clone()), || {
                for number in (0..1_000).flat_map(|_| unread) {
                    let keys = [key(healthy), key(number)];
                    drop(store.keeper.providers(&engine, &keys, NOW, 1));
                }
            });
            let lines = lines.load(Ordering::Relaxed);
            assert!((1..=10).contains(&lines), "{lines} lines of 2,000 calls");
            return;
        }
    }
    panic!("no stride hits two pages");
}

/// A key that can be read, and two that cannot, for different reasons.
fn two_unread(engine: &Engine) -> Option<(u64, [u64; 2])> {
    let (mut healthy, mut unread) = (None, BTreeMap::new());
    for number in 0..KEYS {
        match engine.providers(&[key(number)], NOW, 1).unread {
            Some(fault) => drop(unread.insert(hydra_api::Causes(&fault).to_string(), number)),
            None => healthy = Some(number),
        }
    }
    let mut unread = unread.into_values();
    Some((healthy?, [unread.next()?, unread.next()?]))
}
