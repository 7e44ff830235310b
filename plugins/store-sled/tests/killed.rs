//! A process that is killed leaves a store that opens, with a beginning of what was written and the right count.
//!
//! This binary runs itself again as the process that is killed; the child tells each batch once it is acknowledged.

use hydra_api::{Found, Inserted, Plugin, ProviderRecord, ProviderStore, Scope};
use hydra_conformance::given::{Chance, NOW, record};
use hydra_store_sled::{Config, Sled};
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

const DIR: &str = "HYDRA_KILLED_DIR";
const ROUNDS: u64 = 6;
/// A batch is one part, so that it is there whole or not at all.
const BATCH: u64 = 100;

fn main() -> ExitCode {
    if let Ok(dir) = std::env::var(DIR) {
        return runtime().block_on(insert_for_ever(Path::new(&dir)));
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let test = libtest_mimic::Trial::test("s14_kill_9_leaves_a_beginning_of_what_was_written", || {
        runtime().block_on(kill_and_look()).map_err(Into::into)
    });
    libtest_mimic::run(&arguments, vec![test]).exit_code()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

async fn open(dir: &Path) -> Arc<dyn ProviderStore> {
    let config = Config { flush_interval_ms: 10, ..Config::default() };
    Sled::open(config, &Scope::new(dir)).await.expect("the store opens")
}

fn batch(number: u64) -> Vec<ProviderRecord> {
    // New keys, and one hot key that every batch adds providers to.
    let fresh = (0..BATCH / 2).map(|of| record(1_000 + number * BATCH + of, of));
    fresh.chain((0..BATCH / 2).map(|of| record(1, number * BATCH + of))).collect()
}

/// Goes on after the last batch that is there.
async fn insert_for_ever(dir: &Path) -> ExitCode {
    let store = open(dir).await;
    let estimate = store.estimate().await.expect("an estimate");
    let mut out = std::io::stdout().lock();
    for number in estimate.records / BATCH.. {
        let inserted = store.insert(batch(number).into(), NOW).await.expect("an insert");
        assert_eq!(inserted, Inserted::All);
        // The parent may be gone.
        if writeln!(out, "{number}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    ExitCode::FAILURE
}

async fn kill_and_look() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|cause| cause.to_string())?;
    let seed = Chance::seed();
    let mut chance = Chance::of(seed);
    let mut most = 0;
    for round in 0..ROUNDS {
        kill_after(dir.path(), 20 + chance.below(200))?;
        let there =
            look(dir.path()).await.map_err(|how| format!("round {round}, TEST_SEED={seed}: {how}"))?;
        most = most.max(there);
        if there < most {
            return Err(format!("round {round}, TEST_SEED={seed}: of {most} batches {there} are left"));
        }
    }
    let moved = std::fs::read_dir(dir.path()).map_err(|cause| cause.to_string())?;
    let moved =
        moved.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().contains("damaged"));
    if moved || most == 0 { Err(format!("moved aside: {moved}, batches: {most}")) } else { Ok(()) }
}

/// Starts the child, waits for so many words of it, and kills it.
fn kill_after(dir: &Path, words: u64) -> Result<(), String> {
    let this = std::env::current_exe().map_err(|cause| cause.to_string())?;
    let child = Command::new(this).env(DIR, dir).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|cause| cause.to_string())?;
    let out = BufReader::new(child.stdout.take().ok_or("no output")?);
    for (_, count) in out.lines().map_while(Result::ok).zip(1..) {
        if count == words {
            // SIGKILL, to this child alone.
            child.kill().map_err(|cause| cause.to_string())?;
        }
    }
    child.wait().map(drop).map_err(|cause| cause.to_string())
}

/// How many batches are there: all up to some one, each whole, and as many records as are counted.
async fn look(dir: &Path) -> Result<u64, String> {
    let store = open(dir).await;
    let records = store.estimate().await.map_err(|error| error.to_string())?.records;
    if !records.is_multiple_of(BATCH) {
        return Err(format!("{records} records are counted, which are no whole batches"));
    }
    let batches = records / BATCH;
    let limit = NonZeroU32::new(1_000_000).expect("not zero");
    for number in 0..batches + 50 {
        let batch = batch(number);
        let (fresh, _) = batch.split_at(BATCH as usize / 2);
        let keys: Vec<_> = fresh.iter().map(|record| record.key).collect();
        let entries =
            store.providers(keys.as_slice().into(), NOW, limit).await.map_err(|error| error.to_string())?;
        let there = entries.iter().zip(fresh).filter(|(entry, record)| {
            entry
                .providers()
                .iter()
                .any(|one| one.peer == record.provider && one.addresses == record.addresses)
        });
        let (there, expected) = (there.count() as u64, if number < batches { BATCH / 2 } else { 0 });
        if there != expected {
            return Err(format!(
                "of batch {number} there are {there} records; {batches} batches are counted"
            ));
        }
    }
    let hot =
        store.providers([record(1, 0).key].into(), NOW, limit).await.map_err(|error| error.to_string())?;
    store.close().await.map_err(|error| error.to_string())?;
    let hot = hot.iter().flat_map(Found::providers).count() as u64;
    if hot == batches * BATCH / 2 { Ok(batches) } else { Err(format!("the hot key has {hot} providers")) }
}
