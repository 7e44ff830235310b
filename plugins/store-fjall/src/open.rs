//! Opening fjall's files, at the start and after an outage.

use crate::complete::{self, COMPLETE, COMPLETE_NEW};
use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::filter::Clock;
use crate::layout::{self, Counts};
use crate::pass::Pass;
use crate::providers::ByPeer;
use crate::read::Reader;
use crate::value_counts::Values;
use crate::version;
use fjall::compaction::filter::Factory;
use fjall::{Database, KeyspaceCreateOptions, Readable};
use hydra_api::UnixSeconds;
use hydra_embedded::{DamagedRow, EngineFiles, ProviderCache, Rows, guarded};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// All rows. Exactly one keyspace: one that is never written would keep old journals from being removed.
const KEYSPACE: &str = "records";

/// Rows in memory until they go to a file.
const MEMTABLE_BYTES: u64 = 32 << 20;

/// Names of what is in the directory, beside journals.
const OURS: [&str; 5] = ["keyspaces", "version", "lock", COMPLETE, COMPLETE_NEW];

/// Threads of fjall that write files and merge them.
const WORKERS: usize = 2;

/// What fjall keeps in its directory. Without its version it starts anew.
pub(crate) const ENGINE: EngineFiles = EngineFiles { owns, root: "version" };

/// Whether files may be fjall's: all of them are.
fn owns(names: &[String]) -> bool {
    names.iter().all(|name| OURS.contains(&name.as_str()) || name.ends_with(".jnl"))
}

/// What the writer works on, and what readers share.
pub(crate) type Files = (Engine, Arc<Reader>);

/// Opens the files at `dir`, or creates them. A panic in fjall's recovery is a fault like others.
pub(crate) fn files(dir: &Path, config: &Config, rows: Rows) -> Result<Files, hydra_embedded::Fault> {
    guarded(|| recovered(dir, config, rows).map_err(|Fault(fault)| fault))
}

fn recovered(dir: &Path, config: &Config, expected: Rows) -> Result<Files, Fault> {
    version::check(dir)?;
    complete::check(dir)?;
    let clock = Clock::default();
    let factory: Arc<dyn Factory> = Arc::new(clock.clone());
    let db = Database::builder(dir)
        .cache_size(config.block_cache_bytes())
        .max_journaling_size(config.journal_bytes_max())
        .worker_threads(WORKERS)
        .with_compaction_filter_factories(Arc::new(move |_| Some(Arc::clone(&factory))))
        .open()?;
    let rows =
        db.keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES))?;
    let stored = rows.get(layout::META)?;
    // Without its journal fjall numbers writes from the start again: snapshots then miss what is in the files.
    if stored.is_some() && db.snapshot().get(&rows, layout::META)? != stored {
        return Err(hydra_embedded::Fault::Missing("journal").into());
    }
    let counts = match stored {
        Some(counts) => Counts::decode(&counts, layout::VERSION)?,
        None if expected == Rows::MayBeNone && rows.first_key_value().is_none() => {
            rows.insert(layout::META, Counts::default().encode(layout::VERSION))?;
            Counts::default()
        }
        None => return Err(DamagedRow("counts").into()),
    };
    // Without the list, as on a full disk, it is written with the next open.
    if let Err(error) = complete::record(dir) {
        tracing::debug!(%error, "cannot list the keyspaces");
    }
    let values = Values::of(&rows)?;
    let by_number = Arc::new(ProviderCache::new(config.provider_cache_bytes() / 2));
    let reader = Reader {
        db: db.clone(),
        rows: rows.clone(),
        by_number: Arc::clone(&by_number),
        turn: AtomicU32::new(0),
        values: Arc::clone(&values.tally),
    };
    let engine = Engine {
        db,
        rows,
        counts,
        by_peer: ByPeer::new(config.provider_cache_bytes() / 2),
        by_number,
        pass: Pass::default(),
        values,
        providers_per_key_max: u64::from(config.providers_per_key_max),
        clock,
        latest: UnixSeconds(u32::MAX),
    };
    Ok((engine, Arc::new(reader)))
}
