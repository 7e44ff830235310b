//! What tells one store from another, so that a transfer goes on between the same two alone.

use crate::cli::Failure;
use crate::config::{Loaded, concealed};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{self, Path, PathBuf};

/// A digest of what names a store, without its secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity([u8; 32]);

impl Identity {
    /// The store of a config. Its data directory need not exist: a store on a server has nothing in it.
    pub(super) fn of_store(loaded: &Loaded) -> Result<Self, Failure> {
        let dir = &loaded.config.data_dir;
        let dir = real(dir).map_err(|cause| {
            Failure::failed(&format!("cannot resolve the path of the directory {}", dir.display()), cause)
        })?;
        let keys = loaded.effective().into_iter().filter(|entry| entry.key.starts_with("store."));
        let keys = keys.map(|entry| (concealed(&entry.key, &entry.value), entry.key));
        let lines = keys.map(|(value, key)| format!("{key} = {value}"));
        Ok(Self::of([dir.to_string_lossy().into_owned()].into_iter().chain(lines)))
    }

    /// The store of a config that is written to: its data directory is created if needed.
    pub(super) fn of_target(loaded: &Loaded) -> Result<Self, Failure> {
        let dir = &loaded.config.data_dir;
        std::fs::create_dir_all(dir).map_err(|cause| {
            Failure::failed(&format!("cannot create the data directory {}", dir.display()), cause)
        })?;
        Self::of_store(loaded)
    }

    /// The place of an import.
    pub(super) fn of_url(kind: &str, url: &str) -> Self {
        let url = concealed("url", &Value::from(url));
        Self::of([kind.to_owned(), url.to_string()])
    }

    fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let mut digest = Sha256::new();
        for line in lines {
            digest.update((line.len() as u64).to_le_bytes());
            digest.update(line);
        }
        Self(digest.finalize().into())
    }

    /// Some letters for the name of a file.
    pub(super) fn joined(identities: &[Self]) -> String {
        let all: Vec<u8> = identities.iter().flat_map(|identity| identity.0).collect();
        Sha256::digest(all)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The path of a directory without symbolic links. The part that does not exist or cannot be read is taken as it is written, so that
/// the path is the same once the directory has been created.
fn real(dir: &Path) -> io::Result<PathBuf> {
    if let Ok(dir) = dir.canonicalize() {
        return Ok(dir);
    }
    let dir = path::absolute(dir)?;
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) => Ok(real(parent)?.join(name)),
        _ => Ok(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_the_same_path_before_and_after_it_is_created() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(home.path(), home.path().join("link")).unwrap();
        let dir = home.path().join("link/a/b");
        let before = real(&dir).unwrap();
        assert_eq!(before, home.path().canonicalize().unwrap().join("a/b"));
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(real(&dir).unwrap(), before);
        assert!(real(Path::new("not/there")).unwrap().is_absolute());
    }

    #[test]
    fn a_password_does_not_tell_two_places_apart_and_anything_else_does() {
        let of = |url| Identity::of_url("x", url);
        assert_eq!(of("postgres://a:b@c/d"), of("postgres://a:z@c/d"));
        assert_ne!(of("postgres://a:b@c/d"), of("postgres://a:b@c/e"));
        assert_ne!(of("postgres://c/d"), Identity::of_url("y", "postgres://c/d"));
    }
}
