//! The limit of the memory, and how much of it is used: from the files of the kernel.
//!
//! Control groups: <https://docs.kernel.org/admin-guide/cgroup-v2.html> (`memory.max`, `memory.current`) and
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html> (`memory.limit_in_bytes`, `memory.usage_in_bytes`).

use hydra_api::OpenError;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// From here on a limit of version 1 stands for none: the kernel rounds the highest number down to a page.
const NO_LIMIT: u64 = 1 << 62;

/// Measures how much of its limits the process uses.
#[derive(Debug)]
pub(crate) struct Probe {
    bounds: Vec<Bound>,
}

/// A limit, and where the use of it is found.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    bytes: u64,
    used: Used,
}

#[derive(Debug, PartialEq, Eq)]
enum Used {
    /// By all processes of the control group in this directory.
    Group(Version, PathBuf),
    /// By this process, in this file.
    Process(PathBuf),
}

/// Of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// How much is used of the limit that is nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

impl Measured {
    pub(crate) const fn permille(self) -> u32 {
        let permille = self.used.saturating_mul(1_000) / if self.limit == 0 { 1 } else { self.limit };
        if permille > u32::MAX as u64 { u32::MAX } else { permille as u32 }
    }
}

impl Version {
    const fn files(self) -> [&'static str; 2] {
        match self {
            Self::One => ["memory.limit_in_bytes", "memory.usage_in_bytes"],
            Self::Two => ["memory.max", "memory.current"],
        }
    }

    /// What of the page cache has not been used lately, in `memory.stat`: it is given back before anything is killed.
    const fn reclaimable(self) -> &'static str {
        match self {
            Self::One => "total_inactive_file",
            Self::Two => "inactive_file",
        }
    }
}

impl Probe {
    /// A probe of this limit, or for 0 of those that the system sets. `root` is the root of the file system.
    ///
    /// # Errors
    /// [`OpenError`] when the system does not tell the memory of processes.
    pub(crate) fn find(root: &Path, limit_mib: u32) -> Result<Self, OpenError> {
        let process = Used::Process(root.join("proc/self/status"));
        let bounds = if limit_mib > 0 {
            vec![Bound { bytes: u64::from(limit_mib) << 20, used: process }]
        } else {
            let groups = groups(root);
            if groups.is_empty() { vec![Bound { bytes: machine(root)?, used: process }] } else { groups }
        };
        let probe = Self { bounds };
        match probe.measure() {
            Ok(_) => Ok(probe),
            Err(cause) => Err(OpenError::unavailable("the memory of this process cannot be measured", cause)),
        }
    }

    /// How much is used of the limit that is nearest.
    pub(crate) fn measure(&self) -> io::Result<Measured> {
        let mut nearest: Option<Measured> = None;
        for bound in &self.bounds {
            let measured = Measured { used: bound.used.read()?, limit: bound.bytes };
            nearest = nearest.filter(|it| it.permille() >= measured.permille()).or(Some(measured));
        }
        nearest.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl fmt::Display for Probe {
    /// Where the limits come from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Bound { bytes, used }) in self.bounds.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} MiB of ", bytes >> 20)?;
            match used {
                Used::Group(_, path) => write!(f, "the control group {}", path.display())?,
                Used::Process(_) => f.write_str("this process")?,
            }
        }
        Ok(())
    }
}

impl Used {
    fn read(&self) -> io::Result<u64> {
        match self {
            Self::Group(version, path) => {
                let used = number(&path.join(version.files()[1]))?;
                // Without it all counts.
                let stat = fs::read_to_string(path.join("memory.stat")).unwrap_or_default();
                Ok(used.saturating_sub(field(&stat, version.reclaimable()).unwrap_or(0)))
            }
            Self::Process(path) => kib(&fs::read_to_string(path)?, "VmRSS:"),
        }
    }
}

/// The limits of the control group of this process and of those around it.
fn groups(root: &Path) -> Vec<Bound> {
    let Ok(lines) = fs::read_to_string(root.join("proc/self/cgroup")) else { return Vec::new() };
    let mounts = root.join("sys/fs/cgroup");
    let found = lines.lines().filter_map(|line| {
        // hierarchy-ID:controller-list:cgroup-path
        let (hierarchy, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        match (hierarchy, controllers) {
            ("0", "") => Some((Version::Two, mounts.clone(), path)),
            (_, list) if list.split(',').any(|it| it == "memory") => {
                Some((Version::One, mounts.join("memory"), path))
            }
            _ => None,
        }
    });
    found.flat_map(|(version, mount, path)| limits(version, &mount, path)).collect()
}

/// The limits from the mount down to this path. In a container the path may be that of the host, which is not there:
/// then the mount itself is the group.
fn limits(version: Version, mount: &Path, path: &str) -> Vec<Bound> {
    let below = Path::new(path.trim_start_matches('/'));
    // A path that leads out of the mount is not one of the container's.
    let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let mut directories: Vec<_> =
        below.ancestors().filter(|_| is_plain).map(|part| mount.join(part)).collect();
    if !is_plain {
        directories.push(mount.to_owned());
    }
    let bound = |directory: PathBuf| {
        let bytes =
            number(&directory.join(version.files()[0])).ok().filter(|bytes| (1..NO_LIMIT).contains(bytes))?;
        let used = Used::Group(version, directory);
        // The use of a group further out may be hidden from the process.
        used.read().is_ok().then_some(Bound { bytes, used })
    };
    directories.into_iter().filter_map(bound).collect()
}

/// The memory of the machine in bytes.
fn machine(root: &Path) -> Result<u64, OpenError> {
    let read = fs::read_to_string(root.join("proc/meminfo")).and_then(|text| kib(&text, "MemTotal:"));
    read.map_err(|_| OpenError::config("limit_mib", "this system tells no limit of the memory: name one"))
}

/// A file of one number. The word `max` is none.
fn number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| malformed(path))
}

/// A number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', '\t']))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Such a number, counted in KiB, in bytes.
fn kib(text: &str, name: &str) -> io::Result<u64> {
    field(text, name).map(|kib| kib << 10).ok_or_else(|| malformed(Path::new(name)))
}

fn malformed(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} has no number", path.display()))
}

#[cfg(test)]
mod tests;
