//! What is told of the results: counts, and log lines when something changes.

use crate::net::autonat::{CheckError, Verdict};
use crate::net::heads::{HeadList, Reach, Way};
use libp2p::Multiaddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The counts of the tests, and what the log has told.
#[derive(Debug, Default)]
pub(crate) struct Report {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    told: Mutex<Told>,
}

/// What the log has told last.
#[derive(Debug, Default)]
struct Told {
    /// Heads that cannot be reached, by way.
    unreachable: [u64; Way::ALL.len()],
    /// Heads that advertise no address.
    unadvertised: usize,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server reached the head.
    Reachable,
    /// The server could not reach the head.
    Unreachable,
    /// The server refused the test.
    Refused,
    /// The server could not be asked, or did not finish the test.
    Failed,
    /// It was not asked.
    Unsent,
}

impl Outcome {
    pub(crate) const ALL: [Self; 5] =
        [Self::Reachable, Self::Unreachable, Self::Refused, Self::Failed, Self::Unsent];

    const fn of(result: Result<Verdict, CheckError>) -> Self {
        match result {
            Ok(Verdict::Reachable) => Self::Reachable,
            Ok(Verdict::Unreachable) => Self::Unreachable,
            Err(CheckError::Refused) => Self::Refused,
            Err(CheckError::Failed | CheckError::Unfinished | CheckError::Deadline) => Self::Failed,
            Err(CheckError::NotAsked) => Self::Unsent,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
        }
    }
}

impl Report {
    /// Counts a test.
    pub(crate) fn count(&self, result: Result<Verdict, CheckError>) {
        self.outcomes[Outcome::of(result) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Tests that ended so.
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// Warns of the first head that cannot be reached on a way, before a round of many heads is over.
    pub(super) fn on_verdict(&self, head: u32, way: Way, address: &Multiaddr, verdict: Verdict) {
        let told = &mut self.told().unreachable[way.index()];
        if verdict == Verdict::Unreachable && *told == 0 {
            *told = 1;
            let way = way.words();
            tracing::warn!(
                head,
                way,
                %address,
                "other peers cannot reach this head: open or forward its port, or set heads.announce or \
                 heads.announce_only to an address at which they can"
            );
        }
    }

    /// Tells what has changed since it was last told.
    pub(crate) fn on_round(&self, heads: &HeadList) {
        self.on_advertised(heads);
        let counts = heads.by_reach();
        let mut told = self.told();
        for way in Way::ALL {
            let [reachable, unreachable, unknown] = counts[way.index()];
            let before = std::mem::replace(&mut told.unreachable[way.index()], unreachable);
            if before == unreachable {
                continue;
            }
            let way = way.words();
            if unreachable == 0 {
                tracing::info!(way, reachable, unknown, "no head is known to be unreachable any more");
            } else {
                tracing::warn!(
                    way,
                    unreachable,
                    reachable,
                    unknown,
                    "other peers cannot reach some heads: open or forward their ports, or set heads.announce or \
                     heads.announce_only to addresses at which they can"
                );
            }
        }
    }

    /// Warns of heads that advertise no address, once for each change of their number.
    pub(crate) fn on_advertised(&self, heads: &HeadList) {
        let hidden = heads.unadvertised();
        let before = std::mem::replace(&mut self.told().unadvertised, hidden.len());
        if before == hidden.len() {
            return;
        }
        match hidden.first() {
            None => tracing::info!("every head advertises an address"),
            Some(first) => tracing::warn!(
                heads = hidden.len(),
                first,
                "heads advertise no address, so no peer finds them: network.addresses or heads.never_announce excludes \
                 their listen addresses. Set heads.announce_only to the addresses at which peers reach this host"
            ),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Heads that cannot be reached, in words; nothing if there are none.
pub(crate) fn in_words(heads: &HeadList) -> Option<String> {
    let unadvertised = heads.unadvertised().len();
    let hidden = (unadvertised > 0).then(|| format!("{unadvertised} heads advertise no address"));
    let counts = heads.by_reach();
    let unreachable = Way::ALL.into_iter().filter_map(|way| {
        let counts = counts[way.index()];
        let (all, unreachable) = (counts.iter().sum::<u64>(), counts[Reach::Unreachable as usize]);
        let words = || format!("{unreachable} of {all} heads are unreachable over {}", way.words());
        (unreachable > 0).then(words)
    });
    let all: Vec<_> = hidden.into_iter().chain(unreachable).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
