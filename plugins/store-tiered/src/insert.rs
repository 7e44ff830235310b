//! Writing: to the last tier, then to those above it what the last one has taken.

use crate::config::Writes;
use crate::tiers::Tiers;
use crate::upper::Turn;
use futures::future::join_all;
use hydra_api::{
    Addresses, Inserted, PeerId, ProviderRecord, RecordOutcome, StoreError, StoreErrorKind, UnixSeconds,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long a write of which nobody knows how it ended may still come to its end at the last tier. Until then what is read
/// there is not kept further up.
const HOLD: Duration = Duration::from_secs(10);

/// Stores a batch. The outcome of each record is that of the last tier.
pub(crate) async fn insert(
    tiers: &Tiers,
    batch: Arc<[ProviderRecord]>,
    now: UnixSeconds,
) -> Result<Inserted, StoreError> {
    let mut writing = Writing { tiers, batch, now, begun: tiers.doubts.latest(), is_settled: false };
    let inserted = match tiers.last.insert(Arc::clone(&writing.batch), now).await {
        Ok(inserted) => inserted,
        Err(error) => {
            // Then nothing was stored.
            writing.is_settled = error.kind() == StoreErrorKind::Refused;
            return Err(error);
        }
    };
    let ends = match &inserted {
        Inserted::All => vec![End::Taken; writing.batch.len()],
        Inserted::Each(outcomes) if outcomes.len() == writing.batch.len() => {
            outcomes.iter().map(End::of).collect()
        }
        // The caller sees it; what became of the records nobody knows.
        Inserted::Each(_) => return Ok(inserted),
    };
    let taken = match tiers.writes {
        Writes::All => writing.to_uppers(&ends).await,
        Writes::Last => vec![vec![false; writing.batch.len()]; tiers.uppers.len()],
    };
    writing.settle(&ends, &taken);
    Ok(inserted)
}

/// How a record ended at the last tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Taken,
    /// It has changed nothing.
    NotTaken,
    Unknown,
}

impl End {
    const fn of(outcome: &RecordOutcome) -> Self {
        match outcome {
            RecordOutcome::Taken => Self::Taken,
            RecordOutcome::NoRoom | RecordOutcome::Refused(_) => Self::NotTaken,
            _ => Self::Unknown,
        }
    }
}

/// A write under way. Dropped before it is settled, it leaves a doubt about all of its keys.
struct Writing<'t> {
    tiers: &'t Tiers,
    batch: Arc<[ProviderRecord]>,
    now: UnixSeconds,
    /// The number of the latest doubt when it began.
    begun: u64,
    is_settled: bool,
}

impl Writing<'_> {
    /// Writes what the last tier has taken to each upper tier; which records of the batch each has taken.
    async fn to_uppers(&self, ends: &[End]) -> Vec<Vec<bool>> {
        let is_taken = |(_, end): &(&ProviderRecord, &End)| **end == End::Taken;
        let records: Arc<[ProviderRecord]> = if ends.iter().all(|end| *end == End::Taken) {
            Arc::clone(&self.batch)
        } else {
            self.batch.iter().zip(ends).filter(is_taken).map(|(record, _)| record.clone()).collect()
        };
        let time_max = self.tiers.times.write_max;
        let inserts =
            self.tiers.uppers.iter().map(|upper| upper.insert(&records, self.now, time_max, Turn::Wait));
        let of_batch = |taken: Vec<bool>| {
            let mut taken = taken.into_iter();
            ends.iter().map(|end| *end == End::Taken && taken.next().unwrap_or(false)).collect()
        };
        join_all(inserts).await.into_iter().map(of_batch).collect()
    }

    /// Notes what each tier has taken, before the caller is told.
    fn settle(mut self, ends: &[End], taken: &[Vec<bool>]) {
        self.is_settled = true;
        let doubt = self.tiers.doubts.raise();
        for (upper, taken) in self.tiers.uppers.iter().zip(taken) {
            for ((record, end), taken) in self.batch.iter().zip(ends).zip(taken) {
                match end {
                    End::Taken if *taken && record.expires > self.now => {
                        upper.marks.taken(&record.key, record.expires, doubt);
                    }
                    End::Taken if *taken => {}
                    End::Taken => upper.marks.doubt(&record.key, doubt),
                    End::NotTaken => {}
                    End::Unknown => upper.marks.hold(&record.key, doubt, self.hold_until()),
                }
            }
        }
        for (peer, (end, addresses)) in self.told(ends) {
            let known = &self.tiers.addresses;
            match end {
                End::Taken => known.told(peer, addresses, (self.begun, doubt), self.now),
                End::NotTaken => known.doubt(peer, doubt),
                End::Unknown => known.hold(peer, doubt, self.hold_until()),
            }
        }
    }

    /// What the batch has told the last tier of each provider's addresses: the newest, and the worst end.
    fn told(&self, ends: &[End]) -> HashMap<&PeerId, (End, &Addresses)> {
        let mut told: HashMap<&PeerId, (End, &Addresses)> = HashMap::new();
        for (record, end) in self.batch.iter().zip(ends).filter(|(record, _)| !record.addresses.is_empty()) {
            // Stores differ in whether they look at the addresses of a record that nobody will see.
            let end = if record.expires > self.now { *end } else { (*end).max(End::NotTaken) };
            let of_provider = told.entry(&record.provider).or_insert((end, &record.addresses));
            *of_provider = (of_provider.0.max(end), &record.addresses);
        }
        told
    }

    fn hold_until(&self) -> UnixSeconds {
        self.now.saturating_add(HOLD)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let doubt = self.tiers.doubts.raise();
        for record in self.batch.iter() {
            for upper in &self.tiers.uppers {
                upper.marks.hold(&record.key, doubt, self.hold_until());
            }
            if !record.addresses.is_empty() {
                self.tiers.addresses.hold(&record.provider, doubt, self.hold_until());
            }
        }
    }
}
