//! Files that are whole or not there.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Puts `value` in the place of what is at `path`: a crash leaves the one or the other.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let written = path.with_extension("json.new");
    let mut file = File::create(&written)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&written, path)?;
    sync_parent(path)
}

/// What is at `path`, or `None` when nothing is. A file that cannot be understood is [`ErrorKind::InvalidData`].
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|cause| io::Error::new(ErrorKind::InvalidData, format!("{}: {cause}", path.display()))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Makes a name durable that was just given in the directory of `path`.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        // Elsewhere a directory cannot be opened as a file.
        Some(parent) if cfg!(unix) && !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
