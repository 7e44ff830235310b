//! The control groups of the process that may limit its memory, of both versions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Version 1 writes a number near 2^63 for no limit.
const UNLIMITED_MIN: u64 = 1 << 60;

/// A control group: the process is in it, or in one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlGroup {
    dir: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Whether a file is not there for this process, now and later.
fn is_lacking(cause: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, Unsupported};
    matches!(cause.kind(), NotFound | PermissionDenied | Unsupported)
}

impl ControlGroup {
    /// The groups of a process, the innermost first. `process` is its directory in `/proc`. None where the system has no control
    /// groups, or none for memory.
    pub(crate) fn all_of(process: &Path) -> Vec<Self> {
        let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
        let (groups, mounts) = (read("cgroup"), read("mountinfo"));
        // With both versions in use, memory belongs to the one that has its controller.
        [Version::V1, Version::V2]
            .into_iter()
            .find_map(|version| {
                let path = groups.lines().find_map(|line| version.path_in(line))?;
                let (root, mount) = mounts.lines().find_map(|line| version.mount_in(line))?;
                Some(above(&innermost(path, &root, &mount), &mount, version))
            })
            .unwrap_or_default()
    }

    /// The limit, and the memory in use that cannot be reclaimed by dropping file cache; `None` without a limit.
    ///
    /// # Errors
    /// If the files of the group cannot be read.
    pub(crate) fn read(&self) -> io::Result<Option<(u64, u64)>> {
        let Some(limit) = self.limit()? else { return Ok(None) };
        let (usage, reclaimable): (_, &[&str]) = match self.version {
            Version::V1 => ("memory.usage_in_bytes", &["total_inactive_file", "total_active_file"]),
            Version::V2 => ("memory.current", &["inactive_file", "active_file", "slab_reclaimable"]),
        };
        let used = self.number(usage)?.ok_or_else(|| io::Error::other("a number is missing"))?;
        // Without it all counts. One that cannot be read for a moment, for want of a file descriptor, says nothing of the use.
        let stat = match fs::read_to_string(self.dir.join("memory.stat")) {
            Err(cause) if is_lacking(&cause) => String::new(),
            read => read?,
        };
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let reclaimable = fields.filter(|(name, _)| reclaimable.contains(name));
        let reclaimable: u64 = reclaimable.filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok()).sum();
        Ok(Some((limit, used.saturating_sub(reclaimable))))
    }

    /// The lower of the limits: beyond the soft one of version 2 the kernel slows the process down.
    fn limit(&self) -> io::Result<Option<u64>> {
        let files: &[&str] = match self.version {
            Version::V1 => &["memory.limit_in_bytes"],
            Version::V2 => &["memory.max", "memory.high"],
        };
        let mut lowest = None;
        for file in files {
            let limit = self.number(file)?.filter(|limit| (1..UNLIMITED_MIN).contains(limit));
            lowest = [lowest, limit].into_iter().flatten().min();
        }
        Ok(lowest)
    }

    /// The number in a file; none for "max". The root of a hierarchy does not have all files.
    fn number(&self, file: &str) -> io::Result<Option<u64>> {
        match fs::read_to_string(self.dir.join(file)) {
            Ok(text) if text.trim() == "max" => Ok(None),
            Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

impl Version {
    /// The path of the group in a line of `/proc/<pid>/cgroup`, such as `4:memory:/a/b` or `0::/a/b`.
    fn path_in(self, line: &str) -> Option<&str> {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = match self {
            Self::V1 => controllers.split(',').any(|controller| controller == "memory"),
            Self::V2 => number == "0" && controllers.is_empty(),
        };
        is_it.then_some(path)
    }

    /// The group that is mounted, and where, from a line of `/proc/<pid>/mountinfo`.
    fn mount_in(self, line: &str) -> Option<(String, PathBuf)> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let is_it = match self {
            Self::V1 => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
            Self::V2 => kind == "cgroup2",
        };
        let mut mount = mount.split(' ').skip(3);
        let (root, place) = (unescaped(mount.next()?), unescaped(mount.next()?));
        is_it.then(|| (root, place.into()))
    }
}

/// The directory of a group. In a container the path may be that of the host, of which only a part is mounted.
fn innermost(path: &str, root: &str, mount: &Path) -> PathBuf {
    let below = Path::new(path).strip_prefix(root).or_else(|_| Path::new(path).strip_prefix("/"));
    let dir = below.map_or_else(|_| mount.to_owned(), |below| mount.join(below));
    let is_below = !path.split('/').any(|part| part == "..");
    if is_below && dir.is_dir() { dir } else { mount.to_owned() }
}

/// A group and those above it, as far as they are mounted.
fn above(innermost: &Path, mount: &Path, version: Version) -> Vec<ControlGroup> {
    let dirs = innermost.ancestors().take_while(|dir| dir.starts_with(mount));
    dirs.map(|dir| ControlGroup { dir: dir.to_owned(), version }).collect()
}

/// The kernel writes spaces and the like as octal numbers: `\040`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[cfg(test)]
mod tests;
