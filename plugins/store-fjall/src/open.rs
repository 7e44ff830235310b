//! Opening the files: one process at a time, and anew when they are damaged.

use crate::config::Config;
use crate::fault::Fault;
use crate::filter::Clock;
use crate::layout::{self, Counts};
use crate::providers::{ByNumber, ByPeer};
use crate::purge::Pass;
use crate::read::Reader;
use crate::writer::Engine;
use fjall::compaction::filter::Factory;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable};
use hydra_api::{OpenError, UnixSeconds};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// All rows. Exactly one keyspace: one that is never written would keep old journals from being removed.
const KEYSPACE: &str = "records";

/// Rows in memory until they go to a file.
const MEMTABLE_BYTES: u64 = 32 << 20;

/// The file that says that a call found damage.
const DAMAGED: &str = "damaged";

/// Names of what fjall keeps in its directory, beside journals.
const OURS: [&str; 4] = ["keyspaces", "version", "lock", DAMAGED];

/// Threads of fjall that write files and merge them.
const WORKERS: usize = 2;

/// A store that is open, and the lock on its directory.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) reader: Arc<Reader>,
    pub(crate) lock: File,
}

/// Opens the files at `dir`. Damaged ones are moved aside, and the store starts empty.
pub(crate) fn open(dir: &Path, config: &Config) -> Result<Opened, OpenError> {
    refuse_foreign(dir)?;
    let lock = lock(dir)?;
    let damage = Damage { marker: dir.join(DAMAGED) };
    if damage.marker.exists() {
        set_aside(dir, "a call found damage before the last stop")?;
    }
    let opened = match guarded(dir, config) {
        Ok(opened) => Ok(opened),
        Err(fault) if needs_new_start(&fault) => {
            set_aside(dir, &fault.to_string())?;
            guarded(dir, config)
        }
        Err(fault) => Err(fault),
    };
    let (db, rows, clock, counts) = opened.map_err(|fault| told(dir, fault))?;
    let counts = counts.map_err(|version| {
        let message =
            format!("{} was written in layout {version} by another version of hydra", dir.display());
        OpenError::corrupt(message, format!("this version reads layout {}", layout::VERSION))
    })?;
    let by_number = Arc::new(ByNumber::new(config.provider_cache_bytes() / 2));
    let reader = Reader {
        db: db.clone(),
        rows: rows.clone(),
        by_number: Arc::clone(&by_number),
        turn: AtomicU32::new(0),
    };
    let engine = Engine {
        db,
        rows,
        counts,
        by_peer: ByPeer::new(config.provider_cache_bytes() / 2),
        by_number,
        pass: Pass::default(),
        providers_per_key_max: u64::from(config.providers_per_key_max),
        clock,
        records: Arc::new(AtomicU64::new(counts.records)),
        damage,
    };
    Ok(Opened { engine, reader: Arc::new(reader), lock })
}

/// Damaged files are moved aside, so nothing may be taken for them that is the operator's own.
fn refuse_foreign(dir: &Path) -> Result<(), OpenError> {
    let foreign =
        |what| OpenError::config("dir", format!("{} {what}: name a directory of its own", dir.display()));
    let names = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>(),
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) if cause.kind() == ErrorKind::NotADirectory => return Err(foreign("is no directory")),
        Err(cause) => Err(cause),
    };
    let names = names.map_err(|cause| {
        OpenError::unavailable(format!("cannot read the directory {}", dir.display()), cause)
    })?;
    let is_ours =
        |name: &OsString| OURS.iter().any(|ours| name == ours) || name.to_string_lossy().ends_with(".jnl");
    if names.is_empty() || names.iter().any(is_ours) { Ok(()) } else { Err(foreign("holds other files")) }
}

type Files = (Database, Keyspace, Clock, Result<Counts, u8>);

/// A panic in fjall's recovery is a fault like others.
fn guarded(dir: &Path, config: &Config) -> Result<Files, Fault> {
    catch_unwind(|| files(dir, config)).unwrap_or_else(|panic| Err(Fault::of_panic(&*panic)))
}

fn files(dir: &Path, config: &Config) -> Result<Files, Fault> {
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
    let counts = rows.get(layout::META)?;
    // Without its journal fjall numbers writes from the start again: snapshots then miss what is in the files.
    if counts.is_some() && db.snapshot().get(&rows, layout::META)? != counts {
        return Err(Fault::Journal);
    }
    let counts = match counts {
        Some(counts) => Counts::decode(&counts)?,
        None if rows.first_key_value().is_none() => {
            rows.insert(layout::META, Counts::default().encode())?;
            Ok(Counts::default())
        }
        None => return Err(Fault::Row("counts")),
    };
    Ok((db, rows, clock, counts))
}

/// A panic while opening says as much as an error: what is there cannot be read.
fn needs_new_start(fault: &Fault) -> bool {
    fault.is_damage() || matches!(fault, Fault::Panic(_))
}

fn told(dir: &Path, fault: Fault) -> OpenError {
    let message = match &fault {
        Fault::Engine(fjall::Error::Locked) => in_use(dir),
        _ => format!("cannot open the records in {}", dir.display()),
    };
    if fault.is_damage() {
        OpenError::corrupt(message, fault)
    } else {
        OpenError::unavailable(message, fault)
    }
}

fn in_use(dir: &Path) -> String {
    format!("another process uses the records in {}: stop it, or set another `dir`", dir.display())
}

/// Takes a lock beside the directory, so that nobody moves it away while another uses it.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = beside(dir, "lock");
    let failed = |cause| OpenError::unavailable(format!("cannot make {}", path.display()), cause);
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::unavailable(in_use(dir), "its lock is taken")),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    PathBuf::from(name)
}

/// Moves damaged files out of the way and says so. Records come back as they are announced again.
fn set_aside(dir: &Path, why: &str) -> Result<(), OpenError> {
    let now = UnixSeconds::now();
    let free =
        (0..).map(|number| beside(dir, &format!("damaged-{now}-{number}"))).find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| beside(dir, "damaged"));
    fs::rename(dir, &aside).map_err(|cause| {
        let message = format!("the records in {} are damaged ({why}), and cannot be moved", dir.display());
        OpenError::corrupt(message, cause)
    })?;
    tracing::error!(
        dir = %dir.display(),
        moved_to = %aside.display(),
        why,
        "THE RECORDS ARE DAMAGED: they were moved aside, and the store starts empty. Records come back as they are \
         announced again. Delete what was moved once nobody needs it"
    );
    Ok(())
}

/// Takes note of damage that a call found, so that the next start begins anew.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    marker: PathBuf,
}

impl Damage {
    /// Looks at a fault on its way to the caller.
    pub(crate) fn noted(&self, fault: Fault) -> Fault {
        if fault.is_damage() && !self.marker.exists() {
            let told = fs::write(&self.marker, fault.to_string());
            tracing::error!(%fault, ?told, "THE RECORDS ARE DAMAGED: the next start moves them aside");
        }
        fault
    }
}
