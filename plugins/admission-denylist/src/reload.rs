//! Notices that a file has changed, and puts new rules in place of the old ones.

use crate::content::{Change, Content, Seen};
use crate::list::{Lists, Loaded, Read, Unusable};
use crate::rules::Rules;
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;

/// Which files are looked at, and what was read of them last.
#[derive(Debug)]
pub(crate) struct Watched {
    state: Mutex<State>,
    /// Notified when the table has changed, or the policy is gone.
    woken: Notify,
}

#[derive(Debug)]
struct State {
    lists: Lists,
    /// What the rules in force were read from.
    files: Vec<Read>,
    /// What a look found that is not in force yet: a file may be half-written, so the next look must find the same.
    seen: Option<Vec<Content>>,
    every: Duration,
    /// Counts the changes of the table.
    table: u64,
    /// How the last try failed: it is logged once per change, and files that did not change since are not read again.
    failure: Option<Failure>,
    /// Whether the policy is gone.
    over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    /// The files as they were; `None` when one of them could not be looked at, or not be read.
    seen: Option<Vec<Content>>,
    /// The file and the error.
    error: String,
}

/// Looks at the files now and then, for as long as the policy is there.
pub(crate) fn start(watched: &Arc<Watched>, rules: &Arc<ArcSwap<Rules>>) {
    let (watched, rules) = (watched.clone(), Arc::downgrade(rules));
    tokio::spawn(async move {
        while let Some(every) = watched.every() {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = watched.woken.notified() => continue,
            }
            let turn = tokio::task::spawn_blocking({
                let (watched, rules) = (watched.clone(), Weak::clone(&rules));
                move || watched.turn(&rules)
            });
            if let Err(ended) = turn.await {
                // Else it has ended with the runtime.
                if ended.is_panic() {
                    tracing::error!(
                        "denylists are no longer checked for changes: the current rules stay in force"
                    );
                }
                return;
            }
        }
    });
}

/// Frees rules that were replaced, when no request looks into them any more: there may be millions, which no request should
/// have to free. Blocks.
fn retire(mut former: Arc<Rules>) {
    while let Err(shared) = Arc::try_unwrap(former) {
        former = shared;
        thread::sleep(Duration::from_millis(1));
    }
}

impl Watched {
    pub(crate) fn new(lists: Lists, files: Vec<Read>, every: Duration) -> Self {
        let state = State { lists, files, seen: None, every, table: 0, failure: None, over: false };
        Self { state: Mutex::new(state), woken: Notify::new() }
    }

    /// Puts the rules of other files in force, and looks at those files from now on. A turn that began before does not undo
    /// that. Blocks.
    pub(crate) fn replace(&self, rules: &ArcSwap<Rules>, lists: Lists, loaded: Loaded, every: Duration) {
        let former = {
            let mut state = self.lock();
            let table = state.table + 1;
            let files = loaded.files;
            *state = State { lists, files, seen: None, every, table, failure: None, over: false };
            rules.swap(Arc::new(loaded.rules))
        };
        self.woken.notify_one();
        retire(former);
    }

    /// Ends the task: the policy is gone.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.woken.notify_one();
    }

    /// How long the task waits from one look to the next; `None` when it is over.
    fn every(&self) -> Option<Duration> {
        let state = self.lock();
        (!state.over).then_some(state.every)
    }

    /// Looks at the files, reads them if two looks have found the same change, and tells whether their rules are in force
    /// now. No request waits for it: they take no lock. Blocks.
    pub(crate) fn turn(&self, rules: &Weak<ArcSwap<Rules>>) -> bool {
        self.read_if_changed(rules).map(retire).is_some()
    }

    /// The rules that were replaced.
    fn read_if_changed(&self, rules: &Weak<ArcSwap<Rules>>) -> Option<Arc<Rules>> {
        let rules = rules.upgrade()?;
        let (lists, table, before) = {
            let state = self.lock();
            let contents: Vec<Content> = state.files.iter().map(|file| file.content).collect();
            (state.lists.clone(), state.table, contents)
        };
        let seen = lists.look(&before);
        let wanted = self.current(table)?.judge(seen)?;
        let loaded = lists.load();
        let mut state = self.current(table)?;
        match loaded {
            Ok(loaded) => state.take(loaded, &wanted).map(|new| rules.swap(Arc::new(new))),
            Err((path, error)) => {
                state.fail(&path, &error, Some(wanted));
                None
            }
        }
    }

    /// The state, unless another table has come since.
    fn current(&self, table: u64) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        (state.table == table).then_some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the files hold, if it is to be read.
    fn judge(&mut self, seen: Result<Vec<Seen>, (PathBuf, Unusable)>) -> Option<Vec<Content>> {
        let seen = match seen {
            Ok(seen) => seen,
            Err((path, error)) => {
                self.fail(&path, &error, None);
                return None;
            }
        };
        let now: Vec<Content> = seen.iter().map(|seen| seen.now).collect();
        if seen.iter().all(|seen| seen.change == Change::Same) {
            (self.seen, self.failure) = (None, None);
            return None;
        }
        // As they were when they could not be read.
        if self.failure.as_ref().is_some_and(|failure| failure.seen.as_ref() == Some(&now)) {
            return None;
        }
        // Rules that are added at the end take none away, however little of them is there yet.
        let only_grew = seen.iter().all(|seen| seen.change != Change::Other);
        if only_grew || self.seen.as_ref() == Some(&now) {
            return Some(now);
        }
        for ((path, file), seen) in self.lists.paths().iter().zip(&self.files).zip(&seen) {
            tell_change(path, file, seen);
        }
        self.seen = Some(now);
        None
    }

    /// The rules that were read, if they are those of the files as two looks have seen them.
    fn take(&mut self, loaded: Loaded, wanted: &[Content]) -> Option<Rules> {
        self.seen = None;
        let mut pairs = loaded.files.iter().zip(wanted);
        if !pairs.all(|(read, wanted)| read.content.has_the_bytes_of(wanted)) {
            tracing::info!("a denylist has changed while it was read: it is read again");
            return None;
        }
        for ((path, before), now) in self.lists.paths().iter().zip(&self.files).zip(&loaded.files) {
            if before.counts.rules > 0 && now.counts.rules == 0 {
                let rules = before.counts.rules;
                tracing::warn!(file = %path.display(), rules, "a denylist has no rules any more: those it had are dropped");
            }
        }
        (self.files, self.failure) = (loaded.files, None);
        tracing::info!(rules = loaded.rules.len(), "the denylists were read again");
        Some(loaded.rules)
    }

    fn fail(&mut self, path: &Path, error: &Unusable, seen: Option<Vec<Content>>) {
        self.seen = None;
        // What the system does not give now it may give later, of the same bytes.
        let seen = seen.filter(|_| !matches!(error, Unusable::Io(_)));
        let failure = Failure { seen, error: format!("{}: {error}", path.display()) };
        if self.failure.as_ref().is_none_or(|before| before.error != failure.error) {
            tracing::error!(
                file = %path.display(), %error,
                "a denylist has changed and cannot be used: the rules as they were stay in force"
            );
        }
        self.failure = Some(failure);
    }
}

/// Tells of a change that the next look must find again.
fn tell_change(path: &Path, before: &Read, seen: &Seen) {
    let (file, rules) = (path.display(), before.counts.rules);
    if seen.change == Change::Same {
        return;
    }
    if seen.now.len == 0 && rules > 0 {
        tracing::warn!(%file, rules, "a denylist is empty: its rules are dropped if it is still empty at the next check");
    } else {
        tracing::info!(%file, "a denylist has changed: it is read if the next check finds it the same");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use hydra_api::Scope;
    use std::io;

    /// A process that had no descriptor left has some later, and the files are the same as then.
    #[test]
    fn files_that_could_not_be_read_for_a_passing_reason_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.deny");
        std::fs::write(&path, "").unwrap();
        let config = Config { files: vec!["a.deny".into()], ..Config::default() };
        let lists = Lists::of(&config, &Scope::new(dir.path())).unwrap();
        let files = lists.load().unwrap().files;
        let before: Vec<Content> = files.iter().map(|file| file.content).collect();
        let watched = Watched::new(lists.clone(), files, Duration::from_secs(1));
        std::fs::write(&path, "# changed\n").unwrap();
        let mut state = watched.lock();
        let wanted = state.judge(lists.look(&before)).unwrap();
        for code in [24, 5] {
            let passing = Unusable::Io(io::Error::from_raw_os_error(code));
            state.fail(&path, &passing, Some(wanted.clone()));
            assert_eq!(state.judge(lists.look(&before)).as_ref(), Some(&wanted), "{passing}");
        }
        state.fail(&path, &Unusable::TooMany(1), Some(wanted));
        assert_eq!(state.judge(lists.look(&before)), None, "another look at the same bytes finds the same");
    }

    #[test]
    fn rules_that_were_replaced_are_freed_by_no_request() {
        let former = Arc::new(Rules::default());
        let request = former.clone();
        let weak = Arc::downgrade(&former);
        let retiring = thread::spawn(move || retire(former));
        thread::sleep(Duration::from_millis(50));
        assert!(!retiring.is_finished(), "a request still looks into them");
        drop(request);
        retiring.join().unwrap();
        assert_eq!(weak.strong_count(), 0);
    }
}
