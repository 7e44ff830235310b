//! The checksums of a store's files, kept from a clean stop to the next open.
//!
//! An engine may not tell a damaged file from one that a crash has cut short, and drop what it cannot read. After a clean stop nothing
//! is cut short: what has changed is damage. The next open reads the list, and removes it before the engine may write.

use crate::damage::MARKER;
use crate::probe::PROBE;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The list.
pub(crate) const CHECKSUMS: &str = "checksums";
/// The list until it is complete.
pub(crate) const UNFINISHED: &str = "checksums.unfinished";

/// The first line of the list.
const HEADER: &str = "hydra checksums 1";
/// The longest list that is written and read, in bytes.
const LIST_BYTES_MAX: usize = 16 << 20;
/// Files in a list, at most.
const FILES_MAX: usize = 100_000;
/// Bytes of a file in memory.
const BUFFER_LEN: usize = 256 << 10;

/// What is known of a file; by the path in the directory.
type Files<T> = BTreeMap<String, T>;

/// A file as the last stop left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    len: u64,
    checksum: u64,
}

/// What the list says of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compared {
    /// There is no list: the last stop was none, or had no time for one.
    Unlisted,
    /// The files are as the last stop left them.
    Same,
    /// They are not, and why.
    Changed(String),
}

/// Writes the checksums of all files in `dir`, for the next open. The engine must be closed, and write no more. Reads all files, and forces
/// them onto the disk first: a list must not outlive what it tells of. It gives up at `until`.
///
/// # Errors
/// [`io::Error`] of the system, when there are too many files, and when the time is up: then there is no list, and the next open does
/// not compare.
pub fn write_checksums(dir: &Path, until: Instant) -> io::Result<()> {
    let mut list = format!("{HEADER}\n");
    let Tree { files, dirs } = tree(dir, Some(until))?;
    for path in files.values().chain(&dirs) {
        File::open(path)?.sync_all()?;
        in_time(until)?;
    }
    for (name, path) in files {
        let Content { len, checksum } = content(&path, Some(until))?;
        list.push_str(&format!("{checksum:016x} {len} {name}\n"));
    }
    list.push_str(&format!("{:016x}\n", xxh3_64(list.as_bytes())));
    if list.len() > LIST_BYTES_MAX {
        return Err(io::Error::other("the list is too long"));
    }
    let unfinished = dir.join(UNFINISHED);
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(list.as_bytes())?;
        file.sync_all()?;
        // Whoever waited for it may have gone, and another process have opened the files.
        in_time(until)?;
        fs::rename(&unfinished, dir.join(CHECKSUMS))?;
        File::open(dir)?.sync_all()
    });
    written.inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

fn in_time(until: Instant) -> io::Result<()> {
    if Instant::now() < until { Ok(()) } else { Err(ErrorKind::TimedOut.into()) }
}

/// Compares the files in `dir` with the list. Nothing is written.
///
/// # Errors
/// [`io::Error`] when a file cannot be read: that says nothing of damage.
pub(crate) fn check(dir: &Path) -> io::Result<Compared> {
    let file = match File::open(dir.join(CHECKSUMS)) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Compared::Unlisted),
        file => file?,
    };
    let mut list = Vec::new();
    file.take(LIST_BYTES_MAX as u64).read_to_end(&mut list)?;
    let changed = |what: String| Ok(Compared::Changed(format!("{what} since the last stop")));
    let Some(listed) = decode(&list) else { return changed(format!("the file `{CHECKSUMS}` has changed")) };
    let found = tree(dir, None)?.files;
    if let Some(name) = found.keys().find(|name| !listed.contains_key(*name)) {
        return changed(format!("the file `{name}` was added"));
    }
    // The lengths first: that is quick.
    for (name, before) in &listed {
        let Some(path) = found.get(name) else { return changed(format!("the file `{name}` was removed")) };
        let len = fs::metadata(path)?.len();
        if len != before.len {
            return changed(format!("the file `{name}` went from {} to {len} bytes", before.len));
        }
    }
    for (name, path) in found {
        if listed.get(&name) != Some(&content(&path, None)?) {
            return changed(format!("the file `{name}` has changed"));
        }
    }
    Ok(Compared::Same)
}

/// Removes the list, for sure: one that came back after a crash would call all damage that was written since.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    for name in [UNFINISHED, CHECKSUMS] {
        match fs::remove_file(dir.join(name)) {
            Ok(()) => File::open(dir)?.sync_all()?,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Whether a file in the directory of a store is of this crate, and none of the engine.
pub(crate) fn is_own(name: &str) -> bool {
    [MARKER, PROBE, CHECKSUMS, UNFINISHED].contains(&name)
}

fn decode(list: &[u8]) -> Option<Files<Content>> {
    let list = std::str::from_utf8(list).ok()?;
    let (lines, checksum) = list.strip_suffix('\n')?.rsplit_once('\n')?;
    // The last line is that of all before it, their ends included.
    let listed = list.get(..lines.len() + 1)?;
    if u64::from_str_radix(checksum, 16).ok()? != xxh3_64(listed.as_bytes()) {
        return None;
    }
    let mut lines = lines.lines();
    if lines.next() != Some(HEADER) {
        return None;
    }
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let checksum = u64::from_str_radix(parts.next()?, 16).ok()?;
        let len = parts.next()?.parse().ok()?;
        Some((parts.next()?.to_owned(), Content { len, checksum }))
    };
    lines.map(of_line).collect()
}

/// The engine's files, and all directories.
#[derive(Debug, Default)]
struct Tree {
    files: Files<PathBuf>,
    dirs: Vec<PathBuf>,
}

/// What is in `dir` and below it. Looks until the time is up.
fn tree(dir: &Path, until: Option<Instant>) -> io::Result<Tree> {
    let (mut found, mut dirs, mut left) = (Files::new(), Vec::new(), vec![dir.to_owned()]);
    while let Some(inner) = left.pop() {
        until.map_or(Ok(()), in_time)?;
        for entry in fs::read_dir(&inner)? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let name = path.strip_prefix(dir).ok().and_then(Path::to_str).filter(|name| !name.contains('\n'));
            let name = name.ok_or_else(|| io::Error::other("a file has a name that cannot be listed"))?;
            if is_own(name) {
                continue;
            }
            if found.len() == FILES_MAX {
                return Err(io::Error::other("there are too many files"));
            }
            found.insert(name.to_owned(), path);
        }
        dirs.push(inner);
    }
    Ok(Tree { files: found, dirs })
}

/// Reads a file, until the time is up.
fn content(path: &Path, until: Option<Instant>) -> io::Result<Content> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; BUFFER_LEN]);
    let (mut hasher, mut len) = (Xxh3::new(), 0);
    loop {
        until.map_or(Ok(()), in_time)?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Content { len, checksum: hasher.digest() }),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                len += read as u64;
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tempfile::TempDir;

    fn listed() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        fs::write(dir.path().join("db"), vec![7; 3 * BUFFER_LEN]).unwrap();
        fs::write(dir.path().join("blobs/a b"), "a blob").unwrap();
        write_checksums(dir.path(), Instant::now() + Duration::from_secs(600)).unwrap();
        dir
    }

    #[test]
    fn every_change_of_a_file_is_found_until_the_list_is_removed() {
        assert_eq!(check(listed().path()).unwrap(), Compared::Same);
        type Change = fn(&Path) -> io::Result<()>;
        let changes: [(&str, Change); 7] = [
            ("`db` has changed", |dir| fs::write(dir.join("db"), vec![8; 3 * BUFFER_LEN])),
            ("`db` went from 786432 to 5 bytes", |dir| fs::write(dir.join("db"), "short")),
            ("`blobs/a b` has changed", |dir| fs::write(dir.join("blobs/a b"), "a blot")),
            ("`blobs/a b` was removed", |dir| fs::remove_file(dir.join("blobs/a b"))),
            ("`snap.1` was added", |dir| fs::write(dir.join("snap.1"), "")),
            ("`checksums` has changed", |dir| fs::write(dir.join(CHECKSUMS), "")),
            ("`checksums` has changed", |dir| {
                let list = fs::read_to_string(dir.join(CHECKSUMS))?;
                fs::write(dir.join(CHECKSUMS), list.replace("blobs", "glob"))
            }),
        ];
        for (what, change) in changes {
            let dir = listed();
            change(dir.path()).unwrap();
            let Compared::Changed(why) = check(dir.path()).unwrap() else { panic!("{what}: not found") };
            assert!(why.contains(what), "{why}");
            remove(dir.path()).unwrap();
            assert_eq!(check(dir.path()).unwrap(), Compared::Unlisted);
        }
    }

    #[test]
    fn a_list_for_which_there_is_no_time_is_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db"), "rows").unwrap();
        assert_eq!(write_checksums(dir.path(), Instant::now()).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(check(dir.path()).unwrap(), Compared::Unlisted);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// The list is taken for damaged if only a part of it is read.
    #[test]
    fn a_list_that_is_longer_than_what_is_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..14).fold(dir.path().to_owned(), |path, _| path.join("d".repeat(250)));
        fs::create_dir_all(&deep).unwrap();
        let files = LIST_BYTES_MAX / deep.as_os_str().len() + 100;
        (0..files).for_each(|number| fs::write(deep.join(format!("{number:08}")), "").unwrap());
        let written = write_checksums(dir.path(), Instant::now() + Duration::from_secs(600));
        assert_eq!(check(dir.path()).unwrap(), Compared::Unlisted);
        assert!(written.unwrap_err().to_string().contains("too long"));
        assert!(!dir.path().join(UNFINISHED).exists());
    }

    /// No file of the engine is left out, in whatever directory it is: what is no file on a disk cannot be forced onto it.
    #[test]
    fn a_file_that_cannot_be_forced_onto_the_disk_is_not_listed() {
        let dir = listed();
        remove(dir.path()).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("blobs/none")).unwrap();
        let refused = write_checksums(dir.path(), Instant::now() + Duration::from_secs(600)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
        assert_eq!(check(dir.path()).unwrap(), Compared::Unlisted);
    }
}
