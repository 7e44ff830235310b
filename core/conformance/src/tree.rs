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

    /// Demands that `root` itself has the same files and directories; an empty file may be new, as that of a lock. What is in the
    /// directories is not compared.
    pub(crate) fn nothing_moved(&self, root: &Path) -> Result<(), Broken> {
        let after = Self::of(root)?;
        let is_gone = |path: &&PathBuf| !after.0.contains_key(*path);
        let is_new = |(path, bytes): &(&PathBuf, &Option<Vec<u8>>)| {
            !self.0.contains_key(*path) && bytes.as_ref().is_none_or(|bytes| !bytes.is_empty())
        };
        let gone = self.0.keys().filter(is_gone);
        let new = after.0.iter().filter(is_new).map(|(path, _)| path);
        match gone.chain(new).find(|path| path.parent() == Some(root)) {
            Some(path) => Err(Broken::new(format!("it has moved {}", path.display()))),
            None => Ok(()),
        }
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
