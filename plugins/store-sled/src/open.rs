//! Opening sled's files, at the start and after an outage.

use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, Counts};
use hydra_embedded::{DamagedRow, Fault as EngineFault, ProviderCache, guarded};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// Names of what sled keeps in its directory, beside snapshots.
const OURS: [&str; 3] = ["conf", "db", "blobs"];

/// How often, and how long apart, an open waits for threads that sled has left behind at the last close: they hold its
/// lock for some moments more.
const LOCKED_TRIES: u32 = 100;
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// Whether files may be sled's: all of them are.
pub(crate) fn owns(names: &[String]) -> bool {
    names.iter().all(|name| OURS.contains(&name.as_str()) || name.starts_with("snap."))
}

/// Opens the files at `dir`, or creates them. A panic in sled's recovery is a fault like others.
pub(crate) fn files(dir: &Path, config: &Config) -> Result<Engine, EngineFault> {
    let mut tries = 0;
    loop {
        match guarded(|| recovered(dir, config).map_err(|Fault(fault)| fault)) {
            // Nobody else uses it: the lock beside the directory is ours.
            Err(EngineFault::Locked) if tries < LOCKED_TRIES => {
                tries += 1;
                std::thread::sleep(LOCKED_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn recovered(dir: &Path, config: &Config) -> Result<Engine, Fault> {
    let interval = config.flush_interval().as_millis() as u64;
    let db = sled::Config::new()
        .path(dir)
        .cache_capacity(config.cache_bytes())
        .flush_every_ms(Some(interval))
        .open()?;
    let counts = match db.get(layout::META)? {
        Some(counts) => Counts::decode(&counts, layout::VERSION)?,
        None if db.first()?.is_none() => {
            db.insert(layout::META, Counts::default().encode(layout::VERSION))?;
            Counts::default()
        }
        None => return Err(DamagedRow("counts").into()),
    };
    Ok(Engine {
        rows: (*db).clone(),
        db,
        providers: ProviderCache::new(config.providers_bytes()),
        records_max: config.records_max,
        turn: AtomicU32::new(0),
        records: AtomicU64::new(counts.records),
        next_provider: AtomicU32::new(counts.next_provider),
    })
}
