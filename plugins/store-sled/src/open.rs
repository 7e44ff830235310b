//! Opening the files: one process at a time, and anew when they are damaged.

use crate::config::Config;
use crate::fault::Fault;
use crate::layout::{self, Counts};
use crate::providers::Providers;
use hydra_api::{OpenError, UnixSeconds};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The file that says that a call found damage.
const DAMAGED: &str = "damaged";

/// Names of what sled keeps in its directory, beside snapshots.
const OURS: [&str; 4] = ["conf", "db", "blobs", DAMAGED];

/// How often, and how long apart, an open waits for threads that sled has left behind at the last close: they hold its
/// lock for some moments more.
const LOCKED_TRIES: u32 = 100;
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// What all calls share. Writes come one at a time.
pub(crate) struct Engine {
    pub(crate) db: sled::Db,
    pub(crate) rows: sled::Tree,
    pub(crate) providers: Providers,
    pub(crate) records_max: u64,
    /// Where the next read of a key with many providers begins.
    pub(crate) turn: AtomicU32,
    records: AtomicU64,
    next_provider: AtomicU32,
}

/// Without the tree: sled would print every row of it.
impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The counts as of the last write.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            records: self.records.load(Ordering::Relaxed),
            next_provider: self.next_provider.load(Ordering::Relaxed),
        }
    }

    /// Writes rows and the counts that go with them: all, or nothing.
    pub(crate) fn commit(&self, mut write: sled::Batch, counts: Counts) -> Result<(), Fault> {
        if counts != self.counts() {
            write.insert(layout::META, counts.encode());
        }
        self.rows.apply_batch(write)?;
        self.records.store(counts.records, Ordering::Relaxed);
        self.next_provider.store(counts.next_provider, Ordering::Relaxed);
        Ok(())
    }
}

/// A store that is open, and the lock on its directory.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) damage: Damage,
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
        // A panic while opening says as much as an error: what is there cannot be read.
        Err(fault) if fault.is_damage() || matches!(fault, Fault::Panic(_)) => {
            set_aside(dir, &fault.to_string())?;
            guarded(dir, config)
        }
        opened => opened,
    };
    let (db, counts) = opened.map_err(|fault| told(dir, fault))?;
    let counts = counts.map_err(|version| {
        let message =
            format!("{} was written in layout {version} by another version of hydra", dir.display());
        OpenError::corrupt(message, format!("this version reads layout {}", layout::VERSION))
    })?;
    let rows = (*db).clone();
    let engine = Engine {
        db,
        rows,
        providers: Providers::new(config.providers_bytes()),
        records_max: config.records_max,
        turn: AtomicU32::new(0),
        records: AtomicU64::new(counts.records),
        next_provider: AtomicU32::new(counts.next_provider),
    };
    Ok(Opened { engine, damage, lock })
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
    let is_ours = |name: &str| OURS.contains(&name) || name.starts_with("snap.");
    if names.iter().all(|name| is_ours(&name.to_string_lossy())) {
        Ok(())
    } else {
        Err(foreign("holds other files"))
    }
}

type Files = (sled::Db, Result<Counts, u8>);

fn guarded(dir: &Path, config: &Config) -> Result<Files, Fault> {
    let mut tries = 0;
    loop {
        let opened = catch_unwind(|| files(dir, config));
        match opened.unwrap_or_else(|panic| Err(Fault::of_panic(&*panic))) {
            // Nobody else is at it: the lock beside the directory is ours.
            Err(fault) if fault.is_locked() && tries < LOCKED_TRIES => {
                tries += 1;
                std::thread::sleep(LOCKED_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn files(dir: &Path, config: &Config) -> Result<Files, Fault> {
    let interval = config.flush_interval().as_millis() as u64;
    let db = sled::Config::new()
        .path(dir)
        .cache_capacity(config.cache_bytes())
        .flush_every_ms(Some(interval))
        .open()?;
    let counts = match db.get(layout::META)? {
        Some(counts) => Counts::decode(&counts)?,
        None if db.first()?.is_none() => {
            db.insert(layout::META, Counts::default().encode())?;
            Ok(Counts::default())
        }
        None => return Err(Fault::Row("counts")),
    };
    Ok((db, counts))
}

fn told(dir: &Path, fault: Fault) -> OpenError {
    let message =
        if fault.is_locked() { in_use(dir) } else { format!("cannot open the records in {}", dir.display()) };
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
