//! What a store is able to do.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// What a store is able to do. Made by [`StoreProfile::builder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreProfile {
    /// Calls of all kinds that the store serves at a time without making one wait: its connections, or its threads.
    pub concurrency_max: NonZeroUsize,
    /// How it reads.
    pub reads: Lane,
    /// How it writes.
    pub writes: Lane,
    /// Whether records outlive the process.
    pub durability: Durability,
    /// Whether other processes see the same records.
    pub sharing: Sharing,
    /// How many nodes use it now, as far as it knows: one that knows of others says so, and of their going within the time of their
    /// lease. Adaptive permits have their bound divided by it, so that the nodes together make no more calls than one alone.
    pub sharers: NonZeroU32,
    /// Who removes expired records.
    pub expiry: Expiry,
    /// An insert that would move a record's expiry by no more than this may leave it as it is (rule S2): a refresh of a record
    /// that is still fresh then writes nothing. The conformance suite wants a store that is configured without slack.
    pub refresh_slack: Duration,
    /// The database system behind it, as OpenTelemetry's semantic conventions name it (`db.system.name`: `postgresql`,
    /// `redis`). Traces name the kind of the store when there is none.
    pub system: Option<&'static str>,
}

/// What a store is able to do with calls of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lane {
    /// Calls of this kind that run at a time, at most [`StoreProfile::concurrency_max`].
    pub concurrency_max: NonZeroUsize,
    /// Records or keys of one call.
    pub batch_len_max: NonZeroUsize,
}

/// Whether records outlive the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// They end with it.
    InMemory,
    /// They are there again after a restart. What was acknowledged less than `window` before a crash may be lost.
    SurvivesRestart {
        /// How long it takes at most until a record survives a crash of the process.
        window: Duration,
    },
}

/// Whether other processes see the same records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Only this process has them.
    OneProcess,
    /// Every process that opens the same store has them.
    BetweenProcesses,
}

/// Who removes expired records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The node, by calls of [`purge_expired`](crate::ProviderStore::purge_expired).
    ByPurge,
    /// The store itself.
    ByItself,
}

impl StoreProfile {
    /// A profile of one call at a time with one record or key, in memory, of this process alone, purged by the node.
    pub const fn builder() -> StoreProfileBuilder {
        const ONE: NonZeroUsize = NonZeroUsize::MIN;
        let lane = Lane { concurrency_max: ONE, batch_len_max: ONE };
        StoreProfileBuilder(StoreProfile {
            concurrency_max: ONE,
            reads: lane,
            writes: lane,
            durability: Durability::InMemory,
            sharing: Sharing::OneProcess,
            sharers: NonZeroU32::MIN,
            expiry: Expiry::ByPurge,
            refresh_slack: Duration::ZERO,
            system: None,
        })
    }
}

/// Makes a [`StoreProfile`].
#[derive(Debug, Clone, Copy)]
#[must_use = "`build` gives the profile"]
pub struct StoreProfileBuilder(StoreProfile);

impl StoreProfileBuilder {
    /// Sets how many calls run at a time: of all kinds, of reads and of writes.
    pub const fn concurrency_max(mut self, calls: NonZeroUsize) -> Self {
        self.0.concurrency_max = calls;
        self.0.reads.concurrency_max = calls;
        self.0.writes.concurrency_max = calls;
        self
    }

    /// Sets how many reads run at a time.
    pub const fn read_concurrency_max(mut self, calls: NonZeroUsize) -> Self {
        self.0.reads.concurrency_max = calls;
        self
    }

    /// Sets how many inserts run at a time.
    pub const fn write_concurrency_max(mut self, calls: NonZeroUsize) -> Self {
        self.0.writes.concurrency_max = calls;
        self
    }

    /// Sets how many keys one read has at most.
    pub const fn read_batch_len_max(mut self, keys: NonZeroUsize) -> Self {
        self.0.reads.batch_len_max = keys;
        self
    }

    /// Sets how many records one insert has at most.
    pub const fn write_batch_len_max(mut self, records: NonZeroUsize) -> Self {
        self.0.writes.batch_len_max = records;
        self
    }

    /// Sets whether records outlive the process.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.0.durability = durability;
        self
    }

    /// Sets whether other processes see the same records.
    pub const fn sharing(mut self, sharing: Sharing) -> Self {
        self.0.sharing = sharing;
        self
    }

    /// Sets how many nodes use it now.
    pub const fn sharers(mut self, nodes: NonZeroU32) -> Self {
        self.0.sharers = nodes;
        self
    }

    /// Sets who removes expired records.
    pub const fn expiry(mut self, expiry: Expiry) -> Self {
        self.0.expiry = expiry;
        self
    }

    /// Sets by how much an expiry may stay behind the latest one that was inserted.
    pub const fn refresh_slack(mut self, slack: Duration) -> Self {
        self.0.refresh_slack = slack;
        self
    }

    /// Sets the name of the database system behind it, as OpenTelemetry has it.
    pub const fn system(mut self, name: &'static str) -> Self {
        self.0.system = Some(name);
        self
    }

    /// The profile. No lane has more calls at a time than the store as a whole.
    pub fn build(mut self) -> StoreProfile {
        let all = self.0.concurrency_max;
        self.0.reads.concurrency_max = self.0.reads.concurrency_max.min(all);
        self.0.writes.concurrency_max = self.0.writes.concurrency_max.min(all);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lane_has_more_calls_than_the_store() {
        let len = |len| NonZeroUsize::new(len).unwrap();
        let profile = StoreProfile::builder().write_concurrency_max(len(9)).concurrency_max(len(4));
        let profile = profile.read_concurrency_max(len(8)).write_concurrency_max(len(1)).build();
        assert_eq!(profile.concurrency_max, len(4));
        assert_eq!((profile.reads.concurrency_max, profile.writes.concurrency_max), (len(4), len(1)));
    }
}
