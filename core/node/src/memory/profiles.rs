//! Heap profiles: taken one at a time, and kept in files within bounds.

use super::heap::Heap;
use crate::config::{Config, Profiles as Bounds};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use time::OffsetDateTime;

/// What the names of the files begin and end with.
const PREFIX: &str = "heap-";
const SUFFIX: &str = ".pb.gz";
/// The directory of files that are not complete, in that of the profiles.
const PARTIAL: &str = "heap-partial";

/// Takes the heap profiles of the process, and keeps the last ones.
#[derive(Debug)]
pub(crate) struct Profiles {
    heap: Option<Heap>,
    dir: PathBuf,
    files_max: usize,
    bytes_max: u64,
    /// Held while one is taken.
    turn: Mutex<()>,
    written: AtomicU64,
    failed: AtomicU64,
}

/// What a profile does while another one is being taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// It is not written.
    Refuse,
    /// It waits its turn.
    Wait,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error("the allocator of this program takes no heap profiles")]
    Unsupported,
    #[error("another heap profile is being taken")]
    Busy,
    #[error("heap profiles are not written to files (memory.profiles.files_max)")]
    NoFiles,
    #[error("the heap profile has {bytes} bytes, more than all files may have (memory.profiles.mib_max)")]
    TooLarge { bytes: u64 },
    #[error("cannot take a heap profile: {0}")]
    Failed(#[from] io::Error),
}

impl Profiles {
    pub(crate) fn new(config: &Config, heap: Option<Heap>) -> Self {
        let bounds = &config.memory.profiles;
        Self {
            heap,
            dir: bounds.dir.clone().unwrap_or_else(|| config.data_dir.join(Bounds::DIR)),
            files_max: bounds.files_max as usize,
            bytes_max: u64::from(bounds.mib_max) << 20,
            turn: Mutex::default(),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What the allocator can say.
    pub(crate) fn heap(&self) -> Option<Heap> {
        self.heap
    }

    /// Whether profiles can be written to files.
    pub(crate) fn are_written(&self) -> bool {
        self.heap.is_some() && self.files_max > 0
    }

    /// Profiles written to files so far, and those that could not be taken or written.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// A profile of what is allocated now. Blocks until it is complete.
    ///
    /// # Errors
    /// [`ProfileError`]; `Busy` instead of waiting for another one.
    pub(crate) fn take(&self) -> Result<Vec<u8>, ProfileError> {
        let turn = self.turn()?;
        self.counted(self.taken(&turn))
    }

    /// Writes a profile of what is allocated now to a file, whose name says why, and removes the oldest files that exceed the
    /// bounds. Blocks until it is written.
    ///
    /// # Errors
    /// [`ProfileError`]; `Busy` if another one is being taken, unless it waits for that.
    pub(crate) fn write(&self, why: &str, busy: Busy) -> Result<PathBuf, ProfileError> {
        if self.heap.is_some() && self.files_max == 0 {
            return Err(ProfileError::NoFiles);
        }
        let turn = match busy {
            Busy::Refuse => self.turn()?,
            // It guards no data.
            Busy::Wait => self.turn.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let written = self.counted(self.taken(&turn).and_then(|profile| self.keep(&profile, why)));
        self.written.fetch_add(u64::from(written.is_ok()), Ordering::Relaxed);
        written
    }

    fn turn(&self) -> Result<MutexGuard<'_, ()>, ProfileError> {
        match self.turn.try_lock() {
            Ok(turn) => Ok(turn),
            Err(TryLockError::WouldBlock) => Err(ProfileError::Busy),
            // It guards no data.
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        }
    }

    fn counted<T>(&self, taken: Result<T, ProfileError>) -> Result<T, ProfileError> {
        taken.inspect_err(|error| {
            let is_failure = !matches!(error, ProfileError::Unsupported);
            self.failed.fetch_add(u64::from(is_failure), Ordering::Relaxed);
        })
    }

    fn taken(&self, _turn: &MutexGuard<'_, ()>) -> Result<Vec<u8>, ProfileError> {
        let heap = self.heap.ok_or(ProfileError::Unsupported)?;
        let partial = self.dir.join(PARTIAL);
        // A process that was killed while it took one has left files there.
        match fs::remove_dir_all(&partial) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause.into()),
            Ok(()) | Err(_) => fs::create_dir_all(&partial)?,
        }
        Ok((heap.profile)(&partial)?)
    }

    fn keep(&self, profile: &[u8], why: &str) -> Result<PathBuf, ProfileError> {
        let bytes = profile.len() as u64;
        if bytes > self.bytes_max {
            return Err(ProfileError::TooLarge { bytes });
        }
        let name = format!("{PREFIX}{}-{why}{SUFFIX}", timestamp(OffsetDateTime::now_utc()));
        let (partial, path) = (self.dir.join(PARTIAL).join(&name), self.dir.join(&name));
        // Others are removed once this one is complete: a disk that is full takes none, and those before stay.
        let written = fs::write(&partial, profile).and_then(|()| self.make_room(bytes));
        if let Err(cause) = written.and_then(|()| fs::rename(&partial, &path)) {
            // On a full disk its part would be in the way of the next one.
            let _is_removed = fs::remove_file(&partial).is_ok();
            return Err(cause.into());
        }
        Ok(path)
    }

    /// Removes the oldest files, so that one more of so many bytes is within the bounds.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut kept = kept(&self.dir)?;
        let mut total: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
        // The names begin with the time. The last one is removed first.
        kept.sort_by(|(one, _), (other, _)| other.cmp(one));
        while kept.len() >= self.files_max || total + bytes > self.bytes_max {
            let Some((oldest, bytes)) = kept.pop() else { break };
            fs::remove_file(oldest)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// The files of profiles in a directory, and their sizes.
fn kept(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let is_profile = |entry: &DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_profile(&entry) {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}

/// A time that is sorted as its text is, to the millisecond.
fn timestamp(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, ms) = at.to_hms_milli();
    let month = u8::from(month);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tempfile::TempDir;

    fn mebibyte(dir: &Path) -> io::Result<Vec<u8>> {
        fs::write(dir.join("raw"), "text")?;
        Ok(vec![1; 1 << 20])
    }

    fn broken(_: &Path) -> io::Result<Vec<u8>> {
        Err(io::Error::other("no samples"))
    }

    fn profiles(
        profile: fn(&Path) -> io::Result<Vec<u8>>,
        files_max: u32,
        mib_max: u32,
    ) -> (TempDir, Profiles) {
        let data_dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: data_dir.path().to_owned(), ..Config::default() };
        config.memory.profiles = Bounds { files_max, mib_max, ..Bounds::default() };
        let heap = Heap { profile, sizes: || Ok(super::super::HeapSizes::default()) };
        (data_dir, Profiles::new(&config, Some(heap)))
    }

    fn names(profiles: &Profiles) -> Vec<PathBuf> {
        let mut names: Vec<_> = kept(&profiles.dir).unwrap().into_iter().map(|(path, _)| path).collect();
        names.sort();
        names
    }

    fn write(profiles: &Profiles) -> PathBuf {
        // Names differ by the millisecond.
        std::thread::sleep(Duration::from_millis(2));
        profiles.write("shrink", Busy::Refuse).unwrap()
    }

    #[test]
    fn the_oldest_files_go_when_there_are_too_many() {
        let (_data_dir, profiles) = profiles(mebibyte, 3, 100);
        let written: Vec<_> = (0..5).map(|_| write(&profiles)).collect();
        assert_eq!(names(&profiles), written[2..]);
        assert_eq!(profiles.counts(), (5, 0));
    }

    #[test]
    fn the_oldest_files_go_when_they_are_too_large_together() {
        let (_data_dir, profiles) = profiles(mebibyte, 100, 2);
        let written: Vec<_> = (0..4).map(|_| write(&profiles)).collect();
        assert_eq!(names(&profiles), written[2..]);
    }

    #[test]
    fn files_of_others_stay_and_those_of_a_killed_process_go() {
        let (_data_dir, profiles) = profiles(mebibyte, 1, 100);
        fs::create_dir_all(profiles.dir.join(PARTIAL)).unwrap();
        fs::create_dir_all(profiles.dir.join("partial")).unwrap();
        let (notes, left) = (profiles.dir.join("partial/notes.txt"), profiles.dir.join(PARTIAL).join("left"));
        fs::write(&notes, "mine").unwrap();
        fs::write(&left, "half of one").unwrap();
        write(&profiles);
        write(&profiles);
        assert!(notes.exists() && !left.exists());
        assert_eq!(names(&profiles).len(), 1);
    }

    #[test]
    fn a_profile_larger_than_all_may_be_is_not_written() {
        fn large(_: &Path) -> io::Result<Vec<u8>> {
            Ok(vec![0; (1 << 20) + 1])
        }
        let (_data_dir, profiles) = profiles(large, 3, 1);
        assert!(matches!(profiles.write("shrink", Busy::Refuse), Err(ProfileError::TooLarge { .. })));
        assert_eq!((names(&profiles).len(), profiles.counts()), (0, (0, 1)));
        assert_eq!(profiles.take().unwrap().len(), (1 << 20) + 1, "to take it is another matter");
    }

    #[test]
    fn a_write_that_fails_costs_no_file_and_leaves_none() {
        fn disturbing(partial: &Path) -> io::Result<Vec<u8>> {
            fs::remove_dir_all(partial)?;
            mebibyte(partial.parent().unwrap())
        }
        let (_data_dir, mut profiles) = profiles(mebibyte, 1, 100);
        let written = write(&profiles);
        profiles.heap.as_mut().unwrap().profile = disturbing;
        assert!(matches!(profiles.write("close", Busy::Refuse), Err(ProfileError::Failed(_))));
        assert_eq!((names(&profiles), profiles.counts()), (vec![written], (1, 1)));
    }

    #[test]
    fn the_profile_of_a_step_waits_for_one_on_request() {
        let (_data_dir, profiles) = profiles(mebibyte, 1, 100);
        std::thread::scope(|scope| {
            let turn = profiles.turn().unwrap();
            let waits = scope.spawn(|| profiles.write("shrink", Busy::Wait));
            assert!(matches!(profiles.write("signal", Busy::Refuse), Err(ProfileError::Busy)));
            drop(turn);
            assert!(waits.join().unwrap().is_ok());
        });
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let (_data_dir, broken) = profiles(broken, 3, 1);
        let error = broken.write("signal", Busy::Refuse).unwrap_err().to_string();
        assert_eq!(error, "cannot take a heap profile: no samples");
        let turn = broken.turn().unwrap();
        assert!(matches!(broken.take(), Err(ProfileError::Busy)), "one at a time");
        drop(turn);
        let none = Profiles::new(&Config::default(), None);
        assert!(matches!(none.write("signal", Busy::Refuse), Err(ProfileError::Unsupported)));
        let (_data_dir, no_files) = profiles(mebibyte, 0, 1);
        assert!(matches!(no_files.write("signal", Busy::Refuse), Err(ProfileError::NoFiles)));
        assert!(no_files.take().is_ok());
    }

    #[test]
    fn times_sort_as_their_texts() {
        let at = |ms: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(ms);
        assert_eq!(timestamp(at(1_764_320_082_007)), "20251128T085442.007Z");
        assert!(timestamp(at(999)) < timestamp(at(1_000)));
    }
}
