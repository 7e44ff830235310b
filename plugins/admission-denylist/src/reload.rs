//! Notices that a file has changed, and puts new rules in place of the old ones.

use crate::list::{Lists, Loaded, Stamp};
use crate::rules::Rules;
use arc_swap::ArcSwap;
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
    stamps: Vec<Stamp>,
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
    /// The files as they were.
    stamps: Vec<Stamp>,
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
    pub(crate) fn new(lists: Lists, stamps: Vec<Stamp>, every: Duration) -> Self {
        let state = State { lists, stamps, every, table: 0, failure: None, over: false };
        Self { state: Mutex::new(state), woken: Notify::new() }
    }

    /// Puts the rules of other files in force, and looks at those files from now on. A turn that began before does not undo
    /// that. Blocks.
    pub(crate) fn replace(&self, rules: &ArcSwap<Rules>, lists: Lists, loaded: Loaded, every: Duration) {
        let former = {
            let mut state = self.lock();
            let table = state.table + 1;
            *state = State { lists, stamps: loaded.stamps, every, table, failure: None, over: false };
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

    /// Reads the files if one has changed, and tells whether their rules are in force now. No request waits for it: they
    /// take no lock. Blocks.
    pub(crate) fn turn(&self, rules: &Weak<ArcSwap<Rules>>) -> bool {
        self.read_if_changed(rules).map(retire).is_some()
    }

    /// The rules that were replaced.
    fn read_if_changed(&self, rules: &Weak<ArcSwap<Rules>>) -> Option<Arc<Rules>> {
        let rules = rules.upgrade()?;
        let (lists, stamps, table, failure) = {
            let state = self.lock();
            (state.lists.clone(), state.stamps.clone(), state.table, state.failure.clone())
        };
        let (now, loaded) = match lists.stamps() {
            Ok(now) if now == stamps => (now, None),
            // As they were when they could not be read.
            Ok(now) if failure.is_some_and(|failure| failure.stamps == now) => return None,
            Ok(now) => (now, Some(lists.load())),
            Err(why) => (Vec::new(), Some(Err(why))),
        };
        let mut state = self.lock();
        if state.table != table {
            return None;
        }
        match loaded {
            None => {
                state.failure = None;
                None
            }
            Some(Ok(Loaded { rules: new, stamps, counts })) => {
                (state.stamps, state.failure) = (stamps, None);
                tracing::info!(?counts, "the denylists were read again");
                Some(rules.swap(Arc::new(new)))
            }
            Some(Err((path, error))) => {
                let failure = Failure { stamps: now, error: format!("{}: {error}", path.display()) };
                if state.failure.as_ref().is_none_or(|before| before.error != failure.error) {
                    tracing::error!(
                        file = %path.display(), %error,
                        "a denylist has changed and cannot be used: the rules as they were stay in force"
                    );
                }
                state.failure = Some(failure);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
