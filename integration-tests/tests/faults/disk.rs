//! A small disk that fills up.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A disk in memory. Only root may mount one.
#[derive(Debug)]
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// # Errors
    /// If it cannot be mounted.
    pub(crate) fn mount(size: &str) -> io::Result<Self> {
        let disk = Self(tempfile::tempdir()?);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(disk.0.path());
        if mount.status()?.success() { Ok(disk) } else { Err(io::Error::other("no small disk")) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room.
    ///
    /// # Errors
    /// If there is room left.
    pub(crate) fn fill(&self) -> io::Result<()> {
        match std::fs::write(self.filler(), vec![1; 256 << 20]) {
            Err(cause) if cause.kind() == io::ErrorKind::StorageFull => Ok(()),
            Err(cause) => Err(cause),
            Ok(()) => Err(io::Error::other("the small disk is not small")),
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// If it was not taken.
    pub(crate) fn clear(&self) -> io::Result<()> {
        std::fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may have files open there. Who cannot unmount it leaves it to the machine.
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
