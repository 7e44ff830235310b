//! Which directories of fjall's keyspaces have to be there: one that is missing, fjall takes for one that was never made, and removes
//! what is left of it.

use crate::fault::Fault;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The file that lists them, a line each, once they are complete.
pub(crate) const COMPLETE: &str = "complete";

/// The same before it is complete.
pub(crate) const COMPLETE_NEW: &str = "complete.new";

/// Where fjall keeps the directories, and what each has.
const KEYSPACES: &str = "keyspaces";
const CURRENT: &str = "current";

/// Looks for each directory that is listed.
pub(crate) fn check(dir: &Path) -> Result<(), Fault> {
    let listed = match fs::read_to_string(dir.join(COMPLETE)) {
        Ok(listed) => listed,
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(cause) if cause.kind() == ErrorKind::InvalidData => return Ok(()),
        Err(cause) => return Err(hydra_embedded::Fault::Io(cause).into()),
    };
    // What a crash of the machine left of it says nothing.
    if !listed.lines().all(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        return Ok(());
    }
    for name in listed.lines() {
        let is_there = dir.join(KEYSPACES).join(name).join(CURRENT).try_exists();
        if !is_there.map_err(hydra_embedded::Fault::Io)? {
            return Err(hydra_embedded::Fault::Missing("table of a keyspace").into());
        }
    }
    Ok(())
}

/// Lists what is there, once fjall has opened it.
pub(crate) fn record(dir: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(dir.join(KEYSPACES))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| dir.join(KEYSPACES).join(name).join(CURRENT).exists());
    names.sort_unstable();
    let list: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
    let path = dir.join(COMPLETE);
    if fs::read_to_string(&path).is_ok_and(|listed| listed == list) {
        return Ok(());
    }
    // An old list must not stay if a new one cannot be written.
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let partial = dir.join(COMPLETE_NEW);
    let mut file = File::create(&partial)?;
    file.write_all(list.as_bytes())?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    File::open(dir)?.sync_all()
}
