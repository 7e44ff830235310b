//! A process that is killed loses nothing that the store has acknowledged.
//!
//! This binary runs itself again as the process that is killed; the child tells each batch once it is acknowledged.

use hydra_api::{Found, Inserted, Plugin, ProviderRecord, ProviderStore, Scope};
use hydra_conformance::given::{Chance, NOW, record};
use hydra_store_fjall::{Config, Fjall};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

const DIR: &str = "HYDRA_KILLED_DIR";
const FIRST: &str = "HYDRA_KILLED_FIRST";
const ROUNDS: u64 = 8;
const BATCH: u64 = 50;

fn main() -> ExitCode {
    if let Ok(dir) = std::env::var(DIR) {
        let first = std::env::var(FIRST).unwrap_or_default().parse().unwrap_or(0);
        return runtime().block_on(insert_for_ever(Path::new(&dir), first));
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let test = libtest_mimic::Trial::test("v21_kill_9_loses_nothing_that_was_acknowledged", || {
        runtime().block_on(kill_and_look()).map_err(Into::into)
    });
    libtest_mimic::run(&arguments, vec![test]).exit_code()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

async fn open(dir: &Path) -> Arc<dyn ProviderStore> {
    Fjall::open(Config::default(), &Scope::new(dir)).await.expect("the store opens")
}

fn batch(number: u64) -> Vec<ProviderRecord> {
    // New keys, and one hot key that every batch adds providers to.
    let fresh = (0..BATCH).map(|of| record(1_000 + number * BATCH + of, of));
    fresh.chain((0..BATCH).map(|of| record(1, number * BATCH + of))).collect()
}

async fn insert_for_ever(dir: &Path, first: u64) -> ExitCode {
    let store = open(dir).await;
    let mut out = std::io::stdout().lock();
    for number in first.. {
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
    let mut acknowledged = Vec::new();
    let mut next = 0;
    for round in 0..ROUNDS {
        let last = kill_after(dir.path(), next, 1 + chance.below(60))?;
        acknowledged.extend(next..=last);
        // As the child may have been killed between the journal and its word, one batch more may be there.
        next = last + 2;
        let seen = look(dir.path(), &acknowledged, round + 1).await;
        seen.map_err(|how| format!("round {round}, TEST_SEED={seed}: {how}"))?;
    }
    Ok(())
}

/// Starts the child, waits for so many words of it, and kills it; the last batch it told.
fn kill_after(dir: &Path, first: u64, words: u64) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|cause| cause.to_string())?;
    let mut child = Command::new(this)
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|cause| cause.to_string())?;
    let out = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut last = None;
    for (line, count) in out.lines().map_while(Result::ok).zip(1..) {
        last = line.parse().ok().or(last);
        if count == words {
            // SIGKILL, to this child alone.
            child.kill().map_err(|cause| cause.to_string())?;
        }
    }
    child.wait().map_err(|cause| cause.to_string())?;
    last.ok_or_else(|| "the child told nothing".to_owned())
}

/// Every batch that was acknowledged is there whole, and the count is right.
async fn look(dir: &Path, acknowledged: &[u64], kills: u64) -> Result<(), String> {
    let store = open(dir).await;
    let limit = NonZeroU32::new(1_000_000).expect("not zero");
    let hot =
        store.providers([record(1, 0).key].into(), NOW, limit).await.map_err(|error| error.to_string())?;
    let hot: HashSet<_> = hot.iter().flat_map(Found::providers).map(|one| one.peer).collect();
    for &number in acknowledged {
        let batch = batch(number);
        let (fresh, of_hot) = batch.split_at(BATCH as usize);
        let keys: Vec<_> = fresh.iter().map(|record| record.key).collect();
        let entries =
            store.providers(keys.as_slice().into(), NOW, limit).await.map_err(|error| error.to_string())?;
        let there = entries.iter().zip(fresh).filter(|(entry, record)| {
            entry
                .providers()
                .iter()
                .any(|one| one.peer == record.provider && one.addresses == record.addresses)
        });
        let there = there.count() + of_hot.iter().filter(|record| hot.contains(&record.provider)).count();
        if there as u64 != 2 * BATCH {
            return Err(format!(
                "batch {number} was acknowledged and has {there} of its {} records",
                2 * BATCH
            ));
        }
    }
    let estimate = store.estimate().await.map_err(|error| error.to_string())?.records;
    store.close().await.map_err(|error| error.to_string())?;
    let low = acknowledged.len() as u64 * 2 * BATCH;
    let high = low + kills * 2 * BATCH;
    if (low..=high).contains(&estimate) {
        Ok(())
    } else {
        Err(format!("it counts {estimate}, not {low} to {high}"))
    }
}
