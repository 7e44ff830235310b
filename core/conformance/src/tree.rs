//! The files below a directory, to see whether an open changes any.

use crate::check::{Broken, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every path below a directory, with the bytes of files.
#[derive(Debug)]
pub(crate) struct Tree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    /// What is below `root` now.
    pub(crate) fn of(root: &Path) -> Result<Self, Broken> {
        let failed =
            |cause: std::io::Error| Broken::new(format!("the data directory cannot be read: {cause}"));
        let mut tree = BTreeMap::new();
        let mut left = vec![root.to_owned()];
        while let Some(dir) = left.pop() {
            for entry in std::fs::read_dir(&dir).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    left.push(path.clone());
                    tree.insert(path, None);
                } else {
                    let bytes = std::fs::read(&path).map_err(failed)?;
                    tree.insert(path, Some(bytes));
                }
            }
        }
        Ok(Self(tree))
    }

    /// Demands that what was below `root` is there, and that no file was emptied.
    pub(crate) fn kept(&self, root: &Path) -> Result<(), Broken> {
        let after = Self::of(root)?;
        let is_empty = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(Vec::is_empty);
        for (path, bytes) in &self.0 {
            let now = after.0.get(path);
            let is_kept = now.is_some_and(|now| is_empty(bytes) || !is_empty(now));
            ensure!(is_kept, "it has removed or emptied {}", path.display());
        }
        Ok(())
    }

    /// Demands that `root` is as it was.
    pub(crate) fn unchanged(&self, root: &Path) -> Result<(), Broken> {
        let after = Self::of(root)?;
        let paths: BTreeSet<_> = self.0.keys().chain(after.0.keys()).collect();
        for path in paths {
            ensure!(self.0.get(path) == after.0.get(path), "it has changed {}", path.display());
        }
        Ok(())
    }
}
