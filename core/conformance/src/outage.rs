//! What a store that keeps files must do when they cannot be written: the disk is full, a file may not grow, no file
//! can be opened, the files are read-only.
//!
//! Each batch of provider records has some value records beside it, if the store keeps any.
//!
//! While the cause lasts every insert fails as [`Unavailable`](StoreErrorKind::Unavailable) and its causes name the
//! error of the system. When it has gone, writes succeed without a restart and nothing is lost that was acknowledged. A store that is
//! closed on a full disk loses nothing either if it says so.
//!
//! A plugin runs these from a test binary of its own, with `harness = false`: each case runs in a child process, as the
//! limits are those of a process.

mod cause;
mod values;

use crate::given::{NOW, record};
use cause::Cause;
use hydra_api::{
    Causes, ContentKey, Durability, Found, Inserted, Plugin, ProviderRecord, ProviderStore, Scope, Store,
    StoreError,
};
use hydra_api::{StoreErrorKind, UnixSeconds};
use libtest_mimic::{Arguments, Failed, Trial};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DIR: &str = "HYDRA_OUTAGE_DIR";
const CASE: &str = "HYDRA_OUTAGE_CASE";

/// The case in which files are damaged during an outage.
const DAMAGE: &str = "damage_that_a_reopening_finds_is_corrupt_and_the_next_start_begins_empty";

/// The case of outages that follow each other.
const AGAIN: &str = "writes_return_as_soon_after_the_last_of_many_outages_as_after_the_first";

/// The case of a stop while the disk is full.
const STOP: &str = "a_stop_on_a_full_disk_tells_the_truth_of_what_was_acknowledged";

/// Records of a batch.
const BATCH: u64 = 500;
/// Batches that are tried until one fails.
const BATCHES_MAX: u64 = 600;
/// Batches that are in memory when the disk gets full.
const BATCHES_IN_MEMORY: u64 = 40;
/// Inserts and reads during the outage.
const TRIES: u32 = 50;
/// No store needs longer to take writes again: a few seconds until it notices, the rest for machines that are slow.
const RETURN_MAX: Duration = Duration::from_secs(20);
/// Outages that follow each other.
const OUTAGES: u32 = 7;

/// Whether reads succeed while writes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// They do.
    GoOn,
    /// They may fail as well: a call with the same cause, or the keys that cannot be read alone.
    MayFail,
}

/// Runs the cases on the store that this config opens, as the tests of this binary.
pub fn run<P: Plugin<Role = Store>>(config: fn() -> P::Config, reads: Reads) -> ExitCode {
    if let (Ok(dir), Ok(case)) = (std::env::var(DIR), std::env::var(CASE)) {
        return child::<P>(Path::new(&dir), &case, config, reads);
    }
    let mut cases: Vec<_> = Cause::ALL.map(|cause| (cause.rule(), cause)).into();
    cases.push((DAMAGE, Cause::FileSizeLimit));
    cases.push((AGAIN, Cause::FileSizeLimit));
    cases.push((STOP, Cause::FullDisk));
    let trials = cases.into_iter().map(|(case, cause)| {
        let name = format!("{}::{case}", P::KIND);
        Trial::test(name, move || in_child(case, cause).map_err(Failed::from))
            .with_ignored_flag(cause.is_absent())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn in_child(case: &str, cause: Cause) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let this = std::env::current_exe().map_err(text)?;
    // On a disk: files in memory cannot be made read-only while they are open.
    let place = tempfile::tempdir_in(this.parent().unwrap_or(Path::new("."))).map_err(text)?;
    let dir = place.path().join("node");
    std::fs::create_dir(&dir).map_err(text)?;
    let _mount = cause.mount(&dir)?;
    let output = Command::new(this).env(DIR, &dir).env(CASE, case).output().map_err(text)?;
    // A child that was killed has left it.
    cause.clear(&dir);
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

fn child<P: Plugin<Role = Store>>(
    dir: &Path,
    case: &str,
    config: fn() -> P::Config,
    reads: Reads,
) -> ExitCode {
    let cause = Cause::ALL.into_iter().find(|cause| cause.rule() == case);
    let open =
        || async { P::open(config(), &Scope::new(dir)).await.map_err(|error| Causes(&error).to_string()) };
    let run = async {
        match cause {
            Some(cause) => go_through(dir, cause, reads, open).await,
            None if case == DAMAGE => be_damaged(dir, open).await,
            None if case == AGAIN => fail_again_and_again(dir, open).await,
            None if case == STOP => be_stopped(dir, open).await,
            None => Err("there is no such case".to_owned()),
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(|cause| cause.to_string()).and_then(|runtime| runtime.block_on(run));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(how) => {
            // The parent reads it there.
            eprintln!("{how}");
            ExitCode::FAILURE
        }
    }
}

async fn go_through<F>(dir: &Path, cause: Cause, reads: Reads, open: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<Arc<dyn ProviderStore>, String>>,
{
    let store = open().await?;
    let mut acknowledged: u64 = 0;
    while acknowledged < 4 {
        insert(&*store, acknowledged).await.map_err(|error| Causes(&error).to_string())?;
        acknowledged += 1;
    }
    let outage = cause.begin(dir).map_err(|error| format!("the outage cannot be made: {error}"))?;
    let first = loop {
        match insert(&*store, acknowledged).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break Some(error),
        }
        if acknowledged == BATCHES_MAX && cause.stops_every_store() {
            return Err(format!("{acknowledged} batches were taken all the same"));
        }
        if acknowledged == BATCHES_MAX {
            break None;
        }
    };
    if let Some(first) = &first {
        is_named(first, cause)?;
    }
    let tries = if first.is_some() { TRIES } else { 0 };
    for _ in 0..tries {
        match insert(&*store, acknowledged).await {
            Ok(()) => return Err("a write succeeds while the cause is still there".to_owned()),
            Err(error) => is_named(&error, cause)?,
        }
        values::are_refused(&*store, acknowledged, cause).await?;
        if reads == Reads::MayFail {
            fails_by_key(&*store, acknowledged, cause).await?;
            values::fails_by_key(&*store, acknowledged, cause).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        match read(&*store, 0).await {
            Ok(found) if found != BATCH => return Err(format!("{found} of {BATCH} records are read")),
            Ok(_) => {}
            Err(error) if cause.leaves_reads() => {
                return Err(format!("a read fails: {}", Causes(&error)));
            }
            Err(error) => is_named(&error, cause)?,
        }
        values::are_read(&*store, cause).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    outage.end().map_err(|error| format!("the outage cannot be ended: {error}"))?;
    returns(&*store, acknowledged).await?;
    acknowledged += 1;
    are_there(&*store, acknowledged, "after the outage").await?;
    store.close().await.map_err(|error| Causes(&error).to_string())?;
    drop(store);
    let store = open().await?;
    are_there(&*store, acknowledged, "after a restart").await?;
    store.close().await.map_err(|error| Causes(&error).to_string())
}

/// Waits until a batch is taken.
async fn returns(store: &dyn ProviderStore, number: u64) -> Result<(), String> {
    let begun = Instant::now();
    while let Err(error) = insert(store, number).await {
        if begun.elapsed() > RETURN_MAX {
            return Err(format!("writes do not come back: {}", Causes(&error)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Room is made again and again, and used up at once.
async fn fail_again_and_again<F>(dir: &Path, open: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<Arc<dyn ProviderStore>, String>>,
{
    let text = |error: std::io::Error| error.to_string();
    let store = open().await?;
    insert(&*store, 0).await.map_err(|error| Causes(&error).to_string())?;
    let mut number = 1;
    for _ in 0..OUTAGES {
        let outage = Cause::FileSizeLimit.begin(dir).map_err(text)?;
        while insert(&*store, number).await.is_ok() {
            number += 1;
        }
        for _ in 0..TRIES {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(insert(&*store, number).await);
        }
        outage.end().map_err(text)?;
        returns(&*store, number).await?;
        number += 1;
    }
    are_there(&*store, number, "after the outages").await?;
    store.close().await.map_err(|error| Causes(&error).to_string())
}

/// The disk gets full while nothing is written, and the store is closed. One that loses nothing when its process is killed has all on
/// the disk already, so that its close succeeds; another one may fail, and names the cause.
async fn be_stopped<F>(dir: &Path, open: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<Arc<dyn ProviderStore>, String>>,
{
    let store = open().await?;
    for number in 0..BATCHES_IN_MEMORY {
        insert(&*store, number).await.map_err(|error| Causes(&error).to_string())?;
    }
    let cause = Cause::FullDisk;
    let outage = cause.begin(dir).map_err(|error| format!("the outage cannot be made: {error}"))?;
    let window = match store.profile().durability {
        Durability::SurvivesRestart { window } => window,
        Durability::InMemory => Duration::ZERO,
    };
    let closed = store.close().await;
    drop(store);
    outage.end().map_err(|error| format!("the outage cannot be ended: {error}"))?;
    match closed {
        Err(error) if window > Duration::ZERO => return is_named(&error, cause),
        Err(error) => return Err(format!("the close fails: {}", Causes(&error))),
        Ok(()) => {}
    }
    let store = open().await?;
    are_there(&*store, BATCHES_IN_MEMORY, "after the stop").await?;
    store.close().await.map_err(|error| Causes(&error).to_string())
}

/// During an outage the first bytes of every file are overwritten.
async fn be_damaged<F>(dir: &Path, open: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<Arc<dyn ProviderStore>, String>>,
{
    let text = |error: std::io::Error| error.to_string();
    let store = open().await?;
    insert(&*store, 0).await.map_err(|error| Causes(&error).to_string())?;
    let outage = Cause::FileSizeLimit.begin(dir).map_err(text)?;
    let mut number = 1;
    while insert(&*store, number).await.is_ok() {
        number += 1;
    }
    cause::overwrite(dir).map_err(text)?;
    outage.end().map_err(text)?;
    let begun = Instant::now();
    loop {
        match insert(&*store, number).await {
            Err(error) if error.kind() == StoreErrorKind::Corrupt => break,
            Err(_) if begun.elapsed() < RETURN_MAX => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(format!("the damage is not found: {}", Causes(&error))),
            Ok(()) => return Err("a damaged store takes writes".to_owned()),
        }
    }
    match read(&*store, 0).await {
        Err(error) if error.kind() == StoreErrorKind::Corrupt => {}
        other => return Err(format!("a read of a damaged store: {other:?}")),
    }
    values::are_corrupt(&*store).await?;
    // It may say that it is damaged.
    drop(store.close().await);
    drop(store);
    let store = open().await?;
    insert(&*store, 0).await.map_err(|error| Causes(&error).to_string())?;
    are_there(&*store, 1, "after the next start").await?;
    store.close().await.map_err(|error| Causes(&error).to_string())
}

fn batch(number: u64) -> Vec<ProviderRecord> {
    (0..BATCH).map(|of| record(number * BATCH + of, of)).collect()
}

async fn insert(store: &dyn ProviderStore, number: u64) -> Result<(), StoreError> {
    let inserted = store.insert(batch(number).into(), NOW).await?;
    if inserted != Inserted::All {
        return Err(StoreError::because(StoreErrorKind::Refused, "insert", "records were not taken"));
    }
    values::put(store, number).await
}

/// How many records of a batch are there.
async fn read(store: &dyn ProviderStore, number: u64) -> Result<u64, StoreError> {
    let keys: Arc<[ContentKey]> = batch(number).iter().map(|record| record.key).collect();
    let found = store.providers(keys, UnixSeconds(NOW.0 + 1), NonZeroU32::MIN).await?;
    Ok(found.iter().filter(|found| !found.providers().is_empty()).count() as u64)
}

/// Reads that may fail: one of several keys fails for those alone that cannot be read. What is known is right.
async fn fails_by_key(store: &dyn ProviderStore, acknowledged: u64, cause: Cause) -> Result<(), String> {
    let keys: Vec<_> = (0..acknowledged).map(|number| record(number * BATCH, 0).key).collect();
    let read = |keys: Vec<ContentKey>| store.providers(keys.into(), UnixSeconds(NOW.0 + 1), NonZeroU32::MIN);
    let together = match read(keys.clone()).await {
        Ok(found) => found,
        Err(error) => {
            is_named(&error, cause)?;
            for key in keys {
                if matches!(read(vec![key]).await.as_deref(), Ok([Found::Known(_)])) {
                    return Err("a read of many keys fails, and one of them can be read".to_owned());
                }
            }
            return Ok(());
        }
    };
    for found in together {
        match found {
            Found::Known(providers) if providers.is_empty() => {
                return Err("a record that was acknowledged is not there".to_owned());
            }
            Found::Unknown(kind) if kind != StoreErrorKind::Unavailable => {
                return Err(format!("a key is unknown as {kind:?}"));
            }
            Found::Known(_) | Found::Unknown(_) => {}
        }
    }
    Ok(())
}

async fn are_there(store: &dyn ProviderStore, acknowledged: u64, when: &str) -> Result<(), String> {
    for number in 0..acknowledged {
        let found = read(store, number).await.map_err(|error| Causes(&error).to_string())?;
        if found != BATCH {
            return Err(format!(
                "{when} batch {number} has {found} of {BATCH} records, and was acknowledged"
            ));
        }
    }
    let estimate = store.estimate().await.map_err(|error| Causes(&error).to_string())?.records;
    // What failed may have been stored.
    let (low, high) = (acknowledged * BATCH, (acknowledged + 1) * BATCH);
    if (low..=high).contains(&estimate) {
        return values::are_there(store, acknowledged, when).await;
    }
    Err(format!("{when} {estimate} records are counted, not {low} to {high}"))
}

/// Demands an unavailable store and, among the causes, the error of the system.
fn is_named(error: &StoreError, cause: Cause) -> Result<(), String> {
    let shown = Causes(error).to_string();
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut named = false;
    while let Some(error) = below {
        let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        named |= code.is_some_and(|code| cause.codes().contains(&code));
        below = error.source();
    }
    let is_shown = cause.codes().iter().any(|code| shown.contains(&format!("(os error {code})")));
    if error.kind() != StoreErrorKind::Unavailable {
        return Err(format!("the kind is {:?}: {shown}", error.kind()));
    }
    if named && is_shown { Ok(()) } else { Err(format!("the cause is not named: {shown}")) }
}
