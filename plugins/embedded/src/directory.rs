//! The directory of a store: one process at a time, and nobody else's files.

mod aside;

use crate::checksums::{self, CHECKSUMS, Compared, is_own};
use crate::damage::Damage;
use crate::fault::Fault;
use crate::probe::{ROOM_BYTES, probe};
use hydra_api::{Causes, OpenError, Purpose, UnixSeconds};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often, and how long apart, a lock that is taken is tried again: a check holds it for a moment.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How many copies of damaged files are kept beside the directory: a disk that fails again and again must not be filled with them.
pub const ASIDE_LEN_MAX: usize = 3;
/// The last part of the name of a copy, up to the time at which it was moved.
const ASIDE: &str = "damaged-";

/// What an engine keeps in its directory.
#[derive(Debug, Clone, Copy)]
pub struct EngineFiles {
    /// True if files of these names, which are not those of this crate, may be the engine's.
    pub owns: fn(&[String]) -> bool,
    /// The file without which the engine takes the others for nothing, and starts anew.
    pub root: &'static str,
}

/// What is in the directory of a store before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    /// The directory does not exist or is empty.
    Nothing,
    /// Files of the engine.
    Files,
    /// Files of the engine, and not the one that all others depend on.
    NoRoot(&'static str),
}

/// Whether an engine that finds no rows may begin with none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// It begins with none: there were no files, or a node begins anew.
    MayBeNone,
    /// Files without rows are damage.
    MustBe,
}

/// The lock on a directory, until dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] File);

/// An engine that is open, and the lock on its directory.
#[derive(Debug)]
pub struct Opened<T> {
    /// What was opened.
    pub files: T,
    /// Remembers damage that calls find.
    pub damage: Damage,
    /// Held until all is closed.
    pub lock: Lock,
    /// True if there was nothing before.
    pub is_new: bool,
}

/// Opens the engine at `dir` with `files`. For a node, damaged files are moved aside, and the store starts empty; of the
/// copies that were moved aside the newest [`ASIDE_LEN_MAX`] are kept. For any other purpose damage is an error, and what is
/// there stays where it is. Files that differ from the checksums of the last stop are damaged.
///
/// A panic while opening is damage as well: what is there cannot be read. Nothing is moved, or called damaged, while the
/// directory cannot be written or no thread be started: a full disk may look like damage.
///
/// # Errors
/// [`OpenError`] when the directory holds other files, is in use, cannot be written or has another layout, or when the
/// records are damaged and no node opens them.
pub fn open<T>(
    purpose: Purpose,
    dir: &Path,
    engine: EngineFiles,
    files: impl Fn(Rows) -> Result<T, Fault>,
) -> Result<Opened<T>, OpenError> {
    present(dir, engine)?;
    let lock = lock(dir)?;
    // Who made the store meanwhile has ended.
    let present = present(dir, engine)?;
    let damage = Damage::of(dir, purpose);
    let is_node = purpose == Purpose::Serve;
    match known_damage(dir, &damage, present)? {
        Known::Damage(why) if is_node => set_aside(dir, &why)?,
        Known::Damage(why) => return Err(damaged(dir, why)),
        known @ (Known::Same | Known::Nothing) => {
            // An open that fails for want of room leaves the checksums to the next one.
            let has_means = if matches!(known, Known::Same) { has_means(dir) } else { Ok(()) };
            has_means.and_then(|()| checksums::remove(dir)).map_err(|cause| {
                OpenError::unavailable(format!("cannot open the records in {}", dir.display()), cause)
            })?;
        }
    }
    let rows = if is_node || present == Present::Nothing { Rows::MayBeNone } else { Rows::MustBe };
    let opened = match guarded(|| files(rows)) {
        Err(fault) if fault.is_damage() || matches!(fault, Fault::Panic(_)) => {
            let why = Causes(&fault).to_string();
            has_means(dir).map_err(|cause| {
                let message = format!("cannot open the records in {} ({why})", dir.display());
                OpenError::unavailable(message, cause)
            })?;
            if !is_node {
                return Err(damaged(dir, why));
            }
            set_aside(dir, &why)?;
            guarded(|| files(Rows::MayBeNone))
        }
        opened => opened,
    };
    let files = opened.map_err(|fault| open_error(dir, fault))?;
    Ok(Opened { files, damage, lock, is_new: present == Present::Nothing })
}

/// What is known of the files without opening the engine.
#[derive(Debug)]
pub(crate) enum Known {
    /// They are damaged, and why.
    Damage(String),
    /// They are as the last stop left them.
    Same,
    /// Whether they are damaged is not known.
    Nothing,
}

/// Looks for damage without opening the engine. Reads all files if there are checksums of the last stop.
///
/// # Errors
/// [`OpenError`] when a file cannot be read.
pub(crate) fn known_damage(dir: &Path, damage: &Damage, present: Present) -> Result<Known, OpenError> {
    if let Some(error) = damage.marked() {
        return Ok(Known::Damage(format!("a call found damage before the last stop: {error}")));
    }
    match present {
        Present::Nothing => return Ok(Known::Nothing),
        Present::NoRoot(name) => return Ok(Known::Damage(format!("the file `{name}` is missing"))),
        Present::Files => {}
    }
    let checked = checksums::check(dir).map_err(|cause| {
        OpenError::unavailable(format!("cannot read the records in {}", dir.display()), cause)
    })?;
    Ok(match checked {
        Compared::Unlisted => Known::Nothing,
        Compared::Same => Known::Same,
        Compared::Changed(why) => Known::Damage(why),
    })
}

fn damaged(dir: &Path, why: String) -> OpenError {
    let message = format!(
        "the records in {} are damaged, and are left as they are: put back a copy of the directory, or start the node, which moves \
         them aside and begins empty",
        dir.display()
    );
    OpenError::corrupt(message, why)
}

/// Whether the system gives what an engine needs to open.
fn has_means(dir: &Path) -> io::Result<()> {
    probe(dir, ROOM_BYTES)?;
    let thread = thread::Builder::new().name("records-probe".to_owned()).spawn(|| ())?;
    thread.join().map_err(|_| io::Error::other("a thread ended before it began"))
}

/// Runs a call of an engine. A panic is a fault.
///
/// # Errors
/// Those of the call.
pub fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(Fault::of_panic(&*panic)))
}

/// Looks what is in the directory. Damaged files are moved aside, so one with the operator's own files is refused.
pub(crate) fn present(dir: &Path, engine: EngineFiles) -> Result<Present, OpenError> {
    let foreign = |what| {
        OpenError::config(
            "dir",
            format!("{} {what}: set `dir` to a directory that only the store uses", dir.display()),
        )
    };
    let names = match fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>(),
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Present::Nothing),
        Err(cause) if cause.kind() == ErrorKind::NotADirectory => return Err(foreign("is not a directory")),
        Err(cause) => Err(cause),
    };
    let mut names = names.map_err(|cause| {
        OpenError::unavailable(format!("cannot read the directory {}", dir.display()), cause)
    })?;
    let is_listed = names.iter().any(|name| name == CHECKSUMS);
    names.retain(|name| !is_own(name));
    if names.is_empty() {
        // Where files are listed there were some.
        return Ok(if is_listed { Present::NoRoot(engine.root) } else { Present::Nothing });
    }
    if !(engine.owns)(&names) {
        return Err(foreign("holds other files"));
    }
    let has_root = names.iter().any(|name| name == engine.root);
    Ok(if has_root { Present::Files } else { Present::NoRoot(engine.root) })
}

fn open_error(dir: &Path, fault: Fault) -> OpenError {
    let shown = dir.display();
    if let Fault::Layout { found, .. } = fault {
        let message = format!("{shown} was written in layout {found} by another version of hydra");
        return OpenError::corrupt(message, fault);
    }
    let message = if matches!(fault, Fault::Locked) {
        in_use(dir)
    } else {
        format!("cannot open the records in {shown}")
    };
    if fault.is_damage() {
        OpenError::corrupt(message, fault)
    } else {
        OpenError::unavailable(message, fault)
    }
}

pub(crate) fn in_use(dir: &Path) -> String {
    format!("another process uses the records in {}: stop it, or set another `dir`", dir.display())
}

/// The lock is beside the directory, so that nobody moves it away while another process uses it.
pub(crate) fn lock_path(dir: &Path) -> PathBuf {
    beside(dir, "lock")
}

fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let path = lock_path(dir);
    let failed = |cause| OpenError::unavailable(format!("cannot lock {}", path.display()), cause);
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::unavailable(in_use(dir), "its lock is taken"));
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
    }
}

fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    PathBuf::from(name)
}

/// Moves damaged files out of the way and says so. Records come back as they are announced again.
fn set_aside(dir: &Path, why: &str) -> Result<(), OpenError> {
    let aside = aside::free(dir, UnixSeconds::now());
    fs::rename(dir, &aside).map_err(|cause| {
        let message = format!(
            "the records in {} are damaged ({why}) and cannot be moved aside: move the directory away",
            dir.display()
        );
        OpenError::corrupt(message, cause)
    })?;
    tracing::error!(
        dir = %dir.display(),
        moved_to = %aside.display(),
        why,
        "THE RECORDS ARE DAMAGED: they were moved aside, and the store starts empty. Records come back as they are \
         announced again. Delete the moved files when they are no longer needed; the newest {ASIDE_LEN_MAX} copies are kept"
    );
    aside::keep_newest(dir, &aside);
    Ok(())
}

#[cfg(test)]
mod tests;
