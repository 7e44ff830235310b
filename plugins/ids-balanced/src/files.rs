//! Files that are whole or absent, and errors that name them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Replaces the file at `path`: after a crash or a power failure it has its old or its new content.
///
/// # Errors
/// The error of the file system with the path in its text; the old file is left as it was.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace(path, &path.with_extension("json.new"), value)
}

/// The same where another process may write the file at the same time: the later of both counts, and it is whole.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_beside(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let written = path.with_extension(format!("json.new-{}", std::process::id()));
    replace(path, &written, value)
}

fn replace(path: &Path, written: &Path, value: &impl Serialize) -> io::Result<()> {
    let replaced = || {
        let mut file = File::create(written)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(written, path)?;
        sync_parent(path)
    };
    // What is half written takes room on a disk that may be full.
    replaced()
        .map_err(|cause| named("cannot write", path, &cause))
        .inspect_err(|_| drop(std::fs::remove_file(written)))
}

/// Reads the file at `path`; `None` when there is none.
///
/// # Errors
/// [`ErrorKind::InvalidData`] with `repair` in its text when the file is damaged, else the error of the file system. Each
/// names the path.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, repair: &str) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|cause| damaged(path, repair, &cause)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(named("cannot read", path, &cause)),
    }
}

/// A file whose content is wrong: what to do about it, and what is wrong.
pub(crate) fn damaged(path: &Path, repair: &str, cause: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} is damaged, {repair}: {cause}", path.display()))
}

/// An error of the file system that names the file.
pub(crate) fn named(what: &str, path: &Path, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{what} {}: {cause}", path.display()))
}

/// Creates a directory and those above it, durably.
///
/// # Errors
/// The error of the file system with the path in its text.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let created = || {
        std::fs::create_dir_all(path)?;
        sync_parent(path)
    };
    created().map_err(|cause| named("cannot create the directory", path, &cause))
}

/// Makes the new entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        // Elsewhere a directory cannot be opened as a file.
        Some(parent) if cfg!(unix) && !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_the_root_cause() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing/a.json");
        let error = write(&missing, &1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with(&format!("cannot write {}: ", missing.display())), "{error}");
        let error = read::<u32>(dir.path(), "").unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot read {}: ", dir.path().display())), "{error}");
        let path = dir.path().join("a.json");
        std::fs::write(&path, "{").unwrap();
        let error = read::<u32>(&path, "delete it").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let begin = format!("{} is damaged, delete it: ", path.display());
        assert!(error.to_string().starts_with(&begin), "{error}");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write(&path, &1).unwrap();
        // A directory in the place of the new file: it cannot be created.
        std::fs::create_dir(dir.path().join("a.json.new")).unwrap();
        write(&path, &2).unwrap_err();
        assert_eq!(read::<u32>(&path, "").unwrap(), Some(1));
    }
}
