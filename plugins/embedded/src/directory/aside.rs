//! Copies of damaged files beside the directory of a store.

use super::{ASIDE, ASIDE_LEN_MAX, beside};
use hydra_api::UnixSeconds;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A copy that was moved aside.
struct Copy {
    path: PathBuf,
    /// When it was moved, and which one of that second it is.
    age: (u64, u64),
}

/// The name of a copy that is made now. Of the same second later copies have higher numbers.
pub(super) fn free(dir: &Path, now: UnixSeconds) -> PathBuf {
    let copies = copies(dir).unwrap_or_default();
    let of_now = copies.iter().filter(|copy| copy.age.0 == u64::from(now.0)).map(|copy| copy.age.1);
    let first = of_now.max().map_or(0, |last| last.saturating_add(1));
    let mut names = (first..).map(|number| beside(dir, &format!("{ASIDE}{now}-{number}")));
    names.find(|path| !path.exists()).unwrap_or_else(|| beside(dir, "damaged"))
}

/// Removes all copies of `dir` but the newest ones, `latest` among them whatever the clock says, and logs what was removed and
/// what is left. What cannot be removed is logged and stays.
pub(super) fn keep_newest(dir: &Path, latest: &Path) {
    let mut copies = match copies(dir) {
        Ok(copies) => copies,
        Err(cause) => {
            tracing::warn!(dir = %dir.display(), %cause, "cannot look for older copies of damaged records");
            return;
        }
    };
    copies.sort_by_key(|copy| std::cmp::Reverse((copy.path == latest, copy.age)));
    for Copy { path, .. } in copies.drain(copies.len().min(ASIDE_LEN_MAX)..) {
        let bytes = bytes(&path);
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::warn!(path = %path.display(), bytes, "removed an old copy of damaged records");
            }
            Err(cause) => {
                tracing::warn!(path = %path.display(), bytes, %cause, "cannot remove an old copy of damaged records");
            }
        }
    }
    let total: u64 = copies.iter().map(|copy| bytes(&copy.path)).sum();
    tracing::warn!(dir = %dir.display(), copies = copies.len(), bytes = total, "copies of damaged records are kept");
}

/// The directories that [`free`] has named.
fn copies(dir: &Path) -> io::Result<Vec<Copy>> {
    let prefix = beside(dir, ASIDE);
    let (Some(parent), Some(prefix)) = (prefix.parent(), prefix.file_name()) else { return Ok(Vec::new()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let mut copies = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let age = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()).and_then(age);
        // A link is nothing of ours.
        if let Some(age) = age.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            copies.push(Copy { path: dir.with_file_name(name), age });
        }
    }
    Ok(copies)
}

/// The end of a name: the time and a number, in digits alone.
fn age(ending: &[u8]) -> Option<(u64, u64)> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (time, nth) = std::str::from_utf8(ending).ok()?.split_once('-')?;
    Some((number(time)?, number(nth)?))
}

/// The size of all files in a directory, as far as it can be read.
fn bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of_entry).sum()
}
