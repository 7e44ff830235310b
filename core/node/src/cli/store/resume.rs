//! How far a transfer has come, in a small file.

use super::identity::Identity;
use crate::cli::Failure;
use hydra_api::Cursor;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The form of the file.
const VERSION: u32 = 1;
/// How often the file is written at most.
const INTERVAL: Duration = Duration::from_secs(1);
/// States that wait until they are durable, for each window of the store.
const STATES_PER_WINDOW: u32 = 64;

/// Where the state of a transfer between these is kept.
pub(super) fn file(data_dir: &Path, verb: &str, between: &[Identity]) -> PathBuf {
    data_dir.join(format!("store-{verb}-{}.json", Identity::joined(between)))
}

/// How far a transfer has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    /// Where to go on, in hexadecimal.
    cursor: String,
    pub(super) records: u64,
    pub(super) refused: u64,
    pub(super) malformed: u64,
    pub(super) expired: u64,
    /// Whether all provider records are through, and the cursor is one of value records.
    #[serde(default)]
    pub(super) of_values: bool,
    #[serde(default)]
    pub(super) values: u64,
    #[serde(default)]
    pub(super) values_refused: u64,
}

impl State {
    /// The same with the place of the next page; at the beginning of the value records there is none.
    pub(super) fn at(&self, cursor: Option<&Cursor>) -> Self {
        let bytes = cursor.map_or(&[][..], Cursor::as_bytes);
        let cursor = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { version: VERSION, cursor, ..self.clone() }
    }

    /// How many records or rows are through.
    pub(super) fn through(&self) -> u64 {
        self.records + self.refused + self.malformed + self.expired + self.values + self.values_refused
    }

    /// Where to go on; none at the beginning.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let digits = &self.cursor;
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        Cursor::new(bytes?).ok()
    }
}

/// The file of a transfer. It is never ahead of what the store that is written keeps through a crash.
#[derive(Debug)]
pub(super) struct Resume {
    path: PathBuf,
    /// How long it takes until a record survives a crash of this process.
    window: Duration,
    /// States that may not be durable yet, and since when, oldest first.
    young: VecDeque<(Instant, State)>,
    saved_at: Option<Instant>,
    unsaved: Option<State>,
    /// Held as long as this lives.
    _lock: File,
}

impl Resume {
    /// Takes the file for this process.
    ///
    /// # Errors
    /// When another process runs the same transfer, or the lock file cannot be created.
    pub(super) fn open(path: PathBuf, window: Duration) -> Result<Self, Failure> {
        let lock = path.with_extension("lock");
        let what = || format!("cannot lock {}", lock.display());
        // It stays: a lock file that is removed locks nobody out who has it open already.
        let file = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = file.map_err(|cause| Failure::failed(&what(), cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::Failed("another process runs the same transfer".to_owned()));
            }
            Err(TryLockError::Error(cause)) => return Err(Failure::failed(&what(), cause)),
        }
        Ok(Self { path, window, young: VecDeque::new(), saved_at: None, unsaved: None, _lock: file })
    }

    /// What an earlier run has left, if there is anything.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn load(&self) -> Result<Option<State>, Failure> {
        let what = || format!("cannot read the progress file {}", self.path.display());
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Failure::failed(&what(), cause)),
        };
        let state: Option<State> = serde_json::from_slice(&text).ok();
        let is_of_page =
            |state: &State| state.cursor().is_some() || (state.of_values && state.cursor.is_empty());
        let state = state.filter(|state| state.version == VERSION && is_of_page(state));
        state.map(Some).ok_or_else(|| {
            let path = self.path.display();
            Failure::Failed(format!(
                "the progress file {path} cannot be used; start from the beginning with --restart"
            ))
        })
    }

    /// Takes note of a state, and writes the last one that is durable if that is due.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn record(&mut self, state: State, now: Instant) -> Result<(), Failure> {
        let apart = self.window / STATES_PER_WINDOW;
        if self.young.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= apart) {
            self.young.push_back((now, state));
        }
        while let Some((_, state)) =
            self.young.pop_front_if(|(at, _)| now.saturating_duration_since(*at) >= self.window)
        {
            self.unsaved = Some(state);
        }
        let is_due = self.saved_at.is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL);
        match self.unsaved.take_if(|_| is_due) {
            Some(state) => {
                self.saved_at = Some(now);
                self.save(&state)
            }
            None => Ok(()),
        }
    }

    /// Writes a state as a whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn save(&self, state: &State) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let new = self.path.with_extension("json.new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            file.sync_data()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|cause| {
            Failure::failed(&format!("cannot write the progress file {}", self.path.display()), cause)
        })
    }

    /// Removes the file: there is nothing to go on with.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(Failure::failed(&format!("cannot remove {}", self.path.display()), cause))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(records: u64) -> State {
        State { records, ..State::default() }.at(Some(&Cursor::new(records.to_be_bytes().to_vec()).unwrap()))
    }

    #[test]
    fn what_may_be_lost_in_a_crash_is_not_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut resume = Resume::open(dir.path().join("state.json"), Duration::from_secs(5)).unwrap();
        assert_eq!(resume.load().unwrap(), None);
        let begun = Instant::now();
        for second in 0..20 {
            resume.record(state(second), begun + Duration::from_secs(second)).unwrap();
            let durable = second.checked_sub(5).map(state);
            assert_eq!(resume.load().unwrap(), durable, "after {second} s");
        }
        assert_eq!(resume.load().unwrap().unwrap().cursor().unwrap().as_bytes(), 14_u64.to_be_bytes());
        resume.remove().unwrap();
        assert_eq!(resume.load().unwrap(), None);
    }

    #[test]
    fn one_process_at_a_time_runs_a_transfer() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Resume::open(dir.path().join("state.json"), Duration::ZERO);
        let first = open().unwrap();
        assert!(matches!(open(), Err(Failure::Failed(why)) if why.contains("another process")));
        drop(first);
        open().unwrap();
    }

    #[test]
    fn states_that_wait_are_few() {
        let dir = tempfile::tempdir().unwrap();
        let mut resume = Resume::open(dir.path().join("state.json"), Duration::from_secs(60)).unwrap();
        let begun = Instant::now();
        for page in 0..100_000 {
            resume.record(state(page), begun + Duration::from_millis(page)).unwrap();
        }
        assert!(resume.young.len() <= STATES_PER_WINDOW as usize + 1, "{}", resume.young.len());
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_a_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let resume = Resume::open(path.clone(), Duration::ZERO).unwrap();
        for text in
            ["", "{}", r#"{"version":2,"cursor":"00","records":0,"refused":0,"malformed":0,"expired":0}"#]
        {
            fs::write(&path, text).unwrap();
            assert!(matches!(resume.load(), Err(Failure::Failed(_))), "{text}");
        }
    }
}
