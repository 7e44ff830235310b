//! Whether a directory can be written.

use rustix::fs::statvfs;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// The room that opening an engine needs at least.
pub const ROOM_BYTES: u64 = 4 << 20;

/// Bytes that a probe writes. The room beyond is asked for, so that no other program finds the disk full for it.
const WRITTEN_LEN: usize = 64 << 10;

/// The file that a probe writes and removes.
pub(crate) const PROBE: &str = "probe";

/// Files that are looked at, at most, for the longest one.
const FILES_MAX: usize = 100_000;

/// Writes a file to `dir`, beyond the length of the longest one there, forces it onto the disk and removes it.
///
/// It fails as the engine's own writes would: the disk has less than `room_bytes` free, a file may not grow, no file can
/// be opened, the directory is read-only.
///
/// # Errors
/// [`io::Error`] of the system.
pub fn probe(dir: &Path, room_bytes: u64) -> io::Result<()> {
    let path = dir.join(PROBE);
    let written = write(&path, longest(dir)?);
    let removed = fs::remove_file(&path);
    written.and(removed)?;
    if self::room_bytes(dir)? < room_bytes {
        return Err(Errno::NOSPC.into());
    }
    Ok(())
}

/// The bytes that are free on the disk of a directory.
pub(crate) fn room_bytes(dir: &Path) -> io::Result<u64> {
    let disk = statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn write(path: &Path, from: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.seek(SeekFrom::Start(from))?;
    file.write_all(&vec![0xa5; WRITTEN_LEN])?;
    file.sync_all()
}

/// The length of the longest file below a directory.
fn longest(dir: &Path) -> io::Result<u64> {
    let (mut longest, mut left, mut seen) = (0, vec![dir.to_owned()], 0);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            seen += 1;
            if seen == FILES_MAX {
                return Ok(longest);
            }
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                // Engines remove files meanwhile.
                longest = longest.max(entry.metadata().map_or(0, |file| file.len()));
            }
        }
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind_and_names_a_lack_of_room() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("inner/long"), [0; 1000]).unwrap();
        assert_eq!(longest(dir.path()).unwrap(), 1000);
        probe(dir.path(), 1).unwrap();
        assert_eq!(probe(dir.path(), u64::MAX).unwrap_err().raw_os_error(), Some(28));
        assert!(!dir.path().join(PROBE).exists());
        assert_eq!(probe(&dir.path().join("none"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
