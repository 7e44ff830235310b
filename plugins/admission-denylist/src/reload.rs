//! Notices that a file has changed, and puts new rules in place of the old ones.

use crate::list::{Lists, Loaded, Stamp};
use crate::rules::Rules;
use arc_swap::ArcSwap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval_at};

/// What was read last.
#[derive(Debug)]
pub(crate) struct Reload {
    lists: Lists,
    stamps: Vec<Stamp>,
    /// Whether the last try failed, so that it is told once.
    failing: bool,
}

/// Looks at the files now and then, for as long as the policy is there.
pub(crate) fn start(mut reload: Reload, rules: &Arc<ArcSwap<Rules>>, every: Duration) {
    let rules = Arc::downgrade(rules);
    tokio::spawn(async move {
        let mut turns = interval_at(tokio::time::Instant::now() + every, every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Kept for a turn: a request that still looks into them is not the one that has to free them.
        let mut former: Option<Arc<Rules>> = None;
        loop {
            turns.tick().await;
            drop(former.take());
            let turn = tokio::task::spawn_blocking({
                let rules = Weak::clone(&rules);
                move || {
                    let former = reload.turn(&rules);
                    (reload, former)
                }
            });
            // It ends with the runtime, or should reading panic; the rules as they were stay in force.
            let Ok((next, replaced)) = turn.await else {
                tracing::error!("denylists are no longer looked at: the rules as they are stay in force");
                return;
            };
            if rules.strong_count() == 0 {
                return;
            }
            (reload, former) = (next, replaced);
        }
    });
}

impl Reload {
    pub(crate) const fn new(lists: Lists, stamps: Vec<Stamp>) -> Self {
        Self { lists, stamps, failing: false }
    }

    /// Reads the files if one has changed; the rules that were replaced.
    pub(crate) fn turn(&mut self, rules: &Weak<ArcSwap<Rules>>) -> Option<Arc<Rules>> {
        let rules = rules.upgrade()?;
        let changed = self.lists.stamps().map(|stamps| stamps != self.stamps);
        let loaded = match changed {
            Ok(false) => {
                self.failing = false;
                return None;
            }
            Ok(true) => self.lists.load(),
            Err(why) => Err(why),
        };
        match loaded {
            Ok(Loaded { rules: new, stamps, counts }) => {
                (self.stamps, self.failing) = (stamps, false);
                tracing::info!(?counts, "the denylists were read again");
                Some(rules.swap(Arc::new(new)))
            }
            Err((path, why)) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        file = %path.display(), %why,
                        "a denylist has changed and cannot be used: the rules as they were stay in force"
                    );
                }
                None
            }
        }
    }
}
