//! Notices that a file has changed, and puts new rules in place of the old ones.

use crate::list::{Lists, Loaded, Stamp};
use crate::rules::Rules;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Which files are looked at, and what was read of them last.
#[derive(Debug)]
pub(crate) struct Watched {
    state: Mutex<State>,
    replaced: Notify,
}

#[derive(Debug)]
struct State {
    lists: Lists,
    stamps: Vec<Stamp>,
    every: Duration,
    /// Counts the changes of the table.
    table: u64,
    /// Whether the last try failed, so that it is logged once.
    failing: bool,
}

/// Looks at the files now and then, for as long as the policy is there.
pub(crate) fn start(watched: &Arc<Watched>, rules: &Arc<ArcSwap<Rules>>) {
    let (watched, rules) = (watched.clone(), Arc::downgrade(rules));
    tokio::spawn(async move {
        // Kept for a turn: a request that still looks into them is not the one that has to free them.
        let mut former: Option<Arc<Rules>> = None;
        loop {
            let every = watched.lock().every;
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = watched.replaced.notified() => continue,
            }
            drop(former.take());
            let turn = tokio::task::spawn_blocking({
                let (watched, rules) = (watched.clone(), Weak::clone(&rules));
                move || watched.turn(&rules)
            });
            // It ends with the runtime, or should reading panic; the rules as they were stay in force.
            let Ok(replaced) = turn.await else {
                tracing::error!("denylists are no longer looked at: the rules as they are stay in force");
                return;
            };
            if rules.strong_count() == 0 {
                return;
            }
            former = replaced;
        }
    });
}

impl Watched {
    pub(crate) fn new(lists: Lists, stamps: Vec<Stamp>, every: Duration) -> Self {
        let state = State { lists, stamps, every, table: 0, failing: false };
        Self { state: Mutex::new(state), replaced: Notify::new() }
    }

    /// Looks at other files from now on. `rules` puts theirs in force; no turn that began before undoes that.
    pub(crate) fn replace(&self, lists: Lists, stamps: Vec<Stamp>, every: Duration, rules: impl FnOnce()) {
        let mut state = self.lock();
        let table = state.table + 1;
        *state = State { lists, stamps, every, table, failing: false };
        rules();
        drop(state);
        self.replaced.notify_one();
    }

    /// Reads the files if one has changed; the rules that were replaced. No request waits for it: they take no lock.
    pub(crate) fn turn(&self, rules: &Weak<ArcSwap<Rules>>) -> Option<Arc<Rules>> {
        let rules = rules.upgrade()?;
        let (lists, stamps, table) = {
            let state = self.lock();
            (state.lists.clone(), state.stamps.clone(), state.table)
        };
        let loaded = match lists.stamps() {
            Ok(now) if now == stamps => None,
            Ok(_) => Some(lists.load()),
            Err(why) => Some(Err(why)),
        };
        let mut state = self.lock();
        if state.table != table {
            return None;
        }
        match loaded {
            None => {
                state.failing = false;
                None
            }
            Some(Ok(Loaded { rules: new, stamps, counts })) => {
                (state.stamps, state.failing) = (stamps, false);
                tracing::info!(?counts, "the denylists were read again");
                Some(rules.swap(Arc::new(new)))
            }
            Some(Err((path, why))) => {
                if !std::mem::replace(&mut state.failing, true) {
                    tracing::error!(
                        file = %path.display(), %why,
                        "a denylist has changed and cannot be used: the rules as they were stay in force"
                    );
                }
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
