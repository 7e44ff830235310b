//! Opening sled's files, at the start and after an outage.

use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, Counts};
use crate::value_tree::Values;
use hydra_embedded::{DamagedRow, EngineFiles, Fault as EngineFault, ProviderCache, Rows, guarded};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// Names of what sled keeps in its directory, beside snapshots.
const OURS: [&str; 3] = ["conf", "db", "blobs"];

/// How often, and how long apart, an open waits for threads that sled has left behind at the last close: they hold its
/// lock for some moments more.
const LOCKED_TRIES: u32 = 100;
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// How long apart it is looked whether they have ended at a stop.
const RELEASED_PAUSE: Duration = Duration::from_millis(2);

/// What sled keeps in its directory. Without its log it starts anew.
pub(crate) const ENGINE: EngineFiles = EngineFiles { owns, root: "db" };

/// Whether files may be sled's: all of them are.
fn owns(names: &[String]) -> bool {
    names.iter().all(|name| OURS.contains(&name.as_str()) || name.starts_with("snap."))
}

/// Opens the files at `dir`, or creates them. A panic in sled's recovery is a fault like others.
pub(crate) fn files(dir: &Path, config: &Config, rows: Rows) -> Result<Engine, EngineFault> {
    let mut tries = 0;
    loop {
        match guarded(|| recovered(dir, config, rows).map_err(|Fault(fault)| fault)) {
            // Nobody else uses it: the lock beside the directory is ours.
            Err(EngineFault::Locked) if tries < LOCKED_TRIES => {
                tries += 1;
                std::thread::sleep(LOCKED_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Waits until sled, whose handles were dropped, writes to no file any more: its threads may hold its lock for some moments more, and
/// each holds it until it has ended. Returns the file, locked.
pub(crate) fn released(dir: &Path, until: Instant) -> io::Result<File> {
    let file = File::open(dir.join(ENGINE.root))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(RELEASED_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::TimedOut.into()),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
    }
}

/// Removes snapshots that were not completed, as by an open on a full disk: sled takes an empty one for damage. It renames them
/// once they are whole.
fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn recovered(dir: &Path, config: &Config, expected: Rows) -> Result<Engine, Fault> {
    remove_unfinished_snapshots(dir).map_err(sled::Error::Io)?;
    let interval = config.flush_interval().as_millis() as u64;
    let db = sled::Config::new()
        .path(dir)
        .cache_capacity(config.cache_bytes())
        .flush_every_ms(Some(interval))
        .open()?;
    let counts = match db.get(layout::META)? {
        Some(counts) => Counts::decode(&counts, layout::VERSION)?,
        None if expected == Rows::MayBeNone && db.first()?.is_none() => {
            db.insert(layout::META, Counts::default().encode(layout::VERSION))?;
            Counts::default()
        }
        None => return Err(DamagedRow("counts").into()),
    };
    Ok(Engine {
        rows: (*db).clone(),
        values: Values::of(&db)?,
        db,
        providers: ProviderCache::new(config.providers_bytes()),
        records_max: config.records_max,
        turn: AtomicU32::new(0),
        records: AtomicU64::new(counts.records),
        next_provider: AtomicU32::new(counts.next_provider),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_was_not_completed_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let engine = files(dir.path(), &Config::default(), Rows::MayBeNone).unwrap();
        let counts = Counts { records: 7, next_provider: 1 };
        engine.db.insert(layout::META, counts.encode(layout::VERSION)).unwrap();
        engine.db.flush().unwrap();
        drop(engine);
        std::fs::write(dir.path().join("snap.00000000FFFFFFFF.generating"), "").unwrap();
        let engine = files(dir.path(), &Config::default(), Rows::MayBeNone).unwrap();
        assert_eq!(engine.records.into_inner(), 7);
    }
}
